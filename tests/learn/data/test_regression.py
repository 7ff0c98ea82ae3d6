"""Draws of Gaussian processes have the kernels they say, and patients are those that are known."""

import jax
import numpy as np
import pytest

from attnflow.errors import ConfigError
from attnflow.learn.data.regression import known_kernel, regression

KEY = jax.random.key(9)
SYNTHETIC = ("anisotropic", "periodic")
RNG = np.random.default_rng(2)


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_draw_has_the_kernel_that_is_known(name):
    """y' (K + s^2 I)^-1 y is chi^2 with n degrees of freedom, n +- 5 sqrt(2 n); other kernels are far less likely."""
    data = regression(name, key=KEY, count=500, noise=0.3)

    def squares(kernel):
        return data.targets @ np.linalg.solve(kernel + 0.09 * np.eye(500), data.targets)

    def likelihood(kernel):
        return -0.5 * (squares(kernel) + np.linalg.slogdet(kernel + 0.09 * np.eye(500))[1])

    true = known_kernel(name, data.inputs, data.inputs)
    assert abs(squares(true) - 500) < 5 * np.sqrt(1000)
    distances = ((data.inputs[:, None] - data.inputs) ** 2).sum(axis=2)
    for length in (0.2, 0.5, 1.0, 2.0):
        assert likelihood(true) > likelihood(np.exp(-0.5 * distances / length**2)) + 50


@pytest.mark.parametrize("name", SYNTHETIC)
def test_who_knows_the_kernel_guesses_best(name):
    """The rest of what is tested has the variance of the noise and little more; linear guesses leave most."""
    data = regression(name, key=KEY)
    train, test = data.train, data.test
    kernel = known_kernel(name, data.inputs[train], data.inputs[train]) + 0.01 * np.eye(200)
    best = known_kernel(name, data.inputs[test], data.inputs[train]) @ np.linalg.solve(kernel, data.targets[train])
    columns = np.column_stack([np.ones(400), data.inputs])
    weights, *_ = np.linalg.lstsq(columns[train], data.targets[train], rcond=None)
    variance = data.targets[test].var()
    assert 1 - np.mean((best - data.targets[test]) ** 2) / variance > 0.85
    assert 1 - np.mean((columns[test] @ weights - data.targets[test]) ** 2) / variance < 0.6


def test_kernels_are_what_they_say():
    x = RNG.normal(size=(4, 4))
    np.testing.assert_allclose(np.diag(known_kernel("anisotropic", x, x)), 1.0, rtol=1e-15)
    along = np.array([[1.0, 1, 1, 1]]) / 2  # the direction in which it is shortest
    across = np.array([[1.0, -1, -1, 1]]) / 2
    zero = np.zeros((1, 4))
    assert known_kernel("anisotropic", along, zero).item() == pytest.approx(np.exp(-0.5 / 0.36), rel=1e-14)
    assert known_kernel("anisotropic", across, zero).item() == pytest.approx(np.exp(-0.5 / 324), rel=1e-14)
    half = np.array([[0.16, 0.12]])  # half a period
    expected = np.exp(-2 - 0.04 / 18)
    assert known_kernel("periodic", half, np.zeros((1, 2))).item() == pytest.approx(expected, rel=1e-14)


def test_without_noise_a_draw_is_smooth():
    """The variance of the noise is what two draws from one key differ by."""
    with_noise, without = (regression("periodic", key=KEY, noise=noise).targets for noise in (0.2, 0.0))
    assert np.std(with_noise - without) == pytest.approx(0.2, rel=4 / np.sqrt(800))  # four standard errors of 400 draws


def test_patients_are_those_that_are_known():
    data = regression("diabetes", key=KEY)
    assert data.inputs.shape == (442, 10)
    assert (data.targets.min(), data.targets.max()) == (25.0, 346.0)
    assert data.targets.mean() == pytest.approx(152.1335, abs=1e-4)  # as it is published
    assert np.corrcoef(data.inputs[:, 2], data.targets)[0, 1] == pytest.approx(0.5865, abs=1e-4)  # body mass index
    assert regression("diabetes", key=KEY, count=100).inputs.shape == (100, 10)


@pytest.mark.parametrize("name", ["diabetes", *SYNTHETIC])
def test_one_key_is_one_draw(name):
    first, again, other = (regression(name, key=key, count=50) for key in (KEY, KEY, jax.random.key(1)))
    np.testing.assert_array_equal(first.targets, again.targets)
    assert (first.targets != other.targets).any()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: regression("diabetis", key=KEY), "`name` must be one of .* Did you mean 'diabetes'"),
        (lambda: regression("diabetes", key=KEY, count=443), "`count` must be at most 442, all patients there are"),
        (lambda: regression("periodic", key=KEY, count=1), "`count` must be an integer of at least 2"),
        (lambda: regression("periodic", key=KEY, noise=-1), "`noise` must not be negative, got -1"),
        (lambda: known_kernel("diabetes", np.zeros((1, 2)), np.zeros((1, 2))), "`name` must be one of 'anisotropic'"),
    ],
)
def test_what_is_not_there_is_refused(ask, words):
    with pytest.raises(ConfigError, match=words):
        ask()
