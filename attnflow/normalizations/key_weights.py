"""Key weights given as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial

from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.normalizations.base import Keys, Normalization
from attnflow.normalizations.softmax import Softmax
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.pseudometrics.tilted import Tilted


@value
class KeyWeights(Normalization):
    """Keys weighed by e^{b(y)}: u = b. The limit sees the density p e^b, an extra drift <grad b, grad f>_G [S].

    Weights e^{b(y)/eps} are not of that kind: as the bandwidth vanishes they decide which key is attended, and
    attention tends to the jump to y* = argmin D(x, y)/2 - b(y). An attention with them is made into that of the cost
    D - 2b.

    Args:
        log_weight: b of one ambient point (D,), in jax.numpy, smooth. Parameters, by which JAX can differentiate, go in
            front: `jax.tree_util.Partial(function, parameters)`.
        per_bandwidth: whether the weights are e^{b(y)/eps}.

    Raises:
        ConfigError: if `log_weight` is not a function, or `per_bandwidth` not a truth value.

    Example:
        >>> import attnflow as af
        >>> north = af.KeyWeights(lambda y: 0.5 * y[-1])
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=north)
    """

    log_weight: Callable
    per_bandwidth: bool = static()

    def __init__(self, log_weight: Callable, *, per_bandwidth: bool = False) -> None:
        if not isinstance(per_bandwidth, bool):
            raise ConfigError(f"`per_bandwidth` must be True or False, got {per_bandwidth!r}.")
        freeze(self, log_weight=log_weight, per_bandwidth=per_bandwidth)
        if not callable(self.log_weight):
            raise ConfigError(
                f"`log_weight` must be a function of one point, got {type(self.log_weight).__name__}. "
                "Pass one written with jax.numpy."
            )
        if not isinstance(self.log_weight, Partial):
            freeze(self, log_weight=Partial(self.log_weight))

    def log_key_weights(self, keys: Keys) -> Any:
        return keys.evaluate(self.log_weight)

    def absorbed(self, pseudometric: PseudoMetric) -> tuple[PseudoMetric, Normalization]:
        return (Tilted(pseudometric, self.log_weight), Softmax()) if self.per_bandwidth else (pseudometric, self)
