"""The closed forms that judge the noise in three dimensions agree with quadrature."""

import runpy
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

STUDIES = Path(__file__).parents[2] / "studies" / "noise"
MEASURED = runpy.run_path(str(STUDIES / "noise_three.py"))
LIMIT = runpy.run_path(str(STUDIES / "noise_constant_three.py"))
DEGREE = {"three-sphere": 60, "three-torus": 44}  # k^2 at the bandwidths .05 and .2 has modes to 30 and 18 at 1e-10


@pytest.fixture(params=DEGREE)
def name(request):
    return request.param


def moments_by_quadrature(name, *, bandwidth, queries):
    """A f, int k^2 (f - A f)^2 p / (int k p)^2, and the same without A f."""
    nodes, weights = MEASURED["density"](name).quadrature(DEGREE[name])
    values = nodes @ np.array(MEASURED["SLOPE"][name])
    kernel = np.exp(-((queries[:, None] - nodes) ** 2).sum(axis=2) / (2 * bandwidth))
    mass = kernel @ weights
    mean = kernel @ (weights * values) / mass
    centred, uncentred = (
        (kernel**2 * (values - center[:, None]) ** 2) @ weights / mass**2 for center in (mean, np.zeros_like(mean))
    )
    return mean, centred, uncentred


def test_mean_and_variance_of_a_layer_are_integrals(name):
    eps = MEASURED["BANDWIDTH"][name]
    closed = MEASURED["asymptotics"](name, eps)
    mean, centred, uncentred = moments_by_quadrature(name, bandwidth=eps, queries=closed.queries[:9])
    # the variance is the difference of moments twenty times as large
    np.testing.assert_allclose(closed.mean[:9], mean, rtol=0, atol=1e-9)
    np.testing.assert_allclose(closed.variance[:9], centred, rtol=1e-8)
    np.testing.assert_allclose(closed.uncentred[:9], uncentred, rtol=1e-8)


def test_the_limit_takes_the_same_variance(name):
    queries, _ = LIMIT["queries"](name)
    eps = MEASURED["BANDWIDTH"][name]
    _, centred, _ = moments_by_quadrature(name, bandwidth=eps, queries=queries[:9])
    np.testing.assert_allclose(LIMIT["layer_noise"](name, eps)[:9], np.sqrt(centred), rtol=1e-8)


def test_the_slopes_are_the_tangential_parts_of_the_gradient(name):
    queries, slopes = LIMIT["queries"](name)
    manifold, a = LIMIT["MANIFOLDS"][name], np.array(LIMIT["SLOPE"][name])
    for x, slope in zip(queries[:5], slopes[:5], strict=True):
        frame = np.asarray(manifold.tangent_frame(jnp.asarray(x)))
        assert np.linalg.norm(frame.T @ a) == pytest.approx(slope, rel=1e-12)


def test_the_ladder_in_eps_sees_the_gradients_and_densities_of_the_limit():
    queries, squares, p = MEASURED["steep"]("three-sphere")
    manifold, a = MEASURED["MANIFOLDS"]["three-sphere"], np.array(MEASURED["SLOPE"]["three-sphere"])
    for x, square in zip(queries[:5], squares[:5], strict=True):
        frame = np.asarray(manifold.tangent_frame(jnp.asarray(x)))
        assert np.linalg.norm(frame.T @ a) ** 2 == pytest.approx(square, rel=1e-12)
    log_p = MEASURED["density"]("three-sphere").log_densities(queries)
    np.testing.assert_allclose(p, np.exp(log_p), rtol=1e-12)
    assert len(queries) == MEASURED["STEEP_QUERIES"]
    assert squares.min() > 0.25 * squares.max()


def test_the_densities_are_those_of_the_closed_forms(name):
    queries, _ = LIMIT["queries"](name)
    log_p = queries @ np.array(LIMIT["DRIFT"][name]) - LIMIT["log_mass"](name)
    np.testing.assert_allclose(MEASURED["density"](name).log_densities(queries), log_p, rtol=0, atol=1e-12)


def test_the_exact_mean_is_that_of_the_population():
    eps = MEASURED["BANDWIDTH"]["three-sphere"]
    closed = MEASURED["asymptotics"]("three-sphere", eps)
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps)
    population = af.PopulationAttention(attention, MEASURED["density"]("three-sphere"))
    found = population.layer(lambda x: x[0] - 0.5 * x[3], at=closed.queries[:3])
    np.testing.assert_allclose(found, closed.mean[:3], rtol=0, atol=1e-8)  # the tolerance of a population
