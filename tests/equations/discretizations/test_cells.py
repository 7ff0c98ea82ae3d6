"""Grids of cells: volumes, axes and faces against geometry, and values between the centres."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow._lifting import evaluate
from attnflow.equations.discretizations.cells import cells_of, counts_of
from attnflow.equations.discretizations.trigonometric import TrigonometricInterpolant
from attnflow.errors import ConfigError

MANIFOLDS = {
    "circle": af.Circle(),
    "torus of one angle": af.FlatTorus(1),
    "torus": af.FlatTorus(2),
    "sphere": af.Sphere(2),
    "interval": af.Interval(-1.2, 0.9),
}
each = pytest.mark.parametrize("manifold", MANIFOLDS.values(), ids=MANIFOLDS)


def smooth(x):
    return jnp.stack([jnp.exp(0.7 * x[0] - 0.4 * x[-1]) + x[-1] ** 3, jnp.sin(x[0] + 2 * x[-1])])


@each
def test_volumes_add_up_and_axes_are_orthonormal_and_tangent(manifold):
    cells = cells_of(manifold, 12)
    assert cells.volumes.sum() == pytest.approx(manifold.volume, rel=1e-14)
    manifold.check(cells.centres, "centres")
    gram = np.einsum("qai,qbi->qab", cells.axes, cells.axes)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(manifold.dim), gram.shape), atol=1e-15)
    frames = np.stack([np.asarray(manifold.tangent_frame(jnp.asarray(x))) for x in cells.centres[:7]])
    along = np.einsum("qai,qij->qaj", cells.axes[:7], frames)
    np.testing.assert_allclose(np.sum(along**2, axis=2), 1, atol=1e-14)  # nothing is lost on the tangent space


@each
def test_faces_lie_between_neighbours_along_their_coordinate(manifold):
    cells = cells_of(manifold, 64)
    tails, heads, axes, areas, distances = cells.faces
    steps = cells.centres[heads] - cells.centres[tails]
    ahead = np.einsum("ei,ei->e", steps, cells.axes[tails, axes])
    # chords are shorter than arcs by a part of order h^2, along the parallels of the sphere near its poles too
    np.testing.assert_allclose(ahead, distances, rtol=3 * (2 * np.pi / 64) ** 2)
    # Each volume is the product of what is across it and along it, but for the order h^2 and for the polar rings.
    across = np.zeros((2, manifold.dim, len(cells.centres)))
    np.add.at(across[0], (axes, tails), areas * distances / 2)
    np.add.at(across[1], (axes, heads), areas * distances / 2)
    inner = np.all(across.min(axis=0) > 0, axis=0)
    np.testing.assert_allclose(
        across.sum(axis=0)[:, inner], np.tile(cells.volumes[inner], (manifold.dim, 1)), rtol=1e-2
    )


@each
def test_smooth_functions_are_met_between_the_centres(manifold):
    cells = cells_of(manifold, 48)
    points = np.vstack([manifold.spread(40)[:40], manifold.sample_uniform(40, np.random.default_rng(1))])
    found = cells.interpolate(evaluate(smooth, cells.centres), at=points)
    np.testing.assert_allclose(found, evaluate(smooth, points), rtol=0, atol=1e-10)


@each
def test_averages_stay_in_bounds_and_are_of_order_two(manifold):
    points = np.vstack([manifold.spread(40)[:40], manifold.sample_uniform(40, np.random.default_rng(2))])
    errors = []
    for count in (32, 64):
        cells = cells_of(manifold, count)
        spikes = np.random.default_rng(3).random((len(cells.centres), 2)) ** 30
        between = cells.average(spikes, at=points)
        assert spikes.min() >= 0
        assert between.min() >= 0
        assert np.all(between.max(axis=0) <= spikes.max(axis=0) * (1 + 1e-15))
        np.testing.assert_allclose(cells.average(spikes, at=cells.centres), spikes, atol=1e-12)
        flat = lambda x: jnp.cos(np.pi * (x[:1] + 1.2) / 2.1) if len(x) == 1 else smooth(x)  # noqa: E731
        error = cells.average(evaluate(flat, cells.centres), at=points) - evaluate(flat, points)
        errors.append(np.abs(error).max())
    assert 3 < errors[0] / errors[1] < 5.5


def test_the_poles_are_met_from_all_sides():
    cells = cells_of(af.Sphere(2), 32)
    poles = np.array([[0.0, 0, 1], [0, 0, -1], [1e-9, 0, 1], [0, -1e-9, 1]])
    found = cells.interpolate(evaluate(smooth, cells.centres), at=poles)
    np.testing.assert_allclose(found, evaluate(smooth, poles), rtol=0, atol=1e-12)


def test_counts_rise_and_manifolds_without_cells_are_refused():
    for manifold in MANIFOLDS.values():
        counts = counts_of(manifold)
        assert np.all(np.diff(counts) > 0)
        assert all(count % 2 == 0 for count in counts)
        assert len(cells_of(manifold, counts[-1]).centres) < 70_000
    with pytest.raises(ConfigError, match=r"no cells of .*, only of the unit circle"):
        cells_of(af.Sphere(3), 8)


def test_trigonometric_polynomials_are_met_exactly():
    n = 10
    angles = 2 * np.pi * (np.arange(n) + 0.5) / n
    first, second = np.meshgrid(angles, angles, indexing="ij")
    wave = lambda s, t: 0.3 + np.cos(4 * s - 3 * t) + 2 * np.sin(s + 4 * t)  # noqa: E731
    places = np.random.default_rng(4).uniform(-10, 10, size=(50, 2))
    found = TrigonometricInterpolant(wave(first, second)[..., None])(places)[:, 0]
    np.testing.assert_allclose(found, wave(*places.T), rtol=0, atol=1e-13)
    zero = TrigonometricInterpolant(np.zeros((n, n, 1)))(places)
    np.testing.assert_array_equal(zero, 0)
