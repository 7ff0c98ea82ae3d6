"""Rules with many nodes: fast sums over them are the plain sums, and what a basis misses is seen."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.discretizations import close
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hermite import HermiteBasis
from attnflow.equations.discretizations.hyperspherical import HypersphericalBasis
from attnflow.equations.discretizations.legendre import LegendreBasis
from attnflow.equations.discretizations.product import ProductBasis
from attnflow.equations.discretizations.scrutiny import Scrutiny
from attnflow.equations.expansions.laplace import LaplaceExpansion

BASES = {
    "circle": FourierBasis(af.Circle(), 12),
    "torus of one angle": FourierBasis(af.FlatTorus(1), 12),
    "torus": FourierBasis(af.FlatTorus(2), 7),
    "sphere": HarmonicBasis(af.Sphere(2), 10),
    "line": HermiteBasis(0.3, 1.7, 20),
    "plane": HermiteBasis([0.3, -0.2], [[0.9, 0.3], [0.3, 0.5]], 8),
    "interval": LegendreBasis(af.Interval(-1, 2.5), 12),
    "torus of three angles": FourierBasis(af.FlatTorus(3), 3),
    "three-sphere": HypersphericalBasis(af.Sphere(3), 5),
    "product": ProductBasis(af.Product(af.Interval(0, 2), af.Sphere(2)), 6),
}


@pytest.mark.parametrize("name", BASES)
def test_sums_over_a_close_rule_are_the_plain_ones(name):
    basis = BASES[name]
    rule = basis.closely(3000)
    assert len(rule.nodes) >= 3000
    coefficients = np.random.default_rng(0).normal(size=(basis.size, 2))
    values = rule.synthesise(coefficients)
    some = np.arange(0, len(rule.nodes), 101)
    # Sums of up to 200 terms of size 10, far out of 1e15; the heights of SciPy's Gauss rule are good to 1e-12.
    plain = basis.synthesise(coefficients, at=rule.nodes[some])
    np.testing.assert_allclose(values[some], plain, rtol=1e-14, atol=1e-11)
    np.testing.assert_allclose(rule.analyse(values), coefficients, rtol=0, atol=1e-11)
    density = values * basis.reference_density(rule.nodes)[:, None]
    np.testing.assert_allclose(rule.analyse_density(density), coefficients, rtol=0, atol=1e-11)


@pytest.mark.parametrize("axis", [0, 1])
def test_few_angles_are_summed_by_a_matrix_as_by_fast_transforms(axis, monkeypatch):
    values = np.random.default_rng(axis).normal(size=(24, 25, 3))
    waves = close.to_waves(values, axis=axis, degree=7)
    back = close.from_waves(waves, axis=axis, nodes=31)
    monkeypatch.setattr(close, "_FEW", 0)
    np.testing.assert_allclose(waves, close.to_waves(values, axis=axis, degree=7), rtol=0, atol=1e-15)
    np.testing.assert_allclose(back, close.from_waves(waves, axis=axis, nodes=31), rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", BASES)
def test_orders_and_slopes_belong_to_the_functions(name):
    basis = BASES[name]
    values = basis.at_nodes
    squares = sum((values @ along) ** 2 for along in basis.derivatives)  # |grad phi_n|^2
    np.testing.assert_allclose(basis.slopes, np.sqrt(basis.weights @ squares), rtol=1e-10, atol=1e-10)
    assert basis.orders.max() <= basis.degree
    assert (np.diff(basis.orders) >= 0).all()


def missed(log_weight, degree):
    density = af.LogDensity(af.Circle(), log_weight)
    expansion = LaplaceExpansion(af.Attention(af.SquaredDistance(), 0.1), density, at_query=True)
    scrutiny = Scrutiny(FourierBasis, density, coefficients=expansion.coefficients)
    basis = FourierBasis(af.Circle(), degree)
    return scrutiny.missed(basis, scrutiny.fields(basis, basis.nodes))


def test_the_tails_of_a_drift_are_those_of_its_waves():
    # b = d/dt of .7 cos t + .2 cos 5t: nothing above 5, of which 1.0 above 4 and 1.7 above 0.
    found = missed(lambda x: 0.7 * x[0] + 0.2 * jnp.cos(5 * jnp.arctan2(x[1], x[0])), 12)
    np.testing.assert_allclose(found.tails[0], [1.7] + 4 * [1.0] + 8 * [0.0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.tails[1], 0, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(found.aliases, 0)


def test_a_wave_that_the_nodes_take_for_a_slow_one_is_seen():
    # On 37 nodes cos 40 t is cos 3t: the drift of one is taken for that of the other.
    found = missed(lambda x: 0.01 * jnp.cos(40 * jnp.arctan2(x[1], x[0])), 12)
    assert found.tails[0].min() > 0.3
    np.testing.assert_allclose(found.aliases[0], 0.4 / np.sqrt(2), rtol=1e-9)
