"""Surfaces as patches, each the image of a flat triangle under a smooth map: what finite elements live on.

A function that is smooth on the surface is smooth on every flat triangle, and stays continuous from one to the next. So
polynomials on these, cut into ever smaller ones, see the surface itself: no error is left of its shape.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np
from scipy.spatial import ConvexHull

from attnflow.manifolds.base import Manifold
from attnflow.manifolds.meshes import descend, halves, subdivide
from attnflow.manifolds.sphere import Sphere
from attnflow.manifolds.torus import FlatTorus
from attnflow.manifolds.triangles import Triangles
from attnflow.manifolds.triangulated import TriangulatedSurface

_SQUARES = 4  # along each angle of a torus; fewer than three would share their vertices
DOMAIN = "triangulated surfaces, S^2 and FlatTorus(2)"


class Nodes(NamedTuple):
    """Nodes of a quadrature, Q on each of F triangles.

    Attributes:
        points: on the surface, (F Q, D).
        areas: their weights, (F Q,).
        frames: orthonormal bases of the tangent planes, (F Q, D, 2).
        gradients: of the three barycentric coordinates in these, (F, Q, 3, 2), or (F, 1, 3, 2) if constant.
    """

    points: np.ndarray
    areas: np.ndarray
    frames: np.ndarray
    gradients: np.ndarray


class Patches(ABC):
    """A surface M as the image of flat triangles.

    Attributes:
        manifold: M.
        faces: the vertices of each triangle, (F, 3).
        count: how many vertices there are.
        corners: of the flat triangles, (F, 3, d).
        is_curved: whether M leaves the planes of the triangles.
        smoothness: the least power of the distance from a point by which solutions grow there.
    """

    is_curved: ClassVar[bool] = True
    smoothness: float = math.inf
    manifold: Manifold
    faces: np.ndarray
    count: int
    corners: np.ndarray

    def cut(self, level: int) -> tuple[np.ndarray, int, np.ndarray]:
        """Return faces, number of vertices and corners after every triangle has been cut into four, `level` times."""
        faces, count, corners = self.faces, self.count, self.corners
        for _ in range(level):
            vertices, faces = subdivide(np.zeros((count, 0)), faces)
            count, corners = len(vertices), halves(corners)
        return faces, count, corners

    def place(self, points: np.ndarray, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Return in which triangles of a level points (Q, D) lie, and their barycentric coordinates (Q, 3) there."""
        faces, weights = self.locate(points)
        for _ in range(level):
            faces, weights = descend(faces, weights)
        return faces, weights

    @abstractmethod
    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return in which of its triangles points (Q, D) lie, and their barycentric coordinates (Q, 3) there."""

    @abstractmethod
    def nodes(self, corners: np.ndarray, rule: np.ndarray, shares: np.ndarray) -> Nodes:
        """Return the images of nodes with barycentric coordinates (Q, 3) and shares (Q,) of the area of a triangle.

        Args:
            corners: of triangles that are parts of its own, (F, 3, d).
            rule: the coordinates.
            shares: the shares.
        """

    @abstractmethod
    def frames(self, points: np.ndarray) -> np.ndarray:
        """Return orthonormal bases (Q, D, 2) of the tangent planes at points (Q, D)."""


class FlatPatches(Patches):
    """The triangles of a mesh.

    At a vertex whose angles sum to a solutions grow like the power 2 pi / a of the distance, pi / a at an end.
    """

    is_curved = False

    def __init__(self, surface: TriangulatedSurface) -> None:
        self.manifold, self._surface = surface, surface
        self.faces, self.count, self.corners = surface.faces, len(surface.vertices), surface.triangles.corners

    @functools.cached_property
    def smoothness(self) -> float:  # type: ignore[override]
        whole = np.where(self._surface.is_end, np.pi, 2 * np.pi)
        return float((whole / self._surface.angles).min())

    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place = self._surface.locate(points)
        return place.faces, place.weights

    def frames(self, points: np.ndarray) -> np.ndarray:
        return self._surface.triangles.frames[self.locate(points)[0]]

    def nodes(self, corners: np.ndarray, rule: np.ndarray, shares: np.ndarray) -> Nodes:
        triangles = Triangles(corners)
        return Nodes(
            np.einsum("qc,fcd->fqd", rule, corners).reshape(-1, 3),
            np.outer(triangles.areas, shares).ravel(),
            np.repeat(triangles.frames, len(shares), axis=0),
            triangles.gradients[:, None],
        )


class CurvedPatches(Patches):
    """The image of flat triangles under one map."""

    @abstractmethod
    def image(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the points (N, D) that places (N, d) are mapped to, and the derivative of the map there, (N, D, d)."""

    def frames(self, points: np.ndarray) -> np.ndarray:
        faces, weights = self.locate(points)
        corners = self.corners[faces]
        _, derivatives = self.image(np.einsum("qc,qcd->qd", weights, corners))
        return _orthonormal(derivatives @ _sides(corners))[0]

    def nodes(self, corners: np.ndarray, rule: np.ndarray, shares: np.ndarray) -> Nodes:
        places = np.einsum("qc,fcd->fqd", rule, corners)
        points, derivatives = self.image(places.reshape(-1, places.shape[2]))
        frames, triangular = _orthonormal(derivatives @ np.repeat(_sides(corners), len(rule), axis=0))
        areas = triangular[:, 0, 0] * triangular[:, 1, 1] / 2
        inverse = np.linalg.inv(triangular)
        gradients = np.concatenate([-inverse.sum(axis=1, keepdims=True), inverse], axis=1)
        return Nodes(
            points, (areas.reshape(-1, len(shares)) * shares).ravel(), frames, gradients.reshape(-1, len(rule), 3, 2)
        )


