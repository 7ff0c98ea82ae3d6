"""The semigroup of a matrix: closed forms, laws, shared exponentials, modes; an Euler step is not a semigroup."""

import numpy as np
import pytest
import scipy.linalg
from threadpoolctl import threadpool_info

from attnflow.equations.semigroups import dense
from attnflow.equations.semigroups.dense import (
    Semigroup,
    one_blas_thread,
    real_modes,
    slowest_modes,
    stationary_moments,
)
from attnflow.errors import ConfigError

TURN = np.array([[-0.1, -2.0], [2.0, -0.1]])  # e^{tA} is a rotation by 2t, contracted by e^{-t/10}


def check_rotation():
    times = np.array([0.0, 0.3, 1.1, 5.0])
    states = Semigroup(TURN).propagate(np.array([[1.0], [0.0]]), times=times)
    expected = np.exp(-0.1 * times) * np.stack([np.cos(2 * times), np.sin(2 * times)])
    np.testing.assert_allclose(
        states[:, :, 0], expected.T, rtol=0, atol=1e-13
    )  # the longest step turns by 8: four squarings, each doubles the rounding


def test_times_of_any_digits_are_met_alone_and_one_after_another():
    times = np.array([1 / 7, 1 / 3, np.sqrt(2), np.pi])
    expected = np.exp(-0.1 * times) * np.stack([np.cos(2 * times), np.sin(2 * times)])
    for some in ([0], [1], [3], [0, 1, 2, 3]):
        states = Semigroup(TURN).propagate(np.array([[1.0], [0.0]]), times=times[some])[:, :, 0]
        np.testing.assert_allclose(states, expected.T[some], rtol=0, atol=1e-13)  # as above


def test_what_rounding_leaves_of_a_step_is_made_up_for_by_later_ones():
    # Steps once rounded to 1e-13 would each be short by 4e-14, all of them by 8e-11.
    times = np.arange(2001) * (1e-3 + 4e-14)
    state = Semigroup(TURN).propagate(np.array([[1.0], [0.0]]), times=times)[-1, :, 0]
    t = times[-1]
    expected = np.exp(-0.1 * t) * np.array([np.cos(2 * t), np.sin(2 * t)])
    np.testing.assert_allclose(state, expected, rtol=0, atol=2e-12)  # 2000 products, each rounded


def a_generator(size=12, seed=0):
    """A Markov generator in a basis whose first function is constant: first column zero, real spectrum."""
    generator = np.random.default_rng(seed)
    matrix = np.diag(-np.arange(size) * 0.7) + 0.05 * np.triu(generator.normal(size=(size, size)), 1)
    matrix[:, 0] = 0
    return matrix


def test_a_rotation_is_exact():
    check_rotation()


def test_an_euler_step_instead_of_the_exponential_is_caught(monkeypatch):
    monkeypatch.setattr(dense, "exponential_change", lambda a: a)
    with pytest.raises(AssertionError):
        check_rotation()


def test_times_may_be_unordered_and_repeated():
    initial = np.random.default_rng(1).normal(size=(12, 2))
    times = np.array([2.0, 0.0, 0.5, 2.0])
    states = Semigroup(a_generator()).propagate(initial, times=times)
    assert states.shape == (4, 12, 2)
    np.testing.assert_array_equal(states[0], states[3])
    np.testing.assert_array_equal(states[1], initial)
    alone = Semigroup(a_generator()).propagate(initial, times=np.array([2.0]))
    np.testing.assert_allclose(states[0], alone[0], rtol=0, atol=1e-14)


def test_the_semigroup_law_and_the_adjoint():
    semigroup, generator = Semigroup(a_generator()), np.random.default_rng(2)
    u, r = generator.normal(size=(12, 1)), generator.normal(size=(12, 1))
    through, *_ = semigroup.propagate(semigroup.propagate(u, times=np.array([0.4]))[0], times=np.array([0.7]))
    np.testing.assert_allclose(semigroup.propagate(u, times=np.array([1.1]))[0], through, rtol=0, atol=1e-14)
    backward = semigroup.propagate(r, times=np.array([1.1]), adjoint=True)[0]
    np.testing.assert_allclose(r.T @ through, backward.T @ u, rtol=0, atol=1e-13)


def test_equally_spaced_times_share_one_exponential_and_do_not_drift(monkeypatch):
    calls = []
    exact = dense.exponential_change
    monkeypatch.setattr(dense, "exponential_change", lambda a: calls.append(1) or exact(a))
    semigroup = Semigroup(TURN)
    times = 0.1 * np.arange(201)
    states = semigroup.propagate(np.array([[1.0], [0.0]]), times=times)
    assert len(calls) == 1
    # 200 products of size one; 0.1 * 200 itself is only known to 4e-15, turned at speed 2.
    np.testing.assert_allclose(states[-1, 0, 0], np.exp(-2) * np.cos(40), rtol=0, atol=2e-14)
    semigroup.propagate(np.array([[0.0], [1.0]]), times=times)
    assert len(calls) == 1


def test_an_early_time_beside_a_late_one_is_as_exact_as_alone():
    # Steps that were rounded to 1e-14 of the last time moved the first by 3e-9 of itself.
    times = np.array([0.0697232, 17.85, 1.83e6])
    together = Semigroup(a_generator()).propagate(np.eye(12), times=times)
    for time, state in zip(times, together, strict=True):
        alone = Semigroup(a_generator()).propagate(np.eye(12), times=np.array([time]))[0]
        np.testing.assert_allclose(state, alone, rtol=0, atol=1e-13)


