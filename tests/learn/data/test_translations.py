"""Two languages that are one another's inverse, sentences from files, and scores worked out by hand."""

import gzip
import math

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnflow.errors import ConfigError, DataError
from attnflow.learn.data.multi30k import UNKNOWN, multi30k
from attnflow.learn.data.scores import bleu, exact_match
from attnflow.learn.data.sentences import MARKS, Translations, decode, encode, vocabulary
from attnflow.learn.data.toy_grammar import (
    SOURCE,
    TARGET,
    Meaning,
    Phrase,
    toy_translation,
    translate,
    translate_back,
)  # fmt: skip

KEY = jax.random.key(6)
phrases = st.builds(Phrase, st.integers(0, 11), st.booleans(), st.integers(-1, 7))
meanings = st.builds(Meaning, phrases, st.integers(0, 7), st.booleans(), phrases)


@settings(max_examples=200, deadline=None)
@given(meanings)
def test_both_languages_say_a_meaning_and_understand_what_they_said(meaning):
    source, target = SOURCE.say(meaning), TARGET.say(meaning)
    assert SOURCE.understand(source) == TARGET.understand(target) == meaning
    assert translate(source) == target
    assert translate_back(target) == source


@settings(max_examples=200, deadline=None)
@given(meanings, meanings)
def test_what_means_something_else_is_said_otherwise(one, other):
    for language in (SOURCE, TARGET):
        assert (language.say(one) == language.say(other)) == (one == other)


def test_no_form_of_a_word_is_used_twice():
    assert len(set(SOURCE.words)) == len(SOURCE.words) == 3 + 24 + 8 + 24
    assert len(set(TARGET.words)) == len(TARGET.words) == 3 + 24 + 16 + 32


@pytest.mark.parametrize(
    ("understand", "sentence", "words"),
    [
        (translate, "dogs fears bird", "expected 'fear' as word 2, found 'fears'"),
        (translate, "red dog called", "expected a noun as word 4, found the end"),
        (translate, "dog red called bird", "expected a verb as word 2, found 'red'"),
        (translate, "dog called bird bird", "expected the end as word 4, found 'bird'"),
        (translate, "", "expected a noun as word 1, found the end"),
        (translate_back, "fen vanu bor irde", "expected 'vano' as word 2, found 'vanu'"),
        (translate_back, "fenu bor irde", "expected 'irdenu' as word 3, found 'irde'"),
        (translate_back, "vano fen bor irde", "expected a noun as word 1, found 'vano'"),
    ],
)
def test_what_is_no_sentence_is_refused_at_its_first_wrong_word(understand, sentence, words):
    with pytest.raises(DataError, match=words):
        understand(tuple(sentence.split()))


@pytest.fixture(scope="module")
def toy():
    return toy_translation(key=KEY, count=1500, train=0.8)


def test_drawn_sentences_are_different_and_their_translations_are_true(toy):
    source, target = decode(toy.source, toy.source_words), decode(toy.target, toy.target_words)
    assert len(set(source)) == 1500
    assert [translate(sentence) for sentence in source] == target
    assert [translate_back(sentence) for sentence in target] == source
    assert int(toy.train.sum()) == 1200


def test_what_is_tested_puts_together_what_was_learned_apart(toy):
    """A quarter of the 96 pairs of verb and object is only for testing, but no word is."""
    meant = [TARGET.understand(sentence) for sentence in decode(toy.target, toy.target_words)]
    pairs = [(meaning.verb, meaning.object.noun) for meaning in meant]
    learned = {pair for pair, known in zip(pairs, toy.train, strict=True) if known}
    tested = {pair for pair, known in zip(pairs, toy.train, strict=True) if not known}
    assert not learned & tested
    assert (len(learned), len(tested)) == (72, 24)
    for rows in (toy.source, toy.target):
        assert set(rows[toy.test].ravel().tolist()) <= set(rows[toy.train].ravel().tolist())


