"""The semigroup references agree with one another, with refinement and with problems solved by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from scipy.linalg import expm

from witnesses import circle_semigroup, direct, polynomials, quadrature, sphere_semigroup, torus_semigroup, uniform
from witnesses.trigonometric import generator as torus_generator
from witnesses.trigonometric import trigonometric

THETA = np.linspace(0.1, 6.2, 37)  # no symmetry about 0 or pi
LOG_DENSITY = trigonometric(cosines={1: 0.7}, sines={2: 0.3})
F = trigonometric(sines={1: 1.0}, cosines={3: 0.5})
R0 = trigonometric(cosines={0: 1.0, 1: 0.4}, sines={2: 0.2})
TORUS_LOG_DENSITY = trigonometric(cosines={(1, 0): 0.5}, sines={(1, 1): 0.3})
SPHERE_LOG_DENSITY = polynomials.polynomial({(0, 0, 1): 0.5, (1, 1, 0): 0.3})


def sphere_points(count: int, *, m: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, m + 1))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def sphere_function(x: np.ndarray) -> np.ndarray:
    return np.exp(x[:, 2] + x[:, 0] / 2) + x[:, 0]


def test_the_circle_reference_does_not_depend_on_its_number_of_modes() -> None:
    fine = circle_semigroup.evolve(THETA, time=0.5, log_density=LOG_DENSITY, f=F, modes=38)
    reference = circle_semigroup.evolve(THETA, time=0.5, log_density=LOG_DENSITY, f=F)
    np.testing.assert_allclose(reference, fine, rtol=0, atol=1e-15)  # rounding of a sum of 65 terms of total size 2


def test_the_circle_reference_agrees_with_the_schroedinger_form() -> None:
    other = torus_semigroup.evolve(THETA[:, None], time=0.5, log_density=LOG_DENSITY, f=F, modes=22)
    reference = circle_semigroup.evolve(THETA, time=0.5, log_density=LOG_DENSITY, f=F)
    np.testing.assert_allclose(
        other, reference, rtol=0, atol=1e-12
    )  # eigh: 1e-16 times the norm 242, times the condition e^2
    dual = torus_semigroup.adjoint_evolve(THETA[:, None], time=0.5, log_density=LOG_DENSITY, r0=R0, modes=22)
    reference = circle_semigroup.adjoint_evolve(THETA, time=0.5, log_density=LOG_DENSITY, r0=R0)
    np.testing.assert_allclose(dual, reference, rtol=0, atol=2e-12)


def test_the_circle_reference_starts_at_f_with_the_slope_of_the_generator() -> None:
    f = {t: circle_semigroup.evolve(THETA, time=t, log_density=LOG_DENSITY, f=F, modes=16) for t in (0.0, 1e-4, 2e-4)}
    np.testing.assert_allclose(f[0.0], F(THETA[:, None]), rtol=0, atol=1e-15)
    slope = (4 * f[1e-4] - f[2e-4] - 3 * f[0.0]) / 2e-4
    closed = circle_semigroup.circle_generator(THETA, log_density=LOG_DENSITY, f=F)
    np.testing.assert_allclose(slope, closed, rtol=0, atol=1e-5)  # (1e-4)^2 times a third derivative of order 9^3 / 2


def test_the_circle_generator_agrees_with_finite_differences() -> None:
    def g(t: np.ndarray) -> np.ndarray:
        return 0.7 * np.cos(t) + 0.3 * np.sin(2 * t)

    def f(t: np.ndarray) -> np.ndarray:
        return np.sin(t) + 0.5 * np.cos(3 * t)

    h = 1e-3
    flux = [
        np.exp(2 * g(THETA + s * h / 2)) * (f(THETA + (s + 1) * h / 2) - f(THETA + (s - 1) * h / 2)) / h
        for s in (-1, 1)
    ]
    expected = (flux[1] - flux[0]) / h / (2 * np.exp(2 * g(THETA)))
    closed = circle_semigroup.circle_generator(THETA, log_density=LOG_DENSITY, f=F)
    np.testing.assert_allclose(closed, expected, rtol=0, atol=3e-5)  # h^2 times fourth derivatives of order 20


def test_the_circle_reference_is_dual_and_conserves_mass() -> None:
    theta = 2 * np.pi * np.arange(96) / 96
    evolved = circle_semigroup.evolve(theta, time=0.5, log_density=LOG_DENSITY, f=F)
    law = circle_semigroup.adjoint_evolve(theta, time=0.5, log_density=LOG_DENSITY, r0=R0)
    angles = theta[:, None]
    assert evolved @ R0(angles) == pytest.approx(F(angles) @ law, abs=1e-13)
    assert law.mean() == pytest.approx(R0(angles).mean(), abs=1e-15)


def test_deep_population_attention_approaches_the_circle_reference_at_first_order() -> None:
    limit = circle_semigroup.evolve(THETA, time=0.5, log_density=LOG_DENSITY, f=F)
    errors = [
        direct.circle_population(THETA, bandwidth=0.5 / n, log_density=LOG_DENSITY, f=F, layers=n, nodes=256) - limit
        for n in (20, 40, 80)
    ]
    coarse, fine = 2 * errors[1] - errors[0], 2 * errors[2] - errors[1]
    assert abs(errors[0]).max() / abs(errors[1]).max() == pytest.approx(2, rel=0.05)  # eps = .025 against .0125
    assert abs(coarse).max() / abs(fine).max() == pytest.approx(4, rel=0.2)  # and what remains is of second order


def test_the_torus_semigroup_factorises_over_a_product_density() -> None:
    second, h = trigonometric(cosines={2: 0.2}, sines={1: -0.4}), trigonometric(cosines={1: 0.6}, sines={2: 1.0})
    both = trigonometric(cosines={(1, 0): 0.7, (0, 2): 0.2}, sines={(2, 0): 0.3, (0, 1): -0.4})
    angles = np.random.default_rng(4).uniform(0, 2 * np.pi, size=(25, 2))
    joint = torus_semigroup.evolve(angles, time=0.3, log_density=both, f=lambda t: F(t[:, :1]) * h(t[:, 1:]), modes=20)
    factors = [
        circle_semigroup.evolve(angles[:, i], time=0.3, log_density=g, f=f)
        for i, (g, f) in enumerate([(LOG_DENSITY, F), (second, h)])
    ]
    np.testing.assert_allclose(joint, factors[0] * factors[1], rtol=0, atol=3e-12)  # truncation at 20 modes
    separate = [torus_semigroup.eigenvalues(8, log_density=g, modes=16) for g in (LOG_DENSITY, second)]
    sums = np.sort(np.add.outer(*separate).ravel())[:8]
    np.testing.assert_allclose(torus_semigroup.eigenvalues(8, log_density=both, modes=16), sums, rtol=0, atol=2e-12)


def test_the_torus_reference_is_converged_dual_and_has_the_uniform_spectrum() -> None:
    def f(t: np.ndarray) -> np.ndarray:
        return np.exp(np.sin(t[:, 0] + 0.5)) * np.cos(t[:, 1]) + np.sin(t[:, 1] - t[:, 0])

    def r0(t: np.ndarray) -> np.ndarray:
        return 1 + 0.5 * np.cos(t[:, 0] - 2 * t[:, 1] + 0.3)

    angles, _ = quadrature.torus_angles(27, m=2)
    evolved = torus_semigroup.evolve(angles, time=0.25, log_density=TORUS_LOG_DENSITY, f=f)
    finer = torus_semigroup.evolve(angles, time=0.25, log_density=TORUS_LOG_DENSITY, f=f, modes=16)
    np.testing.assert_allclose(evolved, finer, rtol=0, atol=1e-12)
    law = torus_semigroup.adjoint_evolve(angles, time=0.25, log_density=TORUS_LOG_DENSITY, r0=r0)
    assert evolved @ r0(angles) / len(angles) == pytest.approx(f(angles) @ law / len(angles), abs=1e-12)
    assert law.mean() == pytest.approx(1, abs=1e-12)
    late = torus_semigroup.adjoint_evolve(angles, time=100.0, log_density=TORUS_LOG_DENSITY, r0=r0)
    stationary = np.exp(2 * TORUS_LOG_DENSITY(angles))
    # the zero eigenvalue is only zero to 1e-13, times t; the gap is about .5
    np.testing.assert_allclose(late, stationary / stationary.mean(), rtol=1e-10)
    flat = trigonometric(cosines={(1, 0): 0.0})
    np.testing.assert_allclose(
        torus_semigroup.eigenvalues(9, log_density=flat), uniform.torus_eigenvalues(9, m=2), rtol=0, atol=1e-12
    )
    # int e^{.5 cos a + .3 sin(a+b)} factorises in (a, a + b)
    expected = 4 * np.pi**2 * special.iv(0, 0.5) * special.iv(0, 0.3)
    assert torus_semigroup.normalizer(TORUS_LOG_DENSITY) == pytest.approx(expected, rel=1e-14)


def test_the_torus_generator_is_the_slope_of_the_torus_semigroup() -> None:
    f = trigonometric(cosines={(1, 0): 0.5}, sines={(1, 2): 1.0})
    angles = np.random.default_rng(4).uniform(0, 2 * np.pi, size=(9, 2))
    at = {t: torus_semigroup.evolve(angles, time=t, log_density=TORUS_LOG_DENSITY, f=f) for t in (1e-4, 2e-4)}
    slope = (4 * at[1e-4] - at[2e-4] - 3 * f(angles)) / 2e-4
    np.testing.assert_allclose(torus_generator(angles, log_density=TORUS_LOG_DENSITY, f=f), slope, rtol=0, atol=1e-6)


def test_real_harmonics_are_orthonormal_and_agree_with_scipy() -> None:
    points, weights = quadrature.sphere_rule(12, 24)
    basis = sphere_semigroup.harmonics(points, degree=8)
    np.testing.assert_allclose(basis.T @ (weights[:, None] * basis), np.eye(81), rtol=0, atol=1e-13)
    x = sphere_points(7, m=2)
    polar, azimuth = np.arccos(x[:, 2]), np.arctan2(x[:, 1], x[:, 0])
    column = sphere_semigroup.harmonics(x, degree=8)[:, [9, 11]]  # after m = 0: (1, 1) in two columns, then (2, 1)
    for value, degree in zip(column.T, (1, 2), strict=True):
        reference = np.sqrt(2) * special.sph_harm_y(degree, 1, polar, azimuth).real
        np.testing.assert_allclose(abs(value), abs(reference), rtol=0, atol=1e-14)


def test_the_sphere_reference_is_converged_dual_and_conserves_mass() -> None:
    points, weights = quadrature.sphere_rule(24, 48)

    def r0(x: np.ndarray) -> np.ndarray:
        return 1 + 0.5 * x[:, 1] * x[:, 2] + 0.3 * x[:, 0]

    evolved = sphere_semigroup.evolve(points, time=0.25, log_density=SPHERE_LOG_DENSITY, f=sphere_function)
    finer = sphere_semigroup.evolve(points, time=0.25, log_density=SPHERE_LOG_DENSITY, f=sphere_function, degree=26)
    np.testing.assert_allclose(evolved, finer, rtol=0, atol=1e-12)
    law = sphere_semigroup.adjoint_evolve(points, time=0.25, log_density=SPHERE_LOG_DENSITY, r0=r0)
    assert weights @ (evolved * r0(points)) == pytest.approx(weights @ (sphere_function(points) * law), abs=1e-11)
    assert weights @ law == pytest.approx(4 * np.pi, abs=1e-11)


def test_the_sphere_reference_turns_with_its_problem() -> None:
    # x -> z -> y -> x is a rotation: poles of the harmonics change places, the answer may not
    x = sphere_points(20, m=2, seed=3)
    turned_density = polynomials.polynomial({(0, 1, 0): 0.5, (1, 0, 1): 0.3})
    turned = sphere_semigroup.evolve(
        x[:, [1, 2, 0]], time=0.25, log_density=turned_density, f=lambda y: sphere_function(y[:, [2, 0, 1]])
    )
    straight = sphere_semigroup.evolve(x, time=0.25, log_density=SPHERE_LOG_DENSITY, f=sphere_function)
    np.testing.assert_allclose(turned, straight, rtol=0, atol=1e-12)


def test_the_sphere_reference_agrees_with_a_zonal_legendre_collocation() -> None:
    z, _ = special.roots_legendre(28)
    legendre = np.polynomial.legendre.legvander(z, 27)
    first = np.stack([np.polynomial.legendre.legval(z, np.polynomial.legendre.legder(c)) for c in np.eye(28)], axis=-1)
    derivative = first @ np.linalg.inv(legendre)
    degree = np.arange(28)
    laplacian = -legendre @ np.diag(degree * (degree + 1.0)) @ np.linalg.inv(legendre)
    zonal = laplacian / 2 + np.diag((1 - z**2) * 0.5) @ derivative  # log p = .5 z, without the Schroedinger form
    expected = expm(0.25 * zonal) @ np.exp(z)
    points = np.stack([np.sqrt(1 - z**2) * np.cos(0.7), np.sqrt(1 - z**2) * np.sin(0.7), z], axis=-1)
    zonal_density = polynomials.polynomial({(0, 0, 1): 0.5})
    evolved = sphere_semigroup.evolve(points, time=0.25, log_density=zonal_density, f=lambda x: np.exp(x[:, 2]))
    np.testing.assert_allclose(
        evolved, expected, rtol=0, atol=1e-11
    )  # collocation: 1e-16 times the norm of its derivatives
    assert sphere_semigroup.normalizer(zonal_density) == pytest.approx(4 * np.pi * np.sinh(0.5) / 0.5, rel=1e-14)
    assert abs(sphere_semigroup.eigenvalues(1, log_density=zonal_density)[0]) < 1e-12


def test_the_sphere_generator_is_the_slope_of_the_sphere_semigroup() -> None:
    x = sphere_points(12, m=2, seed=5)
    f = polynomials.polynomial({(1, 0, 0): 1.0, (0, 1, 1): 0.8, (2, 0, 1): -0.5})
    at = {t: sphere_semigroup.evolve(x, time=t, log_density=SPHERE_LOG_DENSITY, f=f) for t in (1e-4, 2e-4)}
    slope = (4 * at[1e-4] - at[2e-4] - 3 * f(x)) / 2e-4
    closed = polynomials.sphere_generator(
        x, gradient=f.gradient(x), hessian=f.hessian(x), log_density_gradient=SPHERE_LOG_DENSITY.gradient(x)
    )
    np.testing.assert_allclose(closed, slope, rtol=0, atol=3e-6)  # (1e-4)^2 times 6^3, and 1e-13 / 1e-4
    halved = polynomials.sphere_generator(
        x, gradient=f.gradient(x), hessian=f.hessian(x), log_density_gradient=SPHERE_LOG_DENSITY.gradient(x), drift=0.5
    )
    assert abs(halved - slope).max() > 0.05


def test_the_sphere_laplacian_of_harmonics_is_their_eigenvalue() -> None:
    for m in (1, 2, 3):
        x = sphere_points(6, m=m, seed=m)
        pad = (0,) * (m - 1)
        f = polynomials.polynomial({(3, 0, *pad): 1.0, (1, 2, *pad): -3.0})  # Re (x_0 + i x_1)^3
        laplacian = polynomials.sphere_laplacian(x, gradient=f.gradient(x), hessian=f.hessian(x))
        np.testing.assert_allclose(laplacian, -3 * (3 + m - 1) * f(x), rtol=0, atol=1e-13)
