"""Closed surfaces of triangles where a function is zero, by marching tetrahedra; and fewer triangles for many."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np

from attnflow.errors import DataError

_AWAY = 0.2  # of the step: no node counts as nearer to the surface, or triangles would be points
_TURNED = 0.3  # cosine of the angle by which a triangle may turn when an edge is collapsed
_THIN = 0.1  # twice the area of a triangle over the square of its longest side: what a collapse may not fall below

# The six tetrahedra of a cube in Freudenthal's division: paths of three steps between its corners, as bits x, y, z.
_PATHS = np.array([[0, a, a | b, 7] for a, b, _ in itertools.permutations((1, 2, 4))])
# Of a tetrahedron with one, two or three corners inside, which come first: the edges with those of its triangles.
_TRIANGLES = {
    1: np.array([[[0, 1], [0, 2], [0, 3]]]),
    2: np.array([[[0, 2], [0, 3], [1, 3]], [[0, 2], [1, 3], [1, 2]]]),
    3: np.array([[[0, 3], [1, 3], [2, 3]]]),
}


def isosurface(
    f: Callable[[np.ndarray], np.ndarray], *, low: np.ndarray, high: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) and triangles (F, 3), turned outwards, of the surface f = 0 around where f < 0.

    On a grid f is taken as linear in each of the six tetrahedra of a cube, so that every edge has two triangles.

    Args:
        f: maps points (Q, 3) to (Q,); near the surface about as large as the distance from it.
        low: the lower corner of a box, (3,).
        high: its upper corner, (3,).
        step: of the grid.

    Raises:
        DataError: if f is nowhere negative, or not positive on the sides of the box.
    """
    shape = np.ceil((high - low) / step).astype(int) + 1
    index = np.indices(shape)
    nodes = low + step * index.reshape(3, -1).T
    values = f(nodes)
    on_sides = ((index == 0) | (index == (shape - 1)[:, None, None, None])).any(axis=0).ravel()
    if not (values < 0).any() or (values[on_sides] <= 0).any():
        raise DataError("the surface f = 0 must be inside of the box from `low` to `high`. Pass a larger box.")
    inside = values < 0
    values = np.where(inside, np.minimum(values, -_AWAY * step), np.maximum(values, _AWAY * step))
    ends = _crossed_edges(inside, shape)
    edges, corners = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True)
    inner, outer = values[edges.T]
    share = (inner / (inner - outer))[:, None]
    vertices = (1 - share) * nodes[edges[:, 0]] + share * nodes[edges[:, 1]]
    faces = corners.reshape(-1, 3)
    ways = (nodes[ends[:, :, 1]] - nodes[ends[:, :, 0]]).sum(axis=1)  # f rises along each
    sides = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    inward = np.einsum("fd,fd->f", np.cross(sides[:, 0], sides[:, 1]), ways) < 0
    faces[inward] = faces[inward][:, [0, 2, 1]]
    return vertices, faces


