"""Finite elements: polynomials are reproduced, matrices integrate exactly, levels are nested."""

import numpy as np
import pytest
from surfaces import lopsided, rectangle

from attnflow.equations.discretizations.elements import Elements, shapes, slopes
from attnflow.equations.discretizations.patches import patches_of
from attnflow.equations.expansions.reversible import ReversibleCoefficients

ROUND_OFF = 1e-12
both_degrees = pytest.mark.parametrize("degree", [1, 2])
WEIGHTS = np.random.default_rng(0).dirichlet(np.ones(3), 40)


def values_at(elements, level, polynomial, surface):
    """Coefficients of a function: its values where each function of the elements is one."""
    coefficients = np.empty((elements.size, 1))
    corners = patches_of(surface).cut(level)[2]
    middles = (np.roll(corners, 1, axis=1) + np.roll(corners, -1, axis=1)) / 2
    places = np.concatenate([corners, middles], axis=1)[:, : elements.members.shape[1]]
    coefficients[elements.members, 0] = polynomial(places)
    return coefficients


def curved(x):
    return 0.3 + x[..., 0] - 2 * x[..., 1]


def more_curved(x):
    return curved(x) + x[..., 0] * x[..., 1] - 0.7 * x[..., 2] ** 2


@both_degrees
def test_slopes_are_the_derivatives_of_the_shapes(degree):
    step = 1e-6
    for axis in range(3):
        shift = step * np.eye(3)[axis]
        numerical = (shapes(degree, WEIGHTS + shift) - shapes(degree, WEIGHTS - shift)) / (2 * step)
        np.testing.assert_allclose(slopes(degree, WEIGHTS)[:, :, axis], numerical, rtol=0, atol=1e-9)
    np.testing.assert_allclose(shapes(degree, WEIGHTS).sum(axis=1), 1, rtol=0, atol=ROUND_OFF)


@both_degrees
@pytest.mark.parametrize("level", [0, 2])
def test_polynomials_of_the_degree_are_reproduced_everywhere(degree, level):
    surface, polynomial = lopsided(), curved if degree == 1 else more_curved
    elements = Elements(patches_of(surface), level, degree)
    points = surface.sample_uniform(200, np.random.default_rng(1))
    found = elements.evaluate(values_at(elements, level, polynomial, surface), *elements.place(points))[:, 0]
    np.testing.assert_allclose(found, polynomial(points), rtol=0, atol=ROUND_OFF)
    if degree == 1:
        linear = elements.evaluate(values_at(elements, level, more_curved, surface), *elements.place(points))[:, 0]
        assert np.abs(linear - more_curved(points)).max() > 1e-3


@both_degrees
def test_a_coarse_function_is_carried_to_the_next_level_unchanged(degree):
    coarse, fine = (Elements(patches_of(lopsided()), level, degree) for level in (1, 2))
    coefficients = np.random.default_rng(2).standard_normal((3, coarse.size, 2))
    carried = coarse.evaluate(coefficients, *coarse.place_of_finer(fine))
    points = lopsided().sample_uniform(300, np.random.default_rng(3))
    np.testing.assert_allclose(
        fine.evaluate(carried, *fine.place(points)),
        coarse.evaluate(coefficients, *coarse.place(points)),
        rtol=0,
        atol=ROUND_OFF,
    )


@both_degrees
def test_stiffness_and_mass_integrate_products_exactly(degree):
    # On the rectangle [0, a] x [0, b] with a constant G^-1 and rho = 1 + x + x y: integrals of monomials by hand.
    a, b = 1.0, 0.7
    surface = rectangle(a, b)
    elements = Elements(patches_of(surface), 1, degree)
    x, y = elements.points[:, 0], elements.points[:, 1]
    inverse = np.array([[1.3, 0.4], [0.4, 0.9]])  # in the plane's own coordinates
    flat = elements.frames[:, :2]
    metrics = np.swapaxes(flat, 1, 2) @ inverse @ flat
    coefficients = ReversibleCoefficients(metrics, np.zeros(len(x)))
    stiffness, mass = elements.matrices(coefficients, 1 + x + x * y)
    u, v = (values_at(elements, 1, lambda x, axis=axis: x[..., axis], surface)[:, 0] for axis in (0, 1))
    ones = np.ones(elements.size)
    whole = a * b + a**2 * b / 2 + a**2 * b**2 / 4  # int rho
    of_xy = a**2 * b**2 / 4 + a**3 * b**2 / 6 + a**3 * b**3 / 9  # int x y rho
    np.testing.assert_allclose(u @ (stiffness @ v), 0.5 * inverse[0, 1] * whole, rtol=ROUND_OFF)
    np.testing.assert_allclose(u @ (stiffness @ u), 0.5 * inverse[0, 0] * whole, rtol=ROUND_OFF)
    np.testing.assert_allclose(u @ (mass @ v), of_xy, rtol=ROUND_OFF)
    np.testing.assert_allclose(stiffness @ ones, 0, rtol=0, atol=ROUND_OFF)
    load = elements.load(np.column_stack([y * (1 + x + x * y), x]))
    np.testing.assert_allclose(u @ load, [of_xy, a**3 * b / 3], rtol=ROUND_OFF)
