"""Tokens that move beside the closed equations of their mean and covariance: two wings that share no code."""

from __future__ import annotations

import numpy as np
import pytest

import attnflow as af

MEAN, COVARIANCE = np.array([0.3, -0.5]), np.array([[1.0, 0.3], [0.3, 0.6]])
V = np.array([[-0.5, -0.4], [0.3, -0.2]])
QUERIES, KEYS = np.array([[0.7, -0.4], [0.2, 0.6]]), np.array([[0.6, 0.3], [-0.5, 0.7]])


def gauss_hermite(n: int) -> af.DiscreteMeasure:
    """The Gaussian law as n x n weighted tokens, exact for polynomials of degree 2n - 1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    return af.DiscreteMeasure(MEAN + grid @ np.linalg.cholesky(COVARIANCE).T, np.outer(weights, weights).ravel())


def test_two_heads_move_weighted_tokens_as_the_closure_says() -> None:
    """Of the same bandwidth, cost, output and value: at 1e-8, the rule being exact to 1e-9 for these logits."""
    heads = af.MultiHead(
        [
            af.Attention(af.QueryKey(QUERIES, KEYS), bandwidth=0.8),
            af.Attention(af.QueryKeyDistance(KEYS, QUERIES), bandwidth=0.8),
        ],
        output=[np.array([[0.7, 0.2], [-0.3, 0.6]]), np.array([[0.1, -0.4], [0.2, 0.5]])],
    )
    moved = af.TokenFlow(heads, V, centred=True).evolve(gauss_hermite(14), times=[0.4])
    law = af.GaussianClosure(heads, V, centred=True).evolve(mean=MEAN, covariance=COVARIANCE, times=[0.4])
    assert af.compare(moved, law)[0] < 1e-8
    plain = af.GaussianClosure(heads, V).evolve(mean=MEAN, covariance=COVARIANCE, times=[0.4])
    assert af.compare(moved, plain)[0] > 0.05  # not centred


@pytest.mark.parametrize("count", [1_000, 100_000])
def test_a_sample_of_tokens_is_off_by_one_over_the_root_of_its_size(count: int) -> None:
    """Means and deviations of a sample scatter by about 1/N^{1/2} each: .1 to 4 of that is room enough for both.

    100,000 tokens tell a value matrix that is a tenth too large; a thousand do not.
    """
    attention = af.Attention(af.DotProduct(), bandwidth=1.0)
    normal = np.random.default_rng(0).standard_normal((count, 2))
    points = MEAN + normal @ np.linalg.cholesky(COVARIANCE).T
    moved = af.TokenFlow(attention, V, rtol=1e-6).evolve(points, times=[0.5], integrator=af.Midpoint(0.125))

    def distance(value: np.ndarray) -> float:
        law = af.GaussianClosure(attention, value).evolve(mean=MEAN, covariance=COVARIANCE, times=[0.5])
        return float(af.compare(moved, law)[0] * count**0.5)

    assert 0.1 < distance(V) < 4  # the midpoint rule adds .2 at 100,000
    assert (distance(1.1 * V) > 4) == (count == 100_000)
