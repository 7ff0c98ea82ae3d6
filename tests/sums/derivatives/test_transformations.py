"""What JAX may trace around a layer, and what is refused in words."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import attnflow as af
from attnflow.errors import ConfigError, DataError, PrecisionError

POINTS = np.random.default_rng(0).normal(size=(60, 2))
VALUES = POINTS[:, 0]


def particles(bandwidth=0.3, points=POINTS, **options):
    return af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth), points, **options)


@pytest.mark.parametrize("method", ["dense", "cutoff", "fourier"])
def test_known_sums_inside_a_compiled_function_are_constants(method):
    layer = particles(method=method)
    compiled = jax.jit(lambda scale: scale * layer.layer(lambda x: x[0]))(2.0)
    np.testing.assert_array_equal(compiled, 2 * layer.layer(VALUES))
    eigenfunctions = jax.jit(lambda at: particles().spectrum(3).eigenfunctions(at))(POINTS[:4])
    # the compiled sum adds in another order
    np.testing.assert_allclose(eigenfunctions, particles().spectrum(3).eigenfunctions(POINTS[:4]), rtol=0, atol=1e-12)


def test_a_function_is_evaluated_while_the_bandwidth_is_compiled():
    expected = particles().layer(VALUES)
    compiled = jax.jit(lambda eps: particles(eps).layer(lambda x: x[0]))(0.3)
    np.testing.assert_allclose(compiled, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("transform", [jax.grad, jax.jit, lambda g: jax.jit(jax.grad(g))])
def test_a_function_of_a_traced_value_is_refused(transform):
    with pytest.raises(ConfigError, match="depends on a value which JAX is tracing"):
        transform(lambda a: particles().layer(lambda x: a * x[0])[0])(2.0)


def test_single_precision_does_not_depend_on_where_the_cloud_is_or_on_the_unit_of_mass():
    expected = particles(1e-2).layer(VALUES)

    def traced(shift, mass):
        measure = af.DiscreteMeasure(POINTS + shift, np.full(len(POINTS), mass))
        return jax.jit(lambda v: particles(1e-2, measure, dtype="float32", rtol=1e-4).layer(v))(VALUES)

    for shift, mass in ((0.0, 1.0), (1e5, 1.0), (0.0, 1e-39), (0.0, 1e39)):
        # logits up to 600 take 600 roundings of 6e-8 from a kernel value
        np.testing.assert_allclose(traced(shift, mass), expected, rtol=0, atol=4e-5)


@pytest.mark.parametrize("method", ["dense", "cutoff"])
@pytest.mark.parametrize("mass", [1e-305, 1e300])
def test_derivatives_do_not_depend_on_the_unit_of_mass(method, mass):
    def loss(points, unit):
        measure = af.DiscreteMeasure(points, np.full(len(POINTS), unit))
        return (particles(0.3, measure, method=method).layer(VALUES) ** 2).sum()

    expected = jax.grad(loss)(POINTS, 1.0)
    np.testing.assert_allclose(jax.grad(loss)(POINTS, mass), expected, rtol=0, atol=1e-13)


def test_a_light_key_that_is_nearer_than_all_others_is_not_lost_in_single_precision():
    measure = af.DiscreteMeasure([[0.0], [1.0], [2.0]], weights=[1e-40, 1.0, 1.0])
    layer = particles(1e-3, measure, dtype="float32", rtol=1e-4)
    # at 0 the others weigh e^-500 / 1e-40 = 7e-178
    np.testing.assert_allclose(layer.layer(np.array([1.0, 0.0, -1.0])), [1.0, 0.0, -1.0], rtol=0, atol=1e-6)


def test_the_backward_pass_of_a_single_precision_cutoff_reaches_what_the_layer_reached():
    points = np.concatenate([POINTS / 20, POINTS[:5] / 20 + [10.0, 0.0]])

    def loss(points, method):
        return particles(0.8, points, dtype="float32", rtol=1e-3, method=method).layer(points[:, 0]).sum()

    expected = jax.grad(loss)(points, "dense")
    np.testing.assert_allclose(jax.grad(loss)(points, "cutoff"), expected, rtol=0, atol=1e-3)


def test_the_spectrum_is_computed_in_double_precision_whatever_the_layers_are():
    expected = particles().spectrum(4).eigenvalues
    for options in (dict(dtype="float32", rtol=1e-4), dict(method="fourier", rtol=1e-3)):
        np.testing.assert_array_equal(particles(**options).spectrum(4).eigenvalues, expected)
    with jax.enable_x64(False), pytest.raises(PrecisionError, match="enable_x64"):
        particles(dtype="float32", rtol=1e-4).spectrum(4)


def test_a_metric_can_be_learned():
    def cost(matrix, x, y):
        return jnp.sum((matrix @ (x - y)) ** 2)

    def loss(matrix):
        metric = af.CustomPseudoMetric(Partial(cost, matrix))
        return (af.EmpiricalAttention(af.Attention(metric, 0.3), POINTS).layer(VALUES) ** 2).sum()

    matrix, step = np.array([[1.0, 0.2], [0.0, 0.8]]), 1e-5
    change = np.array([[0.0, step], [0.0, 0.0]])
    difference = (loss(matrix + change) - loss(matrix - change)) / (2 * step)
    # central differences: step^2 and 1e-15 / step
    np.testing.assert_allclose(jax.grad(loss)(matrix)[0, 1], difference, rtol=0, atol=1e-8)

    def closed_over(a):
        metric = af.CustomPseudoMetric(lambda x, y: a * jnp.sum((x - y) ** 2))
        return af.EmpiricalAttention(af.Attention(metric, 0.3), POINTS).layer(VALUES)[0]

    with pytest.raises(ConfigError, match=r"Partial\(cost, parameters\)"):
        jax.grad(closed_over)(1.0)


@pytest.mark.parametrize(
    ("metric", "error", "message"),
    [
        (af.CustomPseudoMetric(lambda x, y: None), DataError, "must be a scalar"),
        (af.CustomPseudoMetric(lambda x, y: x - y), DataError, "must be a scalar"),
        (af.CustomPseudoMetric(lambda x: x[0]), DataError, "two points of shape"),
        (af.CustomPseudoMetric(lambda x, y: np.sum(np.abs(np.asarray(x) - y))), DataError, "jax.numpy"),
    ],
)
def test_costs_that_cannot_be_computed_are_refused(metric, error, message):
    with pytest.raises(error, match=message):
        af.EmpiricalAttention(af.Attention(metric, 0.3), POINTS)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: x[2], "out of bounds"),
        (lambda x: x[:, 0], "not of a batch"),
        (lambda x: "a", "must return a number"),
        (lambda x: None, "must return a number"),
    ],
)
def test_functions_of_something_else_than_a_point_are_refused(f, message):
    with pytest.raises(DataError, match=message):
        particles().layer(f)
    continuum = af.DriftDiffusion(af.Attention(af.SquaredDistance(), 0.1), af.Uniform(af.Circle()))
    with pytest.raises(DataError, match=message):
        continuum.evolve(f, times=0.1, at=np.eye(2))


def test_a_density_that_reads_a_coordinate_too_many_is_refused():
    with pytest.raises(DataError, match="out of bounds"):
        af.LogDensity(af.Circle(), lambda x: x[2])


@pytest.mark.parametrize(
    ("points", "masses", "bandwidth", "error"),
    [
        (POINTS * np.nan, None, 0.3, DataError),
        (POINTS, -1.0, 0.3, DataError),
        (POINTS, 0.0, 0.3, DataError),
        (POINTS, 1.0, -1.0, ConfigError),
        (POINTS, 1.0, np.array([0.1, 0.2]), ConfigError),
    ],
)
def test_what_is_differentiated_is_checked(points, masses, bandwidth, error):
    def loss(points, masses, bandwidth):
        measure = af.DiscreteMeasure(points, masses)
        return particles(bandwidth, measure).layer(VALUES).sum()

    masses = np.full(len(POINTS), 1.0 if masses is None else masses)
    with pytest.raises(error):
        jax.grad(loss, argnums=(0, 1, 2))(points, masses, bandwidth)


def test_what_only_known_points_have_is_refused_under_jit():
    for ask in (
        lambda e, at: e.effective_sample_size(at),
        lambda e, at: particles(points=at).stationary(),
        lambda e, at: particles(points=at).spectrum(2).eigenvalues,
    ):
        with pytest.raises(ConfigError, match="under jit or grad only"):
            jax.jit(lambda at, ask=ask: ask(particles(), at))(POINTS)
    with pytest.raises(ConfigError, match="`evolve` cannot be traced"):
        jax.jit(lambda eps: particles(eps).evolve(VALUES, times=0.3).values)(0.3)


def test_the_population_and_the_continuum_are_not_traced():
    def attention(eps):
        return af.Attention(af.SquaredDistance(), eps)

    circle, at = af.Uniform(af.Circle()), np.eye(2)
    for life in (af.PopulationAttention, af.DriftDiffusion):
        with pytest.raises(ConfigError, match="Only layers of an EmpiricalAttention"):
            jax.grad(lambda eps, life=life: life(attention(eps), circle).layer(lambda x: x[0], at=at).sum())(0.1)
        with pytest.raises(ConfigError, match="`at` is a value which JAX is tracing"):
            jax.grad(lambda at, life=life: life(attention(0.1), circle).generator(lambda x: x[0], at=at).sum())(at)


@pytest.mark.parametrize("include_self", [True, False])
def test_the_gradient_by_an_outlier_is_that_of_the_sum_over_all_pairs(include_self):
    cloud = np.vstack([0.3 * np.random.default_rng(0).standard_normal((2999, 2)), [[4.0, 0.0]]])

    def loss(points, method):
        attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
        layer = af.EmpiricalAttention(attention, points, include_self=include_self, method=method)
        return (layer.layer(points[:, 0]) ** 2).sum()

    planned, dense = (jax.grad(functools.partial(loss, method=method))(cloud) for method in ("auto", "dense"))
    np.testing.assert_allclose(planned, dense, rtol=0, atol=1e-6 * np.abs(dense).max())  # rtol 1e-8 over sqrt(eps)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_keys_without_mass_near_far_queries_leave_the_other_gradients_alone(dtype):
    rng = np.random.default_rng(0)
    points, queries = rng.standard_normal((3000, 2)), rng.uniform(-30, 30, (3000, 2))
    masses = np.where(rng.random(3000) < 0.5, 0.0, 1.0)
    points[:100] = queries[:100]  # nearer than every key with mass, by thousands of units of the logit
    masses[:100] = 0.0

    def loss(points, values, masses, method):
        measure = af.DiscreteMeasure(points, masses)
        attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
        layer = af.EmpiricalAttention(attention, measure, method=method, dtype=dtype, rtol=1e-4)
        return (layer.layer(values, at=queries) ** 2).sum()

    values = rng.choice([-1.0, 1.0], 3000)
    given = [array.astype(dtype) for array in (points, values, masses)]
    single = pytest.warns(RuntimeWarning, match="float32 is uncertain")  # logits of thousands, of a query and its copy
    with contextlib.nullcontext() if dtype == np.float64 else single:
        planned = jax.grad(functools.partial(loss, method="auto"), argnums=(0, 1, 2))(*given)
    dense = jax.grad(functools.partial(loss, method="dense"), argnums=(0, 1, 2))(*given)
    for ours, theirs in zip(planned[:2], dense[:2], strict=True):
        # 1e-4 is declared; a derivative by points is one over sqrt(eps) times the radius of the cloud.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-2 * np.abs(theirs).max())
    assert not np.isnan(planned[2]).any()  # that by the mass of such a key is beyond every number


def test_a_planned_derivative_is_not_compiled():
    gradient = jax.vjp(lambda v: particles(method="cutoff").layer(v), VALUES)[1]
    with pytest.raises(ConfigError, match="neither compiled nor batched"):
        jax.jit(gradient)(VALUES)


def test_numbers_out_of_range_are_refused():
    for rtol in (0.0, -1.0, 1.0, 400.0, np.nan):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            particles(rtol=rtol)
    with pytest.raises(ConfigError, match="1e\\+10 layers"):
        particles(0.1).evolve(VALUES, times=1e9)
    with pytest.raises(DataError, match="complex"):
        particles(points=POINTS + 1j)
    with pytest.raises(DataError, match="empty"):
        particles(points=np.empty((5, 0)))
