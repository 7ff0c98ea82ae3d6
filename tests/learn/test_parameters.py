"""Counts of what is trained."""

from learned_heads import DIM, HEADS, heads

import attnflow as af

PERCEPTRON = 2 * 4 * 3 + 3 + 4  # A, a, B and b of a spectrum: k = 4, three hidden units


def test_parameters_are_counted_and_what_is_drawn_is_not():
    expected = {
        "dot product": 2 * 4 * DIM,
        "L2": 4 * DIM,
        "metric": 5 * DIM + 5 + 4 * 5 + 4,
        "implicit kernel": 2 * 4 * DIM + PERCEPTRON,
        "implicit kernel of pairs": 2 * 4 * DIM + 2 * PERCEPTRON,
    }
    for name, count in expected.items():
        assert af.learn.parameter_count(heads(name)) == HEADS * count
