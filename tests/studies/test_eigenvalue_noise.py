"""The response of an eigenvalue to the law of the keys: against the eigenvalue of a law that was moved."""

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "studies" / "questions"
ANGLES = 2 * np.pi * np.arange(96) / 96
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
MASSES = np.exp(0.8 * np.cos(2 * ANGLES) + 0.3 * np.cos(ANGLES))
MASSES /= MASSES.sum()
WAVE = np.sin(ANGLES + 0.4) + 0.5 * np.cos(3 * ANGLES)
BANDWIDTH = 0.2


@pytest.fixture(scope="module")
def noise():
    sys.path.insert(0, str(FOLDER))
    try:
        import eigenvalue_noise

        yield eigenvalue_noise
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("normalization", ["softmax", "alpha", "sinkhorn"])
def test_a_response_is_the_derivative_of_the_eigenvalue_by_the_masses(noise, normalization):
    def modes(size: float):
        moved = MASSES * (1 + size * (WAVE - WAVE @ MASSES))
        return noise.modes(CIRCLE, moved, bandwidth=BANDWIDTH, normalization=normalization, count=2)

    step = 1e-4
    for here, ahead, behind in zip(modes(0.0), modes(step), modes(-step), strict=True):
        slope = (ahead.eigenvalue - behind.eigenvalue) / (2 * step)
        # central differences are off by 1e-8 of the third derivative, eigenvalues by 1e-15 / eps / step
        assert (here.response * MASSES) @ WAVE == pytest.approx(slope, abs=1e-6)


def test_without_its_mass_term_a_response_is_another(noise):
    first = noise.modes(CIRCLE, MASSES, bandwidth=BANDWIDTH, normalization="sinkhorn", count=1)[0]
    assert noise.variance(first.without_mass, MASSES) > 2 * noise.variance(first.response, MASSES)


def test_sinkhorn_weights_make_rows_sum_to_one(noise):
    kernel = np.exp(-((CIRCLE[:, None] - CIRCLE[None]) ** 2).sum(axis=2) / (2 * BANDWIDTH))
    weights = noise.scaled(kernel, MASSES)
    # the iteration stops when weights change by 1e-13 of themselves
    assert np.abs(weights * (kernel @ (weights * MASSES)) - 1).max() < 1e-12


def test_a_derivative_is_that_of_a_wave(noise):
    assert noise.derivative(np.sin(2 * ANGLES)) == pytest.approx(2 * np.cos(2 * ANGLES), abs=1e-12)
