"""Uniform p on circles, flat tori and spheres: chordal attention is a convolution, its symbol a Bessel ratio."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import mpmath as mp
import numpy as np

DIGITS = 40


@cache
def high_precision_ratio(numerator: float, denominator: float, argument: mp.mpf) -> mp.mpf:
    """I_numerator(z) / I_denominator(z) with forty digits.  [DLMF, 10.25]"""
    with mp.workdps(DIGITS):
        return mp.besseli(numerator, argument) / mp.besseli(denominator, argument)


def _sphere_symbol(degree: int, m: int, bandwidth: float) -> mp.mpf:
    with mp.workdps(DIGITS):
        order = mp.mpf(m - 1) / 2
        return high_precision_ratio(degree + order, order, 1 / mp.mpf(bandwidth))


def circle_symbol(n: int, *, bandwidth: float) -> float:
    """A e^{i n theta} = I_n(1/eps) / I_0(1/eps) e^{i n theta} for uniform p on the unit circle."""
    return float(_sphere_symbol(abs(n), 1, bandwidth))


def sphere_symbol(degree: int, *, m: int, bandwidth: float) -> float:
    """A Y_l = I_{l+(m-1)/2}(1/eps) / I_{(m-1)/2}(1/eps) Y_l for uniform p on S^m (Funk-Hecke)."""
    return float(_sphere_symbol(degree, m, bandwidth))


def torus_symbol(modes: Sequence[int], *, bandwidth: float) -> float:
    """A e^{i l.theta} = prod_i I_{l_i}(1/eps) / I_0(1/eps) e^{i l.theta} for uniform p on a product of unit circles."""
    return float(np.prod([circle_symbol(n, bandwidth=bandwidth) for n in modes]))


def sphere_generator_symbol(degree: int, *, m: int, bandwidth: float) -> float:
    """(A - I) / eps on harmonics of degree l of S^m, without cancellation; tends to -l (l + m - 1) / 2."""
    with mp.workdps(DIGITS):
        return float((_sphere_symbol(degree, m, bandwidth) - 1) / mp.mpf(bandwidth))


def torus_generator_symbol(modes: Sequence[int], *, bandwidth: float) -> float:
    """(A - I) / eps on e^{i l.theta}, without cancellation; tends to -|l|^2 / 2."""
    with mp.workdps(DIGITS):
        symbol = mp.fprod(_sphere_symbol(abs(n), 1, bandwidth) for n in modes)
        return float((symbol - 1) / mp.mpf(bandwidth))
