"""Lipschitz constants of attention on measures: what a search finds is attained, and a bound is never exceeded."""

import jax
import numpy as np
import pytest
import scipy.stats

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.sums.maps_of_measures.lipschitz import _multiples

KEY = jax.random.key(4)


def dot_product(beta, **how):
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / beta), **how)


@pytest.fixture(scope="module")
def searched():
    return {
        beta: af.wasserstein_lipschitz(dot_product(beta), radius=1.0, dim=1, atoms=3, key=KEY) for beta in (0.1, 4.0)
    }


@pytest.mark.parametrize("beta", [0.1, 4.0])
def test_a_small_move_of_the_measure_that_was_found_is_stretched_by_the_constant(searched, beta):
    found, flow = searched[beta], dot_product(beta)
    points, masses = found.measure
    step = 1e-6
    moved = points + step * found.direction / np.abs(found.direction).max()
    images = [flow.velocity(af.DiscreteMeasure(each, masses)).ravel() for each in (points, moved)]
    before = scipy.stats.wasserstein_distance(points.ravel(), moved.ravel(), masses, masses)
    after = scipy.stats.wasserstein_distance(*images, masses, masses)
    # Distances of 1e-15 to 1e-6, of which 1e-16 is rounding: the grain that moves may be as light as 1e-9.
    assert after / before == pytest.approx(found.constant, rel=1e-3 if masses[0] > 1e-7 else 0.5)


def two_atoms(beta, share):
    """The constant of a grain at -1 among masses `share` at -1 and the rest at 1, from the formula of derivatives."""
    points, masses = np.array([-1.0, 1.0]), np.array([share, 1 - share])
    kernel = np.exp(beta * np.outer(points, points))
    totals = kernel @ masses
    means = kernel @ (masses * points) / totals
    variance = kernel[0] @ (masses * (points - means[0]) ** 2) / totals[0]
    moved = kernel[:, 0] / totals * (1 + beta * points * (points[0] - means))
    return beta * variance + masses @ np.abs(moved)


@pytest.mark.parametrize("beta", [0.1, 4.0])
def test_a_search_finds_at_least_what_two_atoms_give_and_stays_below_the_bound(searched, beta):
    shares = np.linspace(0, 1, 2001)[1:-1]
    best = max(two_atoms(beta, share) for share in shares)
    assert searched[beta].constant >= best * (1 - 1e-6)  # shares are a grid
    assert searched[beta].constant < af.wasserstein_lipschitz_bound(dot_product(beta), radius=1.0)
    assert searched[0.1].constant == pytest.approx(max(two_atoms(0.1, share) for share in shares), rel=1e-6)


@pytest.mark.parametrize("size", [0.01, 0.3, 2.0])
def test_pairs_of_measures_are_never_stretched_by_more_than_the_bound(size):
    flow, rng = dot_product(size), np.random.default_rng(1)
    bound = af.wasserstein_lipschitz_bound(flow, radius=1.0)
    assert bound == pytest.approx(size + (1 + 2 * size) * np.exp(2 * size), rel=1e-14)
    for _ in range(40):
        one, other = rng.uniform(-1, 1, size=(2, 5, 1)), rng.dirichlet(np.full(5, 0.5), size=2)
        images = [flow.velocity(af.DiscreteMeasure(*pair)) for pair in zip(one, other, strict=True)]
        before = scipy.stats.wasserstein_distance(*one[:, :, 0], *other)
        after = scipy.stats.wasserstein_distance(images[0].ravel(), images[1].ravel(), *other)
        assert after <= bound * before


def test_the_bound_scales_with_values_and_takes_the_norm_of_bilinear_logits():
    query, key, value = np.random.default_rng(2).normal(size=(3, 2, 2))
    flow = af.TokenFlow(af.Attention(af.QueryKey(query, key), bandwidth=2.0), value=value)
    size = np.linalg.norm(query.T @ key / 2.0, 2) * 0.09
    right = np.linalg.norm(value, 2) * (size + (1 + 2 * size) * np.exp(2 * size))
    assert af.wasserstein_lipschitz_bound(flow, radius=0.3) == pytest.approx(right, rel=1e-12)  # rounding


def test_of_n_tokens_masses_are_whole_numbers_and_the_constant_is_a_norm_of_their_jacobian():
    flow = dot_product(1.0)
    found = af.wasserstein_lipschitz(flow, radius=2.0, dim=2, order=2, tokens=10, atoms=3, starts=3, key=KEY)
    numbers = found.measure.masses * 10
    assert np.allclose(numbers, np.rint(numbers), atol=1e-12)
    assert numbers.min() >= 1
    assert numbers.sum() == pytest.approx(10)
    assert np.linalg.norm(found.measure.points, axis=1).max() <= 2.0 * (1 + 1e-12)
    norm = af.jacobian_norm(flow, np.repeat(found.measure.points, np.rint(numbers).astype(int), axis=0))
    assert found.constant <= norm * (1 + 1e-9)  # moves apart of tokens at one place come on top
    assert found.constant > 0.9 * 2.0**2  # of one token amid two clusters: the variance of its ten keys


@pytest.mark.parametrize("masses", [[0.5, 0.3, 0.2], [0.78, 0.11, 0.11], [0.26, 0.26, 0.48]])
def test_masses_become_the_nearest_multiples(masses):
    found = _multiples(np.array(masses), 10)
    assert np.abs(found - masses).max() <= 0.1
    assert sorted(np.rint(found * 10)) == sorted({0.5: [2, 3, 5], 0.78: [1, 1, 8], 0.26: [2, 3, 5]}[masses[0]])


def test_what_cannot_be_searched_or_bounded_is_refused_by_name():
    flow = dot_product(1.0)
    how = dict(radius=1.0, dim=1, key=KEY)
    with pytest.raises(ConfigError, match="`order` must be 1 or 2, got 3"):
        af.wasserstein_lipschitz(flow, **how, order=3)
    with pytest.raises(ConfigError, match="`radius` must be positive"):
        af.wasserstein_lipschitz(flow, **how | {"radius": -1.0})
    with pytest.raises(ConfigError, match="`key` must be a JAX random key, got 3"):
        af.wasserstein_lipschitz(flow, **how | {"key": 3})
    with pytest.raises(DataError, match="`flow` acts on 2 coordinates, got tokens of 1"):
        af.wasserstein_lipschitz(dot_product(1.0, value=np.eye(2)), **how)
    sinkhorn = af.TokenFlow(af.Attention(af.SquaredDistance(), bandwidth=1.0, normalization="sinkhorn"))
    with pytest.raises(ConfigError, match="key weights are fixed"):
        af.wasserstein_lipschitz(sinkhorn, **how)
    for other in (sinkhorn, dot_product(1.0, centred=True), af.TokenFlow(af.Attention(af.SquaredDistance(), 1.0))):
        with pytest.raises(ConfigError, match="softmax of bilinear logits"):
            af.wasserstein_lipschitz_bound(other, radius=1.0)
