"""Laws of every manifold: frames, charts and quadratures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import MANIFOLDS

ROUND_OFF = 1e-13  # a few hundred roundings of numbers of order one
every_manifold = pytest.mark.parametrize("name", MANIFOLDS)
# Retractions that take the nearest point; that of the ellipses takes the point of the same angle.
NEAREST = [name for name in MANIFOLDS if "ellipse" not in name]
COMPACT = [name for name, manifold in MANIFOLDS.items() if manifold.is_compact]


def some_points(manifold, n=5):
    """A manifold need not be sampled: a few nodes of its quadrature, which it must have."""
    generator = np.random.default_rng(0)
    if not manifold.is_compact:
        return generator.standard_normal((n, manifold.dim))
    if manifold.has_boundary:  # off the ends, so that one may move both ways
        return manifold.sample_uniform(n, generator)
    return generator.choice(manifold.quadrature(11).points, n, replace=False)


@every_manifold
def test_tangent_frames_are_orthonormal_and_tangent(name):
    manifold = MANIFOLDS[name]
    tangent_frame = jax.jit(manifold.tangent_frame)
    for x in some_points(manifold):
        frame = np.asarray(tangent_frame(jnp.asarray(x)))
        assert frame.shape == (manifold.ambient_dim, manifold.dim)
        np.testing.assert_allclose(frame.T @ frame, np.eye(manifold.dim), rtol=0, atol=ROUND_OFF)
        step = 1e-6
        for direction in frame.T:  # moving along the frame leaves the manifold at second order only
            assert manifold.residual((x + step * direction)[None])[0] < 2 * step**2


@pytest.mark.parametrize("name", NEAREST)
def test_charts_are_normal_to_second_order(name):
    manifold = MANIFOLDS[name]
    # The continuum solver reads covariant derivatives off this chart, so the metric J'J must be I + O(|u|^2).
    x = jnp.asarray(some_points(manifold)[0])
    chart = jax.jit(lambda u: manifold.chart_at(x)(u))

    @jax.jit
    def metric(u):
        jacobian = jax.jacfwd(chart)(u)
        return jacobian.T @ jacobian

    origin = jnp.zeros(manifold.dim)
    np.testing.assert_allclose(chart(origin), x, rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(metric(origin), np.eye(manifold.dim), rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(metric))(origin), 0, rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize("name", COMPACT)
def test_the_quadrature_sums_to_the_volume_and_lies_on_the_manifold(name):
    manifold = MANIFOLDS[name]
    nodes, weights = manifold.quadrature(60)  # exact on ours from degree 1 on; on an ellipse the error is .3^60
    assert len(nodes) == manifold.quadrature_size(60)
    assert manifold.residual(nodes).max() < ROUND_OFF
    assert weights.sum() == pytest.approx(manifold.volume, rel=ROUND_OFF)


@pytest.mark.parametrize("name", COMPACT)
def test_uniform_samples_have_the_moments_of_the_volume(name):
    manifold, n = MANIFOLDS[name], 60_000
    points = manifold.sample_uniform(n, np.random.default_rng(2))
    nodes, weights = manifold.quadrature(60)
    weights = weights / weights.sum()

    def even(x):  # a second moment off by 2 % is seen
        products = np.einsum("ni,nj->nij", x, x).reshape(len(x), -1)
        return np.column_stack([x, products, products**2])

    means = weights @ even(nodes)
    deviations = np.sqrt(weights @ (even(nodes) - means) ** 2 / n)
    # 5.5 sigma, the largest of a few hundred moments; where nothing varies, rounding
    assert (np.abs(even(points).mean(axis=0) - means) < 5.5 * deviations + 1e-12).all()
