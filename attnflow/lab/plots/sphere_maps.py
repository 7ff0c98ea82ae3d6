"""The three lives side by side on maps of the sphere, with their differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.projections.geo import GeoAxes

from attnflow._checks import check_finite
from attnflow.errors import DataError
from attnflow.lab.plots.style import GREY

VALUES, DIFFERENCES = "cividis", "RdBu_r"  # colour maps


def sphere_grid(*, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a regular grid for maps of S^2.

    Args:
        rows: number of latitudes; there are twice as many longitudes.

    Returns:
        longitudes (2 rows,), latitudes (rows,), and the points (2 rows^2, 3), latitude by latitude.

    Example:
        >>> from attnflow.lab import plots
        >>> longitudes, latitudes, points = plots.sphere_grid(rows=8)
        >>> longitudes.shape, latitudes.shape, points.shape
        ((16,), (8,), (128, 3))
    """
    latitudes = np.pi * ((np.arange(rows) + 0.5) / rows - 0.5)
    longitudes = np.pi * ((np.arange(2 * rows) + 0.5) / rows - 1.0)
    phi, lam = np.meshgrid(latitudes, longitudes, indexing="ij")
    points = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    return longitudes, latitudes, points.reshape(-1, 3)


def sphere_maps(
    drawn: Figure, *, times: Sequence[float], continuum: np.ndarray, population: np.ndarray, particles: np.ndarray
) -> np.ndarray:
    """Draw maps of S^2 of equal area (Hammer): at each time the three lives, the bias and the sampling error.

    Values of all times share one scale; each difference has its own, symmetric about zero. Colours between the points
    of the grid are interpolated linearly; a pole has the mean of the latitude next to it.

    Args:
        drawn: the figure to draw into.
        times: t_k, shape (T,).
        continuum: values (T, 2 rows^2) at the points of `sphere_grid(rows=rows)`.
        population: at the same points.
        particles: at the same points.

    Returns:
        The axes, shape (T, 5).

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.
    """
    limit, averages, empirical = _check_maps(times, continuum=continuum, population=population, particles=particles)
    both = Normalize(min(map(np.min, (limit, averages, empirical))), max(map(np.max, (limit, averages, empirical))))
    columns = [
        ("continuum", limit, VALUES, both),
        ("population", averages, VALUES, both),
        ("particles", empirical, VALUES, both),
    ]
    for name, field in (("population − continuum", averages - limit), ("particles − population", empirical - averages)):
        largest = float(np.abs(field).max()) or 1.0
        columns.append((name, field, DIFFERENCES, Normalize(-largest, largest)))
    axes = drawn.subplots(len(times), len(columns), subplot_kw={"projection": "hammer"}, squeeze=False)
    for column, (name, values, colours, scale) in enumerate(columns):
        for ax, field in zip(axes[:, column], values, strict=True):
            ax.pcolormesh(*_to_the_edges(field), cmap=colours, norm=scale, rasterized=True, shading="gouraud")
            _bare(ax)
        axes[0, column].set_title(name, pad=4, fontsize=7.5)
    for ax, time in zip(axes[:, 0], times, strict=True):
        place = (-0.03, 0.5)
        ax.annotate(f"$t = {time:.3g}$", place, xycoords="axes fraction", ha="right", va="center", rotation=90)
    _colour_bar(drawn, axes[:, :3], colours=VALUES, scale=both, label="$u(t, x)$")
    for column, label in ((3, "bias"), (4, "sampling error")):
        _colour_bar(drawn, axes[:, [column]], colours=DIFFERENCES, scale=columns[column][3], label=label)
    return axes


def _to_the_edges(field: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return longitudes, latitudes and values (rows, 2 rows) of a grid, continued to the poles and round the edge."""
    rows = len(field)
    seam = (field[:, -1:] + field[:, :1]) / 2
    wide = np.concatenate([seam, field, seam], axis=1)
    poles = (np.broadcast_to(row.mean(), (1, wide.shape[1])) for row in (field[0], field[-1]))
    south, north = poles
    longitudes = np.pi * np.concatenate([[-1.0], (np.arange(2 * rows) + 0.5) / rows - 1.0, [1.0]])
    latitudes = np.pi * np.concatenate([[-0.5], (np.arange(rows) + 0.5) / rows - 0.5, [0.5]])
    return longitudes, latitudes, np.concatenate([south, wide, north])


def _check_maps(times: Sequence[float], **fields: np.ndarray) -> list[np.ndarray]:
    maps = []
    for name, field in fields.items():
        values = check_finite(field, name)
        rows = round(np.sqrt(values.shape[-1] / 2)) if values.ndim else 0
        if values.shape != (len(times), 2 * rows**2):
            raise DataError(
                f"`{name}` must have shape (T, 2 rows^2) with T = {len(times)} times, got {values.shape}. "
                "Evaluate it at the points of `sphere_grid`."
            )
        maps.append(values.reshape(len(times), rows, 2 * rows))
    if len({field.shape for field in maps}) > 1:
        raise DataError(f"the lives must be of one shape, got {', '.join(str(field.shape) for field in maps)}.")
    return maps


def _bare(ax: GeoAxes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines["geo"].set(linewidth=0.5, edgecolor=GREY)


def _colour_bar(drawn: Figure, axes: np.ndarray, *, colours: str, scale: Normalize, label: str) -> None:
    bar = drawn.colorbar(
        ScalarMappable(norm=scale, cmap=colours), ax=list(axes.ravel()), orientation="horizontal", label=label,
        aspect=15 * axes.shape[1], fraction=0.06, pad=0.02,
    )  # fmt: skip
    bar.outline.set_linewidth(0.4)  # type: ignore[operator]
    bar.ax.locator_params(nbins=5)
