"""Harmonics on spheres and tori: functions are recovered at the nodes and anywhere, by degree and with their tails."""

import numpy as np
import pytest
from scipy.special import eval_gegenbauer

import attnflow as af
from attnflow.sums.harmonics import harmonics_of

SPACES = [af.Circle(), af.Sphere(2), af.Sphere(3), af.Sphere(4), af.FlatTorus(1), af.FlatTorus(2), af.FlatTorus(3)]
SLOPE = np.array([0.9, -0.4, 0.7, 0.3, -0.6, 0.5])


def points(manifold, n=7):
    drawn = manifold.sample_uniform(n, np.random.default_rng(4))
    if isinstance(manifold, af.Sphere):
        drawn[0] = np.eye(manifold.ambient_dim)[-1]  # the pole of all angles
    return drawn


@pytest.mark.parametrize("degree", [28, 29])
@pytest.mark.parametrize("manifold", SPACES, ids=repr)
def test_functions_are_recovered_from_their_values(manifold, degree):
    # e^{<b, x>} with |b| < 1.5 has harmonics of degree 15 of 1e-13.
    def f(x):
        growing = np.exp(x @ SLOPE[: manifold.ambient_dim])
        return np.column_stack([growing, 1 + 2 * growing])

    nodes, at = manifold.quadrature(degree).points, points(manifold)
    harmonics = harmonics_of(manifold, degree)
    coefficients = harmonics.analyse(f(nodes))
    np.testing.assert_allclose(harmonics.synthesise(coefficients), f(nodes), rtol=0, atol=1e-12)
    np.testing.assert_allclose(harmonics.evaluate(coefficients, at), f(at), rtol=0, atol=1e-12)


@pytest.mark.parametrize("manifold", SPACES[:4], ids=repr)
@pytest.mark.parametrize("degree", [0, 1, 7, 20])
def test_every_harmonic_has_its_degree(manifold, degree):
    # C_l(<b, x>), or cos(l t) on the circle, in a direction that no angle knows.
    b, order = SLOPE[: manifold.ambient_dim] / np.linalg.norm(SLOPE[: manifold.ambient_dim]), (manifold.dim - 1) / 2

    def f(x):
        heights = np.clip(x @ b, -1, 1)
        values = np.cos(degree * np.arccos(heights)) if order == 0 else eval_gegenbauer(degree, order, heights)
        return values[:, None] / np.abs(values).max()

    nodes = manifold.quadrature(42).points
    harmonics = harmonics_of(manifold, 42)
    coefficients = harmonics.analyse(f(nodes))
    alone = np.eye(harmonics.limit + 1)[degree]
    kept, left = (harmonics.synthesise(harmonics.damp(coefficients, symbol)) for symbol in (alone, 1 - alone))
    np.testing.assert_allclose(kept, f(nodes), rtol=0, atol=1e-12)
    np.testing.assert_allclose(left, 0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degree", [20, 21])
def test_every_wave_of_a_torus_has_its_degrees(degree):
    torus = af.FlatTorus(2)
    angles = torus.angles(torus.quadrature(degree).points)
    harmonics = harmonics_of(torus, degree)
    wave = np.cos(3 * angles[:, :1] - 5 * angles[:, 1:] + 0.3)
    symbol = np.linspace(1, 2, harmonics.limit + 1)
    found = harmonics.synthesise(harmonics.damp(harmonics.analyse(wave), symbol))
    np.testing.assert_allclose(found, symbol[3] * symbol[5] * wave, rtol=0, atol=1e-13)


@pytest.mark.parametrize("manifold", SPACES, ids=repr)
def test_the_tail_is_the_root_mean_square_of_high_degrees(manifold):
    # On a circle in the manifold: cos(l t) of a point, l = 9 of at most 10, and l = 3.
    nodes = manifold.quadrature(20).points
    waves = (nodes[:, :1] + 1j * nodes[:, 1:2]) ** np.array([9, 3])
    rms = np.sqrt(np.average(waves[:, 0].real ** 2, weights=manifold.quadrature(20).masses))
    harmonics = harmonics_of(manifold, 20)
    high, low = (harmonics.tail(harmonics.analyse(5 * wave[:, None]), size=10.0) for wave in waves.real.T)
    assert high == pytest.approx(rms / 2, rel=1e-10)
    assert low < 1e-14
