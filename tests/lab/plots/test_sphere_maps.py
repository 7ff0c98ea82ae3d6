"""Maps of the sphere show the three lives and what parts them, without seams."""

import numpy as np
import pytest

from attnflow.errors import DataError
from attnflow.lab import plots


def test_the_grid_of_maps_covers_the_sphere_evenly_in_angle():
    longitudes, latitudes, points = plots.sphere_grid(rows=12)
    assert points.shape == (288, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(points[:, 2], np.repeat(np.sin(latitudes), 24), rtol=1e-14)
    np.testing.assert_allclose(np.arctan2(points[:24, 1], points[:24, 0]), longitudes, rtol=1e-12)
    # The area element sums to 4 pi up to the midpoint rule's pi^2/24 of a step squared, .3 % at 12 rows.
    assert np.cos(latitudes).sum() * 24 * (np.pi / 12) ** 2 == pytest.approx(4 * np.pi, rel=4e-3)


def test_maps_show_the_lives_and_their_differences_on_scales_of_their_own():
    _, _, x = plots.sphere_grid(rows=10)
    continuum = np.stack([x[:, 2] + x[:, 0] * x[:, 1], x[:, 2] / 2])
    population = continuum + 0.001 * np.stack([x[:, 0], x[:, 2] - 0.1])
    particles = population + 0.01 * np.stack([x[:, 1] ** 3, x[:, 0] + 0.2])
    drawn = plots.figure(width=6, height=4)
    grid = plots.sphere_maps(
        drawn, times=[0.0, 0.5], continuum=continuum, population=population, particles=particles
    )  # fmt: skip
    assert grid.shape == (2, 5)
    shown = continuum, population, particles, population - continuum, particles - population
    for column, values in enumerate(shown):
        scales = {id(ax.collections[0].norm) for ax in grid[:, column]}
        assert len(scales) == 1
        for ax, field in zip(grid[:, column], values, strict=True):
            inside = np.asarray(ax.collections[0].get_array()).reshape(12, 22)[1:-1, 1:-1]
            np.testing.assert_array_equal(inside.ravel(), field)
    assert grid[0, 0].collections[0].norm is grid[1, 2].collections[0].norm
    for column in (3, 4):
        scale = grid[0, column].collections[0].norm
        assert scale.vmin == -scale.vmax == -np.abs(shown[column]).max()


def test_a_map_meets_itself_at_its_edge_and_covers_the_poles():
    _, _, x = plots.sphere_grid(rows=10)
    field = (x[:, 0] + 2 * x[:, 2])[None]
    mesh = plots.sphere_maps(
        plots.figure(width=6, height=4), times=[0.0], continuum=field, population=field, particles=field
    )[0, 0].collections[0]
    values = np.asarray(mesh.get_array()).reshape(12, 22)
    places = np.asarray(mesh.get_coordinates())
    np.testing.assert_array_equal(values[:, 0], values[:, -1])
    assert np.ptp(values[0]) == np.ptp(values[-1]) == 0
    assert (places[..., 0].min(), places[..., 0].max()) == (-np.pi, np.pi)
    assert (places[..., 1].min(), places[..., 1].max()) == (-np.pi / 2, np.pi / 2)


def test_maps_of_another_grid_are_refused():
    good, bad = np.ones((1, 200)), np.ones((1, 7))
    with pytest.raises(DataError, match="sphere_grid"):
        plots.sphere_maps(plots.figure(width=6, height=4), times=[0.0], continuum=good, population=bad, particles=good)
    with pytest.raises(DataError, match="one shape"):
        plots.sphere_maps(
            plots.figure(width=6, height=4), times=[0.0], continuum=good, population=good, particles=np.ones((1, 72))
        )
