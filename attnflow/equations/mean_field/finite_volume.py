"""The mean field on equal cells of the circle: never negative, its mass exact, of second order [CCH].

Mass flows through the faces between cells,

    d_t rho_i = -(F_{i+1/2} - F_{i-1/2}) / h,   F = v+ rho_i^E + v- rho_{i+1}^W - kappa (rho_{i+1} - rho_i) / h,

with values rho^E, rho^W at the faces of a cell from a line through its mean, whose slope is limited where the line
would be negative. Steps are those of strong stability: each stage keeps densities positive.
"""

from __future__ import annotations

import math

import numpy as np

from attnflow.equations.mean_field.fields import UnresolvedError
from attnflow.equations.mean_field.kernels import Kernel, MatrixKernel
from attnflow.equations.mean_field.problem import Answer, BrokenOffError, Problem, Solver

_SETTLED = 1e-10  # of key weights: no number of cells asks for more
_COURANT = 0.8  # of the largest step at which no density is negative


class CellSolver(Solver):
    """Densities by their means over cells, compared with half as many.

    Args:
        problem: what moves, on the circle.
        cells: how many.
    """

    def __init__(self, problem: Problem, *, cells: int) -> None:
        self._problem = problem
        self._fine, self._coarse = _Cells(problem, cells), _Cells(problem, cells // 2)

    def evolve(self, times: np.ndarray, *, points: np.ndarray) -> Answer:
        fine, coarse = self._fine.start(), self._coarse.start()
        values: list[np.ndarray] = []
        errors: list[float] = []
        now = largest = 0.0
        for time in times:
            try:
                fine, coarse = (
                    cells.advance(density, time - now)
                    for cells, density in ((self._fine, fine), (self._coarse, coarse))
                )
            except UnresolvedError as error:
                raise BrokenOffError(f"{error} It was so between t = {now:.6g} and {time:.6g}.", None) from error
            now = float(time)
            largest = max(largest, float(fine.max()))
            errors.append(_difference(fine, coarse))
            if errors[-1] > self._problem.rtol * largest:
                known = self._answer(times, values, errors[:-1]) if values else None
                raise BrokenOffError(
                    f"{len(fine)} cells and half as many differ by {errors[-1]:.3g} at t = {now:.6g}, and "
                    f"{self._problem.rtol * largest:.3g} is asked. Pass more cells, or a larger `rtol`.",
                    known,
                )
            values.append(self._fine.interpolate(fine, at=points))
        return self._answer(times, values, errors)

    def velocity(self, points: np.ndarray) -> np.ndarray:
        velocities = self._fine.field.towards(points)(self._fine.start())
        tangents = np.column_stack([-points[:, 1], points[:, 0]])
        return np.sum(velocities * tangents, axis=1, keepdims=True) * tangents

    def _answer(self, times: np.ndarray, values: list[np.ndarray], errors: list[float]) -> Answer:
        method = f"Finite volume, {len(self._fine.centres)} cells"
        return Answer(times[: len(values)], np.stack(values), max(errors), method)


class _Cells:
    """One grid of cells, its centres and the faces to the right of them."""

    def __init__(self, problem: Problem, count: int) -> None:
        self._problem = problem
        self.width = 2 * math.pi / count
        self.angles = self.width * (np.arange(count) + 0.5)
        self.centres, faces = _points(self.angles), _points(self.angles + self.width / 2)
        volumes = np.full(count, self.width)
        heads = problem.attention.heads
        kernels: list[Kernel] = [MatrixKernel(head, self.centres, volumes) for head in heads]
        self.field = problem.field(kernels, settled=_SETTLED)
        self._at_faces = self.field.towards(faces)
        self._tangents = np.column_stack([-faces[:, 1], faces[:, 0]])

    def start(self) -> np.ndarray:
        """Return the density at the centres, with a mass of one."""
        density = np.exp(self._problem.density.log_densities(self.centres))
        return density / (self.width * density.sum())

    def advance(self, density: np.ndarray, time: float) -> np.ndarray:
        """Return the density after some time, by three stages of strong stability per step."""
        while time > 0:
            speeds = self._speeds(density)
            step = min(time, _COURANT * self._largest_step(speeds))
            first = density + step * self._rate(density, speeds)
            second = 0.75 * density + 0.25 * (first + step * self._rate(first, self._speeds(first)))
            density = density / 3 + 2 / 3 * (second + step * self._rate(second, self._speeds(second)))
            time -= step
        return density

    def interpolate(self, density: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        """Return the density at points, on lines between the centres."""
        angles = np.arctan2(at[:, 1], at[:, 0])
        return np.interp(angles, self.angles, density, period=2 * math.pi)

    def _speeds(self, density: np.ndarray) -> np.ndarray:
        return np.sum(self._tangents * self._at_faces(density), axis=1)

    def _largest_step(self, speeds: np.ndarray) -> float:
        kappa = self._problem.diffusivity
        return 1 / (2 * np.abs(speeds).max() / self.width + 2 * kappa / self.width**2 + 1e-300)

    def _rate(self, density: np.ndarray, speeds: np.ndarray) -> np.ndarray:
        rise = np.roll(density, -1) - density
        slope = _slopes(density, rise)
        right, left = density + slope / 2, np.roll(density - slope / 2, -1)
        flux = np.maximum(speeds, 0) * right + np.minimum(speeds, 0) * left
        flux -= self._problem.diffusivity * rise / self.width
        return (np.roll(flux, 1) - flux) / self.width


def _difference(fine: np.ndarray, coarse: np.ndarray) -> float:
    """Return a bound on the error of the finer density: by how much both differ, and lines from what they connect."""
    bends = np.abs(np.roll(fine, 1) - 2 * fine + np.roll(fine, -1)).max()
    return float(np.abs((fine[0::2] + fine[1::2]) / 2 - coarse).max() + bends / 8)


def _slopes(density: np.ndarray, rise: np.ndarray) -> np.ndarray:
    """Return by how much the density rises along each cell, limited where it would be negative at a face."""
    before = np.roll(rise, 1)
    central = (rise + before) / 2
    least = np.minimum(np.minimum(np.abs(2 * rise), np.abs(2 * before)), np.abs(central))
    limited = np.where(rise * before > 0, np.sign(rise) * least, 0.0)
    return np.where(np.abs(central) > 2 * density, limited, central)


def _points(angles: np.ndarray) -> np.ndarray:
    return np.column_stack([np.cos(angles), np.sin(angles)])
