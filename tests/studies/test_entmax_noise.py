"""What tokens do to layers of entmax: against layers over a law that a wave has moved, at nodes close to one another.

A wave 2h cos(qx) of the density has phat(q) = phat(-q) = h, whose first order in h is that of a cloud, and whose second
order holds the terms of q and -q twice, as (f(h) - 2 f(0) + f(-h)) / h^2 does.
"""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import attnflow as af

FOLDER = Path(__file__).parents[2] / "studies" / "questions"
COUNT = 60  # tokens
NODES = 768
ANGLES = 2 * np.pi * np.arange(NODES) / NODES
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
MODE = np.exp(1j * ANGLES)


@pytest.fixture(scope="module")
def noise():
    yield from imported("entmax_noise")


@pytest.fixture(scope="module")
def depth():
    yield from imported("entmax_depth")


@pytest.fixture(scope="module")
def spectrum():
    yield from imported("entmax_spectrum")


def imported(name):
    sys.path.insert(0, str(FOLDER))
    try:
        yield __import__(name)
    finally:
        sys.path.remove(str(FOLDER))


def life(n: int, nodes: np.ndarray, *, wave: int, height: float) -> af.EmpiricalAttention:
    """Return entmax of 60 tokens whose law is 1 + 2h cos(qx)."""
    masses = 1 + 2 * height * np.cos(wave * np.arctan2(nodes[:, 1], nodes[:, 0]))
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.5, normalization=af.Entmax(1 + 1 / n, tokens=COUNT))
    return af.EmpiricalAttention(attention, af.DiscreteMeasure(nodes, masses))


def layers(n: int, *, wave: int, height: float, many: int) -> np.ndarray:
    """Return `many` layers of e^{ix} at the nodes, of a density 1 + 2h cos(qx)."""
    found = life(n, CIRCLE, wave=wave, height=height).evolve(CIRCLE, times=many * 0.5).values[0]
    return found[:, 0] + 1j * found[:, 1]


def at(found, wave: int, values: np.ndarray) -> float:
    """Return the value of a wave."""
    return float(values[found.waves == wave].item())


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("wave", [1, 2, 5])
def test_the_first_and_second_order_are_those_of_a_wave_of_the_density(noise, n, wave):
    found, many, height = noise.circle(n, COUNT), 3, 0.05
    ahead, here, behind = (layers(n, wave=wave, height=h, many=many) for h in (height, 0.0, -height))
    assert np.mean(here / MODE).real == pytest.approx(found.symbol**many, rel=1e-4)
    first, second = (ahead - behind) / (2 * height), (ahead - 2 * here + behind) / height**2
    # 1 + 2h cos(qx) goes down to .9 and has h^2 of .0025, and where the reach ends between nodes a kink is .0082 wide
    for q in (wave, -wave):
        measured = np.mean(first * np.exp(-1j * (q + 1) * ANGLES)).real
        assert measured == pytest.approx(at(found, q, found.change * noise.repeats(found, many)), rel=0.01)
    derived = 2 * sum(at(found, q, noise.second_order(found, many)) for q in (wave, -wave))
    assert np.mean(second / MODE).real == pytest.approx(derived, rel=0.04)


def test_at_a_fixed_reach_tokens_do_less(noise):
    for n in (1, 2, 3):
        own, fixed = (noise.circle(n, COUNT, fixed=fixed) for fixed in (False, True))
        assert at(fixed, -2, fixed.change) < 0.95 * at(own, -2, own.change)
        assert noise.fluctuation(fixed, 10).sum() < 0.95 * noise.fluctuation(own, 10).sum()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_pair_splits_and_the_noise_tends_to_what_the_limits_say(noise, n):
    count = 10**7
    found, rho = noise.circle(n, count), (2 * n + 3) / (2 * n + 1)
    half_gap = at(found, -2, found.change) / noise.effective(n, 1, count)
    assert half_gap == pytest.approx((3 + rho) / 2, rel=0.03)  # the next term is of order R^2, .02 for n = 3
    sparse = noise.fluctuation(noise.circle(1, count), noise.depth(1, 1, count)).sum()
    assert sparse == pytest.approx(noise.limit_of_noise(5 / 3), rel=0.01)  # and here of order R, .008
    assert noise.limit_of_noise(1.0) < 0.9 * sparse


