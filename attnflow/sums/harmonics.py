"""Harmonics on spheres and tori: the coefficients of functions on a grid, and their values there and anywhere."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod

import numpy as np
import scipy.fft

from attnflow.manifolds.base import Manifold
from attnflow.manifolds.sphere import Sphere, polar_rule
from attnflow.manifolds.torus import FlatTorus
from attnflow.sums.kernel_sums.blocks import slices

BLOCK_BYTES = 2**25  # of the coefficients that belong to a block of points
HIGH = 0.8  # of the largest degree: coefficients above tell whether there are more


class Harmonics(ABC):
    """Coefficients of functions with values (Q, c) at the nodes of `manifold.quadrature(degree)`.

    They reach up to half of the degree: the rule integrates the product of two such functions exactly, so that
    functions of those degrees are recovered from their values.

    Attributes:
        limit: L, the largest degree; per angle on a torus.
        channels: the axis of the channels in coefficients.
    """

    limit: int
    channels: int

    @abstractmethod
    def analyse(self, values: np.ndarray) -> np.ndarray:
        """Return the coefficients (..., c) or (..., c, 2) of functions with values (Q, c) at the nodes."""

    @abstractmethod
    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        """Return the values (Q, c) at the nodes."""

    @abstractmethod
    def evaluate(self, coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return the values (P, c) at points (P, D) of the manifold."""

    @abstractmethod
    def damp(self, coefficients: np.ndarray, symbol: np.ndarray) -> np.ndarray:
        """Return the coefficients after an operator with eigenvalues `symbol` (L + 1,), by degree; products on a torus.

        As coefficients are those of functions in the mean, a symbol that starts with 1 leaves constants.
        """

    @abstractmethod
    def tail(self, coefficients: np.ndarray, *, size: float) -> float:
        """Return the root mean square of what has a degree above four fifths of the largest, over a size.

        Of several channels that of the largest.
        """


