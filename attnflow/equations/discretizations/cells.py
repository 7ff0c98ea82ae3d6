"""Grids of cells along orthogonal coordinates: what a finite volume method needs to know of a manifold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np

from attnflow.equations.discretizations.trigonometric import TrigonometricInterpolant
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.interval import Interval
from attnflow.manifolds.sphere import Sphere
from attnflow.manifolds.torus import FlatTorus
from attnflow.measures import DiscreteMeasure

_STENCIL = 11  # centres of a polynomial between those of an interval: its error is of order h^11


class Faces(NamedTuple):
    """The faces between neighbouring cells.

    Attributes:
        tails: the cell before each face, (E,).
        heads: the cell behind it, (E,).
        axes: the coordinate across it, (E,).
        areas: (E,).
        distances: between the two centres, along that coordinate, (E,).
    """

    tails: np.ndarray
    heads: np.ndarray
    axes: np.ndarray
    areas: np.ndarray
    distances: np.ndarray


class Cells(ABC):
    """K cells of a manifold, around centres on lines of orthogonal coordinates.

    Attributes:
        columns: how often errors may be extrapolated: those of order h^2, h^4, ... .
        count: cells along the first coordinate.
        centres: (K, D).
        volumes: (K,).
        axes: unit vectors along the coordinates at the centres, (K, m, D).
        faces: between the cells.
        turning: the drift along the first coordinate that C_22 - C_11 brings, (K,), as the second coordinate turns:
            1/2 tr(C Hess f) is 1/2 sum_a C_aa (Lap f)_a and that, (Lap f)_a what a conserves.
    """

    columns: ClassVar[int]
    count: int
    centres: np.ndarray
    volumes: np.ndarray
    axes: np.ndarray
    faces: Faces
    turning: np.ndarray | float = 0.0

    @property
    def measure(self) -> DiscreteMeasure:
        """The centres with the volumes of their cells."""
        return DiscreteMeasure(self.centres, self.volumes)

    @abstractmethod
    def interpolate(self, values: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        """Return values (Q, c) at points (Q, D) of the smooth function with values (K, c) at the centres."""

    @abstractmethod
    def average(self, values: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        """Return averages (Q, c) over the centres around points (Q, D), linear between them: they stay in bounds."""


class FlatCells(Cells):
    """Equal cells of a circle or a flat torus, `count` along each angle; centres at 2 pi (j + 1/2) / count."""

    columns = 5

    def __init__(self, dim: int, count: int) -> None:
        width = 2 * np.pi / count
        angles = width * (np.arange(count) + 0.5)
        mesh = np.stack(np.meshgrid(*[angles] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
        self.count, self._dim, self._width = count, dim, width
        self.centres = FlatTorus(dim).from_angles(mesh)
        self.volumes = np.full(len(mesh), width**dim)
        turned = np.stack([-np.sin(mesh), np.cos(mesh)], axis=-1)
        self.axes = (np.eye(dim)[None, :, :, None] * turned[:, None]).reshape(len(mesh), dim, 2 * dim)
        places = np.arange(len(mesh)).reshape([count] * dim)
        heads = np.stack([np.roll(places, -1, axis=axis) for axis in range(dim)]).reshape(-1)
        tails = np.tile(places.reshape(-1), dim)
        axes = np.repeat(np.arange(dim), len(mesh))
        self.faces = Faces(tails, heads, axes, np.full(len(tails), width ** (dim - 1)), np.full(len(tails), width))

    def _angles(self, points: np.ndarray) -> np.ndarray:
        return FlatTorus(self._dim).angles(points)

    def interpolate(self, values: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        grid = values.reshape(*[self.count] * self._dim, -1)
        return TrigonometricInterpolant(grid)(self._angles(at))

    def average(self, values: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        return _between(values.reshape(*[self.count] * self._dim, -1), self._angles(at) / self._width - 0.5)


class SphereCells(Cells):
    """Cells of S^2: `count` rings of equal width in the polar angle, each of twice as many equal longitudes.

    Across a pole a ring meets itself, shifted by half a turn: there the face has no area, and functions are smooth on
    the torus of the two angles, the polar one from 0 to 2 pi. There, too, what differences miss of a function that
    turns with the longitude is h^2 r log r, r the distance from the pole: of order h^2, but no series in it.
    """

    columns = 1

    def __init__(self, count: int) -> None:
        width = np.pi / count
        heights, turns = width * (np.arange(count) + 0.5), width * (np.arange(2 * count) + 0.5)
        polar, longitude = (each.reshape(-1) for each in np.meshgrid(heights, turns, indexing="ij"))
        self.count, self._width = count, width
        sine, cosine, east, north = np.sin(polar), np.cos(polar), np.sin(longitude), np.cos(longitude)
        self.centres = np.stack([sine * north, sine * east, cosine], axis=-1)
        self.volumes = 2 * np.sin(width / 2) * sine * width
        south = np.stack([cosine * north, cosine * east, -sine], axis=-1)
        self.axes = np.stack([south, np.stack([-east, north, np.zeros_like(polar)], axis=-1)], axis=1)
        self.turning = 0.5 * cosine / sine
        places = np.arange(len(polar)).reshape(count, 2 * count)
        along, around = places[:-1].reshape(-1), places.reshape(-1)
        self.faces = Faces(
            np.concatenate([along, around]),
            np.concatenate([places[1:].reshape(-1), np.roll(places, -1, axis=1).reshape(-1)]),
            np.repeat([0, 1], [len(along), len(around)]),
            np.concatenate([np.sin(polar[along] + width / 2) * width, np.full(len(around), width)]),
            np.concatenate([np.full(len(along), width), sine * width]),
        )

    def _doubled(self, values: np.ndarray) -> np.ndarray:
        """Return the same on the torus of the two angles, (2 count, 2 count, c)."""
        rings = values.reshape(self.count, 2 * self.count, -1)
        return np.concatenate([rings, np.roll(rings[::-1], self.count, axis=1)])

    def _angles(self, points: np.ndarray) -> np.ndarray:
        x, y, z = points.T
        return np.stack([np.arctan2(np.hypot(x, y), z), np.arctan2(y, x)], axis=-1)

    def interpolate(self, values: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        return TrigonometricInterpolant(self._doubled(values))(self._angles(at))

    def average(self, values: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        return _between(self._doubled(values), self._angles(at) / self._width - 0.5)


class IntervalCells(Cells):
    """Equal cells of an interval; no mass leaves it at the ends."""

    columns = 5

    def __init__(self, interval: Interval, count: int) -> None:
        self.count, self._low, self._width = count, interval.low, interval.volume / count
        self.centres = interval.low + self._width * (np.arange(count) + 0.5)[:, None]
        self.volumes = np.full(count, self._width)
        self.axes = np.ones((count, 1, 1))
        tails = np.arange(count - 1)
        self.faces = Faces(tails, tails + 1, np.zeros_like(tails), np.ones(count - 1), np.full(count - 1, self._width))

    def _places(self, points: np.ndarray) -> np.ndarray:
        return (points[:, 0] - self._low) / self._width - 0.5

    def interpolate(self, values: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        places = self._places(at)
        first = np.clip(np.round(places).astype(int) - _STENCIL // 2, 0, self.count - _STENCIL)
        offsets = np.arange(_STENCIL)
        gaps = (places - first)[:, None] - offsets
        total = np.zeros((len(at), values.shape[1]))
        for k in offsets:
            others = offsets != k
            total += np.prod(gaps[:, others] / (k - offsets[others]), axis=1)[:, None] * values[first + k]
        return total

    def average(self, values: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        places = np.clip(self._places(at), 0, self.count - 1)
        below = np.minimum(places.astype(int), self.count - 2)
        share = (places - below)[:, None]
        return (1 - share) * values[below] + share * values[below + 1]


DOMAIN = "the unit circle, FlatTorus(1), FlatTorus(2), Sphere(2) and Interval"


def has_cells(manifold: Manifold) -> bool:
    """Return whether there are cells of a manifold."""
    return manifold in (Sphere(1), FlatTorus(1), FlatTorus(2), Sphere(2)) or isinstance(manifold, Interval)


def cells_of(manifold: Manifold, count: int) -> Cells:
    """Return cells of a manifold, `count` along its first coordinate.

    Raises:
        ConfigError: if there are none.
    """
    if not has_cells(manifold):
        raise ConfigError(f"there are no cells of {manifold}, only of {DOMAIN}.")
    if isinstance(manifold, Interval):
        return IntervalCells(manifold, count)
    return SphereCells(count) if manifold == Sphere(2) else FlatCells(manifold.dim, count)


def counts_of(manifold: Manifold) -> tuple[int, ...]:
    """Return the numbers of cells along a coordinate that are worth trying, up to some 50 000 in all."""
    first, most = (32, 4096) if manifold.dim == 1 else (8, 96) if manifold == Sphere(2) else (16, 256)
    doubled = [first << k for k in range(most // first) if first << k <= most]
    return tuple(sorted({*doubled, *(3 * count // 2 for count in doubled if 3 * count // 2 <= most)}))


def _between(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return values (Q, c) at places (Q, m), counted in cells, linear between those of a periodic grid (n, ..., c)."""
    below = np.floor(places).astype(int)
    shares = places - below
    total = np.zeros((len(places), grid.shape[-1]))
    for corner in np.ndindex(*[2] * places.shape[1]):
        share = np.prod(np.where(np.array(corner) == 1, shares, 1 - shares), axis=1)
        index = tuple((below[:, axis] + step) % grid.shape[axis] for axis, step in enumerate(corner))
        total += share[:, None] * grid[index]
    return total
