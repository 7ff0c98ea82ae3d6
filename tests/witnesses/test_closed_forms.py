"""The closed forms check one another and published special values; nothing here imports attnflow."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from scipy import special
from scipy.stats import multivariate_normal

from witnesses import (
    bessel,
    direct,
    gaussian,
    mathieu,
    polynomials,
    prolate,
    quadrature,
    sphere_semigroup,
    uniform,
    von_mises_fisher,
)

THETA = np.linspace(0.1, 6.2, 37)  # no symmetry about 0 or pi


def sphere_points(count: int, *, m: int, seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(size=(count, m + 1))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def three_sphere_rule(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Chebyshev of the second kind in the first coordinate (weight sin^2) times the rule of S^2."""
    polar = np.pi * np.arange(1, n + 1) / (n + 1)
    points, weights = quadrature.sphere_rule(n, 2 * n)
    nodes = [np.column_stack([np.full(len(points), np.cos(t)), np.sin(t) * points]) for t in polar]
    masses = [np.pi / (n + 1) * np.sin(t) ** 2 * weights for t in polar]
    return np.concatenate(nodes), np.concatenate(masses)


SPHERE_RULES = {1: quadrature.torus_rule(80), 2: quadrature.sphere_rule(28, 56), 3: three_sphere_rule(24)}


# --- independence


