r"""The Laplace expansion of an attention: what it becomes as the bandwidth shrinks, by automatic differentiation.

With S = D/2, y* the global minimiser of S(x, .), and, in any chart around y*, G = d^2 S and T = d^3 S at y* and
p^ = p sqrt(det g) the density in the chart, Laplace's method gives [RZ]

    A f(x) = f(y*) + eps (L f)(y*) + O(eps^2),
    L f = 1/2 G^{ij} d_i d_j f + ( G^{kl} d_k log p^ - 1/2 G^{ij} T_ijk G^{kl} ) d_l f.

Nothing is derived by hand per pseudo-metric: y*, G and T come from derivatives of D in a local chart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from attnflow._checks import check_finite
from attnflow._lifting import check_function, map_blocks
from attnflow._tracing import Fixed
from attnflow.attention import Attention, check_attention
from attnflow.densities.base import Density, check_density
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.precision import require_x64
from attnflow.pseudometrics.base import PseudoMetric

_COVER_NODES = 1000  # at least so many nodes of the cover of M on which the global minimiser is looked for
_NEWTON_STEPS = 30
_STEP_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.0)
_SHORT_STEP = 1e-5
_CANDIDATES = 3
_RUNAWAY = 10.0  # so many times further out than the whole cover, a search has found that there is no minimum
_SAME_POINT = 1e-6  # two refined minimisers closer than this are one
_TIE = 1e-12  # a smaller gap in D/2 between two minimisers is round-off


class ChartCoefficients(NamedTuple):
    """L f = 1/2 tr(inverse_metric Hess f) + drift . grad f, in the coordinates of a chart."""

    inverse_metric: jax.Array
    drift: jax.Array


class AmbientCoefficients(NamedTuple):
    """What L is at many queries, as tensors of R^D on the tangent space at the minimiser.

    Attributes:
        minimizers: y*(x), (Q, D).
        diffusions: C = E G^-1 E', (Q, D, D).
        drifts: E b, (Q, D), with L f = 1/2 tr(C Hess f) + <E b, grad f>.
    """

    minimizers: np.ndarray
    diffusions: np.ndarray
    drifts: np.ndarray


def chart_coefficients(
    cost: Callable[[jax.Array], jax.Array], log_density: Callable[[jax.Array], jax.Array], minimizer: jax.Array
) -> ChartCoefficients:
    """The generator in one chart.

    Args:
        cost: u (m,) -> S, half the pseudo-metric in the chart.
        log_density: u (m,) -> log p^, the density with respect to du.
        minimizer: u* (m,), where the gradient of `cost` vanishes.
    """
    inverse = jnp.linalg.inv(jax.hessian(cost)(minimizer))
    third = jax.jacfwd(jax.hessian(cost))(minimizer)
    drift = inverse @ jax.grad(log_density)(minimizer) - 0.5 * inverse @ jnp.einsum("ij,ijk->k", inverse, third)
    return ChartCoefficients(inverse, drift)


def log_volume_element(chart: Callable[[jax.Array], jax.Array], u: jax.Array) -> jax.Array:
    """log sqrt(det g) of an embedding chart, g = J'J."""
    jacobian = jax.jacfwd(chart)(u)
    return 0.5 * jnp.linalg.slogdet(jacobian.T @ jacobian)[1]


def _local_coefficients(pseudometric: PseudoMetric, density: Density, x: jax.Array, y: jax.Array) -> ChartCoefficients:
    """The generator in chart_at(y), y the minimiser of the cost of the query x."""
    chart = density.manifold.chart_at(y)
    return chart_coefficients(
        cost=lambda u: 0.5 * pseudometric(x, chart(u)),
        log_density=lambda u: density.log_density(chart(u)) + log_volume_element(chart, u),
        minimizer=jnp.zeros(density.manifold.dim, y.dtype),
    )


