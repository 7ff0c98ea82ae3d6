"""Defects planted one at a time into the normalisations: each must turn a supported claim into one that is not."""

import warnings

import numpy as np
import plants
import pytest
from scipy.special import expit
from test_planted_defects import AT, CLOUD, log_density_slope, normalized_generator, tilted, verdict
from witnesses import direct, normalized

import attnflow as af
from attnflow.equations.expansions import coefficients


def sinkhorn_claim():
    """With Sinkhorn's weights the generator tends to that of p^(1/2), at order eps."""
    given = dict(normalization="sinkhorn", drift=0.5 * log_density_slope(), life=af.PopulationAttention)
    return verdict(lambda eps: normalized_generator(eps, **given), kind="exponent", predicted=1.0)


def sinkhorn_limit_claim():
    """With Sinkhorn's weights the limit is that of p^(1/2)."""
    given = dict(normalization="sinkhorn", drift=0.5 * log_density_slope(), life=af.DriftDiffusion)
    return verdict(lambda eps: normalized_generator(eps, **given), kind="identity", predicted=0.0, margin=1e-10)


def rows_claim(normalization, rows):
    """A layer on a cloud has rows known by hand."""

    def measure(bandwidth):
        attention = af.Attention(af.SquaredDistance(), bandwidth=50 * bandwidth, normalization=normalization)
        logits = direct.distance_logits(CLOUD, CLOUD, bandwidth=50 * bandwidth)
        return np.abs(af.EmpiricalAttention(attention, CLOUD).layer(CLOUD) - rows(logits) @ CLOUD).max()

    return verdict(measure, kind="identity", predicted=0.0, margin=1e-12)


def unnormalized_claim():
    return rows_claim("unnormalized", lambda logits: np.exp(logits) / len(CLOUD))


def sigmoid_claim():
    return rows_claim(af.Sigmoid(0.7), lambda logits: expit(logits + 0.7) / len(CLOUD))


def entmax_claim():
    return rows_claim(af.Entmax(1.5), normalized.entmax15)


def jump_claim():
    """Weights e^{b/eps}, b = <c, y>, carry x to (x + c) / |x + c| on the circle."""
    potential = af.KeyWeights(lambda y: 0.3 * y[0] - 0.2 * y[1], per_bandwidth=True)

    def measure(bandwidth):
        attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth, normalization=potential)
        target = AT + np.array([0.3, -0.2])
        found = af.LaplaceExpansion(attention, tilted()).minimizer(AT)
        return np.abs(found - target / np.linalg.norm(target, axis=1, keepdims=True)).max()

    return verdict(measure, kind="identity", predicted=0.0, margin=1e-7)


def heads_claim():
    """A layer of two heads on a cloud is known by hand."""
    matrix = np.array([[0.7, 0.2], [0.1, 0.6]])

    def measure(bandwidth):
        attention = af.Attention(af.SquaredDistance(), bandwidth=50 * bandwidth)
        heads = [attention, attention.replace(normalization="unnormalized")]
        kernel = np.exp(direct.distance_logits(CLOUD, CLOUD, bandwidth=50 * bandwidth))
        first, second = kernel / kernel.sum(axis=1, keepdims=True) @ CLOUD, kernel @ CLOUD / len(CLOUD)
        found = af.EmpiricalAttention(af.MultiHead(heads, output=[matrix, np.eye(2) - matrix]), CLOUD).layer(CLOUD)
        return np.abs(found - first @ matrix - second @ (np.eye(2) - matrix)).max()

    return verdict(measure, kind="identity", predicted=0.0, margin=1e-12)


CLAIMS = [
    sinkhorn_claim,
    sinkhorn_limit_claim,
    unnormalized_claim,
    sigmoid_claim,
    entmax_claim,
    jump_claim,
    heads_claim,
]


@pytest.fixture
def nothing_compiled_survives():
    """A defect inside compiled code must neither be missed, as compiled before, nor stay for later tests."""
    coefficients.raw_coefficients.clear_cache()
    yield
    coefficients.raw_coefficients.clear_cache()


@pytest.mark.parametrize("claimed", CLAIMS)
def test_without_a_defect_each_claim_is_supported(claimed):
    assert claimed() == "supported"


@pytest.mark.parametrize(
    ("plant", "claimed"),
    [
        (plants.sinkhorn_that_stops_at_once, sinkhorn_claim),
        (plants.sinkhorn_that_stops_at_once, sinkhorn_limit_claim),
        (plants.rows_divided_all_the_same, unnormalized_claim),
        (plants.sums_where_means_are_due, unnormalized_claim),
        (plants.a_sigmoid_without_its_bias, sigmoid_claim),
        (plants.entmax_of_another_power, entmax_claim),
        (plants.heads_mixed_by_transposes, heads_claim),
        (plants.half_the_weights_per_bandwidth, jump_claim),
    ],
)
def test_a_planted_defect_turns_the_verdict(plant, claimed, monkeypatch, nothing_compiled_survives):
    plant(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # declared errors above the tolerance may tell it, too
        assert claimed() == "refuted"
