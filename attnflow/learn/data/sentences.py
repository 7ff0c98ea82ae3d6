"""Sentences in two languages, as numbers of words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from attnflow._checks import check_finite
from attnflow._values import freeze, static, value
from attnflow.errors import DataError
from attnflow.learn.data.base import Learnable
from attnflow.learn.data.checks import check_split, check_truths, frozen

PADDING, BEGIN, END = range(3)
MARKS = ("<padding>", "<begin>", "<end>")

Words = tuple[str, ...]


@value
class Translations(Learnable):
    """Sentences and their translations.

    A row holds the words of a sentence and 2, the end; the target begins with 1; what is left is 0.

    Args:
        name: of the data.
        source: (S, L), whole numbers that count `source_words`.
        target: (S, L'), likewise.
        source_words: the words of the language that is translated, after the marks of padding, begin and end.
        target_words: of the other one, likewise.
        train: the sentences for training, (S,); all others are for testing.

    Raises:
        DataError: if shapes do not fit, a number counts no word, a row has no end or words after it, or nothing is left
            for training or for testing.
    """

    source: np.ndarray
    target: np.ndarray
    source_words: Words = static()
    target_words: Words = static()
    train: np.ndarray

    answers = "target"

    def __post_init__(self) -> None:
        source = _rows(self.source, "source", self.source_words, begins=False)
        target = _rows(self.target, "target", self.target_words, begins=True)
        if len(source) != len(target):
            raise DataError(f"`source` has {len(source)} sentences and `target` {len(target)}. Pass one for each.")
        train = check_truths(self.train, "train", (len(source),))
        check_split(train, np.ones_like(train))
        freeze(self, source=source, target=target, train=train)

    def __repr__(self) -> str:
        vocabularies = f"{len(self.source_words)} and {len(self.target_words)} words"
        return self.in_words(f"{self.source.shape[-2]} sentences, {vocabularies}")


def decode(rows: np.ndarray, words: Words) -> list[Words]:
    """Return the sentences in rows (S, L) of numbers: up to the end, without marks.

    Example:
        >>> from attnflow.learn.data.sentences import MARKS, decode
        >>> decode([[1, 4, 3, 2, 0], [3, 3, 3, 3, 3]], (*MARKS, "ja", "nein"))
        [('nein', 'ja'), ('ja', 'ja', 'ja', 'ja', 'ja')]
    """
    found = []
    for row in np.asarray(rows).tolist():
        until = row.index(END) if END in row else len(row)
        found.append(tuple(words[number] for number in row[:until] if number > END))
    return found


def encode(sentences: Sequence[Words], words: Words, *, begins: bool, length: int | None = None) -> np.ndarray:
    """Return sentences as rows of numbers, with their ends, and `begins` or not; words that are not there are refused.

    Args:
        sentences: S of them.
        words: all there are, after the marks.
        begins: whether rows begin with the mark of that.
        length: of rows; None for that of the longest.

    Raises:
        DataError: if a word is not known, or a sentence is too long.
    """
    numbers = {word: number for number, word in enumerate(words)}
    most = max(map(len, sentences)) + 1 + begins
    length = most if length is None else length
    if most > length:
        raise DataError(
            f"a sentence of {most - 1 - begins} words does not fit into rows of {length}. Pass longer rows."
        )
    rows = np.zeros((len(sentences), length), dtype=np.int32)
    for row, sentence in zip(rows, sentences, strict=True):
        unknown = next((word for word in sentence if word not in numbers), None)
        if unknown is not None:
            raise DataError(f"{unknown!r} in {' '.join(sentence)!r} is none of the {len(words)} words.")
        content = [BEGIN] * begins + [numbers[word] for word in sentence] + [END]
        row[: len(content)] = content
    return rows


def vocabulary(sentences: Iterable[Words], *, marks: Words = MARKS, least: int = 1) -> Words:
    """Return the marks, then all words that are used so many times at least: often used ones first, then by letters."""
    counts: dict[str, int] = {}
    for sentence in sentences:
        for word in sentence:
            counts[word] = counts.get(word, 0) + 1
    return (*marks, *sorted((word for word in counts if counts[word] >= least), key=lambda word: (-counts[word], word)))


def _rows(array: object, name: str, words: Words, *, begins: bool) -> np.ndarray:
    given = check_finite(array, name)
    if given.ndim != 2 or not given.size:
        raise DataError(f"`{name}` must have shape (S, L) and hold something, got shape {given.shape}.")
    wrong = (given != np.floor(given)) | (given < 0) | (given >= len(words))
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        raise DataError(
            f"`{name}` counts {len(words)} words, from 0 to {len(words) - 1}; word {place} of sentence {row} is "
            f"{given[row, place]:g}."
        )
    ends, padding = given == END, given == PADDING
    after = np.cumsum(ends, axis=1) - ends > 0
    bad = (ends.sum(axis=1) != 1) | (padding != after).any(axis=1) | ((given == BEGIN).sum(axis=1) != begins)
    if begins:
        bad |= given[:, 0] != BEGIN
    if bad.any():
        row = int(np.argmax(bad))
        shape = "1, words, 2, then 0" if begins else "words, 2, then 0"
        raise DataError(f"`{name}`: sentence {row} must be {shape}; it is {given[row].astype(int).tolist()}.")
    return frozen(given.astype(np.int32))
