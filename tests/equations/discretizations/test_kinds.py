"""Which discretization serves which density, and what is said where none does."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.hermite import HermiteBasis
from attnflow.equations.discretizations.kinds import KINDS
from attnflow.equations.solvers.kinds import choose_discretization
from attnflow.errors import ConfigError

ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
SERVED = {
    "fourier": [af.Uniform(af.Circle()), *(af.Uniform(af.FlatTorus(dim)) for dim in (1, 2, 3))],
    "harmonics": [af.Uniform(af.Sphere(2))],
    "hermite": [af.Gaussian([0.3], [[1.7]]), af.Gaussian(np.zeros(3), np.eye(3))],
    "legendre": [af.Uniform(af.Interval(0, 2))],
    "product": [af.Uniform(af.Product(af.FlatTorus(2), af.Product(af.Interval(0, 2), af.Circle())))],
    "hyperspherical": [af.Uniform(af.Sphere(3))],
}
NOT_SERVED = [af.Uniform(af.Sphere(4)), af.Uniform(af.FlatTorus(4)), af.Gaussian(np.zeros(4), np.eye(4))]


class LargeCircle(af.Sphere):
    """A circle of radius 2 that a user derived from the unit circle."""

    volume = 4 * np.pi

    def retract(self, y):
        return 2 * y / jnp.linalg.norm(y)

    def residual(self, points):
        return np.abs(np.linalg.norm(points, axis=1) - 2)

    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(2 * points, 2 * weights)

    def tangent_frame(self, x):
        return super().tangent_frame(x / 2)

    def sample_uniform(self, n, generator):
        return 2 * super().sample_uniform(n, generator)

    along = None


@pytest.mark.parametrize("name", SERVED)
def test_each_kind_serves_its_own_densities_and_no_others(name):
    (kind,) = [kind for kind in KINDS if kind.name == name]
    for owner, densities in SERVED.items():
        for density in densities:
            assert kind.serves(density) == (owner == name)
            if owner == name:
                assert choose_discretization("auto", density=density) == af.Spectral()
                assert choose_discretization(name, density=density) == af.Spectral(kind) == af.Spectral(name)
                first = kind.degrees(density)[0]
                assert kind.on(density, first).method == f"{name.capitalize()}, degree {first}"
    assert not any(kind.serves(density) for density in NOT_SERVED)


def test_a_circle_of_radius_two_is_not_taken_for_the_unit_circle():
    density = af.Uniform(LargeCircle(1))
    assert not FourierBasis.serves(density)
    limit = af.DriftDiffusion(ATTENTION, density)
    value = limit.generator(lambda x: x[0], at=np.array([[2.0, 0.0]]))
    np.testing.assert_allclose(value, -2 / 8, rtol=0, atol=1e-11)  # L cos(s/2) = -1/8 cos(s/2)
    with pytest.raises(ConfigError, match="no solver"):
        limit.evolve(lambda x: x[0], times=0.1, at=np.array([[2.0, 0.0]]))


def test_the_basis_that_answers_is_named():
    points = np.array([[0.6, 0.8]])
    for discretization in ("auto", "fourier", FourierBasis, af.Spectral(), af.Spectral("fourier")):
        limit = af.DriftDiffusion(ATTENTION, SERVED["fourier"][0], discretization=discretization)
        assert limit.evolve(lambda x: x[1], times=0.5, at=points).method == "Fourier, degree 16"


@pytest.mark.parametrize(
    ("discretization", "words"),
    [
        ("hermite", r"`discretization` 'hermite' serves a Gaussian on Eucl.*, not Uniform on Sphere.*'auto'"),
        (HermiteBasis, r"'hermite' serves .* Pass 'auto'"),
        (af.Spectral("fourier"), r"'fourier' serves .* Pass 'auto'"),
        ("harmonic", r"`discretization` must be one of 'auto', 'fourier', .* Did you mean 'harmonics'"),
        (3, r"`discretization` must be one of"),
    ],
)
def test_a_discretization_that_does_not_serve_is_refused(discretization, words):
    with pytest.raises(ConfigError, match=words):
        af.DriftDiffusion(ATTENTION, af.Uniform(af.Sphere(2)), discretization=discretization)


def test_where_nothing_serves_the_generator_is_recommended():
    with pytest.raises(ConfigError, match=r"'fourier' serves .*, not Uniform on Sphere\(dim=4\)\. Use `generator`"):
        af.DriftDiffusion(ATTENTION, NOT_SERVED[0], discretization="fourier")
    assert choose_discretization("auto", density=NOT_SERVED[0]) is None
