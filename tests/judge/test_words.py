"""Numbers in words: digits follow the margin, intervals that are too narrow to spell are given by their half width."""

import pytest

from attnflow.judge.words import interval, number


@pytest.mark.parametrize(
    ("value", "margin", "text"),
    [(0.99961234, 0.05, "0.9996"), (-0.00002, 0.05, "0.0000"), (-1.25, 0.3, "−1.250"), (2.2e-16, 1e-12, "2.2·10⁻¹⁶"),
     (1e10, None, "10¹⁰"), (12.3456, None, "12.35"), (1234.5, 60.0, "1234.5")],
)  # fmt: skip
def test_numbers_are_given_to_a_hundredth_of_their_margin(value, margin, text):
    assert number(value, margin=margin) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(None, None, "1.01"), (1.01, 1.01, "1.01"), (0.98, 1.04, "1.0100 [0.9800, 1.0400]"),
     (1.01 - 2e-9, 1.01 + 2e-9, "1.0100 ± 2·10⁻⁹")],
)  # fmt: skip
def test_an_interval_is_spelled_where_its_digits_tell_its_ends_apart(low, high, text):
    assert interval(1.01, low=low, high=high, margin=0.05) == text
