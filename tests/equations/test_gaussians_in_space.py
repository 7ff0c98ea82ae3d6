"""The drift-diffusion of a Gaussian on the plane and in space is an Ornstein-Uhlenbeck process."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import attnflow as af

PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)
MEANS = {2: np.array([0.3, -1.0]), 3: np.array([0.3, -1.0, 0.5])}
COVARIANCES = {
    2: np.array([[1.0, 0.3], [0.3, 0.5]]),
    3: np.array([[1.0, 0.3, 0.1], [0.3, 0.6, -0.2], [0.1, -0.2, 0.8]]),
}
every_dimension = pytest.mark.parametrize("dim", [2, 3])


def solver(dim, rtol):
    return af.DriftDiffusion(PLAIN, af.Gaussian(MEANS[dim], COVARIANCES[dim]), rtol=rtol)


def law(x, *, dim, time):
    """Mean (Q, d) and covariance of X_t from x: dX = -S^-1 (X - m) dt + dW."""
    decay = expm(-time * np.linalg.inv(COVARIANCES[dim]))
    return MEANS[dim] + (x - MEANS[dim]) @ decay.T, 0.5 * COVARIANCES[dim] @ (np.eye(dim) - decay @ decay)


@every_dimension
def test_exponentials_have_the_law_of_the_process(dim):
    a = np.array([0.5, -0.4, 0.3])[:dim]
    points = MEANS[dim] + np.random.default_rng(0).normal(size=(20, dim)) @ np.linalg.cholesky(COVARIANCES[dim]).T
    flow = solver(dim, 1e-6).evolve(lambda x: jnp.exp(x @ a), times=[0.1, 0.5], at=points)
    for time, values in zip(flow.times, flow.values, strict=True):
        mean, covariance = law(points, dim=dim, time=time)
        expected = np.exp(mean @ a + 0.5 * a @ covariance @ a)
        assert np.abs(values - expected).max() <= flow.solver_error < 2e-5


@every_dimension
def test_eigenvalues_are_sums_of_rates(dim):
    rates = 1 / np.linalg.eigvalsh(COVARIANCES[dim])
    counts = np.stack(np.meshgrid(*[np.arange(6)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    spectrum = solver(dim, 1e-8).spectrum(6)
    np.testing.assert_allclose(spectrum.eigenvalues, np.sort(counts @ rates)[:6], rtol=0, atol=1e-8)


def test_a_density_on_the_plane_stays_gaussian():
    start = 0.6 * COVARIANCES[2]
    first = MEANS[2] + [0.2, 0.1]
    inverse, scale = np.linalg.inv(start), 2 * np.pi * np.sqrt(np.linalg.det(start))
    points = MEANS[2] + np.random.default_rng(1).normal(size=(20, 2)) * 0.7
    flow = solver(2, 1e-5).adjoint_evolve(
        lambda x: jnp.exp(-0.5 * (x - first) @ inverse @ (x - first)) / scale, times=[0.4], at=points
    )
    mean, added = law(first[None], dim=2, time=0.4)
    decay = expm(-0.4 * np.linalg.inv(COVARIANCES[2]))
    covariance = decay @ start @ decay.T + added
    away = points - mean
    expected = np.exp(-0.5 * np.einsum("qi,ij,qj->q", away, np.linalg.inv(covariance), away))
    expected /= 2 * np.pi * np.sqrt(np.linalg.det(covariance))
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error < 1e-4
