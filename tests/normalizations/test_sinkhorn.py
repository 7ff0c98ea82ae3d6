"""Sinkhorn: doubly stochastic to what is declared, equal to the iteration written out, refused where there is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import density
from witnesses import bessel, direct, normalized

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError

RNG = np.random.default_rng(8)
CLOUD = RNG.gamma(2.0, size=(70, 2))
MASSES = RNG.uniform(0.2, 3.0, size=70)
MEASURE = af.DiscreteMeasure(CLOUD, MASSES)
LOGITS = direct.distance_logits(CLOUD, CLOUD, bandwidth=0.8)
SINKHORN = af.Attention(af.SquaredDistance(), bandwidth=0.8, normalization="sinkhorn")


def matrix(life):
    """All averages: those of the unit vectors."""
    return life.layer(np.eye(len(life.measure)))


@pytest.mark.parametrize("include_self", [True, False])
def test_it_is_doubly_stochastic_with_respect_to_the_masses(include_self):
    life = af.EmpiricalAttention(SINKHORN, MEASURE, include_self=include_self)
    found = matrix(life)
    logits = LOGITS if include_self else direct.without_self(LOGITS)
    expected = normalized.sinkhorn(logits, weights=MASSES)
    # The declared error bounds a row's; a column that is off by d is a hundred entries that are off by less.
    assert np.abs(found - expected).sum(axis=1).max() <= life.solver_error <= 1e-8
    np.testing.assert_allclose(MASSES @ found, MASSES, rtol=1e-8)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=0, atol=1e-14)


def test_the_residual_asked_for_is_declared_and_honest():
    loose = SINKHORN.replace(normalization=af.Sinkhorn(rtol=1e-3))
    life = af.EmpiricalAttention(loose, MEASURE)
    with pytest.warns(RuntimeWarning, match="above `rtol`"):
        found = matrix(life)
    error = np.abs(found - normalized.sinkhorn(LOGITS, weights=MASSES)).sum(axis=1).max()
    assert 1e-7 < error <= life.solver_error < 1e-2
    assert np.abs(np.log(MASSES @ found / MASSES)).max() < 2e-3  # rtol of it, and as much of the sums of rows


def lopsided(x, y):
    return jnp.sum((x - y) ** 2) * (1 + 0.2 * x[0]) + 0.3 * y[1]


def test_potentials_of_queries_and_keys_alternate_for_an_asymmetric_cost():
    life = af.EmpiricalAttention(SINKHORN.replace(pseudometric=af.CustomPseudoMetric(lopsided)), MEASURE)
    costs = -2 * 0.8 * LOGITS * (1 + 0.2 * CLOUD[:, :1]) + 0.3 * CLOUD[:, 1]
    expected = normalized.sinkhorn(-costs / 1.6, weights=MASSES)
    assert np.abs(matrix(life) - expected).sum(axis=1).max() <= life.solver_error <= 1e-8


def test_weights_that_depend_on_a_query_or_a_key_alone_change_nothing():
    moved = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2) + 0.4 * x[0] + 0.4 * y[0], is_symmetric=True)
    found = matrix(af.EmpiricalAttention(SINKHORN.replace(pseudometric=moved), MEASURE))
    # Two residuals of 1e-9, each felt twice.
    np.testing.assert_allclose(found, matrix(af.EmpiricalAttention(SINKHORN, MEASURE)), rtol=0, atol=4e-9)


def test_the_declared_error_holds_where_sums_are_not_exact():
    points = density("circle").sample(1000, key=jax.random.key(4))
    values = np.random.default_rng(2).standard_normal(len(points))
    attention = SINKHORN.replace(bandwidth=0.01)
    exact = af.EmpiricalAttention(attention, points, rtol=1e-11, method="dense").layer(values)
    life = af.EmpiricalAttention(attention, points, rtol=1e-6, method="fourier")
    assert np.abs(life.layer(values) - exact).max() / np.abs(values).max() <= life.solver_error <= 1e-6


def test_its_stationary_law_is_that_of_the_masses():
    life = af.EmpiricalAttention(SINKHORN, MEASURE)
    np.testing.assert_allclose(life.stationary(), MASSES / MASSES.sum(), rtol=4e-9)
    assert life.spectrum(3).eigenvalues[0] == pytest.approx(0, abs=1e-13)


def test_under_a_uniform_density_it_is_softmax():
    angles = np.array([0.3, 1.1, 2.0, 4.1])
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    life = af.PopulationAttention(SINKHORN.replace(bandwidth=0.1), af.Uniform(af.Circle()))
    found = life.layer(lambda x: x[0] * (4 * x[0] ** 2 - 3), at=at)
    np.testing.assert_allclose(found, bessel.circle_symbol(3, bandwidth=0.1) * np.cos(3 * angles), rtol=0, atol=1e-9)


def test_means_under_the_density_are_kept_on_the_sphere_by_harmonics():
    """What is doubly stochastic leaves p invariant: int A f p = int f p."""
    p = density("von Mises-Fisher")
    nodes, masses = p.quadrature(24)
    life = af.PopulationAttention(SINKHORN.replace(bandwidth=0.02), p)
    flow = life.evolve(
        lambda x: jnp.exp(x[2] + 0.5 * x[0]), times=[0.0, 0.02, 0.06], at=af.DiscreteMeasure(nodes, masses)
    )
    assert flow.method.startswith("harmonics")
    np.testing.assert_allclose(flow.values @ masses, flow.values[0] @ masses, rtol=1e-8)


def stretched(x, y):
    return (x[0] - y[0]) ** 2 + 4 * (x[1] - y[1]) ** 2


def test_the_limit_sees_the_root_of_the_density_of_the_induced_metric():
    """With G = 1 + 3 cos^2 t on the circle L f = 1/(2 rho) (rho f' / G)', rho = p_G sqrt(G) = p: p is invariant."""
    cost = af.CustomPseudoMetric(stretched, vanishes_on_diagonal=True, is_symmetric=True)
    angles = np.array([0.3, 1.1, 2.0, 4.1])
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    slope = -0.7 * np.sin(angles) + 0.6 * np.cos(2 * angles)  # of log p
    metric, change = 1 + 3 * np.cos(angles) ** 2, -3 * np.sin(2 * angles)
    first, second = np.cos(angles), -np.sin(angles)  # of f = sin t
    expected = (second + slope * first - change / metric * first) / (2 * metric)
    limit = af.DriftDiffusion(SINKHORN.replace(pseudometric=cost), density("circle"))
    np.testing.assert_allclose(limit.generator(lambda x: x[1], at=at), expected, rtol=0, atol=1e-11)
    errors = [
        np.abs(
            af.PopulationAttention(SINKHORN.replace(pseudometric=cost, bandwidth=eps), density("circle")).generator(
                lambda x: x[1], at=at
            )
            - expected
        ).max()
        for eps in (0.01, 0.005)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)  # order eps


def test_a_point_heavier_than_all_others_that_leaves_itself_out_is_refused():
    heavy = af.DiscreteMeasure([[0.0], [1.0], [2.0]], [10.0, 1.0, 1.0])
    attention = SINKHORN.replace(normalization=af.Sinkhorn(max_sweeps=60))
    with pytest.raises(ConvergenceError, match=r"still change by .*, above 1e-09, after 60 sweeps"):
        af.EmpiricalAttention(attention, heavy, include_self=False)


def test_derivatives_pass_through_the_weights():
    points, values = CLOUD[:40], CLOUD[:40, 0] ** 2

    def total(bandwidth):
        attention = SINKHORN.replace(bandwidth=bandwidth, normalization=af.Sinkhorn(rtol=1e-12))
        return (af.EmpiricalAttention(attention, points).layer(values) ** 2).sum()

    # Central differences of step 1e-4 are off by 1e-8 times third derivatives, some hundreds here.
    by_hand = (total(0.8 + 1e-4) - total(0.8 - 1e-4)) / 2e-4
    assert float(jax.jit(jax.grad(total))(0.8)) == pytest.approx(by_hand, rel=1e-6)


def test_the_limit_of_an_asymmetric_cost_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match="an equation on the whole manifold"):
        af.DriftDiffusion(SINKHORN.replace(pseudometric=af.CustomPseudoMetric(lopsided)), density("circle"))


@pytest.mark.parametrize(("given", "words"), [(dict(rtol=2.0), "`rtol`"), (dict(max_sweeps=0), "`max_sweeps`")])
def test_options_that_make_no_sense_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        af.Sinkhorn(**given)
