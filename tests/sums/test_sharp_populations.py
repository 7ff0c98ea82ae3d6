"""Populations with narrow densities and functions: closed forms wherever the narrow places are, or a refusal."""

import contextlib
import pickle
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from scipy.special import ive
from witnesses import von_mises_fisher

import attnflow as af
from attnflow.errors import ConvergenceError, DataError
from attnflow.sums import sharpness

CIRCLE, TORUS, SPHERE = af.Circle(), af.FlatTorus(2), af.Sphere(2)
ACCURACY = 1e-10  # promised against closed forms; measured 1e-13
SLOPE = np.array([0.3, -1.1, 0.7, 0.4])


def attention(bandwidth):
    return af.Attention(af.SquaredDistance(), bandwidth=bandwidth)


def bumpy(place, width, slope, x):
    return slope @ x + jnp.exp(-jnp.sum((x - place) ** 2) / (2 * width**2))


def log_spike(place, width, height, x):
    return jnp.log1p(height * jnp.exp(-jnp.sum((x - place) ** 2) / (2 * width**2)))


def product_of_kernels(x, place, *, bandwidth, width, dim):
    """The integrals of k g, k and k y over the mean of k, for k about x and a Gaussian g about c, on S^1 and S^2.

    On a sphere k g = exp(<u, y> - |x|/eps - 1/s^2), u = x/eps + c/s^2, and the mean of e^{<u, y>} is I_0(|u|) or
    sinh(|u|)/|u|.
    """
    a, b = 1 / bandwidth, width**-2
    length = np.sqrt((a + b) ** 2 - a * b * np.sum((x - place) ** 2))
    excess = -a * b * np.sum((x - place) ** 2) / (length + a + b)  # |u| - a - b without cancellation
    mean = (lambda r: ive(0, r)) if dim == 1 else (lambda r: -np.expm1(-2 * r) / (2 * r))  # times e^{-r}
    return mean(length) * np.exp(excess) / mean(a), (a * x + b * place) / length, length


def contraction(r, dim):
    """The mean of <u, y> / |u| under e^{<u, y>}, |u| = r: I_1 / I_0, or coth r - 1/r."""
    return ive(1, r) / ive(0, r) if dim == 1 else 1 / np.tanh(r) - 1 / r


def random_point(manifold, seed):
    return manifold.sample_uniform(1, np.random.default_rng(seed))[0]


@settings(max_examples=20, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), width=st.floats(0.002, 0.1), near=st.floats(0, 3))
def test_bumps_of_f_are_averaged_wherever_they_are_on_the_circle(seed, width, near):
    check_bump(CIRCLE, seed=seed, width=width, bandwidth=0.1, near=near)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), width=st.floats(0.04, 0.2))
def test_bumps_of_f_are_averaged_wherever_they_are_on_the_sphere(seed, width):
    check_bump(SPHERE, seed=seed, width=width, bandwidth=0.15, near=0.6)


def check_bump(manifold, *, seed, width, bandwidth, near):
    place, slope = random_point(manifold, seed), SLOPE[: manifold.ambient_dim]
    x = np.asarray(manifold.retract(jnp.asarray(place + near * np.sqrt(bandwidth) * np.roll(place, 1))))
    life = POPULATIONS.setdefault(
        (manifold, bandwidth), af.PopulationAttention(attention(bandwidth), af.Uniform(manifold))
    )
    flow = life.evolve(Partial(bumpy, place, width, slope), times=[0, bandwidth], at=x[None])
    bump, _, _ = product_of_kernels(x, place, bandwidth=bandwidth, width=width, dim=manifold.dim)
    expected = contraction(1 / bandwidth, manifold.dim) * slope @ x + bump
    assert abs(flow.values[1, 0] - expected) <= min(ACCURACY, flow.solver_error + 1e-14)


POPULATIONS = {}


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), width=st.floats(0.003, 0.1), height=st.floats(1, 300))
def test_spikes_of_the_density_are_seen_wherever_they_are(seed, width, height):
    place, x = random_point(CIRCLE, seed), random_point(CIRCLE, seed + 1)
    density = af.LogDensity(CIRCLE, Partial(log_spike, place, width, height))
    life = af.PopulationAttention(attention(0.1), density)
    flow = life.evolve(Partial(linear, SLOPE[:2]), times=0.1, at=x[None])
    both, direction, length = product_of_kernels(x, place, bandwidth=0.1, width=width, dim=1)
    plain, spiked = contraction(10.0, 1) * x, height * both * contraction(length, 1) * direction
    expected = SLOPE[:2] @ (plain + spiked) / (1 + height * both)
    assert abs(flow.values[0, 0] - expected) <= min(ACCURACY, flow.solver_error + 1e-14)


def linear(slope, x):
    return slope @ x


