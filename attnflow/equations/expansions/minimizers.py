"""The global minimiser of a cost over the keys: a cover of M, and Newton's method from its lowest cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from attnflow.densities.base import Density
from attnflow.equations.expansions.smoothness import derivative_and_value
from attnflow.errors import ConvergenceError
from attnflow.manifolds.base import Manifold
from attnflow.pseudometrics.base import PseudoMetric

SAME_POINT = 1e-6  # two refined minimisers closer than this are one
_NODES = (3_000, 20_000)  # of the cover at least, on curves and in more dimensions
_CELLS = 1024
_NEWTON_STEPS = 30
_STEP_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.0)
_SHORT_STEP = 1e-5
_LAST_STEP = 1e-10  # the error after a full step is about its square
_CANDIDATES = 3
_BATCH = 16  # queries at once: with all nodes they stay in the cache
_FLAT = 1e-6  # of the curvature of the whole cost: less counts as that much in a step


class Cover(NamedTuple):
    """Nodes (cells, n, D) spread over M, in cells of neighbours, and the nearest cells (cells, k) of each.

    A well of a cost is seen if a node falls into it. Nodes are 0.002 apart on the unit circle, 0.03 on the unit sphere
    and 0.04 on the flat torus T^2, and about 0.15 and 0.2 on S^3 and T^3: Gaussian wells of a standard deviation of
    half of that are seen.
    """

    nodes: np.ndarray
    neighbours: np.ndarray

    @classmethod
    def of(cls, density: Density) -> Cover:
        """Return a cover of where a density lives."""
        dim = density.manifold.dim
        cells = _in_cells(nodes_of(density, _NODES[dim > 1]))
        centres = cells.mean(axis=1)
        _, nearest = cKDTree(centres).query(centres, k=min(3**dim, len(cells)))
        return cls(cells, np.asarray(nearest)[:, 1:])


def nodes_of(density: Density, count: int) -> np.ndarray:
    """Return `count` points (N, D), or some more, spread over where a density lives; the same ones whenever asked.

    In many dimensions, where no rule is affordable, they are samples.
    """
    try:
        nodes = density.spread(count)
    except ConvergenceError:
        return density.sample(count, key=jax.random.key(0))
    if len(nodes) <= 4 * count:
        return nodes
    return nodes[np.sort(np.random.default_rng(0).choice(len(nodes), count, replace=False))]


def _in_cells(points: np.ndarray) -> np.ndarray:
    """Return points (N, D) in cells (2^k, n, D) of near ones, halved again and again across; some points come twice."""
    cells = points[None]
    while len(cells) < _CELLS and cells.shape[1] > 1:
        axes = np.argmax(np.ptp(cells, axis=1), axis=1)
        order = np.argsort(np.take_along_axis(cells, axes[:, None, None], axis=2)[..., 0], axis=1)
        ordered = np.take_along_axis(cells, order[..., None], axis=1)
        half = (ordered.shape[1] + 1) // 2
        cells = np.concatenate([ordered[:, :half], ordered[:, -half:]])
    return cells


class Minimizers(NamedTuple):
    """Global minimisers y* (Q, D) of S(x, .), and the gap (Q,) in S to the next local minimum, infinite if none."""

    points: Any
    gaps: Any


@jax.jit
def search(
    pseudometric: PseudoMetric, density: Density, nodes: jax.Array, neighbours: jax.Array, queries: jax.Array
) -> Minimizers:
    """Return the minimisers of S = D/2 at queries (Q, D), Q a multiple of 16.

    Cells of the cover whose lowest node lies below those of all their neighbours are candidates; the lowest nodes of
    the lowest few are refined, and the query itself where that is as low: a cost may be smooth but there.
    """
    square = jnp.sum((nodes - nodes.mean(axis=(0, 1), keepdims=True)) ** 2, axis=-1).max()

    def half(x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.asarray(0.5 * pseudometric(x, y), x.dtype)

    def start(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the candidates (n, D), and which curvature is none."""
        costs = jax.vmap(jax.vmap(lambda y: half(x, y)))(nodes)
        costs = jnp.where(jnp.isnan(costs), jnp.inf, costs)
        in_cells = jnp.min(costs, axis=1)
        is_local_minimum = in_cells <= jnp.min(in_cells[neighbours], axis=1)
        _, lowest = jax.lax.top_k(-jnp.where(is_local_minimum, in_cells, jnp.inf), _CANDIDATES)
        starts = nodes[lowest, jnp.argmin(costs[lowest], axis=1)]
        first, bottom = starts[0], in_cells[lowest[0]]
        starts = jnp.concatenate([jnp.where(half(x, x) <= bottom, x, first)[None], starts])
        top = jnp.max(in_cells, initial=-jnp.inf, where=jnp.isfinite(in_cells))
        return starts, _FLAT * (top - bottom) / square

    def step(x: jax.Array, flat: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _newton_step(density.manifold, lambda y: half(x, y), y, flat=flat)

    def pick(x: jax.Array, refined: jax.Array) -> Minimizers:
        costs = jax.vmap(lambda y: half(x, y))(refined)
        best = jnp.nanargmin(costs)
        elsewhere = jnp.linalg.norm(refined - refined[best][None], axis=1) > SAME_POINT
        return Minimizers(refined[best], jnp.min(jnp.where(elsewhere, costs - costs[best], jnp.inf)))

    def batch(x: jax.Array) -> Minimizers:
        starts, flat = jax.vmap(start)(x)

        def body(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
            steps, y, _ = state
            return steps + 1, *jax.vmap(jax.vmap(step, (None, None, 0)))(x, flat, y)

        def goes_on(state: tuple[Any, Any, Any]) -> jax.Array:
            steps, _, squares = state
            return (steps < _NEWTON_STEPS) & (squares > _LAST_STEP**2).any()

        first = (jnp.zeros((), int), starts, jnp.full(starts.shape[:2], jnp.inf, starts.dtype))
        return jax.vmap(pick)(x, jax.lax.while_loop(goes_on, body, first)[1])

    found = jax.lax.map(batch, queries.reshape(-1, _BATCH, queries.shape[1]))
    return Minimizers(*(jnp.concatenate(part) for part in found))


def _newton_step(
    manifold: Manifold, cost: Callable[[jax.Array], jax.Array], y: jax.Array, *, flat: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return where a damped Newton step on M leads, and the square of the length of the whole step.

    The Hessian is made positive and no long step raises the cost, so no saddle attracts. Short steps are taken in full:
    over them the cost changes by round-off only, which would stop the search at 1e-8.
    """
    chart = manifold.chart_at(y)
    origin = jnp.zeros(manifold.dim, y.dtype)

    def local(u: jax.Array) -> jax.Array:
        return cost(chart(u))

    hessian, gradient = derivative_and_value(jax.grad(local))(origin)
    eigenvalues, axes = jnp.linalg.eigh(hessian)
    direction = -axes @ ((axes.T @ gradient) / jnp.maximum(jnp.abs(eigenvalues), flat))
    direction = jnp.where(jnp.isfinite(direction).all(), direction, 0.0)  # no derivative: as low as it gets
    square = jnp.sum(direction**2)
    lengths = jnp.asarray(_STEP_LENGTHS, y.dtype)
    trials = jax.vmap(lambda length: chart(length * direction))(lengths)
    best = trials[jnp.nanargmin(jax.vmap(cost)(trials))]
    return jnp.where(square < _SHORT_STEP**2, trials[0], best), square
