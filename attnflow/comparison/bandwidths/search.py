"""The least of a predicted error over bandwidths, or over numbers of layers, by few evaluations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from attnflow.comparison.bandwidths.suggestion import Prediction
from attnflow.errors import ConfigError

FEWEST = 8.0  # neighbours of the emptiest query: down to there the theory of frozen points holds
_LEVELS = 4  # at least, before a search ends because the bias is small
_SMALL = 0.1  # of the noise: smaller bandwidths have more of this and less of the bias
_STEPS = 4  # of parabolas through the three lowest; the minimum is flat, so that two would do
_CLOSE = 1.02  # the ratio of bandwidths that differ no more


def least_error(predict: Callable[[float], Prediction], *, highest: float, dim: int) -> list[Prediction]:
    """Return predictions at bandwidths halved from the highest on and then near the least error, rising.

    They end where the bias is a tenth of the noise, or the emptiest query has eight neighbours.

    Args:
        predict: from a bandwidth.
        highest: the largest bandwidth.
        dim: m; the number of neighbours is about like eps^{m/2}.

    Raises:
        ConfigError: if the emptiest query has fewer neighbours at the largest.
    """
    found = {highest: not_empty(predict(highest))}
    last = found[highest]
    while last.neighbours > 1.05 * FEWEST and not (len(found) >= _LEVELS and _is_noise(last)):
        bandwidth = last.bandwidth * max(0.5, (FEWEST / last.neighbours) ** (2 / dim))
        last = predict(bandwidth)
        if last.neighbours < FEWEST:  # curvature lets them fall a little faster than eps^{m/2}
            last = predict(bandwidth * (FEWEST / last.neighbours) ** (2 / dim))
        found[last.bandwidth] = last
    for _ in range(_STEPS):
        new = _vertex(sorted(found.values()))
        if new is None or min(max(new / eps, eps / new) for eps in found) < _CLOSE:
            break
        found[new] = predict(new)
    return sorted(found.values())


def least_error_of_layers(predict: Callable[[int], Prediction], *, fewest: int, dim: int) -> list[Prediction]:
    """Return predictions at numbers of layers, growing by half and then near the least error, by rising bandwidth.

    They end as those of `least_error` do; arguments and errors are alike.
    """
    found = {fewest: not_empty(predict(fewest))}
    layers = fewest
    while not (len(found) >= _LEVELS and _is_noise(found[layers])):
        most = math.floor(layers * (found[layers].neighbours / FEWEST) ** (2 / dim))
        if most <= layers:
            break
        layers = min(most, max(layers + 1, 3 * layers // 2))
        following = predict(layers)
        if following.neighbours < FEWEST:
            break
        found[layers] = following
    for _ in range(_STEPS):
        best, tried = min(found, key=lambda n: found[n].error), sorted(found)
        place = tried.index(best)
        near = itertools.pairwise(tried[max(0, place - 1) : place + 2])
        new = {round(math.sqrt(a * b)) for a, b in near if b - a > 1} - set(found)
        if not new:
            break
        found |= {n: predict(n) for n in new}
    return sorted(found.values())


def not_empty(prediction: Prediction) -> Prediction:
    """Return the prediction; raise ConfigError where nothing is predictable because keys are few."""
    if prediction.neighbours < FEWEST:
        raise ConfigError(
            f"the emptiest of `at` has {prediction.neighbours:.2g} neighbours at the widest bandwidth, "
            f"{prediction.bandwidth:.3g}, and no error is predictable below {FEWEST:g}. Take more points, or leave "
            "that query out."
        )
    return prediction


def _is_noise(prediction: Prediction) -> bool:
    return prediction.bias <= _SMALL * prediction.noise


def best_of(predictions: list[Prediction]) -> int:
    """Return which prediction has the least error."""
    return int(np.argmin([prediction.error for prediction in predictions]))


def _vertex(found: list[Prediction]) -> float | None:
    """Return the bandwidth at the vertex of the parabola in logarithms through the lowest and its neighbours."""
    best = best_of(found)
    if not 0 < best < len(found) - 1:
        return None
    near = found[best - 1 : best + 2]
    x, y = np.log([p.bandwidth for p in near]), np.log([max(p.error, 1e-300) for p in near])
    quadratic, linear, _ = np.polyfit(x - x[1], y, 2)
    if quadratic <= 0:
        return None
    return float(np.exp(x[1] + np.clip(-linear / (2 * quadratic), x[0] - x[1], x[2] - x[1])))
