"""Functions that users give: what is wrong with one is told by our errors wherever it is given, or it is answered."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import attnflow as af
from attnflow._lifting import evaluate
from attnflow._programs import trace
from attnflow.errors import AttnflowError, DataError

CIRCLE = af.Circle()
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
ANGLES = np.array([0.3, 1.1, 2.0, 3.4, 4.1, 5.6])
POINTS = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def raising(x):
    raise ZeroDivisionError("division by zero")


def of_two(x, y):
    return x[0] * y[0]


READING_OUT_OF_RANGE = {
    "past the end": lambda x: x[5],
    "before the start": lambda x: x[-3],
    "of a copy": lambda x: jnp.asarray(x)[5],
    "one of several": lambda x: x[jnp.array([0, 7])],
    "one of several, by NumPy": lambda x: x[np.array([1, -3])].sum(),
    "at[].get": lambda x: x.at[9].get(),
    "at[].set": lambda x: x.at[7].set(1.0)[0],
    "take": lambda x: jnp.take(x, 7),
    "take along an axis": lambda x: jnp.take_along_axis(x, jnp.array([8]), 0),
    "a slice too long": lambda x: jax.lax.dynamic_slice(x, (1,), (2,)),
    "within jit": jax.jit(lambda x: x[7]),
    "a parameter": functools.partial(lambda k, x: x[k], 4),
    "of what was sorted": lambda x: jnp.sort(x)[2],
    "of integers": lambda x: x.astype(int)[5],
    "of a matrix": lambda x: jnp.outer(x, x)[1, 4],
    "only compared": lambda x: jnp.where(x[5] > 0, 1.0, 2.0),
    "in a case": lambda x: jax.lax.cond(x[0] > 0, lambda: x[4], lambda: x[0]),
    "by its argument": lambda x: x[jnp.argmax(x) + 2],
    "in a loop": lambda x: jax.lax.fori_loop(0, 5, lambda i, total: total + x[i], 0.0),
    "in a scan": lambda x: jax.lax.scan(lambda total, i: (total + x[i], None), 0.0, jnp.array([0, 1, 9]))[0],
}
NO_FUNCTIONS = {
    "NumPy": lambda x: np.sin(x[0]),
    "a Python number": lambda x: math.sin(x[0]),
    "a branch": lambda x: x[0] if x[0] > 0 else -x[0],
    "picked by a condition": lambda x: x[x > 0].sum(),
    "of a batch": lambda x: x[:, 0],
    "of two points": of_two,
    "of nothing": lambda: 1.0,
    "raising": raising,
    "nothing": lambda x: None,
    "a word": lambda x: "x",
    "a dict": lambda x: {"value": x[0]},
    "a ragged list": lambda x: [x[0], [x[1]]],
    "an empty list": lambda x: [],
    "an empty slice": lambda x: x[5:],
    "a matrix": lambda x: jnp.outer(x, x),
    "a complex number": lambda x: x[0] * 1j,
    "a date": lambda x: np.datetime64("2020-01-01"),
    "a random key": lambda x: jax.random.key(0),
    "not a number": lambda x: jnp.sqrt(-1 - x[0] ** 2),
    "the class of words": str,
}
BAD = {**READING_OUT_OF_RANGE, **NO_FUNCTIONS}
NOT_CALLABLE = {"a word": "x[0]", "nothing": None, "a matrix": np.ones((2, 2, 2))}


class Potential(af.Density):
    """A density whose logarithm is a user's function."""

    def __init__(self, log_density):
        self.manifold, self.function = CIRCLE, log_density

    def log_density(self, x):
        return self.function(x)


def key_weighted(potential):
    return af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=af.KeyWeights(potential))


def of_difference(f):
    """A cost made of a function of one point; what is no number stays what it is."""
    return af.Attention(af.CustomPseudoMetric(lambda x, y: f(y - x)), bandwidth=0.1)


@functools.cache
def lives():
    uniform = af.Uniform(CIRCLE)
    return (
        af.EmpiricalAttention(ATTENTION, POINTS), af.PopulationAttention(ATTENTION, uniform),
        af.DriftDiffusion(ATTENTION, uniform), af.LaplaceExpansion(ATTENTION, uniform),
    )  # fmt: skip


