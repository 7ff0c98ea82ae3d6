"""Derivatives of the streamed softmax average against automatic differentiation of the naive one."""

import functools
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow._compiling import compile_roughly
from attnflow.errors import ConfigError, DataError
from attnflow.sums.derivatives import traced as derivatives
from attnflow.sums.derivatives.traced import softmax_average

RNG = np.random.default_rng(7)
# Neither is a whole number of tiles of 64 and 512; no symmetry.
N, Q, D, C = 600, 70, 3, 2
KEYS, QUERIES = RNG.gamma(2.0, size=(N, D)), RNG.gamma(2.0, size=(Q, D))
WEIGHTS, VALUES = np.exp(RNG.normal(0, 0.5, N)), RNG.standard_normal((N, C))
FOR_AVERAGE, FOR_NORMALIZER = RNG.standard_normal((Q, C)), RNG.standard_normal(Q)


@jax.tree_util.register_pytree_node_class
class Stretched(af.PseudoMetric):
    """A cost with a parameter, neither symmetric nor zero on the diagonal."""

    def __init__(self, stretch):
        self.stretch = stretch

    def __call__(self, x, y):
        return self.stretch * ((x - y) ** 2).sum() + jnp.sin(x[0]) * y[1]

    def tree_flatten(self):
        return (self.stretch,), None

    @classmethod
    def tree_unflatten(cls, _, children):
        return cls(*children)


def plain(bandwidth, stretch):
    del stretch
    return af.Attention(af.SquaredDistance(), bandwidth=bandwidth)


def stretched(bandwidth, stretch):
    return af.Attention(Stretched(stretch), bandwidth=bandwidth)


def naive(attention, queries, keys, weights, values, own=None):
    cost = jax.vmap(lambda x: jax.vmap(lambda y: attention.pseudometric(x, y))(keys))(queries)
    logits = -cost / (2 * attention.bandwidth) + jnp.log(weights)
    if own is not None:
        logits = jnp.where(own[:, None] == jnp.arange(len(keys)), -jnp.inf, logits)
    return jax.nn.softmax(logits, axis=1) @ values, jax.scipy.special.logsumexp(logits, axis=1)


def functions(kind):
    """Of (bandwidth, stretch, queries, keys, weights, values): the streamed and the naive one."""
    return [lambda b, s, *rest, f=f: tuple(f(kind(b, s), *rest)) for f in (softmax_average, naive)]


def weighted(f):
    return lambda *given: (f(*given)[0] * FOR_AVERAGE).sum() + (f(*given)[1] * FOR_NORMALIZER).sum()


POINT = (0.7, 1.3, QUERIES, KEYS, WEIGHTS, VALUES)


@functools.cache
def naive_gradients(kind):
    """The gradients of the naive average in every argument at POINT, compiled in one piece."""
    _, direct = functions(kind)
    return compile_roughly(jax.grad(weighted(direct), argnums=range(6)))(*POINT)


@pytest.mark.parametrize("kind", [plain, stretched])
def test_values_and_gradients_in_every_argument_equal_those_of_the_naive_average(kind):
    streamed, direct = functions(kind)
    for ours, theirs in zip(streamed(*POINT), compile_roughly(direct)(*POINT), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    ours = jax.grad(weighted(streamed), argnums=range(6))(*POINT)
    for got, expected in zip(ours, naive_gradients(kind), strict=True):
        # Sums of 600 terms of order one: rounding is below 1e-13 each.
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)
    assert np.abs(ours[0]) > 1e-3, "a zero gradient would agree too"


@pytest.mark.parametrize("argument", range(6))
def test_a_gradient_in_one_argument_alone_is_the_same(argument):
    streamed, _ = functions(stretched)
    ours = jax.grad(weighted(streamed), argnums=argument)(*POINT)
    np.testing.assert_allclose(ours, naive_gradients(stretched)[argument], rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", [plain, stretched])
def test_forward_mode_is_the_transpose_of_reverse_mode(kind):
    streamed, direct = functions(kind)
    moved = (0.3, -0.2, *(np.random.default_rng(1).standard_normal(a.shape) for a in POINT[2:]))
    _, ours = jax.jvp(streamed, POINT, moved)
    _, theirs = compile_roughly(functools.partial(jax.jvp, direct))(POINT, moved)
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)
    gradient = jax.grad(weighted(streamed), argnums=range(6))(*POINT)
    along = sum((np.asarray(g) * m).sum() for g, m in zip(gradient, moved, strict=True))
    assert along == pytest.approx(float((ours[0] * FOR_AVERAGE).sum() + (ours[1] * FOR_NORMALIZER).sum()), abs=1e-10)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_the_empirical_life_can_be_differentiated(include_self, wrap):
    points, values, given = KEYS[:130], VALUES[:130, 0], np.random.default_rng(2).standard_normal(130)
    own = None if include_self else np.arange(130)

    def ours(points, values, masses, bandwidth):
        measure = af.DiscreteMeasure(points, masses)
        life = af.EmpiricalAttention(
            af.Attention(af.SquaredDistance(), bandwidth=bandwidth), measure, method="dense", include_self=include_self
        )
        return (life.layer(values) * given).sum() + (life.generator(values) ** 2).sum() + life.log_normalizer().sum()

    def theirs(points, values, masses, bandwidth):
        average, normaliser = naive(plain(bandwidth, None), points, points, masses, values[:, None], own)
        return (average[:, 0] * given).sum() + (((average[:, 0] - values) / bandwidth) ** 2).sum() + normaliser.sum()

    arguments = (points, values, WEIGHTS[:130], 0.6)
    for got, expected in zip(
        wrap(jax.grad(ours, argnums=range(4)))(*arguments),
        compile_roughly(jax.grad(theirs, argnums=range(4)))(*arguments), strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-10)


