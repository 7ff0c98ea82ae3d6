"""Costs seen through a map keep what they say of themselves."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.pseudometrics.base import is_trusted
from attnflow.pseudometrics.scrutiny import check_pairs
from attnflow.pseudometrics.through import Through

ELLIPSE = af.Ellipsoid((2.0, 1.0))
X, Y = np.array([0.6, 0.8]), np.array([-1.0, 0.0])


class Lopsided(af.PseudoMetric):
    vanishes_on_diagonal = True

    def __call__(self, x, y):
        return (1 + 0.1 * x[0]) * jnp.sum((x - y) ** 2)


def test_the_cost_is_that_of_the_images():
    assert float(Through(af.SquaredDistance(), ELLIPSE)(X, Y)) == pytest.approx(3.2**2 + 0.8**2, rel=1e-15)
    assert float(Through(Lopsided(), ELLIPSE)(X, Y)) == pytest.approx(1.12 * (3.2**2 + 0.8**2), rel=1e-15)


@pytest.mark.parametrize("cost", [af.SquaredDistance(), af.DotProduct(), Lopsided()])
def test_what_a_cost_says_of_itself_is_kept(cost):
    through = Through(cost, ELLIPSE)
    for name in ("vanishes_on_diagonal", "is_symmetric"):
        assert getattr(through, name) is getattr(cost, name)
    assert is_trusted(through) is is_trusted(cost)  # a cost of one's own is examined behind a map as well
    check_pairs(through, af.Circle().quadrature(40).points)
    assert through == Through(cost, af.Ellipsoid((2, 1)))
