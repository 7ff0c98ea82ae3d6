"""Independent logits and trained heads: integrals against every draw there is, and a file that is not the one meant."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from attnflow.errors import DataError

FOLDER = Path(__file__).parents[2] / "studies" / "questions"
KINDS = np.array([[0, 0, 1], [1, 0, 1]])
LOGITS = np.array([[0.3, -1.0, 2.0], [0.7, 1.1, -0.4]])


@pytest.fixture(scope="module")
def folder():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def independent(folder):
    import independent_logits

    return independent_logits


@pytest.fixture(scope="module")
def heads(folder):
    import trained_heads

    return trained_heads


@pytest.fixture(scope="module")
def study(folder):
    import temp_heads

    return temp_heads


def squares(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights**2).sum(axis=-1)


def integral(independent, kinds, *, logits=LOGITS, scale=1.0):
    return independent.participation(logits, independent.laws_of(kinds), scale=scale)[0]


@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_the_integral_is_the_mean_over_every_draw_from_the_laws_of_the_kinds(independent, scale):
    expected = []
    for row in KINDS:
        draws = itertools.product(*(LOGITS[kind == KINDS] for kind in row))
        expected.append(squares(scale * np.array(list(draws))).mean())
    # steps of .4 in log s leave 2e-8 of so few keys
    assert integral(independent, KINDS, scale=scale) == pytest.approx(np.mean(expected), rel=1e-7)


def test_kinds_matter(independent):
    both = independent.participation(LOGITS, *map(independent.laws_of, (KINDS, np.zeros_like(KINDS))), scale=5.0)
    assert both[0] == pytest.approx(integral(independent, KINDS, scale=5.0), rel=1e-7)  # as by itself, other steps
    assert abs(both[0] - both[1]) > 0.01


def test_a_term_of_all_logits_changes_nothing(independent):
    moved = integral(independent, KINDS, logits=LOGITS + 300.0)
    assert moved == pytest.approx(integral(independent, KINDS), rel=1e-9)


@pytest.mark.parametrize("spread", [0.03, 1.3, 9.7])
def test_two_gaussian_logits_are_a_logistic_of_their_difference(independent, spread):
    def integrand(x):
        weight = expit(np.sqrt(2) * spread * x)
        return norm.pdf(x) * (weight**2 + (1 - weight) ** 2)

    exact = quad(integrand, -12, 12, points=[0.0], limit=200)[0]
    # the curve is read between 121 spreads by cubics
    assert independent.gaussian_curve(2)(spread) == pytest.approx(exact, abs=1e-6)


def test_an_equivalent_spread_is_that_of_the_curve_and_has_an_end(independent):
    curve = independent.gaussian_curve(122)
    for spread in (0.2, 3.0, 20.0):
        assert independent.equivalent_spread(float(curve(spread)), 122) == pytest.approx(spread, rel=1e-6)
    assert independent.equivalent_spread(0.9999, 122) == independent.WIDEST
    assert curve(0.0) == pytest.approx(1 / 122)


def test_shuffled_logits_lie_on_the_curve_of_one_law_and_others_need_not(independent):
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((122, 122)) + 12 * np.eye(122)
    curve = integral(independent, np.zeros((122, 122), dtype=int), logits=logits)
    shuffled = [squares(rng.permutation(logits.ravel()).reshape(122, 122)).mean() for _ in range(20)]
    # 20 means of 122 rows; five standard errors
    assert abs(np.mean(shuffled) - curve) < 5 * np.std(shuffled) / 20**0.5
    assert squares(logits).mean() > curve + 0.2  # each row has exactly one large logit, and none has none or two


def test_rows_of_one_law_and_spreads_of_their_own_are_on_their_curve_and_off_that_of_one_spread(independent):
    rng = np.random.default_rng(2)
    spreads = np.geomspace(0.5, 4, 122)
    logits = spreads[:, None] * rng.standard_normal((122, 122))
    logits -= logits.mean(axis=1, keepdims=True)
    scaled = independent.scaled_rows(logits, [0.5, 2.0])
    exact = [independent.gaussian_curve(122)(scale * spreads).mean() for scale in (0.5, 2.0)]
    # 122 values tell the spread of a row up to 6 percent, and the law of its largest logits no better
    assert scaled == pytest.approx(exact, rel=0.05)
    assert abs(integral(independent, np.zeros((122, 122), dtype=int), logits=logits, scale=2.0) - exact[1]) > 0.05


def test_kinds_of_a_window_are_offsets_far_pairs_and_the_two_ends(heads):
    window = heads.kinds("window")
    assert window.shape == (122, 122)
    assert window[50, 49] == window[70, 69] != window[50, 51]
    assert window[50, 20] == window[50, 90] == window[10, 100]  # far on either side
    assert len(set(window[40:60, 0])) == len(set(window[40:60, -1])) == 1
    assert window[3, 0] == window[90, 0] != window[3, 121]
    assert len(np.unique(window)) == 2 * heads.REACH + 4
    assert (heads.kinds("sink") == np.arange(122)).all()
    assert not heads.kinds("own").any()


def test_logits_are_those_of_the_file_less_means_of_rows(heads):
    queries, keys = heads.trained("7.0")
    logits = heads.centred("7.0")
    assert np.abs(logits.mean(axis=1)).max() < 1e-12
    assert np.ptp(queries @ keys.T - logits, axis=1).max() < 1e-10  # they differ by a term of the row


def test_without_the_file_the_error_says_where_it_must_lie(heads, tmp_path):
    with pytest.raises(DataError, match=r"must lie in tests/data of the repository.*checkout"):
        heads.trained("7.0", path=tmp_path / "absent.npz")


def test_another_file_is_refused(heads, tmp_path):
    other = tmp_path / "other.npz"
    np.savez(other, Q_7_0=np.zeros((122, 64)), K_7_0=np.zeros((122, 64)))
    with pytest.raises(DataError, match=r"must have the sha256 8e909adfc010.*Restore"):
        heads.trained("7.0", path=other)


def test_participation_of_attention_is_that_of_its_softmax_at_every_scale(study):
    rng = np.random.default_rng(1)
    queries, keys = rng.standard_normal((2, 122, 64))
    found = study.condensed(keys, queries)
    assert found == pytest.approx([squares(scale * queries @ keys.T).mean() for scale in study.SCALES], rel=1e-10)
    logits = queries @ keys.T
    assert study.of_logits(logits) == pytest.approx(found, rel=1e-10)


# Of docs/questions/open/temp_curve.md: sum of squared weights, equivalent spread over sigma_c, its standard error over
# rows, and the scale at which independent draws are as condensed.
PAGE = {
    "0.4": (0.147, 0.72, 0.026, 0.94),
    "1.2": (0.385, 1.23, 0.075, 0.93),
    "4.3": (0.131, 0.68, 0.036, 0.87),
    "7.0": (0.069, 0.53, 0.0143, 0.89),
    "7.3": (0.022, 0.33, 0.0059, 0.81),
}


@pytest.mark.parametrize("name", PAGE)
def test_heads_lie_where_the_page_says(independent, heads, name):
    mean, ratio, error, scale = PAGE[name]
    logits, critical = heads.centred(name), independent.critical_spread(122)
    rows = squares(logits)
    found = independent.equivalent_spread(rows.mean(), 122)
    slope = independent.gaussian_curve(122)(found, 1)
    assert rows.mean() == pytest.approx(mean, abs=6e-4)  # as rounded there
    assert found / critical == pytest.approx(ratio, abs=6e-3)
    assert rows.std() / 122**0.5 / slope / critical == pytest.approx(error, rel=0.01)
    assert integral(independent, heads.kinds("own"), logits=logits, scale=scale) == pytest.approx(mean, rel=0.02)


def test_an_advantage_is_signed_and_relative(study):
    assert study.advantage(1.0, 3.0) == 0.5
    assert study.advantage(3.0, 1.0) == -0.5
