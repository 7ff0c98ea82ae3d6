"""Laws of every density: its mass, its samples."""

import itertools

import jax
import numpy as np
import pytest
from instances import DENSITIES, density

from attnflow.densities import von_mises_fisher
from attnflow.densities.sampling import draw_by_rejection
from attnflow.errors import DataError

NORMALISED = 1e-12  # quadratures of 40 modes of these analytic densities; measured 1e-15
DRAWS = 100_000  # a second moment, whose relative deviation is about 1, is seen to 2 %
SIGMAS = 5.5  # the largest of a thousand moments in all; one false alarm in 2 10^4, and the keys are fixed
every_density = pytest.mark.parametrize("name", DENSITIES)


def moments(x):
    """Powers of every coordinate up to the fourth, and products of any two, plain and of even powers, (N, M)."""
    pairs = list(itertools.combinations(range(x.shape[1]), 2))
    left, right = ([x[:, pair[side]] for pair in pairs] for side in (0, 1))
    products = [a * b for a, b in zip(left, right, strict=True)]
    return np.column_stack([x, x**2, x**3, x**4, *products, *(part**2 for part in products)])


def worst_moment(p, points):
    """The largest deviation of a mean over points from the integral, in standard deviations."""
    nodes, weights = p.quadrature(40)
    means = weights @ moments(nodes)
    deviations = np.sqrt(weights @ (moments(nodes) - means) ** 2 / len(points))
    return np.abs((moments(points).mean(axis=0) - means) / np.maximum(deviations, 1e-14)).max()


@every_density
def test_the_mass_is_one(name):
    assert density(name).quadrature(40).weights.sum() == pytest.approx(1, abs=NORMALISED)


@every_density
def test_sample_moments_agree_with_the_quadrature(name):
    points = density(name).sample(DRAWS, key=jax.random.key(3))
    assert points.shape == (DRAWS, density(name).manifold.ambient_dim)
    assert density(name).manifold.residual(points).max() < 1e-12
    assert worst_moment(density(name), points) < SIGMAS


@every_density
def test_a_shorter_draw_is_a_prefix_of_a_longer_one(name):
    key = jax.random.key(11)
    np.testing.assert_array_equal(density(name).sample(100, key=key), density(name).sample(9000, key=key)[:100])


# --- planted defects: samplers that are off by up to a tenth


def stretched(points, generator):
    """Points of a sphere that was stretched by a tenth along its last axis before it was projected."""
    wrong = points * np.append(np.ones(points.shape[1] - 1), 1.1)
    return wrong / np.linalg.norm(wrong, axis=1, keepdims=True)


def squeezed_longitudes(points, generator):
    """Points whose first angle covers 95 % of the circle."""
    angle, radius = 0.95 * np.arctan2(points[:, 1], points[:, 0]), np.hypot(points[:, 0], points[:, 1])
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), points[:, 2:]])


def flattened_peak(points, generator):
    """Points of a density cut off above a tenth of its largest: kept with probability min(p, bound) / p."""
    height = points[:, 0] + points[:, 1]
    return points[generator.random(len(points)) < np.where(height > np.quantile(height, 0.8), 0.9, 1.0)]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("uniform on the sphere", stretched),
        ("von Mises-Fisher on the three-sphere", stretched),
        ("three-sphere", stretched),
        ("uniform on the sphere", squeezed_longitudes),
        ("von Mises-Fisher", squeezed_longitudes),
        ("uniform on the torus", squeezed_longitudes),
        ("torus", squeezed_longitudes),
        ("circle", squeezed_longitudes),
        ("torus", flattened_peak),
        ("sphere", flattened_peak),
        ("uniform on the torus", flattened_peak),
    ],
)
def test_a_sampler_that_is_off_is_noticed(name, wrong):
    points = density(name).sample(DRAWS, key=jax.random.key(3))
    assert worst_moment(density(name), points) < SIGMAS
    assert worst_moment(density(name), wrong(points, np.random.default_rng(0))) > SIGMAS


def test_heights_of_the_wrong_power_are_noticed(monkeypatch):
    # On S^3 the law of heights has (1 - h^2)^(1/2); here (1 - h^2)^((m - 1) / 2), as on S^4.
    p = density("von Mises-Fisher on the three-sphere")
    right = von_mises_fisher._reject_depths
    monkeypatch.setattr(von_mises_fisher, "_reject_depths", lambda dim, *rest: right(dim + 1, *rest))
    assert worst_moment(p, p.sample(DRAWS, key=jax.random.key(3))) > SIGMAS


@pytest.mark.parametrize("name", ["torus", "sphere", "three-sphere"])
def test_a_bound_that_is_too_low_is_refused(name):
    p = density(name)

    def draw_much():  # proposals must come near the peak
        return [draw_by_rejection(p, p.log_bound - 0.15, np.random.default_rng(seed)) for seed in range(20)]

    with pytest.raises(DataError, match="exceeds its bound"):
        draw_much()
