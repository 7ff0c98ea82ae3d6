"""Spectra without a matrix, by block Lanczos: LAPACK, copies of eigenvalues, parts, declared errors, refusals."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from witnesses import gaussian

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, ResourceError
from attnflow.sums.operators import lanczos, spectra

RNG = np.random.default_rng(5)
CLOUD = RNG.gamma(2.0, size=(500, 3)) / 3
MASSES = RNG.uniform(0.2, 3.0, size=500)
MASSES[7] = 0.0
# Every eigenvalue is accurate to rounding: sums over all pairs and Lanczos to 2e-11 leave 1e-14, measured.
ACCURACY = 1e-12


@pytest.fixture(autouse=True)
def _no_matrix(monkeypatch):
    monkeypatch.setattr(spectra, "MAX_DENSE_POINTS", 10)


def by_lapack(points, k, *, bandwidth, masses=1.0, include_self=True, product=False):
    """The largest eigenvalues of A, from a symmetric matrix."""
    gram = points @ points.T
    squares = np.diag(gram)
    kernel = np.exp(gram / bandwidth if product else (gram - squares / 2 - squares[:, None] / 2) / bandwidth)
    if not include_self:
        np.fill_diagonal(kernel, 0.0)
    kernel = kernel * masses
    root = np.sqrt(masses / kernel.sum(axis=1))
    massive = root > 0
    matrix = (kernel / np.where(masses == 0, 1.0, masses) * root[:, None] * root)[massive][:, massive]
    return scipy.linalg.eigvalsh((matrix + matrix.T) / 2)[::-1][:k]


def on_sphere(n, seed=0):
    normal = np.random.default_rng(seed).standard_normal((n, 3))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("cost", [af.SquaredDistance(), af.DotProduct()], ids=repr)
def test_eigenvalues_are_those_of_the_matrix(cost, include_self):
    eps = 0.2 if isinstance(cost, af.SquaredDistance) else 2.0
    attention = af.Attention(cost, bandwidth=eps)
    measure = af.DiscreteMeasure(CLOUD, MASSES)
    found = af.EmpiricalAttention(attention, measure, include_self=include_self, rtol=1e-10).spectrum(10)
    product = isinstance(cost, af.DotProduct)
    expected = by_lapack(CLOUD, 10, bandwidth=eps, masses=MASSES, include_self=include_self, product=product)
    np.testing.assert_allclose(1 - eps * found.eigenvalues, expected, rtol=0, atol=ACCURACY)
    assert eps * np.abs(found.eigenvalues - (1 - expected) / eps).max() <= eps * found.solver_error


def test_eigenfunctions_are_orthonormal_and_extend_by_a_layer():
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.2)
    life = af.EmpiricalAttention(attention, CLOUD, rtol=1e-10)
    spectrum, law = life.spectrum(6), life.stationary()
    u = spectrum.eigenfunctions(CLOUD)
    np.testing.assert_allclose(u.T @ (law[:, None] * u), np.eye(6), rtol=0, atol=1e-12)
    # Residuals of 2e-11 where the law is 1e-5 of its mean.
    np.testing.assert_allclose(life.layer(u), u * (1 - 0.2 * spectrum.eigenvalues), rtol=0, atol=1e-8)


def test_pairs_of_equally_spaced_points_are_found():
    angles = 2 * np.pi * (np.arange(600) + 0.3) / 600
    points = np.column_stack([np.cos(angles), np.sin(angles)])
    kernel = np.exp((np.cos(angles - angles[0]) - 1) / 0.05)
    symbol = np.fft.fft(kernel).real / kernel.sum()  # a circulant matrix
    found = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.05), points, rtol=1e-10).spectrum(7)
    expected = symbol[[0, 1, 1, 2, 2, 3, 3]]
    np.testing.assert_allclose(1 - 0.05 * found.eigenvalues, expected, rtol=0, atol=ACCURACY)


def parts(count):
    """Copies of one cloud, too far apart to see each other, and the eigenvalues of each."""
    part = RNG.uniform(size=(80, 3))
    places = 100.0 * np.arange(count)[:, None] * np.array([1.0, 0.3, -0.2])
    return (places[:, None] + part).reshape(-1, 3), by_lapack(part, 3, bandwidth=0.05)


def test_every_part_of_a_cloud_has_its_copies():
    # Seven copies of each eigenvalue, more than the three vectors of a block; centred parts lose 1e-14 of a distance.
    points, (one, second, third) = parts(7)
    found = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.05), points, rtol=1e-10).spectrum(17)
    expected = np.repeat([one, second, third], [7, 7, 3])
    np.testing.assert_allclose(1 - 0.05 * found.eigenvalues, expected, rtol=0, atol=ACCURACY)


def test_without_further_searches_copies_are_missed(monkeypatch):
    monkeypatch.setattr(lanczos, "_may_hide_copies", lambda found, alike: False)
    points, (one, second, _) = parts(7)
    found = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.05), points, rtol=1e-8).spectrum(12)
    assert np.abs(1 - 0.05 * found.eigenvalues - np.repeat([one, second], [7, 5])).max() > 1e-3


@pytest.mark.parametrize(
    ("eigenvalues", "may"),
    [([1, 0.9, 0.8], False), ([1, 1, 1], False), ([1, 1, 1, 0.5], True), ([1, 1, 0.9, 0.9], False), ([1], False)],
)
def test_three_equal_eigenvalues_above_the_last_may_hide_a_fourth(eigenvalues, may):
    assert lanczos._may_hide_copies(np.array(eigenvalues, dtype=float), 1e-9) == may


def test_a_basis_that_is_full_starts_again(monkeypatch):
    monkeypatch.setattr(lanczos, "BASIS_BYTES", 8 * 40 * 500)
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.2)
    found = af.EmpiricalAttention(attention, CLOUD, rtol=1e-10).spectrum(8)
    np.testing.assert_allclose(1 - 0.2 * found.eigenvalues, by_lapack(CLOUD, 8, bandwidth=0.2), rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
def test_declared_errors_hold_at_coarse_tolerances(rtol):
    points = on_sphere(800)
    found = af.EmpiricalAttention(
        af.Attention(af.SquaredDistance(), bandwidth=0.1), points, rtol=rtol, method="fourier"
    ).spectrum(9)
    expected = (1 - by_lapack(points, 9, bandwidth=0.1)) / 0.1
    assert np.abs(found.eigenvalues - expected).max() <= found.solver_error <= rtol / 0.1


def test_a_declared_error_holds_residuals_and_what_sums_are_off_by(monkeypatch):
    # Vectors that are none: the residual alone says so.
    def wrong(averages, law, *, k, tolerance):
        vectors = np.ones((len(law), k)) + 1e-3 * np.linspace(-1, 1, len(law))[:, None]
        return np.ones(k), vectors

    monkeypatch.setattr(spectra, "largest_eigenpairs", wrong)
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.2), CLOUD, rtol=1e-2)
    found = life.spectrum(1)
    slope = 1e-3 * np.linspace(-1, 1, len(CLOUD))
    off = np.sqrt(life.stationary() @ (life.layer(slope) - slope) ** 2)
    assert off / 0.2 <= found.solver_error <= 1.01 * off / 0.2


def test_a_population_whose_eigenfunctions_grow_declares_what_sums_leave():
    # Hermite functions are 10^3 at the last nodes, where the law is 1e-30.
    attention, density = af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Gaussian([0.3], [[1.4]])
    life = af.PopulationAttention(attention, density, rtol=1e-11)
    with pytest.warns(RuntimeWarning, match=r"eigenvalues of A may be off by .*above `rtol` = 1e-11"):
        found = life.spectrum(3)
    expected = gaussian.population_generator_eigenvalues(3, variance=1.4, bandwidth=0.1)
    assert np.abs(found.eigenvalues - expected).max() <= min(found.solver_error, 1e-11)


# --- refusals


def test_an_asymmetric_cost_is_refused_with_a_remedy():
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2) + 0.1 * y[0])
    with pytest.raises(ConfigError, match=r"the spectrum needs a symmetric cost.*Use SquaredDistance"):
        af.EmpiricalAttention(af.Attention(cost, bandwidth=0.2), CLOUD[:64]).spectrum(3)


def test_more_eigenvectors_than_memory_holds_are_refused(monkeypatch):
    monkeypatch.setattr(lanczos, "BASIS_BYTES", 8 * 60 * 500)
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.2), CLOUD)
    with pytest.raises(
        ResourceError, match=r"`k` = 22 eigenvectors of 500 points.*at most 60 are kept.*at most `k` = 21"
    ):
        life.spectrum(22)


def test_eigenvalues_that_do_not_settle_are_refused(monkeypatch):
    monkeypatch.setattr(lanczos, "MOST_VECTORS", 24)
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.01), on_sphere(1000))
    with pytest.raises(ConvergenceError, match="do not settle: after 24 vectors a residual"):
        life.spectrum(10)
