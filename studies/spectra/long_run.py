"""What survives of an attention after very many layers: its slow modes and its stationary law?

With infinitely many points, (I - A)/eps has real eigenvalues 0 = l_0 < l_1 <= ..., and A the stationary density

    pi(x) = p(x) int e^{-|x-y|^2/2eps} p(y) dvol(y) / normaliser,

exactly, because the cost is symmetric. As eps -> 0 the eigenvalues tend to those of -L = -(1/2p^2) div(p^2 grad .)
and pi to p^2 / int p^2, both at rate eps [CL, RZ]. Few eigenvalues are near zero if p has few modes: -2 log p is the
potential in which L diffuses, and each of its wells holds one slow mode.

Measured on the circle: the largest relative error of l_1, ..., l_5; the largest error of the moments cos kt, sin kt
(k <= 3) of pi; the number of eigenvalues below one for p ~ exp(2 cos 2t), two wells. The controls compare with the
eigenvalues of -1/2 Lap, with moments of p instead of p^2, and claim two wells for p ~ exp(2 cos t).
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

N_MODES = 6


def two_wells(x: jax.Array) -> jax.Array:
    return 2 * (2 * x[0] ** 2 - 1)  # 2 cos 2t


@functools.cache
def densities() -> dict[str, af.Density]:
    return {
        "tilted": af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.7),
        "two wells": af.LogDensity(af.Circle(), two_wells),
        "one well": af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=2.0),
    }


def moments(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The means of cos kt and sin kt, k = 1, 2, 3."""
    phases = (points @ np.array([1, 1j])) ** np.arange(1, 4)[:, None]
    means = phases @ weights / weights.sum()
    return np.concatenate([means.real, means.imag])


@functools.cache
def limit_spectrum() -> af.Spectrum:
    attention = af.Attention(af.SquaredDistance(), bandwidth=1.0)  # a drift-diffusion does not depend on it
    return af.DriftDiffusion(attention, densities()["tilted"]).spectrum(N_MODES)


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
    attention = af.Attention(af.SquaredDistance(), bandwidth=case["bandwidth"])
    populations = {name: af.PopulationAttention(attention, density) for name, density in densities().items()}
    spectra = {name: population.spectrum(N_MODES) for name, population in populations.items()}
    tilted, limit = spectra["tilted"], limit_spectrum()
    laplacian = np.array([0.5, 0.5, 2.0, 2.0, 4.5])  # of -1/2 Lap on the circle, k^2 / 2 twice

    density = densities()["tilted"]
    points, weights = density.quadrature(256)
    stationary = moments(points, weights * np.exp(populations["tilted"].log_normalizer(at=points)))
    p = np.exp(density.log_densities(points))
    slow = {name: np.sum(spectrum.eigenvalues < 1) for name, spectrum in spectra.items()}
    measured = {
        "eigenvalues": np.max(np.abs(tilted.eigenvalues[1:] / limit.eigenvalues[1:] - 1)),
        "eigenvalues.solver_error": (tilted.solver_error + limit.solver_error) / limit.eigenvalues[1],
        "eigenvalues_without_drift": np.max(np.abs(tilted.eigenvalues[1:] / laplacian - 1)),
        "stationary": np.max(np.abs(stationary - moments(points, weights * p))),
        "stationary_first_power": np.max(np.abs(stationary - moments(points, weights))),
        "slow_modes_of_two_wells": slow["two wells"],
        "slow_modes_of_one_well": slow["one well"],
    }
    return {quantity: np.full(len(keys), float(value)) for quantity, value in measured.items()}


common: dict[str, Any] = dict(
    source="CL", size="bandwidth", hypotheses="circle, p > 0 smooth, D = |x - y|^2, infinitely many points"
)
study = af.Study(
    name="long_run",
    measure=measure,
    ladder=[{"bandwidth": 0.08 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        af.Claim(
            id="spectrum/circle", statement="the eigenvalues of (I - A)/eps tend to those of -L at order eps",
            kind="exponent", quantity="eigenvalues", predicted=1.0, **common,
        ),
        af.Claim(
            id="spectrum-control/circle", statement="the eigenvalues of (I - A)/eps tend to those of -1/2 Lap",
            kind="exponent", quantity="eigenvalues_without_drift", predicted=1.0,
            control_of="spectrum/circle", **common,
        ),
        af.Claim(
            id="spectrum-wells", statement="p with two modes has two eigenvalues near zero (below one)",
            kind="identity", quantity="slow_modes_of_two_wells", predicted=2.0, margin=0.5, **common,
        ),
        af.Claim(
            id="spectrum-wells-control", statement="p with one mode has two eigenvalues near zero (below one)",
            kind="identity", quantity="slow_modes_of_one_well", predicted=2.0, margin=0.5,
            control_of="spectrum-wells", **common,
        ),
        af.Claim(
            id="invariant/limit", statement="the stationary density of A tends to p^2 / int p^2 at order eps",
            kind="exponent", quantity="stationary", predicted=1.0, **common,
        ),
        af.Claim(
            id="invariant-control/limit", statement="the stationary density of A tends to p at order eps",
            kind="exponent", quantity="stationary_first_power", predicted=1.0, control_of="invariant/limit", **common,
        ),
    ],
    labels={
        "eigenvalues": "largest relative error of the eigenvalues",
        "eigenvalues_without_drift": "largest relative error of the eigenvalues",
        "slow_modes_of_two_wells": "eigenvalues below one",
        "slow_modes_of_one_well": "eigenvalues below one",
        "stationary": "largest error of the moments",
        "stationary_first_power": "largest error of the moments",
    },
)  # fmt: skip
