"""What A f tends to where the cost is least at one key, at several, along curves, everywhere; and what is refused."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import attnflow as af
from attnflow.equations.expansions.level_curves import are_on
from attnflow.errors import ConfigError, ConvergenceError, DataError

CIRCLE, SPHERE, TORUS = af.Circle(), af.Sphere(2), af.FlatTorus(2)
ON_SPHERE = np.array([[0.48, 0.6, 0.64], [-0.6, 0.48, -0.64], [0.28, -0.96, 0.0]])


def limit_of(cost, density):
    return af.LaplaceExpansion(af.Attention(af.CustomPseudoMetric(cost), bandwidth=0.1), density)


# One cost for each manifold, of many terms, so that it is compiled once.

SPHERE_TERMS = {
    "parallel": lambda x, y: (x[2] - y[2]) ** 2 * (1 + y[0] / 2),
    "two parallels": lambda x, y: (x[2] ** 2 - y[2] ** 2) ** 2 * (1 + y[0] / 2),
    "constant": lambda x, y: x[2],
    "quartic": lambda x, y: (1 - y[2]) ** 2,
    "valley": lambda x, y: y[0] ** 4 * (y[1] - 0.3) ** 2,
    "crossing": lambda x, y: (y[0] * (y[1] - 0.3)) ** 2,
    "query key": lambda x, y: -2 * (MATRIX @ x) @ y,
}
CIRCLE_TERMS = {
    "graph": lambda x, y: (x[0] - y[0]) ** 2,
    "unlike wells": lambda x, y: 2 * (1 - y[0] ** 2) * (1.5 + y[0]),
    "wells": lambda x, y: 2 * (1 - y[0] ** 2),
    "lift": lambda x, y: -y[0],
    "lift by the query": lambda x, y: -x[0] * y[0],
    "constant": lambda x, y: 1.0,
    "quartic": lambda x, y: jnp.sum((x - y) ** 2) ** 2,
}
MATRIX = np.array([[1.1, 0.3, -0.2], [-0.5, 0.8, 0.4], [0.2, -0.6, 1.3]])  # K'Q


def of_terms(terms):
    names = list(terms)

    def cost(factors, x, y):
        return sum(factors[i] * terms[name](x, y) for i, name in enumerate(names))

    return lambda factors: Partial(cost, jnp.asarray([float(factors.get(name, 0.0)) for name in names]))


SPHERE_COST, CIRCLE_COST = of_terms(SPHERE_TERMS), of_terms(CIRCLE_TERMS)


@functools.cache
def sphere_density():
    return af.LogDensity(SPHERE, lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1] + 0.2 * x[2])


@functools.cache
def circle_density():
    return af.LogDensity(CIRCLE, lambda x: 0.7 * x[0] + 0.4 * x[1])


def on_sphere(**factors):
    return limit_of(SPHERE_COST({name.replace("_", " "): factor for name, factor in factors.items()}), sphere_density())


def on_circle(**factors):
    return limit_of(CIRCLE_COST({name.replace("_", " "): factor for name, factor in factors.items()}), circle_density())


def vector(y):
    return jnp.stack([y[0], y[1] ** 2 * y[0], y[2]])


def plane(y):
    return jnp.stack([y[1], y[0] * y[1] + y[0]])


def mean_on_parallel(function, x, *, heights, exponent=-0.5):
    """int f w / int w over the parallels at these heights, w = p c_n^exponent, c_n = 1 - z^2 times 1 + y_0 / 2."""
    turns = 2 * np.pi * np.arange(512) / 512
    above = below = 0.0
    for z in heights:
        radius = np.sqrt(1 - z**2)
        y = np.column_stack([radius * np.cos(turns), radius * np.sin(turns), np.full(512, z)])
        p = np.exp(0.7 * y[:, 0] + 0.6 * y[:, 0] * y[:, 1] + 0.2 * z)
        weights = radius * p * (radius**2 * (1 + y[:, 0] / 2)) ** exponent
        above, below = above + weights @ function(y.T).T, below + weights.sum()
    return above / below


# --- points


def test_graph_attention_on_a_circle_tends_to_the_average_over_two_keys():
    # D = (cos x - cos y)^2 [RZ]: alike at y = x and y = -x, with the same Hessian, so that p alone weighs them.
    angles = np.array([1.0, 2.0, -0.5])
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    found = on_circle(graph=1).leading_order(plane, at=at)
    weight = 1 / (1 + np.exp(-0.8 * np.sin(angles)))  # of y = x
    odd = (2 * weight - 1) * np.sin(angles)
    exact = np.column_stack([odd, np.cos(angles) * odd + np.cos(angles)])
    np.testing.assert_allclose(found.values, exact, rtol=0, atol=1e-12)  # round-off in y* of 1e-14 and in p
    assert found.counts.tolist() == [2, 2, 2]
    assert found.dimensions.tolist() == [0, 0, 0]
    assert found.error == 0.0
    assert repr(found) == "LeadingOrder(3 queries, dimensions [0], 2 to 2 pieces, error 0)"


def test_minima_of_one_height_are_weighed_by_their_curvature_and_a_higher_one_is_left_out():
    # S = sin^2 t (1.5 + cos t): S'' = 2 (1.5 + cos t) at t = 0 and pi, 5 and 1, and p is e^{.7} and e^{-.7} there
    weight = 1 / (1 + 5**0.5 * np.exp(-1.4))  # of t = 0
    value = on_circle(unlike_wells=1).leading_order(plane, at=[[0.6, 0.8]]).values[0, 1]
    assert value == pytest.approx(2 * weight - 1, abs=1e-12)
    found = on_circle(unlike_wells=1, lift=1e-3).leading_order(plane, at=[[0.6, 0.8]])
    assert found.values[0, 1] == pytest.approx(1.0, abs=1e-12)
    assert found.gaps[0] == pytest.approx(1e-3, rel=1e-9)


def test_the_jump_under_learned_queries_and_keys_on_the_sphere():
    # D = -2 <Q x, K y> [RZ, Example 3]: y* = K'Q x / |K'Q x|; there (1/2 Lap f + <grad log p, grad f>) / |K'Q x|.
    limit = on_sphere(query_key=1)
    image = ON_SPHERE @ MATRIX.T
    slow = np.linalg.norm(image, axis=1)
    y = image / slow[:, None]
    np.testing.assert_allclose(limit.minimizer(ON_SPHERE), y, rtol=0, atol=1e-12)
    found = limit.leading_order(vector, at=ON_SPHERE)
    np.testing.assert_allclose(found.values, np.asarray(vector(y.T)).T, rtol=0, atol=1e-12)
    assert np.isinf(found.gaps).all()
    # f = (y_0, y_1^2 y_0, y_2): Lap f = -2 y_0, 2 y_0 - 12 y_1^2 y_0 and -2 y_2
    zero, one = np.zeros(3), np.ones(3)
    of_f = np.array([[one, zero, zero], [y[:, 1] ** 2, 2 * y[:, 0] * y[:, 1], zero], [zero, zero, one]])  # f, D, Q
    of_p = np.array([0.7 + 0.6 * y[:, 1], 0.6 * y[:, 0], np.full(3, 0.2)])
    normal = np.sum(of_p * y.T, axis=0) * np.einsum("fdq,qd->fq", of_f, y)
    drift = np.einsum("fdq,dq->fq", of_f, of_p) - normal
    laplacian = np.array([-2 * y[:, 0], 2 * y[:, 0] - 12 * y[:, 1] ** 2 * y[:, 0], -2 * y[:, 2]])
    generator = limit.generator(vector, at=ON_SPHERE)
    np.testing.assert_allclose(generator, ((laplacian / 2 + drift) / slow).T, rtol=0, atol=1e-10)


# --- curves


def test_a_parallel_of_minimisers_is_averaged_over_with_its_curvature():
    found = on_sphere(parallel=1).leading_order(vector, at=ON_SPHERE, rtol=1e-10)
    exact = [mean_on_parallel(vector, x, heights=[x[2]]) for x in ON_SPHERE]
    assert found.dimensions.tolist() == [1, 1, 1]
    assert found.error <= 1e-10
    np.testing.assert_allclose(found.values, exact, rtol=0, atol=1e-10)
    unweighed = [mean_on_parallel(vector, x, heights=[x[2]], exponent=0.0) for x in ON_SPHERE]
    assert np.abs(found.values - unweighed).max() > 0.02


def test_two_parallels_of_one_height_are_both_found():
    found = on_sphere(two_parallels=1).leading_order(vector, at=ON_SPHERE[:2])
    # c_n = 4 z^2 (1 - z^2)(1 + y_0 / 2), with the same z^2 on both
    exact = [mean_on_parallel(vector, x, heights=[x[2], -x[2]]) for x in ON_SPHERE[:2]]
    np.testing.assert_allclose(found.values, exact, rtol=0, atol=1e-8)
    assert found.counts.tolist() == [2, 2]


def test_curves_that_go_around_a_torus_close():
    limit = limit_of(lambda x, y: (x[0] - y[0]) ** 2, af.LogDensity(TORUS, lambda x: 0.5 * x[2] + 0.3 * x[1] * x[3]))
    x = np.array([[np.cos(0.8), np.sin(0.8), 0.6, 0.8]])
    found = limit.leading_order(lambda y: y[1] + y[3], at=x)
    # t_1 = .8 and -.8, along each t_2 with p ~ exp(.5 cos t_2 + .3 sin t_1 sin t_2)
    turns = 2 * np.pi * np.arange(256) / 256
    sines = np.sin([0.8, -0.8])[:, None]
    weights = np.exp(0.5 * np.cos(turns) + 0.3 * sines * np.sin(turns))
    exact = np.sum(weights * (sines + np.sin(turns))) / weights.sum()
    assert found.values[0] == pytest.approx(exact, abs=1e-8)
    assert found.counts[0] == 2


def test_points_beside_a_curve_are_not_taken_for_its_own():
    turns = 2 * np.pi * np.arange(40) / 40
    ring = np.column_stack([np.cos(turns), np.sin(turns), 0 * turns])
    between = np.array([[np.cos(0.05), np.sin(0.05), 0.0]])
    assert are_on(between, ring).all()
    assert not are_on(between + np.array([0.0, 0.0, 0.05]), ring).any()  # chords are 0.16 long


# --- all of M, and other lives


def test_a_constant_cost_averages_over_all_keys():
    limit = on_sphere(constant=1)
    found = limit.leading_order(vector, at=ON_SPHERE[:1])
    population = af.PopulationAttention(limit.attention, sphere_density()).layer(vector, at=ON_SPHERE[:1])
    np.testing.assert_allclose(found.values, population, rtol=0, atol=1e-8)
    assert found.dimensions.tolist() == [2]


def test_key_weights_count_as_part_of_the_density():
    weighed = af.Attention(
        af.CustomPseudoMetric(lambda x, y: (x[0] - y[0]) ** 2), 0.1, normalization=af.KeyWeights(lambda y: 0.4 * y[1])
    )
    limit = af.LaplaceExpansion(weighed, af.Uniform(CIRCLE))
    value = limit.leading_order(lambda y: y[1], at=[[0.6, 0.8]]).values[0]
    assert value == pytest.approx(0.8 * np.tanh(0.32), abs=1e-12)


# --- refusals


REFUSED = {"quartic": "degenerate", "valley": "Hessian", "crossing": "S is not constant, or degenerate"}


@pytest.mark.parametrize("name", REFUSED)
def test_other_sets_of_minimisers_are_refused_with_the_query(name):
    words = rf"for the query \[ ?0\.48, .* are not averaged over: .*{REFUSED[name]}"
    with pytest.raises(ConfigError, match=words):
        on_sphere(**{name: 1}).leading_order(vector, at=ON_SPHERE[:1])


def test_a_surface_of_minimisers_in_three_dimensions_is_refused():
    limit = limit_of(lambda x, y: (x[0] - y[0]) ** 2, af.Uniform(af.Sphere(3)))
    with pytest.raises(ConfigError, match="they seem to form a set of dimension 2"):
        limit.leading_order(lambda y: y[1], at=[[0.6, 0.0, 0.8, 0.0]])


def test_a_tolerance_that_cannot_be_met_is_said():
    with pytest.raises(ConvergenceError, match="does not settle to `rtol` = 1e-15"):
        on_sphere(parallel=1).leading_order(lambda y: jnp.abs(y[0]), at=ON_SPHERE[:1], rtol=1e-15)


def test_a_minimum_beyond_an_end_is_refused():
    limit = limit_of(lambda x, y: (x[0] + 0.5 - y[0]) ** 2, af.Uniform(af.Interval(0.0, 1.0)))
    with pytest.raises(ConfigError, match=r"least beyond the end .* for the query \[0.8\]"):
        limit.leading_order(lambda y: y[0], at=[[0.8]])
    assert limit.leading_order(lambda y: y[0] ** 2, at=[[0.2]]).values[0] == pytest.approx(0.49, abs=1e-12)
    twice = limit_of(lambda x, y: ((y[0] - 0.4) * (y[0] - 1.1)) ** 2, af.Uniform(af.Interval(0.0, 1.0)))
    with pytest.raises(ConfigError, match=r"beyond the end of Interval"):
        twice.leading_order(lambda y: y[0], at=[[0.8]])


NO_NUMBERS = {
    "nan": (lambda x, y: jnp.log(x @ y), "is nan for x = "),
    "minus infinity": (lambda x, y: jnp.where(y[0] > 0.9, -jnp.inf, x @ y), "is -inf for x = .*, y = "),
    "infinity": (lambda x, y: jnp.inf + x @ y, "is inf for x = .*must not be all there is"),
}


@pytest.mark.parametrize("name", NO_NUMBERS)
def test_a_cost_that_is_no_number_is_named_with_the_pair(name):
    cost, words = NO_NUMBERS[name]
    limit = limit_of(cost, af.Uniform(CIRCLE))
    with pytest.raises(DataError, match=rf"the cost CustomPseudoMetric {words}"):
        limit.minimizers([[0.6, 0.8]])


def test_a_key_that_is_not_attended_at_all_may_cost_infinity():
    limit = limit_of(lambda x, y: jnp.where(x @ y < -0.5, jnp.inf, jnp.sum((x - y) ** 2)), af.Uniform(CIRCLE))
    np.testing.assert_allclose(limit.minimizer([0.6, 0.8]), [0.6, 0.8], rtol=0, atol=1e-12)


# --- what is known of minimisers


def test_minimisers_come_with_what_is_known_of_them():
    # S = sin^2 t - x_0 cos(t) / 2: wells at t = 0 and pi, whose difference is x_0.
    found = on_circle(wells=1, lift_by_the_query=1).minimizers([[1.0, 0.0], [0.0, 1.0], [-0.6, 0.8]])
    assert found.kinds.tolist() == ["regular", "several", "regular"]
    np.testing.assert_allclose(found.points[[0, 2]], [[1, 0], [-1, 0]], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.gaps, [1.0, 0.0, 0.6], rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.curvatures, [2.5, 2.0, 2.3], rtol=0, atol=1e-9)  # S'' = 2 + |x_0| / 2
    np.testing.assert_allclose(found.largest_bandwidth(np.exp(-10)), [0.1, 0.0, 0.06], rtol=1e-9)
    assert repr(found).startswith("Minimizers(2 regular, 1 several; gap >= 0.6: ")
    with pytest.raises(ConfigError, match="`tolerance` must be between 0 and 1, got 2"):
        found.largest_bandwidth(2.0)


def test_each_kind_of_minimiser_has_its_name():
    kinks = limit_of(lambda x, y: jnp.sum(jnp.abs(x - y)), af.Uniform(CIRCLE)).minimizers([[0.6, 0.8]])
    assert kinks.kinds.tolist() == ["not smooth"]
    quartic = on_circle(quartic=1).minimizers([[0.6, 0.8]])
    assert quartic.kinds.tolist() in (["degenerate"], ["several"])  # flat to round-off over a millionth
    interval = af.Uniform(af.Interval(0.0, 1.0))
    ends = limit_of(lambda x, y: (x[0] + 0.5 - y[0]) ** 2, interval).minimizers([[0.8], [0.2]])
    assert ends.kinds.tolist() == ["beyond the end", "regular"]
    line = af.Gaussian(mean=[0.0], covariance=[[1.0]])
    endless = af.LaplaceExpansion(af.Attention(af.DotProduct(), bandwidth=0.1), line).minimizers([[0.3]])
    assert endless.kinds.tolist() == ["none"]
    assert repr(endless) == "Minimizers(1 none)"


def test_the_generator_at_several_minimisers_points_to_the_leading_order():
    with pytest.raises(ConfigError, match=r"several global minimisers.*\[0.0, 1.0\].*`LaplaceExpansion.leading_order`"):
        on_circle(wells=1, lift_by_the_query=1).generator(plane, at=[[0.0, 1.0]])


def test_rounding_of_a_large_cost_is_no_gap():
    # S of order 1e6 at two equal minima: their difference is rounding, 1e-10, and no gap.
    limit = on_circle(constant=1e6, graph=1e6 / 3, lift=0.0)
    assert limit.minimizers([[np.cos(1.0), np.sin(1.0)]]).kinds.tolist() == ["several"]
