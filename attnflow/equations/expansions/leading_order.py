r"""What A f tends to as the bandwidth vanishes, wherever the cost is least [RZ, Theorem 6].

With A_x the points y at which S(x, .) = D(x, .)/2 is least, and c_n the Hessian of S in directions normal to A_x,

    A f(x) -> int f w / int w over A_x,   w = p e^u det(c_n)^{-1/2},

u the key weights of the normalisation: f(y*) where y* is the only one, an average of a few values where some are as
low, an integral over closed curves where they form such, the mean of f under p e^u where D(x, .) is constant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from attnflow._compiling import compile_roughly
from attnflow._html import Table, in_html
from attnflow._lifting import evaluate, map_blocks, shown
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.expansions.coefficients import hessian
from attnflow.equations.expansions.key_density import log_weighed_densities
from attnflow.equations.expansions.level_curves import are_on, follow, refined
from attnflow.equations.expansions.minimizers import MANY, SAME_POINT, TIE, Candidates, Cover, heights_of, settle
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.pseudometrics.base import PseudoMetric

_BARRIER = 100.0  # ties: between two minima on a quadratic well it would be an eighth of curvature and distance squared
_STEP = 0.05  # of the size of M, along a curve
_MOST_CURVES = 16
_DEGREES = (24, 36, 54, 81, 121, 181, 271)  # of quadratures over M


class LeadingOrder(NamedTuple):
    """What A f tends to at queries x, and over what it is an average.

    Attributes:
        values: the limit, (Q,) for a scalar f, (Q, c) for a vector f.
        dimensions: of A_x, where D(x, .) is least: 0 for points, 1 for closed curves, m for the whole of M, (Q,).
        counts: how many points, or closed curves, A_x is made of, (Q,).
        gaps: D/2 at the next local minimum less D/2 on A_x, (Q,), infinite if none was found.
        error: of the integrals over curves and over M, relative to the largest |f| averaged: between two rules.
    """

    values: np.ndarray
    dimensions: np.ndarray
    counts: np.ndarray
    gaps: np.ndarray
    error: float

    def _repr_html_(self) -> str:
        columns = zip(self.values, self.dimensions, self.counts, self.gaps, strict=True)
        rows = [(value, int(dimension), int(count), float(gap)) for value, dimension, count, gap in columns]
        table = Table(["limit", "dimension of the minimisers", "pieces", "gap"], rows)
        return in_html(self, {"error": self.error}, table=table)

    def __repr__(self) -> str:
        queries = f"{len(self.values)} queries, dimensions {np.unique(self.dimensions).tolist()}"
        return f"LeadingOrder({queries}, {self.counts.min()} to {self.counts.max()} pieces, error {self.error:.2g})"


class _Average(NamedTuple):
    """An average, its error relative to the largest |f| averaged, and how many pieces it is over."""

    value: np.ndarray
    error: float
    pieces: int


class _Wells(NamedTuple):
    """What a search has found at one query: where S is least, points (n, D), some of them twice, and how least.

    Attributes:
        query: x (D,).
        points: (n, D), with eigenvalues (n, m) of the Hessian of S.
        curvatures: those.
        height: S there.
        tie: a difference in S of so much is none.
        flat: the least curvature that a step takes for one.
    """

    query: np.ndarray
    points: np.ndarray
    curvatures: np.ndarray
    height: float
    tie: float
    flat: float


class MinimizerAverages:
    """Averages of a function over the minimisers of an attention.

    Args:
        attention: the cost and the weights of keys.
        density: p.
        cover: nodes spread over M.
        f: a function of one point.
        rtol: of integrals, relative to the largest |f| averaged.
    """

    def __init__(self, attention: Attention, density: Density, cover: Cover, f: Callable, *, rtol: float) -> None:
        self._attention, self._density, self._cover, self._f, self._rtol = attention, density, cover, f, rtol
        self._cost, self._manifold = attention.pseudometric, density.manifold

    def at(self, queries: np.ndarray, found: Candidates) -> LeadingOrder:
        """Return what A f tends to at queries (Q, D).

        Args:
            queries: x.
            found: the local minima of the cost, of a search for MANY.

        Raises:
            ConfigError: if minimisers are neither isolated and non-degenerate, nor closed curves, nor all of M.
            ConvergenceError: if an integral does not settle.
        """
        heights, ties = found.heights.min(axis=1), np.maximum(TIE, found.roundings)
        tied = found.heights <= (heights + ties)[:, None]
        rows, places = np.nonzero(tied)
        points = found.points[rows, places]
        self._require_inside(queries[rows], points)
        curvatures = map_blocks(functools.partial(_curvatures, self._cost, self._density), queries[rows], points)
        is_flat = curvatures <= found.flats[rows, None]
        dimensions = np.where(found.spans <= found.roundings, self._manifold.dim, 0)
        np.maximum.at(dimensions, rows, is_flat.sum(axis=1))
        is_isolated = (dimensions == 0)[rows]
        isolated = self._over_points(queries, ties, *(each[is_isolated] for each in (rows, points, curvatures)))
        averages = []
        for row, x in enumerate(queries):
            own = rows == row
            wells = _Wells(x, points[own], curvatures[own], heights[row], ties[row], found.flats[row])
            averages.append(isolated[row] if row in isolated else self._over_more(wells, dimensions[row]))
        return LeadingOrder(
            values=np.stack([average.value for average in averages]),
            dimensions=dimensions,
            counts=np.array([average.pieces for average in averages]),
            gaps=np.where(tied, np.inf, found.heights).min(axis=1) - heights,
            error=max(average.error for average in averages),
        )

    def _require_inside(self, queries: np.ndarray, points: np.ndarray) -> None:
        """Raise ConfigError if one of the minimisers is beyond an end of M."""
        if self._manifold.has_boundary and (beyond := self._manifold.residual(points) > SAME_POINT).any():
            raise self._refusal(queries[np.argmax(beyond)], f"one is beyond the end of {self._manifold}")

    def _over_points(
        self, queries: np.ndarray, ties: np.ndarray, rows: np.ndarray, points: np.ndarray, curvatures: np.ndarray
    ) -> dict[int, _Average]:
        """Return the averages over isolated minimisers (n, D) of the queries of these rows (n,), some of them twice."""
        averages: dict[int, _Average] = {}
        if not len(rows):
            return averages
        log_weights, values = self._log_weights(points, curvatures), evaluate(self._f, points)
        for row in np.unique(rows):
            (own,) = np.nonzero(rows == row)
            apart = np.linalg.norm(points[own][:, None] - points[own][None], axis=2)
            first = np.argmax(apart <= SAME_POINT, axis=1) == np.arange(len(own))
            own, apart = own[first], apart[first][:, first]
            if len(own) >= MANY:
                raise self._refusal(queries[row], f"there are {MANY} or more, as many as are looked for")
            np.fill_diagonal(apart, np.inf)
            if (apart**2 * curvatures[own, :1] <= _BARRIER * ties[row]).any():
                raise self._refusal(queries[row], "one is degenerate: points around it are as low")
            averages[row] = _Average(_average(values[own], log_weights[own]), 0.0, len(own))
        return averages

    def _over_more(self, wells: _Wells, dimension: int) -> _Average:
        """Return the average over minimisers that are not isolated."""
        if dimension == self._manifold.dim:
            return self._over_all(wells)
        if dimension == 1:
            return self._over_curves(wells)
        raise self._refusal(wells.query, f"they seem to form a set of dimension {dimension}")

    def _over_all(self, wells: _Wells) -> _Average:
        """Return the mean of f under p e^u, where every key is as low."""
        nodes = self._cover.nodes.reshape(-1, len(wells.query))
        if np.ptp(heights_of(self._cost, wells.query, nodes)) > wells.tie:
            raise self._refusal(wells.query, "they are degenerate: there the Hessian vanishes, but not S")
        previous = None
        for degree in _DEGREES:
            rule = self._density.quadrature(degree)
            with np.errstate(divide="ignore"):  # of a mass that underflows
                log_weights = self._log_key_weights(rule.points) + np.log(rule.masses)
            value, error = self._compared(rule.points, log_weights, previous)
            if error <= self._rtol:
                return _Average(value, error, 1)
            previous = value
        raise self._unsettled(wells.query)

    def _over_curves(self, wells: _Wells) -> _Average:
        """Return the average over closed curves."""
        curves, previous = self._curves(wells), None
        rules = [refined(self._cost, self._manifold, query=wells.query, points=points) for points in curves]
        for level in zip(*rules, strict=False):
            points = np.concatenate([closed.points for closed in level])
            normal = np.concatenate([closed.curvatures[:, 1:] for closed in level])
            rise = max(np.ptp(np.append(closed.heights, wells.height)) for closed in level)
            if rise > 10 * wells.tie or normal.min() <= wells.flat:
                raise self._refusal(wells.query, "along what seems a curve of them S is not constant, or degenerate")
            log_lengths = np.concatenate([np.log(closed.lengths) for closed in level])
            value, error = self._compared(points, log_lengths + self._log_weights(points, normal), previous)
            if error <= self._rtol:
                return _Average(value, error, len(curves))
            previous = value
        raise self._unsettled(wells.query)

    def _curves(self, wells: _Wells) -> list[np.ndarray]:
        """Return points (n, D) around each of the closed curves: from nodes near them, until none is left."""
        nodes = np.unique(self._cover.nodes.reshape(-1, len(wells.query)), axis=0)
        distances, _ = cKDTree(nodes).query(nodes[::50], k=2)
        apart = np.median(np.asarray(distances)[:, 1])
        rise = heights_of(self._cost, wells.query, nodes) - wells.height
        starts = nodes[rise <= 2 * wells.curvatures.max() * apart**2]
        queries = np.broadcast_to(wells.query, starts.shape)
        flat = np.full(len(starts), wells.flat)
        seeds = settle(self._cost, self._density, queries=queries, flat=flat, points=starts)
        seeds = np.concatenate([wells.points, seeds])
        seeds = seeds[heights_of(self._cost, wells.query, seeds) - wells.height <= wells.tie]
        step = _STEP * np.linalg.norm(nodes - nodes.mean(axis=0), axis=1).max()
        curves: list[np.ndarray] = []
        while len(seeds):
            if len(curves) == _MOST_CURVES:
                raise self._refusal(wells.query, f"there are more than {_MOST_CURVES} curves of them")
            points = follow(self._cost, self._manifold, query=wells.query, start=seeds[0], step=step)
            if points is None:
                raise self._refusal(wells.query, "a curve of them does not close, or turns too quickly to be followed")
            curves.append(points)
            seeds = seeds[1:][~are_on(seeds[1:], points)]
        return curves

    def _compared(
        self, points: np.ndarray, log_weights: np.ndarray, previous: np.ndarray | None
    ) -> tuple[np.ndarray, float]:
        """Return an average and by how much it differs from the previous one, relative to the largest |f|."""
        values = evaluate(self._f, points)
        value, size = _average(values, log_weights), np.abs(values).max()
        if previous is None:
            return value, np.inf
        return value, float(np.abs(value - previous).max() / size) if size else 0.0

    def _log_weights(self, points: np.ndarray, curvatures: np.ndarray) -> np.ndarray:
        """Return log of p e^u det(c_n)^{-1/2}, up to a constant, from the eigenvalues (n, k) of c_n."""
        return self._log_weighed(points) - 0.5 * np.log(curvatures).sum(axis=1)

    def _log_key_weights(self, points: np.ndarray) -> np.ndarray:
        return self._log_weighed(points) - self._density.log_densities(points)

    def _log_weighed(self, points: np.ndarray) -> np.ndarray:
        return map_blocks(functools.partial(log_weighed_densities, self._attention, self._density), points)

    def _refusal(self, query: np.ndarray, reason: str) -> ConfigError:
        return ConfigError(
            f"the minimisers of {type(self._cost).__name__} for the query {shown(query)} are not averaged over: "
            f"{reason}. Ask at other queries, or use PopulationAttention at small bandwidths."
        )

    def _unsettled(self, query: np.ndarray) -> ConvergenceError:
        return ConvergenceError(
            f"the average over the minimisers of {type(self._cost).__name__} for the query {shown(query)} does not "
            f"settle to `rtol` = {self._rtol:g}. Use a larger one."
        )


def _average(values: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights @ values / weights.sum())


@compile_roughly
def _curvatures(cost: PseudoMetric, density: Density, queries: jax.Array, points: jax.Array) -> jax.Array:
    """Return the eigenvalues (Q, m) of the Hessian of S at points (Q, D), upwards."""
    manifold = density.manifold

    def one(x: jax.Array, y: jax.Array) -> jax.Array:
        chart = manifold.chart_at(y)

        def half(u: jax.Array) -> jax.Array:
            return jnp.asarray(0.5 * cost(x, chart(u)), y.dtype)

        return jnp.linalg.eigvalsh(hessian(half, manifold.dim)(jnp.zeros(manifold.dim, y.dtype)))

    return jax.vmap(one)(queries, points)
