"""Written digits: those that scikit-learn ships, and MNIST where its files are."""

from __future__ import annotations

import jax
import numpy as np
from sklearn.datasets import load_digits

from attnflow._checks import check_integer
from attnflow.densities.sampling import generator_of
from attnflow.errors import ConfigError
from attnflow.learn.data.base import TokenSets, split_of

CLASSES = 10
_DIGITS_BRIGHTEST = 16.0


def digits(*, key: jax.Array, count: int | None = None, train: float = 0.5) -> TokenSets:
    """Return one set of written digits as tokens: 8 x 8 pixels in [0, 1], the digit as label.

    Args:
        key: which of them are taken, and for what.
        count: how many are taken; None for all 1797.
        train: the share of them, of every digit, that is for training.

    Raises:
        ConfigError: if the share is not between 0 and 1, or the count not between 20 and 1797.

    Example:
        >>> import jax
        >>> from attnflow.learn.data.digits import digits
        >>> digits(key=jax.random.key(0))
        TokenSets(digits: 1 set of 1797 tokens, 64 coordinates, 10 classes, 898 of 1797 labels for training)
    """
    pixels, labels = load_digits(return_X_y=True)
    return some_digits("digits", pixels / _DIGITS_BRIGHTEST, labels, key=key, count=count, train=train)


def some_digits(
    name: str, pixels: np.ndarray, labels: np.ndarray, *, key: jax.Array, count: int | None, train: float
) -> TokenSets:
    """Return some of the digits with pixels (n, D) and labels (n,) as one set of tokens."""
    most = len(labels)
    if count is not None and not 2 * CLASSES <= check_integer(count, "count", minimum=1) <= most:
        raise ConfigError(
            f"`count` must be from {2 * CLASSES} to {most}, all there are, got {count}. Pass None for all."
        )
    rows = generator_of(key).permutation(most)[:count]
    chosen = split_of(labels[rows], train, key=key)
    return TokenSets(name, pixels[None, rows], labels[None, rows], CLASSES, chosen[None])
