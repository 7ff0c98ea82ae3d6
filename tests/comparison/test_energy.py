"""The energy distance against sums over all pairs and closed forms, and its floor against many samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance

import attnflow as af
from attnflow.comparison import energy

RNG = np.random.default_rng(2)
A, B = RNG.standard_normal((9, 3)), 0.5 + RNG.standard_normal((6, 3)) ** 2
WA, WB = 0.1 + RNG.random(9), 0.1 + RNG.random(6)


def over_all_pairs(a: np.ndarray, b: np.ndarray, wa: np.ndarray, wb: np.ndarray) -> float:
    wa, wb = wa / wa.sum(), wb / wb.sum()
    return 2 * wa @ cdist(a, b) @ wb - wa @ cdist(a, a) @ wa - wb @ cdist(b, b) @ wb


@pytest.mark.parametrize("dim", [1, 3])
def test_it_is_the_sum_over_all_pairs_whatever_the_tiles(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = A[:, :dim], B[:, :dim]
    expected = over_all_pairs(a, b, WA, WB) ** 0.5
    measures = af.DiscreteMeasure(a, WA), af.DiscreteMeasure(b, WB)
    assert af.mmd(*measures) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(energy, "_ROWS", 2)
    monkeypatch.setattr(energy, "_COLUMNS", 4)
    assert af.mmd(*measures) == pytest.approx(expected, rel=1e-12)
    assert af.mmd(measures[0], measures[0]) < 1e-7  # the square root of rounding


def test_on_the_line_it_is_that_of_scipy() -> None:
    """SciPy's energy_distance is (2 int (F - G)^2)^{1/2}, the same."""
    expected = energy_distance(A[:, 0], B[:, 0], WA, WB)
    assert af.mmd(af.DiscreteMeasure(A[:, :1], WA), af.DiscreteMeasure(B[:, :1], WB)) == pytest.approx(
        expected, rel=1e-12
    )


@pytest.mark.parametrize("dim", [1, 2])
def test_its_floor_is_the_root_mean_square_over_samples_of_one_law(dim: int) -> None:
    samples = np.random.default_rng(8).standard_normal((300, 50, dim))
    squares = [af.mmd(one[:30], one[30:]) ** 2 for one in samples]
    floor = af.mmd(samples[0, :30], samples[0, 30:]).noise_floor
    assert np.mean(squares) ** 0.5 == pytest.approx(floor, rel=0.15)  # 300 samples to .03, E|X - X'| of one to .1


def test_a_density_at_its_nodes_has_no_noise_of_its_own() -> None:
    nodes = np.linspace(-6, 6, 241)[:, None]
    law = af.Trajectory(times=[0.0], points=nodes, values=np.exp(-(nodes.T**2) / 2))
    points = np.random.default_rng(1).standard_normal((200, 1))
    found = af.mmd(points, law)
    # E|X - X'| = 2 / pi^{1/2} for standard normal X and X'; nodes stand for the law to 1e-3 of that
    assert found.noise_floor == pytest.approx((2 / np.pi**0.5 / 200) ** 0.5, rel=1e-2)
    assert found < 3 * found.noise_floor
    assert af.mmd(points + 1, law) > 5 * found.noise_floor
