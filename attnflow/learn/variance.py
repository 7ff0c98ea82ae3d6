"""Where the variance of a final accuracy comes from: runs that collapse, and the rest."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_finite, check_integer
from attnflow._words import to_four_digits
from attnflow.errors import DataError

NOTHING_LEARNED = 0.01  # relative distance from the loss of guessing within which nothing was learned
ONE_TOKEN = 1e-3  # of the spread of the tokens that enter the first block: below it they have become one


class VarianceSplit(NamedTuple):
    """The parts of a variance over runs, of which some have collapsed: `total` is the sum of the other three.

        var = p (1 - p) (mu_1 - mu_0)^2 + p var_1 + (1 - p) var_0

    Args:
        total: the variance of all runs, with their number as the divisor.
        frequency: what comes from whether a run collapses at all.
        collapsed: what the collapsed runs vary among themselves, times their share p.
        others: what the other runs vary among themselves, times theirs.
        share: p.
    """

    total: float
    frequency: float
    collapsed: float
    others: float
    share: float

    def __repr__(self) -> str:
        return to_four_digits(self)


def split_variance(values: object, collapsed: object) -> VarianceSplit:
    """Return the variance of final numbers (seeds,) in what the frequency of collapse explains, and the rest.

    Args:
        values: such as accuracies, (seeds,).
        collapsed: which runs have collapsed, (seeds,), fixed by `has_collapsed` before the numbers were seen.

    Raises:
        DataError: if there is no run, or the shapes differ.

    Example:
        >>> import attnflow as af
        >>> split = af.learn.split_variance([0.5, 0.5, 0.9, 0.9], [True, True, False, False])
        >>> round(split.total, 12), round(split.frequency, 12), split.others
        (0.04, 0.04, 0.0)
    """
    numbers, flags = check_finite(values, "values"), np.asarray(collapsed, dtype=bool)
    if numbers.ndim != 1 or not len(numbers) or flags.shape != numbers.shape:
        raise DataError(
            f"`values` and `collapsed` must have one number for each seed, got shapes {numbers.shape} and "
            f"{flags.shape}."
        )
    share = float(flags.mean())
    groups = [numbers[flags], numbers[~flags]]
    (mean_1, var_1), (mean_0, var_0) = (
        (float(group.mean()), float(group.var())) if len(group) else (0.0, 0.0) for group in groups
    )
    between = share * (1 - share) * (mean_1 - mean_0) ** 2
    return VarianceSplit(float(numbers.var()), between, share * var_1, (1 - share) * var_0, share)


def has_collapsed(losses: object, *, classes: int, spreads: object = None) -> np.ndarray:
    """Return which runs have collapsed (seeds,): those that guess, and those whose tokens have become one.

    A run guesses if the loss at its end lies within 1 % of log(classes), or above; its tokens have become one if their
    spread after the last block is below 1/1000 of that before the first.

    Args:
        losses: cross entropies at the end, in nats, (seeds,).
        classes: how many there are, all alike likely.
        spreads: of each run, as `token_spread` gives them, (seeds,).

    Raises:
        DataError: if the shapes differ.
        ConfigError: if there are fewer than two classes.

    Example:
        >>> import attnflow as af
        >>> af.learn.has_collapsed([0.69, 0.2], classes=2).tolist()
        [True, False]
    """
    guessing = math.log(check_integer(classes, "classes", minimum=2))
    ends = check_finite(losses, "losses")
    found = ends >= (1 - NOTHING_LEARNED) * guessing
    if spreads is not None:
        widths = check_finite(spreads, "spreads")
        if widths.shape != ends.shape:
            raise DataError(f"`spreads` must have the shape {ends.shape} of `losses`, got {widths.shape}.")
        found |= widths < ONE_TOKEN
    return found


def token_spread(network: Any, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Return the spread of tokens after the last block over that before the first.

    The spread is the rms distance from their mean. Traced by JAX: it may be measured during training.

    Args:
        network: whose `embed` gives the tokens that enter each block and leave the last.
        tokens: (N, D).
        mask: as the network takes it.
    """
    states = network.embed(tokens, mask)
    first, last = (jnp.sqrt(jnp.mean(jnp.var(state, axis=0))) for state in (states[0], states[-1]))
    return last / first