def _descend(manifold: Manifold, cost: Callable[[jax.Array], jax.Array], y: jax.Array) -> jax.Array:
    """Damped Newton on M. The Hessian is made positive and no long step raises the cost, so no saddle attracts.

    Short steps are taken in full: over them the cost changes by round-off only, which would stop the search at 1e-8.
    """

    def step(_: int, y: jax.Array) -> jax.Array:
        chart = manifold.chart_at(y)
        origin = jnp.zeros(manifold.dim, y.dtype)

        def local(u: jax.Array) -> jax.Array:
            return cost(chart(u))

        eigenvalues, axes = jnp.linalg.eigh(jax.hessian(local)(origin))
        scale = jnp.maximum(jnp.abs(eigenvalues), 1e-6)
        direction = -axes @ ((axes.T @ jax.grad(local)(origin)) / scale)
        lengths = jnp.asarray(_STEP_LENGTHS, y.dtype)
        trials = jax.vmap(lambda length: chart(length * direction))(lengths)
        best = trials[jnp.nanargmin(jax.vmap(cost)(trials))]
        return jnp.where(jnp.sum(direction**2) < _SHORT_STEP**2, trials[0], best)

    return jax.lax.fori_loop(0, _NEWTON_STEPS, step, y)


@jax.jit
def _minimizers(
    pseudometric: PseudoMetric, density: Density, cover: jax.Array, neighbours: jax.Array, queries: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Global minimisers of S(x, .) and the gap to the next local minimum.

    Nodes of the cover that lie below all their neighbours are candidates; the lowest few are refined.
    """

    def one(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        def cost(y: jax.Array) -> jax.Array:
            return 0.5 * pseudometric(x, y)

        on_cover = jax.vmap(cost)(cover)
        is_local_minimum = on_cover <= jnp.min(on_cover[neighbours], axis=1)
        _, lowest = jax.lax.top_k(-jnp.where(is_local_minimum, on_cover, jnp.inf), _CANDIDATES)
        refined = jax.vmap(lambda y: _descend(density.manifold, cost, y))(cover[lowest])
        costs = jax.vmap(cost)(refined)
        best = jnp.nanargmin(costs)
        elsewhere = jnp.linalg.norm(refined - refined[best], axis=1) > _SAME_POINT
        return refined[best], jnp.min(jnp.where(elsewhere, costs - costs[best], jnp.inf))

    return jax.lax.map(one, queries, batch_size=64)


@jax.jit
def _coefficients(
    pseudometric: PseudoMetric, density: Density, queries: jax.Array, minimizers: jax.Array
) -> tuple[jax.Array, ...]:
    """Per query: the smallest eigenvalue of G, G^-1 and b in the frame, and both as tensors of R^D."""

    def one(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        local = _local_coefficients(pseudometric, density, x, y)
        frame = density.manifold.tangent_frame(y)
        smallest = jnp.min(1 / jnp.linalg.eigvalsh(local.inverse_metric))
        ambient = frame @ local.inverse_metric @ frame.T, frame @ local.drift
        return smallest, local.inverse_metric, local.drift, *ambient

    return jax.vmap(one)(queries, minimizers)


@jax.jit
def _drifts(pseudometric: PseudoMetric, density: Density, queries: jax.Array) -> jax.Array:
    """Z = b - 1/2 div_G G^-1 in R^D, for costs whose minimiser is the query: the part of b that is not 1/2 Lap_G."""
    manifold = density.manifold

    def one(x: jax.Array) -> jax.Array:
        chart = manifold.chart_at(x)
        origin = jnp.zeros(manifold.dim, x.dtype)

        def metric(u: jax.Array) -> jax.Array:
            return jax.hessian(lambda v: 0.5 * pseudometric(chart(u), chart(v)))(u)

        def flux(u: jax.Array) -> jax.Array:  # sqrt(det G) G^-1, whose divergence over sqrt(det G) is Lap_G's drift
            g = metric(u)
            return jnp.sqrt(jnp.linalg.det(g)) * jnp.linalg.inv(g)

        divergence = jnp.einsum("iji->j", jax.jacfwd(flux)(origin)) / jnp.sqrt(jnp.linalg.det(metric(origin)))
        drift = _local_coefficients(pseudometric, density, x, x).drift - 0.5 * divergence
        return manifold.tangent_frame(x) @ drift

    return jax.vmap(one)(queries)


@functools.partial(jax.jit, static_argnames=("f", "manifold"))
def _apply(
    f: Callable, manifold: Fixed, inverse_metrics: jax.Array, drifts: jax.Array, minimizers: jax.Array
) -> jax.Array:
    """L f = 1/2 tr(G^-1 Hess f) + b . grad f in chart_at(y*), row by row."""

    def one(inverse_metric: jax.Array, drift: jax.Array, y: jax.Array) -> jax.Array:
        chart = manifold.content.chart_at(y)
        origin = jnp.zeros(manifold.content.dim, y.dtype)

        def local(u: jax.Array) -> jax.Array:
            return jnp.asarray(f(chart(u)), y.dtype)

        second = jnp.sum(jax.jacfwd(jax.jacfwd(local))(origin) * inverse_metric, axis=(-2, -1))
        return 0.5 * second + jax.jacfwd(local)(origin) @ drift

    return jax.vmap(one)(inverse_metrics, drifts, minimizers)


def _cover(density: Density) -> tuple[np.ndarray, np.ndarray]:
    """Quadrature nodes spread over M and the indices of the nearest neighbours of each."""
    degree = 4
    nodes = density.quadrature(degree).points
    while len(nodes) < _COVER_NODES:
        degree = 3 * degree // 2
        nodes = density.quadrature(degree).points
    n_neighbours = 3**density.manifold.dim - 1
    _, neighbours = cKDTree(nodes).query(nodes, k=n_neighbours + 1)
    return nodes, np.asarray(neighbours)[:, 1:]


class LaplaceExpansion:
    r"""The small-bandwidth expansion of a softmax attention at infinitely many points [RZ].

        A f(x) = f(y*) + eps (L f)(y*) + O(eps^2),   y*(x) the minimiser of D(x, .)
        L f = 1/2 tr(G^-1 Hess f) + b . grad f in chart_at(y*),   G = 1/2 Hess_y D

    Methods take one point (D,) or many (Q, D) and answer in the same shape.

    Args:
        attention: its pseudo-metric must be smooth in the key; its bandwidth is not used.
        density: the law of the keys.

    Raises:
        ConfigError: from any method, where the minimiser is not unique or degenerate (G not positive definite).

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> density = af.VonMisesFisher(af.Sphere(2), mean_direction=[0, 0, 1], concentration=0.8)
        >>> limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
        >>> x = np.array([0.6, 0.0, 0.8])
        >>> np.round(limit.drift(x) + 0.0, 12)  # grad log p = 0.8 (e_3 - x_3 x)
        array([-0.384,  0.   ,  0.288])
    """

    def __init__(self, attention: Attention, density: Density) -> None:
        require_x64()
        self.attention = check_attention(attention, known=True)
        self.density = check_density(density)
        self.manifold: Manifold = density.manifold

    def minimizer(self, x: object) -> np.ndarray:
        """y*(x), the global minimiser of D(x, .)."""
        return self._answer(x, lambda points: self._minimize(points)[0])

    def gap(self, x: object) -> np.ndarray:
        """D/2 at the next local minimum minus D/2 at y*: it adds an error of order e^{-gap/eps}; infinite if none."""
        return self._answer(x, lambda points: self._minimize(points)[1])

    def metric(self, x: object) -> np.ndarray:
        """The induced metric G at y*(x) as a tensor (D, D) of R^D that vanishes on normal vectors."""
        return self._answer(x, lambda points: np.linalg.pinv(self.coefficients(points).diffusions, hermitian=True))

    def chart_coefficients(self, x: object) -> np.ndarray:
        """b (m,) with L f = 1/2 tr(G^-1 Hess f) + b . grad f in chart_at(y*(x))."""
        return self._answer(x, lambda points: self._local(points)[2])

    def drift(self, x: object) -> np.ndarray:
        """The tangent vector Z (D,) with L f = 1/2 Lap_G f + <Z, grad f>_G, for costs whose minimiser is the query.

        Raises:
            ConfigError: if the minimiser is not the query.
        """

        def drifts(points: np.ndarray) -> np.ndarray:
            self.require_fixed_minimizer(points)
            self._raw(points, points)  # refuses a degenerate G before it is inverted
            return map_blocks(functools.partial(_drifts, self.attention.pseudometric, self.density), points)

        return self._answer(x, drifts)

    def generator(self, f: Callable, at: object) -> np.ndarray:
        """(L f)(y*(x)): (Q,) for a scalar f, (Q, c) for a vector f of one ambient point.

        Args:
            f: (D,) -> scalar or (c,), in jax.numpy, twice differentiable.
            at: the queries x, (Q, D), or one query (D,).

        Raises:
            DataError: if a derivative of f is NaN or Inf.
        """
        check_function(f)

        def generator(points: np.ndarray) -> np.ndarray:
            minimizers, inverse_metrics, drifts = self._local(points)
            values = map_blocks(functools.partial(_apply, f, Fixed(self.manifold)), inverse_metrics, drifts, minimizers)
            return check_finite(values, "L f")

        return self._answer(at, generator, name="at")

    def coefficients(self, points: np.ndarray) -> AmbientCoefficients:
        """Everything that L is at many queries (Q, D), as tensors of R^D."""
        minimizers, _ = self._minimize(points)
        _, _, _, diffusions, drifts = self._raw(points, minimizers)
        return AmbientCoefficients(minimizers, diffusions, drifts)

    def require_fixed_minimizer(self, points: np.ndarray) -> None:
        """Raise ConfigError, naming the jump, unless y*(x) = x at all points."""
        jump = np.linalg.norm(self._minimize(points)[0] - points, axis=1)
        if jump.max() > _SAME_POINT:
            row = int(np.argmax(jump))
            raise ConfigError(
                f"the minimiser of {type(self.attention.pseudometric).__name__} is not the query: y*(x) jumps by "
                f"{jump[row]:.3g} from x = {np.round(points[row], 4).tolist()}. Attention then tends to f(y*(x)), "
                "not to a drift-diffusion. Use LaplaceExpansion."
            )

    def _answer(self, x: object, method: Callable[[np.ndarray], np.ndarray], *, name: str = "x") -> np.ndarray:
        array = check_finite(x, name)
        result = method(self.manifold.check(np.atleast_2d(array), name))
        return result[0] if array.ndim == 1 else result

    def _minimize(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.attention.pseudometric.vanishes_on_diagonal:
            return points, np.full(len(points), np.inf)
        cover, neighbours = self._cover
        search = functools.partial(_minimizers, self.attention.pseudometric, self.density, cover, neighbours)
        minimizers, gaps = map_blocks(search, points)
        distances = np.linalg.norm(minimizers, axis=1)
        if not distances.max() < _RUNAWAY * np.linalg.norm(cover, axis=1).max():
            raise ConfigError(
                f"{type(self.attention.pseudometric).__name__} has no minimiser for the query "
                f"{np.round(points[np.argmax(distances)], 4).tolist()}: on {self.manifold} it decreases without end. "
                "The expansion needs a unique one."
            )
        if gaps.min() < _TIE:
            raise ConfigError(
                f"{type(self.attention.pseudometric).__name__} has several global minimisers, or a flat one, for the "
                f"query {np.round(points[np.argmin(gaps)], 4).tolist()}: D/2 differs by {gaps.min():.3g} between two "
                "of them. The expansion needs a unique one."
            )
        return minimizers, gaps

    @functools.cached_property
    def _cover(self) -> tuple[np.ndarray, np.ndarray]:
        return _cover(self.density)

    def _local(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """y*, G^-1 and b in chart_at(y*)."""
        minimizers, _ = self._minimize(points)
        _, inverse_metrics, drifts, _, _ = self._raw(points, minimizers)
        return minimizers, inverse_metrics, drifts

    def _raw(self, points: np.ndarray, minimizers: np.ndarray) -> list[np.ndarray]:
        compiled = functools.partial(_coefficients, self.attention.pseudometric, self.density)
        smallest, *rest = map_blocks(compiled, points, minimizers)
        bad = ~(smallest > 1e-8)
        if bad.any():
            row = int(np.argmax(bad))
            raise ConfigError(
                f"{type(self.attention.pseudometric).__name__} has no non-degenerate minimiser for the query "
                f"{np.round(points[row], 4).tolist()}: the smallest eigenvalue of its Hessian is {smallest[row]:.3g}. "
                "The expansion needs a unique minimiser with a positive definite Hessian."
            )
        return [smallest, *rest]
