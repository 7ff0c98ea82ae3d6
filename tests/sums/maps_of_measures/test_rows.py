"""A row of softmax maximises expected logit plus entropy, as an optimiser finds that knows no softmax [V]."""

import numpy as np
import pytest
import scipy.optimize

import attnflow as af

POINTS = np.random.default_rng(6).normal(size=(7, 2))
BANDWIDTH = 0.6


@pytest.fixture(scope="module")
def softmax():
    return af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=BANDWIDTH), POINTS)


def maximised(logits):
    """The largest value of sum nu l - sum nu log nu over laws nu, and the law, by sequential quadratic programming."""
    found = scipy.optimize.minimize(
        lambda nu: nu @ np.log(nu) - nu @ logits,
        np.full(len(logits), 1 / len(logits)),
        jac=lambda nu: np.log(nu) + 1 - logits,
        bounds=[(1e-12, 1.0)] * len(logits),
        constraints={"type": "eq", "fun": lambda nu: nu.sum() - 1, "jac": np.ones_like},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    return -found.fun, found.x


@pytest.mark.parametrize("row", [0, 3])
def test_an_optimiser_finds_the_row_of_softmax_and_its_log_normaliser(softmax, row):
    value, law = maximised(POINTS @ POINTS[row] / BANDWIDTH)
    assert softmax.log_normalizer()[row] == pytest.approx(value, abs=1e-9)  # flat at its top: law off by 1e-5 at most
    assert softmax.layer(np.eye(7))[row] == pytest.approx(law, abs=1e-5)


def test_without_the_entropy_the_best_law_is_another_one(softmax):
    rows, logits = softmax.layer(np.eye(7)), POINTS @ POINTS.T / BANDWIDTH
    nearest = np.eye(7)[logits.argmax(axis=1)]
    gained = np.sum(nearest * logits, axis=1) - np.sum(rows * logits, axis=1)
    assert (gained > 0).all()
    assert gained.max() > 0.2
