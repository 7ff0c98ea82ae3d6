"""Films of tokens that move: on the circle with their law around it, on the sphere as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from attnflow.errors import DataError
from attnflow.lab.plots.animation import save_film, writer_of
from attnflow.lab.plots.metric import bare
from attnflow.lab.plots.style import BLUE, GREY, INK, PALE, PALE_BLUE, figure, style
from attnflow.lab.plots.tokens import WIDTH, smoothed
from attnflow.trajectories import TokenTrajectory, Trajectory

HIGHEST = 0.8  # of the law around the unit circle: radii from 1 to 1.8
ELEVATION, AZIMUTH = 20.0, 30.0  # degrees from which a sphere is seen
_ON_IT = 1e-6  # more than the error of any flow that is worth a film


def film_tokens(path: str | Path, tokens: TokenTrajectory, *, law: Trajectory | None = None) -> Path:
    """Write a film of tokens on the unit circle or on the unit sphere of R^3, one frame for each time.

    On the circle their law stands around it and as dashes that of an equation, both smoothed by Gaussians of a tenth of
    a radian. On the sphere tokens behind it are pale.

    Args:
        path: where to write, ".gif", or ".mp4" where ffmpeg is there.
        tokens: their trajectory.
        law: densities on the circle at the same times, as `MeanFieldFlow` gives them.

    Returns:
        The path.

    Raises:
        ConfigError: if the ending is another, or ffmpeg is missing.
        DataError: if tokens are not on the unit circle or sphere, or the law is of other times, not on the circle, or
            at too few points.

    Example:
        >>> import numpy as np, tempfile, attnflow as af
        >>> from attnflow.lab import plots
        >>> angles = np.linspace(0, 6, 12) * np.array([[1.0], [1.01]])
        >>> tokens = af.TokenTrajectory(times=[0.0, 1.0], points=np.stack([np.cos(angles), np.sin(angles)], axis=-1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plots.film_tokens(f"{folder}/tokens.gif", tokens).name
        'tokens.gif'
    """
    writer = writer_of(path)
    dim = tokens.points.shape[2]
    if dim not in (2, 3) or (np.abs(np.linalg.norm(tokens.points, axis=2) - 1) > _ON_IT).any():
        raise DataError("`tokens` must be on the unit circle or the unit sphere of R^3. Divide them by their norms.")
    if law is not None and (dim != 2 or law.points.shape[1] != 2 or not np.array_equal(law.times, tokens.times)):
        raise DataError("`law` must be on the circle, at the times of `tokens`. Pass the same `times` to both.")
    with style():
        made, update = _around_circle(tokens, law) if dim == 2 else _on_sphere(tokens)
        return save_film(path, made, update, frames=len(tokens.times), writer=writer)


def _around_circle(tokens: TokenTrajectory, law: Trajectory | None) -> tuple[Any, Any]:
    made = figure(width=3.4, height=3.5)
    ax = made.subplots()
    where = np.linspace(0, 2 * np.pi, 361)
    ring = np.column_stack([np.cos(where), np.sin(where)])
    angles = np.arctan2(tokens.points[..., 1], tokens.points[..., 0])
    densities = np.array([smoothed(angle, where) for angle in angles])
    expected = None if law is None else _smoothed_law(law, where)
    scale = HIGHEST / max(densities.max(), 0.0 if expected is None else expected.max())
    ax.plot(*ring.T, color=GREY, linewidth=0.6, zorder=1)
    (around,) = ax.fill(*ring.T, color=PALE_BLUE, linewidth=0, zorder=0)
    ax.fill(*ring.T, color="white", linewidth=0, zorder=0.5)
    (dots,) = ax.plot([], [], "o", color=BLUE, markersize=3, alpha=0.6, markeredgewidth=0, zorder=2)
    (dashes,) = ax.plot([], [], color=INK, linestyle=(0, (3.5, 2)), linewidth=0.9, zorder=3)
    ax.set(xlim=(-1.85, 1.85), ylim=(-1.85, 1.85), aspect="equal")
    ax.set_axis_off()
    words = ax.set_title("")

    def update(k: int) -> tuple[Any, ...]:
        around.set_xy(ring * (1 + scale * densities[k])[:, None])
        dots.set_data(*tokens.points[k].T)
        if expected is not None:
            dashes.set_data(*(ring * (1 + scale * expected[k])[:, None]).T)
        words.set_text(f"$t = {tokens.times[k]:.2f}$")
        return around, dots, dashes, words

    return made, update


def _smoothed_law(law: Trajectory, where: np.ndarray) -> np.ndarray:
    """Return the densities (T, Q) at the angles, of masses by the trapezoidal rule over the points of the law."""
    angles = np.arctan2(law.points[:, 1], law.points[:, 0])
    order = np.argsort(angles)
    before, after = np.roll(angles[order], 1), np.roll(angles[order], -1)
    widths = np.mod(after - before, 2 * np.pi) / 2
    if len(angles) < 3 or widths.max() > WIDTH / 2:  # Gaussians at their points would show
        raise DataError(f"`law` must be at points of the whole circle, nearer than {WIDTH / 2:g} radians. Take 180.")
    return np.array([smoothed(angles[order], where, widths * values[order]) for values in law.values])


def _on_sphere(tokens: TokenTrajectory) -> tuple[Any, Any]:
    made = figure(width=3.4, height=3.5)
    ax: Any = made.subplots(subplot_kw={"projection": "3d", "elev": ELEVATION, "azim": AZIMUTH})
    ax.computed_zorder = False
    up, round_ = np.radians([ELEVATION, AZIMUTH])
    towards = np.array([np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)])
    turn = np.linspace(0, 2 * np.pi, 73)
    for height in np.radians([-60, -30, 0, 30, 60]):
        ax.plot(*_circle(np.cos(height), turn), np.full(73, np.sin(height)), color=PALE, linewidth=0.5, zorder=0)
    for meridian in np.radians(range(0, 180, 30)):
        ax.plot(*np.outer([np.cos(meridian), np.sin(meridian)], np.cos(turn)), np.sin(turn), color=PALE, linewidth=0.5)
    looks = {"linestyle": "none", "marker": "o", "markersize": 3, "markeredgewidth": 0}
    behind, before = (ax.plot([], [], [], color=c, zorder=z, **looks)[0] for c, z in ((PALE_BLUE, 1), (BLUE, 2)))
    bare(ax, np.eye(3))
    words = ax.set_title("")

    def update(k: int) -> tuple[Any, ...]:
        seen = tokens.points[k] @ towards >= 0
        behind.set_data_3d(*tokens.points[k, ~seen].T)
        before.set_data_3d(*tokens.points[k, seen].T)
        words.set_text(f"$t = {tokens.times[k]:.2f}$")
        return behind, before, words

    return made, update


def _circle(radius: float, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return radius * np.cos(turn), radius * np.sin(turn)
