"""What a user says of a cost of his own is used, and tested."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError, DataError

POINTS = np.random.default_rng(3).normal(size=(70, 2))


def tilted(x, y):
    return jnp.sum((x - y) ** 2) * (1 + 0.3 * jnp.tanh(y[0]))


def test_a_cost_is_trusted_with_nothing_unless_told():
    plain, told = af.CustomPseudoMetric(tilted), af.CustomPseudoMetric(tilted, vanishes_on_diagonal=True)
    assert (plain.vanishes_on_diagonal, plain.is_symmetric) == (False, False)
    assert (told.vanishes_on_diagonal, told.is_symmetric) == (True, False)
    assert told == af.CustomPseudoMetric(tilted, vanishes_on_diagonal=True)
    assert told != plain
    assert jax.tree.structure(told) != jax.tree.structure(plain)


def test_one_pass_gives_what_two_give():
    values = np.random.default_rng(4).normal(size=70)
    one, two = (
        af.EmpiricalAttention(af.Attention(af.CustomPseudoMetric(tilted, vanishes_on_diagonal=told), 0.05), POINTS)
        for told in (True, False)
    )
    # Rounding of logits up to some hundreds.
    np.testing.assert_allclose(one.layer(values), two.layer(values), rtol=1e-12, atol=1e-13)


def test_minimisers_are_not_looked_for():
    density = af.Gaussian([0.0, 0.0], np.eye(2))
    limit = af.LaplaceExpansion(af.Attention(af.CustomPseudoMetric(tilted, vanishes_on_diagonal=True), 0.1), density)
    assert (limit.minimizer(POINTS) == POINTS).all()
    assert np.isinf(limit.gap(POINTS)).all()


@pytest.mark.parametrize(
    ("cost", "flags", "words"),
    [
        (lambda x, y: jnp.sum((x - y) ** 2) + 0.1, {"vanishes_on_diagonal": True}, r"D\(x, x\) = 0, but D = 0.1"),
        (lambda x, y: (x - y)[0], {"vanishes_on_diagonal": True}, r"D\(x, y\) >= 0"),
        (tilted, {"is_symmetric": True}, r"`is_symmetric`, but D\(x, y\) - D\(y, x\)"),
    ],
)
def test_what_is_said_wrongly_is_refused(cost, flags, words):
    attention = af.Attention(af.CustomPseudoMetric(cost, **flags), 0.1)
    with pytest.raises(DataError, match=words):
        af.EmpiricalAttention(attention, POINTS).layer(np.ones(70))


@pytest.mark.parametrize("flag", [1, "yes", None, np.True_])
@pytest.mark.parametrize("name", ["vanishes_on_diagonal", "is_symmetric"])
def test_a_flag_is_true_or_false(name, flag):
    with pytest.raises(ConfigError, match=f"`{name}` must be True or False, got {flag!r}"):
        af.CustomPseudoMetric(tilted, **{name: flag})
    with pytest.raises(TypeError):
        af.CustomPseudoMetric(tilted, True)  # by name only: which of the two would it be?