# Where a function of one point is given, and what asks for it.
ENTRIES = {
    "empirical layer": lambda f: lives()[0].layer(f),
    "empirical generator": lambda f: lives()[0].generator(f, at=POINTS[:2]),
    "empirical evolve": lambda f: lives()[0].evolve(f, times=0.1),
    "population layer": lambda f: lives()[1].layer(f, at=POINTS),
    "population generator": lambda f: lives()[1].generator(f, at=POINTS),
    "population evolve": lambda f: lives()[1].evolve(f, times=0.1, at=POINTS),
    "continuum layer": lambda f: lives()[2].layer(f, at=POINTS),
    "continuum generator": lambda f: lives()[2].generator(f, at=POINTS),
    "continuum adjoint": lambda f: lives()[2].adjoint_evolve(f, times=0.1, at=POINTS),
    "expansion": lambda f: lives()[3].generator(f, at=POINTS),
    "log_weight": lambda f: af.LogDensity(CIRCLE, f),
    "key weights of points": lambda f: af.EmpiricalAttention(key_weighted(f), POINTS).layer(POINTS[:, 0]),
    "log_density": lambda f: Potential(f).log_densities(POINTS),
    "cost": lambda f: af.EmpiricalAttention(of_difference(f), POINTS),
    "cost of an expansion": lambda f: af.LaplaceExpansion(of_difference(f), af.Uniform(CIRCLE)),
}
# What only values show, a cost or a second derivative shows elsewhere: see the tests below.
BY_VALUE = ("not a number", "by its argument", "in a loop", "in a scan")
UNSEEN = {("cost", name) for name in BY_VALUE} | {("cost of an expansion", name) for name in BY_VALUE}
UNSEEN |= {(where, name) for where in ("log_weight", "log_density") for name in BY_VALUE[1:]}  # clamped, as JAX says
UNSEEN |= {("continuum generator", "not a number"), ("expansion", "not a number")}


@pytest.mark.parametrize("where", ENTRIES)
def test_what_is_no_function_of_a_point_is_refused_wherever_it_is_given(where):
    for name, f in BAD.items():
        if (where, name) in UNSEEN:
            continue
        with pytest.raises(AttnflowError, match=r"`\w+` (must|is NaN)") as caught:
            ENTRIES[where](f)
        assert str(caught.value).rstrip().endswith("."), name  # a sentence with its remedy
        assert caught.value.args[0].count(". ") >= 1, (name, caught.value)


@pytest.mark.parametrize("where", [name for name in ENTRIES if not name.startswith(("cost", "log_density"))])
@pytest.mark.parametrize("bad", NOT_CALLABLE.values(), ids=NOT_CALLABLE)
def test_what_cannot_be_called_is_refused_wherever_it_is_given(where, bad):
    with pytest.raises(AttnflowError, match=r"`(f|log_weight)` must"):
        ENTRIES[where](bad)


def test_a_derivative_that_is_not_a_number_is_refused():
    for life in lives()[2:]:
        with pytest.raises(DataError, match="`L f` holds 6 values that are NaN"):
            life.generator(lambda x: jnp.sqrt(-1 - x[0] ** 2), at=POINTS)


@pytest.mark.parametrize("name", READING_OUT_OF_RANGE)
def test_the_reason_of_a_read_out_of_range_is_told(name):
    with pytest.raises(DataError, match=r"out of bounds: entry -?\d of an axis of length 2|an entry that it has not"):
        evaluate(READING_OUT_OF_RANGE[name], POINTS)


class Scaled:
    """A callable that cannot be hashed."""

    __hash__ = None

    def __call__(self, x):
        return 2 * x[0]


ANSWERED = {
    "the last": (lambda x: x[-1], lambda x: x[1]),
    "several": (lambda x: x[jnp.array([1, 0])], lambda x: x[::-1]),
    "several, by NumPy": (lambda x: x[np.array([-1])], lambda x: x[1:]),
    "clipped, as asked": (lambda x: jnp.take(x, 9, mode="clip"), lambda x: x[1]),
    "filled, as asked": (lambda x: jnp.take(x, 9, mode="fill", fill_value=7.0), lambda x: 7.0),
    "by the argument": (lambda x: x[jnp.argmax(x)], max),
    "by the argument, masked": (
        lambda x: jnp.where(x[0] > 0, jnp.arange(3.0)[jnp.floor(3 * x[0]).astype(int)], -1.0),
        lambda x: math.floor(3 * x[0]) if x[0] > 0 else -1.0,
    ),
    "in a loop": (lambda x: jax.lax.fori_loop(0, 2, lambda i, total: total + x[i], 0.0), sum),
    "set": (lambda x: x.at[1].set(2.0), lambda x: [x[0], 2.0]),
    "an upper triangle": (
        lambda x: jnp.outer(x, x)[jnp.triu_indices(2)],
        lambda x: [x[0] ** 2, x[0] * x[1], x[1] ** 2],
    ),
    "interpolated": (lambda x: jnp.interp(x[0], jnp.arange(-2.0, 3.0), jnp.arange(-2.0, 3.0) ** 3), None),
    "a list": (lambda x: [x[0], 1], lambda x: [x[0], 1]),
    "an integer": (lambda x: 1, lambda x: 1.0),
    "a truth value": (lambda x: x[0] > 0, lambda x: float(x[0] > 0)),
    "in single precision": (lambda x: x[0].astype(jnp.float32), lambda x: np.float32(x[0])),
    "with an option": (functools.partial(lambda x, k: k * x[0], k=3.0), lambda x: 3 * x[0]),
    "a callable without hash": (Scaled(), lambda x: 2 * x[0]),
    "a derivative": (lambda x: jax.grad(lambda y: (y[jnp.array([0, 1])] ** 2).sum())(x), lambda x: 2 * x),
    "with a rule of its own": (lambda x: jax.nn.relu(x[jnp.array([1])]), lambda x: [max(x[1], 0.0)]),
}


