"""Attention at infinitely many points and vanishing bandwidth: a drift-diffusion.

The generator comes from the Laplace expansion alone. Nothing here knows a sum over points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from attnflow._checks import check_tolerance
from attnflow._lifting import examine
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.diffusion import Diffusion
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.expansions.laplace import SEARCHED, LaplaceExpansion
from attnflow.equations.expansions.minimizers import nodes_of
from attnflow.equations.heads import HeadsDiffusion
from attnflow.equations.heat_flow import HeatEquation, heat_equation_of
from attnflow.equations.solvers.base import Discretization
from attnflow.equations.solvers.kinds import choose_discretization
from attnflow.heads import MultiHead


class DriftDiffusion(Diffusion):
    r"""The limit of attention as N -> infinity, then eps -> 0: the semigroup e^{tL} of a drift-diffusion [RZ].

        d_t u = L u,   L f = 1/2 tr(G^-1 Hess f) + b . grad f,   G = 1/2 Hess_y D at y = x

    Everything is offered on the circle, T^1 to T^3, S^2, S^3, intervals, products of these, R^1 to R^3 with a Gaussian
    density, manifolds given by a map from one of these, and triangulated surfaces; elsewhere only `generator`. The
    resolution grows until two agree to `rtol` (degrees n and n + 4 of Spectral(); on triangulated surfaces see
    FiniteElements); what is left is declared as `solver_error`. On compact manifolds it is the maximum over nodes that
    oversample M. On R^d functions may grow, so it is the L2 norm in the weights of `at` where it brings weights and
    the maximum over its points otherwise.

    Two resolutions can agree by accident, so f, p and the cost are also looked at closely: f and log p at 2^16 nodes
    on curves and 2^17 on surfaces, which see a smooth feature of relative size 1e-8 down to a width of about 1e-5 and
    .002; L at 2^14, and where log p bends most; the solution at times between those asked. Narrower features may be
    missed. What no basis resolves is an error, but for an f too rough for all of them, such as a narrow bump: it is
    answered at times that have smoothed it.

    Args:
        attention: its pseudo-metric, whose minimiser must be the query; the bandwidth is only read by `layer`. Of a
            MultiHead L f = sum_h (L_h f) W_h, for a vector f.
        density: p, the law of the keys.
        rtol: max |error| <= rtol max |u|, over the times asked and the initial time.
        discretization: how it is solved, such as Spectral(); "auto" takes the first that serves the density. The name
            of a basis, as in Spectral, stands for Spectral(name).

    Raises:
        ConfigError: if `rtol` is not positive, `attention` or `density` is something else, the minimiser of the
            pseudo-metric is not the query, or the discretization does not serve the density.

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> circle = af.Circle()
        >>> limit = af.DriftDiffusion(af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Uniform(circle))
        >>> flow = limit.evolve(lambda x: x[1], times=[0.0, 2.0], at=np.array([[0.6, 0.8]]))
        >>> np.round(flow.values[:, 0] / 0.8, 6)  # e^{-t/2}
        array([1.      , 0.367879])
    """

    def __new__(cls, attention: Attention | MultiHead, *given: Any, **options: Any) -> Any:
        """Return the limit of one attention, or of several heads."""
        if isinstance(attention, MultiHead):
            return HeadsDiffusion(attention, *given, **options)
        return super().__new__(cls)

    def __init__(
        self,
        attention: Attention,
        density: Density,
        *,
        rtol: float = 1e-8,
        discretization: str | type[Basis] | Discretization = "auto",
    ) -> None:
        self.rtol = check_tolerance(rtol, "rtol")
        self.attention = attention
        self.density = density
        self._search = self._expansion = LaplaceExpansion(attention, density)
        if not attention.pseudometric.is_definite:
            self._search.require_fixed_minimizer(nodes_of(density, SEARCHED))
            # Searched for, a minimiser is found to 1e-8 only.
            self._expansion = LaplaceExpansion(attention, density, at_query=True)
        self._discretization = discretization
        chosen = choose_discretization(discretization, density=density)
        self._solver_or_none = None if chosen is None else chosen.solver(self._expansion, density, rtol=self.rtol)

    def __repr__(self) -> str:
        return f"DriftDiffusion({self.attention!r}, {self.density!r})"

    def __reduce__(self) -> tuple:
        """Return how to make the solver anew: its matrices are not pickled."""
        return _remake, (self.attention, self.density, self.rtol, self._discretization)

    def layer(self, f: Callable, at: object = None) -> np.ndarray:
        """Return one layer in the limit, e^{eps L} f with eps the bandwidth: (Q,), or (Q, c) for a vector f."""
        return self.evolve(f, times=self.attention.bandwidth, at=at).values[0]

    def generator(self, f: Callable, at: object = None) -> np.ndarray:
        """Return L f at points (Q, D) of any manifold, by automatic differentiation: (Q,), or (Q, c) for a vector f."""
        points = self._queries(at).points
        examine(f, points)
        self._search.require_fixed_minimizer(points)
        return self._expansion.generator(f, at=points)

    def as_heat_flow(self) -> HeatEquation:
        r"""Return the heat equation that L is: 2 L = (1/c) Lap_h, a flow under a metric h with specific heat c [RZ].

            h = p_G^{4/(m-2)} G,   1/c = p_G^{4/(m-2)},   p_G the density of the keys in the induced metric G

        It is e^{tL} = heat_flow(manifold, h, specific_heat=c, conductivity=1/2), whose equilibrium is c dvol_h.

        Raises:
            ConfigError: if the pseudo-metric is not known to be symmetric, or m = 2 and p_G is not constant: then L is
                no heat flow under any metric.

        Example:
            >>> import jax.numpy as jnp, numpy as np, attnflow as af
            >>> af.enable_x64()
            >>> p = af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)
            >>> limit = af.DriftDiffusion(af.Attention(af.SquaredDistance(), bandwidth=0.1), p)
            >>> heat = limit.as_heat_flow()
            >>> x = np.array([0.6, 0.8])
            >>> bool(np.allclose(heat.metric_factor(x), np.exp(-4 * p.log_density(x))))  # p^-4 on curves
            True
        """
        return heat_equation_of(self.attention, self.density)


def _remake(
    attention: Attention, density: Density, rtol: float, discretization: str | type[Basis] | Discretization
) -> DriftDiffusion:
    """Return a solver from what it was made of."""
    return DriftDiffusion(attention, density, rtol=rtol, discretization=discretization)
