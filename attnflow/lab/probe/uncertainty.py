"""Intervals from random halves of the tokens, and nulls from heads with nothing to find."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from attnflow.lab.probe.definitions import DEFINITIONS, GAUSSIAN, RANDOM, SHUFFLED
from attnflow.lab.probe.numbers import Numbers, numbers_of_pass
from attnflow.lab.probe.passes import pass_over
from attnflow.lab.probe.results import Null, Number
from attnflow.lab.probe.sequence import STUDENT
from attnflow.lab.probe.spectra import slow_numbers
from attnflow.lab.probe.surrogates import (
    DRAWS,
    TOKENS,
    Tokens,
    gaussian_logits,
    random_weights,
    shuffled_keys,
    some_tokens,
)

HALVES = 8
GROWING = ("ess",)  # numbers that grow with the tokens; a draw's is scaled to those of the head
NO_VALUE = "there is no variance to take it of"


def numbers_of_tokens(some: Tokens, *, tokens: int, rng: np.random.Generator) -> Numbers:
    """Return every number of a draw of tokens, as if of so many."""
    summed = pass_over(some.logits, some.points, some.values, rng=rng)
    found = numbers_of_pass(summed, square=some.logits.squared_gram(), tokens=tokens) | slow_numbers(some.logits)
    return {name: value * tokens / summed.count if name in GROWING else value for name, value in found.items()}


def half_widths(
    draw: Callable[[np.ndarray], Numbers], count: int, rng: np.random.Generator, *, halves: int = HALVES
) -> Numbers:
    """Return half the width of a 95 % interval of each number: the spread over random halves of the tokens.

    Of n out of N tokens drawn without replacement a number varies (N - n)/n times as much as that of N tokens from one
    sample to another: as much for halves. Of many tokens fewer than half are drawn.
    """
    taken = min(count // 2, TOKENS)
    found = [draw(np.sort(rng.choice(count, taken, replace=False))) for _ in range(halves)]
    scale = STUDENT * math.sqrt(taken / (count - taken))
    return {name: scale * float(np.std([numbers[name] for numbers in found], ddof=1)) for name in found[0]}


def nulls_of_head(whole: Tokens, rng: np.random.Generator) -> dict[str, tuple[Null, ...]]:
    """Return the nulls of every number, the most telling first."""
    count = whole.logits.count
    draws: dict[str, list[Numbers]] = {GAUSSIAN: [], SHUFFLED: [], RANDOM: []}
    makers = {GAUSSIAN: gaussian_logits, SHUFFLED: shuffled_keys, RANDOM: random_weights}
    for _ in range(DRAWS):
        some = whole.of(some_tokens(count, rng))
        for name, make in makers.items():
            made = make(some, rng)
            if made is not None:
                draws[name].append(numbers_of_tokens(made, tokens=count, rng=rng))
    return summarised(draws, tokens=min(count, TOKENS))


def summarised(draws: dict[str, list[Numbers]], *, tokens: int) -> dict[str, tuple[Null, ...]]:
    """Return nulls by the names of numbers, from draws of each kind."""
    found: dict[str, tuple[Null, ...]] = {}
    for name in next(iter(draws.values()))[0]:
        nulls = []
        for kind, numbers in draws.items():
            values = [draw[name] for draw in numbers if math.isfinite(draw[name])]
            if values:
                nulls.append(Null(kind, float(np.mean(values)), min(values), max(values), len(values), tokens))
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