class SpherePatches(CurvedPatches):
    """S^2 as the image of an icosahedron under x -> x / |x|, which stretches lengths by .8 to 1.3."""

    def __init__(self) -> None:
        golden = (1 + math.sqrt(5)) / 2
        one = np.array([(0.0, s, t * golden) for s in (1, -1) for t in (1, -1)]) / math.hypot(1, golden)
        vertices = np.concatenate([np.roll(one, turn, axis=1) for turn in range(3)])
        self.manifold, self.faces, self.count = Sphere(2), ConvexHull(vertices).simplices.astype(np.int64), 12
        self.corners = vertices[self.faces]
        self._inverse = np.linalg.inv(np.swapaxes(self.corners, 1, 2))

    def image(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lengths = np.linalg.norm(places, axis=1)
        points = places / lengths[:, None]
        return points, (np.eye(3) - points[:, :, None] * points[:, None]) / lengths[:, None, None]

    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shares = np.einsum("fcd,qd->qfc", self._inverse, points)  # those of the corners, positive in one triangle
        faces = shares.min(axis=2).argmax(axis=1)
        weights = shares[np.arange(len(points)), faces].clip(min=0)
        return faces, weights / weights.sum(axis=1, keepdims=True)


class TorusPatches(CurvedPatches):
    """T^2 as a square of its two angles, whose sides meet."""

    def __init__(self) -> None:
        n = _SQUARES
        self.manifold, self.count = FlatTorus(2), n**2
        # Of each of n^2 squares the lower triangle, then the upper one.
        starts = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), axis=-1).reshape(-1, 1, 2)
        halves_of_square = np.array([[[0, 0], [1, 0], [0, 1]], [[1, 1], [0, 1], [1, 0]]])
        places = (starts[:, None] + halves_of_square).reshape(-1, 3, 2)
        self.faces = np.mod(places, n) @ np.array([n, 1])
        self._width = 2 * np.pi / n
        self.corners = self._width * places

    def image(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = FlatTorus(2).from_angles(places)
        cos, sin = points[:, ::2], points[:, 1::2]
        turned = np.stack([-sin, cos], axis=2)
        return points, (np.eye(2)[:, None] * turned[:, :, :, None]).reshape(-1, 4, 2)

    def locate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps = np.mod(FlatTorus(2).angles(points), 2 * np.pi) / self._width
        squares = np.floor(steps).astype(int).clip(max=_SQUARES - 1)
        along = steps - squares
        upper = along.sum(axis=1) > 1
        along = np.where(upper[:, None], 1 - along, along)
        faces = 2 * (squares @ np.array([_SQUARES, 1])) + upper
        return faces, np.column_stack([1 - along.sum(axis=1), along])


def has_patches(manifold: Manifold) -> bool:
    """Return whether patches of a manifold are known."""
    return isinstance(manifold, TriangulatedSurface) or manifold in (Sphere(2), FlatTorus(2))


def patches_of(manifold: Manifold) -> Patches:
    """Return the patches of a surface that has them."""
    if isinstance(manifold, TriangulatedSurface):
        return FlatPatches(manifold)
    return SpherePatches() if manifold == Sphere(2) else TorusPatches()


def _sides(corners: np.ndarray) -> np.ndarray:
    """Return the two sides from the first corner, (F, d, 2), of triangles with corners (F, 3, d)."""
    return np.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2)


def _orthonormal(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return E (N, D, 2) and R (N, 2, 2), upper triangular, with V = E R, for V (N, D, 2)."""
    first, second = vectors[:, :, 0], vectors[:, :, 1]
    length = np.linalg.norm(first, axis=1)
    first = first / length[:, None]
    share = np.einsum("nd,nd->n", first, second)
    rest = second - share[:, None] * first
    height = np.linalg.norm(rest, axis=1)
    triangular = np.zeros((len(vectors), 2, 2))
    triangular[:, 0, 0], triangular[:, 0, 1], triangular[:, 1, 1] = length, share, height
    return np.stack([first, rest / height[:, None]], axis=2), triangular
