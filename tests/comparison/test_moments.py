"""The distance of moments against the trace formula of Gaussian laws and against samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

import attnflow as af
from attnflow.comparison.moments import gelbrich

RNG = np.random.default_rng(4)
A, B = RNG.standard_normal((40, 3)), RNG.standard_normal((25, 3)) @ np.array([[2.0, 0.3, 0], [0, 1, 0.7], [0, 0, 0.4]])


def of_traces(a: np.ndarray, b: np.ndarray) -> float:
    S, R = np.cov(a.T, bias=True), np.cov(b.T, bias=True)
    cross = sqrtm(sqrtm(S) @ R @ sqrtm(S)).real
    return float(np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + np.trace(S + R - 2 * cross))


def test_it_is_the_trace_formula_and_bounds_the_distance_of_the_laws() -> None:
    assert af.moments(A, B) ** 2 == pytest.approx(of_traces(A, B), rel=1e-10)
    line = A[:, :1], B[:, :1]
    assert af.moments(*line) <= af.wasserstein(*line, order=2)
    assert af.moments(A, A + np.array([3.0, 0.0, -4.0])) == pytest.approx(5.0, rel=1e-12)


def test_close_laws_keep_their_digits() -> None:
    """Standard deviations that differ by 1e-9 are 1e-9 apart; the traces would say 0 or 2e-8."""
    off = np.diag([1.0, (1 + 1e-9) ** 2, 0.25])
    assert gelbrich(np.zeros(3), np.diag([1.0, 1.0, 0.25]), np.zeros(3), off) == pytest.approx(1e-9, rel=1e-5)


def test_the_floor_is_that_of_samples_of_one_law() -> None:
    """On the line mean and deviation scatter by (1/N + 1/M)^{1/2} and by that over 2^{1/2}: (3/2 (2/200))^{1/2}."""
    a, b = np.random.default_rng(6).standard_normal((2, 200, 1))
    assert af.moments(a, b).noise_floor == pytest.approx(0.1225, rel=0.4)  # ten pairs scatter by .2
