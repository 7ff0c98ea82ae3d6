"""EmpiricalAttention: direct sums, and its faults."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from witnesses import direct

import attnflow as af
from attnflow.errors import ConfigError, DataError, DegenerateKernelError, PrecisionError
from attnflow.trajectories import count_layers

RNG = np.random.default_rng(11)
CLOUD = np.vstack([RNG.gamma(2.0, size=(120, 3)), np.full((2, 3), 0.5), [[25.0, -3.0, 9.0]]])  # duplicates, an outlier
QUERIES = RNG.gamma(2.0, size=(7, 3))
EPS = 0.3
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=EPS)


def f(x):
    return jnp.sin(x[0]) + x[1] * x[2]


def f_numpy(x):
    return np.sin(x[:, 0]) + x[:, 1] * x[:, 2]


def logits(queries=CLOUD, *, bandwidth=EPS):
    return direct.distance_logits(queries, CLOUD, bandwidth=bandwidth)


# --- direct sums; values reach 30, rounding 1e-16 per term


@pytest.mark.parametrize("bandwidth", [5.0, 0.3, 0.01])
def test_a_layer_is_the_direct_sum(bandwidth):
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), CLOUD)
    values = f_numpy(CLOUD)
    np.testing.assert_allclose(life.layer(f), direct.layer(logits(bandwidth=bandwidth), values), rtol=0, atol=1e-12)
    at = direct.layer(logits(QUERIES, bandwidth=bandwidth), values)
    np.testing.assert_allclose(life.layer(f, at=QUERIES), at, rtol=0, atol=1e-12)
    np.testing.assert_allclose(life.layer(values, at=QUERIES[:1]), at[:1], rtol=0, atol=1e-12)


def test_the_log_normalizer_of_weighed_keys_counts_masses_as_they_are():
    # u_j = -alpha log sum_k w_k k(y_j, y_k); rounding of logits up to 1e3 is 1e-13
    masses, alpha = RNG.uniform(2.0, 5.0, len(CLOUD)), 0.7
    log_totals = direct.log_normalizer(logits() + np.log(masses))
    expected = direct.log_normalizer(logits(QUERIES) + np.log(masses) - alpha * log_totals)
    attention = ATTENTION.replace(normalization=af.AlphaNormalization(alpha))

    def log_normalizer(at):
        return af.EmpiricalAttention(attention, af.DiscreteMeasure(CLOUD, masses)).log_normalizer(at=at)

    np.testing.assert_allclose(log_normalizer(QUERIES), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(jax.jit(log_normalizer)(QUERIES), expected, rtol=0, atol=1e-10)


def test_a_vector_function_is_averaged_by_components():
    life = af.EmpiricalAttention(ATTENTION, CLOUD)
    both = life.layer(lambda x: jnp.stack([f(x), x[0]]), at=QUERIES)
    assert both.shape == (7, 2)
    np.testing.assert_allclose(both[:, 0], life.layer(f, at=QUERIES), rtol=0, atol=1e-13)


def test_the_generator_is_the_difference_quotient():
    life = af.EmpiricalAttention(ATTENTION, CLOUD)
    own = (direct.layer(logits(), f_numpy(CLOUD)) - f_numpy(CLOUD)) / EPS
    np.testing.assert_allclose(life.generator(f), own, rtol=0, atol=1e-12)
    np.testing.assert_allclose(life.generator(f_numpy(CLOUD)), own, rtol=0, atol=1e-12)
    at = (direct.layer(logits(QUERIES), f_numpy(CLOUD)) - f_numpy(QUERIES)) / EPS
    np.testing.assert_allclose(life.generator(f, at=QUERIES), at, rtol=0, atol=1e-12)


def test_normalisers_and_sample_sizes_are_the_direct_ones():
    life = af.EmpiricalAttention(ATTENTION, CLOUD)
    far = np.vstack([QUERIES, [[300.0, 0.0, 0.0]]])
    for at, rows in ((None, logits()), (far, logits(far))):
        np.testing.assert_allclose(life.log_normalizer(at=at), direct.log_normalizer(rows), rtol=1e-14, atol=1e-13)
        sizes = direct.effective_sample_size(rows)
        np.testing.assert_allclose(life.effective_sample_size(at=at), sizes, rtol=1e-9)  # logits of 1e5 in the far row


def test_a_sample_size_squares_masses_as_it_does_kernels():
    masses = np.random.default_rng(6).gamma(1.0, size=len(CLOUD))
    life = af.EmpiricalAttention(ATTENTION, af.DiscreteMeasure(CLOUD, masses))
    rows = np.exp(logits() - logits().max(axis=1, keepdims=True)) * masses
    expected = rows.sum(axis=1) ** 2 / (rows**2).sum(axis=1)
    np.testing.assert_allclose(life.effective_sample_size(), expected, rtol=1e-9)


def test_evolve_iterates_frozen_layers_and_records_in_the_order_asked():
    life = af.EmpiricalAttention(ATTENTION, CLOUD)
    flow = life.evolve(f, times=[3 * EPS, 0.0, EPS])
    np.testing.assert_allclose(flow.times, [3 * EPS, 0.0, EPS], rtol=1e-15)
    for n, values in zip([3, 0, 1], flow.values, strict=True):
        np.testing.assert_allclose(values, direct.evolve(logits(), f_numpy(CLOUD), layers=n), rtol=0, atol=1e-12)


def test_evolve_at_other_points_is_a_last_layer_on_the_own_points():
    measure = af.DiscreteMeasure(QUERIES, weights=np.arange(7.0))
    flow = af.EmpiricalAttention(ATTENTION, CLOUD).evolve(f, times=[0, 4 * EPS], at=measure)
    np.testing.assert_array_equal(flow.weights, measure.masses)
    np.testing.assert_allclose(flow.values[0], f_numpy(QUERIES), rtol=0, atol=1e-14)
    before = direct.evolve(logits(), f_numpy(CLOUD), layers=3)
    np.testing.assert_allclose(flow.values[1], direct.layer(logits(QUERIES), before), rtol=0, atol=1e-12)


def test_a_single_time_and_zero_alone_are_allowed():
    life = af.EmpiricalAttention(ATTENTION, CLOUD)
    assert life.evolve(f, times=2 * EPS).values.shape == (1, 123)
    np.testing.assert_allclose(life.evolve(f, times=0).values[0], f_numpy(CLOUD), rtol=0, atol=1e-14)


def test_leaving_oneself_out_obeys_the_exact_identity():
    # (A - I) f(X_i) = (1 - A_ii) (A' - I) f(X_i), A' without self
    values = f_numpy(CLOUD)
    with_self = af.EmpiricalAttention(ATTENTION, CLOUD)
    without = af.EmpiricalAttention(ATTENTION, CLOUD, include_self=False)
    own_weight = np.exp(-with_self.log_normalizer())
    np.testing.assert_allclose(
        with_self.generator(values), (1 - own_weight) * without.generator(values), rtol=0, atol=1e-11
    )
    np.testing.assert_allclose(
        without.layer(values), direct.layer(direct.without_self(logits()), values), rtol=0, atol=1e-12
    )


# --- faults


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_counted_and_located(bad):
    points = CLOUD.copy()
    points[[4, 9], 1] = bad
    with pytest.raises(DataError, match=r"2 values.*\(4, 1\)"):
        af.EmpiricalAttention(ATTENTION, points)
    values = f_numpy(CLOUD)
    values[3] = bad
    with pytest.raises(DataError, match="1 values"):
        af.EmpiricalAttention(ATTENTION, CLOUD).layer(values)


def test_identical_points_give_the_mean_and_a_warning():
    points = np.tile([[0.3, -1.0]], (6, 1))
    values = np.array([1.0, 5.0, -2.0, 0.5, 3.0, 8.0])
    for cost in (af.SquaredDistance(), af.DotProduct()):
        life = af.EmpiricalAttention(af.Attention(cost, bandwidth=0.01), points)
        with pytest.warns(RuntimeWarning, match="kernel is constant"):
            np.testing.assert_allclose(life.layer(values), values.mean(), rtol=1e-15)


@pytest.mark.parametrize("cost", [af.SquaredDistance(), af.DotProduct()])
def test_a_point_that_sees_itself_alone_is_no_constant_kernel(cost):
    opposite = af.DiscreteMeasure([[1.0, 0.0], [-1.0, 0.0]], [1.0, 1e-9])  # the heavy one has nearly all the mass
    life = af.EmpiricalAttention(af.Attention(cost, bandwidth=0.01), opposite)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(life.layer(np.array([1.0, 5.0])), [1.0, 5.0])


def test_an_effective_sample_size_of_masses_that_have_no_squares_is_refused():
    measure = af.DiscreteMeasure(CLOUD, np.where(np.arange(len(CLOUD)) < 3, 1e-160, 1.0))
    with pytest.raises(DataError, match="squares the masses"):
        af.EmpiricalAttention(ATTENTION, measure).effective_sample_size()


@pytest.mark.parametrize("include_self", [True, False])
def test_a_constant_kernel_warns(include_self):
    wide = af.Attention(af.SquaredDistance(), bandwidth=1e6)
    life = af.EmpiricalAttention(wide, CLOUD, include_self=include_self)
    with pytest.warns(RuntimeWarning, match="too large"):
        life.layer(f)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=50.0), CLOUD).layer(f)


@pytest.mark.parametrize("include_self", [True, False])
def test_fewer_than_two_points_are_refused(include_self):
    with pytest.raises(ConfigError, match="at least 2 points"):
        af.EmpiricalAttention(ATTENTION, CLOUD[:1], include_self=include_self)


def test_a_row_left_without_mass_is_named():
    lonely = af.DiscreteMeasure(CLOUD[:3], weights=[1, 0, 0])
    with pytest.raises(DegenerateKernelError, match="0/0"):
        af.EmpiricalAttention(ATTENTION, lonely, include_self=False).layer(np.ones(3))


def test_transposed_points_are_told_so():
    with pytest.raises(DataError, match=r"\(3, 1000\).*Transpose"):
        af.EmpiricalAttention(ATTENTION, np.random.default_rng(0).random((3, 1000)))
    with pytest.raises(DataError, match="Transpose"):
        af.EmpiricalAttention(ATTENTION, CLOUD).layer(f, at=QUERIES.T)


def test_a_bandwidth_too_small_shows_in_the_effective_sample_size():
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=1e-7), CLOUD[:100])
    sizes = life.effective_sample_size()
    np.testing.assert_allclose(sizes, 1, rtol=1e-9)  # every token sees itself alone
    np.testing.assert_allclose(life.layer(f), f_numpy(CLOUD[:100]), rtol=1e-9)


def test_double_precision_is_asked_for_before_anything_runs():
    with jax.enable_x64(False), pytest.raises(PrecisionError, match="enable_x64"):
        af.EmpiricalAttention(ATTENTION, CLOUD)


def test_single_precision_must_be_asked_for_with_its_tolerance():
    with pytest.raises(PrecisionError, match=r"rtol=0\.0001"):
        af.EmpiricalAttention(ATTENTION, CLOUD, dtype="float32")
    single = af.EmpiricalAttention(ATTENTION, CLOUD, dtype="float32", rtol=1e-4).layer(f)
    assert single.dtype == np.float64
    double = af.EmpiricalAttention(ATTENTION, CLOUD).layer(f)
    assert np.abs(single - double).max() <= 1e-4 * np.abs(double).max()
    assert not np.array_equal(single, double)


def test_the_tolerance_of_double_precision_is_bounded():
    with pytest.raises(PrecisionError, match="1e-12"):
        af.EmpiricalAttention(ATTENTION, CLOUD, rtol=1e-13)


@pytest.mark.parametrize(("option", "near"), [({"method": "dens"}, "dense"), ({"dtype": "float63"}, "float6")])
def test_a_misspelt_option_is_told_the_nearest_name(option, near):
    with pytest.raises(ConfigError, match=near):
        af.EmpiricalAttention(ATTENTION, CLOUD, **option)


def test_other_points_need_the_self_term():
    life = af.EmpiricalAttention(ATTENTION, CLOUD, include_self=False)
    for ask in (life.log_normalizer, life.effective_sample_size, lambda at: life.layer(f, at=at)):
        with pytest.raises(ConfigError, match="include_self"):
            ask(at=QUERIES)


def test_values_cannot_stand_for_a_function_at_other_points():
    life = af.EmpiricalAttention(ATTENTION, CLOUD)
    with pytest.raises(ConfigError, match="Pass a function"):
        life.generator(f_numpy(CLOUD), at=QUERIES)
    with pytest.raises(ConfigError, match="Pass a function"):
        life.evolve(f_numpy(CLOUD), times=[0, EPS], at=QUERIES)
    assert life.evolve(f_numpy(CLOUD), times=[EPS], at=QUERIES).values.shape == (1, 7)


def test_values_of_the_wrong_length_are_refused():
    with pytest.raises(DataError, match=r"\(123,\)"):
        af.EmpiricalAttention(ATTENTION, CLOUD).layer(np.ones(122))


def test_times_between_layers_name_their_neighbours():
    with pytest.raises(ConfigError, match=r"0\.4 with bandwidth 0\.3.*0\.3 and 0\.6"):
        af.EmpiricalAttention(ATTENTION, CLOUD).evolve(f, times=0.4)


def test_layers_are_counted_by_rounding():
    assert 0.35 / 0.07 < 5
    np.testing.assert_array_equal(count_layers([0.35, 0.0, 0.7], 0.07), [5, 0, 10])


@pytest.mark.parametrize("times", [-0.3, [], np.nan, [[0.3]]])
def test_times_that_are_none_are_refused(times):
    with pytest.raises((ConfigError, DataError), match="times"):
        count_layers(times, 0.3)


def test_the_same_layer_twice_gives_identical_bytes():
    one, other = (af.EmpiricalAttention(ATTENTION, CLOUD).layer(f).tobytes() for _ in range(2))
    assert one == other


def test_an_eigenfunction_is_extended_as_exactly_as_a_layer_is_summed():
    # u = A u / lambda: at lambda = .009 a layer to 1e-3 would leave .1 undeclared.
    angles, others = (np.random.default_rng(seed).uniform(0, 2 * np.pi, n) for seed, n in ((0, 500), (1, 40)))
    points, queries = (np.column_stack([np.cos(t), np.sin(t)]) for t in (angles, others))
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.2)
    exact = af.EmpiricalAttention(attention, points, method="dense").spectrum(15)
    smallest = 1 - 0.2 * exact.eigenvalues[-1]
    assert 0.005 < smallest < 0.01
    loose = af.EmpiricalAttention(attention, points, method="fourier", rtol=1e-3)
    found, expected = loose.spectrum(15).eigenfunctions(queries), exact.eigenfunctions(queries)
    assert 0 < loose._operator.worst_error / smallest <= 1e-3
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    loose.layer(points[:, 0], at=queries)
    assert loose._operator.worst_error / smallest > 1e-3  # as a layer alone is summed
