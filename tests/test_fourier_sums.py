"""The fast Gauss transform against direct sums: every error is below the declared one."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnflow as af
from attnflow.errors import ConfigError, DegenerateKernelError, ResourceError
from attnflow.kernel_sums import DenseSum, FourierSum

CASES = [(d, eps) for d in (1, 2, 3) for eps in (1.0, 1e-1, 1e-2, 1e-3)] + [(1, 1e-4), (2, 1e-4)]
N = 300


def cloud(kind, dim, rng, n=N):
    points = rng.uniform(-1, 1, (n, dim)) * np.array([1.0, 0.7, 1.3])[:dim]  # no symmetry
    if kind == "peaked":  # the density |x|^(1/7 - 1) per coordinate; nine tenths of the points within 1e-3
        points = np.where(rng.uniform(size=(n, 1)) < 0.9, 1e-3, 1.0) * points
    if kind == "duplicates":
        points[n // 2 :] = points[: n - n // 2]
    return points + 1e3 if kind == "shifted" else points


def pair(points, eps, rtol, log_weights=None):
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps)
    log_weights = np.zeros(len(points)) if log_weights is None else log_weights
    dense = DenseSum(attention, points=points, log_weights=log_weights, dtype=np.dtype("float64"))
    return FourierSum(attention, points=points, log_weights=log_weights, rtol=rtol), dense


def check(fourier, dense, values, *, rtol, queries=None, exclude_self=False):
    """Averages and log row sums to rtol; 2e-14 more is the rounding of the direct sum."""
    a, b = (s(values, queries, exclude_self=exclude_self) for s in (fourier, dense))
    error = np.abs(a.weighted / a.total[:, None] - b.weighted / b.total[:, None]).max(axis=0, initial=0)
    assert (error <= (rtol + 2e-14) * np.abs(values).max(axis=0)).all()
    ratio = (a.total / b.total) * np.exp(a.shift - b.shift)
    assert np.abs(ratio - 1).max() <= rtol + 2e-14


@pytest.mark.parametrize("kind", ["uniform", "peaked", "duplicates", "shifted"])
@pytest.mark.parametrize(("dim", "eps"), CASES)
def test_the_delivered_error_is_below_the_declared_one(dim, eps, kind):
    rng = np.random.default_rng(5)
    points = cloud(kind, dim, rng)
    rough = rng.choice([-1.0, 1.0], (N, 4)) * [1.0, 1e5, 1e-5, 3.0]
    for rtol in (1e-4, 1e-8, 1e-12) if dim < 3 else (1e-6, 1e-12):
        fourier, dense = pair(points, eps, rtol)
        check(fourier, dense, rough, rtol=rtol)
        check(fourier, dense, rough[:, :1], rtol=rtol, queries=cloud(kind, dim, rng, 40) * 1.01)
        check(fourier, dense, rough[:, :1], rtol=rtol, exclude_self=True)


@pytest.mark.parametrize("seed", [0, 1])
@settings(max_examples=50, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_small_cases(seed, data):
    dim = data.draw(st.integers(1, 3))
    eps = 10 ** data.draw(st.floats(-2.0, 1.0))
    rtol = 10 ** data.draw(st.floats(-12.0, -3.0))
    n = data.draw(st.integers(2, 80))
    rng = np.random.default_rng([seed, data.draw(st.integers(0, 2**32))])
    points = rng.standard_normal((n, dim)) * rng.uniform(0, 1, dim)
    log_weights = rng.normal(0, data.draw(st.sampled_from([0.0, 3.0])), n)
    values = rng.choice([-1.0, 1.0], (n, data.draw(st.integers(0, 5))))
    fourier, dense = pair(points, eps, rtol, log_weights)
    check(fourier, dense, values, rtol=rtol, queries=2 * rng.standard_normal((7, dim)))
    check(fourier, dense, values, rtol=rtol, exclude_self=data.draw(st.booleans()))


def test_most_rows_of_a_uniform_cloud_need_no_pairs():
    points = cloud("uniform", 2, np.random.default_rng(1), 4000)
    fourier, _ = pair(points, 0.01, 1e-8)
    fourier._dense = None  # a call of it would fail
    assert (fourier(np.ones((4000, 1))).total > 0).all()


def test_far_queries_are_summed_over_pairs():
    fourier, dense = pair(cloud("uniform", 2, np.random.default_rng(1)), 1e-2, 1e-6)
    check(fourier, dense, np.random.default_rng(2).normal(size=(N, 1)), rtol=1e-6, queries=np.full((3, 2), 40.0))


def test_a_lone_token_without_itself_is_degenerate_as_in_the_dense_sum():
    fourier, _ = pair(np.array([[0.0], [1.0]]), 0.1, 1e-8, np.array([0.0, -np.inf]))
    with pytest.raises(DegenerateKernelError):
        fourier(np.ones((2, 1)), exclude_self=True)


@pytest.mark.parametrize("include_self", [True, False])
def test_the_life_gives_the_same_answers_by_both_methods(include_self):
    points = af.DiscreteMeasure(cloud("uniform", 3, np.random.default_rng(3)), np.linspace(0.5, 2, N))
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    fast, exact = (
        af.EmpiricalAttention(attention, points, rtol=1e-9, method=m, include_self=include_self)
        for m in ("fourier", "dense")
    )
    assert (fast.method, exact.method) == ("fourier", "dense")

    def f(x):
        return jnp.stack([jnp.sin(3 * x[0]), x[1] * x[2], x[0]])

    # |f| <= 1.3; layers do not amplify errors, so four of them add up to four tolerances.
    np.testing.assert_allclose(fast.layer(f), exact.layer(f), rtol=0, atol=1.3e-9)
    a, b = (life.evolve(f, times=[0, 0.05, 0.2]).values for life in (fast, exact))
    np.testing.assert_allclose(a, b, rtol=0, atol=4 * 1.3e-9)
    np.testing.assert_allclose(fast.log_normalizer(), exact.log_normalizer(), rtol=0, atol=1.1e-9)
    # total^2 / squares: three relative errors of 1e-9.
    np.testing.assert_allclose(fast.effective_sample_size(), exact.effective_sample_size(), rtol=3.1e-9)


def test_what_the_method_cannot_do_is_refused_with_a_remedy():
    points = np.random.default_rng(0).normal(size=(20, 4))
    squared = af.Attention(af.SquaredDistance(), bandwidth=0.1)
    with pytest.raises(ConfigError, match=r"at most 3 coordinates, got 4.*dense"):
        af.EmpiricalAttention(squared, points, method="fourier")
    with pytest.raises(ConfigError, match=r"DotProduct.*dense"):
        af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=0.1), points[:, :3], method="fourier")
    with pytest.raises(ConfigError, match="float64"):
        af.EmpiricalAttention(squared, points[:, :3], method="fourier", dtype="float32", rtol=1e-3)
    with pytest.raises(ResourceError, match=r"GB.*dense"):
        af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=1e-6), points[:, :3], method="fourier")
