"""e^{tL} f and its adjoint on the circle beyond float64, for trigonometric polynomials log p = g and f.

In Fourier coefficients L is banded, (L c)_n = -n^2/2 c_n - sum_k k (n - k) g_k c_{n-k}, and e^{tL} is applied by
Taylor steps in fixed-point arithmetic (Python integers in units of 2^-160): no rounding is seen.  With 32 modes the
truncation is below 1e-20 for |g| of order one and t >= 0.1 (compare two values of `modes` elsewhere); what is left
is the rounding of the final float64 sum, a few 1e-16 of max |f|.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import ceil

import numpy as np

from .trigonometric import TrigonometricPolynomial, generator

BITS = 160
Pair = tuple[int, int]  # real and imaginary part in units of 2^-BITS


def _fixed(value: float) -> int:
    return int(Fraction(value) * 2**BITS)


def _fourier(series: TrigonometricPolynomial) -> dict[int, Pair]:
    """Coefficients of e^{ikt}: a cos kt + b sin kt has (a - ib)/2 at k and its conjugate at -k."""
    coefficients: dict[int, Pair] = {}
    for (k,), a, b in series.terms:
        for wave, sine in ((k, -b), (-k, b)):
            real, imaginary = coefficients.get(wave, (0, 0))
            coefficients[wave] = (real + _fixed(a / 2), imaginary + _fixed(sine / 2))
    return coefficients


def _apply(c: np.ndarray, *, log_density: dict[int, Pair], adjoint: bool) -> np.ndarray:
    """L c, or L* r = 1/2 r'' - (r g')', whose weight -k(n-k) is replaced by nk; c (2, 2 modes + 1) of integers."""
    modes = c.shape[1] // 2
    waves = np.arange(-modes, modes + 1).astype(object)
    result = -(waves**2) * c // 2
    for k, (real, imaginary) in log_density.items():
        shifted = np.zeros_like(c)
        target = slice(max(k, 0), min(k, 0) or None)
        shifted[:, target] = c[:, slice(max(-k, 0), min(-k, 0) or None)]
        product = np.stack([real * shifted[0] - imaginary * shifted[1], real * shifted[1] + imaginary * shifted[0]])
        weight = waves * k if adjoint else -k * (waves - k)
        result = result + (weight * product >> BITS)
    return result


@cache
def _coefficients(
    *, time: float, log_density: TrigonometricPolynomial, f: TrigonometricPolynomial, modes: int, adjoint: bool
) -> np.ndarray:
    """Fourier coefficients of e^{tL} f (or e^{tL*} f) for n = -modes ... modes, each rounded once to float64."""
    g, initial = _fourier(log_density), _fourier(f)
    c = np.array([initial.get(n, (0, 0)) for n in range(-modes, modes + 1)], dtype=object).T
    drift = sum(abs(k) * (abs(real) + abs(imaginary)) for k, (real, imaginary) in g.items()) / 2**BITS
    steps = max(1, ceil(time * (modes**2 / 2 + 2 * modes * drift) / 8))  # |h L| <= 8 costs a Taylor sum few digits
    step = int(Fraction(time) * 2**BITS / steps)
    for _ in range(steps):
        term, order = c, 0
        while abs(term).max() > 2:  # two units: what floor division leaves of a negative number is -1
            order += 1
            term = (_apply(term, log_density=g, adjoint=adjoint) * step >> BITS) // order
            c = c + term
    real, imaginary = (c / 2**BITS).astype(float)
    return real + 1j * imaginary


def _synthesise(theta: np.ndarray, c: np.ndarray) -> np.ndarray:
    modes = len(c) // 2
    return (np.exp(1j * np.multiply.outer(theta, np.arange(-modes, modes + 1))) @ c).real


def evolve(
    theta: np.ndarray, *, time: float, log_density: TrigonometricPolynomial, f: TrigonometricPolynomial, modes: int = 32
) -> np.ndarray:
    """e^{tL} f at the angles theta (Q,), L f = f''/2 + g' f'.  [RZ]"""
    return _synthesise(theta, _coefficients(time=time, log_density=log_density, f=f, modes=modes, adjoint=False))


def adjoint_evolve(
    theta: np.ndarray,
    *,
    time: float,
    log_density: TrigonometricPolynomial,
    r0: TrigonometricPolynomial,
    modes: int = 32,
) -> np.ndarray:
    """r_t at the angles theta (Q,), d_t r = r''/2 - (r g')'."""
    return _synthesise(theta, _coefficients(time=time, log_density=log_density, f=r0, modes=modes, adjoint=True))


def circle_generator(
    theta: np.ndarray, *, log_density: TrigonometricPolynomial, f: TrigonometricPolynomial, drift: float = 1.0
) -> np.ndarray:
    """L f = f''/2 + drift g' f' at the angles theta (Q,), by exact derivatives."""
    return generator(theta[:, None], log_density=log_density, f=f, drift=drift)
