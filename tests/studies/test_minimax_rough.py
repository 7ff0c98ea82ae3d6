"""Rough densities: their Fourier series, and what second-order perturbation predicts of the slow wave."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "studies" / "questions"


@pytest.fixture(scope="module")
def rough():
    sys.path.insert(0, str(FOLDER))
    try:
        import minimax_rough

        yield minimax_rough
    finally:
        sys.path.remove(str(FOLDER))


def test_the_series_of_the_density_is_that_of_the_masses(rough):
    series = rough.drawn(jax.random.key(3), 0.5, waves=9, amplitude=0.2)
    assert np.abs(series) == pytest.approx(0.2 / np.arange(1, 10))
    angle = 0.7
    found = rough.log_weight(np.array([*series[::-1], 0.0]), np.array([np.cos(angle), np.sin(angle)]))
    assert found == pytest.approx(2 * np.real(series @ np.exp(1j * angle * np.arange(1, 10))), abs=1e-12)


def missed(series: np.ndarray, eps: float) -> float:
    """Return 8 sum |h_q|^2 [1 - (z/4) coth(z/4) e^{-z/2}], z = eps q^2, at eps/2 twice less at eps."""

    def part(eps: float) -> float:
        z = eps * np.arange(1, len(series) + 1) ** 2
        return 8 * float(np.abs(series) ** 2 @ (1 - z / 4 / np.tanh(z / 4) * np.exp(-z / 2)))

    return 2 * part(eps / 2) - part(eps)


def test_layers_miss_of_the_slow_wave_what_the_second_order_says(rough):
    n = 64
    series = rough.drawn(jax.random.key(5), 0.5, waves=256, amplitude=0.05)
    found = rough.errors(series, n, count=1024, tolerance=1e-6)
    slow = np.mean(found.richardson * found.slow.conj())
    # the slow wave falls at the rate 1/2; the prediction lacks waves that are not large, a tenth at this bandwidth
    predicted = -np.exp(-rough.TIME / 2) * rough.TIME / 2 * missed(series, rough.TIME / n)
    assert slow.real == pytest.approx(predicted, rel=0.15)
    assert abs(slow.imag) < 0.05 * abs(slow.real)


def test_of_few_waves_they_miss_next_to_nothing(rough):
    series = rough.drawn(jax.random.key(5), 0.5, waves=256, amplitude=0.05)
    found, few = (rough.errors(part, 64, count=1024, tolerance=1e-6) for part in (series, series[:3]))
    assert rough.size(few.richardson) < 0.1 * rough.size(found.richardson)
