"""The error of the lowest eigenvalue of N points at a bandwidth, under a known density."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from attnflow.attention import Attention
from attnflow.comparison.bandwidths.keys import Keys, Law, costs_of_own
from attnflow.comparison.bandwidths.slow_down import slow_down
from attnflow.comparison.bandwidths.suggestion import Prediction
from attnflow.densities.base import Density
from attnflow.equations.continuum import DriftDiffusion
from attnflow.errors import ConfigError
from attnflow.measures import DiscreteMeasure
from attnflow.sums.empirical import EmpiricalAttention
from attnflow.sums.population import PopulationAttention

RTOL = 1e-6  # of the eigenvalues of layers
SAME = 1e-6  # relative: eigenvalues that differ by less are one
MOST_COPIES = 64
EMPTY = 1e-3  # of the largest mass of a node; what is rarer does not decide


class EigenvalueErrors:
    r"""Errors of the lowest eigenvalue above zero of (I - A_N)/eps, a mean over its copies where it has several.

    To first order the matrix of the noise in the eigenspace is a mean over keys Y of

        h_ij(Y) = (mu / eps) v(Y) T(Y) (u_i u_j - A(u_i u_j))(Y),   A u = mu u,   int u^2 p v T = 1,

    which as eps -> 0 is p (<grad u_i, grad u_j> - 2 lambda u_i u_j), int u^2 p^2 = 1. To second order the points slow
    the flow down: an eigenvalue is lowered by the energy of its eigenfunction in the form with c / nb, see `slow_down`.

    Args:
        attention: the attention, of a symmetric cost; its bandwidth is not used.
        density: p.
        count: N.
    """

    def __init__(self, attention: Attention, density: Density, *, count: int) -> None:
        self._attention, self._density, self._count = attention, density, count
        self._law = Law(attention, density, None)
        self._value, self._copies = _lowest(DriftDiffusion(attention, density, rtol=RTOL))

    def predict(self, bandwidth: float) -> Prediction:
        """Return the errors at a bandwidth."""
        attention = self._attention.replace(bandwidth=bandwidth)
        spectrum = PopulationAttention(attention, self._density, rtol=RTOL).spectrum(self._copies + 1)
        values = spectrum.eigenvalues[1:]
        keys = self._law.nodes(bandwidth)
        noise, shift, neighbours = self._noise(keys, spectrum.eigenfunctions, values, bandwidth)
        bias = values - self._value
        return Prediction(
            bandwidth=bandwidth,
            error=math.sqrt(np.mean((bias + shift) ** 2) + noise),
            bias=math.sqrt(np.mean(bias**2)),
            noise=math.sqrt(shift**2 + noise),
            neighbours=neighbours,
        )

    def _noise(
        self, keys: Keys, eigenfunctions: Callable, values: np.ndarray, bandwidth: float
    ) -> tuple[float, float, float]:
        """Return the variance of an eigenvalue, its mean shift, and the neighbours of the emptiest node."""
        layer = EmpiricalAttention(
            self._attention.replace(bandwidth=bandwidth, normalization="softmax"),
            DiscreteMeasure(keys.points, keys.masses * keys.weights),
        )
        own = self._attention.profile.logit(costs_of_own(self._attention, keys.points), bandwidth=bandwidth)
        log_total = layer.log_normalizer(at=keys.points)
        neighbours = self._count * np.exp(log_total - own) / keys.weights
        law = keys.weights * np.exp(log_total - log_total.max())
        law = law / (keys.masses @ law)  # the stationary law is this times p
        u = eigenfunctions(keys.points)[:, 1:]
        first, second = np.triu_indices(self._copies)
        products = u[:, first] * u[:, second]
        share = 1 / neighbours[:, None]
        averages = layer.layer(np.hstack([products, u, share * u, share]))
        of_products, of_u, of_slowed, of_share = np.split(
            averages, np.cumsum([len(first), *2 * [self._copies]]), axis=1
        )
        response = law[:, None] * (products - of_products) * (1 / bandwidth - values[first])
        variances = keys.masses @ response**2 * np.where(first == second, 1.0, 2.0)
        slowed = 0.5 * (share * (of_u - u) + of_slowed - u * of_share)
        energy = float(np.mean((keys.masses * law) @ (u * slowed))) / bandwidth
        seen = neighbours[law * keys.masses > EMPTY * np.max(law * keys.masses)]
        shift = slow_down(self._density.manifold.dim, None) * energy
        return float(variances.sum()) / (self._count * self._copies), shift, float(seen.min())


def _lowest(limit: DriftDiffusion) -> tuple[float, int]:
    """Return the lowest eigenvalue above zero, and how many copies it has."""
    k = 4
    while k <= MOST_COPIES:
        found = limit.spectrum(k).eigenvalues
        copies = int(np.count_nonzero(found[1:] - found[1] <= SAME * found[1]))
        if copies < k - 1:
            return float(found[1]), copies
        k *= 2
    raise ConfigError(
        f"the lowest eigenvalue on {limit.density.manifold} has more than {MOST_COPIES // 2} copies. Take the target "
        "'generator' or 'semigroup'."
    )
