"""Lists of triangles: their edges, their subdivision, and what keeps them from being a surface."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from attnflow._checks import check_finite
from attnflow.errors import DataError

_FLAT = 1e-10  # of the longest side squared: the height of a triangle that is a line
# The corners and the middles of the sides opposite to them, as the children of a triangle have them.
_CHILDREN = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2], [3, 4, 5]])


class Edges(NamedTuple):
    """The edges of a mesh, each once.

    Attributes:
        ends: their two vertices, the lower first, (E, 2).
        of_faces: the edges of each triangle, the one opposite to each corner, (F, 3).
        uses: by how many triangles each is used, (E,).
        turns: of these, how many more run from the lower vertex to the higher one than back, (E,).
    """

    ends: np.ndarray
    of_faces: np.ndarray
    uses: np.ndarray
    turns: np.ndarray


def edges_of(faces: np.ndarray) -> Edges:
    """Return the edges of triangles (F, 3)."""
    directed = np.stack([faces[:, [1, 2]], faces[:, [2, 0]], faces[:, [0, 1]]], axis=1).reshape(-1, 2)
    ends, of_faces = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True)
    of_faces = of_faces.reshape(-1)
    signs = np.where(directed[:, 0] < directed[:, 1], 1.0, -1.0)
    turns = np.bincount(of_faces, weights=signs).astype(int)
    return Edges(ends, of_faces.reshape(-1, 3), np.bincount(of_faces), turns)


def subdivide(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a mesh of four triangles for each, by the middles of the sides: rows 4f to 4f + 3, the middle one last."""
    ends, of_faces, *_ = edges_of(faces)
    corners = np.concatenate([faces, len(vertices) + of_faces], axis=1)
    return np.concatenate([vertices, vertices[ends].mean(axis=1)]), corners[:, _CHILDREN].reshape(-1, 3)


def halves(corners: np.ndarray) -> np.ndarray:
    """Return the corners (4F, 3, d) of the triangles into which those with corners (F, 3, d) are cut, likewise."""
    after, before = np.roll(corners, -1, axis=1), np.roll(corners, 1, axis=1)
    places = np.concatenate([corners, (after + before) / 2], axis=1)
    return places[:, _CHILDREN].reshape(-1, *corners.shape[1:])


def descend(faces: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return in which triangles of the subdivided mesh points lie, and their barycentric coordinates (Q, 3) there."""
    corner = weights.argmax(axis=1)
    is_outer = weights[np.arange(len(weights)), corner] >= 0.5
    finer = np.where(is_outer[:, None], 2 * weights - np.eye(3)[corner], 1 - 2 * weights)
    return 4 * faces + np.where(is_outer, corner, 3), finer


def check_mesh(vertices: object, faces: object, *, with_boundary: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (V, 3) and the triangles (F, 3) of one connected, oriented surface.

    Raises:
        DataError: if they are anything else, with the first place where.
    """
    points = check_finite(vertices, "vertices")
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise DataError(f"`vertices` must have shape (V, 3), got {points.shape}. Pass one row per vertex.")
    triangles = _check_indices(faces, len(points))
    _check_vertices(points, triangles)
    _check_areas(points, triangles)
    edges = edges_of(triangles)
    _check_edges(points, triangles, edges, with_boundary=with_boundary)
    _check_fans(points, triangles, edges)
    return points, triangles


def _check_indices(faces: object, count: int) -> np.ndarray:
    given = check_finite(faces, "faces")
    if given.ndim != 2 or given.shape[1] != 3 or not len(given):
        raise DataError(f"`faces` must have shape (F, 3), got {given.shape}. Pass three vertices per triangle.")
    triangles = given.astype(np.int64)
    wrong = ((triangles != given) | (triangles < 0) | (triangles >= count)).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"`faces` must hold numbers of vertices, from 0 to {count - 1}; face {row} is {given[row].tolist()}. Count "
            "vertices from 0."
        )
    repeated = (triangles == np.roll(triangles, 1, axis=1)).any(axis=1)
    if repeated.any():
        row = int(np.argmax(repeated))
        raise DataError(f"face {row} names a vertex twice: {triangles[row].tolist()}. Leave it out.")
    return triangles


def _check_vertices(points: np.ndarray, triangles: np.ndarray) -> None:
    used = np.bincount(triangles.ravel(), minlength=len(points)) > 0
    if not used.all():
        _refuse(
            f"{int((~used).sum())} vertices belong to no face", "vertex", int(np.argmin(used)), points, "Leave them out"
        )
    _, first, which = np.unique(points, axis=0, return_index=True, return_inverse=True)
    copies = first[which.reshape(-1)] != np.arange(len(points))
    if copies.any():
        row = int(np.argmax(copies))
        _refuse(
            f"{int(copies.sum())} vertices are where another one is, so that the surface is cut there",
            "vertex", row, points, "Merge them, as TriangulatedSurface.read does",
        )  # fmt: skip


