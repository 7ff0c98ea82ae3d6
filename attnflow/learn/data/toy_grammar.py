"""Two languages that say the same in another order, with other agreements, and translate into one another exactly.

    the source:  [adjective] noun verb [adjective] noun     "red dogs called bird", "old dog fears red birds"
    the target:  noun [adjective] noun [adjective] verb     the object first, then the subject, the verb last

Nouns have a number in both. In the source the verb agrees with the subject, in the present; in the target adjectives
agree with their nouns, and the verb with the object. So few words say by themselves how they are translated.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple, NoReturn, TypeVar

import jax
import numpy as np

from attnflow._checks import check_integer
from attnflow.densities.sampling import generator_of
from attnflow.errors import ConfigError, DataError
from attnflow.learn.data.checks import check_share
from attnflow.learn.data.sentences import MARKS, Translations, Words, encode

# Word by word: what is at one place means the same.
_NOUNS = ["dog", "cat", "bird", "horse", "cow", "duck", "lion", "bear", "frog", "snake", "seal", "crow"]
_VERBS = ["help", "follow", "call", "greet", "paint", "visit", "remember", "fear"]
_ADJECTIVES = ["old", "young", "tall", "small", "red", "white", "quick", "loud"]
_TARGET_NOUNS = ["bor", "dal", "fen", "gim", "hul", "jat", "kel", "lom", "mir", "nup", "pos", "rad"]
_TARGET_VERBS = ["alt", "elm", "ird", "osk", "urn", "ant", "emb", "ost"]
_TARGET_ADJECTIVES = ["van", "wil", "zot", "sek", "tir", "yub", "xem", "cor"]

LENGTH = 7  # of rows: five words, begin and end
_HELD_OUT = 4  # one of so many pairs of verb and object is kept for testing


T = TypeVar("T")


class Phrase(NamedTuple):
    """A noun, whether there are many, and its adjective: numbers of the words; -1 for no adjective."""

    noun: int
    many: bool
    adjective: int


class Meaning(NamedTuple):
    """Who does what to whom, and whether that is past."""

    subject: Phrase
    verb: int
    past: bool
    object: Phrase


class _Language(ABC):
    """Which words there are, and what sentences mean.

    Attributes:
        nouns: their forms, with the noun and its number.
        adjectives: theirs, with the adjective.
        verbs: theirs, with the verb and whether it is past.
    """

    nouns: dict[str, tuple[int, bool]]
    adjectives: dict[str, int]
    verbs: dict[str, tuple[int, bool]]

    @property
    def words(self) -> Words:
        """All words, after the marks."""
        return (*MARKS, *self.nouns, *self.adjectives, *self.verbs)

    @abstractmethod
    def say(self, meaning: Meaning) -> Words:
        """Return the sentence that means this."""

    @abstractmethod
    def read(self, reader: _Reader) -> Meaning:
        """Return what words mean, one after another; their agreement is not looked at."""

    def understand(self, sentence: Words) -> Meaning:
        """Return what a sentence means; raise DataError with the first word that is wrong."""
        reader = _Reader(tuple(sentence))
        meaning = self.read(reader)
        for place, expected in enumerate(self.say(meaning)):
            if sentence[place] != expected:
                reader.refuse(place, repr(expected))
        return reader.finish(meaning)


class _Source(_Language):
    """Adjective before noun; subject, verb, object; the verb agrees with the subject."""

    def __init__(self) -> None:
        self.nouns = {noun + "s" * many: (i, many) for i, noun in enumerate(_NOUNS) for many in (False, True)}
        self.adjectives = {adjective: i for i, adjective in enumerate(_ADJECTIVES)}
        self.verbs = {verb + end: (i, end == "ed") for i, verb in enumerate(_VERBS) for end in ("", "s", "ed")}

    def say(self, meaning: Meaning) -> Words:
        end = "ed" if meaning.past else "" if meaning.subject.many else "s"
        return (*self._phrase(meaning.subject), _VERBS[meaning.verb] + end, *self._phrase(meaning.object))

    def _phrase(self, phrase: Phrase) -> Words:
        noun = _NOUNS[phrase.noun] + "s" * phrase.many
        return (noun,) if phrase.adjective < 0 else (_ADJECTIVES[phrase.adjective], noun)

    def read(self, reader: _Reader) -> Meaning:
        subject = self._read_phrase(reader)
        verb, past = reader.take(self.verbs, "a verb")
        return Meaning(subject, verb, past, self._read_phrase(reader))

    def _read_phrase(self, reader: _Reader) -> Phrase:
        adjective = reader.take_if(self.adjectives, -1)
        noun, many = reader.take(self.nouns, "a noun")
        return Phrase(noun, many, adjective)


class _Target(_Language):
    """Noun before adjective, which agree; object, subject, verb; the verb agrees with the object."""

    def __init__(self) -> None:
        self.nouns = {noun + "u" * many: (i, many) for i, noun in enumerate(_TARGET_NOUNS) for many in (False, True)}
        self.adjectives = {adjective + end: i for i, adjective in enumerate(_TARGET_ADJECTIVES) for end in "ou"}
        ends = [("e", False), ("i", True), ("enu", False), ("inu", True)]
        self.verbs = {verb + end: (i, past) for i, verb in enumerate(_TARGET_VERBS) for end, past in ends}

    def say(self, meaning: Meaning) -> Words:
        end = ("i" if meaning.past else "e") + "nu" * meaning.object.many
        return (*self._phrase(meaning.object), *self._phrase(meaning.subject), _TARGET_VERBS[meaning.verb] + end)

    def _phrase(self, phrase: Phrase) -> Words:
        noun = _TARGET_NOUNS[phrase.noun] + "u" * phrase.many
        return (noun,) if phrase.adjective < 0 else (noun, _TARGET_ADJECTIVES[phrase.adjective] + "ou"[phrase.many])

    def read(self, reader: _Reader) -> Meaning:
        receiver, subject = self._read_phrase(reader), self._read_phrase(reader)
        verb, past = reader.take(self.verbs, "a verb")
        return Meaning(subject, verb, past, receiver)

    def _read_phrase(self, reader: _Reader) -> Phrase:
        noun, many = reader.take(self.nouns, "a noun")
        return Phrase(noun, many, reader.take_if(self.adjectives, -1))


class _Reader:
    """Takes the words of a sentence one after another."""

    def __init__(self, sentence: Words) -> None:
        self.sentence, self.place = sentence, 0

    def take(self, forms: dict[str, T], what: str) -> T:
        """Return what the next word means; raise DataError if it is none of these."""
        if self.place == len(self.sentence) or self.sentence[self.place] not in forms:
            self.refuse(self.place, what)
        self.place += 1
        return forms[self.sentence[self.place - 1]]

    def take_if(self, forms: dict[str, T], otherwise: T) -> T:
        """Return what the next word means if it is one of these, and something else otherwise."""
        there = self.place < len(self.sentence) and self.sentence[self.place] in forms
        return self.take(forms, "") if there else otherwise

    def finish(self, meaning: Meaning) -> Meaning:
        """Return the meaning; raise DataError if words are left."""
        if self.place < len(self.sentence):
            self.refuse(self.place, "the end")
        return meaning

    def refuse(self, place: int, expected: str) -> NoReturn:
        """Raise DataError: something else was expected at some place."""
        found = repr(self.sentence[place]) if place < len(self.sentence) else "the end"
        raise DataError(f"{' '.join(self.sentence)!r}: expected {expected} as word {place + 1}, found {found}.")


SOURCE, TARGET = _Source(), _Target()


def toy_translation(*, key: jax.Array, count: int = 2000, train: float = 0.8) -> Translations:
    """Return different sentences of a toy language and their translations, which `translate` and its inverse know.

    A quarter of all pairs of a verb and an object come in sentences for testing only: each of them puts together what
    was learned apart.

    Args:
        key: the randomness.
        count: how many sentences, at least 2.
        train: the share of them for training.

    Raises:
        ConfigError: if there are not so many sentences, or the share is not between 0 and 1.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.toy_translation(key=jax.random.key(0))
        Translations(toy grammar: 2000 sentences, 59 and 75 words, 1600 of 2000 for training)
    """
    count, share = check_integer(count, "count", minimum=2), check_share(train, "train")
    known = min(max(round(share * count), 1), count - 1)
    generator = generator_of(key)
    verbs, objects = generator.permutation(len(_VERBS)), generator.permutation(len(_NOUNS))
    held_out = (verbs[:, None] + objects) % _HELD_OUT == 0  # of every verb, and of every noun, a quarter
    meanings = []
    for pairs, number in ((np.argwhere(~held_out), known), (np.argwhere(held_out), count - known)):
        shape = (len(pairs), len(_NOUNS), 2, len(_ADJECTIVES) + 1, 2, 2, len(_ADJECTIVES) + 1)
        if number > math.prod(shape):
            raise ConfigError(f"`count` = {count} asks for {number} of {math.prod(shape)} sentences. Ask for less.")
        drawn = np.unravel_index(generator.choice(math.prod(shape), number, replace=False), shape)
        for pair, noun, many, adjective, past, objects_many, of_object in zip(
            *(each.tolist() for each in drawn), strict=True
        ):
            verb, thing = pairs[pair].tolist()
            subject, receiver = (
                Phrase(noun, bool(many), adjective - 1),
                Phrase(thing, bool(objects_many), of_object - 1),
            )
            meanings.append(Meaning(subject, verb, bool(past), receiver))
    source, target = [SOURCE.say(each) for each in meanings], [TARGET.say(each) for each in meanings]
    return Translations(
        "toy grammar",
        encode(source, SOURCE.words, begins=False, length=LENGTH),
        encode(target, TARGET.words, begins=True, length=LENGTH),
        SOURCE.words,
        TARGET.words,
        np.arange(count) < known,
    )


def translate(sentence: Words) -> Words:
    """Return the translation of a sentence of the source into the target.

    Raises:
        DataError: if it is no sentence of the source, with the first word that is wrong.

    Example:
        >>> import attnflow as af
        >>> af.learn.translate(("old", "dog", "greets", "red", "birds"))
        ('fenu', 'tiru', 'bor', 'vano', 'oskenu')
        >>> af.learn.translate_back(af.learn.translate(("dogs", "called", "bird")))
        ('dogs', 'called', 'bird')
    """
    return TARGET.say(SOURCE.understand(sentence))


def translate_back(sentence: Words) -> Words:
    """Return the sentence of the source whose translation this is.

    Raises:
        DataError: if it is no sentence of the target, with the first word that is wrong.
    """
    return SOURCE.say(TARGET.understand(sentence))
