"""What is the sampling noise of the generator as the bandwidth shrinks, in three dimensions?

As in the study `noise_constant`: where grad f(x) is not zero, the limit in N of the noise has the limit in eps

    N^{1/2} std[(A_N - A) f(x) / eps] = |grad f(x)| (2 p(x))^{-1/2} (4 pi)^{-m/4} eps^{-1/2 - m/4} (1 + O(eps))   [Si].

The left-hand side is known in closed form where p ~ e^{b.x} on spheres and f = a.x: with the kernel k, and with k^2,
y is von Mises-Fisher about x/eps + b and 2x/eps + b, and int k^2 p / (int k p)^2 is a quotient of Bessel functions
[DLMF]. On T^3 = S^1 x S^1 x S^1 means and variances add over the factors and the integrals multiply.

Measured on S^3, p von Mises-Fisher, and on T^3, p uniform: the exponent in eps, and the ratio of the two sides averaged
over queries. The controls are the noise of A_N f itself, without the division by eps, and the constant without its 2 p.
"""

import functools
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import ive

import attnflow as af

M = 3
MANIFOLDS: dict[str, Any] = {"three-sphere": af.Sphere(3), "three-torus": af.FlatTorus(3)}
SLOPE = {"three-sphere": (1.0, 0.0, 0.0, -0.5), "three-torus": (1.0, 0.0, 0.0, -0.5, 0.25, 0.0)}  # a of f = a.x
DRIFT = {"three-sphere": (0.7, 0.0, 0.0, 0.0), "three-torus": (0.0,) * 6}  # b of p ~ e^{b.x}
FACTORS = {"three-sphere": 1, "three-torus": 3}  # unit spheres of which the manifold is the product


class Moments(NamedTuple):
    """Of f = a.y for y ~ e^{u.y}: mean, variance, and log int e^{u.y} dvol(y)."""

    mean: np.ndarray
    variance: np.ndarray
    log_integral: np.ndarray


def sphere_moments(u: np.ndarray, a: np.ndarray) -> Moments:
    """Return the moments on the unit sphere of R^D, u (Q, D) and not zero  [DLMF, 10.32]."""
    length, dim = np.linalg.norm(u, axis=1), u.shape[1]
    order = dim / 2 - 1
    ratio = ive(order + 1, length) / ive(order, length)
    along = u @ a / length
    variance = a @ a * ratio / length + (1 - dim * ratio / length - ratio**2) * along**2
    bessel = np.log(ive(order, length)) + length - order * np.log(length)
    return Moments(ratio * along, variance, (order + 1) * np.log(2 * np.pi) + bessel)


def product_moments(name: str, u: np.ndarray) -> Moments:
    """Return the moments on a product of spheres: sums over its factors."""
    slopes = np.split(np.array(SLOPE[name]), FACTORS[name])
    parts = [sphere_moments(block, a) for block, a in zip(np.split(u, FACTORS[name], axis=1), slopes, strict=True)]
    return Moments(*(np.sum(column, axis=0) for column in zip(*parts, strict=True)))


def log_mass(name: str) -> float:
    """Return log int e^{b.x} dvol(x)."""
    length = float(np.linalg.norm(DRIFT[name]))
    if length == 0:
        return float(np.log(MANIFOLDS[name].volume))
    return float(product_moments(name, np.array([DRIFT[name]])).log_integral[0])


@functools.cache
def queries(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return points where grad f is not small, and |grad f| there."""
    points = MANIFOLDS[name].sample_uniform(200, np.random.default_rng(7))
    squares = np.zeros(len(points))
    for x, a in zip(
        np.split(points, FACTORS[name], axis=1), np.split(np.array(SLOPE[name]), FACTORS[name]), strict=True
    ):
        squares += a @ a - (x @ a) ** 2
    steep = squares > 0.25 * squares.max()
    return points[steep], np.sqrt(squares[steep])


def layer_noise(name: str, bandwidth: float) -> np.ndarray:
    """Return lim N^{1/2} std[(A_N - A) f] at the queries."""
    x, _ = queries(name)
    full = product_moments(name, x / bandwidth + np.array(DRIFT[name]))
    half = product_moments(name, 2 * x / bandwidth + np.array(DRIFT[name]))
    inverse_ess = np.exp(half.log_integral - 2 * full.log_integral + log_mass(name))
    return np.sqrt(inverse_ess * (half.variance + (half.mean - full.mean) ** 2))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return RMS noise of generator and layer, and mean ratios to the asymptote and to that without 2 p."""
    eps = case["bandwidth"]
    measured: dict[str, float] = {}
    for name in MANIFOLDS:
        x, slopes = queries(name)
        noise = layer_noise(name, eps)
        p = np.exp(x @ np.array(DRIFT[name]) - log_mass(name))
        shape = slopes * (4 * np.pi) ** (-M / 4) * eps ** (-0.5 - M / 4)
        measured |= {
            f"{name}.noise": np.sqrt(np.mean((noise / eps) ** 2)),
            f"{name}.layer_noise": np.sqrt(np.mean(noise**2)),
            f"{name}.ratio": np.mean(noise / eps / (shape / np.sqrt(2 * p))),
            f"{name}.bare_ratio": np.mean(noise / eps / shape),
        }
    return measured


GENERATOR_NOISE = r"$\lim N^{1/2}\,\mathrm{std}[(A_N - A) f / \varepsilon]$"
LAYER_NOISE = r"$\lim N^{1/2}\,\mathrm{std}[(A_N - A) f]$"


def claims_on(name: str) -> list[af.Claim]:
    """Return what is claimed on one manifold."""
    density = "von Mises-Fisher" if any(DRIFT[name]) else "uniform"
    exponent = Fraction(-2 - M, 4)
    common: dict[str, Any] = dict(
        source="Si", size="bandwidth", measures=(),
        hypotheses=rf"{name} ($m = 3$), $p$ {density}, $|\nabla f|$ bounded below",
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
    x, _ = queries(name)
    mass = np.exp(log_mass(name) - x @ np.array(DRIFT[name]))  # 1/p
    return [
        rate,
        rate.control(
            statement=rf"{LAYER_NOISE} is of order $\varepsilon^{{{exponent}}}$",
            quantity=f"{name}.layer_noise",
            truth=0.5 - M / 4,
        ),
        constant,
        constant.control(
            statement=GENERATOR_NOISE + r" over $|\nabla f| (4\pi)^{-m/4} \varepsilon^{-1/2 - m/4}$ tends to 1",
            quantity=f"{name}.bare_ratio",
            truth=float(np.mean(np.sqrt(mass / 2))),
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
    name="noise_constant_three",
    measure=measure,
    ladder=[{"bandwidth": 0.1 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[*claims_on("three-sphere"), *claims_on("three-torus")],
    labels=labels_on("three-sphere") | labels_on("three-torus"),
)