class SphereHarmonics(Harmonics):
    """On S^m, by a fast Fourier transform in longitude and Gegenbauer functions in each polar angle.

    With x = (sqrt(1 - z^2) y, z), y on S^{k-1}, a harmonic of degree l on S^k is one of degree j <= l on S^{k-1} times

        P_l^j(z) ~ (1 - z^2)^{j/2} C_{l-j}^{j + (k-1)/2}(z),

    orthonormal for (1 - z^2)^{(k-2)/2} dz. Coefficients have the shape (L + 1, ..., L + 1, c, 2): the degrees on S^m,
    ..., S^2 and the order, each at most the one before, of the real and imaginary part.
    """

    channels = -2

    def __init__(self, dim: int, degree: int) -> None:
        self._dim = dim
        self.limit = degree // 2
        self._longitudes = degree + 1
        self._levels = [(*polar_rule(degree // 2 + 1, k), k) for k in range(2, dim + 1)]
        waves = np.arange(self.limit + 1)
        self._phases = np.exp(-1j * np.pi * waves / self._longitudes)[:, None]

    def analyse(self, values: np.ndarray) -> np.ndarray:
        heights = [len(z) for z, _, _ in reversed(self._levels)]
        grid = values.reshape(*heights, self._longitudes, -1)
        waves = scipy.fft.rfft(grid, axis=-2)[..., : self.limit + 1, :] * (self._phases / self._longitudes)
        found = waves.view(float).reshape(*waves.shape, 2)
        for level, (_, weights, _) in enumerate(self._levels):
            # (heights above, these heights, j, degrees below and channels)
            shape = found.shape
            above = self._dim - 2 - level
            batch = found.reshape(-1, shape[above], self.limit + 1, int(np.prod(shape[above + 2 :])))
            functions = self._functions[level]
            out = np.zeros((len(batch), self.limit + 1, *batch.shape[2:]))
            batch = batch * (weights / weights.sum())[:, None, None]
            for j in range(self.limit + 1):
                out[:, j:, j] = functions[j, : self.limit + 1 - j] @ batch[:, :, j]
            found = out.reshape(*shape[:above], self.limit + 1, *shape[above + 1 :])
        return found

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        found = coefficients
        for level, (z, _, _) in reversed(list(enumerate(self._levels))):
            shape = found.shape
            above = self._dim - 2 - level
            batch = found.reshape(-1, self.limit + 1, self.limit + 1, int(np.prod(shape[above + 2 :])))
            functions = self._functions[level]
            out = np.empty((len(batch), len(z), *batch.shape[2:]))
            for j in range(self.limit + 1):
                out[:, :, j] = functions[j, : self.limit + 1 - j].T @ batch[:, j:, j]
            found = out.reshape(*shape[:above], len(z), *shape[above + 1 :])
        waves = found.view(complex)[..., 0] * (self._longitudes / self._phases)
        grid = scipy.fft.irfft(waves, n=self._longitudes, axis=-2)
        return grid.reshape(-1, grid.shape[-1])

    def evaluate(self, coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
        row = 8 * (self.limit + 1) ** max(2, self._dim - 1) * (coefficients.shape[-2] * 2 + 1)
        rows = max(1, BLOCK_BYTES // row)
        parts = [self._evaluate(coefficients, points[some]) for some in slices(len(points), rows)]
        return np.concatenate(parts)

    def _evaluate(self, coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
        count, found = len(points), coefficients[None]
        for k in range(self._dim, 1, -1):
            rings = np.linalg.norm(points[:, :k], axis=1)
            heights = points[:, k]
            functions = polar_functions(heights / np.hypot(rings, heights), rings, k=k, limit=self.limit)
            flat = found.reshape(len(found), self.limit + 1, self.limit + 1, -1)
            out = np.empty((count, self.limit + 1, flat.shape[-1]))
            for j in range(self.limit + 1):
                rows = functions[j, : self.limit + 1 - j].T
                if len(flat) == 1:
                    out[:, j] = rows @ flat[0, j:, j]
                else:
                    out[:, j] = (rows[:, None] @ flat[:, j:, j])[:, 0]
            found = out.reshape(count, *found.shape[2:])
            with np.errstate(invalid="ignore"):  # at a pole, where nothing depends on the rest
                points = np.where(rings[:, None] > 0, points[:, :k] / rings[:, None], np.eye(k)[0])
        phases = np.exp(1j * np.multiply.outer(np.arctan2(points[:, 1], points[:, 0]), np.arange(self.limit + 1)))
        phases[:, 1:] *= 2
        pairs = np.stack([phases.real, -phases.imag], axis=-1)
        return np.einsum("qmp,qmcp->qc", pairs, np.broadcast_to(found, (count, *found.shape[1:])))

    def damp(self, coefficients: np.ndarray, symbol: np.ndarray) -> np.ndarray:
        return coefficients * symbol.reshape(-1, *[1] * (coefficients.ndim - 1))

    def tail(self, coefficients: np.ndarray, *, size: float) -> float:
        squares = np.sum((coefficients / size) ** 2, axis=-1)
        squares[..., 1:, :] *= 2  # orders of both signs
        high = squares[int(HIGH * self.limit) + 1 :]
        return float(np.sqrt(high.sum(axis=tuple(range(high.ndim - 1))).max()))

    @functools.cached_property
    def _functions(self) -> list[np.ndarray]:
        return [polar_functions(z, np.sqrt((1 - z) * (1 + z)), k=k, limit=self.limit) for z, _, k in self._levels]


def polar_functions(heights: np.ndarray, rings: np.ndarray, *, k: int, limit: int) -> np.ndarray:
    """Return P_{j+n}^j(z) on S^k as [j, n, q] for j + n <= limit, the rest undefined; orthonormal in the mean.

    By their recurrence in n  [DLMF, 18.9.1].

    Args:
        heights: z (Q,).
        rings: sqrt(1 - z^2) (Q,), given apart as its digits are lost near the poles.
        k: the dimension of the sphere.
        limit: L.
    """
    functions = np.empty((limit + 1, limit + 1, len(heights)))
    orders = np.arange(limit + 1.0)
    # |P_j^j|^2 ~ 1 / B(1/2, j + k/2), relative to j = 0, grows by 1 + 1 / (2j + k).
    factors = np.multiply.outer(np.sqrt(1 + 1 / (2 * orders[:-1] + k)), rings)
    with np.errstate(under="ignore"):
        value = np.cumprod(np.vstack([np.ones_like(heights), factors]), axis=0)
        below = np.zeros_like(value)
        functions[:, 0] = value
        for n in range(1, limit + 1):
            lam = orders[: limit + 1 - n, None] + (k - 1) / 2
            value, below = value[: limit + 1 - n], below[: limit + 1 - n]
            value, below = (heights * value - _coupling(n - 1, lam) * below) / _coupling(n, lam), value
            functions[: limit + 1 - n, n] = value
    return functions


def _coupling(n: int, lam: np.ndarray) -> np.ndarray:
    """Return a_n in z P_n = a_{n+1} P_{n+1} + a_n P_{n-1} of orthonormal Gegenbauer polynomials."""
    return np.sqrt(n * (n + 2 * lam - 1) / ((n + lam) * (n + lam - 1))) / 2 if n else np.zeros_like(lam)


class TorusHarmonics(Harmonics):
    """On T^m, by fast Fourier transforms; coefficients are those of numpy's rfftn, (n, ..., n, n // 2 + 1, c)."""

    channels = -1

    def __init__(self, dim: int, degree: int) -> None:
        self._dim = dim
        self.limit = degree // 2
        self._count = n = degree + 1
        self._axes = tuple(range(dim))
        self._waves = [np.rint(n * np.fft.fftfreq(n)).astype(int)] * (dim - 1) + [np.arange(n // 2 + 1)]

    def analyse(self, values: np.ndarray) -> np.ndarray:
        grid = values.reshape(*[self._count] * self._dim, -1)
        return scipy.fft.rfftn(grid, axes=self._axes, norm="forward")

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        shape = [self._count] * self._dim
        grid = scipy.fft.irfftn(coefficients, s=shape, axes=self._axes, norm="forward")
        return grid.reshape(-1, grid.shape[-1])

    def evaluate(self, coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
        rows = max(1, BLOCK_BYTES // (16 * coefficients.size // len(coefficients)))
        return np.concatenate([self._evaluate(coefficients, points[some]) for some in slices(len(points), rows)])

    def _evaluate(self, coefficients: np.ndarray, points: np.ndarray) -> np.ndarray:
        circles = points.reshape(len(points), self._dim, 2)
        angles = np.arctan2(circles[..., 1], circles[..., 0]) - np.pi / self._count  # of the first node
        phases = [np.exp(1j * np.multiply.outer(t, waves)) for t, waves in zip(angles.T, self._waves, strict=True)]
        phases[-1][:, 1:] *= 2
        found = (phases[0] @ coefficients.reshape(len(coefficients), -1)).reshape(-1, *coefficients.shape[1:])
        for phase in phases[1:]:
            found = np.einsum("qk,qk...->q...", phase, found)
        return found.real

    def damp(self, coefficients: np.ndarray, symbol: np.ndarray) -> np.ndarray:
        padded = np.append(symbol, 0.0)  # of the wave n / 2, where there is one
        for axis, waves in enumerate(self._waves):
            factors = padded[np.minimum(np.abs(waves), len(symbol))]
            coefficients = coefficients * factors.reshape(-1, *[1] * (self._dim - axis))
        return coefficients

    def tail(self, coefficients: np.ndarray, *, size: float) -> float:
        largest = functools.reduce(np.maximum, np.ix_(*(np.abs(waves) for waves in self._waves)))
        squares = np.abs(coefficients / size) ** 2
        squares[..., 1:, :] *= 2  # the last wave of both signs
        return float(np.sqrt(squares[largest > HIGH * self.limit].sum(axis=0).max()))


def has_harmonics(manifold: Manifold) -> bool:
    """Return whether a manifold is a sphere or a flat torus."""
    return type(manifold) in (Sphere, FlatTorus)


@functools.lru_cache(maxsize=4)
def harmonics_of(manifold: Manifold, degree: int) -> Harmonics:
    """Return the harmonics of a sphere or a torus, for the nodes of its rule of that degree."""
    kind = SphereHarmonics if isinstance(manifold, Sphere) else TorusHarmonics
    return kind(manifold.dim, degree)
