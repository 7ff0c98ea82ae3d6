"""The induced metric drawn: ellipses have the lengths of G, arrows point along the drift, fronts close."""

import numpy as np
import pytest
from mpl_toolkits.mplot3d.art3d import Line3D

from attnflow.errors import DataError
from attnflow.lab import plots


def axes(dim):
    return plots.figure(width=3, height=3).subplots(subplot_kw={"projection": "3d"} if dim == 3 else {})


@pytest.mark.parametrize("dim", [2, 3])
def test_ellipses_are_the_tangent_vectors_of_one_length(dim):
    rng = np.random.default_rng(3)
    tangents = np.linalg.qr(rng.normal(size=(5, dim, 2)))[0]
    shapes = rng.normal(size=(5, 2, 2))
    metrics = np.einsum("qia,qab,qjb->qij", tangents, shapes @ shapes.transpose(0, 2, 1) + np.eye(2), tangents)
    points = rng.normal(size=(5, dim))
    ax = plots.metric_ellipses(axes(dim), points, metrics, length=0.3)
    for line, point, metric, tangent in zip(ax.lines, points, metrics, tangents, strict=True):
        drawn = line.get_data_3d() if isinstance(line, Line3D) else line.get_data()
        vectors = np.stack(drawn, axis=1) - point
        np.testing.assert_allclose(np.einsum("ki,ij,kj->k", vectors, metric, vectors), 0.09, rtol=1e-10)
        np.testing.assert_allclose(vectors @ tangent @ tangent.T, vectors, rtol=0, atol=1e-12)


def test_the_metric_of_a_curve_is_a_segment_along_it():
    tangent = np.array([0.6, 0.8])
    (line,) = plots.metric_ellipses(axes(2), np.zeros((1, 2)), 4 * np.outer(tangent, tangent)[None], length=1.0).lines
    ends = np.stack(line.get_data(), axis=1)
    assert np.linalg.norm(ends, axis=1).max() == pytest.approx(0.5)
    np.testing.assert_allclose(ends @ [-tangent[1], tangent[0]], 0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", [2, 3])
def test_the_longest_arrow_of_a_drift_has_the_given_length(dim):
    points, drifts = np.zeros((2, dim)), np.eye(dim)[:2] * [[2.0], [-1.0]]
    ax = plots.drift_field(axes(dim), points, drifts, longest=0.5)
    (arrows,) = ax.collections
    if dim == 2:
        np.testing.assert_allclose(np.stack([arrows.U, arrows.V], axis=1), drifts / 4)
    else:  # shafts come first, then two barbs for each head
        shafts = np.array([np.ptp(segment, axis=0) for segment in arrows._segments3d[:2]])
        np.testing.assert_allclose(shafts, np.abs(drifts) / 4)


def test_geodesics_have_fronts_that_close():
    angles = 2 * np.pi * np.arange(6) / 6
    paths = np.array([0.5, 1.0])[None, :, None] * np.column_stack([np.cos(angles), np.sin(angles)])[:, None]
    ax = plots.geodesics(axes(2), paths)
    rays, fronts = ax.lines[:6], ax.lines[6:]
    assert [len(line.get_xdata()) for line in rays] == [2] * 6
    for line, radius in zip(fronts, (0.5, 1.0), strict=True):
        x, y = line.get_data()
        np.testing.assert_allclose(np.hypot(x, y), radius)
        assert len(x) == 7
        assert (x[0], y[0]) == (x[-1], y[-1])
    assert len(plots.geodesics(axes(2), paths, fronts=False).lines) == 6


def test_a_surface_is_drawn_behind_what_comes_later():
    u, v = np.meshgrid(np.linspace(0, 2 * np.pi, 9), np.linspace(0, np.pi, 5), indexing="ij")
    grid = np.stack([np.cos(u) * np.sin(v), np.sin(u) * np.sin(v), np.cos(v)], axis=-1)
    ax = plots.surface(axes(3), grid)
    plots.metric_ellipses(ax, np.array([[0.0, 0.0, 1.0]]), np.diag([1.0, 1.0, 0.0])[None], length=0.1)
    assert ax.collections[0].get_zorder() < ax.lines[0].get_zorder()
    assert not ax.computed_zorder


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (
            lambda ax: plots.metric_ellipses(ax, np.zeros((2, 4)), np.zeros((2, 4, 4)), length=1.0),
            "last of length 2 or 3",
        ),
        (
            lambda ax: plots.metric_ellipses(ax, np.zeros((2, 2)), np.zeros((2, 3, 3)), length=1.0),
            r"`metrics` must have",
        ),
        (lambda ax: plots.drift_field(ax, np.zeros((2, 2)), np.zeros((1, 2)), longest=1.0), r"`drifts` must have"),
        (lambda ax: plots.geodesics(ax, np.zeros((2, 2))), r"`paths` must have 3 axes"),
        (lambda ax: plots.surface(ax, np.zeros((2, 2, 2))), "last of length 3"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(draw, words):
    with pytest.raises(DataError, match=words):
        draw(axes(2))
