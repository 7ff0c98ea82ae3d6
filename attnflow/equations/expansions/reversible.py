r"""The generator of a symmetric cost in divergence form, on planes that are given.

A symmetric cost has L f = 1/2 Lap_G f + <grad log p_G, grad f>_G, p_G the density of the keys, weighed as the
normalisation says, with respect to the volume of the induced metric G. In orthonormal coordinates of a tangent plane

    L f = 1/(2 rho) div(rho G^-1 grad f),   rho = p_G^2 sqrt(det G) = p^2 / sqrt(det G),

so that L is reversible and rho, up to a factor, its stationary law.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._lifting import VALUE_BLOCK, map_blocks, shown
from attnflow._programs import at_point
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.expansions.key_density import log_key_weight
from attnflow.equations.expansions.laplace import LaplaceExpansion
from attnflow.equations.expansions.matrices import inverse, log_volume
from attnflow.equations.expansions.minimizers import nodes_of
from attnflow.errors import ConfigError
from attnflow.pseudometrics.base import is_trusted

_EXAMINED = 300  # points where a cost that is not known is looked at closely


class ReversibleCoefficients(NamedTuple):
    """G^-1 in the given planes, (Q, m, m), and log rho, (Q,)."""

    inverse_metrics: Any
    log_densities: Any


def check_reversible(expansion: LaplaceExpansion) -> None:
    """Raise ConfigError unless the cost of an attention is symmetric, and smooth where it is least."""
    cost = expansion.attention.pseudometric
    if not cost.is_symmetric:
        raise ConfigError(
            f"{type(cost).__name__} does not say that it is symmetric, and its drift-diffusion need not be reversible, "
            "as a form with stiffness and mass is. Set `is_symmetric=True` if D(x, y) = D(y, x)."
        )
    if not is_trusted(cost):
        expansion.coefficients(nodes_of(expansion.density, _EXAMINED))


def reversible_coefficients(
    expansion: LaplaceExpansion, points: np.ndarray, frames: np.ndarray, *, curved: bool = False
) -> ReversibleCoefficients:
    """Return the coefficients at points (Q, D) in planes with orthonormal bases (Q, D, m).

    Args:
        expansion: of the attention.
        points: on M.
        frames: the bases.
        curved: whether M leaves the planes, so that keys near a query are found by its `retract`.

    Raises:
        ConfigError: if G is not positive definite, or p not positive, at one of them.
    """
    compiled = functools.partial(_coefficients, expansion.attention, expansion.density, curved)
    found: ReversibleCoefficients = map_blocks(compiled, points, frames, block=VALUE_BLOCK)
    smallest = np.linalg.eigvalsh(found.inverse_metrics).min(axis=1)
    fine = np.isfinite(found.log_densities) & (smallest > 0) & np.isfinite(smallest)
    if not fine.all():
        row = int(np.argmin(fine))
        raise ConfigError(
            f"the density vanishes or the cost {type(expansion.attention.pseudometric).__name__} has no positive "
            f"definite Hessian at {shown(points[row])}: log rho = {found.log_densities[row]:.4g}, the smallest "
            f"eigenvalue of G^-1 is {smallest[row]:.3g}. Mend one of them."
        )
    return found


@functools.partial(jax.jit, static_argnums=2)
def _coefficients(attention: Attention, density: Density, curved: bool, points: jax.Array, frames: jax.Array) -> Any:
    def one(x: jax.Array, frame: jax.Array) -> ReversibleCoefficients:
        def cost(u: jax.Array) -> jax.Array:
            y = x + frame @ u
            return 0.5 * attention.pseudometric(x, density.manifold.retract(y) if curved else y)

        metric = jax.hessian(cost)(jnp.zeros(frame.shape[1], x.dtype))
        log_p = at_point(density.log_density, x, scalar=True) + log_key_weight(attention, density, x)
        return ReversibleCoefficients(inverse(metric), 2 * log_p - log_volume(metric))

    return jax.vmap(one)(points, frames)