@pytest.mark.parametrize("name", ANSWERED)
def test_what_is_well_defined_is_answered(name):
    f, by_hand = ANSWERED[name]
    by_hand = by_hand or (lambda x: np.interp(x[0], np.arange(-2.0, 3.0), np.arange(-2.0, 3.0) ** 3))
    exact = np.array([by_hand(x) for x in POINTS], float)
    np.testing.assert_allclose(evaluate(f, POINTS), exact, rtol=0, atol=1e-15)


INDEX_FORMS = {
    "getitem": lambda x, k: x[k],
    "array": lambda x, k: x[jnp.array([0, k])].sum(),
    "numpy": lambda x, k: (x * 2)[np.array([k])][0],
    "get": lambda x, k: x.at[k].get(),
    "take": jnp.take,
    "ellipsis": lambda x, k: x[..., k],
    "matrix": lambda x, k: jnp.outer(x, x)[0, k],
    "stacked": lambda x, k: jnp.stack([x, x])[1][k],
    "jitted": jax.jit(lambda x, k: x[k]),
    "arithmetic": lambda x, k: x[jnp.asarray(k) * 2 - k],
    "loop": lambda x, k: jax.lax.fori_loop(k, k + 1, lambda i, total: total + x[i], 0.0),
    "switch": lambda x, k: jax.lax.switch(1, [lambda: 0.0, lambda: x[k]]),
}


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.sampled_from(sorted(INDEX_FORMS)), st.integers(-7, 7), st.integers(1, 4))
@example("getitem", 5, 2)
def test_an_entry_is_read_where_numpy_reads_it_and_refused_where_numpy_refuses(form, k, dim):
    # A negative position in a traced loop counts from the end as well.
    point = np.linspace(0.5, 1.5, dim)
    is_there = -dim <= k < dim
    try:
        program = trace(lambda x: INDEX_FORMS[form](x, k), point, strictly=True)
        value = float(jax.core.eval_jaxpr(program.jaxpr, program.consts, jnp.asarray(point))[0])
    except DataError:
        value = np.nan
    expected = INDEX_FORMS[form](jnp.asarray(point), k) if is_there else np.nan
    np.testing.assert_allclose(value, expected, rtol=1e-15)


def test_answers_in_single_precision_are_refused_by_every_life():
    for ask in ("empirical layer", "population layer", "continuum layer", "continuum generator", "expansion"):
        jax.config.update("jax_enable_x64", False)
        try:
            with pytest.raises(af.errors.PrecisionError, match="enable_x64"):
                ENTRIES[ask](lambda x: x[0])
        finally:
            jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("option", [("jax_disable_jit", True), ("jax_numpy_rank_promotion", "raise")])
def test_an_expansion_does_not_depend_on_how_jax_is_set(option):
    def f(x):
        return jnp.stack([x[0], x[0] * x[1]])

    name, setting = option
    usual = getattr(jax.config, name)
    jax.config.update(name, setting)
    try:
        answer = af.LaplaceExpansion(ATTENTION, af.Uniform(CIRCLE)).generator(f, at=POINTS)
    finally:
        jax.config.update(name, usual)
    exact = np.column_stack([-0.5 * POINTS[:, 0], -2 * POINTS[:, 0] * POINTS[:, 1]])  # f'' / 2 of cos t, sin(2t) / 2
    np.testing.assert_allclose(answer, exact, rtol=0, atol=1e-13)
