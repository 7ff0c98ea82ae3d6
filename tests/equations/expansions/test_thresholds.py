"""Where the expansion draws its lines: what counts as a jump, as a tie, as settled and as degenerate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.expansions import laplace
from attnflow.equations.expansions.minimizers import Lowest
from attnflow.equations.expansions.smoothness import faults_of
from attnflow.errors import ConfigError

CIRCLE = af.Circle()
AT = np.array([[0.6, 0.8], [-0.8, 0.6], [0.0, -1.0]])


def found(monkeypatch, *, offset=0.0, gap=np.inf):
    """An expansion whose search answers with points that are off by so much, and with that gap."""
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2))
    limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), af.Uniform(CIRCLE))
    turned = AT + offset * np.array([[0.0, 0.0], [0.6, 0.8], [0.0, 0.0]])
    lowest = Lowest(turned, np.array([np.inf, gap, np.inf]))
    monkeypatch.setattr(laplace.LaplaceExpansion, "_lowest", lambda *_: lowest)
    return limit


@pytest.mark.parametrize(("offset", "jumps"), [(2e-6, True), (5e-7, False)])
def test_a_minimiser_jumps_if_it_is_a_millionth_away_from_the_query(monkeypatch, offset, jumps):
    limit = found(monkeypatch, offset=offset)
    if jumps:
        with pytest.raises(ConfigError, match=r"jumps by 2e-06 from x = \[-0\.8, 0\.6\]"):
            limit.require_fixed_minimizer(AT)
    else:
        limit.require_fixed_minimizer(AT)


@pytest.mark.parametrize(("gap", "tie"), [(5e-13, True), (2e-12, False)])
def test_two_minima_are_a_tie_if_only_rounding_tells_them_apart(monkeypatch, gap, tie):
    limit = found(monkeypatch, gap=gap)
    if tie:
        with pytest.raises(ConfigError, match=r"query \[-0\.8, 0\.6\]: D/2 differs by 5e-13 between two"):
            limit.minimizer(AT)
    else:
        np.testing.assert_array_equal(limit.gap(AT), [np.inf, gap, np.inf])


@jax.jit
def looked_at(terms, offset, curvature, third):
    """The faults at u = 0 of a u^2 + b u^3 + c u^4 + d sign(u) u^2 moved by `offset`, with these derivatives there."""

    def cost(u):
        t = u[0] - offset
        return terms @ jnp.stack([t**2, t**3, t**4, t**2 * jnp.where(t > 0, 1.0, -1.0)])

    return faults_of(cost, jnp.full((1, 1), curvature), jnp.full((1, 1, 1), third), extent=1.0)


def faults(*terms, curvature, offset=0.0, third=0.0):
    return looked_at(np.array(terms), offset, curvature, third)


def test_a_quartic_minimum_is_degenerate_and_a_quadratic_one_under_a_quartic_term_is_not():
    assert not faults(1e-11, 0.0, 1.0, 0.0, curvature=2e-11).definite
    shallow = faults(1e-5, 0.0, 1.0, 0.0, curvature=2e-5)
    assert shallow.definite
    assert shallow.smooth
    assert shallow.smallest == pytest.approx(2e-5)


@pytest.mark.parametrize(("offset", "settled"), [(3e-6, False), (3e-7, True)])
def test_a_minimum_is_settled_if_newton_would_move_it_by_less_than_a_millionth(offset, settled):
    moved = faults(1.0, 0.0, 0.0, 0.0, curvature=2.0, offset=offset)
    assert bool(moved.settled) == settled
    assert moved.offset == pytest.approx(offset, rel=1e-6)


@pytest.mark.parametrize(
    ("terms", "third", "smooth"),
    [
        ((1.0, 0.3, 0.0, 0.0), 1.8, True),
        ((1.0, 0.3, 0.0, 0.0), 1.7, False),  # a third derivative that is 6 % off
        ((1.0, 0.0, 0.0, 0.02), 0.0, False),  # a curvature that jumps by 4 %
    ],
)
def test_derivatives_are_confirmed_by_differences_to_a_thousandth(terms, third, smooth):
    assert bool(faults(*terms, curvature=2.0, third=third).smooth) == smooth
