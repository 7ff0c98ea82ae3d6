"""Patches of smooth surfaces: they cover them once, without a gap, and know their tangent planes."""

import numpy as np
import pytest
from surfaces import lopsided

import attnflow as af
from attnflow.equations.discretizations.elements import Elements
from attnflow.equations.discretizations.patches import patches_of
from attnflow.manifolds.meshes import edges_of
from attnflow.manifolds.triangulated import triangle_rule

ROUND_OFF = 1e-13
EULER = {"S^2": (af.Sphere(2), 2), "T^2": (af.FlatTorus(2), 0), "mesh": (lopsided(), 2)}
everywhere = pytest.mark.parametrize("name", EULER)
curved = pytest.mark.parametrize("name", ["S^2", "T^2"])


def nodes_of(name, level, count):
    patches = patches_of(EULER[name][0])
    _, _, corners = patches.cut(level)
    return patches, corners, patches.nodes(corners, *triangle_rule(count))


@everywhere
def test_every_edge_has_two_triangles_and_the_surface_the_right_number_of_holes(name):
    patches = patches_of(EULER[name][0])
    for level in (0, 2):
        faces, count, _ = patches.cut(level)
        edges = edges_of(faces)
        assert set(edges.uses.tolist()) == {2}
        assert count - len(edges.ends) + len(faces) == EULER[name][1]
        assert np.array_equal(np.unique(faces), np.arange(count))


@everywhere
def test_nodes_are_found_again_in_their_triangles(name):
    patches, corners, nodes = nodes_of(name, 2, 3)
    rule, _ = triangle_rule(3)
    faces, weights = patches.place(nodes.points, 2)
    np.testing.assert_array_equal(faces, np.repeat(np.arange(len(corners)), len(rule)))
    np.testing.assert_allclose(weights, np.tile(rule, (len(corners), 1)), rtol=0, atol=1e-12)  # magnified by 4 twice


@curved
def test_any_point_is_the_image_of_its_place(name):
    manifold = EULER[name][0]
    patches = patches_of(manifold)
    points = manifold.sample_uniform(500, np.random.default_rng(0))
    if name == "T^2":
        points = np.concatenate([points, manifold.from_angles(np.array([[0, 0], [0, 1], [-1e-17, 2], [np.pi, np.pi]]))])
    for level in (0, 3):
        faces, weights = patches.place(points, level)
        assert weights.min() >= -ROUND_OFF
        _, _, corners = patches.cut(level)
        image, _ = patches.image(np.einsum("qc,qcd->qd", weights, corners[faces]))
        np.testing.assert_allclose(image, points, rtol=0, atol=10 * ROUND_OFF)


@curved
def test_frames_are_orthonormal_and_tangent_and_areas_sum_to_the_volume(name):
    manifold = EULER[name][0]
    patches, _, nodes = nodes_of(name, 1, 8)
    assert manifold.residual(nodes.points).max() < ROUND_OFF
    for points, frames in ((nodes.points, nodes.frames), (nodes.points[::7], patches.frames(nodes.points[::7]))):
        np.testing.assert_allclose(np.swapaxes(frames, 1, 2) @ frames, np.broadcast_to(np.eye(2), (len(points), 2, 2)),
                                   rtol=0, atol=ROUND_OFF)  # fmt: skip
        step = 1e-6
        for axis in range(2):
            assert manifold.residual(points + step * frames[:, :, axis]).max() < step**2  # step itself if not tangent
    assert nodes.areas.sum() == pytest.approx(manifold.volume, rel=1e-12)


@curved
@pytest.mark.parametrize("degree", [1, 2])
def test_functions_are_continuous_across_edges(name, degree):
    # The middles of edges, and places a third along them, seen from both sides.
    patches = patches_of(EULER[name][0])
    elements = Elements(patches, 1, degree)
    faces, _, corners = patches.cut(1)
    edges = edges_of(faces)
    coefficients = np.random.default_rng(0).standard_normal((elements.size, 1))
    seen = {}
    for face, of_face in enumerate(edges.of_faces):
        for corner, edge in enumerate(of_face):
            weights = np.zeros((1, 3))
            low = faces[face] == edges.ends[edge, 0]
            weights[0, low], weights[0, ~low & (np.arange(3) != corner)] = 2 / 3, 1 / 3
            value = elements.evaluate(coefficients, np.array([face]), weights)[0, 0]
            point = patches.image(weights @ corners[face])[0][0]
            other = seen.setdefault(edge, (value, point))
            assert other[0] == pytest.approx(value, abs=1e-12)
            np.testing.assert_allclose(other[1], point, rtol=0, atol=ROUND_OFF)


def test_gradients_are_those_of_the_surface():
    # int |grad_M u|^2 of a height on S^2, int (1 - z^2) = 8 pi / 3, by interpolation: errors of order h^2 per level.
    errors = []
    for level in (2, 3):
        patches, corners, nodes = nodes_of("S^2", level, 2)
        heights = patches.image(corners.reshape(-1, 3))[0][:, 2].reshape(-1, 1, 1, 3)
        slopes = (heights @ nodes.gradients).reshape(-1, 2)
        errors.append(nodes.areas @ np.sum(slopes**2, axis=1) - 8 * np.pi / 3)
    assert abs(errors[1]) < 0.05  # h^2 = .02 of 8.4, times less than one
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)
