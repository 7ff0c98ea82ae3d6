"""What every kind of heads asks of its sizes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from attnflow._checks import check_integer
from attnflow.errors import ConfigError


def check_sizes(dim: int, heads: int, features: int | None) -> int:
    """Return the number of features, `dim` unless given; raise ConfigError unless all sizes are positive integers."""
    check_integer(dim, "dim", minimum=1)
    check_integer(heads, "heads", minimum=1)
    return check_integer(dim if features is None else features, "features", minimum=1)


def check_head(head: int, parameter: Any) -> None:
    """Raise ConfigError unless there is a head of this number, the parameter having one row for each."""
    count = parameter.shape[0]
    if parameter.ndim < 2 or not 0 <= check_integer(head, "head", minimum=0) < count:
        raise ConfigError(f"`head` must be one of 0 to {count - 1}, got {head}.")


def count_heads(heads: Any, width: int) -> int:
    """Return how many heads there are; raise ConfigError unless they take tokens of so many coordinates."""
    tokens = jax.ShapeDtypeStruct((1, width), jnp.float32)
    try:
        return jax.eval_shape(heads.weights, tokens, tokens).shape[0]
    except (TypeError, ValueError) as error:
        first = next(iter(str(error).splitlines()), "")
        raise ConfigError(
            f"`heads` do not take tokens of width {width}: {first}. Make them with `dim={width}`."
        ) from error