def test_functions_and_other_points_are_traced_too():
    def ours(points, at):
        life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.5), points)
        return life.layer(lambda x: jnp.sin(x[0]) * x[1], at=at).sum()

    def theirs(points, at):
        values = jnp.sin(points[:, :1]) * points[:, 1:2]
        return naive(plain(0.5, None), at, points, jnp.ones(len(points)), values)[0].sum()

    for argument in (0, 1):
        got = jax.grad(ours, argnums=argument)(KEYS[:40], QUERIES[:9])
        expected = compile_roughly(jax.grad(theirs, argnums=argument))(KEYS[:40], QUERIES[:9])
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-11)


def test_a_gradient_points_where_the_function_rises():
    streamed, _ = functions(plain)
    gradient = jax.grad(weighted(streamed), argnums=3)(*POINT)
    step = 1e-5 * np.random.default_rng(3).standard_normal(KEYS.shape)
    up, down = (weighted(streamed)(*POINT[:3], KEYS + sign * step, *POINT[4:]) for sign in (1, -1))
    # Central differences: an error of step^2 = 1e-10 relative, and 1e-13 / 1e-5 of rounding.
    assert float((gradient * step).sum()) == pytest.approx(float(up - down) / 2, rel=1e-6)


def test_rows_far_from_every_key_do_not_underflow():
    streamed, direct = functions(plain)
    far = (0.01, 1.0, QUERIES + 30.0, KEYS, WEIGHTS, VALUES)
    ours = jax.grad(weighted(streamed), argnums=2)(*far)
    theirs = compile_roughly(jax.grad(weighted(direct), argnums=2))(*far)
    # Logits of 1e5 are rounded at 1e-11, and pull with |x - y| / eps = 5e3.
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-6)


# 1e-290: terms would be lost against what the exponential leaves of far keys, about 1e-307 each.
@pytest.mark.parametrize("mass", [0.0, 1e-290])
@pytest.mark.parametrize("cost", [af.SquaredDistance(), af.DotProduct()], ids=lambda cost: type(cost).__name__)
def test_an_outlier_of_little_or_no_mass_is_averaged_as_the_untraced_life_does(mass, cost):
    points, masses = np.concatenate([KEYS[:200], [[30.0, 0.0, 0.0]]]), np.append(WEIGHTS[:200], mass)
    life = af.EmpiricalAttention(af.Attention(cost, bandwidth=0.05), af.DiscreteMeasure(points, masses), method="dense")
    values = VALUES[:201]
    traced = jax.jit(lambda p: af.EmpiricalAttention(life.attention, af.DiscreteMeasure(p, masses)).layer(values))
    logits = -np.asarray(jax.vmap(lambda x: jax.vmap(lambda y: cost(x, y))(points))(points)) / 0.1
    with np.errstate(divide="ignore"):
        rows = np.asarray(jax.nn.softmax(logits + np.log(masses), axis=1))
    # Logits up to 1e4 are rounded at 1e-12.
    np.testing.assert_allclose(life.layer(values), rows @ values, rtol=0, atol=1e-10)
    np.testing.assert_allclose(traced(points), rows @ values, rtol=0, atol=1e-10)


def test_the_derivative_by_a_mass_is_right_where_the_mass_is_zero():
    masses = WEIGHTS[:80].copy()
    masses[[3, 70]] = 0.0

    def loss(masses):
        measure = af.DiscreteMeasure(KEYS[:80], masses)
        life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.5), measure)
        return (life.layer(VALUES[:80]) ** 2).sum() + life.log_normalizer().sum()

    gradient, step = jax.grad(loss)(masses), 1e-6 * np.eye(80)[70]
    ahead, here = loss(masses + step), loss(masses)
    assert float(gradient[70]) == pytest.approx(float(ahead - here) / 1e-6, rel=1e-4)  # one-sided: off by its step
    assert np.isfinite(gradient).all()


