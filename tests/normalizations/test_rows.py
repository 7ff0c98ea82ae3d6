"""Rows that are not divided by their sums: unnormalised, sigmoid and entmax, on particles and in the population."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.special
from instances import density
from witnesses import direct, normalized

import attnflow as af
from attnflow.errors import ConfigError, DataError, DegenerateKernelError, PrecisionError

RNG = np.random.default_rng(9)
CLOUD = RNG.gamma(2.0, size=(90, 2))
MASSES = RNG.uniform(0.2, 3.0, size=90)
LOGITS = direct.distance_logits(CLOUD, CLOUD, bandwidth=0.5)
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.5)
KINDS = ["unnormalized", af.Sigmoid(0.7), af.Entmax(1.5)]
ANGLES = np.array([0.3, 1.1, 2.0, 4.1])
ON_CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def life(normalization, points=CLOUD, **options):
    return af.EmpiricalAttention(ATTENTION.replace(normalization=normalization), points, **options)


def matrix(life):
    return life.layer(np.eye(len(life.measure)))


def close(found, expected, declared):
    """Rows as expected to what is declared, and to rounding."""
    assert np.abs(found - expected).sum(axis=1).max() <= declared <= 1e-12


@pytest.mark.parametrize("include_self", [True, False])
def test_unnormalised_rows_are_the_mean_of_the_kernel(include_self):
    logits = LOGITS if include_self else direct.without_self(LOGITS)
    emp = life("unnormalized", af.DiscreteMeasure(CLOUD, MASSES), include_self=include_self)
    close(matrix(emp), np.exp(logits) * MASSES / MASSES.sum(), emp.solver_error)
    twice = life("unnormalized", af.DiscreteMeasure(CLOUD, 2 * MASSES), include_self=include_self)
    np.testing.assert_allclose(twice.layer(CLOUD), emp.layer(CLOUD), rtol=1e-13)


def test_the_population_of_unnormalised_rows_is_a_bessel_function():
    population = af.PopulationAttention(
        af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization="unnormalized"), af.Uniform(af.Circle())
    )
    at = population.evolve(lambda x: x[0] * (4 * x[0] ** 2 - 3), times=[0.1, 0.2], at=ON_CIRCLE).values
    symbol = scipy.special.ive(3, 10.0)  # int e^{(cos t - 1)/eps} cos 3t dt / 2 pi
    np.testing.assert_allclose(at, np.outer([symbol, symbol**2], np.cos(3 * ANGLES)), rtol=0, atol=1e-12)


def test_rows_of_large_logits_are_refused_where_they_overflow():
    dots = af.Attention(af.DotProduct(), bandwidth=1e-3, normalization="unnormalized")
    with pytest.raises(PrecisionError, match="sums to more than 1e308"):
        af.EmpiricalAttention(dots, CLOUD).layer(CLOUD)
    large = af.EmpiricalAttention(dots.replace(bandwidth=0.5), CLOUD)
    expected = np.exp(direct.product_logits(CLOUD, CLOUD, bandwidth=0.5)) @ CLOUD / len(CLOUD)
    found = large.layer(CLOUD)  # rows of e^300
    assert np.abs(found - expected).max() <= large.solver_error * np.abs(CLOUD).max()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("bias", [0.0, -3.0])
def test_sigmoids_are_a_kernel(bias):
    emp = life(af.Sigmoid(bias), af.DiscreteMeasure(CLOUD, MASSES))
    close(matrix(emp), scipy.special.expit(LOGITS + bias) * MASSES / MASSES.sum(), emp.solver_error)
    assert life("sigmoid").attention.normalization == af.Sigmoid(0.0)


@pytest.mark.parametrize("normalization", ["unnormalized", af.Sigmoid(0.7)])
def test_particles_on_a_quadrature_are_the_population(normalization):
    def f(x):
        return x[0] + x[0] * x[1]

    attention = ATTENTION.replace(normalization=normalization)
    particles = af.EmpiricalAttention(attention, density("circle").quadrature(120)).layer(f, at=ON_CIRCLE)
    population = af.PopulationAttention(attention, density("circle")).layer(f, at=ON_CIRCLE)
    np.testing.assert_allclose(particles, population, rtol=0, atol=2e-8)  # two tolerances of 1e-8


def test_derivatives_of_rows_that_are_not_divided():
    def total(bandwidth):
        attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth, normalization=af.Sigmoid(0.7))
        return (af.EmpiricalAttention(attention, CLOUD[:40]).layer(CLOUD[:40, 0]) ** 2).sum()

    by_hand = (total(0.5 + 1e-5) - total(0.5 - 1e-5)) / 2e-5
    assert float(jax.jit(jax.grad(total))(0.5)) == pytest.approx(by_hand, rel=1e-7)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize(("alpha", "witness"), [(2.0, normalized.sparsemax), (1.5, normalized.entmax15)])
def test_entmax_is_what_sorting_finds(alpha, witness, include_self):
    logits = LOGITS if include_self else np.where(np.eye(90, dtype=bool), -1e6, LOGITS)
    emp = life(af.Entmax(alpha), include_self=include_self)
    found, expected = matrix(emp), witness(logits)
    close(found, expected, emp.solver_error)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=0, atol=1e-15 * 90)
    np.testing.assert_array_equal(found > 0, expected > 1e-15)  # keys beyond the threshold have no weight at all
    np.testing.assert_allclose(emp.effective_sample_size(), 1 / (expected**2).sum(axis=1), rtol=1e-12)
    flow = emp.evolve(CLOUD[:, 0], times=[1.5]).values[0]
    np.testing.assert_allclose(flow, np.linalg.matrix_power(expected, 3) @ CLOUD[:, 0], rtol=1e-12)


def test_any_entmax_solves_its_equation_and_small_powers_are_near_softmax():
    for row, logits in zip(matrix(life(af.Entmax(1.25))), LOGITS, strict=True):
        thresholds = 0.25 * logits - row**0.25  # of keys without weight, what they would need
        support = row > 0
        assert np.ptp(thresholds[support]) < 1e-13  # one threshold per row
        assert (thresholds[~support] <= thresholds[support].max() + 1e-13).all()
    near = matrix(life(af.Entmax(1.001)))
    # Of order alpha - 1 times squares of logits of ten.
    assert 1e-4 < np.abs(near - direct.softmax(LOGITS)).max() < 1e-2


def test_masses_of_entmax_are_copies():
    copies = RNG.integers(1, 4, size=90)
    repeated = np.repeat(CLOUD, copies, axis=0)
    weighed = life(af.Entmax(1.5), af.DiscreteMeasure(CLOUD, copies))
    np.testing.assert_allclose(
        weighed.layer(lambda x: x, at=CLOUD), life(af.Entmax(1.5), repeated).layer(lambda x: x, at=CLOUD), rtol=1e-13
    )
    as_tokens = life(af.Entmax(1.5, tokens=copies.sum()), af.DiscreteMeasure(CLOUD, copies / copies.sum()))
    np.testing.assert_allclose(as_tokens.layer(CLOUD), weighed.layer(CLOUD), rtol=1e-13)


def test_the_population_of_sparsemax_is_a_parabola():
    """Uniform on the circle, N tokens: [c (cos t - cos R)]_+ with c = 1/eps, N c (sin R - R cos R) / pi = 1."""
    tokens, eps = 40.0, 0.2
    radius = scipy.optimize.brentq(lambda r: tokens / eps * (np.sin(r) - r * np.cos(r)) / np.pi - 1, 1e-3, 3)
    mean = tokens / eps * (radius - np.sin(radius) * np.cos(radius)) / (2 * np.pi)  # of cos t
    population = af.PopulationAttention(
        af.Attention(af.SquaredDistance(), bandwidth=eps, normalization=af.Entmax(2.0, tokens=tokens)),
        af.Uniform(af.Circle()), rtol=1e-3,
    )  # fmt: skip
    flow = population.evolve(lambda x: x[1], times=eps, at=ON_CIRCLE)
    assert np.abs(flow.values[0] - mean * np.sin(ANGLES)).max() <= 2e-3  # the rows have kinks: twice the tolerance


@pytest.mark.parametrize("kind", KINDS)
def test_limits_are_refused_with_the_reason(kind):
    attention = ATTENTION.replace(normalization=kind)
    reason = "how many tokens" if kind == af.Entmax(1.5) else "constants move"
    for limit in (af.LaplaceExpansion, af.DriftDiffusion):
        with pytest.raises(ConfigError, match=reason):
            limit(attention, density("circle"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_they_do_not_have_is_refused_by_name(kind):
    emp = life(kind)
    with pytest.raises(ConfigError, match="stationary law"):
        emp.stationary()
    with pytest.raises(ConfigError, match="spectrum"):
        emp.spectrum(2)


def test_costs_that_are_no_numbers_are_told_with_their_pair():
    holed = af.CustomPseudoMetric(lambda x, y: jnp.where(y[0] > x[0] + 5, jnp.nan, jnp.sum((x - y) ** 2)))
    attention = ATTENTION.replace(pseudometric=holed, normalization=af.Entmax(1.5))
    with pytest.raises(DataError, match=r"the first of query .* and key"):
        af.EmpiricalAttention(attention, CLOUD).layer(CLOUD)
    masked = af.CustomPseudoMetric(lambda x, y: jnp.where(y[0] != x[0], jnp.inf, 0.0))
    alone = af.EmpiricalAttention(ATTENTION.replace(pseudometric=masked, normalization=af.Entmax(1.5)), CLOUD)
    np.testing.assert_array_equal(alone.layer(CLOUD), CLOUD)  # every row sees itself alone
    with pytest.raises(DegenerateKernelError, match="no key with mass at a finite cost"):
        alone.layer(lambda x: x[0], at=[[0.123, 4.0]])


def test_what_entmax_cannot_do_is_refused():
    with pytest.raises(ConfigError, match="normaliser"):
        life(af.Entmax(2.0)).log_normalizer()
    with pytest.raises(ConfigError, match='got `method` = "cutoff"'):
        life(af.Entmax(2.0), method="cutoff")
    with pytest.raises(ConfigError, match="cannot be traced"):
        jax.grad(lambda points: life(af.Entmax(2.0), points).layer(lambda x: x[0]).sum())(jnp.asarray(CLOUD))
    for alpha in (1.0, 2.5):
        with pytest.raises(ConfigError, match="`alpha` must be above 1 and at most 2"):
            af.Entmax(alpha)
