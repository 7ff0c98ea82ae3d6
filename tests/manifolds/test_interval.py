"""The interval: its rule, its samples, attention at its ends, and the reflected drift-diffusion."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from witnesses import interval as witness

import attnflow as af
from attnflow.densities.sampling import draw_by_inversion
from attnflow.equations.discretizations.legendre import LegendreBasis
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.manifolds.interval import chebyshev_rule

UNIT = af.Interval(0, 1)
PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)
X = np.linspace(0, 1, 31)[:, None]


@functools.cache
def tilted(c):
    """p ~ e^{cx} on [0, 1]."""
    return af.LogDensity(UNIT, jax.tree_util.Partial(lambda c, x: c * x[0], c)) if c else af.Uniform(UNIT)


@pytest.mark.parametrize("degree", [2, 3, 8, 13])
def test_the_rule_is_exact_for_polynomials_of_its_degree(degree):
    nodes, weights = chebyshev_rule(degree)
    assert (weights > 0).all()
    np.testing.assert_array_equal(nodes[[0, -1]], [0, 1])
    for power in range(degree + 1):
        assert weights @ nodes**power == pytest.approx(1 / (power + 1), rel=1e-14)
    assert abs(weights @ nodes ** (degree + 3) - 1 / (degree + 4)) > 1e-14  # and no more than that


def test_a_long_interval_has_nodes_for_the_same_waves():
    # cos(40 x) over [0, 50]: sin(2000) / 40.
    nodes, weights = af.Interval(0, 50).quadrature(60)
    assert weights @ np.cos(40 * nodes[:, 0]) == pytest.approx(np.sin(2000) / 40, abs=1e-12)


@pytest.mark.parametrize("ends", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1), ("a", 1), (-1e308, 1e308)])
def test_ends_in_the_wrong_order_are_refused(ends):
    with pytest.raises(ConfigError, match=r"`low`|`high`"):
        af.Interval(*ends)


def test_points_outside_are_refused():
    with pytest.raises(DataError, match=r"not on Interval\(low=0\.0, high=1\.0\).*0\.1"):
        tilted(0.0).log_densities(np.array([[0.5], [1.1]]))


def test_samples_invert_the_distribution_function_up_to_the_ends():
    p = tilted(1.7)
    u = np.random.default_rng(5).random(4096)
    points = draw_by_inversion(p, np.random.default_rng(5))[:, 0]
    np.testing.assert_allclose(np.expm1(1.7 * points) / np.expm1(1.7), u, rtol=0, atol=1e-13)
    assert points.min() < 1e-3
    assert points.max() > 1 - 1e-3


def test_a_peak_at_an_end_is_sampled():
    p = af.LogDensity(UNIT, lambda x: 400 * x[0])
    assert p.log_bound == pytest.approx(np.log(400), abs=0.1)
    depths = 400 * (1 - p.sample(20_000, key=jax.random.key(1))[:, 0])  # exponential, mean and deviation 1
    assert abs(depths.mean() - 1) < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("bandwidth", [0.1, 1e-3, 1e-5])
def test_the_population_is_resolved_at_the_ends(bandwidth):
    population = af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth), tilted(0.8))
    x = np.array([0.0, np.sqrt(bandwidth) / 3, 0.4, 1.0])
    expected = witness.truncated_mean(x, c=0.8, bandwidth=bandwidth)
    np.testing.assert_allclose(population.layer(lambda y: y[0], at=x[:, None]), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("c", [0.0, 1.3])
def test_the_spectrum_is_that_of_reflecting_ends(c):
    spectrum = af.DriftDiffusion(PLAIN, tilted(c), rtol=1e-9).spectrum(6)
    expected = [witness.eigenvalue(n, c) for n in range(6)]
    np.testing.assert_allclose(spectrum.eigenvalues, expected, rtol=0, atol=1e-9 * expected[-1])
    for n, found in enumerate(spectrum.eigenfunctions(X).T):
        shape = witness.eigenfunction(X[:, 0], n, c)
        assert abs(found @ shape) / np.linalg.norm(found) / np.linalg.norm(shape) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("c", [0.0, 1.3])
def test_an_eigenfunction_decays_at_its_rate(c):
    f = lambda x: jnp.exp(-c * x[0]) * (2 * jnp.pi * jnp.cos(2 * jnp.pi * x[0]) + c * jnp.sin(2 * jnp.pi * x[0]))  # noqa: E731
    times = np.array([0.0, 0.02, 0.1])
    flow = af.DriftDiffusion(PLAIN, tilted(c), rtol=1e-9).evolve(f, times=times, at=X)
    expected = np.exp(-witness.eigenvalue(2, c) * times)[:, None] * witness.eigenfunction(X[:, 0], 2, c)
    assert np.abs(flow.values - expected).max() <= flow.solver_error <= 1e-9 * 2 * np.pi


def test_a_function_with_a_slope_at_the_ends_is_flattened_there():
    flow = af.DriftDiffusion(PLAIN, tilted(0.0), rtol=1e-8).evolve(lambda x: x[0], times=[0.005, 0.2], at=X)
    expected = [witness.evolved_coordinate(X[:, 0], t) for t in (0.005, 0.2)]
    assert np.abs(flow.values - expected).max() <= flow.solver_error <= 1e-8


def test_without_the_flux_through_the_ends_nothing_is_resolved(monkeypatch):
    monkeypatch.setattr(LegendreBasis, "outward", None)  # a planted defect: L alone has modes that grow
    with pytest.raises(ConvergenceError, match="not resolved"):
        af.DriftDiffusion(PLAIN, tilted(1.3)).evolve(lambda x: jnp.sin(x[0]), times=0.2, at=X)


def test_mass_is_conserved_and_the_law_is_the_squared_density():
    limit, rule = af.DriftDiffusion(PLAIN, tilted(1.3)), UNIT.quadrature(60)
    flow = limit.adjoint_evolve(lambda x: 1 + 0.3 * x[0] ** 2, times=[0.0, 0.1, 8.0], at=rule)
    np.testing.assert_allclose(flow.values @ rule.weights, 1.1, rtol=1e-13)
    law = np.exp(2.6 * rule.points[:, 0]) * 2.6 / np.expm1(2.6)
    np.testing.assert_allclose(flow.values[2], 1.1 * law, rtol=0, atol=flow.solver_error)


def test_a_metric_that_varies_is_reflected_by_its_own_flux():
    # D = |phi(x) - phi(y)|^2 with phi(x) = x + x^2/4 is the plain cost in s = phi(x); p ds uniform: cos(n pi s / S).
    phi = lambda x: x + x**2 / 4  # noqa: E731
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((phi(x) - phi(y)) ** 2))
    p = af.LogDensity(UNIT, lambda x: jnp.log1p(x[0] / 2))
    limit = af.DriftDiffusion(af.Attention(cost, 0.1), p)
    np.testing.assert_allclose(limit.spectrum(4).eigenvalues, (np.arange(4) * np.pi / 1.25) ** 2 / 2, atol=1e-7)
    flow = limit.evolve(lambda x: jnp.cos(np.pi * phi(x[0]) / 1.25), times=0.3, at=X)
    expected = np.exp(-0.3 * (np.pi / 1.25) ** 2 / 2) * np.cos(np.pi * phi(X[:, 0]) / 1.25)
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error <= 1e-8


def test_the_generator_is_asked_at_the_ends_too():
    limit = af.LaplaceExpansion(PLAIN, tilted(1.3))
    x = np.array([[0.0], [0.3], [1.0]])
    np.testing.assert_allclose(limit.generator(lambda x: x[0] ** 3, at=x), 3 * x[:, 0] + 3.9 * x[:, 0] ** 2, atol=1e-13)


def test_a_cost_that_is_least_beyond_an_end_is_refused():
    attention = af.Attention(af.CustomPseudoMetric(lambda x, y: jnp.sum((1.5 * x - y) ** 2)), 0.1)
    limit = af.LaplaceExpansion(attention, tilted(0.0))
    np.testing.assert_allclose(limit.minimizer(np.array([0.4])), [0.6], atol=1e-9)
    with pytest.raises(ConfigError, match=r"least beyond the end of Interval.*\[0\.8\], at \[1\.2\]"):
        limit.minimizer(np.array([[0.4], [0.8]]))
