"""Heat under a new metric: the flow itself, and the heat equation that an attention is."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_positive, check_tolerance
from attnflow._lifting import check_function, examine
from attnflow._programs import at_point
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.densities.log_density import LogDensity
from attnflow.equations.diffusion import Diffusion
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.expansions.coefficients import induced_metric
from attnflow.equations.expansions.heat import HeatExpansion
from attnflow.equations.expansions.key_density import log_key_weight
from attnflow.equations.expansions.laplace import SEARCHED
from attnflow.equations.expansions.matrices import log_volume
from attnflow.equations.expansions.minimizers import nodes_of
from attnflow.equations.solvers.base import Discretization
from attnflow.equations.solvers.kinds import choose_discretization
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.checks import check_manifold

_UNIFORM = 1e-9  # by which log p_G of a density that is uniform may vary, by rounding


class HeatEquation(NamedTuple):
    """The heat equation 2 L = (1/c) Lap_h that an attention is, as functions of one ambient point (D,).

    Attributes:
        metric: h = p_G^{4/(m-2)} G, a tensor (D, D) of R^D on the tangent space.
        metric_factor: p_G^{4/(m-2)}, by which h is larger than the induced metric G.
        specific_heat: c = p_G^{-4/(m-2)}.
    """

    metric: Callable
    metric_factor: Callable
    specific_heat: Callable


class HeatFlow(Diffusion):
    """The heat flow d_t u = (1/c) div_h(k grad_h u) under a metric h; made by `heat_flow`.

    Attributes:
        density: the equilibrium, c dvol_h normalised, as a density with respect to the volume of the manifold.
    """

    def __init__(
        self, expansion: HeatExpansion, *, rtol: float, discretization: str | type[Basis] | Discretization
    ) -> None:
        self.rtol = rtol
        self._expansion = expansion
        if not expansion.manifold.is_compact:
            raise ConfigError(f"a heat flow needs a compact manifold, got {expansion.manifold}.")
        expansion.require_positive(expansion.manifold.spread(SEARCHED))
        self.density = LogDensity(expansion.manifold, expansion.log_equilibrium)
        chosen = choose_discretization(discretization, density=self.density)
        self._solver_or_none = None if chosen is None else chosen.solver(expansion, self.density, rtol=rtol)

    def generator(self, f: Callable, at: object = None) -> np.ndarray:
        """Return L f at points (Q, D), by automatic differentiation: (Q,), or (Q, c) for a vector f."""
        points = self._queries(at).points
        return self._expansion.generator(examine(f, points), at=points)


def heat_flow(
    manifold: Manifold,
    metric: Callable,
    *,
    specific_heat: float | Callable = 1.0,
    conductivity: float | Callable = 1.0,
    rtol: float = 1e-8,
    discretization: str | type[Basis] | Discretization = "auto",
) -> HeatFlow:
    r"""Return the heat flow on a compact manifold under a metric h of one's own.

        d_t u = (1/c) div_h(k grad_h u),   c the specific heat per volume of h, k the conductivity

    With c = k = 1 it is the heat equation d_t u = Lap_h u; attention has the clock of k = 1/2. It answers `evolve`,
    `adjoint_evolve`, `spectrum` and `generator` as DriftDiffusion does; densities are with respect to the volume of
    the manifold, not that of h.

    Args:
        manifold: M, compact.
        metric: h, a function of one ambient point (D,): its factor over the metric of M, a scalar, or a tensor (D, D)
            of R^D, of which the tangent part is seen.
        specific_heat: c > 0, a number or a function of one ambient point.
        conductivity: k > 0, likewise.
        rtol: max |error| <= rtol max |u|.
        discretization: as of DriftDiffusion.

    Raises:
        ConfigError: if the manifold is not compact, or an argument is no function.
        DataError: if h, c or k is not positive somewhere, with the place.

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> slow = af.heat_flow(af.Circle(), lambda x: 4.0 + 0.0 * x[0])  # a circle of radius 2
        >>> np.round(slow.spectrum(3).eigenvalues, 10) + 0.0
        array([0.  , 0.25, 0.25])
    """
    expansion = HeatExpansion(
        check_manifold(manifold),
        metric=check_function(metric, "metric"),
        specific_heat=_function(specific_heat, "specific_heat"),
        conductivity=_function(conductivity, "conductivity"),
    )
    return HeatFlow(expansion, rtol=check_tolerance(rtol, "rtol"), discretization=discretization)


def heat_equation_of(attention: Attention, density: Density) -> HeatEquation:
    """Return the heat equation that an attention is, as DriftDiffusion.as_heat_flow says."""
    manifold, attention = density.manifold, attention.local(density.manifold.dim)
    cost = attention.pseudometric
    if not cost.is_symmetric:
        raise ConfigError(
            f"{type(cost).__name__} is not known to be symmetric, and a heat flow is reversible. Say `is_symmetric` if "
            "it is."
        )
    if manifold.dim == 2:
        _require_uniform(attention, density)
    power = 0.0 if manifold.dim == 2 else 4.0 / (manifold.dim - 2)

    def metric(x: jax.Array) -> jax.Array:
        frame, local = manifold.tangent_frame(x), _induced(attention, density, x)
        return jnp.exp(power * _log_density(attention, density, x, local)) * (frame @ local @ frame.T)

    def factor(x: jax.Array) -> jax.Array:
        return jnp.exp(power * _log_density(attention, density, x, _induced(attention, density, x)))

    def specific_heat(x: jax.Array) -> jax.Array:
        return 1 / factor(x)

    return HeatEquation(*(functools.partial(_at, each) for each in (metric, factor, specific_heat)))


def _require_uniform(attention: Attention, density: Density) -> None:
    """Raise ConfigError unless p_G is constant."""
    compiled = jax.jit(jax.vmap(lambda x: _log_density(attention, density, x, _induced(attention, density, x))))
    values = np.asarray(compiled(nodes_of(density, SEARCHED)))
    if np.ptp(values) > _UNIFORM * max(1.0, np.abs(values).max()):
        raise ConfigError(
            "on a surface an attention is a heat flow, under any metric, only where the density is uniform for the "
            f"induced metric; here it varies by a factor of {np.exp(np.ptp(values)):.4g}. The second derivatives force "
            "the metric F G, and in two dimensions F Lap_FG = Lap_G, without drift. Use self-tuned attention, "
            "D = |x - y|^2 / (rho(x) rho(y)) with rho = p^(-1/2): it is a heat flow."
        )


def _induced(attention: Attention, density: Density, x: jax.Array) -> jax.Array:
    """Return the induced metric G in the frame at x, (m, m)."""
    manifold = density.manifold
    return induced_metric(attention.pseudometric, manifold.chart_at(x), jnp.zeros(manifold.dim, x.dtype))


def _log_density(attention: Attention, density: Density, x: jax.Array, local: jax.Array) -> jax.Array:
    """Return log p_G of the weighed keys at x, up to a constant, G = `local`."""
    log_p = at_point(density.log_density, x, scalar=True)
    return log_p + log_key_weight(attention, density, x) - log_volume(local)


def _at(function: Callable, x: object) -> jax.Array:
    return function(jnp.asarray(x))


def _function(given: float | Callable, name: str) -> Callable:
    if callable(given):
        return given
    number = check_positive(given, name)
    return lambda x: jnp.full((), number, x.dtype)
