"""Derivatives of planned sums: moments of the kernel against the streamed derivative, which has its own tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow._compiling import compile_roughly
from attnflow.errors import ConfigError

RNG = np.random.default_rng(11)
N, Q = 300, 90
WITHOUT_MASS = 4
POINTS, AT, VALUES = RNG.gamma(2.0, size=(N, 2)), RNG.gamma(2.0, size=(Q, 2)), RNG.standard_normal((N, 2))
MASSES = RNG.uniform(0.5, 2.0, N)
MASSES[WITHOUT_MASS] = 0.0
GIVEN = (POINTS, MASSES, VALUES, 0.05, AT)
RTOL = 1e-11


def loss(method, *, include_self=True, elsewhere=False, **options):
    """Of points, masses, values, bandwidth and queries."""

    def f(points, masses, values, bandwidth, at):
        life = af.EmpiricalAttention(
            af.Attention(af.SquaredDistance(), bandwidth=bandwidth), af.DiscreteMeasure(points, masses),
            method=method, include_self=include_self, rtol=RTOL, **options,
        )  # fmt: skip
        where = at if elsewhere else None
        return (life.layer(values, at=where) ** 2 * jnp.array([1.0, 2.0])).sum() + jnp.sin(
            life.log_normalizer(at=where)
        ).sum()

    return f


LIVES = {"own": {}, "without self": {"include_self": False}, "elsewhere": {"elsewhere": True}}
MOVED = tuple(np.cos(array) for array in GIVEN)


@functools.cache
def of_all_pairs(life):
    """The gradients of the sum over all pairs at GIVEN in every argument, and its tangent along MOVED."""
    direct = loss("dense", **LIVES[life])
    arguments = range(5 if life == "elsewhere" else 4)
    gradients = compile_roughly(jax.grad(direct, argnums=arguments))(*GIVEN)
    return gradients, compile_roughly(functools.partial(jax.jvp, direct))(GIVEN, MOVED)[1]


@pytest.mark.parametrize("method", ["cutoff", "fourier"])
@pytest.mark.parametrize("life", LIVES)
def test_gradients_and_tangents_equal_those_of_the_sum_over_all_pairs(method, life):
    planned, (theirs, tangent) = loss(method, **LIVES[life]), of_all_pairs(life)
    ours = jax.grad(planned, argnums=range(len(theirs)))(*GIVEN)
    for got, expected in zip(ours, theirs, strict=True):
        # Moments to 1e-11 of max |v| R, R = 10 the radius of the cloud, divided by eps = .05.
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-8)
        assert np.abs(expected).max() > 0.1
    assert float(jax.jvp(planned, GIVEN, MOVED)[1]) == pytest.approx(float(tangent), rel=1e-9)


@pytest.mark.parametrize("argument", range(5))
def test_a_gradient_in_one_argument_alone_is_the_same(argument):
    ours = jax.grad(loss("fourier", elsewhere=True), argnums=argument)(*GIVEN)
    np.testing.assert_allclose(ours, of_all_pairs("elsewhere")[0][argument], rtol=0, atol=1e-8)


def test_queries_far_from_every_key_keep_their_part_of_the_gradient():
    # Normalisers of e^-4000 and e^-100: their reciprocals do not fit into one sum.
    far = np.concatenate([AT[:5] + np.array([20.0, 0.0]), AT[:5] + np.array([0.0, 3.0]), AT[:5]])
    given = (*GIVEN[:4], far)
    normalizers = af.EmpiricalAttention(
        af.Attention(af.SquaredDistance(), bandwidth=0.05), POINTS, method="dense"
    ).log_normalizer(at=far)
    assert np.ptp(normalizers) > 1200
    ours, theirs = (
        jax.grad(loss(m, elsewhere=True, **options), argnums=(0, 1, 4))(*given)
        for m, options in (("auto", {"devices": 1}), ("dense", {}))
    )
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-7)


def test_many_pairs_are_planned_without_being_asked(monkeypatch):
    def layer(points):
        life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.5), points)
        return (life.layer(jnp.sin(points[:, 0])) ** 2).sum()

    points = np.random.default_rng(0).standard_normal((3000, 2))  # 9e6 pairs
    gradient = jax.grad(layer)(points)
    compiled = jax.jit(jax.grad(layer))(points)  # all pairs: a compiled program knows no points to plan with
    np.testing.assert_allclose(gradient, compiled, rtol=0, atol=1e-7 * np.abs(compiled).max())
    assert np.abs(gradient - compiled).max() > 0, "two methods would not round alike"


def test_what_a_planned_sum_cannot_do_names_dense():
    f = loss("fourier")

    def of_points(points):
        return f(points, *GIVEN[1:])

    with pytest.raises(ConfigError, match=r'"fourier" cannot be traced under jit or vmap.*dense'):
        jax.jit(jax.grad(of_points))(POINTS)
    with pytest.raises(ConfigError, match=r'"fourier" cannot be traced under jit or vmap.*dense'):
        jax.vmap(of_points)(np.stack([POINTS, POINTS]))
    with pytest.raises(ConfigError, match=r'differentiated once.*"dense"'):
        jax.grad(lambda p: jax.grad(of_points)(p).sum())(POINTS)
    attention = af.Attention(af.DotProduct(), bandwidth=0.5)
    with pytest.raises(ConfigError, match=r"cannot be traced for this cost.*dense"):
        jax.grad(lambda p: af.EmpiricalAttention(attention, p, method="cutoff").layer(p[:, 0]).sum())(POINTS)
