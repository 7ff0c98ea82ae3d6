"""Products: by parts in everything, and the drift-diffusion on them."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.discretizations.product import ProductBasis
from attnflow.errors import ConfigError

PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)
CIRCLE, SPHERE, UNIT = af.Circle(), af.Sphere(2), af.Interval(0, 1)


def evolved(manifold, log_weight, f, *, at, time, rtol=1e-10):
    """One part of a product of semigroups."""
    limit = af.DriftDiffusion(PLAIN, af.LogDensity(manifold, log_weight), rtol=rtol)
    return limit.evolve(f, times=time, at=at).values[0]


def test_volumes_and_dimensions_are_those_of_the_parts():
    product = af.Product(SPHERE, af.Product(UNIT, CIRCLE))
    assert (product.dim, product.ambient_dim, product.has_boundary) == (4, 6, True)
    assert product.volume == pytest.approx(4 * np.pi * 2 * np.pi, rel=1e-14)
    assert af.Product(SPHERE, CIRCLE) == af.Product(SPHERE, CIRCLE) != af.Product(CIRCLE, SPHERE)
    np.testing.assert_allclose(product.residual(np.array([[0, 0, 1.3, 1.4, 0.0, 1.0]])), 0.5, rtol=0, atol=1e-15)


@pytest.mark.parametrize("part", [af.EuclideanSpace(1), "circle"])
def test_parts_must_be_compact_manifolds(part):
    with pytest.raises(ConfigError):
        af.Product(CIRCLE, part)


def test_where_a_part_has_no_basis_there_is_no_solver():
    density = af.Uniform(af.Product(CIRCLE, af.Sphere(4)))
    assert not ProductBasis.serves(density)
    with pytest.raises(ConfigError, match="no solver"):
        af.DriftDiffusion(PLAIN, density).spectrum(2)


def test_the_product_of_two_circles_is_the_flat_torus():
    # The same points, another basis, another rule and another route: a density that is no product.
    weight = lambda x: 0.4 * x[0] + 0.3 * x[1] * x[2]  # noqa: E731
    f = lambda x: jnp.exp(x[1] + x[2] / 2) + x[0]  # noqa: E731
    torus, product = af.FlatTorus(2), af.Product(CIRCLE, CIRCLE)
    at = torus.sample_uniform(20, np.random.default_rng(0))
    one, other = (af.DriftDiffusion(PLAIN, af.LogDensity(manifold, weight), rtol=1e-6) for manifold in (torus, product))
    for answer in (lambda limit: limit.evolve(f, times=[0.1, 0.6], at=at), lambda limit: limit.spectrum(6)):
        expected, found = answer(one), answer(other)
        if hasattr(expected, "values"):
            assert found.method.startswith("Product")
        values = (lambda each: each.values) if hasattr(expected, "values") else (lambda each: each.eigenvalues)
        allowed = expected.solver_error + found.solver_error
        np.testing.assert_allclose(values(found), values(expected), rtol=0, atol=allowed)
        assert allowed < 3e-5


def test_on_a_cylinder_the_ends_reflect_and_the_rest_goes_round():
    cylinder = af.Product(CIRCLE, UNIT)
    at = cylinder.sample_uniform(20, np.random.default_rng(1))
    at[:2, 2] = [0.0, 1.0]
    p = af.LogDensity(cylinder, lambda x: 0.5 * x[0] + 0.8 * x[2])
    f = lambda x: (1 + x[1]) * (x[2] ** 2 + 0.5 * x[2])  # noqa: E731  # with a slope at the ends
    flow = af.DriftDiffusion(PLAIN, p, rtol=1e-7).evolve(f, times=0.2, at=at)
    expected = evolved(CIRCLE, lambda x: 0.5 * x[0], lambda x: 1 + x[1], at=at[:, :2], time=0.2)
    expected = expected * evolved(UNIT, lambda x: 0.8 * x[0], lambda x: x[0] ** 2 + 0.5 * x[0], at=at[:, 2:], time=0.2)
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error < 1e-6
    rule = cylinder.quadrature(40)
    mass = af.DriftDiffusion(PLAIN, p, rtol=1e-7).adjoint_evolve(lambda x: 1 + x[0] * x[2], times=[0.1, 3.0], at=rule)
    np.testing.assert_allclose(mass.values @ rule.weights, 2 * np.pi, rtol=1e-12)


@pytest.mark.parametrize(
    ("first", "time", "rtol"), [(CIRCLE, 0.3, 1e-4), (af.FlatTorus(2), 0.6, 2e-3)], ids=["3 dimensions", "4 dimensions"]
)
def test_a_circle_or_a_torus_times_the_sphere(first, time, rtol):
    product = af.Product(first, SPHERE)
    at = product.sample_uniform(20, np.random.default_rng(2))
    p = af.LogDensity(product, lambda x: 0.4 * x[0] + 0.5 * x[-1])
    flow = af.DriftDiffusion(PLAIN, p, rtol=rtol).evolve(lambda x: x[1] * x[-1] + x[-3], times=time, at=at)
    left, right = product.split(at)
    tilted = evolved(SPHERE, lambda x: 0.5 * x[2], lambda x: jnp.stack([x[2], x[0]]), at=right, time=time)
    expected = evolved(first, lambda x: 0.4 * x[0], lambda x: x[1], at=left, time=time) * tilted[:, 0] + tilted[:, 1]
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error < 5 * rtol


def test_the_population_and_samples_live_on_a_product_too():
    product = af.Product(CIRCLE, UNIT)
    p = af.Uniform(product)
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.2)
    at = np.array([[0.6, 0.8, 0.0], [1.0, 0.0, 0.4]])
    value = af.PopulationAttention(attention, p).layer(lambda x: x[0] * x[2], at=at)
    parts = [
        af.PopulationAttention(attention, af.Uniform(part)).layer(lambda x: x[0], at=own)
        for part, own in ((CIRCLE, at[:, :2]), (UNIT, at[:, 2:]))
    ]
    np.testing.assert_allclose(value, parts[0] * parts[1], rtol=0, atol=1e-11)
