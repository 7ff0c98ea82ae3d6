"""Real trigonometric polynomials on flat tori (period 2 pi), with exact derivatives; m = 1 is the unit circle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

Wave = int | tuple[int, ...]


@dataclass(frozen=True)
class TrigonometricPolynomial:
    """sum over terms (k, a, b) of a cos(k.theta) + b sin(k.theta); angles have the shape (..., m)."""

    terms: tuple[tuple[tuple[int, ...], float, float], ...]

    def _angles(self, angles: np.ndarray) -> np.ndarray:
        return np.stack([angles @ np.array(k) for k, _, _ in self.terms], axis=-1)

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        waves, cosines, sines = zip(*self.terms, strict=True)
        return np.array(waves, dtype=float), np.array(cosines), np.array(sines)

    def __call__(self, angles: np.ndarray) -> np.ndarray:
        _, a, b = self._arrays()
        phase = self._angles(angles)
        return np.cos(phase) @ a + np.sin(phase) @ b

    def gradient(self, angles: np.ndarray) -> np.ndarray:
        """(..., m)"""
        waves, a, b = self._arrays()
        phase = self._angles(angles)
        return (np.cos(phase) * b - np.sin(phase) * a) @ waves

    def laplacian(self, angles: np.ndarray) -> np.ndarray:
        waves, a, b = self._arrays()
        phase, square = self._angles(angles), (waves**2).sum(axis=1)
        return -(np.cos(phase) @ (square * a) + np.sin(phase) @ (square * b))


def trigonometric(
    *, cosines: Mapping[Wave, float] | None = None, sines: Mapping[Wave, float] | None = None
) -> TrigonometricPolynomial:
    """From coefficients by wave number: `trigonometric(cosines={1: .7}, sines={2: .3})`, or {(1, 0): .5} on T^2."""
    a, b = _vectors(cosines or {}), _vectors(sines or {})
    return TrigonometricPolynomial(tuple((k, a.get(k, 0.0), b.get(k, 0.0)) for k in sorted(set(a) | set(b))))


def _vectors(coefficients: Mapping[Wave, float]) -> dict[tuple[int, ...], float]:
    return {(k,) if isinstance(k, int) else k: value for k, value in coefficients.items()}


def generator(
    angles: np.ndarray, *, log_density: TrigonometricPolynomial, f: TrigonometricPolynomial, drift: float = 1.0
) -> np.ndarray:
    """L f = 1/2 Lap f + drift <grad log p, grad f> on a flat torus; angles (Q, m) -> (Q,).  [RZ]"""
    inner = (log_density.gradient(angles) * f.gradient(angles)).sum(axis=-1)
    return f.laplacian(angles) / 2 + drift * inner
