"""What is the sampling noise of the generator as the bandwidth shrinks?

At fixed bandwidth the variance of A_N f(x) is known to leading order in 1/N (see the study `noise`), so its asymptote
is judged without randomness, by quadrature. Where grad f(x) is not zero,

    N^{1/2} std[(A_N - A) f(x) / eps] = |grad f(x)| (2 p(x))^{-1/2} (4 pi)^{-m/4} eps^{-1/2 - m/4} (1 + O(eps)),

since int k p is p (2 pi eps)^{m/2}, int k^2 is (pi eps)^{m/2}, and under k^2 f varies by |grad f| (eps/2)^{1/2} about
its mean [Si]. Measured: the left-hand side over its asymptote, averaged over queries (the constant), and the exponent
of the left-hand side in eps. The controls are the noise of A_N f itself, without the division by eps (its exponent is
1/2 - m/4), and the constant without its 2 p.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

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
    """f = a.x and f^2 at one point; a is not the mean direction e_1."""
    f = x[0] - 0.5 * x[-1]
    return jnp.stack([f, f**2])


@functools.cache
def problem(name: str) -> Problem:
    manifold = MANIFOLDS[name]
    density = af.VonMisesFisher(manifold, mean_direction=np.eye(manifold.ambient_dim)[0], concentration=CONCENTRATION)
    a = np.eye(manifold.ambient_dim)[0] - 0.5 * np.eye(manifold.ambient_dim)[-1]
    queries = manifold.sample_uniform(200, np.random.default_rng(7))
    slopes = np.linalg.norm(a - (queries @ a)[:, None] * queries, axis=1)
    steep = slopes > 0.5 * slopes.max()
    p = np.exp(density.log_densities(queries[steep]))
    return Problem(density, queries[steep], slopes[steep], p)


def generator_noise(name: str, bandwidth: float) -> np.ndarray:
    """lim N^{1/2} std[(A_N - A) f / eps] at the queries, at this bandwidth."""
    p = problem(name)
    full, half = (
        af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth=eps), p.density)
        for eps in (bandwidth, bandwidth / 2)
    )
    mean = full.layer(test_function, at=p.queries)[:, 0]
    first, second = half.layer(test_function, at=p.queries).T
    inverse_ess = np.exp(half.log_normalizer(at=p.queries) - 2 * full.log_normalizer(at=p.queries))
    return np.sqrt(inverse_ess * (second - 2 * mean * first + mean**2)) / bandwidth


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
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
    return {quantity: np.full(len(keys), value) for quantity, value in measured.items()}


def claims_on(name: str) -> list[af.Claim]:
    m = MANIFOLDS[name].dim
    common: dict[str, Any] = dict(
        source="Si", size="bandwidth", hypotheses=f"{name} (m = {m}), p von Mises-Fisher, |grad f| bounded below"
    )
    exponent = -0.5 - m / 4
    return [
        af.Claim(
            id=f"noise-const/{name}/exponent",
            statement=f"lim N^(1/2) std[(A_N - A) f / eps] is of order eps^({exponent})",
            kind="exponent", quantity=f"{name}.noise", predicted=exponent, **common,
        ),
        af.Claim(
            id=f"noise-const-control/{name}/exponent",
            statement=f"lim N^(1/2) std[(A_N - A) f] is of order eps^({exponent})",
            kind="exponent", quantity=f"{name}.layer_noise", predicted=exponent,
            control_of=f"noise-const/{name}/exponent", **common,
        ),
        af.Claim(
            id=f"noise-const/{name}",
            statement="its ratio to |grad f| (2p)^(-1/2) (4 pi)^(-m/4) eps^(-1/2-m/4) tends to 1",
            kind="constant", quantity=f"{name}.ratio", predicted=1.0, **common,
        ),
        af.Claim(
            id=f"noise-const-control/{name}",
            statement="its ratio to |grad f| (4 pi)^(-m/4) eps^(-1/2-m/4) tends to 1",
            kind="constant", quantity=f"{name}.bare_ratio", predicted=1.0, control_of=f"noise-const/{name}", **common,
        ),
    ]  # fmt: skip


study = af.Study(
    name="noise_constant",
    measure=measure,
    ladder=[{"bandwidth": 0.1 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[claim for name in MANIFOLDS for claim in claims_on(name)],
    labels={
        f"{name}.{quantity}": label
        for name in MANIFOLDS
        for quantity, label in {
            "noise": "lim √N std[(A_N − A)f/ε]",
            "layer_noise": "lim √N std[(A_N − A)f]",
            "ratio": "noise over its predicted constant",
            "bare_ratio": "noise over the constant without (2p)^(−1/2)",
        }.items()
    },
)
