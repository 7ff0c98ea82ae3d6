"""The global minimiser of a cost over the keys: a cover of M, and Newton's method from its lowest cells."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from attnflow._compiling import compile_promptly, compile_roughly
from attnflow._lifting import map_blocks, shown
from attnflow.densities.base import Density
from attnflow.equations.expansions.smoothness import derivative_and_value
from attnflow.errors import ConvergenceError, DataError
from attnflow.manifolds.base import Manifold
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.pseudometrics.scalars import by_coordinate

TIE = 1e-12  # a smaller gap in D/2 between two minimisers is round-off
SAME_POINT = 1e-6  # two refined minimisers closer than this are one
_NODES = (3_000, 20_000)  # of the cover at least, on curves and in more dimensions
_CELLS = 1024
_NEWTON_STEPS = 30
_STEP_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.0)
_SHORT_STEP = 1e-5
_LAST_STEP = 1e-10  # the error after a full step is about its square
FEW, MANY = 3, 32  # cells from which minima are looked for, and where all of equal height are wanted
_BATCH = 16  # queries at once: with all nodes they stay in the cache
_ROUNDING = 1e-14  # of how much S varies, and of S
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

    @property
    def square(self) -> float:
        """The largest square of a distance from the middle."""
        return float(np.max(np.sum((self.nodes - self.nodes.mean(axis=(0, 1))) ** 2, axis=-1)))


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


class Lowest(NamedTuple):
    """Global minimisers y* (Q, D) of S(x, .), and the gap (Q,) in S to the next local minimum, infinite if none."""

    points: Any
    gaps: Any


class Candidates(NamedTuple):
    """Local minima of S(x, .) that were found, (Q, n, D), and S there (Q, n), infinite where there is none.

    Attributes:
        spans: how much S varies over M (Q,).
        roundings: a difference in S of so much is none (Q,).
        flats: the least curvature that a step takes for one (Q,).
    """

    points: Any
    heights: Any
    spans: Any
    roundings: Any
    flats: Any

    def lowest(self) -> Lowest:
        """Return the global minimisers: of those as low as rounding can tell, any."""
        rows = np.arange(len(self.points))
        best = np.argmin(self.heights, axis=1)
        points = self.points[rows, best]
        above = self.heights - self.heights[rows, best][:, None]
        above[np.linalg.norm(self.points - points[:, None], axis=2) <= SAME_POINT] = np.inf
        gaps = above.min(axis=1)
        return Lowest(points, np.where(gaps <= self.roundings, 0.0, gaps))


def search(
    pseudometric: PseudoMetric, density: Density, cover: Cover, queries: np.ndarray, *, most: int = FEW
) -> Candidates:
    """Return the local minima of S = D/2 at queries (Q, D), the global one among them.

    Cells of the cover whose lowest node lies below those of all their neighbours are candidates; the lowest nodes of
    the lowest `most` are refined, and the query itself where that is as low: a cost may be smooth but there.

    Raises:
        DataError: if the cost is NaN or minus infinity for a query and a node, or infinite for a query and all of them.
    """
    starts: Starts = map_blocks(functools.partial(_starts, pseudometric, *cover, most), queries)
    if not starts.are_numbers.all():
        raise _no_number(pseudometric, cover, queries[np.argmin(starts.are_numbers)])
    flat = _FLAT * starts.spans / cover.square
    points, (rows, places) = starts.points, np.nonzero(starts.are_candidates)
    points[rows, places] = settle(
        pseudometric, density, queries=queries[rows], flat=flat[rows], points=points[rows, places]
    )
    heights = np.where(starts.are_candidates, map_blocks(functools.partial(_heights, pseudometric), queries, points), 0)
    heights[~starts.are_candidates | np.isnan(heights)] = np.inf
    roundings = _ROUNDING * (starts.spans + np.abs(heights.min(axis=1)))
    return Candidates(points, heights, starts.spans, roundings, flat)


def settle(
    pseudometric: PseudoMetric, density: Density, *, queries: np.ndarray, flat: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """Return where steps from points (Q, D) lead, each until it has converged."""
    points, rows = points.copy(), np.arange(len(points))
    step = functools.partial(_step, pseudometric, density)
    for _ in range(_NEWTON_STEPS):
        if not len(rows):
            break
        points[rows], squares = map_blocks(step, queries[rows], flat[rows], points[rows])
        rows = rows[squares > _LAST_STEP**2]
    return points


def _no_number(pseudometric: PseudoMetric, cover: Cover, query: np.ndarray) -> DataError:
    """Return what to say of a cost that is no number for a query (D,) and a node of the cover."""
    nodes = cover.nodes.reshape(-1, len(query))
    costs = 2 * heights_of(pseudometric, query, nodes)
    row = int(np.argmax(np.isnan(costs) | (costs == -np.inf)))
    return DataError(
        f"the cost {type(pseudometric).__name__} is {costs[row]:g} for x = {shown(query)}, y = {shown(nodes[row])}. "
        "Let it be a number for every pair; infinity, where a key is not attended, must not be all there is."
    )


class Starts(NamedTuple):
    """Of each query where a search begins (Q, n, D), whether it does (Q, n), and what S was seen to be.

    Attributes:
        spans: the largest S less the smallest (Q,).
        are_numbers: whether no S is NaN or minus infinity, and one is finite (Q,).
    """

    points: Any
    are_candidates: Any
    spans: Any
    are_numbers: Any


@functools.partial(compile_promptly, static_argnames="most")
def _starts(
    pseudometric: PseudoMetric, nodes: jax.Array, neighbours: jax.Array, most: int, queries: jax.Array
) -> Starts:
    """Return the candidates at queries (Q, D), Q a multiple of 16."""
    pair = by_coordinate(functools.partial(_half, pseudometric), dim=nodes.shape[-1], dtype=nodes.dtype)
    coordinates = tuple(jnp.moveaxis(nodes, (2, 1), (0, 1)))  # of (n, cells)

    def lows_of(x: jax.Array) -> jax.Array:
        """Return the least cost of each cell, (cells, queries), NaN where one is."""

        def lower(place: jax.Array, lows: jax.Array) -> jax.Array:
            here = tuple(each[place] for each in coordinates)
            costs = jax.vmap(lambda *y: jax.vmap(lambda *x: pair(x, y))(*x.T))(*here)
            return jnp.minimum(lows, costs)

        nothing = jnp.full((nodes.shape[0], len(x)), jnp.inf, x.dtype)
        return jax.lax.fori_loop(0, nodes.shape[1], lower, nothing)

    def lowest_of(lows: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the lowest cells that lie below their neighbours, and how low, (n, queries); infinite for none."""
        around = jax.lax.fori_loop(
            0, neighbours.shape[1], lambda k, least: jnp.minimum(least, lows[neighbours[:, k]]), lows
        )
        columns = jnp.arange(lows.shape[1])

        def take(left: jax.Array, _: None) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            lowest = jnp.argmin(left, axis=0)
            return left.at[lowest, columns].set(jnp.inf), (lowest, left[lowest, columns])

        return jax.lax.scan(take, jnp.where(lows <= around, lows, jnp.inf), length=most)[1]

    def start(x: jax.Array, cells: jax.Array, lows: jax.Array) -> tuple[jax.Array, jax.Array]:
        costs = jax.vmap(jax.vmap(functools.partial(_half, pseudometric, x)))(nodes[cells])
        starts = nodes[cells, jnp.argmin(costs, axis=1)]
        is_as_low = _half(pseudometric, x, x) <= lows[0]
        are_candidates = jnp.concatenate([jnp.stack([is_as_low, True]), jnp.isfinite(lows[1:])])
        return jnp.concatenate([x[None], starts]), are_candidates

    def batch(x: jax.Array) -> Starts:
        lows = lows_of(x)
        top = jnp.max(lows, axis=0, initial=-jnp.inf, where=jnp.isfinite(lows))
        found = jax.vmap(start, in_axes=(0, 1, 1))(x, *lowest_of(lows))
        return Starts(*found, top - jnp.min(lows, axis=0), (lows > -jnp.inf).all(axis=0) & jnp.isfinite(top))

    found = jax.lax.map(batch, queries.reshape(-1, _BATCH, queries.shape[1]))
    return Starts(*(jnp.concatenate(part) for part in found))


def _half(pseudometric: PseudoMetric, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.asarray(0.5 * pseudometric(x, y), x.dtype)


@compile_roughly
def _step(
    pseudometric: PseudoMetric, density: Density, queries: jax.Array, flat: jax.Array, points: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return where a step leads from points (Q, D), and the square of the length of each whole step."""

    def step(x: jax.Array, flat: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        return _newton_step(density.manifold, functools.partial(_half, pseudometric, x), y, flat=flat)

    return jax.vmap(step)(queries, flat, points)


@compile_roughly
def _heights(pseudometric: PseudoMetric, queries: jax.Array, points: jax.Array) -> jax.Array:
    """Return S (Q, n) at points (Q, n, D)."""
    return jax.vmap(lambda x, points: jax.vmap(functools.partial(_half, pseudometric, x))(points))(queries, points)


def heights_of(pseudometric: PseudoMetric, query: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return S (N,) of one query (D,) at points (N, D)."""
    queries = np.broadcast_to(query, points.shape)
    return map_blocks(functools.partial(_heights, pseudometric), queries, points[:, None])[:, 0]


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
