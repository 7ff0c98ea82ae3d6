"""Films of tokens: one frame for each time, the law around the circle, and refusals."""

import numpy as np
import pytest
from PIL import Image

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.lab import plots
from attnflow.lab.plots import token_films
from attnflow.lab.plots.tokens import WIDTH

TIMES = [0.0, 0.5, 1.0]


def tokens(*, dim, count=12, times=TIMES):
    rng = np.random.default_rng(dim)
    points = rng.normal(size=(count, dim)) + np.arange(len(times))[:, None, None]
    return af.TokenTrajectory(times=times, points=points / np.linalg.norm(points, axis=-1, keepdims=True))


def law(*, dim=2, times=TIMES, count=160):
    angles = 2 * np.pi * np.arange(count) / count
    points = np.eye(dim)[0] * np.cos(angles)[:, None] + np.eye(dim)[1] * np.sin(angles)[:, None]
    values = (1 + np.multiply.outer(times, points[:, 0]) / 2) / (2 * np.pi)
    return af.Trajectory(times=times, points=points, values=values)


@pytest.mark.parametrize(("dim", "beside"), [(2, law()), (3, None)])
def test_a_film_has_one_frame_for_each_time_and_they_differ(tmp_path, dim, beside):
    path = plots.film_tokens(tmp_path / "tokens.gif", tokens(dim=dim), law=beside)
    with Image.open(path) as film:
        assert film.n_frames == len(TIMES)
        frames = []
        for k in range(film.n_frames):
            film.seek(k)
            frames.append(np.asarray(film.convert("L")))
    assert not np.array_equal(frames[0], frames[2])


def test_a_frame_on_the_circle_has_the_tokens_and_the_law_at_its_radius():
    moved, beside = tokens(dim=2), law()
    made, update = token_films._around_circle(moved, beside)
    _, dots, dashes, words = update(2)
    np.testing.assert_array_equal(np.transpose(dots.get_data()), moved.points[2])
    radii = np.linalg.norm(np.transpose(dashes.get_data()), axis=1) - 1
    # The law has one wave, which a Gaussian of the width w makes lower by e^{-w^2/2}.
    heights = 1 + np.exp(-(WIDTH**2) / 2) / 2 * np.cos(np.linspace(0, 2 * np.pi, 361))
    np.testing.assert_allclose(radii / radii.max(), heights / heights.max(), rtol=1e-7)
    assert words.get_text() == "$t = 1.00$"
    assert made.axes[0].get_aspect() == 1


def test_tokens_behind_the_sphere_are_pale():
    moved = tokens(dim=3)
    _, update = token_films._on_sphere(moved)
    behind, before, _ = update(0)
    assert behind.get_color() != before.get_color()
    towards = np.array([np.cos(np.radians(20)) * np.cos(np.radians(30)), 0, 0])
    towards[1:] = np.cos(np.radians(20)) * np.sin(np.radians(30)), np.sin(np.radians(20))
    assert (np.transpose(before.get_data_3d()) @ towards >= 0).all()
    assert (np.transpose(behind.get_data_3d()) @ towards < 0).all()
    assert len(np.transpose(behind.get_data_3d())) + len(np.transpose(before.get_data_3d())) == 12


@pytest.mark.parametrize(
    ("name", "moved", "beside", "error", "words"),
    [
        ("tokens.avi", tokens(dim=2), None, ConfigError, r"`path` must be one of '.gif', '.mp4'"),
        ("tokens.gif", tokens(dim=4), None, DataError, "unit circle or the unit sphere"),
        (
            "tokens.gif", af.TokenTrajectory(times=[0.0], points=np.ones((1, 3, 2))), None, DataError,
            "Divide them by their norms",
        ),
        ("tokens.gif", tokens(dim=2), law(times=[0.0, 1.0]), DataError, "same `times`"),
        ("tokens.gif", tokens(dim=2), law(dim=3), DataError, "`law` must be on the circle"),
        ("tokens.gif", tokens(dim=2), law(count=100), DataError, "Take 180"),
        ("tokens.gif", tokens(dim=3), law(), DataError, "`law` must be on the circle"),
    ],
)  # fmt: skip
def test_what_cannot_be_filmed_is_refused(tmp_path, name, moved, beside, error, words):
    with pytest.raises(error, match=words):
        plots.film_tokens(tmp_path / name, moved, law=beside)
