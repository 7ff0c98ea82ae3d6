"""Bases: orthonormal, nested, closed under their vector fields, exact for second-order operators."""

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hermite import HermiteBasis
from attnflow.equations.discretizations.hyperspherical import HypersphericalBasis
from attnflow.equations.discretizations.legendre import LegendreBasis
from attnflow.equations.discretizations.product import ProductBasis

PRODUCT = af.Product(af.Interval(0, 2), af.Sphere(2))
SPHERE, TORUS, CIRCLE, INTERVAL = af.Sphere(2), af.FlatTorus(2), af.Circle(), af.Interval(-1, 2.5)
MAKE = {
    "circle": lambda degree: FourierBasis(CIRCLE, degree),
    "torus": lambda degree: FourierBasis(TORUS, degree),
    "sphere": lambda degree: HarmonicBasis(SPHERE, degree),
    "line": lambda degree: HermiteBasis(0.3, 0.85, degree),
    "interval": lambda degree: LegendreBasis(INTERVAL, degree),
    "three-sphere": lambda degree: HypersphericalBasis(af.Sphere(3), degree),
    "product": lambda degree: ProductBasis(PRODUCT, degree),
    "plane": lambda degree: HermiteBasis([0.3, -0.2], [[0.9, 0.3], [0.3, 0.5]], degree),
}
MANIFOLDS = {
    "circle": CIRCLE,
    "torus": TORUS,
    "sphere": SPHERE,
    "line": af.EuclideanSpace(1),
    "interval": INTERVAL,
    "three-sphere": af.Sphere(3),
    "product": PRODUCT,
    "plane": af.EuclideanSpace(2),
}
every_basis = pytest.mark.parametrize("name", MAKE)
closed_basis = pytest.mark.parametrize("name", ["circle", "torus", "sphere", "three-sphere"])


def some_points(name, count=7):
    generator = np.random.default_rng(3)
    flat = {"line": 1, "plane": 2}
    return (
        generator.normal(size=(count, flat[name])) if name in flat else MANIFOLDS[name].sample_uniform(count, generator)
    )


@every_basis
@pytest.mark.parametrize("degree", [5, 8])
def test_the_functions_are_orthonormal_and_the_first_is_one(name, degree):
    basis = MAKE[name](degree)
    # A sum over at most 2000 nodes of products of size 25: a few roundings times that size.
    np.testing.assert_allclose(basis.analyse(basis.at_nodes), np.eye(basis.size), rtol=0, atol=1e-13)
    np.testing.assert_array_equal(basis.at_nodes[:, 0], 1)


@every_basis
def test_a_lower_degree_is_the_first_part_of_a_higher_one(name):
    points, low, high = some_points(name), MAKE[name](5), MAKE[name](9)
    np.testing.assert_allclose(high.evaluate(points)[:, : low.size], low.evaluate(points), rtol=0, atol=1e-14)
    for coarse, fine in zip(low.derivatives, high.derivatives, strict=True):
        np.testing.assert_allclose(fine.toarray()[: low.size, : low.size], coarse.toarray(), rtol=0, atol=1e-14)


def test_the_numbers_of_functions():
    assert [MAKE[name](4).size for name in MAKE] == [9, 49, 25, 5, 5, 55, 55, 15]  # 49 points of Z^2 within distance 4


@every_basis
def test_the_derivative_matrices_are_the_derivatives_along_the_fields(name):
    basis, points, step = MAKE[name](6), some_points(name), 1e-5
    for field, matrix in zip(basis.fields(points), basis.derivatives, strict=True):
        # The difference quotient errs by step^2/6 times a third derivative of at most 6^3 sqrt 13, plus 1e-16/step.
        quotient = (_moved(basis, name, points, step * field) - _moved(basis, name, points, -step * field)) / (2 * step)
        np.testing.assert_allclose(basis.evaluate(points) @ matrix.toarray(), quotient, rtol=0, atol=1e-6)


def _moved(basis, name, points, displacement):
    moved = points + displacement
    if name in ("line", "interval", "plane"):
        return basis.evaluate(moved)
    if name == "product":
        moved[:, 1:] /= np.linalg.norm(moved[:, 1:], axis=1, keepdims=True)
        return basis.evaluate(moved)
    circles = moved.reshape(len(moved), -1, 2 if name == "torus" else moved.shape[1])
    return basis.evaluate((circles / np.linalg.norm(circles, axis=2, keepdims=True)).reshape(moved.shape))


@closed_basis
def test_the_fields_are_a_tight_frame_without_divergence(name):
    basis, points = MAKE[name](4), some_points(name)
    fields = basis.fields(points)
    frames = np.asarray(jax.vmap(MANIFOLDS[name].tangent_frame)(points))
    projections = frames @ np.swapaxes(frames, 1, 2)
    np.testing.assert_allclose(np.einsum("aqi,aqj->qij", fields, fields), projections, rtol=0, atol=1e-14)
    for matrix in basis.derivatives:
        np.testing.assert_allclose(matrix.toarray(), -matrix.toarray().T, rtol=0, atol=1e-14)


def test_the_squares_of_the_rotations_sum_to_the_laplacian():
    basis = MAKE["sphere"](9)
    laplacian = sum((matrix @ matrix).toarray() for matrix in basis.derivatives)
    degree = np.floor(np.sqrt(np.arange(basis.size)))
    np.testing.assert_allclose(laplacian, np.diag(-degree * (degree + 1)), rtol=0, atol=1e-12)


