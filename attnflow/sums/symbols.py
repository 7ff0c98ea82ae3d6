"""Eigenvalues of zonal kernels on spheres, by Funk and Hecke, for any profile of the squared distance."""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.special import gammaln

from attnflow.profiles.base import Profile

PANEL_NODES = 32  # of Gauss and Legendre; those of degree 63 are exact
WAVES = 16.0  # of a panel, at most: half the degree that is exact
FIRST_PANEL = 2.0**-12  # of sqrt(eps): panels double in length from there, so that a power of the distance is resolved


@functools.lru_cache(maxsize=32)
@np.errstate(under="ignore", divide="ignore")
def profile_symbol(profile: Profile, bandwidth: float, *, dim: int, limit: int) -> tuple[np.ndarray, float]:
    """Return the eigenvalues of h(|x - y|^2 / eps) on S^m relative to that of constants, and log int h dvol.

    On a harmonic of degree l the kernel acts as |S^{m-1}| int h(4 sin^2(t/2) / eps) C_l(cos t) sin^{m-1} t dt with the
    Gegenbauer polynomial C_l(1) = 1; the integral ends where h does, so that a kink there is no obstacle.

    Args:
        profile: h.
        bandwidth: eps.
        dim: m.
        limit: the largest degree.

    Returns:
        (limit + 1,), and a number.
    """
    sine = math.sqrt(profile.edge * bandwidth) / 2
    end = math.pi if sine >= 1 else 2 * math.asin(sine)
    angles, weights = _panels(end, first=FIRST_PANEL * math.sqrt(bandwidth), longest=WAVES / (limit + 1))
    log_kernel = np.asarray(profile.log_weight(4 * np.sin(angles / 2) ** 2 / bandwidth), dtype=float)
    masses = weights * np.exp(log_kernel) * np.sin(angles) ** (dim - 1)
    cosine, order = np.cos(angles), (dim - 1) / 2
    symbol = np.empty(limit + 1)
    before, now = np.zeros_like(cosine), np.ones_like(cosine)
    for degree in range(limit + 1):
        symbol[degree] = masses @ now
        # (l + 2n) C_{l+1} = 2 (l + n) x C_l - l C_{l-1}, C_l(1) = 1, n = (m - 1)/2 [DLMF, 18.9]
        later = cosine if not degree else (2 * (degree + order) * cosine * now - degree * before) / (degree + 2 * order)
        before, now = now, later
    log_sphere = math.log(2) + dim / 2 * math.log(math.pi) - float(gammaln(dim / 2))  # of S^{m-1}
    return symbol / symbol[0], log_sphere + math.log(symbol[0])


def _panels(end: float, *, first: float, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights on panels of [0, end] that double in length up to the longest."""
    ends = [0.0, min(first, end)]
    while ends[-1] < end:
        ends.append(min(end, ends[-1] + min(ends[-1], longest)))
    nodes, weights = np.polynomial.legendre.leggauss(PANEL_NODES)
    starts, lengths = np.array(ends[:-1])[:, None], np.diff(ends)[:, None]
    return (starts + lengths * (nodes + 1) / 2).ravel(), (lengths * weights / 2).ravel()
