"""The first order of the noise of many layers for a product of densities: against what moving the masses does."""

import sys
from pathlib import Path

import numpy as np
import pytest

import attnflow as af

FOLDER = Path(__file__).parents[2] / "studies" / "questions"


@pytest.fixture(scope="module")
def sums():
    sys.path.insert(0, str(FOLDER))
    try:
        import minimax_density

        yield minimax_density
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def uniform_sums(sums):
    import minimax_depth

    return minimax_depth.own_noise


def answers(kernel: np.ndarray, masses: np.ndarray, f: np.ndarray, n: int) -> np.ndarray:
    """Return A^n f of each row of masses, (rows, K)."""
    found = np.tile(f, (len(masses), 1))
    for _ in range(n):
        found = (found * masses) @ kernel / (masses @ kernel)
    return found


@pytest.mark.parametrize("m", [1, 2])
def test_the_sum_is_the_squared_response_to_every_mass(sums, m):
    n, count = 2, 26
    angles = 2 * np.pi * np.arange(count) / count
    laws = [np.exp(a * np.cos(2 * angles) + b * np.cos(angles)) for a, b in (sums.FIRST, sums.OTHERS)]
    p, kernel = np.ones(1), np.ones((1, 1))
    for law in laws[:m]:
        p = np.multiply.outer(p, law / law.sum()).ravel()
        kernel = np.kron(kernel, np.exp((np.cos(angles[:, None] - angles) - 1) * n / sums.TIME))
    f = np.repeat(np.cos(angles), count ** (m - 1))
    step = 1e-5
    moved = answers(kernel, np.vstack([p, p + step * np.eye(len(p))]), f, n)
    responses = (moved[1:] - moved[0]) / step  # of all places to one more key at each place
    # derivatives by differences are off by 1e-5 of the second ones, which 1/p magnifies; the kernel's symbol at the
    # wave 13 is 1e-8
    assert p @ responses**2 @ p == pytest.approx(sums.noise(n, m), rel=5e-3)


@pytest.mark.parametrize("m", [2, 3])
def test_for_the_uniform_density_it_is_half_the_sum_over_waves(sums, uniform_sums, m):
    # cos x_1 has half the square of e^{i x_1}; both are exact
    found = sums.noise(8, m, sums.UNIFORM, sums.UNIFORM)
    assert found == pytest.approx(uniform_sums(8, sums.TIME / 8, m) / 2, rel=1e-9)
    assert sums.noise(8, m) != pytest.approx(found, rel=0.03)


def test_the_gradient_is_that_of_the_limit(sums):
    p = af.LogDensity(af.Circle(), lambda x: sums.FIRST[0] * (2 * x[0] ** 2 - 1) + sums.FIRST[1] * x[0])
    limit = af.DriftDiffusion(af.Attention(af.SquaredDistance(), bandwidth=0.1), p)
    angles = 2 * np.pi * np.arange(64) / 64
    u = limit.evolve(lambda x: x[0], times=sums.TIME, at=np.column_stack([np.cos(angles), np.sin(angles)])).values[0]
    waves = np.fft.fftfreq(64, 1 / 64)
    squares = np.fft.ifft(1j * waves * np.fft.fft(u)).real ** 2
    masses = sums.nodes(64, sums.FIRST)[1]
    # the limit is known to 1e-8, its derivative to 1e-6
    assert sums.gradients() == pytest.approx((squares.mean(), squares @ masses), rel=1e-5)
