"""Narrow features of densities: integrated, sampled, or refused; never missed in silence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.tree_util import Partial
from scipy.special import ive

import attnflow as af
from attnflow.densities import sampling
from attnflow.densities.integration import integrate
from attnflow.errors import ConvergenceError, DataError

CIRCLE, TORUS, SPHERE, THREE = af.Circle(), af.FlatTorus(2), af.Sphere(2), af.Sphere(3)
ROUNDED = 3e-13  # two rules agree to 1e-13; at 1e-4 log-weights of 1e4 lose another 1e-13

# The mean over M of exp(-|x - c|^2 / 2s^2) = exp((<c, x> - <c, c>) / s^2), whatever the place c.
MEANS = {
    CIRCLE: lambda s: ive(0, s**-2),
    TORUS: lambda s: ive(0, s**-2) ** 2,
    SPHERE: lambda s: -np.expm1(-2 / s**2) * s**2 / 2,
    THREE: lambda s: 2 * s**2 * ive(1, s**-2),
}


def spike(place, width, height, x):
    return jnp.log1p(height * jnp.exp(-jnp.sum((x - place) ** 2) / (2 * width**2)))


def spiked(manifold, *, width, seed, height=None):
    """The density of mass 1 + height mean: a plain and, anywhere on it, a Gaussian spike."""
    place = manifold.sample_uniform(1, np.random.default_rng(seed))[0]
    height = 1 / width if height is None else height
    return af.LogDensity(manifold, Partial(spike, place, width, height)), place, height


def log_mass(manifold, *, width, height):
    return np.log(manifold.volume) + np.log1p(height * MEANS[manifold](width))


def test_the_spike_that_was_missed():
    density = af.LogDensity(CIRCLE, Partial(spike, np.array([1.0, 0.0]), 0.003, 1 / 0.003))
    assert density.log_normalizer == pytest.approx(2.17359382430962909, abs=ROUNDED)  # in thirty digits


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), digits=st.floats(0.3, 3.5))
def test_spikes_of_the_circle_are_integrated_wherever_they_are(seed, digits):
    width = 10**-digits
    density, _, height = spiked(CIRCLE, width=width, seed=seed)
    assert density.log_normalizer == pytest.approx(log_mass(CIRCLE, width=width, height=height), abs=ROUNDED)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**31), manifold=st.sampled_from([TORUS, SPHERE]), width=st.floats(0.03, 0.5))
def test_spikes_in_two_dimensions_are_integrated_wherever_they_are(seed, manifold, width):
    density, _, height = spiked(manifold, width=width, seed=seed)
    assert density.log_normalizer == pytest.approx(log_mass(manifold, width=width, height=height), abs=ROUNDED)


def test_a_spike_that_is_seen_but_not_resolved_is_refused(monkeypatch):
    # Of width .02 it takes a quarter of a million nodes; with 4 10^6 a spike of .006 is still resolved.
    monkeypatch.setattr("attnflow.densities.integration.MAX_NODES", 200_000)
    with pytest.raises(ConvergenceError, match="does not settle"):
        spiked(TORUS, width=0.012, seed=3)


def test_spikes_in_three_dimensions():
    density, _, height = spiked(THREE, width=0.15, seed=4)
    assert density.log_normalizer == pytest.approx(log_mass(THREE, width=0.15, height=height), abs=ROUNDED)


@pytest.mark.parametrize(("manifold", "width"), [(CIRCLE, 0.003), (CIRCLE, 2e-4), (SPHERE, 0.03), (TORUS, 0.05)])
def test_spikes_are_drawn_as_often_as_they_weigh(manifold, width):
    # Of the height that gives the spike half of the mass.
    height = 1 / MEANS[manifold](width)
    density, place, _ = spiked(manifold, width=width, seed=1, height=height)
    n = 4000 if manifold.dim == 1 else 1000
    distances = np.linalg.norm(density.sample(n, key=jax.random.key(2)) - place, axis=1) / width
    # On m axes |x - c| < 2 s has the probability 1 - e^{-2} for m = 2, .9545 for m = 1; on the plain it is small.
    inside = {1: 0.954499736, 2: -np.expm1(-2)}[manifold.dim]
    plain = {1: 4 * width, 2: 4 * np.pi * width**2}[manifold.dim] / manifold.volume
    expected = 0.5 * inside + 0.5 * plain
    deviation = np.sqrt(expected * (1 - expected) / n)
    assert abs(np.mean(distances < 2) - expected) < 5 * deviation + 2 * width**2  # curvature


class Unaware(af.Density):
    """A density of one's own whose author did not see the spike."""

    def __init__(self, manifold, place, width):
        self.manifold, self.place, self.width = manifold, place, width

    def log_density(self, x):
        return spike(self.place, self.width, 1 / self.width, x) - self.manifold.log_volume


@pytest.mark.parametrize("manifold", [CIRCLE, SPHERE], ids=str)
def test_a_density_of_ones_own_is_told_the_mass_of_its_spike(manifold):
    width = {CIRCLE: 0.002, SPHERE: 0.02}[manifold]
    mass = 1 + MEANS[manifold](width) / width
    place = manifold.sample_uniform(1, np.random.default_rng(5))[0]
    with pytest.raises(DataError, match=f"integrates to {mass:.6g}"):
        Unaware(manifold, place, width).sample(10, key=jax.random.key(0))


@pytest.mark.parametrize("width", [0.012, 0.05, 0.4])
def test_the_bound_of_proposals_is_above_the_peak_and_near_it(width):
    # At .012 the nodes of the rule that settles are half a width apart: its largest value is .1 below the peak.
    density, place, _ = spiked(SPHERE, width=width, seed=7)
    peak = density.log_densities(place[None])[0]
    assert 0.01 < density.log_bound - peak < 0.06


def test_rejection_without_hope_is_refused_at_once():
    with pytest.raises(ConvergenceError, match=r"one of about 1e10 uniform proposals .*wider density"):
        sampling.draw_by_rejection(af.Uniform(SPHERE), 20.5, np.random.default_rng(0))


def test_a_rule_that_meets_nothing_is_refused():
    density = af.VonMisesFisher(SPHERE, mean_direction=[1, 2, 3], concentration=1e12)
    with pytest.raises(ConvergenceError, match="too peaked for them"):
        density.quadrature(20)


@pytest.mark.parametrize("manifold", [af.Sphere(6), af.FlatTorus(5), af.FlatTorus(400), af.Sphere(1000)], ids=str)
def test_densities_in_many_dimensions_are_refused_with_the_number_of_nodes(manifold):
    with pytest.raises(ConvergenceError, match=r"a quadrature of (\d+|1e\d+) nodes .*fewer dimensions"):
        af.LogDensity(manifold, Partial(spike, np.ones(manifold.ambient_dim), 1.0, 1.0))


def test_two_rules_that_agree_are_not_believed_alone(monkeypatch):
    # The planted defect is the close look with no more nodes than the rules: then the spike is missed again.
    monkeypatch.setattr("attnflow.resolution.CLOSE_NODES", (20, 20))
    density = Unaware(CIRCLE, np.array([1.0, 0.0]), 0.003)
    assert abs(integrate(density).log_mass) < 0.01
