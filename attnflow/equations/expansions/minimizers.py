"""The global minimiser of a cost over the keys: a cover of M, and Newton's method from its lowest cells."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from attnflow._compiling import compile_roughly
from attnflow._lifting import map_blocks
from attnflow.densities.base import Density
from attnflow.equations.expansions.smoothness import derivative_and_value
from attnflow.errors import ConvergenceError
from attnflow.manifolds.base import Manifold
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.pseudometrics.scalars import by_coordinate

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


def search(pseudometric: PseudoMetric, density: Density, cover: Cover, queries: np.ndarray) -> Minimizers:
    """Return the minimisers of S = D/2 at queries (Q, D).

    Cells of the cover whose lowest node lies below those of all their neighbours are candidates; the lowest nodes of
    the lowest few are refined, and the query itself where that is as low: a cost may be smooth but there. Each of them
    takes steps until it has converged.
    """
    found: Starts = map_blocks(functools.partial(_starts, pseudometric, *cover), queries)
    points, (rows, places) = found.points, np.nonzero(found.are_candidates)
    step = functools.partial(_step, pseudometric, density)
    for _ in range(_NEWTON_STEPS):
        if not len(rows):
            break
        points[rows, places], squares = map_blocks(step, queries[rows], found.flat[rows], points[rows, places])
        goes_on = squares > _LAST_STEP**2
        rows, places = rows[goes_on], places[goes_on]
    return map_blocks(functools.partial(_pick, pseudometric), queries, points, found.are_candidates)


class Starts(NamedTuple):
    """Of each query where a search begins (Q, n, D), whether it does (Q, n), and which curvature is none, (Q,)."""

    points: Any
    are_candidates: Any
    flat: Any


@jax.jit
def _starts(pseudometric: PseudoMetric, nodes: jax.Array, neighbours: jax.Array, queries: jax.Array) -> Starts:
    """Return the candidates at queries (Q, D), Q a multiple of 16."""
    square = jnp.sum((nodes - nodes.mean(axis=(0, 1), keepdims=True)) ** 2, axis=-1).max()
    pair = by_coordinate(functools.partial(_half, pseudometric), dim=nodes.shape[-1], dtype=nodes.dtype)
    coordinates = tuple(jnp.moveaxis(nodes, (2, 1), (0, 1)))  # of (n, cells)

    def lows_of(x: jax.Array) -> jax.Array:
        """Return the least cost of each cell, (cells, queries)."""

        def lower(place: jax.Array, lows: jax.Array) -> jax.Array:
            here = tuple(each[place] for each in coordinates)
            costs = jax.vmap(lambda *y: jax.vmap(lambda *x: pair(x, y))(*x.T))(*here)
            return jnp.minimum(lows, jnp.where(jnp.isnan(costs), jnp.inf, costs))

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

        return jax.lax.scan(take, jnp.where(lows <= around, lows, jnp.inf), length=_CANDIDATES)[1]

    def start(x: jax.Array, cells: jax.Array, lows: jax.Array, top: jax.Array) -> Starts:
        costs = jax.vmap(jax.vmap(functools.partial(_half, pseudometric, x)))(nodes[cells])
        starts = nodes[cells, jnp.argmin(jnp.where(jnp.isnan(costs), jnp.inf, costs), axis=1)]
        is_as_low = _half(pseudometric, x, x) <= lows[0]
        are_candidates = jnp.concatenate([jnp.stack([is_as_low, True]), jnp.isfinite(lows[1:])])
        return Starts(jnp.concatenate([x[None], starts]), are_candidates, _FLAT * (top - lows[0]) / square)

    def batch(x: jax.Array) -> Starts:
        lows = lows_of(x)
        top = jnp.max(lows, axis=0, initial=-jnp.inf, where=jnp.isfinite(lows))
        return jax.vmap(start, in_axes=(0, 1, 1, 0))(x, *lowest_of(lows), top)

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
def _pick(pseudometric: PseudoMetric, queries: jax.Array, points: jax.Array, are_candidates: jax.Array) -> Minimizers:
    """Return the lowest of the candidates (Q, n, D) at queries (Q, D)."""

    def pick(x: jax.Array, refined: jax.Array, are_candidates: jax.Array) -> Minimizers:
        costs = jax.vmap(functools.partial(_half, pseudometric, x))(refined)
        costs = jnp.where(are_candidates, costs, jnp.inf)
        best = jnp.nanargmin(costs)
        elsewhere = jnp.linalg.norm(refined - refined[best][None], axis=1) > SAME_POINT
        return Minimizers(refined[best], jnp.min(jnp.where(elsewhere, costs - costs[best], jnp.inf)))

    return jax.vmap(pick)(queries, points, are_candidates)


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
