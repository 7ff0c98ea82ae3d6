"""Populations by harmonics: closed forms at small bandwidths, the quadrature everywhere, and when it is not taken."""

import pickle
import re

import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from jax.tree_util import Partial
from witnesses import bessel, von_mises_fisher

import attnflow as af
from attnflow.errors import ConvergenceError
from attnflow.sums import population, zonal
from attnflow.sums.zonal import ZonalOperator, bessel_ratios

CIRCLE, SPHERE, TORUS = af.Circle(), af.Sphere(2), af.FlatTorus(2)
SLOPE = np.array([0.5, -0.8, 0.3, 0.6, -0.2, 0.4])


def attention(bandwidth, cost=None, normalization="softmax"):
    return af.Attention(cost or af.SquaredDistance(), bandwidth=bandwidth, normalization=normalization)


def points(manifold, n=6):
    return manifold.sample_uniform(n, np.random.default_rng(2))


def lopsided(x):
    return 0.7 * x[0] - 0.4 * x[1] + 0.3 * x[0] * x[1]


def features(x):
    return jnp.stack([x[0] + 2 * x[1] ** 2, jnp.sin(x[1]) * x[0]])


def linear(slope, x):
    return slope @ x


@pytest.fixture
def always(monkeypatch):
    """Harmonics also where sums are short."""
    monkeypatch.setattr(population, "ZONAL_PAIRS", 0)


# --- eigenvalues of kernels


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 1.5])
@pytest.mark.parametrize("argument", [0.3, 10.0, 1e3, 1e4, 1e7])
def test_ratios_of_bessel_functions_have_all_digits(order, argument):
    found = bessel_ratios(order, argument, 60)
    with mp.workdps(40):
        places = [0, 1, 2, 17, 60]
        expected = [float(mp.besseli(order + n, argument) / mp.besseli(order, argument)) for n in places]
    np.testing.assert_allclose(found[places], expected, rtol=2e-14)  # sixty roundings


# --- closed forms where the bandwidth asks for more nodes than can be summed in pairs


@pytest.mark.parametrize("bandwidth", [1e-3, 1e-4, 1.3e-5])
def test_linear_functions_under_von_mises_fisher(bandwidth):
    b = np.array([0.4, 0.9, -0.6])
    density = af.VonMisesFisher(SPHERE, mean_direction=b, concentration=float(np.linalg.norm(b)))
    life = af.PopulationAttention(attention(bandwidth), density)
    x = points(SPHERE, 300)  # so many that sums would be long
    flow = life.evolve(Partial(linear, SLOPE[:3]), times=bandwidth, at=x)
    assert flow.method.startswith("harmonics")
    error = flow.values[0, :9] - von_mises_fisher.layer(x[:9], a=SLOPE[:3], b=b, bandwidth=bandwidth)
    assert np.abs(error).max() <= min(flow.solver_error, 1e-12)


@pytest.mark.parametrize(("bandwidth", "layers"), [(1e-3, 10), (1e-4, 3)])
def test_many_layers_on_the_uniform_sphere(bandwidth, layers):
    x = points(SPHERE)
    life = af.PopulationAttention(attention(bandwidth), af.Uniform(SPHERE))
    flow = life.evolve(lambda x: x[0] * x[1], times=layers * bandwidth, at=x)
    assert flow.method.startswith("harmonics")
    expected = bessel.sphere_symbol(2, m=2, bandwidth=bandwidth) ** layers * x[:, 0] * x[:, 1]
    assert np.abs(flow.values[0] - expected).max() <= min(flow.solver_error, 1e-12)


def test_layers_on_the_three_sphere_and_the_torus_of_three_angles():
    x = points(af.Sphere(3))
    life = af.PopulationAttention(attention(1e-3), af.Uniform(af.Sphere(3)))
    flow = life.evolve(lambda x: x[0] * x[3], times=[0, 2e-3, 5e-3], at=x)
    symbol = bessel.sphere_symbol(2, m=3, bandwidth=1e-3)
    expected = symbol ** np.array([[0], [2], [5]]) * x[:, 0] * x[:, 3]
    np.testing.assert_allclose(flow.values, expected, rtol=0, atol=1e-12)
    torus = af.FlatTorus(3)
    angles = np.random.default_rng(1).uniform(-3, 3, size=(5, 3))
    life = af.PopulationAttention(attention(1e-2), af.Uniform(torus))
    flow = life.evolve(lambda x: (x[0] ** 2 - x[1] ** 2) * x[3] * x[4], times=0.04, at=torus.from_angles(angles))
    mode = np.cos(2 * angles[:, 0]) * np.sin(angles[:, 1]) * np.cos(angles[:, 2])
    expected = bessel.torus_symbol((2, 1, 1), bandwidth=1e-2) ** 4 * mode
    np.testing.assert_allclose(flow.values[0], expected, rtol=0, atol=1e-12)


