"""Films: one frame for each time, and refusals."""

import numpy as np
import pytest
from PIL import Image

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.lab import plots
from attnflow.lab.plots import animation

TIMES = [0.0, 0.5, 1.0]


def flow(*, count, dim=2, times=TIMES, channels=()):
    rng = np.random.default_rng(count)
    points = rng.normal(size=(count, dim))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    decay = np.exp(-np.array(times)).reshape(-1, 1, *[1] * len(channels))
    values = decay * points[:, :1].reshape(1, count, *[1] * len(channels)) * np.ones((1, 1, *channels))
    return af.Trajectory(times=times, points=points, values=values)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_film_has_one_frame_for_each_time_and_they_differ(tmp_path, dim):
    path = plots.animate(tmp_path / "flow.gif", particles=flow(count=20, dim=dim), continuum=flow(count=30, dim=dim))
    with Image.open(path) as film:
        assert film.n_frames == len(TIMES)
        frames = []
        for k in range(film.n_frames):
            film.seek(k)
            frames.append(np.asarray(film.convert("L")))
    assert not np.array_equal(frames[0], frames[2])


def test_without_ffmpeg_a_film_in_mp4_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(animation.FFMpegWriter, "isAvailable", classmethod(lambda _: False))
    with pytest.raises(ConfigError, match=r"'flow.mp4' asks for ffmpeg.*Write a .gif"):
        plots.animate(tmp_path / "flow.mp4", particles=flow(count=3), continuum=flow(count=3))


@pytest.mark.parametrize(
    ("name", "particles", "error", "words"),
    [
        ("flow.avi", flow(count=3), ConfigError, r"`path` must be one of '.gif', '.mp4'"),
        ("flow.gif", flow(count=3, times=[0.0, 1.0]), DataError, "same times"),
        ("flow.gif", flow(count=3, channels=(2,)), DataError, r"`particles` must have scalar values"),
        ("flow.gif", flow(count=3, dim=3), DataError, r"`continuum` must have scalar values, at points of one space"),
    ],
)
def test_what_cannot_be_filmed_is_refused(tmp_path, name, particles, error, words):
    with pytest.raises(error, match=words):
        plots.animate(tmp_path / name, particles=particles, continuum=flow(count=3))


def test_points_of_four_coordinates_are_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"`particles` must be in R, R\^2 or R\^3, or on a flat torus T\^2, to be drawn"
    ):
        plots.animate(tmp_path / "flow.gif", particles=flow(count=3, dim=4), continuum=flow(count=3, dim=4))


def test_points_of_the_circle_are_not_filmed_over_those_of_the_plane(tmp_path):
    circle = flow(count=3)
    plane = af.Trajectory(times=TIMES, points=2 * circle.points, values=circle.values)
    with pytest.raises(DataError, match="`continuum` must lie where `particles` do"):
        plots.animate(tmp_path / "flow.gif", particles=circle, continuum=plane)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.linspace(-1, 2, 9)[:, None], "a line"),
        (np.random.default_rng(1).normal(size=(9, 2)), "a plane"),
        (af.FlatTorus(2).sample_uniform(9, np.random.default_rng(1)), "a torus"),
    ],
    ids=lambda words: words if isinstance(words, str) else "",
)
def test_one_life_is_filmed_alone_and_beside_another(tmp_path, points, words):
    life = af.Trajectory(times=[0.0, 0.5], points=points, values=[points[:, 0], points[:, 0] / 2])
    for name, beside in (("alone.gif", None), ("beside.gif", life)):
        with Image.open(life.animate(tmp_path / name, beside)) as film:
            assert film.n_frames == 2
