"""Meshes: their edges and subdivision, and every way in which a list of triangles is no surface."""

import numpy as np
import pytest
from surfaces import OCTAHEDRON, OF_OCTAHEDRON, lopsided

import attnflow as af
from attnflow.errors import DataError
from attnflow.manifolds.meshes import descend, edges_of, subdivide

ROUND_OFF = 1e-14


def test_a_closed_mesh_has_three_edges_for_two_triangles():
    edges = edges_of(OF_OCTAHEDRON)
    assert len(edges.ends) == 12
    assert (edges.uses == 2).all()
    assert (edges.turns == 0).all()
    for face, own in zip(OF_OCTAHEDRON, edges.of_faces, strict=True):
        for corner in range(3):  # opposite to it
            assert set(edges.ends[own[corner]]) == set(face) - {face[corner]}


def test_subdivision_keeps_the_surface_its_orientation_and_its_order():
    surface = lopsided()
    vertices, faces = subdivide(surface.vertices, surface.faces)
    finer = af.TriangulatedSurface(vertices, faces)  # whose checks pass
    assert finer.volume == pytest.approx(surface.volume, rel=ROUND_OFF)
    np.testing.assert_allclose(
        finer.triangles.areas.reshape(-1, 4), surface.triangles.areas[:, None] / 4 * np.ones(4), rtol=1e-12
    )
    assert surface.residual(finer.vertices).max() < ROUND_OFF


def test_points_are_found_again_in_the_children_of_their_triangle():
    surface = lopsided()
    weights = np.random.default_rng(0).dirichlet(np.ones(3), 400)
    weights[:6] = np.concatenate([np.eye(3), (1 - np.eye(3)) / 2])  # corners and middles of sides as well
    faces = np.arange(400) % len(surface.faces)
    points = np.einsum("qc,qcd->qd", weights, surface.triangles.corners[faces])
    children, finer = descend(faces, weights)
    assert (children // 4 == faces).all()
    assert finer.min() > -ROUND_OFF
    found = np.einsum("qc,qcd->qd", finer, surface.refined().triangles.corners[children])
    np.testing.assert_allclose(found, points, rtol=0, atol=ROUND_OFF)


def changed(vertices=None, faces=None):
    return (OCTAHEDRON if vertices is None else vertices), (OF_OCTAHEDRON if faces is None else faces)


def with_row(array, row, content):
    copy = np.array(array, dtype=float)
    copy[row] = content
    return copy


TWO = np.concatenate([OCTAHEDRON, OCTAHEDRON + 5]), np.concatenate([OF_OCTAHEDRON, OF_OCTAHEDRON + 6])
# Two octahedra that share the vertex 0.
POINT = np.concatenate([OCTAHEDRON, OCTAHEDRON[1:] * [-1, 1, 1] + [2, 0, 0]])
TOUCHING = np.concatenate([OF_OCTAHEDRON, np.where(OF_OCTAHEDRON == 0, 0, OF_OCTAHEDRON + 5)[:, ::-1]])

BROKEN = {
    "a number that is none": (changed(with_row(OCTAHEDRON, 2, [0, np.nan, 0])), r"`vertices` holds 1 values.*\(2, 1\)"),
    "points of a plane": (changed(OCTAHEDRON[:, :2]), r"`vertices` must have shape \(V, 3\), got \(6, 2\)"),
    "quadrangles": (changed(faces=[[0, 2, 1, 3]]), r"`faces` must have shape \(F, 3\), got \(1, 4\)"),
    "counted from one": (changed(faces=OF_OCTAHEDRON + 1), r"from 0 to 5; face 4 is \[3\.0, 1\.0, 6\.0\]"),
    "a fraction": (changed(faces=with_row(OF_OCTAHEDRON, 3, [3, 0.5, 4])), r"face 3 is \[3\.0, 0\.5, 4\.0\]"),
    "a vertex named twice": (changed(faces=with_row(OF_OCTAHEDRON, 1, [2, 2, 4])), r"face 1 names a vertex twice"),
    "a vertex that is not used": (
        changed(np.concatenate([OCTAHEDRON, [[7, 8, 9]]])), r"1 vertices belong to no face; .* vertex 6 at \[7\.0, 8",
    ),
    "a seam": (
        changed(np.concatenate([OCTAHEDRON, OCTAHEDRON[:1]]), with_row(OF_OCTAHEDRON, 7, [6, 3, 5])),
        r"1 vertices are where another one is.*vertex 6 at \[1\.0, 0\.0, 0\.0\]\. Merge them",
    ),
    "a triangle without area": (
        changed(with_row(OCTAHEDRON, 4, [0.5, 0.5, 0])), r"1 faces have no area, the first is face 0 with corners",
    ),
    "a hole": (
        changed(faces=OF_OCTAHEDRON[1:]),
        r"3 edges belong to one face only: the mesh has holes; .*between vertices 0 and 2, \[1\.0, 0\.0, 0\.0\] to",
    ),
    "a flipped face": (
        changed(faces=with_row(OF_OCTAHEDRON, 5, [2, 1, 5])),
        r"3 edges are run through twice in the same direction \(faces 1 and 5\): faces are flipped.*vertices 1 and 2",
    ),
    "three sheets at an edge": (
        changed(np.concatenate([OCTAHEDRON, [[2, 2, 0]]]), np.concatenate([OF_OCTAHEDRON, [[0, 2, 6]]])),
        r"1 edges belong to more than two faces; .*between vertices 0 and 2",
    ),
    "two surfaces": (TWO, r"mesh has 2 parts that are not connected; the first is vertex 6 at \[6\.0, 5\.0, 5\.0\]"),
    "two surfaces that touch": ((POINT, TOUCHING), r"only touches itself at 1 vertices; the first is vertex 0 at \[1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_surface_is_refused_with_the_place(name):
    (vertices, faces), words = BROKEN[name]
    with pytest.raises(DataError, match=words):
        af.TriangulatedSurface(vertices, faces)


def test_an_end_is_allowed_where_it_is_meant_and_nothing_else_is():
    surface = af.TriangulatedSurface(OCTAHEDRON, OF_OCTAHEDRON[1:], with_boundary=True)
    assert surface.has_boundary
    assert not af.TriangulatedSurface(OCTAHEDRON, OF_OCTAHEDRON, with_boundary=True).has_boundary
    with pytest.raises(DataError, match="flipped"):
        af.TriangulatedSurface(OCTAHEDRON, with_row(OF_OCTAHEDRON, 5, [2, 1, 5])[1:], with_boundary=True)
