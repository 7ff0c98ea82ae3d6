"""A claim about noise measures it: points with less of it, or with four times as much, must not pass.

Every study is run as it is but for the points: drawn as a shifted lattice, which has hardly any noise, or each of them
four times, which has four times the variance. What was supported of independent points must then come out otherwise.
"""

from pathlib import Path

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow.lab.loading import load_study

STUDIES = Path(__file__).parents[2] / "studies"
SEEDS = 4
SMALLER = {  # what a study measures per seed, for a test
    "noise_three": {"QUERIES": 64, "STEEP_QUERIES": 64},
    "error_plane": {"QUERIES": 64, "CLOUDS": {"best": 2, "wider": 2, "narrower": 2}},
    "depth_noise": {"CLOUDS": {}, "CLOUDS_OF_POWERS": {1: 24, 2: 8, 3: 4}},
}
CASES = {
    "noise": [{"points": n} for n in (1024, 1448, 2048, 2896)],
    "noise_three": [
        *({"points": n} for n in (1600, 2400, 3200, 4800)),
        *({"bandwidth": 0.1 * 2 ** (-k / 4)} for k in range(4)),
    ],
    "error_plane": [{"picture": "valley", "points": n} for n in (400, 600, 800, 1200)],
    "depth_noise": [
        *({"effect": "modes", "points": n} for n in (200, 240, 280, 320)),
        *({"effect": "depth", "points": n} for n in (240, 320, 400, 480)),
        {"effect": "limit", "points": 400},
    ],
    "breakdown": [{"neighbours": 8.0}],
}
MEASURES_NOISE = {
    "noise": ["noise-CLT/circle", "noise-CLT/sphere"],
    "noise_three": ["noise-CLT/three-sphere", "noise-CLT/three-torus", "noise-const/three-sphere/drawn"],
    "error_plane": ["valley/sphere/best", "valley/sphere/wider", "valley/sphere/narrower"],
    "depth_noise": [
        *(f"{effect}/torus-{m}" for effect in ("depth-noise", "slow-down") for m in (1, 2, 3)),
        "depth-noise-limit/torus-1/drawn",
    ],
    "breakdown": ["breakdown/eight"],
}


def lattice(dim: int, n: int, shift: np.ndarray) -> np.ndarray:
    """n points of the unit cube, a Kronecker sequence shifted: its discrepancy is of order log(n)^dim / n."""
    ratio = 1.5
    for _ in range(40):  # the root of x^(dim + 1) = x + 1: the golden ratio for dim = 1
        ratio = (1 + ratio) ** (1 / (dim + 1))
    return np.mod(shift + np.outer(np.arange(1, n + 1), ratio ** -np.arange(1.0, dim + 1)), 1)


def sphere_of(cube: np.ndarray, *, concentration: float) -> np.ndarray:
    """Points of S^m, m = 1, 2, 3, of density ~ e^{c x_1}, from uniform ones of the cube of dimension m."""
    m = cube.shape[1]
    if m == 1:
        angles = np.linspace(-np.pi, np.pi, 20_001)
        mass = np.cumsum(np.exp(concentration * np.cos(angles)))
        angle = np.interp(cube[:, 0], mass / mass[-1], angles)
        return np.column_stack([np.cos(angle), np.sin(angle)])
    heights = np.linspace(-1, 1, 20_001)
    mass = np.cumsum(np.exp(concentration * heights) * (1 - heights**2) ** (m / 2 - 1))
    height = np.interp(cube[:, 0], mass / mass[-1], heights)
    rest = sphere_of(cube[:, 1:], concentration=0.0)
    return np.column_stack([height, np.sqrt(1 - height**2)[:, None] * rest])


def even(density: af.Density, n: int, key: jax.Array) -> np.ndarray:
    shift = np.asarray(jax.random.uniform(key, (density.manifold.dim,)))
    cube = lattice(density.manifold.dim, n, shift)
    if isinstance(density.manifold, af.FlatTorus):
        return np.hstack([sphere_of(column[:, None], concentration=0.0) for column in cube.T])
    return sphere_of(cube, concentration=getattr(density, "concentration", 0.0))


def verdicts(study: af.Study, monkeypatch, draw) -> dict[str, tuple[str, float]]:
    """Verdicts on the claims about noise, and the means of their levels, the points drawn as said."""
    for kind in (af.Uniform, af.VonMisesFisher):
        original = kind.sample
        monkeypatch.setattr(kind, "sample", lambda self, n, *, key, original=original: draw(self, n, key, original))
    for name, value in SMALLER.get(study.name, {}).items():
        monkeypatch.setitem(study.measure.__wrapped__.__globals__, name, value)
    levels: dict[str, list[af.Level]] = {}
    keys = list(jax.random.split(jax.random.key(11), SEEDS))
    for case in CASES[study.name]:
        measured = study.measure(case, keys)
        for claim in study.claims:
            if claim.quantity in measured and claim.size in case:
                level = af.Level(size=case[claim.size], values=measured[claim.quantity])
                levels.setdefault(claim.id, []).append(level)
    claims = {claim.id: claim for claim in study.claims}
    return {
        name: (af.judge(claims[name], levels[name]).verdict, float(np.mean([level.values for level in levels[name]])))
        for name in MEASURES_NOISE[study.name]
    }


@pytest.fixture(params=CASES)
def study(request):
    (path,) = STUDIES.rglob(f"{request.param}.py")
    return load_study(path)


def test_points_without_noise_are_not_supported(study, monkeypatch):
    for name, (verdict, measured) in verdicts(study, monkeypatch, lambda p, n, key, _: even(p, n, key)).items():
        assert verdict != "supported", name
        # bias stays: 16/17 of the square at twice the best bandwidth, and half at the best
        assert measured < (0.97 if name == "valley/sphere/wider" else 0.6), (name, measured)


def test_every_point_four_times_is_not_supported(study, monkeypatch):
    def four_times(density, n, key, original):
        return np.repeat(original(density, -(-n // 4), key=key), 4, axis=0)[:n]

    for name, (verdict, measured) in verdicts(study, monkeypatch, four_times).items():
        assert verdict != "supported", name
        # four to leading order, two for a root; 1 + 3/17 at twice the best bandwidth, and 5/2 at the best
        assert measured > (1.05 if name == "valley/sphere/wider" else 1.6), (name, measured)


def test_independent_points_have_the_noise_that_is_predicted(study, monkeypatch):
    found = verdicts(study, monkeypatch, lambda density, n, key, original: original(density, n, key=key))
    for name, (_, measured) in found.items():
        # four seeds scatter by .1, few points are 1/nb off; the two samples above lie outside
        assert 0.6 < measured < 1.6, (name, measured)


def test_the_lattices_have_the_means_of_their_densities():
    for density in (
        af.Uniform(af.FlatTorus(3)),
        af.Uniform(af.Sphere(2)),
        *(af.VonMisesFisher(af.Sphere(m), mean_direction=np.eye(m + 1)[0], concentration=0.7) for m in (1, 2, 3)),
    ):
        points = even(density, 4000, jax.random.key(3))
        drawn = density.sample(40_000, key=jax.random.key(4))
        np.testing.assert_allclose(points.mean(axis=0), drawn.mean(axis=0), atol=0.02)  # drawn: .005 each
        np.testing.assert_allclose((points**2).mean(axis=0), (drawn**2).mean(axis=0), atol=0.02)
