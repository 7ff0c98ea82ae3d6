"""Places of rest of tokens on the circle: few tokens by hand, and a count that notices when one is missing."""

import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "studies" / "questions"


@pytest.fixture(scope="module")
def critical_points():
    sys.path.insert(0, str(FOLDER))
    try:
        import critical_points

        yield critical_points
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def shapes(critical_points):
    return critical_points.shapes(5, -0.5, starts=200)


def test_three_tokens_rest_as_two_against_one_as_a_triangle_and_as_one_other(critical_points):
    found = critical_points.shapes(3, -0.5, starts=200)
    gaps = sorted(np.diff([*shape.angles, 2 * np.pi]).tolist() for shape in found)
    assert sorted(len(each) for each in gaps) == [2, 3, 3]
    assert any(np.allclose(each, np.pi) for each in gaps)
    assert any(np.allclose(each, 2 * np.pi / 3) for each in gaps)


def test_the_triangle_is_left_at_its_rate_in_closed_form(critical_points):
    (triangle,) = [
        shape
        for shape in critical_points.shapes(3, -0.9, starts=200)
        if np.allclose(np.diff(shape.angles), 2 * np.pi / 3)
    ]
    # a double root of a symmetric matrix, whose entries are sums of three numbers of order one
    assert triangle.largest_rate == pytest.approx((0.5 - 0.75 * 0.9) * np.exp(0.45), rel=1e-12)


def test_at_a_shape_no_token_moves(critical_points, shapes):
    for shape in shapes:
        angles = shape.tokens
        apart = angles[None] - angles[:, None]
        # Newton's method stops at 1e-11
        assert np.abs((np.exp(-0.5 * np.cos(apart)) * np.sin(apart)).mean(axis=1)).max() < 1e-11


def test_signs_add_up_to_zero_on_every_torus_of_clusters(critical_points, shapes):
    for clusters in critical_points.partitions(5):
        if len(clusters) > 1:
            assert critical_points.euler(clusters, shapes, beta=-0.5) == 0


def test_signs_do_not_add_up_where_any_one_shape_is_missing(critical_points, shapes):
    for shape in shapes:
        others = tuple(other for other in shapes if other is not shape)
        sums = [critical_points.euler(p, others, beta=-0.5) for p in critical_points.partitions(5) if len(p) > 1]
        assert any(sums)


def test_partitions_of_five_are_seven(critical_points):
    assert len(list(critical_points.partitions(5))) == 7
