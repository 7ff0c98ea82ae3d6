"""How large a model is."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax


def parameter_count(model: Any) -> int:
    """Return how many numbers of a model are trained.

    Args:
        model: a pytree; of one seed, see `Trained.model`.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.parameter_count(af.learn.L2Attention(3, heads=2, features=5, key=jax.random.key(0)))
        30
    """
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
