"""What is the sampling noise of the generator as the bandwidth shrinks?

At fixed bandwidth the variance of A_N f(x) is known to leading order in 1/N (see the study `noise`), so its asymptote
is judged without randomness, by quadrature. Where grad f(x) is not zero,

    N^{1/2} std[(A_N - A) f(x) / eps] = |grad f(x)| (2 p(x))^{-1/2} (4 pi)^{-m/4} eps^{-1/2 - m/4} (1 + O(eps)),

since int k p is p (2 pi eps)^{m/2}, int k^2 is (pi eps)^{m/2}, and under k^2 f varies by |grad f| (eps/2)^{1/2} about
its mean [Si]. Measured: the left-hand side over its asymptote, averaged over queries (the constant), and the exponent
of the left-hand side in eps. The controls are the noise of A_N f itself, without the division by eps (in truth its
exponent is 1/2 - m/4), and the constant without its 2 p (in truth the mean of (2p)^{-1/2} over the queries).
"""

import functools
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import i0

import attnflow as af

MANIFOLDS = {"circle": af.Circle(), "sphere": af.Sphere(2)}
CONCENTRATION = 0.7


class Problem(NamedTuple):
    """Queries where grad f is not small, with |grad f| and p there."""

    density: af.VonMisesFisher
    queries: np.ndarray
    slopes: np.ndarray
    p: np.ndarray


def test_function(x: jax.Array) -> jax.Array:
    """Return f = a.x at one point; a is not the mean direction e_1."""
    return x[0] - 0.5 * x[-1]


@functools.cache
def problem(name: str) -> Problem:
    """Return p, the queries and what the asymptote needs there."""
    manifold = MANIFOLDS[name]
    density = af.VonMisesFisher(manifold, mean_direction=np.eye(manifold.ambient_dim)[0], concentration=CONCENTRATION)
    queries, slopes = steep_queries(name)
    p = np.exp(density.log_densities(queries))
    return Problem(density, queries, slopes, p)


def steep_queries(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return points where grad f is not small, and |grad f| there."""
    manifold = MANIFOLDS[name]
    a = np.eye(manifold.ambient_dim)[0] - 0.5 * np.eye(manifold.ambient_dim)[-1]
    queries = manifold.sample_uniform(200, np.random.default_rng(7))
    slopes = np.linalg.norm(a - (queries @ a)[:, None] * queries, axis=1)
    steep = slopes > 0.5 * slopes.max()
    return queries[steep], slopes[steep]


def forgotten_factor(name: str) -> float:
    """Return the mean of (2p)^{-1/2} over the queries, p = e^{c x_1} / (2 pi I_0(c)) or c e^{c x_1} / (4 pi sinh c)."""
    c = CONCENTRATION
    mass = {"circle": 2 * np.pi * i0(c), "sphere": 4 * np.pi * np.sinh(c) / c}[name]
    queries, _ = steep_queries(name)
    return float(np.mean(np.sqrt(mass / 2 * np.exp(-c * queries[:, 0]))))


def generator_noise(name: str, bandwidth: float) -> np.ndarray:
    """Return lim N^{1/2} std[(A_N - A) f / eps] at the queries, at this bandwidth."""
    p = problem(name)
    population = af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), p.density)
    return np.sqrt(population.sampling_variance(test_function, at=p.queries)) / bandwidth


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return RMS noise of generator and layer, and mean ratios to the asymptote and to that without 2 p."""
    eps = case["bandwidth"]
    measured: dict[str, float] = {}
    for name, manifold in MANIFOLDS.items():
        p, noise = problem(name), generator_noise(name, eps)
        shape = p.slopes * (4 * np.pi) ** (-manifold.dim / 4) * eps ** (-0.5 - manifold.dim / 4)
        measured |= {
            f"{name}.noise": np.sqrt(np.mean(noise**2)),
            f"{name}.layer_noise": np.sqrt(np.mean((eps * noise) ** 2)),
            f"{name}.ratio": np.mean(noise / (shape / np.sqrt(2 * p.p))),
            f"{name}.bare_ratio": np.mean(noise / shape),
        }
    return measured


GENERATOR_NOISE = r"$\lim N^{1/2}\,\mathrm{std}[(A_N - A) f / \varepsilon]$"
LAYER_NOISE = r"$\lim N^{1/2}\,\mathrm{std}[(A_N - A) f]$"


def claims_on(name: str) -> list[af.Claim]:
    """Return what is claimed on one manifold."""
    m = MANIFOLDS[name].dim
    exponent = Fraction(-2 - m, 4)
    common: dict[str, Any] = dict(
        source="Si", size="bandwidth", measures=("population",),
        hypotheses=rf"{name} ($m = {m}$), $p$ von Mises-Fisher, $|\nabla f|$ bounded below",
    )  # fmt: skip
    rate = af.Claim(
        id=f"noise-const/{name}/exponent",
        statement=rf"{GENERATOR_NOISE} is of order $\varepsilon^{{{exponent}}}$",
        kind="exponent", quantity=f"{name}.noise", predicted=float(exponent), **common,
    )  # fmt: skip
    constant = af.Claim(
        id=f"noise-const/{name}",
        statement=GENERATOR_NOISE
        + r" over $|\nabla f| (2p)^{-1/2} (4\pi)^{-m/4} \varepsilon^{-1/2 - m/4}$ tends to 1",
        kind="constant", quantity=f"{name}.ratio", predicted=1.0, **common,
    )  # fmt: skip
    return [
        rate,
        rate.control(
            statement=rf"{LAYER_NOISE} is of order $\varepsilon^{{{exponent}}}$",
            quantity=f"{name}.layer_noise",
            truth=0.5 - m / 4,
        ),
        constant,
        constant.control(
            statement=GENERATOR_NOISE + r" over $|\nabla f| (4\pi)^{-m/4} \varepsilon^{-1/2 - m/4}$ tends to 1",
            quantity=f"{name}.bare_ratio",
            truth=forgotten_factor(name),
        ),
    ]


def labels_on(name: str) -> dict[str, str]:
    """Return what figures call the quantities of one manifold."""
    return {
        f"{name}.noise": GENERATOR_NOISE,
        f"{name}.layer_noise": LAYER_NOISE,
        f"{name}.ratio": "noise over its predicted constant",
        f"{name}.bare_ratio": r"noise over the constant without $(2p)^{-1/2}$",
    }


study = af.Study(
    name="noise_constant",
    measure=measure,
    ladder=[{"bandwidth": 0.1 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[*claims_on("circle"), *claims_on("sphere")],
    labels=labels_on("circle") | labels_on("sphere"),
)