def _check_areas(points: np.ndarray, triangles: np.ndarray) -> None:
    corners = points[triangles]
    sides = corners - np.roll(corners, 1, axis=1)
    doubled = np.linalg.norm(np.cross(sides[:, 1], sides[:, 2]), axis=1)
    flat = ~(doubled > _FLAT * (sides**2).sum(axis=2).max(axis=1))
    if flat.any():
        row = int(np.argmax(flat))
        where = " ".join(str(np.round(corner, 6).tolist()) for corner in corners[row])
        raise DataError(
            f"{int(flat.sum())} faces have no area, the first is face {row} with corners {where}. Collapse or flip its "
            "longest edge in a mesh editor."
        )


def _check_edges(points: np.ndarray, triangles: np.ndarray, edges: Edges, *, with_boundary: bool) -> None:
    crowded = edges.uses > 2
    if crowded.any():
        _refuse_edges("belong to more than two faces", crowded, points, edges, "Take the sheets apart")
    # Of the two triangles of an edge one runs along it forwards and the other one backwards.
    flipped = (edges.uses == 2) & (edges.turns != 0)
    if flipped.any():
        pair = np.flatnonzero((edges.of_faces == np.argmax(flipped)).any(axis=1)).tolist()
        _refuse_edges(
            f"are run through twice in the same direction (faces {pair[0]} and {pair[1]}): faces are flipped",
            flipped, points, edges, "Turn all faces the same way, by swapping two vertices of one of them",
        )  # fmt: skip
    open_ones = edges.uses == 1
    if open_ones.any() and not with_boundary:
        _refuse_edges(
            "belong to one face only: the mesh has holes",
            open_ones, points, edges, "Close them, or pass `with_boundary=True` for a surface that ends there",
        )  # fmt: skip


def _check_fans(points: np.ndarray, triangles: np.ndarray, edges: Edges) -> None:
    """Raise DataError unless the surface is connected, and near each vertex as well."""
    count, fans = _fans(triangles, edges)
    if count > len(points):
        corners = np.unique(np.column_stack([triangles.ravel(), fans]), axis=0)[:, 0]
        touching = np.bincount(corners) > 1
        _refuse(
            f"the surface only touches itself at {int(touching.sum())} vertices",
            "vertex", int(np.argmax(touching)), points, "Take the sheets apart there",
        )  # fmt: skip
    graph = coo_array((np.ones(len(edges.ends)), tuple(edges.ends.T)), shape=(len(points), len(points)))
    count, labels = connected_components(graph, directed=False)
    if count > 1:
        apart = int(np.argmax(labels != labels[0]))
        _refuse(f"the mesh has {count} parts that are not connected", "vertex", apart, points, "Pass one of them")


def _fans(triangles: np.ndarray, edges: Edges) -> tuple[int, np.ndarray]:
    """Return how many fans there are, and to which each corner (3F,) belongs: corners of one vertex that share edges.

    In the graph of corners and of ends of edges a corner is linked with the ends, at its vertex, of its two sides.
    """
    corners = np.arange(triangles.size).reshape(-1, 3)
    rows, columns = [], []
    for corner in range(3):
        for side in ((corner + 1) % 3, (corner + 2) % 3):
            edge = edges.of_faces[:, side]
            rows.append(corners[:, corner])
            columns.append(triangles.size + 2 * edge + (edges.ends[edge, 1] == triangles[:, corner]))
    size = triangles.size + 2 * len(edges.ends)
    links = (np.concatenate(rows), np.concatenate(columns))
    count, labels = connected_components(coo_array((np.ones(len(links[0])), links), shape=(size, size)), directed=False)
    return count, labels[: triangles.size]


def _refuse_edges(what: str, which: np.ndarray, points: np.ndarray, edges: Edges, remedy: str) -> NoReturn:
    first = edges.ends[np.argmax(which)]
    where = " to ".join(str(np.round(points[end], 6).tolist()) for end in first)
    raise DataError(
        f"{int(which.sum())} edges {what}; the first is between vertices {first[0]} and {first[1]}, {where}. {remedy}."
    )


def _refuse(what: str, kind: str, row: int, points: np.ndarray, remedy: str) -> NoReturn:
    raise DataError(f"{what}; the first is {kind} {row} at {np.round(points[row], 6).tolist()}. {remedy}.")
