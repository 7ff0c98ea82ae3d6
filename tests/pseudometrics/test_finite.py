"""Whether a cost may be infinite, or no number, for some pair is read from its program."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.pseudometrics.finite import is_finite

FINITE = {
    "difference": lambda x, y: jnp.sum((x - y) ** 2),
    "form": lambda x, y: (x - y) @ np.diag([1.0, 2.0, 3.0]) @ (x - y),
    "bounded": lambda x, y: jnp.sum(jnp.sin(x - y) ** 2 + jnp.tanh(x * y)) + jnp.mean(jnp.abs(x[1:] - y[:2])),
    "a number": lambda x, y: 1.0,
}
OTHERS = {
    "quotient": lambda x, y: 1 / jnp.sum((x - y) ** 2),
    "power": lambda x, y: jnp.sum((x - y) ** -2),
    "root": lambda x, y: jnp.sqrt(jnp.sum((x - y) ** 2)),
    "norm": lambda x, y: jnp.linalg.norm(x - y) ** 2,
    "logarithm": lambda x, y: jnp.log(jnp.sum(x * y)),
    "exponential": lambda x, y: jnp.exp(x @ y),
    "mask": lambda x, y: jnp.where(x[0] < y[0], jnp.inf, x @ y),
    "infinite number": lambda x, y: x @ y + jnp.inf,
    "only infinite": lambda x, y: jnp.inf,
    "infinite array": lambda x, y: x @ np.array([1.0, np.inf, 1.0]) + y[0],
    "divided by zero": lambda x, y: (x @ y) / 0.0,
}


@pytest.mark.parametrize("name", FINITE | OTHERS)
def test_what_is_known_to_be_finite(name):
    cost = af.CustomPseudoMetric((FINITE | OTHERS)[name])
    assert is_finite(cost, dim=3, dtype=np.float64) == (name in FINITE)


def test_the_plain_costs_are_finite():
    assert is_finite(af.SquaredDistance(), dim=3, dtype=np.float64)
    assert is_finite(af.DotProduct(), dim=3, dtype=np.float32)
