r"""The Laplace expansion of an attention: what it becomes as the bandwidth shrinks."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import numpy as np

from attnflow._checks import check_finite, check_tolerance
from attnflow._lifting import evaluate_compiled, examine, map_blocks
from attnflow._tracing import Fixed
from attnflow.attention import Attention, check_attention
from attnflow.densities.base import Density, check_density
from attnflow.densities.pulled_back import PulledBack
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
from attnflow.equations.expansions.key_density import asks_for_totals, log_weighed_densities
from attnflow.equations.expansions.minimizers import SAME_POINT, Cover, Minimizers, nodes_of, search
from attnflow.equations.expansions.smoothness import require_smooth_minimum
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.normalizations.through import Through as ThroughMap
from attnflow.precision import require_x64
from attnflow.pseudometrics.base import check_cost, check_pairs, is_trusted
from attnflow.pseudometrics.through import Through

SEARCHED = 300  # queries at least at which a property of all of them is looked for
_RUNAWAY = 10.0  # so many times further out than the whole cover, a search has found that there is no minimum
_TIE = 1e-12  # a smaller gap in D/2 between two minimisers is round-off
_LEVEL = 1e-9  # by which D(y, y) may differ between keys


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

    Raises:
        ConfigError: from any method, where the minimiser is not unique or degenerate (G not positive definite), the
            cost is not smooth there, or the normalisation weighs keys by how much they are attended and it is not by
            their own surroundings.
        DataError: if the cost is not a scalar function of two points, or not what its class says between some points.

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
        self.attention = check_attention(attention, known=True)
        self.density = check_density(density)
        self.manifold: Manifold = density.manifold
        self._are_weights_known = False
        self._at_query = at_query or attention.pseudometric.vanishes_on_diagonal
        check_cost(attention.pseudometric, density.manifold.ambient_dim)
        if not at_query and not is_trusted(attention.pseudometric):  # whoever says `at_query` has looked
            check_pairs(attention.pseudometric, nodes_of(density, SEARCHED))

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
        return LaplaceExpansion(attention, density, at_query=True)

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

    @property
    def _cost_name(self) -> str:
        return type(self.attention.pseudometric).__name__

    def _answer(self, x: object, method: Callable[[np.ndarray], np.ndarray], *, name: str = "x") -> np.ndarray:
        array = check_finite(x, name)
        result = method(self.manifold.check(np.atleast_2d(array), name))
        return result[0] if array.ndim == 1 else result

    def _minimize(self, points: np.ndarray) -> Minimizers:
        if self._at_query:
            return Minimizers(points, np.full(len(points), np.inf))
        found = search(self.attention.pseudometric, self.density, self._cover, points)
        distances = np.linalg.norm(found.points, axis=1)
        if not distances.max() < _RUNAWAY * np.linalg.norm(self._cover.nodes, axis=-1).max():
            # Charts of compact manifolds may be lines and planes that leave them, as those of intervals and triangles.
            is_left = self.manifold.is_compact
            where = f"along the charts of {self.manifold}, which leave it," if is_left else f"on {self.manifold}"
            raise ConfigError(
                f"{self._cost_name} has no minimiser for the query "
                f"{np.round(points[np.argmax(distances)], 4).tolist()}: {where} it decreases without end. "
                "The expansion needs a unique one."
            )
        beyond = self.manifold.residual(found.points) if self.manifold.has_boundary else np.zeros(len(points))
        if beyond.max() > SAME_POINT:
            row = int(np.argmax(beyond))
            raise ConfigError(
                f"{self._cost_name} is least beyond the end of {self.manifold} for the query "
                f"{np.round(points[row], 4).tolist()}, at {np.round(found.points[row], 4).tolist()}. The expansion "
                "needs a minimiser inside."
            )
        if found.gaps.min() < _TIE:
            raise ConfigError(
                f"{self._cost_name} has several global minimisers, or a flat one, for the query "
                f"{np.round(points[np.argmin(found.gaps)], 4).tolist()}: D/2 differs by {found.gaps.min():.3g} between "
                "two of them. The expansion needs a unique one."
            )
        return found

    @functools.cached_property
    def _cover(self) -> Cover:
        return Cover.of(self.density)

    def _raw(self, points: np.ndarray, minimizers: np.ndarray) -> RawCoefficients:
        self._require_weights_by_surroundings()
        program = raw_coefficients if len(points) <= MANY_ROWS else raw_coefficients_of_many
        compiled = functools.partial(program, self.attention, self.density, self._extent)
        found: RawCoefficients = map_blocks(compiled, points, minimizers)
        require_smooth_minimum(found.faults, self._cost_name, points)
        return found

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
        if asks_for_totals(self.attention, self.density) and not self.attention.pseudometric.vanishes_on_diagonal:
            self._require_alike_totals()
        self._are_weights_known = True

    def _require_alike_totals(self) -> None:
        nodes = nodes_of(self.density, SEARCHED)
        depth = evaluate_compiled(functools.partial(_on_diagonal, self.attention), nodes, name=self._cost_name)
        if np.ptp(depth) > _LEVEL * max(1.0, np.abs(depth).max()):
            raise ConfigError(
                f"{type(self.attention.normalization).__name__} weighs a key by how much it is attended, but for "
                f"{self._cost_name} that is not a matter of its surroundings: D(y, y) varies by {np.ptp(depth):.3g}. "
                "Subtract D(y, y) from the cost."
            )
        exchanged = self.attention.exchanged().replace(normalization="softmax")
        LaplaceExpansion(exchanged, self.density).require_fixed_minimizer(nodes)


@jax.jit
def _on_diagonal(attention: Attention, points: jax.Array) -> jax.Array:
    return jax.vmap(lambda y: attention.pseudometric(y, y))(points)
