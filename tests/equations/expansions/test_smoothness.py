"""Which costs have the derivatives that an expansion is made of, and how the others are told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnflow as af
from attnflow.equations.expansions.smoothness import faults_of
from attnflow.errors import ConfigError

# --- One dimension, many costs by parameters: compiled once.

KINKS = ("angle", "curvature", "third derivative", "jump")


@jax.jit
def looked_at(scale, width, slope, offset, kinks):
    """The faults at u = 0 of scale width^2 [smooth(u / width) + a kink there] + offset."""

    def cost(u):
        t, right = u[0] / width, u[0] > 0
        smooth = 0.5 * t**2 + slope * t**3 / 6 + 0.3 * t**4 - 0.1 * t**5
        broken = [jnp.abs(t), jnp.where(right, t**2, 0.0), jnp.where(right, t**3, 0.0), jnp.where(right, 1.0, 0.0)]
        return scale * width**2 * (smooth + sum(a * b for a, b in zip(kinks, broken, strict=True))) + offset

    origin = jnp.zeros(1)
    return faults_of(cost, jax.hessian(cost)(origin), jax.jacfwd(jax.hessian(cost))(origin), extent=1.0)


SCALES = st.floats(-12, 12).map(lambda power: 10.0**power)
WIDTHS = st.floats(-2, 1).map(lambda power: 10.0**power)  # of the cost, where M has the size 1


@settings(max_examples=100, derandomize=True, deadline=None)
@given(SCALES, WIDTHS, st.floats(-2, 2), st.sampled_from([0.0, 1.0, -1e3]))
def test_a_smooth_cost_of_any_size_and_width_passes(scale, width, slope, offset):
    faults = looked_at(scale, width, slope, offset * scale * width**2, jnp.zeros(4))
    assert faults.finite
    assert faults.settled
    assert faults.definite
    assert faults.smooth


@settings(max_examples=100, derandomize=True, deadline=None)
@given(SCALES, WIDTHS, st.floats(-2, 2), st.sampled_from(KINKS), st.sampled_from([-1, 1]), st.floats(-1.3, 1))
def test_a_kink_at_the_minimiser_is_seen(scale, width, slope, kind, sign, power):
    # From a twentieth of the smooth part to ten times it. A third derivative that jumps counts where it moves the drift
    # by 2e-3 of what the size of M makes of the curvature: as seen from far off, a narrow well has a large one.
    kinks = np.zeros(4)
    kinks[KINKS.index(kind)] = sign * 10.0**power
    faults = looked_at(scale, width, slope, 0.0, jnp.asarray(kinks))
    assert not (faults.finite and faults.settled and faults.definite and faults.smooth)


def test_a_quartic_minimum_is_degenerate_and_an_angle_is_not_called_so():
    def faults(cost):
        def local(u):
            return cost(u + 1e-7)  # where a search ends, nearer than the smallest step

        def found(zero):
            return faults_of(local, jax.hessian(local)(zero), jax.jacfwd(jax.hessian(local))(zero), extent=1.0)

        return jax.jit(found)(jnp.zeros(1))

    assert not faults(lambda u: u[0] ** 4).definite
    angle = faults(lambda u: jnp.abs(u[0]) - 0.1 * u[0] ** 2)
    assert angle.definite
    assert not angle.smooth


def test_a_kink_between_the_axes_is_seen():
    def cost(u):
        return 0.5 * u @ u + jnp.where(u[0] * u[1] > 0, 0.5 * u[0] * u[1], 0.0)

    zero = jnp.zeros(2)

    def faults(cost):
        return jax.jit(lambda second, third: faults_of(cost, second, third, extent=1.0))(
            jnp.eye(2), jnp.zeros((2, 2, 2))
        )

    assert not faults(cost).smooth
    assert faults(lambda u: 0.5 * u @ u).smooth
    assert jax.hessian(cost)(zero)[0, 1] == 0.0  # automatic differentiation sees one side


# --- As users meet it.


def square(x, y):
    return jnp.sum((x - y) ** 2)


NOT_SMOOTH = {
    "the distance cubed": (lambda x, y: square(x, y) ** 1.5, "a derivative of it is not finite"),
    "the power 3/2": (lambda x, y: square(x, y) ** 0.75, "a derivative of it is not finite"),
    "the sum of distances": (lambda x, y: jnp.sum(jnp.abs(x - y)), "vanishing gradient.*It is not smooth there"),
    "two cases": (lambda x, y: jnp.where(y[0] > x[0], 2.0, 1.0) * square(x, y), "is not smooth at its minimiser"),
    "an arc by its cosine": (
        lambda x, y: jnp.arccos(jnp.clip(x @ y, -1, 1)) ** 2,
        r"a derivative of it is not finite.*power series of \|x - y\|\^2",
    ),
}


@pytest.mark.parametrize("name", NOT_SMOOTH)
def test_a_cost_that_is_not_smooth_where_it_matters_is_refused_with_that_reason(name):
    cost, reason = NOT_SMOOTH[name]
    limit = af.DriftDiffusion(af.Attention(af.CustomPseudoMetric(cost), bandwidth=0.1), af.Uniform(af.Circle()))
    with pytest.raises(ConfigError, match=reason):
        limit.generator(lambda x: x[0], at=[[0.6, 0.8], [-0.28, 0.96]])


def test_a_case_that_begins_elsewhere_changes_nothing():
    capped = af.CustomPseudoMetric(lambda x, y: jnp.where(square(x, y) < 0.3, square(x, y), 0.3))
    limit = af.LaplaceExpansion(af.Attention(capped, bandwidth=0.1), af.LogDensity(af.Circle(), lambda x: 0.7 * x[0]))
    at = np.array([[0.6, 0.8], [-0.28, 0.96]])
    # f = x_0 = cos t: f'' / 2 + (log p)' f'
    exact = -0.5 * at[:, 0] + 0.7 * at[:, 1] ** 2
    np.testing.assert_allclose(limit.generator(lambda x: x[0], at=at), exact, rtol=0, atol=1e-11)
    np.testing.assert_allclose(limit.gap(at), 0.15, rtol=0, atol=1e-12)
