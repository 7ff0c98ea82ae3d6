"""The drift-diffusion on S^3 and T^3, against closed forms and one-dimensional problems."""

import jax.numpy as jnp
import numpy as np
import pytest
from witnesses import zonal_semigroup

import attnflow as af
from attnflow.equations.discretizations.hyperspherical import HypersphericalBasis
from attnflow.equations.expansions.laplace import LaplaceExpansion

PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)
THREE = af.Sphere(3)
POINTS = THREE.sample_uniform(30, np.random.default_rng(4))


def test_the_eigenvalues_of_the_uniform_three_sphere():
    spectrum = af.DriftDiffusion(PLAIN, af.Uniform(THREE), rtol=1e-9).spectrum(14)
    np.testing.assert_allclose(spectrum.eigenvalues, [0] + 4 * [1.5] + 9 * [4.0], rtol=0, atol=1e-11)


@pytest.mark.parametrize("order", [0, 1])
def test_a_von_mises_fisher_density_on_the_three_sphere_is_a_problem_of_heights(order):
    # p ~ exp(b.x): with the pole along b the flow of g(h), and of a coordinate across times g(h), is one-dimensional.
    b = np.array([0.5, -0.3, 0.6, 0.4])
    pole = b / np.linalg.norm(b)
    across = np.cross(np.eye(3)[0], pole[:3])
    across = np.append(across / np.linalg.norm(across), 0.0)  # at right angles to the pole
    p = af.VonMisesFisher(THREE, mean_direction=b, concentration=np.linalg.norm(b))
    f = lambda x: (x @ across if order else 1.0) * jnp.exp(0.7 * (x @ pole))  # noqa: E731
    flow = af.DriftDiffusion(PLAIN, p, rtol=1e-8).evolve(f, times=0.3, at=POINTS)
    expected = zonal_semigroup.evolved(
        lambda h: np.exp(0.7 * h), POINTS @ pole, slope=lambda h: np.linalg.norm(b), time=0.3, dim=3, order=order,
        degree=30,
    )  # fmt: skip
    expected *= POINTS @ across if order else 1.0
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error < 3e-8


def test_an_anisotropic_cost_on_the_three_sphere_has_the_matrix_of_its_generator():
    # Not symmetric, not conformal: C and b of no simple form, and a right-invariant frame would not do.
    vector = jnp.array([0.3, -0.2, 0.1, 0.2])

    def anisotropic(x, y):
        square = jnp.sum((x - y) ** 2)
        return (1 + 0.1 * x[0]) * square + ((x - y) @ vector) ** 2 + 0.1 * square * (y[1] - x[1])

    cost = af.CustomPseudoMetric(anisotropic)
    p = af.LogDensity(THREE, lambda x: 0.5 * x[3] + 0.3 * x[0] * x[1])
    expansion = LaplaceExpansion(af.Attention(cost, 0.1), p, at_query=True)
    basis = HypersphericalBasis(THREE, 9)
    found = expansion.coefficients(basis.nodes)
    image = basis.synthesise(
        basis.operator(diffusions=found.diffusions, drifts=found.drifts)
        @ basis.analyse((basis.nodes[:, 0] * basis.nodes[:, 3] + basis.nodes[:, 1])[:, None]),
        at=POINTS,
    )
    expected = expansion.generator(lambda x: x[0] * x[3] + x[1], at=POINTS)
    # G^-1 is a rational function of x: 2e-5 of |L f| = 3 lies above degree 9.
    np.testing.assert_allclose(image[:, 0], expected, rtol=0, atol=1e-4)
    fields = basis.fields(POINTS)
    plain = af.LaplaceExpansion(PLAIN, p).generator(lambda x: x[0] * x[3] + x[1], at=POINTS)
    assert np.abs(plain - expected).max() > 0.1
    np.testing.assert_allclose(np.einsum("aqi,bqi->qab", fields, fields) - np.eye(3), 0, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("log_weight", "slope", "rtol"),
    [(lambda x: 20 * x[2], lambda h: 20 + 0 * h, 1e-10), (lambda x: 12 * x[2] ** 2, lambda h: 24 * h, 1e-8)],
    ids=["a peak", "two wells"],
)
def test_peaked_densities_on_the_sphere_are_resolved_above_degree_32(log_weight, slope, rtol):
    sphere = af.Sphere(2)
    at = sphere.sample_uniform(40, np.random.default_rng(2))
    limit = af.DriftDiffusion(PLAIN, af.LogDensity(sphere, log_weight), rtol=rtol)
    flow = limit.evolve(lambda x: x[0] + 0.5 * x[0] * x[2], times=0.25, at=at)
    reference = zonal_semigroup.evolved(
        lambda h: 1 + 0.5 * h, at[:, 2], slope=slope, time=0.25, dim=2, order=1, degree=100
    )  # fmt: skip
    assert np.abs(flow.values[0] - at[:, 0] * reference).max() <= flow.solver_error <= 2 * rtol
    assert int(flow.method.split()[-1]) > 32


def test_a_product_density_on_the_torus_of_three_angles_is_a_product_of_semigroups():
    torus, circle = af.FlatTorus(3), af.Circle()
    p = af.LogDensity(torus, lambda x: 0.4 * x[0] - 0.3 * x[3])
    f = lambda x: (1 + x[1]) * x[2] * x[4]  # noqa: E731
    at = torus.sample_uniform(20, np.random.default_rng(1))
    flow = af.DriftDiffusion(PLAIN, p, rtol=1e-6).evolve(f, times=0.4, at=at)
    expected = np.exp(-0.2) * at[:, 4]
    for part, weight, factor in (
        (at[:, :2], lambda x: 0.4 * x[0], lambda x: 1 + x[1]),
        (at[:, 2:4], lambda x: -0.3 * x[1], lambda x: x[0]),
    ):
        limit = af.DriftDiffusion(PLAIN, af.LogDensity(circle, weight), rtol=1e-11)
        expected *= limit.evolve(factor, times=0.4, at=part).values[0]
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error < 3e-6