def test_times_that_differ_by_rounding_share_one_step_and_others_do_not():
    equal = dense.steps_between(100 + 0.1 * np.arange(1, 200))[0]
    assert len(set(equal)) <= 6  # their distances are known to 1e-14 only
    for times in (np.logspace(-8, 8, 50), np.linspace(0, 1, 1001), np.array([0.0, 0.1, 0.3, 0.30000000001])):
        steps, place = dense.steps_between(times)
        np.testing.assert_allclose(np.cumsum(steps)[place], times, rtol=2e-15 * len(times), atol=0)
    assert len(set(steps)) == 4


def test_a_very_long_time_reaches_the_stationary_law():
    matrix = a_generator()
    moments = stationary_moments(matrix)
    np.testing.assert_allclose(matrix.T @ moments, 0, rtol=0, atol=1e-13)
    late = Semigroup(matrix).propagate(np.eye(12), times=np.array([1e6]))[0]
    expected = np.outer(np.eye(12)[0], moments)  # every function tends to its stationary mean
    np.testing.assert_allclose(late, expected, rtol=0, atol=1e-13)


def test_the_slowest_modes_are_eigenvectors_and_rise_from_zero():
    matrix = a_generator()
    values, vectors = real_modes(*slowest_modes(matrix, 5)[:2])
    assert values[0] == 0
    np.testing.assert_array_equal(vectors[:, 0], np.eye(12)[0])
    np.testing.assert_allclose(
        values, 0.7 * np.arange(5), rtol=0, atol=1e-13
    )  # a triangular matrix shows its eigenvalues
    np.testing.assert_allclose(-matrix @ vectors, vectors * values, rtol=0, atol=1e-13)


def test_complex_modes_raise_and_name_the_eigenvalue():
    matrix = np.zeros((3, 3))
    matrix[1:, 1:] = TURN
    with pytest.raises(ConfigError, match=r"not reversible.*0\.1[+-]2j.*evolve"):
        real_modes(*slowest_modes(matrix, 3)[:2])


def test_a_double_eigenvalue_split_by_rounding_is_made_real():
    matrix = np.zeros((3, 3))
    matrix[1:, 1:] = [[-1.0, 1e-12], [-1e-12, -1.0]]
    values, vectors = real_modes(*slowest_modes(matrix, 3)[:2])
    np.testing.assert_allclose(values, [0, 1, 1], rtol=0, atol=1e-11)
    assert vectors.dtype == float
    assert np.linalg.matrix_rank(vectors) == 3


def test_one_blas_thread_is_used_inside_and_restored_outside():
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = threads()
    with one_blas_thread():
        assert set(threads()) <= {1}
    assert threads() == before


def test_the_change_of_a_small_exponential_is_that_of_the_exponential():
    matrix = a_generator() / 4
    expected = scipy.linalg.expm(matrix) - np.eye(12)
    np.testing.assert_allclose(dense.exponential_change(matrix), expected, rtol=0, atol=1e-15)


def test_a_slow_rate_among_fast_ones_keeps_its_digits():
    # Similar to a diagonal matrix by an exact shear: e^{tA} is known. Squaring e^{tA} itself would leave 1e-10 of it.
    rates, shear = np.array([0.0, 1e-6, 3e3]), np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.25], [0.0, 0.0, 1.0]])
    inverse = np.array([[1.0, -0.5, 0.125], [0.0, 1.0, -0.25], [0.0, 0.0, 1.0]])
    matrix = -shear @ np.diag(rates) @ inverse
    state = Semigroup(matrix).propagate(np.array([[0.0], [1.0], [0.0]]), times=np.array([1e6]))[0]
    expected = shear @ np.diag(np.exp(-1e6 * rates)) @ inverse[:, [1]]
    np.testing.assert_allclose(state, expected, rtol=0, atol=1e-12)


def test_a_ladder_holds_the_semigroup_at_rising_times():
    initial = np.random.default_rng(1).normal(size=(12, 2))
    semigroup = Semigroup(a_generator())
    for adjoint in (False, True):
        times, states = semigroup.ladder(initial, times=np.array([0.0, 1.0, 41.0]), adjoint=adjoint)
        assert times[0] == 40
        np.testing.assert_allclose(times, 40 / 8.0 ** np.arange(len(times)))
        assert times[-1] * 7.7 < 20  # down to the fastest rate
        expected = semigroup.propagate(initial, times=times, adjoint=adjoint)
        np.testing.assert_allclose(states, expected, rtol=0, atol=1e-13)


def test_eigenvalues_come_with_their_condition_and_rounding():
    matrix = np.zeros((4, 4))
    matrix[1:, 1:] = -np.array([[1.0, 1e4, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    modes = dense.slowest_modes(matrix, 4)
    np.testing.assert_allclose(modes.values, [0, 1, 2, 3], rtol=0, atol=1e-11)
    np.testing.assert_allclose(modes.conditions, [0, 1e4, 1e4, 1], rtol=1e-6)  # |(1, -1e4)|, |(1e4, 1)|
    assert (np.abs(modes.values - [0, 1, 2, 3]) <= modes.rounding + 1e-15).all()
