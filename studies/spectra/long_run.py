"""What survives of an attention after very many layers: its slow modes and its stationary law?

With infinitely many points, (I - A)/eps has real eigenvalues 0 = l_0 < l_1 <= ..., and A the stationary density

    pi(x) = p(x) int e^{-|x-y|^2/2eps} p(y) dvol(y) / normaliser,

exactly, because the cost is symmetric. As eps -> 0 the eigenvalues tend to those of -L = -(1/2p^2) div(p^2 grad .)
and pi to p^2 / int p^2, both at rate eps [CL, RZ]. Few eigenvalues are near zero if p has few modes: -2 log p is the
potential in which L diffuses, and each of its wells holds one slow mode.

Measured on the circle: the largest relative error of l_1, ..., l_5; the largest error of the moments cos kt, sin kt
(k <= 3) of pi; the number of eigenvalues below one for p ~ exp(2 cos 2t), two wells. The controls compare with the
eigenvalues of -1/2 Lap and with moments of p instead of p^2, from which the distances in truth have the exponent zero,
and claim two wells for p ~ exp(2 cos t), which has one.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

N_MODES = 6


def two_wells(x: jax.Array) -> jax.Array:
    """Return 2 cos 2t."""
    return 2 * (2 * x[0] ** 2 - 1)


@functools.cache
def densities() -> dict[str, af.Density]:
    """Return the three p."""
    return {
        "tilted": af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.7),
        "two wells": af.LogDensity(af.Circle(), two_wells),
        "one well": af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=2.0),
    }


def moments(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the means of cos kt and sin kt, k = 1, 2, 3."""
    phases = (points @ np.array([1, 1j])) ** np.arange(1, 4)[:, None]
    means = phases @ weights / weights.sum()
    return np.concatenate([means.real, means.imag])


@functools.cache
def limit_spectrum() -> af.Spectrum:
    """Return the spectrum of -L."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=1.0)  # a drift-diffusion does not depend on it
    return af.DriftDiffusion(attention, densities()["tilted"]).spectrum(N_MODES)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the errors of eigenvalues and moments against both limits, and the numbers of slow modes."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=case["bandwidth"])
    populations = {name: af.PopulationAttention(attention, density) for name, density in densities().items()}
    spectra = {name: population.spectrum(N_MODES) for name, population in populations.items()}
    tilted, limit = spectra["tilted"], limit_spectrum()
    laplacian = np.array([0.5, 0.5, 2.0, 2.0, 4.5])  # of -1/2 Lap on the circle, k^2 / 2 twice

    density = densities()["tilted"]
    points, weights = density.quadrature(256)
    stationary = moments(points, weights * np.exp(populations["tilted"].log_normalizer(at=points)))
    p = np.exp(density.log_densities(points))
    return {
        "eigenvalues": np.max(np.abs(tilted.eigenvalues[1:] / limit.eigenvalues[1:] - 1)),
        "eigenvalues.solver_error": (tilted.solver_error + limit.solver_error) / limit.eigenvalues[1],
        "eigenvalues_without_drift": np.max(np.abs(tilted.eigenvalues[1:] / laplacian - 1)),
        "stationary": np.max(np.abs(stationary - moments(points, weights * p))),
        "stationary_first_power": np.max(np.abs(stationary - moments(points, weights))),
        "slow_modes_of_two_wells": float(np.sum(spectra["two wells"].eigenvalues < 1)),
        "slow_modes_of_one_well": float(np.sum(spectra["one well"].eigenvalues < 1)),
    }


common: dict[str, Any] = dict(
    source="CL", size="bandwidth",
    hypotheses=r"circle, $p > 0$ smooth, $D = |x - y|^2$, infinitely many points",
)  # fmt: skip
spectrum = af.Claim(
    id="spectrum/circle",
    statement=r"the eigenvalues of $(I - A)/\varepsilon$ tend to those of $-L$ at order $\varepsilon$",
    kind="exponent", quantity="eigenvalues", predicted=1.0, measures=("population", "limit"), **common,
)  # fmt: skip
wells = af.Claim(
    id="spectrum-wells", statement=r"for $p$ with two modes $(I - A)/\varepsilon$ has two eigenvalues below one",
    kind="identity", quantity="slow_modes_of_two_wells", predicted=2.0, margin=0.5, measures=("population",), **common,
)  # fmt: skip
invariant = af.Claim(
    id="invariant/limit", statement=r"the stationary density of $A$ tends to $p^2 / \int p^2$ at order $\varepsilon$",
    kind="exponent", quantity="stationary", predicted=1.0, measures=("population",), **common,
)  # fmt: skip
study = af.Study(
    name="long_run",
    measure=measure,
    ladder=[{"bandwidth": 0.08 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        spectrum,
        spectrum.control(
            statement=r"the eigenvalues of $(I - A)/\varepsilon$ tend to those of $-\Delta/2$ at order $\varepsilon$",
            quantity="eigenvalues_without_drift",
            measures=("population",),
            truth=0.0,
        ),
        wells,
        wells.control(
            statement=r"for $p$ with one mode $(I - A)/\varepsilon$ has two eigenvalues below one",
            quantity="slow_modes_of_one_well",
            truth=1.0,
            truth_margin=0.25,
        ),
        invariant,
        invariant.control(
            statement=r"the stationary density of $A$ tends to $p$ at order $\varepsilon$",
            quantity="stationary_first_power",
            truth=0.0,
        ),
    ],
    labels={
        "eigenvalues": r"largest relative distance of eigenvalues from those of $-L$",
        "eigenvalues_without_drift": r"largest relative distance of eigenvalues from those of $-\Delta/2$",
        "slow_modes_of_two_wells": "eigenvalues below one, two wells",
        "slow_modes_of_one_well": "eigenvalues below one, one well",
        "stationary": r"largest distance of moments from those of $p^2$",
        "stationary_first_power": r"largest distance of moments from those of $p$",
    },
)
