"""The error of one layer's generator at a bandwidth, under a known density."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attnflow._lifting import evaluate
from attnflow.attention import Attention
from attnflow.comparison.bandwidths.keys import Law, one_layer
from attnflow.comparison.bandwidths.suggestion import Prediction, root_mean_square
from attnflow.densities.base import Density
from attnflow.equations.continuum import DriftDiffusion
from attnflow.measures import DiscreteMeasure
from attnflow.sums.population import PopulationAttention

RTOL = 1e-6  # of layers; over eps it is far below the noise that N points leave there


class GeneratorErrors:
    """Errors of (A_N - I) f / eps - L f: bias and sampling noise of one layer, no asymptotics [RZ].

    Args:
        attention: the attention; its bandwidth is not used.
        density: p.
        f: a function of one point.
        at: where, with weights of sum one.
        count: N, how many keys each query sees.
    """

    def __init__(self, attention: Attention, density: Density, f: Callable, *, at: DiscreteMeasure, count: int) -> None:
        self._attention, self._density, self._f, self._count = attention, density, f, count
        self._law = Law(attention, density, f)
        self._at, self._weights = at
        self._limit = DriftDiffusion(attention, density).generator(f, at=self._at)

    def predict(self, bandwidth: float) -> Prediction:
        """Return the errors at a bandwidth."""
        population = PopulationAttention(self._attention.replace(bandwidth=bandwidth), self._density, rtol=RTOL)
        bias = _columns(population.generator(self._f, at=self._at) - self._limit)
        keys = self._law.nodes(bandwidth)
        values = _columns(evaluate(self._f, keys.points))
        centre = keys.masses @ values
        layer = one_layer(self._attention, keys, values - centre, at=self._at, bandwidth=bandwidth, count=self._count)
        square, shift = layer.square / bandwidth**2, layer.shift / bandwidth
        return Prediction(
            bandwidth=bandwidth,
            error=root_mean_square(bias**2 + 2 * bias * shift + square, self._weights),
            bias=root_mean_square(bias**2, self._weights),
            noise=root_mean_square(square, self._weights),
            neighbours=float(layer.neighbours.min()),
        )


def _columns(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)
