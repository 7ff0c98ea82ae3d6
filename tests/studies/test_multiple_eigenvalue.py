"""Levels of a multiple eigenvalue: against the eigenvalues of a law that was moved, and against Gaussian matrices."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.integrate import quad

import attnflow as af

FOLDER = Path(__file__).parents[2] / "studies" / "questions"
BANDWIDTH = 0.5


@pytest.fixture(scope="module")
def modules():
    sys.path.insert(0, str(FOLDER))
    try:
        import clt_pair
        import clt_triple
        import multiple_eigenvalue

        yield {"levels": multiple_eigenvalue, "pair": clt_pair, "triple": clt_triple}
    finally:
        sys.path.remove(str(FOLDER))


def eigenvalues(points: np.ndarray, masses: np.ndarray, *, normalization: str) -> np.ndarray:
    """Return the eigenvalues of (I - A)/eps for weighted points, rising, by a dense matrix."""
    kernel = np.exp((points @ points.T - 1) / BANDWIDTH)
    weights = np.ones(len(masses))
    if normalization == "sinkhorn":
        for _ in range(200):
            weights = np.sqrt(weights / (kernel @ (masses * weights)))
    roots = np.sqrt(masses * weights / (kernel @ (masses * weights)))
    return (1 - np.linalg.eigvalsh(roots[:, None] * kernel * roots)[::-1]) / BANDWIDTH


def quadrature(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points and masses of the uniform law on S^1 or S^2, exact for harmonics of degree 23 at least."""
    angles = 2 * np.pi * np.arange(24) / 24
    if dim == 1:
        return np.column_stack([np.cos(angles), np.sin(angles)]), np.full(24, 1 / 24)
    heights, weights = np.polynomial.legendre.leggauss(12)
    height, angle = (each.ravel() for each in np.meshgrid(heights, angles, indexing="ij"))
    flat = np.sqrt(1 - height**2)
    return np.column_stack([flat * np.cos(angle), flat * np.sin(angle), height]), np.repeat(weights / 48, 24)


@pytest.mark.parametrize("dim", [1, 2])
def test_shares_are_the_eigenvalues_of_the_uniform_law(modules, dim):
    found = 1 - BANDWIDTH * eigenvalues(*quadrature(dim), normalization="softmax")
    ranks = {0: 0, 1: dim, 2: 2 * dim + 2}  # the last one of each degree: 1, then 2, 2 on the circle and 3, 5 on S^2
    for degree, rank in ranks.items():
        # what the quadrature does not see of the kernel is of degree 12 and more: 2^12/12! / 2^12 = 2e-9
        share = modules["levels"].share(degree, dim=dim, bandwidth=BANDWIDTH)
        assert share == pytest.approx(found[rank], abs=1e-7)


@pytest.mark.parametrize("normalization", ["softmax", "sinkhorn"])
@pytest.mark.parametrize("dim", [1, 2])
def test_levels_answer_to_a_moved_law_by_the_matrix(modules, dim, normalization):
    points, masses = quadrature(dim)
    rng = np.random.default_rng(4)
    tilt = rng.normal(size=(dim + 1, dim + 1))
    tilt = (tilt + tilt.T) / 2 - np.trace(tilt) / (dim + 1) * np.eye(dim + 1)
    wave = np.einsum("ia,ab,ib->i", points, tilt, points)
    step = 1e-4

    def levels(size: float) -> np.ndarray:
        return eigenvalues(points, masses * (1 + size * wave), normalization=normalization)[1 : dim + 2]

    # At -step the levels are those of -M: its largest is the least of M, so that halves of differences leave no
    # second order; the third is 1e-8 of the step, eigenvalues are rounded by 1e-15 / eps / step.
    slopes = (levels(step) - levels(-step)[::-1]) / (2 * step)
    spread = np.einsum("i,ia,ib->ab", masses * wave, points, points)  # of mean zero in its trace
    sigma = modules["levels"].scale(dim, bandwidth=BANDWIDTH, normalization=normalization)
    response = sigma / np.sqrt(2 * (dim + 1) / (dim + 3))
    assert slopes == pytest.approx(np.linalg.eigvalsh(-response * (dim + 1) * spread), abs=1e-6)


