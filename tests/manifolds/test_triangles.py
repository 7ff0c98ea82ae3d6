"""The nearest of many triangles: against all of them, one at a time, by another formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import nnls
from surfaces import lopsided, on_sphere

from attnflow.manifolds.triangles import Triangles

RNG = np.random.default_rng(4)


def distance(y, corners):
    """From y to one triangle: the smallest |corners' w - y| with w >= 0 and a heavily weighted sum w = 1."""
    heavy = 1e6
    w, _ = nnls(np.vstack([corners.T, heavy * np.ones(3)]), np.append(y, heavy))
    return np.linalg.norm(corners.T @ (w / w.sum()) - y)


CLOUDS = {
    "near": lambda x: x + 0.02 * RNG.standard_normal(x.shape),
    "around": lambda x: 1.5 * RNG.standard_normal(x.shape),
    "far": lambda x: 40 * x,
}


@pytest.mark.parametrize("cloud", CLOUDS)
@pytest.mark.parametrize("make", [lopsided, lambda: on_sphere(2)], ids=["32 faces", "128 faces"])
def test_the_nearest_triangle_is_the_nearest_of_all(make, cloud):
    surface = make()
    y = CLOUDS[cloud](surface.sample_uniform(20, RNG))
    expected = np.array([[distance(point, corners) for corners in surface.triangles.corners] for point in y])
    place = surface.locate(y)
    # Weights of 1e6 leave 1e-12 of the distance squared.
    np.testing.assert_allclose(place.distances, expected.min(axis=1), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(expected[np.arange(20), place.faces], place.distances, rtol=1e-8, atol=1e-8)
    nearest = np.einsum("qc,qcd->qd", place.weights, surface.triangles.corners[place.faces])
    np.testing.assert_allclose(np.linalg.norm(nearest - y, axis=1), place.distances, rtol=0, atol=1e-13)
    retracted = np.asarray(jax.jit(jax.vmap(surface.retract))(jnp.asarray(y)))
    np.testing.assert_allclose(np.linalg.norm(retracted - y, axis=1), place.distances, rtol=1e-13, atol=1e-14)


def test_a_huge_triangle_is_found_among_many_small_ones():
    # Its centre is farther than those of a thousand small ones, of which none holds the point.
    small = on_sphere(3).triangles.corners * 0.01 + [0, 0, 0.2]
    triangles = Triangles(np.concatenate([small, [[[-50.0, 0, 0], [1, 30, 0], [1, -30, 0]]]]))
    place = triangles.locate(np.array([[0.0, 0.0, 0.05], [0.0, 0.0, 0.18]]))
    assert place.faces[0] == len(small)
    assert place.faces[1] < len(small)
    np.testing.assert_allclose(place.distances, [0.05, 0.01], rtol=0, atol=1e-4)  # a sphere of triangles is smaller


def test_gradients_and_areas_are_those_of_the_plane():
    triangles = lopsided().triangles
    for corners, frame, gradients, area in zip(
        triangles.corners, triangles.frames, triangles.gradients, triangles.areas, strict=True
    ):
        flat = (corners - corners[0]) @ frame
        np.testing.assert_allclose(gradients @ (flat - flat[0]).T, np.eye(3) - np.eye(3)[:, :1], rtol=0, atol=1e-13)
        assert area == pytest.approx(np.linalg.norm(np.cross(*(corners[1:] - corners[0]))) / 2, rel=1e-13)
