"""Key weights given as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.tree_util import Partial

from attnflow._values import freeze, value
from attnflow.errors import ConfigError
from attnflow.normalizations.base import Keys, Normalization


@value
class KeyWeights(Normalization):
    """Keys weighed by e^{b(y)}: u = b. The limit sees the density p e^b, an extra drift <grad b, grad f>_G [S].

    Args:
        log_weight: b of one ambient point (D,), in jax.numpy, smooth. Parameters, by which JAX can differentiate, go in
            front: `jax.tree_util.Partial(function, parameters)`.

    Raises:
        ConfigError: if `log_weight` is not a function.

    Example:
        >>> import attnflow as af
        >>> north = af.KeyWeights(lambda y: 0.5 * y[-1])
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=north)
    """

    log_weight: Callable

    def __post_init__(self) -> None:
        if not callable(self.log_weight):
            raise ConfigError(
                f"`log_weight` must be a function of one point, got {type(self.log_weight).__name__}. "
                "Pass one written with jax.numpy."
            )
        if not isinstance(self.log_weight, Partial):
            freeze(self, log_weight=Partial(self.log_weight))

    def log_key_weights(self, keys: Keys) -> Any:
        return keys.evaluate(self.log_weight)