@pytest.mark.parametrize(
    ("manifold", "concentration"), [(CIRCLE, 1e4), (CIRCLE, 1e6), (SPHERE, 300.0), (af.Sphere(3), 60.0)], ids=str
)
def test_a_density_narrower_than_the_kernel(manifold, concentration):
    d = manifold.ambient_dim
    b = concentration * np.eye(d)[1]
    density = af.VonMisesFisher(manifold, mean_direction=b, concentration=concentration)
    life = af.PopulationAttention(attention(0.1), density)
    x = np.eye(d)[[0]]
    expected = von_mises_fisher.layer(x, a=SLOPE[:d], b=b, bandwidth=0.1)
    np.testing.assert_allclose(life.layer(Partial(linear, SLOPE[:d]), at=x), expected, rtol=0, atol=ACCURACY)


def test_the_value_that_was_wrong_in_its_fourth_digit():
    density = af.VonMisesFisher(CIRCLE, mean_direction=[0, 1], concentration=1e4)
    value = af.PopulationAttention(attention(0.1), density).layer(lambda x: x[0] + 2 * x[1], at=[[1.0, 0.0]])
    assert value[0] == pytest.approx(2.000898947, abs=1e-9)


def test_answers_do_not_depend_on_the_other_times():
    life = af.PopulationAttention(attention(0.1), af.Uniform(CIRCLE))
    f, at = Partial(bumpy, random_point(CIRCLE, 3), 0.004, SLOPE[:2]), [[0.6, 0.8]]
    alone, among = life.evolve(f, times=0.5, at=at), life.evolve(f, times=[0, 0.1, 0.3, 0.5], at=at)
    np.testing.assert_allclose(alone.values[0], among.values[-1], rtol=0, atol=1e-14)


def test_a_narrow_key_weight_is_seen():
    # The key weight takes the place of the spike: e^{b} = 1 + height g.
    place, x, width, height = random_point(CIRCLE, 8), random_point(CIRCLE, 9), 0.004, 80.0
    weights = af.KeyWeights(Partial(log_spike, place, width, height))
    life = af.PopulationAttention(
        af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=weights), af.Uniform(CIRCLE)
    )
    both, direction, length = product_of_kernels(x, place, bandwidth=0.1, width=width, dim=1)
    plain, spiked = contraction(10.0, 1) * x, height * both * contraction(length, 1) * direction
    expected = SLOPE[:2] @ (plain + spiked) / (1 + height * both)
    assert life.layer(Partial(linear, SLOPE[:2]), at=x[None])[0] == pytest.approx(expected, abs=ACCURACY)


def test_a_narrow_place_of_the_cost_is_seen():
    # D = |x - y|^2 - 2 eps log(1 + height g(y)) has the kernel of the spike.
    place, x, width, height = random_point(CIRCLE, 8), random_point(CIRCLE, 9), 0.004, 80.0
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2) - 0.2 * log_spike(place, width, height, y))
    life = af.PopulationAttention(af.Attention(cost, bandwidth=0.1), af.Uniform(CIRCLE))
    both, direction, length = product_of_kernels(x, place, bandwidth=0.1, width=width, dim=1)
    plain, spiked = contraction(10.0, 1) * x, height * both * contraction(length, 1) * direction
    expected = SLOPE[:2] @ (plain + spiked) / (1 + height * both)
    assert life.layer(Partial(linear, SLOPE[:2]), at=x[None])[0] == pytest.approx(expected, abs=ACCURACY)


# --- what cannot be answered


@pytest.mark.parametrize("cost", [af.SquaredDistance(), af.DotProduct()], ids=repr)
def test_a_query_that_attends_beyond_the_nodes_is_refused(cost):
    # N(0, 1) has nodes up to 12; the kernel about 100, or e^{20 y}, has its mass beyond.
    life = af.PopulationAttention(af.Attention(cost, bandwidth=0.05), af.Gaussian([0.0], [[1.0]]))
    far = np.array([[100.0 if cost == af.SquaredDistance() else 1.0]])
    for ask in (life.layer, life.generator):
        with pytest.raises(ConvergenceError, match="hangs on where Gaussian has no nodes"):
            ask(lambda x: x[0], at=far)
    with pytest.raises(ConvergenceError, match="hangs on where Gaussian has no nodes"):
        life.log_normalizer(at=far)


def test_a_way_that_passes_beyond_the_nodes_is_refused():
    # From 17 deviations the first layer goes to 11.5, beyond 12 in part, the second back to 8.
    life = af.PopulationAttention(attention(0.5), af.Gaussian([0.0], [[1.0]]))
    with pytest.raises(ConvergenceError, match="hangs on where Gaussian has no nodes"):
        life.evolve(lambda x: jnp.sin(x[0]), times=1.0, at=[[17.0]])


def test_a_query_in_the_tail_is_answered():
    life = af.PopulationAttention(attention(0.1), af.Gaussian([0.0], [[1.0]]))
    np.testing.assert_allclose(life.layer(lambda x: x[0], at=[[9.0], [-3.0]]), np.array([9, -3]) / 1.1, rtol=1e-10)


def test_what_does_not_settle_is_refused_after_few_refinements():
    life = af.PopulationAttention(attention(0.1), af.Uniform(CIRCLE))
    with pytest.raises(ConvergenceError, match="does not settle"):
        life.layer(lambda x: jnp.where(x[0] > 0.31, 1.0, 0.0), at=[[0.6, 0.8]])


