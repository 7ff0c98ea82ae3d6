"""Sums of costs that are squared distances of mapped points, by every method, against sums in extended precision."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import attnflow as af
from attnflow.errors import ConfigError
from attnflow.sums.kernel_sums.mapped import MappedKeys, MappedSum
from attnflow.sums.kernel_sums.tiles import sum_tiles

COUNT, QUERIES = 700, 40


def squares(a, b):
    return ((a[:, None] - b[None]) ** 2).sum(axis=-1)


def cloud(dim):
    """Points, other queries, values, and two matrices, in extended precision as well."""
    rng = np.random.default_rng(dim)
    points, values = rng.standard_normal((COUNT, dim)) + 0.3, rng.standard_normal((COUNT, 2))
    matrices = [rng.standard_normal((max(2, dim // 8), dim)) / np.sqrt(dim) for _ in range(2)]
    return points, points[:QUERIES] * 1.02, values, *matrices


def wide(array):
    return array.astype(np.longdouble)


def bent(x):
    return jnp.concatenate([x, jnp.sin(x)])


# The cost for matrices Q, K, and all its values for queries x and keys y.
KINDS = {
    "queries and keys": (af.QueryKey, lambda q, k, x, y: -2 * (x @ q.T) @ (y @ k.T).T),
    "distance of queries and keys": (af.QueryKeyDistance, lambda q, k, x, y: squares(x @ q.T, y @ k.T)),
    "L2": (lambda q, _: af.Mahalanobis(q), lambda q, _, x, y: squares(x @ q.T, y @ q.T)),
    "dot product": (lambda *_: af.DotProduct(), lambda q, k, x, y: -2 * x @ y.T),
    "map": (
        lambda *_: af.LearnedMap(bent),
        lambda q, k, x, y: squares(np.hstack([x, np.sin(x)]), np.hstack([y, np.sin(y)])),
    ),
    "kernel times norm": (
        lambda *_: af.KernelTimesNorm(4, 0.125), lambda q, k, x, y: squares(x, y) - (y**4).sum(axis=1) / 8,
    ),
    "divergence": (
        lambda *_: af.Bregman(lambda x: jnp.sum(x**2 + x**4 / 8)),
        lambda q, k, x, y: 2 * ((y**2 + y**4 / 8).sum(axis=1) - (x**2 + x**4 / 8).sum(axis=1)[:, None]
                                - ((2 * x + x**3 / 2)[:, None] * (y - x[:, None])).sum(axis=-1)),
    ),
    "sum": (
        lambda q, k: 2 * af.SquaredDistance() + af.QueryKey(q, k) / 4,
        lambda q, k, x, y: 2 * squares(x, y) - (x @ q.T) @ (y @ k.T).T / 2,
    ),
    "local units": (
        lambda *_: af.VariableBandwidth(lambda x: jnp.exp(x[0] / 2)),
        lambda q, k, x, y: squares(x, y) / np.exp((x[:, None, 0] + y[None, :, 0]) / 2),
    ),
}  # fmt: skip


def exact(kind, matrices, points, queries, values, eps):
    costs = KINDS[kind][1](*map(wide, (*matrices, queries, points)))
    logits = -costs / (2 * np.longdouble(eps))
    top = logits.max(axis=1, keepdims=True)
    kernel = np.exp(logits - top)
    total = kernel.sum(axis=1)
    return kernel @ values / total[:, None], top[:, 0] + np.log(total)


# Each dimension compiles a cost with potentials anew, for seconds where it has many coordinates.
CASES = [("queries and keys", dim) for dim in (2, 3, 8, 64)] + [("L2", dim) for dim in (2, 64)]
CASES += [("distance of queries and keys", 64), ("dot product", 3), ("sum", 2)]
CASES += [(kind, 2) for kind in ("map", "kernel times norm", "divergence", "local units")]


@pytest.mark.parametrize(("kind", "dim"), CASES)
def test_declared_errors_hold_by_every_method_at_every_bandwidth(kind, dim):
    points, queries, values, *matrices = cloud(dim)
    cost, served = KINDS[kind][0](*matrices), []
    for eps in (2.0, 0.3, 1e-3):
        average, log_total = exact(kind, matrices, points, queries, values, eps)
        for method in ("dense", "cutoff", "fourier"):
            try:
                life = af.EmpiricalAttention(af.Attention(cost, eps), points, method=method, rtol=1e-7)
                found = life.layer(values, at=queries)
            except af.AttnflowError:  # out of reach, too many coordinates, or weights that differ too much
                continue
            served.append(method)
            error = np.abs(found - average).max() / np.abs(values).max()
            assert error <= life.solver_error <= 1e-7
            # The potential of the query moves this alone; a total of relative error e is a logarithm off by e.
            sizes = np.abs(log_total).max()
            np.testing.assert_allclose(life.log_normalizer(queries), log_total, rtol=0, atol=3e-7 + 1e-12 * sizes)
    assert "dense" in served
    assert ("cutoff" in served) == (kind != "local units")


def test_cutoff_and_fourier_serve_what_is_near_on_a_sphere_at_small_bandwidths():
    points = af.Uniform(af.Sphere(2)).sample(3000, key=jax.random.key(1))
    values = points[:, :2] * points[:, 1:]
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    costs = {"product": af.QueryKey(turn, turn), "L2": af.Mahalanobis(np.diag([1.0, 0.5, 2.0]))}
    for cost in costs.values():
        attention = af.Attention(cost, bandwidth=0.02)
        lives = {m: af.EmpiricalAttention(attention, points, method=m) for m in ("dense", "cutoff", "fourier")}
        layers = {method: life.layer(values) for method, life in lives.items()}
        for method in ("cutoff", "fourier"):
            error = np.abs(layers[method] - layers["dense"]).max() / np.abs(values).max()
            assert error <= lives[method].solver_error + lives["dense"].solver_error <= 2e-8


def test_a_cost_of_mapped_points_compiles_nothing_of_its_own():
    points = np.random.default_rng(3).standard_normal((300, 3))
    af.EmpiricalAttention(af.Attention(af.SquaredDistance(), 0.3), points).layer(points)
    before = sum_tiles._cache_size()
    for matrix in (np.eye(3), np.diag([1.0, 2.0, 0.5])):
        af.EmpiricalAttention(af.Attention(3 * af.Mahalanobis(matrix), 0.3), points).layer(points)
    assert sum_tiles._cache_size() == before


def test_images_are_made_once_and_own_ones_are_keys():
    points = np.random.default_rng(3).standard_normal((50, 3))
    attention = af.Attention(af.Mahalanobis(np.eye(3)[:2]), 0.3)
    keys = MappedKeys(attention, points=points, log_weights=np.zeros(50))
    other = points[:5]
    assert keys.of(points) is keys.points
    assert keys.of(other) is keys.of(other)
    for _ in range(9):
        keys.of(points[:7].copy())
    assert keys.of(points) is keys.points


def test_far_from_the_origin_the_rounding_of_images_is_declared():
    rng = np.random.default_rng(4)
    points, values = rng.standard_normal((400, 2)) + 1e5, rng.standard_normal(400)
    cost = af.LearnedMap(lambda x: 2 * x)  # a map of which nothing is known keeps the distance of the cloud
    life = af.EmpiricalAttention(af.Attention(cost, 1e-2), points, rtol=1e-6)
    found = life.layer(values)
    logits = -4 * squares(wide(points), wide(points)) / np.longdouble(2e-2)
    kernel = np.exp(logits)
    error = np.abs(found - kernel @ values / kernel.sum(axis=1)).max() / np.abs(values).max()
    assert 1e-13 < life.solver_error < 1e-6
    assert error <= life.solver_error
    linear = af.EmpiricalAttention(af.Attention(af.Mahalanobis(2 * np.eye(2)), 1e-2), points)
    linear.layer(values)
    assert linear.solver_error < life.solver_error / 100  # counted from the middle of the cloud


def test_the_self_term_is_left_out_of_mapped_points():
    points = np.random.default_rng(5).standard_normal((90, 3))
    cost, values = af.LearnedMap(bent), points[:, 0]
    for method in ("dense", "cutoff"):
        life = af.EmpiricalAttention(af.Attention(cost, 0.4), points, method=method, include_self=False)
        images = np.hstack([points, np.sin(points)])
        kernel = np.exp(-squares(images, images) / 0.8)
        np.fill_diagonal(kernel, 0.0)
        np.testing.assert_allclose(life.layer(values), kernel @ values / kernel.sum(axis=1), rtol=0, atol=1e-8)


def test_gradients_reach_the_parameters_of_a_map_through_a_planned_sum():
    rng = np.random.default_rng(6)
    points, values, matrix = rng.standard_normal((80, 2)), rng.standard_normal(80), rng.standard_normal((2, 2))

    def phi(matrix, x):
        return x + jnp.tanh(matrix @ x)

    def loss(matrix, method):
        attention = af.Attention(af.LearnedMap(Partial(phi, matrix)), 0.4)
        return (af.EmpiricalAttention(attention, points, method=method).layer(values) ** 2).sum()

    def direct(matrix):
        images = jax.vmap(lambda x: phi(matrix, x))(points)
        costs = ((images[:, None] - images[None]) ** 2).sum(axis=-1)
        return ((jax.nn.softmax(-costs / 0.8, axis=1) @ values) ** 2).sum()

    expected = jax.grad(direct)(matrix)
    # To the tolerance of the sums, and rounding.
    np.testing.assert_allclose(jax.grad(loss)(matrix, "cutoff"), expected, rtol=0, atol=1e-7)


def test_weights_that_cannot_be_told_apart_are_refused_by_name():
    points = 40 * np.random.default_rng(7).standard_normal((30, 2))
    attention = af.Attention(af.DotProduct(), bandwidth=1.0)
    with pytest.raises(ConfigError, match='"cutoff" takes DotProduct for a squared distance with key weights'):
        af.EmpiricalAttention(attention, points, method="cutoff")
    assert np.isfinite(af.EmpiricalAttention(attention, points).layer(points)).all()


def test_the_method_of_a_mapped_sum_is_that_of_the_sum_over_images():
    points = np.random.default_rng(8).standard_normal((40, 3))
    attention = af.Attention(af.Mahalanobis(np.eye(3)), 0.3)
    life = af.EmpiricalAttention(attention, points, method="cutoff")
    assert life.method == "cutoff"
    assert isinstance(life._operator._known()._sum("cutoff", np.dtype(np.float64)), MappedSum)
