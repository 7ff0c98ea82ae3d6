"""The mean field against solvers that share nothing with it, closed forms, and what it must refuse."""

import numpy as np
import pytest
from witnesses import mean_field as witness

import attnflow as af

CIRCLE, SPHERE = af.Circle(), af.Sphere(2)
BETA = 3.0
TURN = np.array([[1.0, 0.4], [-0.7, 0.3]])  # a value matrix without symmetry
TURN_OF_SPHERE = np.array([[0.6, 0.3, -0.2], [-0.4, 0.2, 0.5], [0.1, -0.3, -0.5]])
TIMES, EARLY = [0.4, 1.0], [0.2, 0.4]


def log_weight(x):
    return 0.8 * x[0] + 0.7 * x[0] * x[1]


def log_weight_of_angles(t):
    return 0.8 * np.cos(t) + 0.35 * np.sin(2 * t)


def log_weight_on_sphere(x):
    return 0.5 * x[2] + 0.6 * x[0] * x[1] - 0.3 * x[1]


def points_of(angles):
    return np.column_stack([np.cos(angles), np.sin(angles)])


@pytest.fixture(scope="module")
def on_circle():
    return af.LogDensity(CIRCLE, log_weight)


@pytest.fixture(scope="module")
def on_sphere():
    return af.LogDensity(SPHERE, log_weight_on_sphere)


def dot(**options):
    return af.Attention(af.DotProduct(), bandwidth=1 / BETA, **options)


ASYMMETRIC = np.array([[1.0, 0.6], [-0.3, 0.8]])  # Q'K
OTHER = np.array([[0.02, 0.01], [0.0, -0.03]])
SHARE = np.array([[0.7, 0.2], [-0.1, 0.5]])
CASES = {
    "softmax": (dot(), [(witness.dot(BETA), "softmax", np.eye(2))], {}),
    "unnormalized": (
        af.Attention(af.SquaredDistance(), bandwidth=1 / BETA, normalization="unnormalized"),
        [(witness.dot(BETA), "unnormalized", np.eye(2))],
        {},
    ),
    "sinkhorn": (dot(normalization="sinkhorn"), [(witness.dot(BETA), "sinkhorn", np.eye(2))], {}),
    "asymmetric": (
        af.Attention(af.QueryKey(np.eye(2), ASYMMETRIC), bandwidth=1 / BETA),
        [(lambda x, y: np.exp(BETA * (x @ ASYMMETRIC @ y.T - 1)), "softmax", np.eye(2))],
        {},
    ),
    "heads": (
        af.MultiHead([dot(), dot(normalization="unnormalized")], output=[SHARE, OTHER]),
        [(witness.dot(BETA), "softmax", SHARE), (witness.dot(BETA), "unnormalized", np.exp(BETA) * OTHER)],
        {"centred": True, "diffusivity": 0.05},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_densities_on_the_circle_agree_with_fourier_collocation(name, on_circle):
    attention, heads, options = CASES[name]
    angles, expected = witness.on_circle(log_weight_of_angles, heads, times=TIMES, value=TURN, **options)
    found = af.MeanFieldFlow(attention, on_circle, value=TURN, **options).evolve(times=TIMES, at=points_of(angles))
    error = np.abs(found.values - expected).max()
    assert error < 1e-8
    assert error < found.solver_error + 1e-10  # what the witness itself may be off by
    assert np.abs(found.values.mean(axis=1) * 2 * np.pi - 1).max() < 1e-13


def test_densities_on_the_sphere_agree_with_harmonics_in_polar_angles(on_sphere):
    heads = [(witness.dot(BETA), "softmax", np.eye(3))]
    points, expected = witness.on_sphere(lambda x: log_weight_on_sphere(x.T), heads, times=EARLY, value=TURN_OF_SPHERE)
    at = af.DiscreteMeasure(points, witness.sphere_rule(20)[1])
    found = af.MeanFieldFlow(dot(), on_sphere, value=TURN_OF_SPHERE).evolve(times=EARLY, at=at)
    assert np.abs(found.values - expected).max() < 1e-8
    assert np.abs(found.values @ found.weights - 1).max() < 1e-13


@pytest.mark.parametrize(
    ("manifold", "order", "divided"), [(CIRCLE, 3, True), (CIRCLE, 2, False), (SPHERE, 2, True), (SPHERE, 3, False)]
)
def test_waves_about_uniform_tokens_grow_at_the_known_rate(manifold, order, divided):
    height = (lambda x: x[-1]) if manifold is SPHERE else (lambda x: x[0])
    wave = np.polynomial.chebyshev.chebval if manifold is CIRCLE else np.polynomial.legendre.legval
    coefficients = np.eye(order + 1)[order]
    polynomial = np.polynomial.chebyshev.cheb2poly if manifold is CIRCLE else np.polynomial.legendre.leg2poly
    powers = polynomial(coefficients)
    attention = dot(normalization="softmax" if divided else "unnormalized")
    rule, size, time = manifold.quadrature(31), 1e-4, 0.8
    values = wave(np.array([height(x) for x in rule.points]), coefficients)
    sizes = []
    for sign in (1, -1):  # half of their difference leaves out what is of second order, 1e-8
        start = af.LogDensity(
            manifold, lambda x, sign=sign: sign * size * sum(c * height(x) ** n for n, c in enumerate(powers))
        )
        found = af.MeanFieldFlow(attention, start, rtol=1e-11).evolve(times=[0.0, time], at=rule)
        sizes.append(found.values @ (rule.weights * values))
    before, after = sizes[0] - sizes[1]
    expected = witness.growth(order, BETA, dim=manifold.dim, divided=divided)
    assert abs(np.log(after / before) / time - expected) < 1e-6
