"""Attention as data, and how its arguments fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import AttnflowError, ConfigError


@pytest.mark.parametrize("bad", [0, -1.0, float("nan"), float("inf"), "0.1", None, True])
def test_an_unusable_bandwidth_is_refused(bad):
    with pytest.raises(ConfigError, match="`bandwidth` must be positive"):
        af.Attention(af.SquaredDistance(), bandwidth=bad)


def test_a_bare_function_is_no_pseudo_metric():
    with pytest.raises(ConfigError, match="CustomPseudoMetric"):
        af.Attention(lambda x, y: 0.0, bandwidth=0.1)


def test_config_errors_are_attnflow_errors_and_value_errors():
    assert issubclass(ConfigError, AttnflowError)
    assert issubclass(ConfigError, ValueError)


def test_the_bandwidth_of_an_inverse_temperature():
    assert af.bandwidth_from_inverse_temperature(20.0) == pytest.approx(0.05)
    with pytest.raises(ConfigError, match="`beta`"):
        af.bandwidth_from_inverse_temperature(0)


def test_on_a_sphere_dot_product_and_squared_distance_differ_by_a_constant():
    x, y = (jnp.array([0.6, 0.8]), jnp.array([-0.28, 0.96]))
    assert float(af.SquaredDistance()(x, y) - af.DotProduct()(x, y)) == pytest.approx(2.0)


def test_attention_is_a_pytree_whose_bandwidth_is_data():
    # Changing the bandwidth must not compile anew.
    compilations = []

    @jax.jit
    def logit(attention, x, y):
        compilations.append(None)
        return -attention.pseudometric(x, y) / (2 * attention.bandwidth)

    x, y = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    values = [float(logit(af.Attention(af.SquaredDistance(), bandwidth=eps), x, y)) for eps in (0.1, 0.5)]
    np.testing.assert_allclose(values, [-10.0, -2.0])
    assert len(compilations) == 1


def test_equal_custom_costs_share_compiled_code_and_different_ones_do_not():
    def cost(x, y):
        return jnp.sum((x - y) ** 2)

    assert af.CustomPseudoMetric(cost) == af.CustomPseudoMetric(cost)
    assert af.CustomPseudoMetric(cost) != af.CustomPseudoMetric(lambda x, y: cost(x, y))


def test_a_custom_cost_must_be_a_function():
    with pytest.raises(af.AttnflowError, match="`cost` must be a function of two points, got ndarray"):
        af.CustomPseudoMetric(np.eye(2))
