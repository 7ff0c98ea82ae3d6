"""Sums in many dimensions on a GPU, with the first processor in its place."""

import jax
import numpy as np
import pytest
from witnesses import direct

import attnflow as af
from attnflow.sums.kernel_sums import gpu_products
from attnflow.sums.kernel_sums.gpu_products import GpuProductSum


@pytest.fixture(autouse=True)
def processor_for_gpu(monkeypatch):
    """Small blocks, so that there are several and the last is not full."""
    monkeypatch.setattr(gpu_products, "gpu_device", lambda: jax.devices("cpu")[0])
    monkeypatch.setattr(gpu_products, "KEYS", 128)
    monkeypatch.setattr(gpu_products, "QUERIES", (64, 256))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("cost", "bandwidth"), [(af.SquaredDistance(), 4.0), (af.DotProduct(), 4.0), (af.DotProduct(), 0.02)]
)
def test_sums_are_within_their_declared_errors(dtype, cost, bandwidth):
    """The last bandwidth has logits of some thousands, so that the largest is looked for first."""
    rng = np.random.default_rng(3)
    points = rng.standard_normal((701, 16))
    values, weights = rng.choice([-1.0, 1.0], (701, 5)), rng.uniform(0.5, 2.0, 701)
    weights[[3, 500]] = 0.0
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    attention = af.Attention(cost, bandwidth=bandwidth)
    kernel_sum = GpuProductSum(attention, points=points, log_weights=log_weights, dtype=np.dtype(dtype), rtol=1e-4)
    logits = {
        "SquaredDistance": lambda: direct.distance_logits(points, points, bandwidth=bandwidth),
        "DotProduct": lambda: points @ points.T / bandwidth,
    }[type(cost).__name__]() + log_weights
    for exclude_self in (False, True):
        sums = kernel_sum(values, exclude_self=exclude_self)
        expected = direct.layer(direct.without_self(logits) if exclude_self else logits, values)
        error = np.abs(sums.weighted / sums.total[:, None] - expected).max(axis=1)
        sure = np.isfinite(sums.error)
        assert sure.all()
        assert (error <= sums.error + 1e-14).all()
        # Products are rounded relative to |a| |b| / eps, up to 40 / .02.
        assert sums.error.max() < {"float64": 1e-10, "float32": 3e-2}[dtype]
    few = kernel_sum(values, points[:3] + 0.1)
    assert few.weighted.shape == (3, 5)


def test_a_layer_of_many_coordinates_takes_them_and_says_so():
    rng = np.random.default_rng(4)
    points, values = rng.standard_normal((300, 16)), rng.standard_normal((300, 3))
    for cost, logits in (
        (af.DotProduct(), points @ points.T / 4.0),
        (af.QueryKey(2 * np.eye(16)[:9], np.eye(16)[:9]), None),
    ):
        if logits is None:
            logits = 2 * points[:, :9] @ points[:, :9].T / 4.0
        life = af.EmpiricalAttention(af.Attention(cost, bandwidth=4.0), points, method="gpu")
        assert life.method == "gpu"
        np.testing.assert_allclose(life.layer(values), direct.layer(logits, values), rtol=0, atol=1e-12)
        assert life.solver_error < 1e-10


def test_the_gradient_of_such_a_layer_is_that_of_the_sums_over_all_pairs():
    rng = np.random.default_rng(5)
    points, values = rng.standard_normal((120, 12)), rng.standard_normal((120, 2))

    def loss(points, method):
        return (
            af.EmpiricalAttention(af.Attention(af.SquaredDistance(), 3.0), points, method=method).layer(values) ** 2
        ).sum()

    gradients = [jax.grad(loss)(points, method) for method in ("gpu", "dense")]
    np.testing.assert_allclose(*gradients, rtol=0, atol=1e-10)
