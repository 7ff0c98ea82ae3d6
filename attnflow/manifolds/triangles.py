"""Triangles in space: the nearest of many to a point, on the host and while JAX compiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

_GROUP = 16  # triangles that are looked at together
_CANDIDATES = 1, 4, 16  # triangles looked at by their centres; four times as many each time after that
_PAIRS = 1 << 17  # of points and triangles at once
_ON_SURFACE = 1e-14  # of the largest coordinate: to a point so near to a triangle no other one is nearer


class Place(NamedTuple):
    """Where points lie: the triangles (Q,), the barycentric coordinates (Q, 3) in them, and the distances (Q,)."""

    faces: np.ndarray
    weights: np.ndarray
    distances: np.ndarray


class Triangles:
    """Many triangles, none of which is a line.

    Args:
        corners: (F, 3, 3), one triangle per row, one corner per column.

    Attributes:
        areas: (F,).
        frames: an orthonormal basis of each plane, (F, 3, 2).
        gradients: of the three barycentric coordinates in that basis, (F, 3, 2).
    """

    def __init__(self, corners: np.ndarray) -> None:
        self.corners = corners
        sides = np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2)
        self.frames, triangular = np.linalg.qr(sides)
        self.areas = np.abs(triangular[:, 0, 0] * triangular[:, 1, 1]) / 2
        inverse = np.linalg.inv(triangular)
        self.gradients = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
        # Barycentric coordinates of y are (0, b) + (1 - sum b, 0, 0), b = slopes (y - first corner).
        self._slopes = np.einsum("fij,fkj->fik", inverse, self.frames)
        centres = corners.mean(axis=1)
        self._radius = float(np.linalg.norm(corners - centres[:, None], axis=2).max())
        self._zero = _ON_SURFACE * float(np.abs(corners).max())
        self._tree = cKDTree(centres, leafsize=_GROUP)
        # In the order of the tree neighbours are near each other.
        self._groups = np.pad(self._tree.indices, (0, -len(corners) % _GROUP), mode="edge").reshape(-1, _GROUP)
        grouped = corners[self._groups].reshape(len(self._groups), -1, 3)
        self._middles = (grouped.min(axis=1) + grouped.max(axis=1)) / 2
        self._radii = np.linalg.norm(grouped - self._middles[:, None], axis=2).max(axis=1)

    def locate(self, points: np.ndarray) -> Place:
        """Return the nearest triangles of points (Q, 3).

        Triangles are tried in the order of their centres, until one holds the point or all others are farther away:
        none is nearer than its centre by more than the largest radius.
        """
        found = Place(np.zeros(len(points), dtype=int), np.zeros((len(points), 3)), np.full(len(points), np.inf))
        left, count = np.arange(len(points)), _CANDIDATES[0]
        while len(left):
            count = min(count, len(self.areas))
            block = max(1, _PAIRS // count)
            done = np.concatenate(
                [self._try(points, left[i : i + block], count, found) for i in range(0, len(left), block)]
            )
            left, count = left[~done], 4 * count
        return found

    def _try(self, points: np.ndarray, rows: np.ndarray, count: int, found: Place) -> np.ndarray:
        """Enter the best of some triangles for a few rows; return which of these are settled."""
        shape = (len(rows), count)
        far, nearest = (np.asarray(each).reshape(shape) for each in self._tree.query(points[rows], k=count))
        faces, weights, distances = _nearest(
            points[rows], nearest, corners=self.corners[nearest], slopes=self._slopes[nearest]
        )
        found.faces[rows], found.weights[rows], found.distances[rows] = faces, weights, distances
        certain = distances <= np.maximum(far[:, -1] - self._radius, self._zero)
        return certain | (count == len(self.areas))

    def nearest_to(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the nearest triangle of one point (3,) and the point of it that is nearest, while JAX compiles.

        Groups of triangles are tried in the order of their bounding balls, until all others are farther away.
        """
        y = jax.lax.stop_gradient(y)
        corners, slopes = jnp.asarray(self.corners, y.dtype), jnp.asarray(self._slopes, y.dtype)
        groups = jnp.asarray(self._groups)
        offsets = jnp.asarray(self._middles, y.dtype) - y
        bounds = jnp.sqrt(jnp.sum(offsets**2, axis=1)) - jnp.asarray(self._radii, y.dtype)

        def goes_on(state: tuple) -> jax.Array:
            return jnp.min(state[0]) < state[3]

        def look(state: tuple) -> tuple:
            bounds, face, weights, distance = state
            group = jnp.argmin(bounds)
            members = groups[group]
            faces, trial, distances = _nearest(
                y[None], members[None], corners=corners[members][None], slopes=slopes[members][None]
            )
            better = distances[0] < distance
            return (
                bounds.at[group].set(jnp.inf),
                jnp.where(better, faces[0], face),
                jnp.where(better, trial[0], weights),
                jnp.where(better, distances[0], distance),
            )

        start = (bounds, jnp.zeros((), groups.dtype), jnp.zeros(3, y.dtype), jnp.asarray(jnp.inf, y.dtype))
        _, face, weights, _ = jax.lax.while_loop(goes_on, look, start)
        return face, weights @ corners[face]


def _nearest(y: Any, faces: Any, *, corners: Any, slopes: Any) -> tuple[Any, Any, Any]:
    """Return the nearest of n triangles to each point, the weights of its corners there, and the distance.

    Args:
        y: points (Q, 3), of NumPy or JAX.
        faces: the numbers of the triangles, (Q, n).
        corners: theirs, (Q, n, 3, 3).
        slopes: the gradients of the last two barycentric coordinates in space, (Q, n, 2, 3).
    """
    xp = jnp if isinstance(y, jax.Array) else np
    offsets = y[:, None, None] - corners
    inside = (slopes * offsets[:, :, :1]).sum(axis=-1)
    inside = xp.concatenate([1 - inside.sum(axis=-1, keepdims=True), inside], axis=-1)  # (Q, n, 3)
    sides = xp.roll(corners, -1, axis=2) - corners  # of corner i: to corner i + 1
    along = ((offsets * sides).sum(axis=-1) / (sides**2).sum(axis=-1)).clip(0, 1)
    one, zero = 1 - along, 0 * along
    trials = xp.stack([one, along, zero], axis=-1)  # from corner 0; from the others, the same turned
    edges = xp.stack([xp.roll(trials[:, :, i], i, axis=-1) for i in range(3)], axis=2)
    clipped = xp.where((inside >= 0).all(axis=-1, keepdims=True), inside, edges[:, :, 0])
    weights = xp.concatenate([clipped[:, :, None], edges], axis=2)  # (Q, n, 4, 3)
    ends = (weights[..., None] * corners[:, :, None]).sum(axis=-2)
    squares = ((ends - y[:, None, None]) ** 2).sum(axis=-1).reshape(len(y), -1)
    best = squares.argmin(axis=1)
    rows = xp.arange(len(y))
    return faces[rows, best // 4], weights.reshape(len(y), -1, 3)[rows, best], xp.sqrt(squares[rows, best])
