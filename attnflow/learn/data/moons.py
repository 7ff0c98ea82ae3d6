"""Two half circles that hold one another, with noise."""

from __future__ import annotations

import jax
import numpy as np
from sklearn.datasets import make_moons

from attnflow._checks import check_integer, check_real
from attnflow.densities.sampling import generator_of
from attnflow.errors import ConfigError
from attnflow.learn.data.base import TokenSets


def moons(*, key: jax.Array, count: int = 200, test: int = 200, noise: float = 0.2) -> TokenSets:
    """Return one set of tokens in the plane that lie near two half circles; which of them is the label.

    The half circles are (cos t, sin t) and (1 - cos t, 1/2 - sin t), 0 <= t <= pi, as scikit-learn has them. With the
    noise .2 a linear classifier finds about .86 of the labels for testing, a network with 32 hidden units .97.

    Args:
        key: the randomness.
        count: how many tokens are for training.
        test: how many are for testing.
        noise: the standard deviation of what is added to both coordinates.

    Raises:
        ConfigError: if a number of tokens is not positive, or the noise is negative.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.moons(key=jax.random.key(0))
        TokenSets(moons: 1 set of 400 tokens, 2 coordinates, 2 classes, 200 of 400 for training)
    """
    count, test = check_integer(count, "count", minimum=1), check_integer(test, "test", minimum=1)
    if check_real(noise, "noise") < 0:
        raise ConfigError(f"`noise` must not be negative, got {noise!r}. Pass 0 for none.")
    generator = generator_of(key)
    tokens, labels = make_moons(count + test, noise=noise, random_state=int(generator.integers(2**31)))
    order = generator.permutation(count + test)
    return TokenSets("moons", tokens[None, order], labels[None, order], 2, (np.arange(count + test) < count)[None])
