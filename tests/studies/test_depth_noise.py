"""The sums that judge the noise of many layers agree with dense matrices on a grid, and with one another."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.special import zeta
from witnesses import frozen_points

import attnflow as af

STUDIES = Path(__file__).parents[2] / "studies" / "depth"
DRAWN = runpy.run_path(str(STUDIES / "depth_noise.py"))
LIMIT = runpy.run_path(str(STUDIES / "depth_noise_limit.py"))


@pytest.mark.parametrize(("wave", "bandwidth", "layers", "nodes"), [((1,), 0.05, 10, 96), ((1, 1), 0.1, 10, 36)])
@pytest.mark.parametrize("fresh", [False, True])
def test_the_sum_over_waves_is_the_response_to_one_point(wave, bandwidth, layers, nodes, fresh):
    response = DRAWN["depth_response"](wave, bandwidth=bandwidth, layers=layers)
    witness = frozen_points.noise_of_one_point(wave=wave, bandwidth=bandwidth, layers=layers, nodes=nodes, fresh=fresh)
    found = (response.control if fresh else response.weights).sum()
    assert found == pytest.approx(witness, rel=1e-6)  # waves with symbols under 1e-6 are left out, and enter squared


@pytest.mark.parametrize("ripple", [(1,), (2,), (5,), (1, 0), (2, 0), (1, -2), (2, 3), (-1, 1)])
def test_each_wave_moves_the_eigenvalues_as_a_ripple_of_the_density_does(ripple):
    m = len(ripple)
    bandwidth, nodes = {1: (0.05, 64), 2: (0.2, 20)}[m]
    response = DRAWN["modes_response"](m, bandwidth=bandwidth)
    center = len(response.weights) // 2
    weights = sum(response.weights[tuple(center + sign * q for q in ripple)] for sign in (1, -1))
    symmetric = [ripple, ripple[::-1]] if m == 2 else [ripple]  # the weights are for the mean over the waves +-e_i
    witness = np.mean([frozen_points.shift_by_a_ripple(ripple=q, bandwidth=bandwidth, nodes=nodes) for q in symmetric])
    assert weights == pytest.approx(witness, rel=1e-4)  # the ripple of height 1e-3 leaves 1e-6, rounding 1e-16 / 1e-6


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_powers_of_the_waves_have_mean_one(m):
    clouds = [af.Uniform(af.FlatTorus(m)).sample(40, key=jax.random.key(seed)) for seed in range(200)]
    powers = np.mean([DRAWN["powers"](points, 3) for points in clouds], axis=0)
    assert powers[(3,) * m] == pytest.approx(40)  # N |p^(0)|^2
    powers[(3,) * m] = 1
    # each is the mean of 200 nearly exponential numbers: .07 each, and 5 of that for the largest of 343
    np.testing.assert_allclose(powers, 1, rtol=0, atol=0.36)


def test_the_powers_of_the_waves_are_their_definition():
    points = af.Uniform(af.FlatTorus(2)).sample(7, key=jax.random.key(5))
    angles = DRAWN["angles_of"](points)
    q = np.array([2, -1])
    direct = abs(np.exp(-1j * q @ angles).sum()) ** 2 / 7
    assert DRAWN["powers"](points, 2)[4, 1] == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_both_studies_sum_the_same_noise(m):
    layers = 6
    wave = (1, *(0,) * (m - 1))  # of the limit, which sums over half of the waves in every coordinate but the first
    response = DRAWN["depth_response"](wave, bandwidth=LIMIT["TIME"] / layers, layers=layers)
    noise = LIMIT["noise"](m, layers)
    assert noise["noise"] == pytest.approx(response.weights.sum(), rel=1e-6)
    assert noise["noise_of_new_points"] == pytest.approx(response.control.sum(), rel=1e-6)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_both_studies_sum_the_same_slow_down(m):
    eps = 0.3
    symbol = DRAWN["symbols"](np.zeros(1), bandwidth=eps, shift=(1, *(0,) * (m - 1))).item()
    total = DRAWN["modes_response"](m, bandwidth=eps).weights.sum()
    constant = total / (1 - symbol) * (eps / (2 * np.pi)) ** (m / 2)
    # the two leave waves out at 1e-6 and 1e-7; for m = 1 their terms cancel to a twentieth at this bandwidth
    assert LIMIT["slow_down"](m, eps) == pytest.approx(constant, rel=1e-4)


def test_the_noise_in_three_dimensions_has_the_integral_of_its_constant():
    # int u^4 / (e^{u^2/2} - 1)^2 du = 3 sqrt(pi/2) [zeta(3/2) - zeta(5/2)], by the midpoint rule: finite at u = 0
    u = (np.arange(200_000) + 0.5) * 1e-4
    integral = 1e-4 * np.sum(u**4 / np.expm1(u**2 / 2) ** 2)
    assert integral == pytest.approx(3 * np.sqrt(np.pi / 2) * (zeta(1.5) - zeta(2.5)), rel=1e-8)
    # and the slow-down, m = 2: int u^2 kappa / (1 - kappa) / int u^2 kappa = zeta(2), kappa = e^{-u^2/2}, in the plane
    kappa = np.exp(-(u**2) / 2)
    assert np.sum(u**3 * kappa / (1 - kappa)) / np.sum(u**3 * kappa) == pytest.approx(zeta(2), rel=1e-8)


def test_the_noise_in_three_dimensions_has_the_rest_of_its_lattice_sum():
    # noise = constant eps^(-1/2) + R + a eps^(1/2) + b eps + ..., from three levels; the next term leaves .04
    constant, layers = (2 * np.pi) ** 1.5 * np.exp(-0.5) * (zeta(1.5) - zeta(2.5)), np.array([40, 80, 160])
    rests = [LIMIT["noise"](3, n)["noise"] - constant * (2 * n) ** 0.5 for n in layers.tolist()]
    (extrapolated, *_) = np.linalg.solve(layers[:, None] ** (-0.5 * np.arange(3)), rests)
    assert extrapolated == pytest.approx(LIMIT["lattice_rest"](), abs=0.1)
    assert LIMIT["lattice_rest"]() == pytest.approx(3.047, abs=5e-4)


def test_the_noise_of_the_circle_has_its_limit_and_next_term():
    eps = LIMIT["TIME"] / 4096
    limit = DRAWN["limit_of_noise"](0.0)
    assert limit == pytest.approx(LIMIT["circle_limit"](), abs=1e-4)  # without a tail of 8 e^{-t} / 10^5
    exact = LIMIT["noise"](1, 4096)["noise"]
    assert exact == pytest.approx(DRAWN["limit_of_noise"](eps), rel=3e-4)  # the term after the next is of order eps
    assert exact < 0.99 * limit


def test_weighted_powers_are_those_of_the_waves_in_order():
    points = af.Uniform(af.FlatTorus(2)).sample(7, key=jax.random.key(5))
    weights = np.zeros((5, 5))
    weights[4, 1] = 3.0
    assert DRAWN["weighted_powers"](points, weights) == pytest.approx(3 * DRAWN["powers"](points, 2)[4, 1])


def test_the_best_error_balances_its_parts():
    """At the best bandwidth no neighbouring one is better, and the parts are those of the sums it is made from."""
    error, bandwidth = LIMIT["best"](2, 1e6)
    layers = round(LIMIT["TIME"] / bandwidth)
    around = []
    for n in (layers // 2, layers, 2 * layers):
        eps = LIMIT["TIME"] / n
        symbol = LIMIT["symbols"](1, eps).at_wave
        neighbours = 1e6 * eps / (2 * np.pi)
        mean = symbol**n - np.exp(-0.25) + LIMIT["slow_down"](2, eps) / neighbours * 0.25 * np.exp(-0.25)
        around.append(np.sqrt(mean**2 + LIMIT["noise"](2, n)["noise"] / 1e6))
    assert around[1] == pytest.approx(error, rel=1e-3)  # n is rounded, and the sums are interpolated in between
    assert around[1] < min(around[0], around[2])


def test_with_few_points_the_best_bandwidth_keeps_eight_neighbours():
    _, bandwidth = LIMIT["best"](3, 1100.0)
    assert 1100 * (bandwidth / (2 * np.pi)) ** 1.5 >= 8
