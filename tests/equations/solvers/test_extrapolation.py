"""Richardson's table: series in h^2 are met exactly, others are not, and errors are magnified as told."""

import numpy as np
import pytest

from attnflow.equations.solvers.extrapolation import extrapolate, magnification


def test_a_polynomial_in_the_square_of_h_is_met():
    counts = [16, 24, 32, 48]
    answers = [np.array([1.5, -2.0]) + 3 / n**2 - 40 / n**4 + 7e2 / n**6 for n in counts]
    np.testing.assert_allclose(extrapolate(answers, counts, columns=3), [1.5, -2.0], rtol=1e-14)
    # two columns leave the last term
    assert np.abs(extrapolate(answers, counts, columns=2) - [1.5, -2.0]).max() > 1e-8
    np.testing.assert_array_equal(extrapolate(answers[:1], counts[:1], columns=3), answers[0])


def test_a_term_of_order_three_is_not_met():
    counts = [16, 32, 64, 128]
    answers = [1 + 1 / n**3 for n in counts]
    assert abs(extrapolate(answers, counts, columns=3) - 1) > 1e-8


def test_errors_are_magnified_by_the_sum_of_the_weights():
    counts = [16, 24, 32, 48, 64, 96]
    noise = np.random.default_rng(0).uniform(-1, 1, size=(6, 10_000))
    largest = np.abs(extrapolate(list(noise), counts, columns=5)).max()
    assert 0.3 * magnification(counts, columns=5) < largest < magnification(counts, columns=5)
    assert magnification([8, 16], columns=1) == pytest.approx(5 / 3)
