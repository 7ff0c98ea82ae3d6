"""Intervals from random halves of the tokens, and nulls from heads with nothing to find."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from attnflow.lab.probe.definitions import DEFINITIONS, GAUSSIAN, RANDOM, SHUFFLED
from attnflow.lab.probe.numbers import Numbers, numbers_of_pass
from attnflow.lab.probe.passes import pass_over
from attnflow.lab.probe.results import Null, Number
from attnflow.lab.probe.sequence import STUDENT
from attnflow.lab.probe.spectra import slow_numbers
from attnflow.lab.probe.surrogates import (
    DRAWS,
    Tokens,
    gaussian_logits,
    random_weights,
    shuffled_keys,
    some_tokens,
    tokens_of_a_draw,
    tokens_of_a_half,
)

HALVES = 8
GROWING = ("ess",)  # numbers that grow with the tokens; a draw's is scaled to those of the head
NO_VALUE = "there is no variance to take it of"


def numbers_of_tokens(some: Tokens, *, tokens: int, rng: np.random.Generator) -> Numbers:
    """Return every number of a draw of tokens, as if of so many."""
    summed = pass_over(some.logits, some.points, some.values, rng=rng)
    found = numbers_of_pass(summed, square=some.logits.squared_gram(), tokens=tokens) | slow_numbers(some.logits)
    return {name: value * tokens / summed.count if name in GROWING else value for name, value in found.items()}


class Halves(NamedTuple):
    """Numbers of random halves of the tokens.

    Args:
        widths: half the width of a 95 % interval of each number.
        means: their means over halves.
    """

    widths: Numbers
    means: Numbers


def of_halves(draw: Callable[[np.ndarray], Numbers], count: int, rng: np.random.Generator) -> Halves:
    """Return how far numbers vary over random halves of the tokens, eight of them.

    Of n out of N tokens drawn without replacement the variance of a number is (N - n)/n times that of N tokens from one
    sample to another: as large for halves. Of many tokens fewer than half are drawn.
    """
    taken = tokens_of_a_half(count)
    found = [draw(np.sort(rng.choice(count, taken, replace=False))) for _ in range(HALVES)]
    scale = STUDENT * math.sqrt(taken / (count - taken))
    return Halves(
        {name: scale * float(np.std([numbers[name] for numbers in found], ddof=1)) for name in found[0]},
        {name: float(np.mean([numbers[name] for numbers in found])) for name in found[0]},
    )


def nulls_of_head(whole: Tokens, own: Numbers, rng: np.random.Generator) -> dict[str, tuple[Null, ...]]:
    """Return the nulls of every number, the most telling first.

    Args:
        whole: the head.
        own: its numbers on as many tokens as a draw has.
        rng: draws.
    """
    count = whole.logits.count
    draws: dict[str, list[Numbers]] = {GAUSSIAN: [], SHUFFLED: [], RANDOM: []}
    makers = {GAUSSIAN: gaussian_logits, SHUFFLED: shuffled_keys, RANDOM: random_weights}
    for _ in range(DRAWS):
        some = whole.of(some_tokens(count, rng))
        for name, make in makers.items():
            made = make(some, rng)
            if made is not None:
                draws[name].append(numbers_of_tokens(made, tokens=count, rng=rng))
    return summarised(draws, own, tokens=tokens_of_a_draw(count))


def summarised(draws: dict[str, list[Numbers]], own: Numbers, *, tokens: int) -> dict[str, tuple[Null, ...]]:
    """Return nulls by the names of numbers, from draws of each kind, and the head's own numbers of as many tokens."""
    found: dict[str, tuple[Null, ...]] = {}
    for name in next(iter(draws.values()))[0]:
        nulls = []
        mine = own.get(name, math.nan)
        for kind, numbers in draws.items():
            values = [draw[name] for draw in numbers if math.isfinite(draw[name])]
            if values:
                ends = min(values), max(values)
                compared = mine if math.isfinite(mine) else None
                nulls.append(Null(kind, float(np.mean(values)), *ends, len(values), tokens, compared))
        first = DEFINITIONS[name].null
        found[name] = tuple(sorted(nulls, key=lambda null: null.name != first))
    return found


def _ends(name: str, value: float, width: float) -> tuple[float | None, float | None]:
    """Return the ends of an interval, which holds the value and no number that cannot be."""
    if not math.isfinite(width):
        return None, None
    least, most = DEFINITIONS[name].least, DEFINITIONS[name].most
    return min(value, max(least, value - width)), max(value, min(most, value + width))


def as_numbers(
    values: Numbers,
    widths: Numbers,
    nulls: dict[str, tuple[Null, ...]],
    *,
    reasons: dict[str, str],
    order: Iterable[str],
) -> dict[str, Number]:
    """Return numbers in order, with their intervals and nulls, and the reason where there is no value."""
    found = {}
    for name in order:
        value = values.get(name, math.nan)
        if not math.isfinite(value):
            found[name] = Number(name, None, nulls=nulls.get(name, ()), reason=reasons.get(name, NO_VALUE))
            continue
        width = widths.get(name, math.nan)
        found[name] = Number(name, value, *_ends(name, value, width), nulls.get(name, ()))
    return found
