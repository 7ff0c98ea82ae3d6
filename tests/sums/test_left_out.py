"""Tokens that leave themselves out, beside tokens without mass: every method, the keys' weights, and sample sizes."""

import jax
import numpy as np
import pytest
from witnesses import direct

import attnflow as af
from attnflow.sums.kernel_sums.fourier import FourierSum

RNG = np.random.default_rng(12)
POINTS = RNG.uniform(-1, 1, (60, 2)) * np.array([1.0, 0.7])
MASSES = np.where(np.arange(60) % 7 == 0, 0.0, RNG.uniform(0.5, 2.0, 60))  # the first and eight more have none
VALUES = RNG.standard_normal(60)


def logits(bandwidth):
    with np.errstate(divide="ignore"):
        return direct.without_self(direct.distance_logits(POINTS, POINTS, bandwidth=bandwidth)) + np.log(MASSES)


def tokens(bandwidth, *, method="auto", normalization="softmax"):
    attention = af.Attention(af.SquaredDistance(), bandwidth, normalization)
    measure = af.DiscreteMeasure(POINTS, MASSES)
    return af.EmpiricalAttention(attention, measure, method=method, include_self=False)


@pytest.mark.parametrize(
    ("method", "bandwidth"),
    [("dense", 0.05), ("cutoff", 0.05), ("fourier", 0.05), ("auto", 1e-12)],  # in the last the nearest takes all
)
def test_a_token_leaves_out_itself_and_no_other_whatever_has_no_mass(method, bandwidth):
    expected = direct.layer(logits(bandwidth), VALUES)
    np.testing.assert_allclose(tokens(bandwidth, method=method).layer(VALUES), expected, rtol=0, atol=1e-8)


def test_weights_of_keys_count_what_attends_to_them_without_themselves():
    # u_j = -alpha log sum_{k != j} w_k k(y_j, y_k)
    alpha, rows = 0.7, logits(0.05)
    expected = direct.layer(rows - alpha * direct.log_normalizer(rows), VALUES)

    def layer(eps):
        return tokens(eps, normalization=af.AlphaNormalization(alpha)).layer(VALUES)

    np.testing.assert_allclose(layer(0.05), expected, rtol=0, atol=1e-8)
    np.testing.assert_allclose(jax.jit(layer)(0.05), expected, rtol=0, atol=1e-12)


def test_sample_sizes_are_those_of_the_rows_without_themselves():
    expected = direct.effective_sample_size(logits(0.05))
    np.testing.assert_allclose(tokens(0.05).effective_sample_size(), expected, rtol=1e-8)


def test_the_fast_gauss_transform_checks_rows_without_their_own_term():
    # Counted with it the checked rows would seem to be off by a whole kernel; finer grids would be taken up in vain.
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    given = dict(points=POINTS, log_weights=np.zeros(60), dtype=np.dtype(float), rtol=1e-8)
    fourier = FourierSum(attention, **given)
    fourier(VALUES[:, None])
    grid = fourier.error
    sums = fourier(VALUES[:, None], exclude_self=True)
    assert fourier.error == grid
    assert (sums.error <= 1e-8).all()
    rows = direct.without_self(direct.distance_logits(POINTS, POINTS, bandwidth=0.05))
    error = np.abs(sums.weighted[:, 0] / sums.total - direct.layer(rows, VALUES))
    assert (error <= sums.error * np.abs(VALUES).max()).all()