def test_one_key_is_one_draw_and_others_differ(toy):
    np.testing.assert_array_equal(toy_translation(key=KEY, count=1500, train=0.8).source, toy.source)
    other = toy_translation(key=jax.random.key(7), count=1500, train=0.8)
    assert (other.source != toy.source).any()


def test_more_sentences_than_there_are_are_refused():
    with pytest.raises(ConfigError, match=r"`count` = 1000000 asks for 800000 of 559872 sentences"):
        toy_translation(key=KEY, count=1_000_000)


def test_shuffled_translations_are_the_same_ones_in_training_and_untouched_elsewhere(toy):
    dealt = toy.shuffled(key=KEY)
    np.testing.assert_array_equal(dealt.target[toy.test], toy.target[toy.test])
    assert sorted(dealt.target[toy.train].tolist()) == sorted(toy.target[toy.train].tolist())
    assert (dealt.target[toy.train] == toy.target[toy.train]).all(axis=1).mean() < 0.02
    np.testing.assert_array_equal(dealt.source, toy.source)


WORDS = (*MARKS, "ja", "nein")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (dict(source=[[3, 4, 2], [5, 2, 0]]), "`source` counts 5 words, from 0 to 4; word 0 of sentence 1 is 5"),
        (dict(source=[[3, 4, 2], [3, 4, 4]]), "`source`: sentence 1 must be words, 2, then 0; it is .3, 4, 4."),
        (dict(source=[[3, 4, 2], [3, 2, 4]]), "sentence 1 must be words"),
        (dict(source=[[3, 4, 2], [0, 3, 2]]), "sentence 1 must be words"),
        (dict(source=[[1, 4, 2], [3, 2, 0]]), "sentence 0 must be words"),
        (dict(target=[[1, 4, 2], [4, 2, 0]]), "`target`: sentence 1 must be 1, words, 2, then 0"),
        (dict(target=[[1, 4, 2], [4, 1, 2]]), "`target`: sentence 1 must be 1, words"),
        (dict(target=[[1, 4, 2]]), "`source` has 2 sentences and `target` 1"),
        (dict(source=[3, 2]), r"`source` must have shape \(S, L\)"),
        (dict(train=[True, True]), "nothing is left for testing"),
    ],
)
def test_rows_that_are_no_sentences_are_named(changed, words):
    fields = dict(
        name="some", source=[[3, 4, 2], [3, 2, 0]], target=[[1, 4, 2], [1, 3, 2]], source_words=WORDS,
        target_words=WORDS, train=[True, False],
    )  # fmt: skip
    assert repr(Translations(**fields)) == "Translations(some: 2 sentences, 5 and 5 words, 1 of 2 for training)"
    with pytest.raises(DataError, match=words):
        Translations(**fields | changed)


def test_sentences_are_encoded_and_decoded_and_strangers_are_refused():
    sentences = [("ja",), (), ("nein", "nein")]
    rows = encode(sentences, WORDS, begins=True)
    np.testing.assert_array_equal(rows, [[1, 3, 2, 0], [1, 2, 0, 0], [1, 4, 4, 2]])
    assert decode(rows, WORDS) == sentences
    with pytest.raises(DataError, match="'doch' in 'ja doch' is none of the 5 words"):
        encode([("ja", "doch")], WORDS, begins=False)
    with pytest.raises(DataError, match="a sentence of 2 words does not fit into rows of 2"):
        encode(sentences, WORDS, begins=False, length=2)


def test_words_stand_in_the_order_of_their_use():
    assert vocabulary([("b", "a", "c"), ("c", "b"), ("c",)], least=2) == (*MARKS, "c", "b")