def test_the_harmonics_are_the_polynomials_of_degree_one_and_two():
    x, y, z = some_points("sphere").T
    columns = MAKE["sphere"](2).evaluate(np.column_stack([x, y, z]))
    np.testing.assert_allclose(columns[:, 1:4], np.sqrt(3) * np.column_stack([y, z, x]), rtol=0, atol=1e-14)
    np.testing.assert_allclose(columns[:, 4], np.sqrt(15) * x * y, rtol=0, atol=1e-14)


def test_an_anisotropic_operator_on_the_sphere_is_exact_on_polynomials():
    # With C = P A P and b = P v everything is polynomial: Hess f on the sphere is P (Hess F) P - (x.grad F) P.
    basis, points = MAKE["sphere"](8), some_points("sphere", 40)
    tensor = np.array([[2.0, 0.3, -0.5], [0.3, 1.0, 0.2], [-0.5, 0.2, 0.7]])
    vector, form = np.array([0.4, -1.0, 0.6]), np.array([[1.0, 2.0, 0.0], [2.0, -0.5, 0.3], [0.0, 0.3, 0.9]])

    def coefficients(x):
        projection = np.eye(3) - x[:, :, None] * x[:, None, :]
        return projection @ tensor @ projection, projection @ vector

    diffusions, drifts = coefficients(basis.nodes)
    matrix = basis.operator(diffusions=diffusions, drifts=drifts)
    f = np.einsum("qi,ij,qj->q", basis.nodes, form, basis.nodes)[:, None]
    image = basis.synthesise(matrix @ basis.analyse(f), at=points)
    diffusions, drifts = coefficients(points)
    gradient = 2 * points @ form
    radial = np.sum(points * gradient, axis=1) * np.trace(diffusions, axis1=1, axis2=2)
    second = np.einsum("qij,ij->q", diffusions, 2 * form) - radial
    np.testing.assert_allclose(image[:, 0], 0.5 * second + np.sum(drifts * gradient, axis=1), rtol=0, atol=1e-11)
    np.testing.assert_array_equal(matrix[:, 0], 0)


def test_an_anisotropic_operator_on_the_torus_is_exact_on_waves():
    # C has a mixed entry, so cos(t1 + 2 t2) needs both angles at once.
    basis = MAKE["torus"](6)
    fields = basis.fields(basis.nodes)
    diffusions = np.einsum("aqi,ab,bqj->qij", fields, [[2, 0.5], [0.5, 1]], fields)
    matrix = basis.operator(diffusions=diffusions, drifts=3 * fields[1])
    angles = TORUS.angles(basis.nodes) @ np.array([1, 2])
    image = basis.at_nodes @ matrix @ basis.analyse(np.cos(angles)[:, None])
    np.testing.assert_allclose(
        image[:, 0], -4 * np.cos(angles) - 6 * np.sin(angles), rtol=0, atol=1e-12
    )  # (2 + 2 + 4)/2 = 4


def test_the_line_integrates_densities_wider_than_its_own():
    # r = N(.5, 2.4) is far from L2 of the reference density N(.3, .85); its moments are finite all the same.
    basis = MAKE["line"](4)
    x = basis.nodes[:, 0]
    r = np.exp(-((x - 0.5) ** 2) / 4.8) / np.sqrt(2 * np.pi * 2.4)
    z_mean, z_square = 0.2 / np.sqrt(0.85), (2.4 + 0.04) / 0.85
    expected = [1, z_mean, (z_square - 1) / np.sqrt(2)]
    # The nodes end 9 reference deviations out, 5.4 deviations of r: 2e-6 of its mass times x^2 is lost beyond them.
    np.testing.assert_allclose(basis.analyse_density(r[:, None])[:3, 0], expected, rtol=0, atol=1e-5)


def test_ends_reflect_by_the_weak_form():
    # A_ij = -int phi_i' (C/2) phi_j' + int phi_i (b - C'/2) phi_j', by a Gauss rule of its own and Legendre series.
    basis, degree = MAKE["interval"](9), 9
    c, slope = (lambda x: 1 + 0.3 * x**2), (lambda x: 0.6 * x)
    b = lambda x: 0.7 - 0.2 * x  # noqa: E731
    matrix = basis.operator(diffusions=c(basis.nodes)[:, :, None], drifts=b(basis.nodes))
    s, weights = np.polynomial.legendre.leggauss(30)
    x = 0.75 + 1.75 * s
    series = np.diag(np.sqrt(2 * np.arange(degree + 1) + 1))
    values = np.polynomial.legendre.legval(s, series)
    slopes = np.polynomial.legendre.legval(s, np.polynomial.legendre.legder(series)) / 1.75
    weak = -(slopes * weights * c(x) / 4) @ slopes.T + (values * weights / 2 * (b(x) - slope(x) / 2)) @ slopes.T
    np.testing.assert_allclose(matrix, weak, rtol=0, atol=1e-12 * np.abs(weak).max())  # sums of terms of 9^4
    np.testing.assert_array_equal(matrix[:, 0], 0)


def test_many_points_are_synthesised_in_blocks():
    basis = MAKE["circle"](3)
    points = CIRCLE.sample_uniform(9000, np.random.default_rng(0))
    coefficients = np.random.default_rng(1).normal(size=(2, basis.size, 3))
    result = basis.synthesise(coefficients, at=points)
    assert result.shape == (2, 9000, 3)
    np.testing.assert_allclose(result[:, 8999], basis.evaluate(points[-1:])[0] @ coefficients, rtol=0, atol=1e-14)
