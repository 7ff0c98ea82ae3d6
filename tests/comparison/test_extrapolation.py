"""Richardson's extrapolation in the bandwidth: closed forms, the two orders, and what has no order to take out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from witnesses import bessel

import attnflow as af
from attnflow.errors import ConfigError

CIRCLE = af.Circle()
UNIFORM = af.Uniform(CIRCLE)
ANGLES = np.linspace(0.2, 5.9, 6)
AT = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def plain(eps=0.1, **changes):
    return af.Attention(af.SquaredDistance(), bandwidth=eps, **changes)


def f(x):
    return x[1] + x[0] * x[1]


def by_symbols(of_symbol):
    """What an operator does to sin t + sin(2t)/2 that multiplies e^{int} by a function of n."""
    return of_symbol(1) * np.sin(ANGLES) + of_symbol(2) * np.sin(2 * ANGLES) / 2


def test_the_generator_is_made_of_one_layer_at_each_of_two_bandwidths():
    def symbol(n):
        coarse, fine = (bessel.circle_symbol(n, bandwidth=eps) for eps in (0.1, 0.05))
        return (4 * fine - coarse - 3) / 0.1

    found = af.extrapolated(af.PopulationAttention(plain(), UNIFORM)).generator(f, at=AT)
    np.testing.assert_allclose(found, by_symbols(symbol), atol=1e-6)  # 1e-8 of f, three times, over eps


def test_the_semigroup_is_twice_that_of_the_half_bandwidth_less_that_of_the_whole():
    def symbol(n):
        coarse, fine = (bessel.circle_symbol(n, bandwidth=eps) for eps in (0.1, 0.05))
        return 2 * fine**10 - coarse**5

    population = af.PopulationAttention(plain(), UNIFORM)
    flow = af.extrapolated(population).evolve(f, times=[0.0, 0.5], at=af.DiscreteMeasure(AT, np.arange(1.0, 7.0)))
    np.testing.assert_allclose(flow.values, [by_symbols(lambda n: 1.0), by_symbols(symbol)], atol=1e-7)
    np.testing.assert_array_equal(flow.weights, np.arange(1.0, 7.0))
    np.testing.assert_allclose(flow.times, [0.0, 0.5])
    parts = [population.at_bandwidth(eps).evolve(f, times=0.5, at=AT).solver_error for eps in (0.05, 0.1)]
    assert flow.solver_error == pytest.approx(2 * parts[0] + parts[1], rel=0.5)
    assert "extrapolated" in flow.method


@pytest.mark.parametrize(("question", "order"), [("generator", 2), ("semigroup", 2), ("two layers for one", 1)])
def test_the_error_is_of_second_order_and_of_two_layers_for_one_of_first(question, order):
    exact = {"generator": lambda n: -(n**2) / 2, "semigroup": lambda n: np.exp(-(n**2) / 4)}

    def error(eps):
        life = af.PopulationAttention(plain(eps), UNIFORM, rtol=1e-11)
        if question == "generator":
            found = af.extrapolated(life).generator(f, at=AT)
        elif question == "semigroup":
            found = af.extrapolated(life).evolve(f, times=0.5, at=AT).values[0]
        else:
            flow = life.at_bandwidth(eps / 2).evolve(f, times=[0, eps], at=AT)
            found = (flow.values[1] - flow.values[0]) / eps
        return np.abs(found - by_symbols(exact.get(question, exact["generator"]))).max()

    # Half the bandwidth: 2^-order, up to a share of the next order that is 4 n^2 eps = .2 here.
    assert error(0.0125) / error(0.025) == pytest.approx(2.0**-order, rel=0.15)


def test_a_sample_is_extrapolated_with_the_same_points_and_the_same_sums():
    points = UNIFORM.sample(400, key=jax.random.key(0))
    life = af.EmpiricalAttention(plain(), points, method="dense", include_self=False, rtol=1e-10)
    halved = af.EmpiricalAttention(plain(0.05), points, method="dense", include_self=False, rtol=1e-10)
    better = af.extrapolated(life)
    assert repr(better) == "Extrapolated(EmpiricalAttention, bandwidths 0.1 and 0.05)"
    np.testing.assert_allclose(better.generator(f), 2 * halved.generator(f) - life.generator(f), atol=1e-9)
    flow = better.evolve(f, times=0.2)
    expected = 2 * halved.evolve(f, times=0.2).values - life.evolve(f, times=0.2).values
    np.testing.assert_allclose(flow.values, expected, atol=1e-9)
    assert 0 < flow.solver_error < 1e-8


def test_several_heads_are_extrapolated_together():
    first = np.array([[0.7, 0.2], [0.1, 0.6]])
    heads = af.MultiHead([plain(), plain(normalization="sinkhorn")], output=[first, np.eye(2) - first])
    found = af.extrapolated(af.PopulationAttention(heads, UNIFORM)).generator(lambda x: x, at=AT)
    # Of the uniform density both heads are the plain one: -x/2 up to eps^2.
    np.testing.assert_allclose(found, -AT / 2, atol=2e-3)
    with pytest.raises(ConfigError, match="do not sum to the identity"):
        af.extrapolated(af.PopulationAttention(af.MultiHead(heads.heads, output=[first, first]), UNIFORM))


def test_times_are_whole_layers_of_the_larger_bandwidth():
    with pytest.raises(ConfigError, match="whole numbers of layers"):
        af.extrapolated(af.PopulationAttention(plain(), UNIFORM)).evolve(f, times=0.05, at=AT)


TOKENS = np.random.default_rng(0).normal(size=(100, 2))
REFUSED = {
    "a limit": (lambda: af.DriftDiffusion(plain(), UNIFORM), "must be an EmpiricalAttention or a Pop.* DriftDiffusion"),
    "tokens that move": (lambda: af.TokenFlow(plain(), manifold=CIRCLE), "got TokenFlow"),
    "nothing of ours": (lambda: 3.0, "got float"),
    "rows that are not divided": (
        lambda: af.PopulationAttention(plain(normalization="unnormalized"), UNIFORM), "cannot be extrapolated",
    ),
    "entmax": (lambda: af.EmpiricalAttention(plain(normalization=af.Entmax(1.5)), TOKENS), "cannot be extrapolated"),
    "heavy tails": (lambda: af.PopulationAttention(plain(profile=af.StudentT(3.0)), UNIFORM), "no fourth moment"),
    "heavy tails of a plane": (
        lambda: af.EmpiricalAttention(plain(profile=af.StudentT(3.9, dim=2)), TOKENS), "in 2 dimensions .* no fourth",
    ),
    "a mask": (lambda: af.EmpiricalAttention(plain(mask="causal"), TOKENS), "a mask leaves"),
    "random features": (
        lambda: af.EmpiricalAttention(
            af.Attention(af.RandomFeatures(af.GaussianSpectrum(), 64, key=jax.random.key(0)), 0.5), TOKENS
        ),
        "fourth moments",
    ),
    "a jump of tokens": (
        lambda: af.EmpiricalAttention(af.Attention(af.DotProduct(), 0.5), TOKENS), "DotProduct is not the query: for",
    ),
    "a jump": (
        lambda: af.PopulationAttention(af.Attention(af.QueryKey(np.eye(2), [[0.0, 1.0], [-1.0, 0.0]]), 0.5), UNIFORM),
        "the minimiser of QueryKey is not the query",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_error_of_first_order_is_refused(name):
    make, words = REFUSED[name]
    with pytest.raises(ConfigError, match=words):
        af.extrapolated(make())


def test_many_layers_up_to_a_boundary_are_refused_and_the_generator_is_not():
    interval = af.Interval(0.0, 4.0)
    better = af.extrapolated(af.PopulationAttention(plain(0.02), af.Uniform(interval)))
    with pytest.raises(ConfigError, match=r"Interval.* has a boundary.* by sqrt\(eps\)"):
        better.evolve(lambda x: x[0], times=0.1, at=[[2.0]])
    found = better.generator(lambda x: jnp.cos(x[0]), at=[[2.0]])
    assert found[0] == pytest.approx(-np.cos(2.0) / 2, abs=1e-4)


def test_the_dot_product_of_tokens_on_a_circle_is_not_refused():
    life = af.EmpiricalAttention(af.Attention(af.DotProduct(), 0.1), UNIFORM.sample(100, key=jax.random.key(0)))
    assert af.extrapolated(life).generator(f, at=AT).shape == (6,)
