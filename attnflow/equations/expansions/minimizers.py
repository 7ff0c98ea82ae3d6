"""The global minimiser of a cost over the keys: a cover of M, and Newton's method from its lowest nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from attnflow.densities.base import Density
from attnflow.manifolds.base import Manifold
from attnflow.pseudometrics.base import PseudoMetric

SAME_POINT = 1e-6  # two refined minimisers closer than this are one
_COVER_NODES = 1000  # at least so many nodes of the cover of M
_NEWTON_STEPS = 30
_STEP_LENGTHS = (1.0, 0.5, 0.25, 0.1, 0.03, 0.01, 0.0)
_SHORT_STEP = 1e-5
_CANDIDATES = 3


class Cover(NamedTuple):
    """Nodes (N, D) spread over M, and the indices (N, n) of the nearest neighbours of each."""

    nodes: np.ndarray
    neighbours: np.ndarray

    @classmethod
    def of(cls, density: Density) -> Cover:
        """Return a cover of the manifold of a density."""
        nodes = density.spread(_COVER_NODES)
        n_neighbours = 3**density.manifold.dim - 1
        _, neighbours = cKDTree(nodes).query(nodes, k=n_neighbours + 1)
        return cls(nodes, np.asarray(neighbours)[:, 1:])


class Minimizers(NamedTuple):
    """Global minimisers y* (Q, D) of S(x, .), and the gap (Q,) in S to the next local minimum, infinite if none."""

    points: Any
    gaps: Any


@jax.jit
def search(
    pseudometric: PseudoMetric, density: Density, nodes: jax.Array, neighbours: jax.Array, queries: jax.Array
) -> Minimizers:
    """Return the minimisers of S = D/2 at queries (Q, D).

    Nodes of the cover that lie below all their neighbours are candidates; the lowest few are refined.
    """

    def one(x: jax.Array) -> Minimizers:
        def cost(y: jax.Array) -> jax.Array:
            return 0.5 * pseudometric(x, y)

        on_cover = jax.vmap(cost)(nodes)
        is_local_minimum = on_cover <= jnp.min(on_cover[neighbours], axis=1)
        _, lowest = jax.lax.top_k(-jnp.where(is_local_minimum, on_cover, jnp.inf), _CANDIDATES)
        refined = jax.vmap(lambda y: _descend(density.manifold, cost, y))(nodes[lowest])
        costs = jax.vmap(cost)(refined)
        best = jnp.nanargmin(costs)
        elsewhere = jnp.linalg.norm(refined - refined[best], axis=1) > SAME_POINT
        return Minimizers(refined[best], jnp.min(jnp.where(elsewhere, costs - costs[best], jnp.inf)))

    return jax.lax.map(one, queries, batch_size=64)


def _descend(manifold: Manifold, cost: Callable[[jax.Array], jax.Array], y: jax.Array) -> jax.Array:
    """Return a minimiser by damped Newton steps on M.

    The Hessian is made positive and no long step raises the cost, so no saddle attracts. Short steps are taken in full:
    over them the cost changes by round-off only, which would stop the search at 1e-8.
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
