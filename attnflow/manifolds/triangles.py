"""Triangles in space: the nearest of many to a point, on the host and while JAX compiles."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

_GROUP = 16  # triangles that are looked at together
_CANDIDATES = 8  # triangles looked at by their centres; four times as many each time after that
_PAIRS = 1 << 17  # of points and triangles at once
_ON_SURFACE = 1e-14  # of the largest coordinate: to a point so near to a triangle no other one is nearer


class Place(NamedTuple):
    """Where points lie: the triangles (Q,), the barycentric coordinates (Q, 3) in them, and the distances (Q,)."""

    faces: np.ndarray
    weights: np.ndarray
    distances: np.ndarray


class Planes(NamedTuple):
    """Triangles in their planes.

    Attributes:
        corners: (..., 3, 3).
        slopes: the gradients in space of the last two barycentric coordinates, (..., 2, 3).
        normals: of length one, (..., 3).
    """

    corners: Any
    slopes: Any
    normals: Any

    def of(self, faces: Any) -> Planes:
        """Return some of them."""
        return Planes(*(part[faces] for part in self))

    def weights_of(self, offsets: Any) -> Any:
        """Return the barycentric coordinates (..., 3) of points, or of their projections, from the first corners."""
        xp = jnp if isinstance(offsets, jax.Array) else np
        last = xp.einsum("...id,...d->...i", self.slopes, offsets)
        return xp.concatenate([1 - last.sum(axis=-1, keepdims=True), last], axis=-1)


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
        self._planes = Planes(
            corners, np.einsum("fij,fkj->fik", inverse, self.frames), np.cross(*np.moveaxis(self.frames, 2, 0))
        )
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
        left = self._hold(points, found)
        count = _CANDIDATES
        while len(left):
            count = min(count, len(self.areas))
            block = max(1, _PAIRS // count)
            left = np.concatenate(
                [self._try(points, left[i : i + block], count, found) for i in range(0, len(left), block)]
            )
            count *= 4
        return found

    def _hold(self, points: np.ndarray, found: Place) -> np.ndarray:
        """Enter the points that lie in the triangle whose centre is nearest, or next; return the rows of the others."""
        _, nearest = self._tree.query(points, k=min(2, len(self.areas)))
        left = np.arange(len(points))
        for faces in np.asarray(nearest).reshape(len(points), -1).T:
            faces = faces[left]
            planes = self._planes.of(faces)
            offsets = points[left] - planes.corners[:, 0]
            weights = planes.weights_of(offsets)
            heights = np.abs(np.einsum("qd,qd->q", planes.normals, offsets))
            held = (weights >= 0).all(axis=1) & (heights <= self._zero)
            rows = left[held]
            found.faces[rows], found.weights[rows], found.distances[rows] = faces[held], weights[held], heights[held]
            left = left[~held]
        return left

    def _try(self, points: np.ndarray, rows: np.ndarray, count: int, found: Place) -> np.ndarray:
        """Enter the best of some triangles for a few rows; return those of which another one may be nearer."""
        shape = (len(rows), count)
        far, nearest = (np.asarray(each).reshape(shape) for each in self._tree.query(points[rows], k=count))
        faces, weights, distances = _nearest(points[rows], nearest, self._planes.of(nearest))
        found.faces[rows], found.weights[rows], found.distances[rows] = faces, weights, distances
        certain = distances <= np.maximum(far[:, -1] - self._radius, self._zero)
        return rows[~certain & (count < len(self.areas))]

    def nearest_to(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the nearest triangle of one point (3,) and the point of it that is nearest, while JAX compiles.

        Groups of triangles are tried in the order of their bounding balls, until all others are farther away.
        """
        y = jax.lax.stop_gradient(y)
        planes = Planes(*(jnp.asarray(part, y.dtype) for part in self._planes))
        groups = jnp.asarray(self._groups)
        offsets = jnp.asarray(self._middles, y.dtype) - y
        bounds = jnp.sqrt(jnp.sum(offsets**2, axis=1)) - jnp.asarray(self._radii, y.dtype)

        def goes_on(state: tuple) -> jax.Array:
            return jnp.min(state[0]) < state[3]

        def look(state: tuple) -> tuple:
            bounds, face, weights, distance = state
            group = jnp.argmin(bounds)
            members = groups[group]
            faces, trial, distances = _nearest(y[None], members[None], planes.of(members[None]))
            better = distances[0] < distance
            return (
                bounds.at[group].set(jnp.inf),
                jnp.where(better, faces[0], face),
                jnp.where(better, trial[0], weights),
                jnp.where(better, distances[0], distance),
            )

        start = (bounds, jnp.zeros((), groups.dtype), jnp.zeros(3, y.dtype), jnp.asarray(jnp.inf, y.dtype))
        _, face, weights, _ = jax.lax.while_loop(goes_on, look, start)
        return face, weights @ planes.corners[face]


def _nearest(y: Any, faces: Any, planes: Planes) -> tuple[Any, Any, Any]:
    """Return the nearest of n triangles to each point, the weights of its corners there, and the distance.

    Args:
        y: points (Q, 3), of NumPy or JAX.
        faces: the numbers of the triangles, (Q, n).
        planes: theirs, (Q, n, ...).
    """
    xp = jnp if isinstance(y, jax.Array) else np
    offsets = y[:, None, None] - planes.corners
    sides = xp.roll(planes.corners, -1, axis=2) - planes.corners  # of corner i: to corner i + 1
    along = (_dot(xp, offsets, sides) / _dot(xp, sides, sides)).clip(0, 1)
    beside = offsets - along[..., None] * sides
    inside = planes.weights_of(offsets[:, :, 0])
    heights = _dot(xp, planes.normals, offsets[:, :, 0]) ** 2
    heights = xp.where((inside >= 0).all(axis=-1), heights, xp.inf)
    squares = xp.concatenate([heights[..., None], _dot(xp, beside, beside)], axis=-1).reshape(len(y), -1)
    best = squares.argmin(axis=1)
    rows, which, kind = xp.arange(len(y)), best // 4, best % 4  # 0 for the inside, i + 1 for the side from corner i
    share, ends = along[rows, which, kind - 1][:, None], xp.eye(3)
    weights = xp.where((kind == 0)[:, None], inside[rows, which], (1 - share) * ends[kind - 1] + share * ends[kind % 3])
    return faces[rows, which], weights, xp.sqrt(squares[rows, best])


def _dot(xp: Any, a: Any, b: Any) -> Any:
    return xp.einsum("...d,...d->...", a, b)