class Tilted(af.Density):
    """A density of one's own that is not normalised."""

    manifold = CIRCLE

    def log_density(self, x):
        return 0.7 * x[0]


def test_a_density_that_is_not_normalised_has_layers_but_no_normaliser():
    life = af.PopulationAttention(attention(0.1), Tilted())
    right = af.VonMisesFisher(CIRCLE, mean_direction=[1, 0], concentration=0.7)
    expected = af.PopulationAttention(attention(0.1), right).layer(lambda x: x[1], at=[[0.6, 0.8]])
    np.testing.assert_allclose(life.layer(lambda x: x[1], at=[[0.6, 0.8]]), expected, rtol=1e-12)
    with pytest.raises(DataError, match=r"not normalised: p integrates to 7\.0\d+ over"):
        life.log_normalizer(at=[[0.6, 0.8]])


# --- declared errors, surroundings


def test_the_declared_error_is_the_difference_of_two_resolutions():
    # Without a function that hides it: a tenth of it, or of the rounding of many layers, would not pass.
    eps, x = 0.002, np.array([0.6, 0.8])
    life = af.PopulationAttention(attention(eps), af.Uniform(CIRCLE), rtol=1e-3)
    flow = life.evolve(lambda x: x[0] ** 3, times=eps, at=x[None])
    fine = int(re.search(r"\d+", flow.method)[0])
    coarse = next(n for n in range(fine) if int(np.ceil(1.2 * (n - 1))) + 3 == fine - 1)

    def layer(n):
        angles = 2 * np.pi * (np.arange(n) + 0.5) / n
        nodes = np.stack([np.cos(angles), np.sin(angles)])
        kernel = np.exp((x @ nodes - 1) / eps)
        return kernel @ nodes[0] ** 3 / kernel.sum()

    difference = abs(layer(fine) - layer(coarse))
    assert difference > 1e-9
    assert difference <= flow.solver_error <= difference + 1e-12
    many = life.evolve(lambda x: x[0], times=300 * eps, at=x[None])
    assert many.solver_error >= 300 * 1e-14 * np.sqrt(0.5)  # f has this norm: every layer rounds once


@pytest.mark.filterwarnings("error")
def test_populations_do_not_need_underflow_to_be_silent():
    density = af.VonMisesFisher(SPHERE, mean_direction=[0, 0, 1], concentration=900.0)
    line = af.PopulationAttention(attention(0.01), af.Gaussian([0.3], [[1.4]]))
    sphere = af.PopulationAttention(attention(0.1), density)
    with np.errstate(all="raise"):
        line.evolve(lambda x: x[0], times=[0, 0.02], at=[[0.2]])
        line.log_normalizer(at=[[0.2]])
        sphere.layer(lambda x: x[0], at=[[0.0, 0.6, -0.8]])
        density.sample(10, key=jax.random.key(0))
        af.LogDensity(SPHERE, lambda x: 900.0 * x[2]).sample(10, key=jax.random.key(0))


def test_values_as_large_as_numbers_go_are_averaged():
    life = af.PopulationAttention(attention(0.1), af.Uniform(CIRCLE))
    plain, huge = (life.layer(Partial(linear, scale * SLOPE[:2]), at=[[0.6, 0.8]]) for scale in (1.0, 1e200))
    np.testing.assert_allclose(huge, 1e200 * plain, rtol=1e-12)


def test_a_population_is_pickled():
    life = af.PopulationAttention(attention(0.1), af.VonMisesFisher(CIRCLE, mean_direction=[1, 2], concentration=2.0))
    before = life.layer(lambda x: x[0], at=[[0.6, 0.8]])
    after = pickle.loads(pickle.dumps(life)).layer(lambda x: x[0], at=[[0.6, 0.8]])
    np.testing.assert_array_equal(after, before)


# --- planted defects


def test_without_a_close_look_at_the_density_a_first_digit_is_wrong(monkeypatch):
    monkeypatch.setattr(sharpness.Sharpness, "_first", lambda self, degree, powers: degree)
    density = af.VonMisesFisher(CIRCLE, mean_direction=[0, 1], concentration=1e4)
    value = af.PopulationAttention(attention(0.1), density).layer(lambda x: x[0] + 2 * x[1], at=[[1.0, 0.0]])
    assert abs(value[0] - 2.000898947) > 1e-4


def test_without_a_close_look_at_f_bumps_are_missed(monkeypatch):
    monkeypatch.setattr(sharpness.Sharpness, "of_function", lambda self, f, degree: degree)
    life = af.PopulationAttention(attention(0.1), af.Uniform(CIRCLE))
    x, slope, missed = np.array([0.6, 0.8]), SLOPE[:2], 0
    for seed in range(8):
        place = random_point(CIRCLE, seed)
        bump, _, _ = product_of_kernels(x, place, bandwidth=0.1, width=0.003, dim=1)
        with contextlib.suppress(ConvergenceError):
            value = life.layer(Partial(bumpy, place, 0.003, slope), at=x[None])[0]
            missed += abs(value - contraction(10.0, 1) * slope @ x - bump) > 1e-8
    assert missed