def test_second_derivatives_and_batches_equal_those_of_the_naive_average():
    def loss(f, points, bandwidth):
        average, normalizer = f(plain(bandwidth, None), points, points, WEIGHTS[:24], VALUES[:24])
        return (average**3).sum() + jnp.sin(normalizer).sum()

    points = KEYS[:24]
    for of, at in (
        (lambda f: jax.hessian(lambda p: loss(f, p.reshape(24, D), 0.6)), points.ravel()),
        (lambda f: jax.grad(lambda p: (jax.grad(lambda q: loss(f, q, 0.6))(p) ** 2).sum()), points),
        (lambda f: jax.vmap(jax.grad(lambda b: loss(f, points, b))), jnp.array([0.3, 0.6, 1.2])),
        (lambda f: jax.jacrev(lambda p: f(plain(0.6, None), p, p, WEIGHTS[:24], VALUES[:24])[0]), points),
    ):
        ours, expected = (np.asarray(compile_roughly(of(f))(at)) for f in (softmax_average, naive))
        assert np.abs(expected).max() > 0.01
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_a_row_without_mass_and_a_cost_that_is_no_number_give_nan():
    alone = np.zeros(N)
    alone[4] = 1.0
    average, _ = softmax_average(plain(0.5, None), KEYS, KEYS, alone, VALUES, own=jnp.arange(N))
    assert np.isnan(average[4]).all()
    assert np.isfinite(np.delete(average, 4, axis=0)).all()
    undefined = af.Attention(af.CustomPseudoMetric(lambda x, y: jnp.sqrt(x[0] - y[0])), bandwidth=0.5)
    average, _ = softmax_average(undefined, QUERIES, KEYS, np.ones(N), VALUES)
    lowest = QUERIES[:, 0] >= KEYS[:, 0].max()
    np.testing.assert_array_equal(np.isnan(average[:, 0]), ~lowest)


def test_single_precision_gradients():
    streamed, _ = functions(plain)
    single = [np.asarray(a, np.float32) for a in POINT]
    ours = jax.grad(weighted(streamed), argnums=3)(*single)
    theirs = naive_gradients(plain)[3]
    assert ours.dtype == np.float32
    error = np.abs(ours - theirs).max()
    assert 1e-9 < error < 1e-4  # 6e-8 times logits and gradients of order ten


def test_what_cannot_be_traced_says_so():
    def life(points, **options):
        return af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.5), points, **options)

    with pytest.raises(ConfigError, match="depends on a value which JAX is tracing"):
        jax.grad(lambda a: life(KEYS).layer(lambda x: a * x[0]).sum())(2.0)
    with pytest.raises(DataError, match=r"`points` must have shape \(N, D\)"):
        jax.grad(lambda p: life(p).layer(VALUES).sum())(KEYS[:, 0])
    with pytest.raises(DataError, match=r"`weights` must have shape \(600,\)"):
        jax.grad(lambda w: life(af.DiscreteMeasure(KEYS, w)).layer(VALUES).sum())(np.ones(3))
    with pytest.raises(ConfigError, match="only `layer`"):
        jax.grad(lambda p: life(p).effective_sample_size().sum())(KEYS)
    with pytest.raises(ConfigError, match="Apply `layer`"):
        jax.grad(lambda p: life(p).evolve(p[:, 0], times=0.5).values.sum())(KEYS)


def test_no_array_of_all_pairs_is_in_the_program():
    program = jax.make_jaxpr(jax.grad(lambda p: (softmax_average(plain(0.5, None), p, p, p[:, 0], p)[0] ** 2).sum()))
    shapes = re.findall(r"\[([\d,]+)\]", str(program(np.ones((4096, 3)))))
    sizes = [np.prod([int(n) for n in shape.split(",")]) for shape in shapes]
    assert max(sizes) <= max(64 * derivatives.KEY_TILE, 4096 * 4)


# Not ru_maxrss, which a process inherits from the one that started it.
MEMORY = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
import jax, numpy as np
import attnflow as af
af.enable_x64()
points = af.Sphere(2).sample_uniform(16384, np.random.default_rng(0))
attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
def loss(p):
    return (af.EmpiricalAttention(attention, p, method="dense").layer(np.sin(np.arange(len(p)))) ** 2).sum()
jax.grad(loss)(points[:600])  # compile
before = peak()
jax.grad(loss)(points)
print((peak() - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_gradient_takes_the_memory_of_a_layer():
    # All pairs would be 2.1 GB, once; storing every tile as automatic differentiation does, several times that.
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 200e6
