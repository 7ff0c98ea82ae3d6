"""What is minimised, against sums written out; what does not fit, named with both numbers."""

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.learn import losses

GENERATOR = np.random.default_rng(7)
SETS = af.learn.TokenSets(
    "sets", GENERATOR.normal(size=(4, 5, 3)), GENERATOR.integers(0, 3, (4, 5)), 3,
    np.array([[True] * 5, [True, False, True, True, False], [False] * 5, [True] * 5]),
)  # fmt: skip
KEY = jax.random.key(1)


def model(tokens, mask=None):
    """Three logits of every token."""
    return tokens * 2 - 1


def test_the_loss_of_tokens_is_the_mean_over_those_for_training():
    logs = np.take_along_axis(log_softmax(model(SETS.tokens), axis=-1), SETS.labels[..., None], axis=-1)[..., 0]
    assert np.isclose(losses.TokenLoss()(model, SETS, KEY), -logs[SETS.train].mean(), rtol=1e-13, atol=0)
    right = model(SETS.tokens).argmax(-1) == SETS.labels
    found = losses.token_accuracy(model, SETS)
    assert np.isclose(found["train"], right[SETS.train].mean())
    assert np.isclose(found["test"], right[~SETS.train].mean())


def test_a_batch_takes_sets_for_training_only_each_once_and_all_in_turn():
    drawn = [losses.TokenLoss(2).draw(SETS, SETS.train.any(axis=1), key) for key in jax.random.split(KEY, 20)]
    rows = np.array([[int(np.argmin(np.abs(SETS.tokens - each).sum((1, 2)))) for each in one.tokens] for one in drawn])
    assert set(rows.ravel()) == {0, 1, 3}
    assert (rows[:, 0] != rows[:, 1]).all()
    np.testing.assert_array_equal(drawn[0].labels, SETS.labels[rows[0]])


def test_cross_entropy_of_nothing_is_nothing():
    assert losses.cross_entropy(np.zeros((2, 3)), np.array([-1, -1]), np.zeros(2, dtype=bool)) == 0


def test_the_loss_of_numbers_is_their_squared_error():
    numbers = af.learn.Regression("numbers", GENERATOR.normal(size=(6, 2)), GENERATOR.normal(size=6), np.arange(6) < 4)
    errors = (numbers.inputs.sum(1) - numbers.targets) ** 2
    sums = lambda inputs: inputs.sum(axis=1, keepdims=True)  # noqa: E731
    assert np.isclose(losses.SquaredLoss()(sums, numbers, KEY), errors[:4].mean(), rtol=1e-13, atol=0)
    assert np.isclose(losses.squared_error(sums, numbers)["test"], errors[4:].mean(), rtol=1e-13, atol=0)
    with pytest.raises(ConfigError, match="the model has 2 outputs, and the data have 1 numbers for each input"):
        losses.SquaredLoss()(lambda inputs: inputs, numbers, KEY)
    with pytest.raises(ConfigError, match="`batch` of a squared loss must be None, got 3"):
        losses.SquaredLoss(3)(sums, numbers, KEY)


class Reader:
    """A model of sentences that gives the word before the highest logit, and knows 6 and 9 words."""

    vocabulary = (6, 9)

    def __call__(self, source, target):
        return jax.nn.one_hot(target, 9)


SENTENCES = af.learn.Translations(
    "sentences", np.array([[3, 2], [5, 2], [4, 2]]), np.array([[1, 4, 2, 0], [1, 2, 0, 0], [1, 8, 8, 2]]),
    tuple("abcdef"), tuple("abcdefghi"), np.array([True, True, False]),
)  # fmt: skip


def test_the_loss_of_sentences_counts_words_and_ends_but_no_padding():
    words = np.log(np.exp(1) + 8)  # each of them was another than the one before
    assert np.isclose(losses.SentenceLoss()(Reader(), SENTENCES, KEY), words, rtol=1e-6, atol=0)  # one_hot is float32
    found = losses.word_accuracy(Reader(), SENTENCES)
    assert found["train"] == 0
    assert np.isclose(found["test"], 1 / 3)  # 8 after 8, of the words 8, 8, end


@pytest.mark.parametrize(
    ("loss", "network", "data", "message"),
    [
        (losses.TokenLoss(), {"outputs": 4}, SETS, "the model has 4 outputs, and the data have 3 classes"),
        (losses.TokenLoss(), {"inputs": 5}, SETS, "`tokens` have 3 coordinates, and `inputs` of the network is 5"),
        (losses.TokenLoss(7), {}, SETS, "`batch` is 7, and there are 4 to draw from"),
    ],
)
def test_training_refuses_a_network_that_does_not_fit_its_data(loss, network, data, message):
    sizes = {"inputs": 3, "width": 4, "outputs": 3} | network

    def make(key):
        return af.learn.InformationPropagationNetwork(
            *sizes.values(), block=lambda width, key: af.learn.PointwiseBlock(width, key=key), key=key
        )

    with pytest.raises((ConfigError, DataError), match=message):
        af.learn.train(make, loss, data, keys=KEY[None], steps=1, data_axis=None)


def test_sentences_of_other_vocabularies_are_refused_with_both_numbers():
    less = SENTENCES.replace(target_words=(*tuple("abcdefghi"), "j"))
    with pytest.raises(ConfigError, match="the target of the data has 10 words, and the model knows 9"):
        losses.SentenceLoss()(Reader(), less, KEY)


@pytest.mark.parametrize(("window", "expected"), [(1, [1, 5, 0]), (2, [2, 5, 1]), (9, [5, 5, 4])])
def test_steps_to_a_loss_are_those_until_the_mean_of_the_last_ones_is_low_enough(window, expected):
    runs = np.array([[9.0, 2.0, 1.0, 8.0, 8.0], [9.0, 9.0, 9.0, 9.0, 2.1], [0.0, 1.0, 5.0, 0.0, 2.0]])
    np.testing.assert_array_equal(losses.steps_to(runs, 2.0, window=window), expected)


def test_a_batch_that_is_no_number_of_sets_is_refused():
    with pytest.raises(ConfigError, match="`batch` must be an integer of at least 1, got 0"):
        losses.TokenLoss(0)