def test_eigenvalues_on_the_uniform_sphere_have_their_copies():
    eps = 1e-3
    spectrum = af.PopulationAttention(attention(eps), af.Uniform(SPHERE)).spectrum(9)
    expected = [-bessel.sphere_generator_symbol(n, m=2, bandwidth=eps) for n in (0, 1, 1, 1, 2, 2, 2, 2, 2)]
    assert np.abs(spectrum.eigenvalues - expected).max() <= min(spectrum.solver_error, 1e-10)  # 1e-13 over eps


# --- the quadrature


ALPHA = af.AlphaNormalization(1.0)


@pytest.mark.parametrize(
    ("manifold", "bandwidth", "normalization"),
    [
        (CIRCLE, 0.02, "softmax"),
        (CIRCLE, 0.02, ALPHA),
        (SPHERE, 0.1, "softmax"),
        (SPHERE, 0.1, ALPHA),
        (af.Sphere(3), 3.0, "softmax"),
        (af.Sphere(3), 3.0, ALPHA),
        (TORUS, 0.1, "softmax"),
        (TORUS, 0.1, ALPHA),
        (af.FlatTorus(3), 30.0, "softmax"),
    ],
    ids=repr,
)
def test_layers_are_those_of_the_quadrature(monkeypatch, manifold, bandwidth, normalization):
    density, at = af.LogDensity(manifold, lopsided), points(manifold)
    found = []
    for pairs, method in ((0, "harmonics"), (2**60, "quadrature")):
        monkeypatch.setattr(population, "ZONAL_PAIRS", pairs)
        cost = af.DotProduct() if manifold.dim == 2 else af.SquaredDistance()
        life = af.PopulationAttention(attention(bandwidth, cost, normalization), density, rtol=1e-11)
        flow = life.evolve(features, times=[0, bandwidth, 4 * bandwidth], at=at)
        assert flow.method.startswith(method)
        found.append((flow.values, life.generator(features, at=at) * bandwidth, life.log_normalizer(at=at)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)


def test_a_spectrum_is_that_of_the_quadrature(monkeypatch):
    given = attention(0.15, normalization=af.AlphaNormalization(0.5)), af.LogDensity(TORUS, lopsided)
    monkeypatch.setattr(population, "ZONAL_PAIRS", 0)
    one = af.PopulationAttention(*given).spectrum(4)
    monkeypatch.setattr(population, "ZONAL_PAIRS", 2**60)
    other = af.PopulationAttention(*given).spectrum(4)
    np.testing.assert_allclose(one.eigenvalues, other.eigenvalues, rtol=0, atol=1e-11)
    u, v = one.eigenfunctions(points(TORUS))[:, :2], other.eigenfunctions(points(TORUS))[:, :2]
    np.testing.assert_allclose(np.abs(u), np.abs(v), rtol=0, atol=1e-9)  # the third is one of two


# --- densities and functions that ask for more


@pytest.mark.usefixtures("always")
def test_a_peaked_density_takes_more_harmonics_until_rounding_is_felt():
    degrees = []
    for concentration in (1.0, 5.0, 40.0):
        b = concentration * np.array([0.48, 0.6, 0.64])
        density = af.VonMisesFisher(SPHERE, mean_direction=b, concentration=concentration)
        life = af.PopulationAttention(attention(0.1), density)
        x = np.array([[0.48, 0.6, 0.64], [0.0, 0.6, -0.8]])
        flow = life.evolve(Partial(linear, SLOPE[:3]), times=0.1, at=x)
        error = flow.values[0] - von_mises_fisher.layer(x, a=SLOPE[:3], b=b, bandwidth=0.1)
        assert np.abs(error).max() <= min(flow.solver_error, 1e-10)
        degrees.append(flow.method)
    mild, sharp = (int(method.split()[-1]) for method in degrees[:2])
    assert mild < sharp
    assert degrees[2].startswith("quadrature")  # e^-16 against its mean: 1e-14 / 1e-7 is above the tolerance


@pytest.mark.usefixtures("always")
def test_a_narrow_bump_of_f_takes_more_harmonics():
    # A layer of e^{<c, y>/s^2 - 1/s^2} is a ratio of sinh(r)/r, r = |x/eps + c/s^2|.
    place, width, eps = np.array([0.48, 0.6, 0.64]), 0.08, 0.1
    x = points(SPHERE)
    life = af.PopulationAttention(attention(eps), af.Uniform(SPHERE))
    flow = life.evolve(lambda y: jnp.exp(-jnp.sum((y - place) ** 2) / (2 * width**2)), times=eps, at=x)
    assert flow.method.startswith("harmonics")
    length = np.linalg.norm(x / eps + place / width**2, axis=1)
    expected = np.exp(length - 1 / eps - width**-2) / length / eps * np.expm1(-2 * length) / np.expm1(-2 / eps)
    assert np.abs(flow.values[0] - expected).max() <= min(flow.solver_error, 1e-11)


@pytest.mark.parametrize("degree", [16, 24, 60])
def test_a_single_harmonic_of_high_degree_is_seen(degree):
    # Its integral vanishes on every rule, and the degrees below hold nothing: its square tells.
    x = np.vstack([points(SPHERE), [[0.8, 0.6, 0.0]]])
    life = af.PopulationAttention(attention(1e-3), af.Uniform(SPHERE))
    flow = life.evolve(lambda y: ((y[0] + 1j * y[1]) ** degree).real, times=3e-3, at=x)
    assert flow.method.startswith("harmonics")
    symbol = bessel.sphere_symbol(degree, m=2, bandwidth=1e-3)
    expected = symbol**3 * ((x[:, 0] + 1j * x[:, 1]) ** degree).real
    assert np.abs(flow.values[0] - expected).max() <= min(flow.solver_error, 1e-12)


@pytest.mark.usefixtures("always")
def test_what_no_harmonics_resolve_is_refused():
    life = af.PopulationAttention(attention(0.1), af.Uniform(CIRCLE))
    with pytest.raises(ConvergenceError, match="smoother f"):
        life.layer(lambda x: jnp.where(x[0] > 0.31, 1.0, 0.0), at=[[0.6, 0.8]])


def test_too_few_harmonics_say_so():
    b = np.array([0.0, 0.0, 6.0])
    density = af.VonMisesFisher(SPHERE, mean_direction=b, concentration=6.0)
    few, many = (ZonalOperator(attention(1e-3), density, degree=degree) for degree in (20, 80))
    assert not few.resolves(1e-8)
    assert many.resolves(1e-8)
    many.iterate(many.measure.points[:, 0] ** 39, counts=[1], at=points(SPHERE), at_zero=None)
    assert not many.resolves(1e-8)
    many.begin()
    assert many.resolves(1e-8)


@pytest.mark.usefixtures("always")
def test_without_a_look_at_tails_the_tolerance_alone_is_met(monkeypatch):
    density = af.VonMisesFisher(SPHERE, mean_direction=[0, 0, 1], concentration=5.0)
    x, b = points(SPHERE), np.array([0.0, 0.0, 5.0])

    def error():
        found = af.PopulationAttention(attention(0.01), density, rtol=1e-6).layer(Partial(linear, SLOPE[:3]), at=x)
        return np.abs(found - von_mises_fisher.layer(x, a=SLOPE[:3], b=b, bandwidth=0.01)).max()

    careful = error()
    monkeypatch.setattr(ZonalOperator, "resolves", lambda self, rtol: True)
    monkeypatch.setattr(zonal, "FIRST_DEGREE", 8)
    monkeypatch.setattr(zonal.Sharpness, "_first", lambda self, degree, powers: degree)
    assert careful < 1e-9
    assert error() > 5 * careful  # of which nearly all is rounding, 1e-13


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
@pytest.mark.usefixtures("always")
def test_declared_errors_hold_at_coarse_tolerances(rtol):
    b = np.array([1.2, -0.7, 0.9])
    density = af.VonMisesFisher(SPHERE, mean_direction=b, concentration=float(np.linalg.norm(b)))
    x = points(SPHERE)
    flow = af.PopulationAttention(attention(0.02), density, rtol=rtol).evolve(
        Partial(linear, SLOPE[:3]), times=0.02, at=x
    )
    expected = von_mises_fisher.layer(x, a=SLOPE[:3], b=b, bandwidth=0.02)
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error <= rtol


# --- when harmonics are taken


def long_method(density, cost=None):
    flow = af.PopulationAttention(attention(0.02, cost), density).evolve(
        lambda x: x[0], times=0.04, at=points(density.manifold)
    )
    return flow.method


class OnItsRule(af.Density):
    """A density that brings a rule of its own."""

    manifold = CIRCLE

    def log_density(self, x):
        return -jnp.log(2 * jnp.pi)

    def quadrature(self, degree):
        nodes, weights = CIRCLE.quadrature(degree)
        return af.DiscreteMeasure(nodes, weights / (2 * np.pi))


def test_short_sums_keep_the_quadrature():
    assert re.fullmatch(r"quadrature, \d+ nodes", long_method(af.Uniform(CIRCLE)))


@pytest.mark.usefixtures("always")
def test_costs_that_are_not_zonal_and_rules_of_ones_own_keep_the_quadrature():
    stretched = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2) + (x[0] - y[0]) ** 2)
    assert long_method(af.Uniform(CIRCLE)).startswith("harmonics")
    assert long_method(af.Uniform(CIRCLE), af.DotProduct()).startswith("harmonics")
    assert long_method(af.Uniform(CIRCLE), stretched).startswith("quadrature")
    assert long_method(OnItsRule()).startswith("quadrature")


@pytest.mark.usefixtures("always")
def test_a_population_by_harmonics_is_pickled():
    life = af.PopulationAttention(attention(0.1), af.LogDensity(SPHERE, lopsided))
    before = life.layer(features, at=points(SPHERE))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(life)).layer(features, at=points(SPHERE)), before)
    functions = life.spectrum(2).eigenfunctions
    again = pickle.loads(pickle.dumps(functions))
    np.testing.assert_array_equal(again(points(SPHERE)), functions(points(SPHERE)))
