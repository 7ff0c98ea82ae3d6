"""Surfaces made of triangles."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from os import PathLike, fspath
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import roots_jacobi, roots_legendre

from attnflow._optional import optional
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.base import LARGEST_RULE, Manifold, check_size
from attnflow.manifolds.meshes import check_mesh, edges_of, subdivide
from attnflow.manifolds.triangles import Place, Triangles
from attnflow.measures import DiscreteMeasure

_FORMATS = (".obj", ".ply", ".off", ".stl")
_DEGREES_PER_NODE = 24  # of a rule, per node along a side of a triangle


@value
class TriangulatedSurface(Manifold):
    """A connected surface of flat triangles in R^3, closed unless told otherwise.

    The mesh is taken as it is: distances, areas and differential equations are those of the polyhedron. One whose
    vertices lie on a smooth surface differs from that by about the square of the length of its edges, over that of the
    radii of curvature, and no declared error holds this difference. Bandwidths for which attention sees the surface and
    not the triangles have sqrt(eps) well above the length of an edge.

    The tangent plane at a point is that of its triangle, on an edge that of one of the two. Points are located by
    search trees; in programs that JAX compiles the triangles are constants, which is meant for some ten thousand. That
    the surface does not intersect itself is not tested.

    Args:
        vertices: (V, 3).
        faces: three vertices per triangle, (F, 3), counted from 0, all turning the same way.
        with_boundary: whether the surface may end at edges of one triangle; the ends then reflect.

    Raises:
        DataError: if a number is not finite or no vertex, a triangle has no area, a vertex is not used, comes twice or
            is where the surface only touches itself, an edge has more than two triangles or, unless `with_boundary`,
            one, triangles turn in different ways, or the mesh has several parts; the message names the first place.

    Example:
        >>> import numpy as np, attnflow as af
        >>> corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
        >>> surface = af.TriangulatedSurface(corners, [[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
        >>> surface, round(surface.volume, 6)  # 8 sqrt 3
        (TriangulatedSurface(4 vertices, 4 faces), 13.856406)
    """

    vertices: np.ndarray = static()
    faces: np.ndarray = static()

    dim = 2
    ambient_dim = 3
    is_compact = True
    is_examined = True

    def __init__(self, vertices: object, faces: object, *, with_boundary: bool = False) -> None:
        self._hold(*check_mesh(vertices, faces, with_boundary=with_boundary))

    def _hold(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        vertices, faces = np.array(vertices), np.array(faces)
        vertices.setflags(write=False)
        faces.setflags(write=False)
        freeze(self, vertices=vertices, faces=faces)

    @classmethod
    def read(cls, path: str | PathLike, *, with_boundary: bool = False) -> Self:
        """Return the surface in a file, .obj, .ply, .off or .stl; vertices at the same place are merged.

        Raises:
            ConfigError: if it is no such file, or trimesh is not installed.
            DataError: if it cannot be read, or holds no surface, see above.
        """
        name = fspath(path)
        if not name.lower().endswith(_FORMATS):
            raise ConfigError(f"`path` must end with {', '.join(_FORMATS)}, got {name!r}. Convert the file first.")
        trimesh = optional("trimesh")
        if trimesh is None:
            raise ConfigError("reading meshes needs trimesh, which is not installed. Run pip install 'attnflow[mesh]'.")
        try:
            mesh = trimesh.load(name, process=False, force="mesh")
            vertices, faces = np.asarray(mesh.vertices, dtype=float), np.asarray(mesh.faces)
        except Exception as error:  # whatever a reader of so many formats raises
            raise DataError(f"{name!r} cannot be read as a mesh: {type(error).__name__}: {error}.") from error
        if not len(faces):
            raise DataError(f"{name!r} holds no triangles. Export the surface as triangles.")
        merged, which = np.unique(vertices[faces.ravel()], axis=0, return_inverse=True)
        return cls(merged, which.reshape(-1, 3), with_boundary=with_boundary)

    def __repr__(self) -> str:
        return f"TriangulatedSurface({len(self.vertices)} vertices, {len(self.faces)} faces)"

    @functools.cached_property
    def triangles(self) -> Triangles:
        """The triangles by their corners, with what finds the nearest of them."""
        return Triangles(self.vertices[self.faces])

    @functools.cached_property
    def volume(self) -> float:
        return math.fsum(self.triangles.areas)

    @functools.cached_property
    def has_boundary(self) -> bool:
        return bool(self.is_end.any())

    @functools.cached_property
    def angles(self) -> np.ndarray:
        """What the angles of the triangles sum to at every vertex, (V,): 2 pi where the surface is flat."""
        corners = self.triangles.corners
        ahead, back = (np.roll(corners, -turn, axis=1) - corners for turn in (1, 2))
        angles = np.arctan2(np.linalg.norm(np.cross(ahead, back), axis=2), np.einsum("fcd,fcd->fc", ahead, back))
        return np.bincount(self.faces.ravel(), weights=angles.ravel())

    @functools.cached_property
    def is_end(self) -> np.ndarray:
        """Whether the surface ends at a vertex, (V,)."""
        ends, _, uses, _ = edges_of(self.faces)
        found = np.zeros(len(self.vertices), dtype=bool)
        found[ends[uses == 1]] = True
        return found

    def refined(self) -> Self:
        """Return the same surface with four triangles for each, by the middles of the sides."""
        finer = object.__new__(type(self))
        finer._hold(*subdivide(self.vertices, self.faces))
        return finer

    def locate(self, points: np.ndarray) -> Place:
        """Return the nearest triangles of points (Q, 3), the barycentric coordinates in them, and the distances."""
        return self.triangles.locate(points)

    def retract(self, y: jax.Array) -> jax.Array:
        return self._foot(y)[0]

    def tangent_frame(self, x: jax.Array) -> jax.Array:
        return self._foot(x)[1]

    def chart_at(self, x: jax.Array) -> Callable[[jax.Array], jax.Array]:
        """Return the chart u (2,) -> x + E u in the plane of the triangle of x, also where that has ended."""
        origin, frame = self._foot(x)
        return lambda u: origin + frame @ u

    def _foot(self, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the nearest point of a point (3,), and a basis (3, 2) of the plane of its triangle.

        Its derivative is that of the projection on that plane.
        """
        face, nearest = self.triangles.nearest_to(y)
        frame = jnp.asarray(self.triangles.frames, y.dtype)[face]
        return jax.lax.stop_gradient(nearest) + frame @ (frame.T @ (y - jax.lax.stop_gradient(y))), frame

    def project(self, points: np.ndarray) -> np.ndarray:
        faces, weights, _ = self.locate(points)
        return np.einsum("nc,ncd->nd", weights, self.triangles.corners[faces])

    def residual(self, points: np.ndarray) -> np.ndarray:
        return self.locate(points).distances

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return the rule of n^2 nodes per triangle that is exact there for polynomials of degree 2n - 1 in the plane.

        n grows with the degree, and with the sides of the triangles relative to the extent of the surface.
        """
        check_size(self.quadrature_size(degree), self, most=LARGEST_RULE)
        weights, shares = triangle_rule(self._nodes_per_side(degree))
        return DiscreteMeasure(self.at(weights), self.shares(shares))

    def quadrature_size(self, degree: int) -> int:
        return len(self.faces) * self._nodes_per_side(degree) ** 2

    def _nodes_per_side(self, degree: int) -> int:
        # A wave of wave number k over a side of length h needs k h / 4 nodes, and some more for many digits.
        return math.ceil((degree + 1) * (1 / _DEGREES_PER_NODE + self._longest_side / (4 * self._radius)))

    @functools.cached_property
    def _longest_side(self) -> float:
        return float(np.linalg.norm(np.diff(self.vertices[edges_of(self.faces).ends], axis=1), axis=2).max())

    @functools.cached_property
    def _radius(self) -> float:
        return math.sqrt(self.volume / (4 * math.pi))  # of the sphere of this area

    def at(self, weights: np.ndarray) -> np.ndarray:
        """Return the points (F n, 3) with barycentric coordinates (n, 3) in every triangle."""
        return np.einsum("nc,fcd->fnd", weights, self.triangles.corners).reshape(-1, 3)

    def shares(self, shares: np.ndarray) -> np.ndarray:
        """Return shares (n,) of the area of every triangle, (F n,)."""
        return np.outer(self.triangles.areas, shares).ravel()

    def sample_uniform(self, n: int, generator: np.random.Generator) -> np.ndarray:
        edges = np.cumsum(self.triangles.areas)
        faces = np.searchsorted(edges, edges[-1] * generator.random(n), side="right").clip(max=len(edges) - 1)
        root, along = np.sqrt(generator.random(n)), generator.random(n)
        weights = np.stack([1 - root, root * (1 - along), root * along], axis=1)
        return np.einsum("nc,ncd->nd", weights, self.triangles.corners[faces])


@functools.lru_cache(maxsize=64)
def triangle_rule(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return barycentric coordinates (n^2, 3) and shares of the area of a rule exact to degree 2n - 1  [Stroud71].

    On the square, with (s, t) -> (s, t (1 - s)): Gauss-Jacobi for the weight 1 - s, and Gauss-Legendre.
    """
    s, of_s = roots_jacobi(n, 1, 0)
    t, of_t = roots_legendre(n)
    s, t = (1 + s) / 2, (1 + t) / 2
    first = np.repeat(s, n)
    second = np.outer(1 - s, t).ravel()
    shares = np.outer(of_s, of_t).ravel()
    return np.stack([1 - first - second, first, second], axis=1), shares / shares.sum()