def test_many_layers_raise_the_mean_as_they_raise_the_eigenvalue(noise):
    found, many = noise.circle(2, COUNT), 4000
    raised = noise.second_order(found, many) / (many * found.symbol ** (many - 1))
    usual = (np.abs(found.waves + 1) != 1) & (found.waves != -1)  # a pair splits instead; constants do not come back
    # what is repeated differs by the part 1 / (L (kappa(1) - kappa(q+1))), some .002, and a single layer cancels most
    assert raised[usual] == pytest.approx(noise.rise(found)[usual], rel=0.02, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2])
def test_one_layer_on_the_sphere_has_the_noise_of_its_weights(noise, n):
    count = 200
    # N int w^2 |y - k' x|^2 over all tokens y, with |y - k' x|^2 = 1 + k'^2 - 2 k' z; s is uniform on the sphere
    square = noise.effective(n, 2, count) * (2 * n + 4)
    s = square * (np.arange(20_000) + 0.5) / 20_000
    z = 1 - s / 2
    profile = (1 - s / square) ** n
    slope = np.average(z, weights=(1 - s / square) ** (n - 1))
    density = profile / (profile.sum() * square / 20_000 / 4)
    direct = np.sum(density**2 * (1 + slope**2 - 2 * slope * z)) * square / 20_000 / 4
    # degrees beyond 60 / R are left out
    assert noise.noise_of_degrees(n, count, 1).sum() == pytest.approx(direct, rel=0.02)


def test_powers_of_the_layer_are_its_evolution(depth):
    points = af.Uniform(af.Circle()).sample(40, key=jax.random.key(3))
    layer = depth.matrix(1, points)
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.5, normalization=af.Entmax(2.0))
    evolved = af.EmpiricalAttention(attention, points).evolve(points, times=1.5).values[0]
    np.testing.assert_allclose(layer @ (layer @ (layer @ points)), evolved, rtol=0, atol=1e-12)


def test_powers_are_those_of_the_tokens(depth):
    points = af.Uniform(af.Circle()).sample(7, key=jax.random.key(5))
    angles = np.arctan2(points[:, 1], points[:, 0])
    direct = abs(np.exp(-3j * angles).sum()) ** 2 / 7
    assert depth.powers(points)[2] == pytest.approx(direct, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2])
def test_a_wave_of_the_density_splits_the_pair_or_moves_its_mean(noise, spectrum, n):
    nodes, found = CIRCLE[::2], noise.circle(n, COUNT)

    def pair(wave: int, height: float) -> np.ndarray:
        return spectrum.first_pair(life(n, nodes, wave=wave, height=height).layer(np.eye(len(nodes))))

    # the reach answers to a wave in powers of 2h = .1, whose square is seen; of a pair the third is the next
    upper, lower = pair(2, 0.05)
    assert upper - lower == pytest.approx(2 * 0.05 * at(found, -2, found.change), rel=0.02)
    moved = (pair(5, 0.05).mean() - pair(5, 0.0).mean()) / 0.05**2
    derived = sum(at(found, q, noise.rise(found)) for q in (5, -5))
    assert moved == pytest.approx(derived, rel=0.05)


def test_the_pair_is_what_comes_after_one(spectrum):
    matrix = np.random.default_rng(2).random((12, 12)) + 20 * np.eye(12)
    matrix /= matrix.sum(axis=1, keepdims=True)
    values = np.sort(np.linalg.eigvals(matrix).real)[::-1]
    assert spectrum.first_pair(matrix) == pytest.approx(values[1:3], abs=1e-10)
