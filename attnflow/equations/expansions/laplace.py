r"""The Laplace expansion of an attention: what it becomes as the bandwidth shrinks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from attnflow._checks import check_finite, check_tolerance
from attnflow._drawing import drawing
from attnflow._lifting import examine, map_blocks
from attnflow._tracing import Fixed
from attnflow.attention import Attention, check_attention
from attnflow.densities.base import Density, check_density
from attnflow.densities.pulled_back import PulledBack
from attnflow.equations.expansions.certificates import Minimizers, doubtful_queries, refusals_of_place, require_definite
from attnflow.equations.expansions.coefficients import (
    MANY_ROWS,
    AmbientCoefficients,
    RawCoefficients,
    applied,
    drifts,
    raw_coefficients,
    raw_coefficients_of_many,
)
from attnflow.equations.expansions.geodesics import check_rays, shoot
from attnflow.equations.expansions.key_density import asks_for_totals, check_limit, log_weighed_densities, require_alike
from attnflow.equations.expansions.leading_order import LeadingOrder, MinimizerAverages
from attnflow.equations.expansions.minimizers import MANY, SAME_POINT, Cover, Lowest, nodes_of, search
from attnflow.equations.expansions.refusals import Refusal, kinds_of, refuse
from attnflow.equations.expansions.second_order import ROWS, applied_twice, kurtosis_of, require_few, second_orders
from attnflow.equations.expansions.smoothness import refusals_of_smoothness, require_smooth_minimum
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.normalizations.through import Through as ThroughMap
from attnflow.precision import require_x64
from attnflow.pseudometrics.base import is_trusted
from attnflow.pseudometrics.scrutiny import check_cost, check_pairs
from attnflow.pseudometrics.through import Through

SEARCHED = 300  # queries at least at which a property of all of them is looked for


class LaplaceExpansion:
    r"""The small-bandwidth expansion of an attention at infinitely many points [RZ].

        A f(x) = f(y*) + eps (L f)(y*) + O(eps^2),   y*(x) the minimiser of D(x, .)
        L f = 1/2 tr(G^-1 Hess f) + b . grad f in chart_at(y*),   G = 1/2 Hess_y D

    The drift b sees the density p e^u, u the key weights of the normalisation as the bandwidth vanishes. Methods take
    one point (D,) or many (Q, D) and answer in the same shape.

    Args:
        attention: its pseudo-metric must be smooth in the key; its bandwidth is not used.
        density: p, the law of the keys.
        at_query: whether the minimiser is known to be the query; it is then not looked for.

    The minimiser is looked for from the nodes of a cover, so a well narrower than their distance may be missed: on the
    unit circle, the unit sphere and the flat torus T^2 Gaussian wells of a standard deviation of 0.001, 0.015 and 0.02
    are seen, on S^3 and T^3 of about 0.1. At the minimiser the cost is compared on both sides with its derivatives.
    `minimizers` says what is known of it; where there are several, `leading_order` answers what A f tends to.

    Raises:
        ConfigError: from any method, where the minimiser is not unique or degenerate (G not positive definite), the
            cost is not smooth there, or the normalisation weighs keys by how much they are attended and it is not by
            their own surroundings.
        DataError: if the cost is not a scalar function of two points, not what its class says between some points, or,
            from any method, no number for a query and a key.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> density = af.VonMisesFisher(af.Sphere(2), mean_direction=[0, 0, 1], concentration=0.8)
        >>> limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
        >>> x = np.array([0.6, 0.0, 0.8])
        >>> np.round(limit.drift(x) + 0.0, 12)  # grad log p = 0.8 (e_3 - x_3 x)
        array([-0.384,  0.   ,  0.288])
    """

    def __init__(self, attention: Attention, density: Density, *, at_query: bool = False) -> None:
        require_x64()
        check_limit(check_attention(attention, known=True))
        self.density = check_density(density)
        self.attention = attention.local(density.manifold.dim)
        self._given = attention
        self.manifold: Manifold = density.manifold
        self._are_weights_known = False
        self._at_query = at_query or attention.pseudometric.is_definite
        check_cost(attention.pseudometric, density.manifold.ambient_dim)
        if not at_query and not is_trusted(attention.pseudometric):  # whoever says `at_query` has looked
            nodes = nodes_of(density, SEARCHED)
            check_pairs(attention.pseudometric, nodes)
            if self._at_query:
                self._require_definite(nodes)

    def __repr__(self) -> str:
        return f"LaplaceExpansion({self._given!r}, {self.density!r})"

    def minimizer(self, x: object) -> np.ndarray:
        """Return y*(x), the global minimiser of D(x, .)."""
        return self._answer(x, lambda points: self._minimize(points).points)

    def gap(self, x: object) -> np.ndarray:
        """Return D/2 at the next local minimum minus D/2 at y*, infinite if none was found.

        It adds an error of order e^{-gap/eps}. A minimum is found if the lowest of some 20 nodes of the cover around it
        lies in its well: wells narrower than their distance, and shallow ones on a slope that falls by more than their
        depth from one side of such a cell to the other, are not.
        """
        return self._answer(x, lambda points: self._minimize(points).gaps)

    def minimizers(self, x: object) -> Minimizers:
        """Return y*(x) and what is known of it: whether it is unique, inside and non-degenerate, and the next one.

        Where the expansion does not hold that is said, not raised.

        Args:
            x: the queries, (Q, D), or one query (D,).

        Example:
            >>> import numpy as np, attnflow as af
            >>> af.enable_x64()
            >>> cost = af.CustomPseudoMetric(lambda x, y: 2 * (1 - y[0] ** 2) - x[0] * y[0])
            >>> limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), af.Uniform(af.Circle()))
            >>> limit.minimizers([[1.0, 0.0], [0.0, 1.0]])  # wells at y = (1, 0) and (-1, 0)
            Minimizers(1 regular, 1 several; gap >= 1: less than 1e-8 of A f from others for bandwidths up to 0.0543; \
curvature >= 2.5)
        """
        points = self.manifold.check(np.atleast_2d(check_finite(x, "x")), "x")
        found = self._lowest(points)
        faults = self._raw_as_found(points, found.points).faults
        refusals = self._refusals_of_place(found, points) + refusals_of_smoothness(faults, self._cost_name, points)
        return Minimizers(found.points, found.gaps, faults.smallest, kinds_of(refusals, len(points)))

    def metric(self, x: object) -> np.ndarray:
        """Return the induced metric G at y*(x) as a tensor (D, D) of R^D that vanishes on normal vectors."""
        return self._answer(x, lambda points: np.linalg.pinv(self.coefficients(points).diffusions, hermitian=True))

    def chart_coefficients(self, x: object) -> np.ndarray:
        """Return b (m,) with L f = 1/2 tr(G^-1 Hess f) + b . grad f in chart_at(y*(x))."""
        return self._answer(x, lambda points: self._raw(points, self._minimize(points).points).drift)

    def drift(self, x: object) -> np.ndarray:
        """Return the tangent vector Z (D,) with L f = 1/2 Lap_G f + <Z, grad f>_G, where the minimiser is the query.

        Raises:
            ConfigError: if the minimiser is not the query.
        """

        def at_queries(points: np.ndarray) -> np.ndarray:
            self.require_fixed_minimizer(points)
            self._raw(points, points)  # refuses a degenerate G before it is inverted
            return map_blocks(functools.partial(drifts, self.attention, self.density), points)

        return self._answer(x, at_queries)

    def geodesics(self, x: object, directions: object, *, lengths: object, rtol: float = 1e-6) -> np.ndarray:
        """Return points (K, S, D) of geodesics of the induced metric G, where the minimiser is the query.

        Args:
            x: where they start, (K, D), or one point (D,) for all.
            directions: tangent vectors (K, D) along which they start, of any length.
            lengths: at which points are returned, in G, (S,), not negative.
            rtol: error <= rtol times the longest way.

        Raises:
            ConfigError: if the minimiser is not the query, or a length is negative.
            DataError: if a direction is not tangent, or zero, or the shapes do not fit.
            ConvergenceError: if the steps would be too many.
        """
        starts, ways, reach = check_rays(x, directions, lengths, manifold=self.manifold)
        self.require_fixed_minimizer(starts)
        self._raw(starts, starts)  # refuses a degenerate G before it is inverted
        return shoot(
            self.attention.pseudometric, self.manifold, starts=starts, directions=ways, lengths=reach,
            rtol=check_tolerance(rtol, "rtol"),
        )  # fmt: skip

    def plot(self, at: object, ax: Any = None) -> Any:
        """Draw the metric and the drift at points of R^2 or R^3, where the minimiser is the query; return the axes.

        Ellipses are tangent vectors of one length |v|_G, arrows Z; in space the far side is faint, without arrows.

        Args:
            at: points (Q, D) that lie about evenly, at least two.
            ax: axes of matplotlib, in R^3 of three dimensions; new ones in a figure of their own unless given.

        Raises:
            ConfigError: if the minimiser is not the query, or `ax` is something else.
            DataError: if the points are in another space, or all the same.
        """
        return drawing("expansions").expansion(at, self.metric(at), self.drift(at), ax)

    def generator(self, f: Callable, at: object) -> np.ndarray:
        """Return (L f)(y*(x)): (Q,) for a scalar f, (Q, c) for a vector f of one ambient point.

        Args:
            f: (D,) -> scalar or (c,), in jax.numpy, twice differentiable.
            at: the queries x, (Q, D), or one query (D,).

        Raises:
            DataError: if a derivative of f is NaN or Inf.
        """

        def generator(points: np.ndarray) -> np.ndarray:
            known = examine(f, points)
            minimizers = self._minimize(points).points
            raw = self._raw(points, minimizers)
            compiled = functools.partial(applied, known, Fixed(self.manifold))
            return check_finite(map_blocks(compiled, raw.inverse_metric, raw.drift, minimizers), "L f")

        return self._answer(at, generator, name="at")

    def bias(self, f: Callable, at: object) -> np.ndarray:
        r"""Return B f, the next term of the expansion: what the bandwidth adds to the generator, to first order.

            A f(x) = f(y*) + eps (L f)(y*) + eps^2 B f(x) + O(eps^3),   (A f - f)/eps = L f + eps B f where y*(x) = x

        B is of fourth order in f and of third in p. It does not depend on the bandwidth.

        Args:
            f: (D,) -> scalar or (c,), in jax.numpy, four times differentiable, as p is three and the cost five times.
            at: the queries x, (Q, D), or one query (D,).

        Returns:
            (Q,) for a scalar f, (Q, c) for a vector f.

        Raises:
            ConfigError: in more than five dimensions.
            DataError: if a derivative of f, p or the cost is NaN or Inf.

        Example:
            >>> import attnflow as af
            >>> af.enable_x64()
            >>> limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Uniform(af.Circle()))
            >>> round(float(limit.bias(lambda x: x[0], at=[1.0, 0.0])), 12)  # I_1/I_0 = 1 - eps/2 - eps^2/8
            -0.125
        """
        require_few(self.manifold)
        kurtosis = kurtosis_of(self._given, self.manifold.dim)

        def bias(points: np.ndarray) -> np.ndarray:
            known = examine(f, points)
            minimizers = self._minimize(points).points
            self._raw(points, minimizers)  # refuses a degenerate or rough minimum
            program = functools.partial(second_orders, self.attention, self.density, kurtosis)
            found = map_blocks(program, points, minimizers, block=ROWS)
            compiled = functools.partial(applied_twice, known, Fixed(self.manifold))
            return check_finite(map_blocks(compiled, *found, minimizers, block=ROWS), "B f")

        return self._answer(at, bias, name="at")

    def leading_order(self, f: Callable, at: object, *, rtol: float = 1e-8) -> LeadingOrder:
        r"""Return what A f tends to as the bandwidth vanishes, wherever the cost is least [RZ, Theorem 6].

            A f(x) -> int f w / int w over A_x,   w = p e^u det(c_n)^{-1/2},   up to O(eps)

        A_x is where D(x, .) is least, c_n the Hessian of D/2 in directions normal to it, and u the key weights. So it
        is f(y*(x)) where y* is the only one; several are averaged over, and so are closed curves of them, up to 16, and
        the whole of M where D(x, .) is constant. Curves are seen from the nodes of a cover, see the class: one whose
        distance from another is less than that of two nodes may be missed.

        Args:
            f: (D,) -> scalar or (c,), in jax.numpy, continuous.
            at: the queries x, (Q, D), or one query (D,).
            rtol: of integrals over curves and over M: error <= rtol times the largest |f| averaged.

        Returns:
            A LeadingOrder: its `values`, and what they average over.

        Raises:
            ConfigError: if minimisers form anything else, or a degenerate one is among them.
            ConvergenceError: if an integral does not settle to `rtol`.

        Example:
            >>> import numpy as np, attnflow as af
            >>> af.enable_x64()
            >>> cost = af.CustomPseudoMetric(lambda x, y: (x[2] - y[2]) ** 2)  # least on the parallel through x
            >>> limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), af.Uniform(af.Sphere(2)))
            >>> limit.leading_order(lambda y: y[0] ** 2, at=[[0.0, 0.6, 0.8]]).values
            array([0.18])
        """
        points = self.manifold.check(np.atleast_2d(check_finite(at, "at")), "at")
        known = examine(f, points)
        self._require_weights_by_surroundings()
        found = search(self.attention.pseudometric, self.density, self._cover, points, most=MANY)
        refuse(self._refusals_of_place(found.lowest(), points, several=True))
        averages = MinimizerAverages(
            self.attention, self.density, self._cover, known, rtol=check_tolerance(rtol, "rtol")
        )
        return averages.at(points, found)

    def coefficients(self, points: np.ndarray) -> AmbientCoefficients:
        """Return everything that L is at many queries (Q, D), as tensors of R^D."""
        minimizers = self._minimize(points).points
        raw = self._raw(points, minimizers)
        return AmbientCoefficients(minimizers, raw.ambient_diffusion, raw.ambient_drift)

    def log_law(self, points: np.ndarray) -> np.ndarray | None:
        """Return log rho (Q,), up to a constant, with L reversible with respect to rho dvol; None if that is not known.

        For a symmetric cost rho is p^^2 / sqrt(det G) in a chart, p^ the density of the weighed keys.
        """
        if not self.attention.pseudometric.is_symmetric:
            return None
        raw = self._raw(points, self._minimize(points).points)
        log_p = map_blocks(functools.partial(log_weighed_densities, self.attention, self.density), points)
        return 2 * log_p + 0.5 * np.linalg.slogdet(raw.inverse_metric)[1]

    def pulled_back(self, density: PulledBack) -> LaplaceExpansion:
        """Return the same generator, whose minimiser is the query, on the manifold that is mapped to M."""
        attention = self.attention.replace(
            pseudometric=Through(self.attention.pseudometric, density.image),
            normalization=ThroughMap(self.attention.normalization, density.image),
        )
        expansion = LaplaceExpansion(attention, density, at_query=True)
        expansion._given = self._given  # its profile is the same
        return expansion

    def require_fixed_minimizer(self, points: np.ndarray) -> None:
        """Raise ConfigError, naming the jump, unless y*(x) = x at all points."""
        jump = np.linalg.norm(self._minimize(points).points - points, axis=1)
        if jump.max() > SAME_POINT:
            row = int(np.argmax(jump))
            raise ConfigError(
                f"the minimiser of {self._cost_name} is not the query: y*(x) jumps by {jump[row]:.3g} from "
                f"x = {np.round(points[row], 4).tolist()}. Attention then tends to f(y*(x)), not to a drift-diffusion. "
                "Use LaplaceExpansion."
            )

    def _require_definite(self, nodes: np.ndarray) -> None:
        """Raise ConfigError if the cost is zero elsewhere too, at queries where it is low far away."""
        cost = self.attention.pseudometric
        doubtful = doubtful_queries(cost, self.density, nodes)
        if len(doubtful):
            found = search(cost, self.density, self._cover, doubtful)
            require_definite(found, doubtful, density=self.density, cost=self._cost_name)

    @property
    def _cost_name(self) -> str:
        return type(self.attention.pseudometric).__name__

    def _answer(self, x: object, method: Callable[[np.ndarray], np.ndarray], *, name: str = "x") -> np.ndarray:
        array = check_finite(x, name)
        result = method(self.manifold.check(np.atleast_2d(array), name))
        return result[0] if array.ndim == 1 else result

    def _minimize(self, points: np.ndarray) -> Lowest:
        found = self._lowest(points)
        if not self._at_query:
            refuse(self._refusals_of_place(found, points))
        return found

    def _lowest(self, points: np.ndarray) -> Lowest:
        if self._at_query:
            return Lowest(points, np.full(len(points), np.inf))
        return search(self.attention.pseudometric, self.density, self._cover, points).lowest()

    def _refusals_of_place(self, found: Lowest, points: np.ndarray, *, several: bool = False) -> list[Refusal]:
        return refusals_of_place(
            found, points, cost=self._cost_name, cover=self._cover, manifold=self.manifold, several=several
        )

    @functools.cached_property
    def _cover(self) -> Cover:
        return Cover.of(self.density)

    def _raw(self, points: np.ndarray, minimizers: np.ndarray) -> RawCoefficients:
        found = self._raw_as_found(points, minimizers)
        require_smooth_minimum(found.faults, self._cost_name, points)
        return found

    def _raw_as_found(self, points: np.ndarray, minimizers: np.ndarray) -> RawCoefficients:
        self._require_weights_by_surroundings()
        program = raw_coefficients if len(points) <= MANY_ROWS else raw_coefficients_of_many
        return map_blocks(functools.partial(program, self.attention, self.density, self._extent), points, minimizers)

    @functools.cached_property
    def _extent(self) -> np.ndarray:
        """How large M is, about: the scale of the steps of differences."""
        nodes = nodes_of(self.density, 64)
        return np.linalg.norm(nodes - nodes.mean(axis=0), axis=1).max()

    def _require_weights_by_surroundings(self) -> None:
        """Raise ConfigError, once, if keys are weighed by more than their surroundings.

        Where they are weighed by how much they are attended, the total of a key y is that of the cost x -> D(x, y): it
        must be least at x = y, and alike for all keys.
        """
        if self._are_weights_known:
            return
        if asks_for_totals(self.attention, self.density) and not self.attention.pseudometric.is_definite:
            nodes = nodes_of(self.density, SEARCHED)
            require_alike(self.attention, nodes, cost=self._cost_name)
            exchanged = self.attention.exchanged().replace(normalization="softmax")
            LaplaceExpansion(exchanged, self.density).require_fixed_minimizer(nodes)
        self._are_weights_known = True
