"""Integrals of a density over its manifold: fine enough for what is seen of it on very many nodes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from attnflow.errors import ConvergenceError, DataError
from attnflow.manifolds.base import MAX_NODES, MEMBERSHIP_TOLERANCE, check_size, rule_of
from attnflow.measures import DiscreteMeasure
from attnflow.resolution import close_nodes, close_rule

if TYPE_CHECKING:
    from attnflow.densities.base import Density

FIRST_DEGREE = 24
MASS_TOLERANCE = 1e-8  # of int p dvol = 1
SETTLED = 1e-13  # of two logarithms of one integral
PEAK_MARGIN = 0.05  # by which log p may rise between the nodes of a quadrature; every proposal is checked against it
_CLIMBERS, _CLIMBS = 16, 12  # starts of the search for the largest log p, and rounds that each shrink it to a third


class Integral(NamedTuple):
    """log int p dvol of a density that need not be normalised, and an upper bound of log p."""

    log_mass: float
    log_bound: float


class Look(NamedTuple):
    """A density on a rule of its manifold: nodes (Q, D), weights of dvol (Q,), and log p (Q,)."""

    nodes: np.ndarray
    volumes: np.ndarray
    log_p: np.ndarray

    @property
    def log_mass(self) -> float:
        """log sum_q w_q p(x_q)."""
        peak = float(self.log_p.max())
        with np.errstate(under="ignore"):  # where p is smaller by 1e308 than at its peak
            # In pairs: a dot product of 10^5 equal terms is off by 5e-13, all of them rounded to the same side.
            return peak + math.log(np.sum(self.volumes * np.exp(self.log_p - peak)))


def look(density: Density, rule: DiscreteMeasure) -> Look:
    """Return a density on a rule of its manifold, whatever underflows."""
    return Look(rule.points, rule.masses, density.log_densities(rule.points))


def close_look(density: Density) -> Look:
    """Return a density on a rule with very many nodes, 2^16 on curves and 2^17 elsewhere.

    It sees a Gaussian of width s wherever its nearest node is within about 6 s: s > 1e-5 on the unit circle, s > .002
    on S^2 and T^2, s > .02 on S^3 and T^3.
    """
    return look(density, close_rule(density.manifold, close_nodes(density.manifold)))


def check_mass(density: Density, log_mass: float) -> None:
    """Raise DataError unless the mass of a density, by a quadrature, is one."""
    if not abs(log_mass) <= MASS_TOLERANCE:
        mass = f"{math.exp(log_mass):.10g}" if abs(log_mass) < 700 else f"e^{log_mass:.6g}"
        raise DataError(
            f"`log_density` of {type(density).__name__} is not normalised: p integrates to {mass} over "
            f"{density.manifold}. Subtract the logarithm of that, or use af.LogDensity, which does so."
        )


def integrate(density: Density) -> Integral:
    """Return log int p dvol, p not yet normalised, and a bound of log p, at the first resolution that settles.

    Two rules agree, and they agree with the close look, which has more nodes at other places; from there on two rules
    that are finer still.

    Raises:
        ConvergenceError: if no affordable resolution does.
    """
    manifold = density.manifold
    check_size(manifold.quadrature_size(FIRST_DEGREE), manifold)
    close = close_look(density)
    previous, degree, moved = math.nan, FIRST_DEGREE, math.nan
    while (size := manifold.quadrature_size(degree)) <= MAX_NODES:
        seen = look(density, rule_of(manifold, degree))
        peak, total = float(seen.log_p.max()), seen.log_mass
        settled = SETTLED + 2 * np.finfo(float).eps * abs(peak)  # log p itself has that rounding
        moved = abs(total - previous)
        agrees = abs(total - close.log_mass) < 10 * settled or size >= len(close.nodes)
        if moved < settled and agrees:
            return Integral(total, _bound(density, seen, close))
        previous, degree = total, _finer(density, degree)
    if math.isnan(moved):
        check_size(size, manifold)
    raise ConvergenceError(
        f"the integral of the density over {manifold} does not settle: it moves by {moved:.3g} at "
        f"{len(seen.nodes)} nodes. Use a smooth log-density."
    )


def _finer(density: Density, degree: int) -> int:
    """Return a degree half as large again, or, where that is not affordable, larger by three tenths."""
    for factor in (1.5, 1.3):
        finer = int(factor * degree)
        if density.manifold.quadrature_size(finer) <= MAX_NODES:
            break
    return finer


def _bound(density: Density, seen: Look, close: Look) -> float:
    """Return an upper bound of log p: the largest seen and a margin, if a closer look finds little more."""
    peak, closer = float(seen.log_p.max()), float(close.log_p.max())
    # Four times the nodes halve the gap that is left at the least: what is found now is as much as is missed yet.
    if len(close.nodes) >= 4 * len(seen.nodes) and closer <= peak + PEAK_MARGIN / 2:
        return peak + PEAK_MARGIN
    highest = max((seen, close), key=lambda rule: len(rule.nodes))
    summit = _climb(density, highest.nodes[np.argsort(highest.log_p)[-_CLIMBERS:]], len(highest.nodes))
    return max(peak, summit) + PEAK_MARGIN


def _climb(density: Density, best: np.ndarray, nodes: int) -> float:
    """Return the largest log p near some points: of clouds of points around them, each a third as wide as the last."""
    manifold = density.manifold
    generator = np.random.default_rng(0)
    width = math.exp(manifold.log_volume / manifold.dim) / nodes ** (1 / manifold.dim)
    for _ in range(_CLIMBS):
        steps = width * generator.standard_normal((len(best), 4096 // len(best), manifold.ambient_dim))
        around = np.concatenate([best, manifold.project((best[:, None] + steps).reshape(-1, len(best[0])))])
        if manifold.has_boundary:  # beyond which a retraction may lead
            around = around[manifold.residual(around) <= MEMBERSHIP_TOLERANCE]
        heights = density.log_densities(around)
        best, width = around[np.argsort(heights)[-_CLIMBERS:]], width / 3
    return float(heights.max())
