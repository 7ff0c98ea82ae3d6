"""How good translations are: BLEU, and the share that is exact."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from attnflow.errors import DataError
from attnflow.learn.data.sentences import Words

_LONGEST = 4  # n-grams


def bleu(candidates: Sequence[Words], references: Sequence[Words]) -> float:
    r"""Return BLEU of sentences, each with one reference, in [0, 1]  [PRWZ].

        min(1, e^{1 - r/c}) (p_1 p_2 p_3 p_4)^{1/4},   p_n = sum min(count, count in the reference) / sum count

    over all sentences together: c and r are the numbers of words of candidates and references, and p_n is the share of
    n-grams of the candidates that are in their references, each no more often than there. Nothing is smoothed: without
    one common n-gram of each length BLEU is zero. Lengths that no reference has are left out of the mean.

    Args:
        candidates: sentences, as sequences of words.
        references: as many.

    Raises:
        DataError: if they are not as many, none, or all references are empty.

    Example:
        >>> import attnflow as af
        >>> reference = "the cat sat on the mat".split()
        >>> af.learn.bleu([reference], [reference])
        1.0
        >>> round(af.learn.bleu(["the cat sat on mat".split()], [reference]), 4)
        0.5789
    """
    _check_paired(candidates, references)
    logs = []
    for n in range(1, _LONGEST + 1):
        found = total = 0
        possible = sum(max(len(reference) - n + 1, 0) for reference in references)
        for candidate, reference in zip(candidates, references, strict=True):
            grams, there = _grams(candidate, n), _grams(reference, n)
            total += grams.total()
            found += (grams & there).total()
        if not possible:
            break
        if not found:
            return 0.0
        logs.append(math.log(found / total))
    if not logs:
        raise DataError("`references` are all empty. Pass sentences with words.")
    words, of_references = (sum(map(len, sentences)) for sentences in (candidates, references))
    return math.exp(min(0.0, 1 - of_references / words) + sum(logs) / len(logs))


def exact_match(candidates: Sequence[Words], references: Sequence[Words]) -> float:
    """Return the share of sentences that are their references, word by word.

    Raises:
        DataError: if they are not as many, or none.

    Example:
        >>> import attnflow as af
        >>> af.learn.exact_match([("a", "b"), ("a",)], [("a", "b"), ("b",)])
        0.5
    """
    _check_paired(candidates, references)
    return sum(tuple(a) == tuple(b) for a, b in zip(candidates, references, strict=True)) / len(references)


def _grams(sentence: Words, n: int) -> Counter:
    return Counter(tuple(sentence[i : i + n]) for i in range(len(sentence) - n + 1))


def _check_paired(candidates: Sequence[Words], references: Sequence[Words]) -> None:
    if len(candidates) != len(references) or not references:
        raise DataError(
            f"{len(candidates)} candidates and {len(references)} references: pass one for each, at least one."
        )
