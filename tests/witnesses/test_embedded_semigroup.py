"""The references on embedded manifolds against closed forms, and against one another."""

import numpy as np
import pytest

from . import circle_semigroup, embedded_semigroup
from .sphere_semigroup import harmonics
from .trigonometric import trigonometric


def nothing(x: np.ndarray) -> np.ndarray:
    return np.zeros(len(x))


def test_a_circle_of_radius_two_has_the_circle_reference_with_time_over_four() -> None:
    series = trigonometric(cosines={1: 0.7}, sines={2: 0.3})

    def log_density(x: np.ndarray) -> np.ndarray:
        return series(np.arctan2(x[:, 1], x[:, 0])[:, None])

    found = embedded_semigroup.on_angles(
        lambda t: 2 * np.concatenate([np.cos(t), np.sin(t)], axis=1), log_density, dim=1, nodes=81
    )
    theta = 2 * np.pi * np.arange(81) / 81
    f = trigonometric(cosines={3: 1.0}, sines={1: 1.0})
    exact = circle_semigroup.evolve(theta, time=0.25, log_density=series, f=f)
    evolved = found.propagate(f(theta[:, None]), 1.0)
    np.testing.assert_allclose(evolved, exact, rtol=0, atol=1e-12)  # rounding of an exponential
    assert found.weights.sum() == pytest.approx(4 * np.pi, rel=1e-14)


def test_a_flat_torus_of_two_radii_has_its_waves() -> None:
    def phi(t: np.ndarray) -> np.ndarray:
        return np.stack([np.cos(t[:, 0]), np.sin(t[:, 0]), 0.5 * np.cos(t[:, 1]), 0.5 * np.sin(t[:, 1])], axis=1)

    found = embedded_semigroup.on_angles(phi, nothing, dim=2, nodes=9)
    wave = found.points[:, 0] * found.points[:, 3]  # rate (1 + 4) / 2
    np.testing.assert_allclose(found.propagate(wave, 0.4), np.exp(-1.0) * wave, rtol=0, atol=1e-13)


def test_the_sphere_of_radius_two_has_its_harmonics() -> None:
    found = embedded_semigroup.on_sphere(
        lambda u: 2 * u, lambda u: np.tile(2 * np.eye(3), (len(u), 1, 1)), nothing, degree=5
    )
    waves = harmonics(found.points / 2, degree=5)
    left = np.stack([found.propagate(wave, 1.0) for wave in waves.T], axis=1)
    degrees = [n for m in range(6) for n in range(m, 6) for _ in range(2 if m else 1)]
    rates = np.array([n * (n + 1) / 8 for n in degrees])
    np.testing.assert_allclose(left, np.exp(-rates) * waves, rtol=0, atol=1e-12)
    assert found.weights.sum() == pytest.approx(16 * np.pi, rel=1e-14)


def test_on_an_ellipsoid_of_revolution_the_height_changes_as_its_ordinary_differential_operator_says() -> None:
    a, b = 1.0, 0.7
    found = embedded_semigroup.on_sphere(
        lambda u: u * [a, a, b], lambda u: np.tile(np.diag([a, a, b]), (len(u), 1, 1)), nothing, degree=20
    )
    c = found.points[:, 2] / b
    # L f = (1/2w) d_c (w g^cc d_c f), g_cc = (a^2 c^2 + b^2 (1 - c^2)) / (1 - c^2) and w = a sqrt(g_cc (1 - c^2)).
    square = a**2 * c**2 + b**2 * (1 - c**2)
    slope = (a**2 - b**2) * c
    generator = (2 - 6 * c**2) / (2 * square) - (1 - c**2) * 2 * c * slope / (2 * square**2)  # of f = c^2
    h = 1e-3
    difference = (-1.5 * c**2 + 2 * found.propagate(c**2, h) - 0.5 * found.propagate(c**2, 2 * h)) / h
    np.testing.assert_allclose(difference, generator, rtol=0, atol=5e-4)  # h^2 / 3 times L^3 f, which is about 100


def test_the_reference_is_dual_and_conserves_mass() -> None:
    def log_density(x: np.ndarray) -> np.ndarray:
        return 0.5 * x[:, 0] - 0.3 * x[:, 1] * x[:, 2]

    found = embedded_semigroup.on_sphere(
        lambda u: u * [1, 1.3, 0.7], lambda u: np.tile(np.diag([1, 1.3, 0.7]), (len(u), 1, 1)), log_density, degree=12
    )
    f = found.evolve(lambda x: x[:, 1] + x[:, 0] * x[:, 2], time=0.3)
    r = found.adjoint_evolve(lambda x: 1 + x[:, 2] ** 2, time=0.3)
    start, law = found.points[:, 1] + found.points[:, 0] * found.points[:, 2], 1 + found.points[:, 2] ** 2
    assert found.weights @ (f * law) == pytest.approx(found.weights @ (start * r), rel=1e-12)
    assert found.weights @ r == pytest.approx(found.weights @ law, rel=1e-12)