def test_witnesses_import_neither_attnflow_nor_jax() -> None:
    for path in set(Path(__file__).parent.glob("*.py")) - set(Path(__file__).parent.glob("test_*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
        allowed = {"__future__", "collections", "dataclasses", "fractions", "functools", "itertools", "math", "typing"}
        assert {name.split(".")[0] for name in names} <= allowed | {"numpy", "scipy", "mpmath"}, path.name


# --- uniform densities


def test_the_bessel_ratio_has_its_published_value() -> None:
    # Abramowitz & Stegun table 9.8: e^{-1} I_0(1) = .46575 96077, e^{-1} I_1(1) = .20791 04154, ten digits each
    assert bessel.circle_symbol(1, bandwidth=1.0) == pytest.approx(0.2079104154 / 0.4657596077, rel=1e-9)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_sphere_symbol_agrees_with_scipy_and_with_quadrature(m: int) -> None:
    for degree in range(6):
        for eps in (0.5, 0.05, 1e-3):
            scaled = special.ive(degree + (m - 1) / 2, 1 / eps) / special.ive((m - 1) / 2, 1 / eps)
            assert bessel.sphere_symbol(degree, m=m, bandwidth=eps) == pytest.approx(scaled, abs=1e-14)
    points, weights = SPHERE_RULES[m]
    x = sphere_points(5, m=m)
    # (x_0 + i x_1)^2 is harmonic of degree two; the kernel at eps = .2 has degree 25 to rounding
    values = points[:, 0] ** 2 - points[:, 1] ** 2
    layer = direct.layer(direct.distance_logits(x, points, bandwidth=0.2), values, weights=weights)
    expected = bessel.sphere_symbol(2, m=m, bandwidth=0.2) * (x[:, 0] ** 2 - x[:, 1] ** 2)
    np.testing.assert_allclose(layer, expected, rtol=0, atol=1e-13)


def test_degree_one_on_the_two_sphere_is_the_langevin_function() -> None:
    for eps in (0.3, 0.01):
        expected = 1 / np.tanh(1 / eps) - eps
        assert bessel.sphere_symbol(1, m=2, bandwidth=eps) == pytest.approx(expected, rel=1e-15)


def test_the_torus_symbol_is_the_symbol_of_a_quadrature() -> None:
    points, weights = quadrature.torus_rule(48, m=2)
    nodes, _ = quadrature.torus_angles(48, m=2)
    angles = np.array([[0.3, 1.9], [4.0, 5.5]])
    logits = direct.distance_logits(quadrature.embed_torus(angles), points, bandwidth=0.2)
    layer = direct.layer(logits, np.cos(nodes @ [2, -1]), weights=weights)
    np.testing.assert_allclose(
        layer, bessel.torus_symbol((2, -1), bandwidth=0.2) * np.cos(angles @ [2, -1]), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(("degree", "m"), [(1, 1), (3, 1), (2, 2), (3, 3)])
def test_the_symbol_tends_to_half_the_laplacian_at_first_order(degree: int, m: int) -> None:
    limit = -degree * (degree + m - 1) / 2
    gaps = [bessel.sphere_generator_symbol(degree, m=m, bandwidth=eps) - limit for eps in (1e-4, 5e-5)]
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=1e-2)  # the second order is of relative size 1e-4 (degree^2)
    coarse = (bessel.sphere_symbol(degree, m=m, bandwidth=0.1) - 1) / 0.1
    assert bessel.sphere_generator_symbol(degree, m=m, bandwidth=0.1) == pytest.approx(coarse, rel=1e-13)


def test_the_torus_generator_symbol_is_the_difference_quotient() -> None:
    expected = (bessel.torus_symbol((1, 2), bandwidth=0.1) - 1) / 0.1
    assert bessel.torus_generator_symbol((1, 2), bandwidth=0.1) == pytest.approx(expected, rel=1e-13)
    assert bessel.torus_generator_symbol((1, 2), bandwidth=1e-6) == pytest.approx(-2.5, rel=1e-5)


def test_uniform_eigenvalues_carry_their_multiplicities() -> None:
    np.testing.assert_array_equal(uniform.torus_eigenvalues(6, m=1), [0, 0.5, 0.5, 2, 2, 4.5])
    np.testing.assert_array_equal(uniform.torus_eigenvalues(10, m=2), [0, *[0.5] * 4, *[1] * 4, 2])
    np.testing.assert_array_equal(uniform.torus_eigenvalues(7, m=3), [0, *[0.5] * 6])
    np.testing.assert_array_equal(uniform.sphere_eigenvalues(9, m=1), uniform.torus_eigenvalues(9, m=1))
    np.testing.assert_array_equal(uniform.sphere_eigenvalues(9, m=2), [0, *[1] * 3, *[3] * 5])
    assert [uniform.sphere_multiplicity(degree, m=3) for degree in range(5)] == [1, 4, 9, 16, 25]


# --- von Mises-Fisher


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_von_mises_fisher_layer_agrees_with_quadrature(m: int) -> None:
    rng = np.random.default_rng(m)
    a, b = rng.normal(size=(2, m + 1))
    points, weights = SPHERE_RULES[m]
    x = sphere_points(6, m=m, seed=1)
    masses = weights * np.exp(points @ b)
    layer = direct.layer(direct.distance_logits(x, points, bandwidth=0.4), points @ a, weights=masses)
    np.testing.assert_allclose(von_mises_fisher.layer(x, a=a, b=b, bandwidth=0.4), layer, rtol=0, atol=1e-13)
    assert von_mises_fisher.log_normalizer(b) == pytest.approx(np.log(masses.sum()), abs=1e-13)
    assert weights @ von_mises_fisher.density(points, b=b) == pytest.approx(1, abs=1e-13)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_von_mises_fisher_generator_is_the_limit_of_its_layer(m: int) -> None:
    a, b = np.random.default_rng(m + 5).normal(size=(2, m + 1))
    x = sphere_points(6, m=m, seed=2)
    limit = von_mises_fisher.generator(x, a=a, b=b)
    coarse, fine = (von_mises_fisher.population_generator(x, a=a, b=b, bandwidth=eps) for eps in (1e-5, 5e-6))
    np.testing.assert_allclose(2 * fine - coarse, limit, rtol=0, atol=1e-7)  # the second order is about 10 eps^2
    assert abs(coarse - limit).max() > 1e-6  # and the first order is there
    ambient = polynomials.sphere_generator(
        x, gradient=np.tile(a, (6, 1)), hessian=np.zeros((6, m + 1, m + 1)), log_density_gradient=np.tile(b, (6, 1))
    )
    np.testing.assert_allclose(ambient, limit, rtol=0, atol=1e-14)


def test_the_normalizer_without_concentration_is_the_volume() -> None:
    for m, volume in ((1, 2 * np.pi), (2, 4 * np.pi), (3, 2 * np.pi**2)):
        assert von_mises_fisher.log_normalizer(np.zeros(m + 1)) == pytest.approx(np.log(volume), rel=1e-15)
    kappa = 2.3
    expected = np.log(4 * np.pi * np.sinh(kappa) / kappa)
    assert von_mises_fisher.log_normalizer(np.array([0, 0, kappa])) == pytest.approx(expected, rel=1e-15)


# --- Gaussian data

MEAN = np.array([0.4, -0.7])
COVARIANCE = np.array([[1.3, 0.5], [0.5, 0.8]])


def test_the_posterior_solves_its_normal_equations() -> None:
    x = np.random.default_rng(0).normal(size=(5, 2))
    means, covariance = gaussian.posterior(x, mean=MEAN, covariance=COVARIANCE, bandwidth=0.3)
    precision = np.linalg.inv(COVARIANCE)
    direct_covariance = np.linalg.inv(precision + np.eye(2) / 0.3)
    np.testing.assert_allclose(covariance, direct_covariance, rtol=0, atol=1e-14)
    np.testing.assert_allclose(means, (precision @ MEAN + x / 0.3) @ direct_covariance, rtol=0, atol=1e-14)


def test_gaussian_layers_compose() -> None:
    x = np.array([[0.9, 1.4]])
    one = gaussian.posterior(x, mean=MEAN, covariance=COVARIANCE, bandwidth=0.3)
    factor = one[1] / 0.3
    mean, covariance = x, np.zeros((2, 2))
    for _ in range(7):
        mean, covariance = MEAN + (mean - MEAN) @ factor, factor @ covariance @ factor + one[1]
    seven = gaussian.posterior(x, mean=MEAN, covariance=COVARIANCE, bandwidth=0.3, layers=7)
    np.testing.assert_allclose(seven[0], mean, rtol=0, atol=1e-14)
    np.testing.assert_allclose(seven[1], covariance, rtol=0, atol=1e-14)


def test_gaussian_expectations_agree_with_gauss_hermite_quadrature() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    x = np.array([[0.9], [-1.7]])
    law = gaussian.posterior(x, mean=0.4, covariance=1.3, bandwidth=0.3)
    samples = law[0] + np.sqrt(law[1]) * nodes
    weights = weights / weights.sum()
    coefficients = np.array([0.3, -1.0, 0.7, 0.2, -0.1, 0.05])
    polynomial = np.polynomial.polynomial.polyval(samples, coefficients) @ weights
    np.testing.assert_allclose(gaussian.expect_polynomial(law, coefficients), polynomial, rtol=1e-13)
    np.testing.assert_allclose(gaussian.expect_polynomial(law, np.array([2.5])), [2.5, 2.5])
    np.testing.assert_allclose(
        gaussian.expect_sine(law, wave=1.3, phase=0.4), np.sin(1.3 * samples + 0.4) @ weights, rtol=0, atol=1e-14
    )
    np.testing.assert_allclose(gaussian.expect_exponential(law, wave=0.6), np.exp(0.6 * samples) @ weights, rtol=1e-13)
    quadratic = gaussian.expect_quadratic(law, matrix=np.array([[0.7]]), vector=np.array([-1.0]), constant=0.3)
    np.testing.assert_allclose(
        quadratic, gaussian.expect_polynomial(law, np.array([0.3, -1.0, 0.7])), rtol=0, atol=1e-14
    )


def test_expectations_in_two_dimensions_agree_with_a_product_rule() -> None:
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    masses = np.outer(weights, weights).ravel() / weights.sum() ** 2
    law = gaussian.ornstein_uhlenbeck(np.array([[0.9, 1.4]]), mean=MEAN, covariance=COVARIANCE, time=0.6)
    samples = law[0][0] + grid @ np.linalg.cholesky(law[1]).T
    wave, matrix, vector = np.array([0.8, -0.5]), np.array([[0.3, 0.9], [-0.2, 1.1]]), np.array([0.6, -0.4])
    assert gaussian.expect_sine(law, wave=wave, phase=0.2)[0] == pytest.approx(
        masses @ np.sin(samples @ wave + 0.2), abs=1e-13
    )
    assert gaussian.expect_exponential(law, wave=wave)[0] == pytest.approx(masses @ np.exp(samples @ wave), rel=1e-13)
    expected = masses @ (np.einsum("qi,ij,qj->q", samples, matrix, samples) + samples @ vector)
    assert gaussian.expect_quadratic(law, matrix=matrix, vector=vector)[0] == pytest.approx(expected, rel=1e-13)
    reference = multivariate_normal(law[0][0], law[1]).pdf(samples)
    np.testing.assert_allclose(gaussian.density(samples, law), reference, rtol=1e-12)  # exponents reach 100


def test_the_ornstein_uhlenbeck_law_is_the_limit_of_many_layers() -> None:
    x = np.array([[0.9, 1.4], [-2.0, 0.1]])
    wave = np.array([1.1, -0.6])
    limit = gaussian.expect_sine(gaussian.ornstein_uhlenbeck(x, mean=MEAN, covariance=COVARIANCE, time=0.5), wave=wave)
    errors = [
        gaussian.expect_sine(
            gaussian.posterior(x, mean=MEAN, covariance=COVARIANCE, bandwidth=0.5 / n, layers=n), wave=wave
        )
        - limit
        for n in (2000, 4000)
    ]
    np.testing.assert_allclose(errors[0] / errors[1], 2, rtol=5e-3)  # first order; the next term is 1/n of it


def test_the_gaussian_generator_is_the_time_derivative() -> None:
    x = np.array([[0.9, 1.4], [-2.0, 0.1]])
    wave = np.array([1.1, -0.6])
    law = {t: gaussian.ornstein_uhlenbeck(x, mean=MEAN, covariance=COVARIANCE, time=t) for t in (0.0, 1e-4, 2e-4)}
    f = {t: gaussian.expect_sine(law[t], wave=wave, phase=0.3) for t in law}
    slope = (4 * f[1e-4] - f[2e-4] - 3 * f[0.0]) / 2e-4
    closed = gaussian.generator_sine(x, mean=MEAN, covariance=COVARIANCE, wave=wave, phase=0.3)
    np.testing.assert_allclose(slope, closed, rtol=0, atol=1e-6)  # second order in 1e-4, third derivatives of order 30


def test_hermite_polynomials_are_eigenfunctions_of_the_layer_and_of_the_semigroup() -> None:
    s, eps, t = 1.3, 0.3, 0.4
    x = np.array([[-1.1], [0.2], [1.9]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    weights = weights / weights.sum()
    cases = [
        (
            gaussian.posterior(x, mean=0.0, covariance=s, bandwidth=eps),
            gaussian.layer_eigenvalues(6, variance=s, bandwidth=eps),
            gaussian.layer_eigenfunction_variance(variance=s, bandwidth=eps),
        ),
        (
            gaussian.ornstein_uhlenbeck(x, mean=0.0, covariance=s, time=t),
            np.exp(-t * gaussian.generator_eigenvalues(6, variance=s)),
            s / 2,
        ),
    ]
    for (means, covariance), eigenvalues, variance in cases:
        samples = means + np.sqrt(covariance) * nodes
        for n in range(6):
            image = gaussian.hermite(n, samples, variance=variance) @ weights
            expected = eigenvalues[n] * gaussian.hermite(n, x[:, 0], variance=variance)
            np.testing.assert_allclose(image, expected, rtol=0, atol=1e-13)
    quotient = (1 - cases[0][1]) / eps
    np.testing.assert_allclose(
        gaussian.population_generator_eigenvalues(6, variance=s, bandwidth=eps), quotient, rtol=0, atol=1e-14
    )


def test_mehlers_formula_sums_to_the_transition_density() -> None:
    s, t, x, y = 1.3, 0.9, 0.6, np.array([-0.8, 0.1, 1.2])
    series = sum(
        np.exp(-n * t / s) * gaussian.hermite(n, x, variance=s / 2) * gaussian.hermite(n, y, variance=s / 2)
        for n in range(90)  # e^{-90 t/s} = 1e-27
    )
    law = gaussian.ornstein_uhlenbeck(np.array([[x]]), mean=0.0, covariance=s, time=t)
    stationary = gaussian.density(y[:, None], (np.zeros((1, 1)), np.array([[s / 2]])))
    np.testing.assert_allclose(series * stationary, gaussian.density(y[:, None], law), rtol=1e-13)


def test_the_gaussian_adjoint_is_dual_to_the_semigroup() -> None:
    initial = (np.array([[0.5, 0.2]]), np.array([[0.4, -0.1], [-0.1, 0.3]]))
    law = gaussian.adjoint_law(initial, mean=MEAN, covariance=COVARIANCE, time=0.7)
    wave = np.array([0.8, -0.5])
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    grid = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    masses = np.outer(weights, weights).ravel() / weights.sum() ** 2
    starts = initial[0][0] + grid @ np.linalg.cholesky(initial[1]).T
    later = gaussian.ornstein_uhlenbeck(starts, mean=MEAN, covariance=COVARIANCE, time=0.7)
    dual = masses @ gaussian.expect_sine(later, wave=wave, phase=0.4)
    assert gaussian.expect_sine(law, wave=wave, phase=0.4)[0] == pytest.approx(dual, abs=1e-13)
    final = gaussian.adjoint_law(initial, mean=MEAN, covariance=COVARIANCE, time=80.0)
    np.testing.assert_allclose(
        final[1], COVARIANCE / 2, rtol=0, atol=1e-13
    )  # the stationary law has density p^2 / int p^2


# --- Mathieu and prolate densities


def test_mathieu_characteristic_values_are_the_published_ones() -> None:
    # Abramowitz & Stegun table 20.1, q = 5, eight decimals
    published = {0: -5.80004602, 1: 1.85818754, 2: 7.44910974, 10: 100.12636922}
    for n, value in published.items():
        assert mathieu.characteristic_a(n, q=5.0) == pytest.approx(value, abs=6e-9)
    assert mathieu.characteristic_b(1, q=5.0) == pytest.approx(-5.79008060, abs=6e-9)
    assert mathieu.characteristic_b(2, q=5.0) == pytest.approx(2.09946045, abs=6e-9)


@pytest.mark.parametrize("q", [0.7, 5.0])
def test_mathieu_functions_agree_with_scipy(q: float) -> None:
    # scipy's values and functions carry about 1e-14 of rounding here
    degrees = np.degrees(THETA)
    for n in range(7):
        assert mathieu.characteristic_a(n, q=q) == pytest.approx(special.mathieu_a(n, q), abs=1e-13)
        np.testing.assert_allclose(mathieu.ce(n, THETA, q=q), special.mathieu_cem(n, q, degrees)[0], rtol=0, atol=5e-14)
    for n in range(1, 7):
        assert mathieu.characteristic_b(n, q=q) == pytest.approx(special.mathieu_b(n, q), abs=1e-13)
        np.testing.assert_allclose(mathieu.se(n, THETA, q=q), special.mathieu_sem(n, q, degrees)[0], rtol=0, atol=5e-14)


def test_mathieu_ratios_are_eigenfunctions_of_the_generator() -> None:
    q, size = 3.0, 160
    theta = 2 * np.pi * np.arange(size) / size
    waves = np.fft.fftfreq(size, 1 / size)

    def derivative(values: np.ndarray) -> np.ndarray:
        return np.fft.ifft(1j * waves * np.fft.fft(values)).real

    p = mathieu.density(theta, q=q)
    assert p.min() > 0
    assert p.sum() * 2 * np.pi / size == pytest.approx(1, abs=1e-14)
    zero = mathieu.characteristic_a(0, q=q)
    for f, value in (
        (mathieu.eigenfunction(1, theta, q=q), mathieu.characteristic_a(1, q=q)),
        (mathieu.eigenfunction(2, theta, q=q, parity="odd"), mathieu.characteristic_b(2, q=q)),
    ):
        slope = derivative(f)
        image = derivative(slope) / 2 + derivative(p) / p * slope
        # ce_0 has complex zeros .5 from the real line: e^{-.5 * 80} is rounding, amplified by 80^2 / 2
        np.testing.assert_allclose(image, -(value - zero) / 2 * f, rtol=0, atol=1e-10)
    spectrum = mathieu.eigenvalues(5, q=q)
    assert spectrum[0] == 0
    assert np.all(np.diff(spectrum) > 0)
    np.testing.assert_allclose(mathieu.eigenvalues(7, q=0.0), uniform.torus_eigenvalues(7, m=1), rtol=0, atol=1e-14)


@pytest.mark.parametrize("c", [1.0, 3.0])
def test_prolate_values_and_functions_agree_with_scipy(c: float) -> None:
    z = np.linspace(-0.93, 0.9, 9)
    for n in range(4):
        for m in range(n + 1):
            assert prolate.characteristic_value(m, n, c=c) == pytest.approx(special.pro_cv(m, n, c), rel=1e-13)
            ratio = prolate.angular(m, n, z, c=c) / special.pro_ang1(m, n, c, z)[0]
            np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)


def test_the_prolate_value_is_the_published_one_and_zero_c_is_uniform() -> None:
    # Abramowitz & Stegun table 21.1, lambda_00 at c^2 = 1 and 4, six decimals
    assert prolate.characteristic_value(0, 0, c=1.0) == pytest.approx(0.319000, abs=6e-7)
    assert prolate.characteristic_value(0, 0, c=2.0) == pytest.approx(1.127734, abs=6e-7)
    np.testing.assert_allclose(prolate.eigenvalues(9, c=0.0), uniform.sphere_eigenvalues(9, m=2), rtol=0, atol=1e-14)


def test_prolate_ratios_are_eigenfunctions_of_the_generator() -> None:
    c = 2.0
    x, weights = quadrature.sphere_rule(24, 48)
    basis = sphere_semigroup.harmonics(x, degree=20)
    degrees = np.array([k for m in range(21) for k in range(m, 21) for _ in range(2 if m else 1)])
    p = prolate.density(x[:, 2], c=c)
    assert weights @ p == pytest.approx(1, abs=1e-14)
    zero = prolate.characteristic_value(0, 0, c=c)
    for m, n in ((0, 2), (1, 2), (-2, 3)):
        u = p * prolate.eigenfunction(m, n, x, c=c)
        laplacian = -basis @ (degrees * (degrees + 1) * (basis.T @ (weights * u)))
        density_laplacian = -basis @ (degrees * (degrees + 1) * (basis.T @ (weights * p)))
        value = (prolate.characteristic_value(abs(m), n, c=c) - zero) / 2
        # u = p f turns -L into -Lap/2 + Lap p/(2p); rounding is amplified by l (l + 1) = 420
        np.testing.assert_allclose(-laplacian / 2 + density_laplacian / (2 * p) * u, value * u, rtol=0, atol=1e-12)
    spectrum = prolate.eigenvalues(9, c=c)
    assert spectrum[0] == 0
    assert np.all(np.diff(spectrum) >= 0)
    assert (spectrum == (prolate.characteristic_value(1, 1, c=c) - zero) / 2).sum() == 2