def _crossed_edges(inside: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return triangles by the ends (F, 3, 2) of the edges of the grid that hold their corners, the inner one first."""
    strides = [int(shape[1] * shape[2]), int(shape[2]), 1]
    offsets = np.array([sum(strides[axis] for axis in range(3) if bits >> axis & 1) for bits in range(8)])
    cubes = np.arange(inside.size).reshape(shape)[:-1, :-1, :-1].ravel()
    within = inside[cubes[:, None] + offsets]
    cut = cubes[within.any(axis=1) & ~within.all(axis=1)]
    tetrahedra = (cut[:, None, None] + offsets[_PATHS]).reshape(-1, 4)
    within = inside[tetrahedra]
    inner_first = np.take_along_axis(tetrahedra, np.argsort(~within, axis=1, kind="stable"), axis=1)
    count = within.sum(axis=1)
    return np.concatenate([inner_first[count == n][:, edges].reshape(-1, 3, 2) for n, edges in _TRIANGLES.items()])


def decimate(vertices: np.ndarray, faces: np.ndarray, *, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return so many of the vertices of a closed surface, and triangles between them, by collapsing short edges.

    The shortest edge goes first, one of its ends into the other, unless the surface would be pinched (its ends have
    more than two neighbours in common), a triangle would turn over, or become a needle.

    Args:
        vertices: (V, 3).
        faces: (F, 3), of a surface without ends.
        count: how many vertices are kept, at least 4.

    Raises:
        DataError: if no edge is left that may go.
    """
    mesh = _Mesh(vertices, faces)
    while mesh.left > count:
        if not mesh.collapse_shortest():
            raise DataError(
                f"of {len(vertices)} vertices {mesh.left} are left and none can go, {count} were asked. Ask for more."
            )
    return mesh.result()


Vector = tuple[float, float, float]
Face = tuple[int, int, int]


class _Mesh:
    """Triangles that edges are taken from, with the triangles of every vertex and the edges by their lengths.

    In plain numbers: the few triangles at a vertex are too few for arrays, with which this takes three times as long.
    """

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.vertices: list[Vector] = list(map(tuple, vertices.tolist()))
        self.faces: list[Face | None] = list(map(tuple, faces.tolist()))
        self.around: list[set[int]] = [set() for _ in vertices]
        for number, face in enumerate(faces.tolist()):
            for corner in face:
                self.around[corner].add(number)
        self.left = len(vertices)
        self.edges: list[tuple[float, int, int]] = []
        for vertex in range(len(vertices)):
            self._push(vertex, (other for other in self._neighbours(vertex) if other > vertex))

    def collapse_shortest(self) -> bool:
        """Collapse the shortest edge that may go; return whether there was one."""
        while self.edges:
            _, first, second = heapq.heappop(self.edges)
            shared = self.around[first] & self.around[second]
            if len(shared) != 2 or len(self._neighbours(first) & self._neighbours(second)) != 2:
                continue  # the edge has gone with another one, or the surface would be pinched
            for gone, kept in ((second, first), (first, second)):
                moved = self._moved(gone, kept, shared)
                if moved is not None:
                    self._put(gone, kept, shared, moved)
                    return True
        return False

    def _neighbours(self, vertex: int) -> set[int]:
        return {corner for number in self.around[vertex] for corner in self.faces[number] or ()} - {vertex}

    def _push(self, vertex: int, others: Iterable[int]) -> None:
        for other in others:
            heapq.heappush(self.edges, (math.dist(self.vertices[vertex], self.vertices[other]), vertex, other))

    def _moved(self, gone: int, kept: int, shared: set[int]) -> dict[int, Face] | None:
        """Return the triangles that change, or None where one turns over or becomes a needle."""
        found: dict[int, Face] = {}
        for number in self.around[gone] - shared:
            face = self.faces[number] or (0, 0, 0)
            a, b, c = (kept if corner == gone else corner for corner in face)
            found[number] = after = (a, b, c)
            old, new = self._normal(face), self._normal(after)
            was, size = math.hypot(*old), math.hypot(*new)
            along = old[0] * new[0] + old[1] * new[1] + old[2] * new[2]
            if along <= _TURNED * size * was or size <= _THIN * self._longest(after) ** 2:
                return None
        return found

    def _longest(self, face: Face) -> float:
        """Return the length of the longest side of a triangle."""
        a, b, c = (self.vertices[corner] for corner in face)
        return max(math.dist(a, b), math.dist(b, c), math.dist(c, a))

    def _normal(self, face: Face) -> Vector:
        """Return twice the area of a triangle times its normal."""
        (px, py, pz), (qx, qy, qz), (rx, ry, rz) = (self.vertices[corner] for corner in face)
        ax, ay, az, bx, by, bz = qx - px, qy - py, qz - pz, rx - px, ry - py, rz - pz
        return ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx

    def _put(self, gone: int, kept: int, shared: set[int], moved: dict[int, Face]) -> None:
        for number in shared:
            for corner in self.faces[number] or ():
                self.around[corner].discard(number)
            self.faces[number] = None
        for number, face in moved.items():
            self.faces[number] = face
        self.around[kept] |= moved.keys()
        self.around[gone] = set()
        self.left -= 1
        self._push(kept, sorted(self._neighbours(kept)))  # also those that were refused: they may be allowed now

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the vertices and triangles that are left, numbered anew."""
        kept, which = np.unique(np.array([face for face in self.faces if face is not None]), return_inverse=True)
        return np.array(self.vertices)[kept], which.reshape(-1, 3)
