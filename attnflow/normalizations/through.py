"""A normalisation of keys on a manifold that is given by a map, seen on the manifold that is mapped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from attnflow._programs import at_point
from attnflow._values import static, value
from attnflow.manifolds.embedded import EmbeddedManifold
from attnflow.normalizations.base import Keys, Normalization


class _Mapped(Keys):
    """Keys theta on R, of which only their points phi(theta) are told."""

    def __init__(self, keys: Keys, image: EmbeddedManifold) -> None:
        self._keys = keys
        self._image = image
        self.is_symmetric = keys.is_symmetric

    def log_total(self, log_weights: Any) -> Any:
        return self._keys.log_total(log_weights)

    def log_row_total(self, log_weights: Any) -> Any:
        return self._keys.log_row_total(log_weights)

    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> Any:
        return self._keys.fixed_point(update, rtol=rtol, max_sweeps=max_sweeps)

    def evaluate(self, potential: Callable) -> Any:
        def mapped(theta: jax.Array) -> jax.Array:
            return at_point(potential, self._image.embed(theta), name="log_weight", scalar=True)

        return self._keys.evaluate(mapped)


@value
class Through(Normalization):
    """The weights of keys on M = phi(R), as those of keys on R.

    Args:
        normalization: on M.
        image: M.
    """

    normalization: Normalization
    image: EmbeddedManifold = static()

    def log_key_weights(self, keys: Keys) -> Any:
        return self.normalization.log_key_weights(_Mapped(keys, self.image))
