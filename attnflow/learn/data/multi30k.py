"""Captions of pictures in two languages, from their files."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from attnflow._checks import check_integer
from attnflow.densities.sampling import generator_of
from attnflow.errors import ConfigError, DataError
from attnflow.learn.data.files import find, read_text
from attnflow.learn.data.sentences import MARKS, Translations, Words, encode, vocabulary

UNKNOWN = "<unknown>"

Pair = tuple[Words, Words]


def multi30k(
    folder: str | PathLike,
    *,
    key: jax.Array,
    languages: tuple[str, str] = ("de", "en"),
    test: str = "val",
    count: int | None = None,
    least: int = 2,
    longest: int = 20,
) -> Translations:
    """Return sentences of parallel files, one per line, such as those of Multi30k  [EFSS].

    Words are runs of letters and digits, in small letters, and single marks of punctuation. Those that are used less
    than `least` times for training stand for one word, <unknown>, behind the marks; longer sentences are left out.

    Args:
        folder: that holds train.de, train.en, val.de and val.en, or others, see below; plain or compressed (.gz).
        key: which sentences are for training, where `count` says how many.
        languages: the source and the target, by how the names of files end.
        test: the name of the files for testing.
        count: how many sentences are for training; None for all.
        least: how often a word must be used.
        longest: how many words a sentence may have, in both languages.

    Raises:
        ConfigError: if a number is not positive, or `count` more than there are.
        DataError: if a file is missing or not text in UTF-8, two files have not as many lines, or no sentence is short
            enough; the message names the files.
    """
    least, longest = check_integer(least, "least", minimum=1), check_integer(longest, "longest", minimum=1)
    known = _pairs(Path(folder), "train", languages, longest=longest)
    others = _pairs(Path(folder), test, languages, longest=longest)
    if count is not None:
        if check_integer(count, "count", minimum=1) > len(known):
            raise ConfigError(f"`count` must be at most {len(known)}, all sentences for training, got {count}.")
        known = [known[row] for row in np.sort(generator_of(key).permutation(len(known))[:count])]
    source, target = (_column(known, others, side, least=least) for side in (0, 1))
    return Translations(
        "multi30k",
        encode(source.sentences, source.words, begins=False),
        encode(target.sentences, target.words, begins=True),
        source.words,
        target.words,
        np.arange(len(known) + len(others)) < len(known),
    )


def split_words(line: str) -> Words:
    """Return the words of a line in small letters, and its marks of punctuation.

    Example:
        >>> from attnflow.learn.data.multi30k import split_words
        >>> split_words("Zwei Männer, im Freien.")
        ('zwei', 'männer', ',', 'im', 'freien', '.')
    """
    return tuple(re.findall(r"\w+|[^\w\s]", line.lower()))


class _Column(NamedTuple):
    """All sentences of one language, and the words they are made of, after the marks."""

    sentences: list[Words]
    words: Words


def _column(known: list[Pair], others: list[Pair], side: int, *, least: int) -> _Column:
    marks = (*MARKS, UNKNOWN)
    words = vocabulary((pair[side] for pair in known), marks=marks, least=least)
    ordinary = set(words[len(marks) :])
    sentences = [tuple(word if word in ordinary else UNKNOWN for word in pair[side]) for pair in (*known, *others)]
    return _Column(sentences, words)


def _pairs(folder: Path, name: str, languages: tuple[str, str], *, longest: int) -> list[Pair]:
    """Return the sentences of two files, line by line, where both have words and not too many."""
    paths = [find(folder, f"{name}.{language}") for language in languages]
    lines = [read_text(path).removesuffix("\n").split("\n") for path in paths]
    if len(lines[0]) != len(lines[1]):
        raise DataError(
            f"{paths[0]} has {len(lines[0])} lines and {paths[1]} {len(lines[1])}. Line by line they must fit."
        )
    pairs = [(split_words(one), split_words(other)) for one, other in zip(*lines, strict=True)]
    fitting = [pair for pair in pairs if all(0 < len(words) <= longest for words in pair)]
    if not fitting:
        raise DataError(
            f"{paths[0]} and {paths[1]} hold no sentences of 1 to {longest} words. Pass a larger `longest`."
        )
    return fitting
