"""Many noisy tokens on the circle at a cost that grows like N, by the waves of their kernel.

Tokens dx = P int e^{beta <x, y>} y mu(dy) dt + sqrt(2 kappa) dB on the circle have angles with

    d theta = sum_l l a_l Im(Z_l e^{-i l theta}) dt + sqrt(2 kappa) dW,   Z_l = mean of e^{i l theta},

a_l = 2 I_l(beta) / beta (`ordered_branch`), l = 1, 2, ... as long as l a_l is not lost beside a_1. The noise does not
depend on where a token is, so that neither Ito nor Stratonovich nor a projection matters.

A step adds h times the drift and the mean of two normal kicks, its own and the next step's. That is of second order in
h for the law at rest [LeimkuhlerMatthews2013]. A wave that obeys dz = (kappa# - kappa) z dt without noise is multiplied
by g in a step where

    g - e^{-kappa h} = kappa# h e^{-kappa h / 2},   so that g = 1 if kappa# h = 2 sinh(kappa h / 2):

steps have their own critical noise, lower by some (kappa h)^2 / 24 of it, which is not small beside the N^{-1/2} that
matters near it. `of_steps` takes it into account.
"""

from collections.abc import Iterator

import jax
import numpy as np
import ordered_branch

import attnflow as af

SMALLEST = 1e-12  # of the first force
DRAWN = 50  # steps of which kicks are drawn at once


def forces(beta: float) -> np.ndarray:
    """Return l a_l, l = 1, 2, ...."""
    found = np.arange(1, ordered_branch.WAVES + 1) * ordered_branch.coefficients(1, beta)
    return found[found > SMALLEST * found[0]]


def of_steps(noises: np.ndarray, step: float) -> np.ndarray:
    """Return the kappa that steps h need for what kappa is in continuous time: (2 / h) asinh(kappa h / 2)."""
    return 2 / step * np.arcsinh(noises * step / 2)


def drift(angles: np.ndarray, by_wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the velocities of angles (..., N) and Z_1 (...), each row a set of tokens of its own."""
    places = np.empty(angles.shape, complex)
    np.cos(angles, out=places.real)
    np.sin(angles, out=places.imag)
    power, means = places.copy(), [places.mean(axis=-1)]
    for _ in by_wave[1:]:
        power *= places
        means.append(power.mean(axis=-1))
    np.conj(places, out=places)
    total = np.zeros_like(places)
    for force, mean in zip(by_wave[::-1], means[::-1], strict=True):  # Horner's rule
        total += force * mean[..., None]
        total *= places
    return total.imag, means[0]


def orders(
    angles: np.ndarray, randoms: list[np.random.Generator], *, beta: float, noises: np.ndarray, step: float
) -> Iterator[np.ndarray]:
    """Give R = |Z_1| (S, M) before every step.

    Args:
        angles: where they begin, of S seeds and M sets of N tokens each, shape (S, M, N).
        randoms: of each seed.
        beta: inverse temperature.
        noises: kappa at every step.
        step: h.
    """
    by_wave, here = forces(beta), angles.copy()
    last = np.stack([random.standard_normal(angles.shape[1:]) for random in randoms])
    for start in range(0, len(noises), DRAWN):
        some = noises[start : start + DRAWN]
        kicks = np.stack([random.standard_normal((len(some), *angles.shape[1:])) for random in randoms], axis=1)
        for noise, kick in zip(some, kicks, strict=True):
            velocity, first = drift(here, by_wave)
            yield np.abs(first)
            here += step * velocity + np.sqrt(noise * step / 2) * (last + kick)
            last = kick


def even(count: int, key: jax.Array) -> np.ndarray:
    """Return independent uniform angles (N,)."""
    points = af.Uniform(af.Circle()).sample(count, key=key)
    return np.arctan2(points[:, 1], points[:, 0])