def test_levels_are_those_of_a_dense_matrix_and_none_lies_under_the_least_of_them(modules):
    points = np.asarray(af.Uniform(af.Sphere(2)).sample(40, key=jax.random.key(1)))
    for normalization in ("softmax", "sinkhorn"):
        found, quotients = modules["levels"].levels(points, bandwidth=BANDWIDTH, normalization=normalization)
        dense = eigenvalues(points, np.full(40, 1 / 40), normalization=normalization)[1:4]
        assert found == pytest.approx(dense, abs=1e-6)  # `rtol` is 1e-8 of values up to one, over eps, and weights
        # quotients of functions without mean are at least the least eigenvalue, and no coordinate is an eigenfunction
        assert (quotients > found[0] + 1e-3).all()


def test_the_matrix_of_independent_keys_has_the_scale_and_a_diagonal_of_two_degrees(modules):
    draws, count = 4000, 50
    rng = np.random.default_rng(2)
    keys = rng.normal(size=(draws, count, 3))
    keys /= np.linalg.norm(keys, axis=2, keepdims=True)
    sigma = modules["levels"].scale(2, bandwidth=BANDWIDTH, normalization="softmax")
    response = sigma / np.sqrt(6 / 5)
    matrices = 3 * response * (np.einsum("kia,kib->kab", keys, keys) / count - np.eye(3) / 3)
    squares = count * (matrices**2).sum(axis=(1, 2)) / sigma**2
    diagonal = count * (np.einsum("kaa->ka", matrices) ** 2).sum(axis=1) / sigma**2
    # chi^2 of n has the variance 2n: 4000 draws leave a standard error of .05 and .03, taken four times
    assert squares.mean() == pytest.approx(5, abs=0.2)
    assert diagonal.mean() == pytest.approx(2, abs=0.13)


@pytest.mark.parametrize(("density", "mean"), [("repelled", "REPELLED"), ("free", "FREE")])
def test_ratios_of_spacings_have_densities_of_these_means(modules, density, mean):
    law = getattr(modules["triple"], density)
    assert quad(law, 0, 1)[0] == pytest.approx(1, abs=1e-10)
    assert quad(lambda r: r * law(r), 0, 1)[0] == pytest.approx(getattr(modules["triple"], mean), abs=1e-10)


def test_ratios_of_gaussian_levels_have_these_means(modules):
    rng = np.random.default_rng(3)
    squares = rng.normal(size=(4000, 3, 3))
    repelled = [modules["triple"].ratio(np.linalg.eigvalsh(each + each.T)) for each in squares]
    free = [modules["triple"].ratio(row) for row in rng.normal(size=(4000, 3))]
    # one ratio has a standard deviation of .25 and .29: five standard errors of 4000
    assert np.mean(repelled) == pytest.approx(modules["triple"].REPELLED, abs=0.02)
    assert np.mean(free) == pytest.approx(modules["triple"].FREE, abs=0.023)


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize(("density", "power"), [("rice", 1.0), ("folded", 0.5)])
def test_gaps_have_densities_of_the_means_that_are_claimed(modules, density, power, shift):
    law = getattr(modules["pair"], density)
    assert quad(law, 0, 20, args=(shift,))[0] == pytest.approx(1, abs=1e-8)
    k = modules["pair"].SHARP
    mean = quad(lambda r: np.exp(-k * r**2 / 2) * law(r, shift), 0, 20)[0]
    assert mean == pytest.approx((1 + k) ** -power * np.exp(-k * shift**2 / (2 * (1 + k))), abs=1e-8)


def test_the_sampled_wave_has_the_mean_that_splits_a_pair(modules):
    count, draws = 50, 4000
    points = modules["pair"].sample(count, jax.random.key(5), shift=1.0, draws=draws)
    assert np.linalg.norm(points, axis=2) == pytest.approx(1.0, abs=1e-12)
    waves = np.sqrt(2 / count) * (points[..., 0] ** 2 - points[..., 1] ** 2).sum(axis=1)
    crossed = np.sqrt(2 / count) * (2 * points[..., 0] * points[..., 1]).sum(axis=1)
    # s + a and b: five standard errors of 4000 draws of variance one
    assert waves.mean() == pytest.approx(1.0, abs=0.08)
    assert crossed.mean() == pytest.approx(0.0, abs=0.08)