@pytest.fixture
def folder(tmp_path):
    german = "Ein Hund, ein Ball.\nEin Hund.\nEin Hund läuft sehr weit weg.\nEin Ball.\n"
    english = "A dog, a ball.\nA dog.\nA dog runs.\nA ball.\n"
    for name in ("train", "val"):
        (tmp_path / f"{name}.de").write_text(german, encoding="utf-8")
        (tmp_path / f"{name}.en.gz").write_bytes(gzip.compress(english.encode()))
    (tmp_path / "val.de").write_text("Ein Hund bellt.\n", encoding="utf-8")
    (tmp_path / "val.en.gz").write_bytes(gzip.compress(b"A dog barks.\n"))
    return tmp_path


def test_parallel_files_are_read_with_the_words_of_training(folder):
    data = multi30k(folder, key=KEY, longest=6)
    assert data.source_words == (*MARKS, UNKNOWN, "ein", ".", "ball", "hund")
    assert decode(data.target, data.target_words) == [
        ("a", "dog", UNKNOWN, "a", "ball", "."), ("a", "dog", "."), ("a", "ball", "."), ("a", "dog", UNKNOWN, "."),
    ]  # fmt: skip
    np.testing.assert_array_equal(data.train, [True, True, True, False])  # the sentence of seven words is left out
    some = multi30k(folder, key=KEY, longest=6, count=2, languages=("en", "de"), least=1)
    assert int(some.train.sum()) == 2


def test_files_that_do_not_fit_are_named(folder):
    with pytest.raises(ConfigError, match="`count` must be at most 4, all sentences for training, got 5"):
        multi30k(folder, key=KEY, count=5)
    with pytest.raises(DataError, match="hold no sentences of 1 to 1 words"):
        multi30k(folder, key=KEY, longest=1)
    with pytest.raises(DataError, match=r"no file train\.fr, plain or \.gz; it holds train\.de, train\.en\.gz"):
        multi30k(folder, key=KEY, languages=("fr", "en"))
    with (folder / "train.de").open("a", encoding="utf-8") as file:
        file.write("Noch einer.\n")
    with pytest.raises(DataError, match=r"train\.de has 5 lines and .*train\.en\.gz 4"):
        multi30k(folder, key=KEY)


def test_bleu_of_one_sentence_is_what_is_counted_by_hand():
    """Of seven words, six are in the reference, two of "the" count; pairs 4 of 6, triples 3 of 5, fours 2 of 4."""
    candidate, reference = (
        ["the", "the", "cat", "sat", "on", "the", "mat"],
        ["the", "cat", "sat", "on", "the", "red", "mat"],
    )
    expected = (6 / 7 * 4 / 6 * 3 / 5 * 2 / 4) ** 0.25
    assert bleu([candidate], [reference]) == pytest.approx(expected, rel=1e-14)


def test_bleu_counts_all_sentences_together_and_pays_for_what_is_missing():
    candidates, references = [list("abcde"), list("xy")], [list("abcdef"), list("xyz")]
    assert bleu(candidates, references) == pytest.approx(math.exp(1 - 9 / 7), rel=1e-14)  # all n-grams are there
    assert bleu([list("abcdefg")], [list("abcdef")]) == pytest.approx(
        (6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25, rel=1e-14
    )  # longer ones pay by their n-grams


def test_bleu_is_one_for_the_truth_and_zero_without_a_common_run():
    references = [list("abc"), list("ab")]  # no reference has four words: runs of up to three count
    assert bleu(references, references) == 1.0
    assert bleu([list("ab"), list("ab")], references) == 0.0  # no triple
    assert bleu([[], []], references) == 0.0
    assert exact_match([["a"], ["b"], ["c"], ["d"]], [("a",), ("b",), ("c",), ("c", "d")]) == 0.75


@pytest.mark.parametrize("score", [bleu, exact_match])
def test_scores_of_what_does_not_fit_are_refused(score):
    with pytest.raises(DataError, match="1 candidates and 2 references"):
        score([["a"]], [["a"], ["b"]])
    with pytest.raises(DataError, match="0 candidates and 0 references"):
        score([], [])


def test_references_without_words_are_refused():
    with pytest.raises(DataError, match="`references` are all empty"):
        bleu([["a"]], [[]])
