"""Polynomials of an ambient point with exact derivatives, and the generator on S^m in ambient derivatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Polynomial:
    """sum over terms (exponents, coefficient) of coefficient x_1^e_1 ... x_D^e_D; points (Q, D)."""

    terms: tuple[tuple[tuple[int, ...], float], ...]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        exponents, coefficients = zip(*self.terms, strict=True)
        return np.prod(points[:, None, :] ** np.array(exponents), axis=-1) @ np.array(coefficients, dtype=float)

    def derivative(self, axis: int) -> Polynomial:
        lowered = [
            ((*exponents[:axis], exponents[axis] - 1, *exponents[axis + 1 :]), coefficient * exponents[axis])
            for exponents, coefficient in self.terms
            if exponents[axis]
        ]
        return Polynomial(tuple(lowered) or (((0,) * len(self.terms[0][0]), 0.0),))

    def gradient(self, points: np.ndarray) -> np.ndarray:
        """(Q, D)"""
        return np.stack([self.derivative(i)(points) for i in range(points.shape[-1])], axis=-1)

    def hessian(self, points: np.ndarray) -> np.ndarray:
        """(Q, D, D)"""
        return np.stack([self.derivative(i).gradient(points) for i in range(points.shape[-1])], axis=-2)


def polynomial(coefficients: Mapping[tuple[int, ...], float]) -> Polynomial:
    """From coefficients by exponents: `polynomial({(0, 0, 1): .5, (1, 1, 0): .3})` is .5 z + .3 x y."""
    return Polynomial(tuple(sorted(coefficients.items())))


def sphere_laplacian(points: np.ndarray, *, gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Lap_{S^m} F = tr Hess F - x' Hess F x - m x.grad F from ambient derivatives at points (Q, m + 1)."""
    m = points.shape[-1] - 1
    radial = np.einsum("qi,qij,qj->q", points, hessian, points) + m * (points * gradient).sum(axis=-1)
    return np.trace(hessian, axis1=-2, axis2=-1) - radial


def sphere_inner(points: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """<grad F, grad H> on S^m from ambient gradients (Q, m + 1): the radial parts drop out."""
    return (first * second).sum(axis=-1) - (points * first).sum(axis=-1) * (points * second).sum(axis=-1)


def sphere_generator(
    points: np.ndarray,
    *,
    gradient: np.ndarray,
    hessian: np.ndarray,
    log_density_gradient: np.ndarray,
    drift: float = 1.0,
) -> np.ndarray:
    """L f = 1/2 Lap f + drift <grad log p, grad f> on S^m from ambient derivatives; points (Q, m + 1) -> (Q,).  [RZ]"""
    inner = sphere_inner(points, log_density_gradient, gradient)
    return sphere_laplacian(points, gradient=gradient, hessian=hessian) / 2 + drift * inner
