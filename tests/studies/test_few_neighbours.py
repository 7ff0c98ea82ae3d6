"""What few neighbours do: closed forms of `breakdown` and `self_weight` against quadrature and drawn points."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy.special import iv
from witnesses import ratios_of_sums

import attnflow as af

STUDIES = Path(__file__).parents[2] / "studies"
BREAKDOWN = runpy.run_path(str(STUDIES / "noise" / "breakdown.py"))
SELF = runpy.run_path(str(STUDIES / "generator" / "self_weight.py"))


def test_two_tokens_compete_as_the_square_of_their_number_times_a_logarithm():
    # int_{u<v} r^2 e^{-rv} sech((v^2 - u^2)/2) du dv with u = v (1 - w), on logarithmic grids of v and w
    nb = 1e-3
    rate = nb * np.sqrt(2 / np.pi)
    log_v, log_w = np.linspace(-8, 12, 1001)[:, None], np.linspace(-40, 0, 1001)
    v, w = np.exp(log_v), np.exp(log_w)
    exponent = np.minimum(v**2 * w * (1 - w / 2), 700)
    pairs = rate**2 * np.exp(-rate * v) * v * w / np.cosh(exponent)
    excess = np.trapezoid(np.trapezoid(pairs, log_w, axis=1) * v[:, 0], log_v[:, 0])
    assert excess / nb**2 == pytest.approx(np.log(BREAKDOWN["CLOSE"] / nb), abs=0.01)  # the next order is nb = .001


def test_the_variance_over_few_neighbours_is_that_of_drawn_points():
    rng = np.random.default_rng(5)
    width, nb, draws = 12.0, 8.0, 40_000
    counts = rng.poisson(nb / np.sqrt(2 * np.pi) * 2 * width, size=draws)
    y = rng.uniform(-width, width, size=(draws, counts.max()))
    k = np.exp(-(y**2) / 2) * (np.arange(counts.max()) < counts[:, None])
    squares = ((k * y).sum(axis=1) / k.sum(axis=1)) ** 2
    asymptote = nb / np.sqrt(2) / 2 / nb**2  # int k^2 y^2 / int k = 2^(-1/2) / 2
    # 40 000 squares of scatter 1.7 leave .0085
    assert squares.mean() / asymptote == pytest.approx(BREAKDOWN["few_neighbours"](8.0), abs=0.03)
    assert BREAKDOWN["few_neighbours"](8.0) == pytest.approx(1.165, abs=5e-4)


def test_with_many_neighbours_the_variance_has_its_expansion():
    # 3 / 2^(1/2) - 4/3 (2/3)^(1/2) = 1.0327: twice the scatter of the number of neighbours less its tie to the sum
    slope = 3 / np.sqrt(2) - 4 / 3 * np.sqrt(2 / 3)
    assert 400 * (BREAKDOWN["few_neighbours"](400.0) - 1) == pytest.approx(slope, rel=0.01)  # the next order is 1/nb


def test_extrapolated_the_mean_self_weight_misses_by_little():
    angles = 2 * np.pi * np.arange(48) / 48
    p = np.exp(0.7 * np.cos(angles)) / (2 * np.pi * iv(0, 0.7))

    def limit(sizes):
        neighbours = np.outer(sizes, p * np.sqrt(2 * np.pi * SELF["BANDWIDTH"]))
        ratios = (ratios_of_sums.self_weight(neighbours) @ p) / ((1 / (1 + neighbours)) @ p)
        return af.fit_limit(sizes, ratios).limit

    assert limit([case["points"] for case in SELF["study"].ladder]) == pytest.approx(1, abs=2e-3)
    assert limit([128, 256, 512, 1024, 2048]) > 1.008  # from 5 neighbours on


def test_neighbours_are_the_integral_of_the_kernel():
    points = np.array([[1.0, 0.0], [0.6, -0.8], [-1.0, 0.0]])
    attention = af.Attention(af.SquaredDistance(), bandwidth=SELF["BANDWIDTH"])
    log_mass = af.PopulationAttention(attention, SELF["density"]()).log_normalizer(at=points)
    np.testing.assert_allclose(SELF["neighbours"](points, 3), 3 * np.exp(log_mass), rtol=1e-7)
