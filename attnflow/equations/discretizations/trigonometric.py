"""Trigonometric interpolation of values on a periodic grid, at any points."""

from __future__ import annotations

import numpy as np

_NEGLIGIBLE = 1e-16  # of the largest wave: what is smaller is dropped
_ENTRIES = 1 << 22  # numbers held at once


class TrigonometricInterpolant:
    """The trigonometric polynomial with given values at the angles 2 pi (j + 1/2) / n of each coordinate.

    Args:
        grid: values, (n,) * m + (c,), n even.

    Example:
        >>> import numpy as np
        >>> angles = 2 * np.pi * (np.arange(12) + 0.5) / 12
        >>> curve = TrigonometricInterpolant(np.sin(3 * angles)[:, None])
        >>> bool(abs(curve(np.array([[0.1]]))[0, 0] - np.sin(0.3)) < 1e-15)
        True
    """

    def __init__(self, grid: np.ndarray) -> None:
        waves = grid.astype(complex)
        self._frequencies = []
        for axis, n in enumerate(grid.shape[:-1]):
            frequencies = np.arange(-(n // 2) + 1, (n + 1) // 2)  # the wave n/2 is dropped: it has no derivative
            shape = [-1 if k == axis else 1 for k in range(grid.ndim)]
            phases = np.exp(-1j * np.pi * frequencies / n) / n
            waves = np.take(np.fft.fft(waves, axis=axis), frequencies % n, axis=axis) * phases.reshape(shape)
            self._frequencies.append(frequencies)
        sizes = np.abs(waves).max(axis=-1)
        for axis in range(grid.ndim - 1):
            others = tuple(k for k in range(grid.ndim - 1) if k != axis)
            kept = np.flatnonzero(sizes.max(axis=others) > _NEGLIGIBLE * sizes.max())
            first, last = (kept[0], kept[-1] + 1) if len(kept) else (0, 1)
            waves = np.take(waves, np.arange(first, last), axis=axis)
            sizes = np.take(sizes, np.arange(first, last), axis=axis)
            self._frequencies[axis] = self._frequencies[axis][first:last]
        self._waves = waves

    def __call__(self, angles: np.ndarray) -> np.ndarray:
        """Return values (Q, c) at angles (Q, m)."""
        block = max(1, _ENTRIES // self._waves[0].size)
        return np.concatenate([self._at(angles[start : start + block]) for start in range(0, len(angles), block)])

    def _at(self, angles: np.ndarray) -> np.ndarray:
        values = np.tensordot(np.exp(1j * np.outer(angles[:, 0], self._frequencies[0])), self._waves, axes=1)
        for axis in range(1, angles.shape[1]):
            values = np.einsum(
                "qk,qk...->q...", np.exp(1j * np.outer(angles[:, axis], self._frequencies[axis])), values
            )
        return values.real
