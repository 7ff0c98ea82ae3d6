"""Integrals over a manifold by its quadrature: not too large, and fine enough."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from attnflow.errors import ConvergenceError
from attnflow.manifolds.base import Manifold

if TYPE_CHECKING:
    from attnflow.densities.base import Density

MAX_NODES = 4_000_000  # of a quadrature; on T^3 they take 250 MB


def check_size(nodes: int, manifold: Manifold) -> None:
    """Raise ConvergenceError if a quadrature would have more nodes than fit in memory."""
    if nodes > MAX_NODES:
        raise ConvergenceError(
            f"a quadrature of {nodes} nodes would be needed on {manifold}, at most {MAX_NODES} are allowed. Use a "
            "larger bandwidth, a larger `rtol` or fewer dimensions."
        )


def integrate(density: Density) -> tuple[float, float]:
    """Return log int p dvol, p not yet normalised, and the largest log p met, at the first resolution that settles.

    Raises:
        ConvergenceError: if no affordable resolution does.
    """
    manifold = density.manifold
    previous = math.nan
    degree = 24
    check_size(manifold.quadrature_size(degree), manifold)
    while manifold.quadrature_size(degree) <= MAX_NODES:
        nodes, weights = manifold.quadrature(degree)
        values = density.log_densities(nodes)
        peak = float(values.max())
        total = peak + math.log(np.dot(weights, np.exp(values - peak)))
        if abs(total - previous) < 1e-13:
            return total, peak
        previous, degree = total, degree * 3 // 2
    raise ConvergenceError(
        f"the integral of the density over {manifold} does not settle: it moves by {abs(total - previous):.3g} at "
        f"{len(nodes)} nodes. Use a smooth log-density."
    )
