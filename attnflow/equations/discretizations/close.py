"""Rules with many more nodes than a basis needs, and the sums over them: there it shows what lies between its nodes."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from attnflow.equations.discretizations.base import Basis

_BLOCK = 4096  # rows evaluated at once
_FEW = 128  # angles for which a matrix takes less time than a fast Fourier transform, a quarter at 64


class CloseRule(ABC):
    """Many nodes for one basis.

    Attributes:
        nodes: x_q, (Q, D).
        volumes: weights (Q,) with sum_q volumes_q h(x_q) close to int h dvol.
        weights: the same for int h w dvol.
        outward: normals of a boundary, as a basis has them at its nodes, (Q, D); or None.
    """

    nodes: np.ndarray
    volumes: np.ndarray
    weights: np.ndarray
    outward: np.ndarray | None = None

    @abstractmethod
    def analyse(self, values: np.ndarray) -> np.ndarray:
        """Return coefficients (K, c) of a function with values (Q, c) at the nodes: c_n = int f phi_n w dvol."""

    @abstractmethod
    def analyse_density(self, values: np.ndarray) -> np.ndarray:
        """Return moments (K, c) of a density with values (Q, c) at the nodes: c_n = int r phi_n dvol."""

    @abstractmethod
    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        """Return values (Q, c) at the nodes of sum_n c_n phi_n, from coefficients (K, c)."""


class DenseRule(CloseRule):
    """Any nodes, by sums over all of them for every function."""

    def __init__(self, basis: Basis, nodes: np.ndarray, volumes: np.ndarray) -> None:
        self.nodes, self.volumes = nodes, volumes
        self.weights = volumes * basis.reference_density(nodes)
        self.functions = np.concatenate(
            [basis.evaluate(nodes[start : start + _BLOCK]) for start in range(0, len(nodes), _BLOCK)]
        )

    def analyse(self, values: np.ndarray) -> np.ndarray:
        return self.functions.T @ (self.weights[:, None] * values)

    def analyse_density(self, values: np.ndarray) -> np.ndarray:
        return self.functions.T @ (self.volumes[:, None] * values)

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        return self.functions @ coefficients


class GridRule(CloseRule):
    """Nodes of a grid of angles, by fast Fourier transforms, for a basis whose reference density is uniform."""

    def __init__(self, nodes: np.ndarray, volumes: np.ndarray) -> None:
        self.nodes, self.volumes = nodes, volumes
        self._volume = volumes.sum()
        self.weights = volumes / self._volume

    def analyse_density(self, values: np.ndarray) -> np.ndarray:
        return self._volume * self.analyse(values)


def to_waves(values: np.ndarray, *, axis: int, degree: int) -> np.ndarray:
    """Return means against 1, sqrt 2 cos t, sqrt 2 sin t, ... along an axis whose angles are 2 pi (j + 1/2) / n."""
    n = values.shape[axis]
    if n <= _FEW:
        return _along(_waves_at(n, degree).T / n, values, axis=axis)
    values = np.moveaxis(values, axis, 0)
    phases = np.exp(-1j * np.pi * np.arange(degree + 1) / n) / n
    spectrum = np.fft.rfft(values, axis=0)[: degree + 1] * phases.reshape(-1, *[1] * (values.ndim - 1))
    pairs = np.sqrt(2) * np.stack([spectrum[1:].real, -spectrum[1:].imag], axis=1)
    waves = np.concatenate([spectrum[:1].real, pairs.reshape(-1, *values.shape[1:])])
    return np.moveaxis(waves, 0, axis)


def from_waves(waves: np.ndarray, *, axis: int, nodes: int) -> np.ndarray:
    """Return values at the angles 2 pi (j + 1/2) / nodes of sums of the same functions along an axis."""
    if nodes <= _FEW:
        return _along(_waves_at(nodes, waves.shape[axis] // 2), waves, axis=axis)
    waves = np.moveaxis(waves, axis, 0)
    degree = len(waves) // 2
    spectrum = np.zeros((nodes // 2 + 1, *waves.shape[1:]), dtype=complex)
    spectrum[0] = waves[0]
    spectrum[1 : degree + 1] = (waves[1::2] - 1j * waves[2::2]) / np.sqrt(2)
    phases = nodes * np.exp(1j * np.pi * np.arange(degree + 1) / nodes)
    spectrum[: degree + 1] *= phases.reshape(-1, *[1] * (waves.ndim - 1))
    return np.moveaxis(np.fft.irfft(spectrum, n=nodes, axis=0), 0, axis)


@functools.lru_cache(maxsize=64)
def _waves_at(nodes: int, degree: int) -> np.ndarray:
    """Return 1, sqrt 2 cos t, sqrt 2 sin t, ..., (nodes, 2 degree + 1), at the angles 2 pi (j + 1/2) / nodes."""
    turns = np.outer(2 * np.arange(nodes) + 1, np.arange(1, degree + 1)) % (2 * nodes)
    phases = np.pi / nodes * turns
    pairs = np.sqrt(2) * np.stack([np.cos(phases), np.sin(phases)], axis=2)
    return np.hstack([np.ones((nodes, 1)), pairs.reshape(nodes, -1)])


def _along(matrix: np.ndarray, values: np.ndarray, *, axis: int) -> np.ndarray:
    """Return the product of a matrix with values along an axis."""
    shape = values.shape
    after = matrix @ values.reshape(*shape[: axis + 1], -1)
    return after.reshape(*shape[:axis], len(matrix), *shape[axis + 1 :])
