"""The density of the keys that the limit sees: p e^u, u the key weights of the normalisation as the bandwidth vanishes.

The kernel becomes local: its log total at a key is log p_G, up to a constant, p_G the density with respect to the
volume of the induced metric. With that in place of a sum the normalisation itself says what the limit is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._lifting import evaluate_compiled
from attnflow._programs import at_point
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.expansions.matrices import log_volume
from attnflow.errors import ConfigError, DataError
from attnflow.normalizations.base import Keys

_LEVEL = 1e-9  # by which D(y, y) may differ between keys
_SETTLED = 1e-9  # of a fixed point, which one step of Newton finds where totals enter as they should


class LimitKeys(Keys):
    """One key y (D,) among infinitely many, as the bandwidth vanishes.

    Args:
        attention: the cost, whose minimiser at y is y.
        density: p, the law of the keys.
        key: y.
    """

    def __init__(self, attention: Attention, density: Density, key: jax.Array) -> None:
        self._attention = attention
        self._density = density
        self._key = key
        self.are_totals_asked = False

    def log_total(self, log_weights: Any) -> jax.Array:
        self.are_totals_asked = True
        return log_weights + self._log_local_density

    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> jax.Array:
        """Return u = update(u) by one step of Newton: a total is affine in u; NaN if that is not the answer."""
        self.are_totals_asked = True
        start = self._log_local_density * 0.0
        first, slope = jax.jvp(update, (start,), (start + 1.0,))
        found = start + (first - start) / (1.0 - slope)
        return jnp.where(jnp.abs(update(found) - found) <= _SETTLED * (1.0 + jnp.abs(found)), found, jnp.nan)

    def evaluate(self, potential: Callable) -> Any:
        return at_point(potential, self._key, name="log_weight", scalar=True)

    @functools.cached_property
    def _log_local_density(self) -> jax.Array:
        """Log p_G = log p - log sqrt(det G / det g), G = 1/2 Hess_y D, in a frame that is orthonormal for g."""
        manifold = self._density.manifold
        chart = manifold.chart_at(self._key)

        def cost(u: jax.Array) -> jax.Array:
            return 0.5 * self._attention.pseudometric(self._key, chart(u))

        log_induced_volume = log_volume(jax.hessian(cost)(jnp.zeros(manifold.dim, self._key.dtype)))
        return self._density.log_density(self._key) - log_induced_volume


def check_limit(attention: Attention) -> None:
    """Raise ConfigError, with the reason, where a normalisation leaves no differential operator as eps vanishes."""
    if len(attention.heads) > 1:
        raise ConfigError(
            "LaplaceExpansion expands one attention, and several heads have several metrics. Ask it for each head, or "
            "DriftDiffusion for all of them."
        )
    reason = attention.normalization.without_limit(attention.pseudometric)
    if reason:
        raise ConfigError(f"{attention!r} has no limit of vanishing bandwidth at a point: {reason}")


def log_key_weight(attention: Attention, density: Density, key: jax.Array) -> jax.Array | float:
    """Return u at one key (D,), up to a constant.

    Raises:
        DataError: if the normalisation returns anything but one number for one key.
    """
    found = attention.normalization.log_key_weights(LimitKeys(attention, density, key))
    if jnp.shape(found) != ():
        raise DataError(
            f"`log_key_weights` of {type(attention.normalization).__name__} must return one number for one key, got "
            f"shape {jnp.shape(found)}. Write it with `keys.log_total` and `keys.evaluate` only."
        )
    return found


@jax.jit
def log_weighed_densities(attention: Attention, density: Density, keys: jax.Array) -> jax.Array:
    """Return log p + u at keys (Q, D), up to a constant: the density of the keys that the limit sees."""

    def one(key: jax.Array) -> jax.Array:
        return at_point(density.log_density, key, scalar=True) + log_key_weight(attention, density, key)

    return jax.vmap(one)(keys)


def asks_for_totals(attention: Attention, density: Density) -> bool:
    """Return whether the normalisation weighs keys by how much they are attended."""
    keys = []

    def probe(key: jax.Array) -> Any:
        keys.append(LimitKeys(attention, density, key))
        return attention.normalization.log_key_weights(keys[-1])

    jax.eval_shape(probe, jax.ShapeDtypeStruct((density.manifold.ambient_dim,), jnp.result_type(float)))
    return keys[-1].are_totals_asked


def require_alike(attention: Attention, keys: np.ndarray, *, cost: str) -> None:
    """Raise ConfigError if D(y, y) differs between keys (N, D): how much one is attended then says how low it lies.

    Args:
        attention: its normalisation weighs keys by how much they are attended.
        keys: y.
        cost: the name of D.
    """
    depth = evaluate_compiled(functools.partial(_on_diagonal, attention), keys, name=cost)
    if np.ptp(depth) > _LEVEL * max(1.0, np.abs(depth).max()):
        raise ConfigError(
            f"{type(attention.normalization).__name__} weighs a key by how much it is attended, but for {cost} that is "
            f"not a matter of its surroundings: D(y, y) varies by {np.ptp(depth):.3g}. Subtract D(y, y) from the cost."
        )


@jax.jit
def _on_diagonal(attention: Attention, points: jax.Array) -> jax.Array:
    return jax.vmap(lambda y: attention.pseudometric(y, y))(points)
