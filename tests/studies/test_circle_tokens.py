"""Noisy tokens on the circle: their drift, the critical noise of their steps, and their law at rest."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import iv

import attnflow as af

FOLDER = Path(__file__).parents[2] / "studies" / "questions"


@pytest.fixture(scope="module", autouse=True)
def folder():
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


def square_of_order(count: int, beta: float, *, nodes: tuple[int, int, int]) -> float:
    """Return E R^2 of N tokens at kappa# by the fields of three waves; those of the others are left out.

    e^{(N a / 2 kappa) |Z|^2} is up to a constant the integral of e^{-N kappa |f|^2 / 2a + N Re(f conj Z)} over complex
    f, and the tokens become independent.
    """
    a = 2 * iv([1, 2, 3], beta) / beta
    noise = a[0] / 2
    angles = 2 * np.pi * np.arange(24) / 24
    waves = np.exp(-1j * np.outer(angles, [1, 2, 3]))
    heights, weights = np.polynomial.legendre.leggauss(nodes[0])
    largest = 2 * min(1.05, 3.2 * count ** (-1 / 6)) + 6 / np.sqrt(count)
    rows = []
    for height, weight in zip((heights + 1) * largest / 2, weights, strict=True):
        centre = np.array([height, 0.0, 0.0])  # f_1 is real, by a rotation; the others lie about their best
        for _ in range(60):
            law = np.exp((waves @ centre).real)
            centre[1:] = (a / noise * (waves.real.T @ law / law.sum()))[1:]
        widths = np.sqrt(a[1:] / (count * noise) / (1 - a[1:] / a[0]))
        second, third = (np.linspace(-4.5, 4.5, n) * width for n, width in zip(nodes[1:], widths, strict=True))
        f2r, f2i, f3r, f3i = np.meshgrid(second, second, third, third, indexing="ij", sparse=True)
        f2, f3 = centre[1] + f2r + 1j * f2i, centre[2] + f3r + 1j * f3i
        mean = sum(np.exp((height * w[0] + f2 * w[1] + f3 * w[2]).real) for w in waves) / len(waves)
        energy = height**2 / a[0] + np.abs(f2) ** 2 / a[1] + np.abs(f3) ** 2 / a[2]
        scale = weight * height * (widths[0] * widths[1]) ** 2
        rows.append((height, scale, count * (np.log(mean) - noise * energy / 2)))
    top = max(logarithms.max() for _, _, logarithms in rows)
    masses = np.array([scale * np.exp(logarithms - top).sum() for _, scale, logarithms in rows])
    squares = np.array([height for height, _, _ in rows]) ** 2
    return float(masses @ squares / masses.sum() / 4 - 1 / count)


def four_tokens(beta: float, noise: float) -> float:
    """Return E R^2 of four tokens by quadrature over three angles: nothing of the waves is in it."""
    nodes = 2 * np.pi * np.arange(24) / 24
    angles = np.stack(np.meshgrid([0.0], nodes, nodes, nodes, indexing="ij"))
    energy = sum(np.exp(beta * np.cos(one - other)) for one in angles for other in angles)
    law = np.exp(energy / (2 * beta * 4 * noise))
    return float((np.abs(np.exp(1j * angles).mean(axis=0)) ** 2 * law).sum() / law.sum())


@pytest.mark.parametrize("beta", [1.0, 2.446918, 4.0])
def test_the_drift_is_that_of_tokens_that_attend(beta):
    import circle_tokens

    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, (2, 50))
    found, means = circle_tokens.drift(angles, circle_tokens.forces(beta))
    attention = af.Attention(af.DotProduct(), bandwidth=1 / beta, normalization="unnormalized")
    flow = af.TokenFlow(attention, manifold=af.Circle())
    for row, own, mean in zip(angles, found, means, strict=True):
        points = np.column_stack([np.cos(row), np.sin(row)])
        along = np.column_stack([-np.sin(row), np.cos(row)])
        velocity = np.einsum("nd,nd->n", flow.velocity(points), along)
        # waves are left out under 1e-12 of the first; TokenFlow has rtol = 1e-10
        assert own == pytest.approx(velocity, abs=1e-10 * np.exp(beta))
        assert mean == pytest.approx(np.exp(1j * row).mean(), abs=1e-14)


def test_a_wave_neither_grows_nor_falls_by_steps_at_their_critical_noise():
    import circle_tokens
    import ordered_branch

    beta, step, size = 1.0, 0.5, 1e-4
    critical = ordered_branch.critical_noise(1, beta)
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    angles = 2 * np.pi * np.arange(400) / 400

    def growth(noise: float) -> float:
        # two kicks of which every other node is one; angles lie so that their first wave is the size
        here = angles - 2 * size * np.sin(angles)
        spread = np.sqrt(noise * step / 2)
        total = 0j
        for kick, weight in zip(nodes, weights, strict=True):
            x = here + spread * kick
            drift = -2 * critical * size * np.exp(-noise * step / 4) * np.sin(x)
            total += weight * np.exp(1j * (x + step * drift + spread * kick)).mean()
        return float(total.real / weights.sum() / np.exp(1j * here).mean().real)

    # of order size^2
    assert growth(float(circle_tokens.of_steps(np.array(critical), step))) == pytest.approx(1, abs=1e-7)
    assert growth(critical) < 1 - 1e-4  # (kappa h)^3 / 24 = 9e-4


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_four_tokens_have_the_law_of_a_gradient_at_rest(beta):
    import circle_tokens
    import ordered_branch

    noise = ordered_branch.critical_noise(1, beta)
    step = 0.05 / noise
    randoms = [np.random.default_rng([2, seed]) for seed in range(400)]
    start = np.array([random.uniform(0, 2 * np.pi, (1, 4)) for random in randoms])
    noises = circle_tokens.of_steps(np.full(1000, noise), step)
    found = circle_tokens.orders(start, randoms, beta=beta, noises=noises, step=step)
    squares = np.array([order**2 for place, order in enumerate(found) if place >= 200]).mean(axis=0)[:, 0]
    error = squares.std() / np.sqrt(len(squares))
    assert error < 0.01
    assert squares.mean() == pytest.approx(four_tokens(beta, noise), abs=4 * error)
    assert abs(squares.mean() - four_tokens(beta, 1.2 * noise)) > 4 * error


def test_limits_of_rounded_order_are_means_of_their_laws():
    import noisy_rounding

    c = noisy_rounding.quartic(1.0)
    for shift in (-0.5, 0.0, 0.5):
        law = [quad(lambda u, k=k, y=shift: u**k * np.exp(-y * u - c * u * u), 0, 40)[0] for k in (0, 1)]
        assert noisy_rounding.expected(1.0, shift) == pytest.approx(law[1] / law[0], rel=1e-8)


def test_what_the_fits_should_find_is_that_of_the_law_of_finitely_many_tokens():
    import noisy_rounding

    # waves beyond the third, and the mesh, change four tokens by less than a percent
    few = square_of_order(4, 1.0, nodes=(32, 9, 7))
    assert few == pytest.approx(four_tokens(1.0, iv(1, 1.0)), rel=0.01)
    counts = noisy_rounding.STARS
    for beta, power, exponent in ((1.0, 0.5, -0.247), (noisy_rounding.CRITICAL, 1.0, -0.162)):
        squares = [square_of_order(count, beta, nodes=(28, 9, 7)) for count in counts]
        fit = af.fit_rate(counts, np.sqrt(squares), correction_power=power)
        assert fit.rate == pytest.approx(exponent, abs=0.001)
