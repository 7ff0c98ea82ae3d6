"""The error of many layers over frozen points at a bandwidth, under a known density."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from attnflow._lifting import evaluate
from attnflow.attention import Attention
from attnflow.comparison.bandwidths.keys import Keys, Law, costs_of_own, kernel
from attnflow.comparison.bandwidths.slow_down import slow_down
from attnflow.comparison.bandwidths.suggestion import Prediction, root_mean_square
from attnflow.densities.base import Density
from attnflow.equations.continuum import DriftDiffusion
from attnflow.errors import ConfigError
from attnflow.measures import DiscreteMeasure
from attnflow.sums.population import PopulationAttention

RTOL = 1e-5  # of the population and of the limit
PRECISION = 1e-2  # of the nodes on which noise is propagated
MOST_NODES = 8000  # of a matrix of kernels, which takes 500 MB
MOST_PRODUCTS = 40e9  # multiplications for one number of layers, some ten seconds


class FrozenNoise(NamedTuple):
    """What n layers over N frozen points add to those of the population, at queries.

    Args:
        layers: n.
        spread: N Var[A_N^n f], to first order, (Q, c).
        shift: N E[A_N^n f - A^n f], of second order, (Q, c).
        neighbours: int k p / k(x, x), (Q,).
    """

    layers: int
    spread: np.ndarray
    shift: np.ndarray
    neighbours: np.ndarray


class SemigroupErrors:
    r"""Errors of A_N^n f - e^{tL} f, t = n eps: bias, fluctuation and slow-down of frozen points.

    To first order in the noise d A of one layer, d A^n f = sum_k A^{n-1-k} dA A^k f is a mean over keys Y of

        h(Y) = v(Y) sum_k [A^{n-1-k} k(., Y) (A^k f(Y) - A^{k+1} f) / T](x),    N Var = int h^2 p.

    Layers are products with the population's own matrix on the nodes of a quadrature. To second order the generator is
    slowed down by the share c(n) / nb, see `slow_down`; c is that of the uniform density on flat tori, taken at the
    neighbours of each point, in the form that keeps A self-adjoint. Where more nodes would be needed than a matrix
    holds, both are continued as powers of the bandwidth.

    Args:
        attention: the attention; its bandwidth is not used.
        density: p.
        f: a function of one point.
        at: where, with weights of sum one.
        count: N.
        time: t.
    """

    def __init__(
        self, attention: Attention, density: Density, f: Callable, *, at: DiscreteMeasure, count: int, time: float
    ) -> None:
        self._attention, self._density, self._f = attention, density, f
        self._count, self._time = count, time
        self._law = Law(attention, density, f)
        self._at, self._weights = at
        limit = DriftDiffusion(attention, density, rtol=RTOL)
        self._limit = _columns(limit.evolve(f, times=time, at=self._at).values[0])
        self._found: dict[int, FrozenNoise] = {}

    def predict(self, layers: int) -> Prediction:
        """Return the errors of t in so many layers; numbers of layers are to be asked in rising order."""
        bandwidth = self._time / layers
        population = PopulationAttention(self._attention.replace(bandwidth=bandwidth), self._density, rtol=RTOL)
        bias = _columns(population.evolve(self._f, times=self._time, at=self._at).values[0]) - self._limit
        noise = self._noise(layers)
        shift, fluctuation = noise.shift / self._count, noise.spread / self._count
        return Prediction(
            bandwidth=bandwidth,
            error=root_mean_square((bias + shift) ** 2 + fluctuation, self._weights),
            bias=root_mean_square(bias**2, self._weights),
            noise=root_mean_square(shift**2 + fluctuation, self._weights),
            neighbours=float(self._count * noise.neighbours.min()),
        )

    def _noise(self, layers: int) -> FrozenNoise:
        """Return the noise of so many layers, propagated, or continued from two smaller numbers of layers."""
        keys = self._law.nodes(self._time / layers, precision=PRECISION)
        products = len(keys.points) ** 2 * layers * (len(self._at) + self._limit.shape[1])
        if len(keys.points) <= MOST_NODES and products <= MOST_PRODUCTS:
            self._found[layers] = frozen_noise(
                self._attention, keys, self._f, at=self._at, bandwidth=self._time / layers, layers=layers,
                dim=self._density.manifold.dim,
            )  # fmt: skip
            return self._found[layers]
        fewer = sorted(n for n in self._found if n < layers)
        if len(fewer) < 2:
            raise ConfigError(
                f"`time` = {self._time:g} in {layers} layers asks for {len(keys.points)} nodes in {layers} products, "
                f"above {MOST_NODES} nodes or {MOST_PRODUCTS:.0e} multiplications, and fewer layers do not tell how "
                "their noise grows. Take a larger `time`, fewer points in `at`, or another target."
            )
        before, last = (self._found[n] for n in fewer[-2:])
        return _continued(last, before, layers=layers, dim=self._density.manifold.dim)


def frozen_noise(
    attention: Attention, keys: Keys, f: Callable, *, at: np.ndarray, bandwidth: float, layers: int, dim: int
) -> FrozenNoise:
    """Return N times variance and mean shift of n layers over N frozen keys, at queries.

    Args:
        attention: the attention; its bandwidth is not used.
        keys: nodes that resolve f, p and the kernel.
        f: a function of one point.
        at: queries, (Q, D).
        bandwidth: eps.
        layers: n.
        dim: m.
    """
    inner = _Rows.of(attention, keys.points, keys, bandwidth)
    outer = _Rows.of(attention, at, keys, bandwidth)
    own = _columns(evaluate(f, keys.points))
    centre = keys.masses @ own
    flows, at_queries = [own - centre], _columns(evaluate(f, at)) - centre
    shifts = np.zeros_like(own)
    for step in range(1, layers + 1):
        rows, now = (outer, at_queries) if step == layers else (inner, flows[-1])
        after = rows.average(flows[-1])
        slowed = rows.slowed(flows[-1], after, now, share=inner.share)
        shifts = rows.average(shifts) - slow_down(dim, layers) * slowed
        if step < layers:
            at_queries = outer.average(flows[-1])
            flows.append(after)
    return FrozenNoise(layers, _spread(inner, outer, flows, after), shifts, 1 / outer.share[:, 0])


class _Rows(NamedTuple):
    """Rows of attention of some queries over nodes: k v / T (Q, M), the masses (M,), and 1 / int k p (Q,)."""

    densities: np.ndarray
    masses: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, attention: Attention, queries: np.ndarray, keys: Keys, bandwidth: float) -> _Rows:
        found = kernel(attention, queries, costs_of_own(attention, queries), keys, bandwidth)
        share = 1 / (found @ (keys.masses / keys.weights))
        found /= (found @ keys.masses)[:, None]
        return cls(found, keys.masses[:, None], share[:, None])

    def average(self, values: np.ndarray) -> np.ndarray:
        return self.densities @ (self.masses * values)

    def slowed(self, values: np.ndarray, after: np.ndarray, now: np.ndarray, *, share: np.ndarray) -> np.ndarray:
        """Return int a(x, y) (s(x) + s(y))/2 (g(y) - g(x)) of g at the nodes and, now, at the queries."""
        return 0.5 * (self.share * (after - now) + self.average(share * values) - self.average(share) * now)


def _spread(inner: _Rows, outer: _Rows, flows: list[np.ndarray], after: np.ndarray) -> np.ndarray:
    """Return int h^2 p of n layers at queries (Q, c), from A^k f at the nodes for k < n, and A^n f at the queries."""
    masses = inner.masses[:, 0]
    back = [outer.densities]  # rows of A^j with respect to p, (Q, M)
    for _ in flows[1:]:
        back.append((back[-1] * masses) @ inner.densities)
    found = np.empty_like(after)
    for c in range(after.shape[1]):
        sent = sum(rho * g[:, c] for rho, g in zip(reversed(back), flows, strict=True))
        response = sent - outer.densities * after[:, c : c + 1]
        if len(flows) > 1:
            held = sum(rho * g[:, c] for rho, g in zip(reversed(back[:-1]), flows[1:], strict=True))
            response = response - (held * masses) @ inner.densities
        found[:, c] = response**2 @ masses
    return found


def _continued(last: FrozenNoise, before: FrozenNoise, *, layers: int, dim: int) -> FrozenNoise:
    """Return the noise of more layers, as powers of their number: of the variance through the last two."""
    further = np.log(layers / last.layers) / np.log(last.layers / before.layers)
    growth = max(1.0, last.spread.mean() / before.spread.mean())
    fewer = (layers / last.layers) ** (dim / 2)
    slower = slow_down(dim, layers) / slow_down(dim, last.layers)
    return FrozenNoise(layers, last.spread * growth**further, last.shift * fewer * slower, last.neighbours / fewer)


def _columns(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)
