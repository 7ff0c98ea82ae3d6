"""What is learned from is looked at when it is made: every fault has its words, and JAX sees arrays alone."""

import jax
import numpy as np
import pytest

from attnflow.errors import ConfigError, DataError
from attnflow.learn.data.base import GraphSets, Regression, TokenSets, split_of, stack

RNG = np.random.default_rng(5)
PATH = np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], dtype=bool)  # and a vertex by itself
KEY = jax.random.key(3)


def some_tokens(**changed):
    fields = dict(
        name="some", tokens=RNG.gamma(2.0, size=(2, 4, 3)), labels=np.array([[0, 2, 1, -1], [2, 1, 0, 0]]), classes=3,
        train=np.array([[1, 0, 1, 0], [0, 1, 0, 0]], dtype=bool),
    )  # fmt: skip
    return TokenSets(**fields | changed)


def some_graphs(**changed):
    fields = dict(
        name="some", tokens=RNG.gamma(2.0, size=(2, 4, 3)), adjacency=np.stack([PATH, PATH]),
        present=np.array([[1, 1, 1, 0]] * 2, dtype=bool), labels=np.array([1, 0]), classes=2,
        train=np.array([True, False]),
    )  # fmt: skip
    return GraphSets(**fields | changed)


def some_numbers(**changed):
    fields = dict(
        name="some", inputs=RNG.gamma(2.0, size=(5, 2)), targets=RNG.gamma(2.0, size=5), train=np.arange(5) < 3
    )
    return Regression(**fields | changed)


@pytest.mark.parametrize(
    ("make", "changed", "words"),
    [
        (some_tokens, dict(labels=[[0, 1, 2, 0], [0, 1, 3, 0]]), r"label 1, 2 is 3, and `classes` is 3\. Count"),
        (some_tokens, dict(labels=[[0, -2, 2, 0], [0, 1, 2, 0]]), r"or -1 where there is none; label 0, 1 is -2"),
        (some_tokens, dict(labels=[[0, 1.5, 2, 0], [0, 1, 2, 0]]), r"whole numbers.*label 0, 1 is 1\.5"),
        (some_tokens, dict(labels=[0, 1]), r"`labels` must have shape \(2, 4\), got \(2,\)"),
        (some_tokens, dict(tokens=np.where(np.arange(24) == 7, np.nan, 1.0).reshape(2, 4, 3)), r"at \[\(0, 2, 1\)"),
        (some_tokens, dict(tokens=np.ones((4, 3))), r"`tokens` must have shape \(S, N, D\).*got shape \(4, 3\)"),
        (some_tokens, dict(tokens=np.ones((2, 0, 3))), r"hold something, got shape \(2, 0, 3\)"),
        (some_tokens, dict(train=np.zeros((2, 4), dtype=bool)), r"`train` holds no True"),
        (some_tokens, dict(train=np.ones((2, 4))), r"`train` must be bool of shape \(2, 4\), got float64"),
        (some_tokens, dict(train=np.ones((2, 4), dtype=bool)), r"`train`: row 0, 3 is for training, but has no label"),
        (some_tokens, dict(train=np.array([[1, 1, 1, 0], [1] * 4], dtype=bool)), r"nothing is left for testing"),
        (some_tokens, dict(present=np.array([[1, 1, 0, 1], [1] * 4], dtype=bool)), r"row 0, 2 has a label, but is not"),
        (some_tokens, dict(adjacency=np.stack([PATH, PATH])), r"`adjacency`: row 0, 3 has no neighbour"),
        (some_graphs, dict(labels=[1, 2]), r"whole numbers from 0 to 1; label 1 is 2, and `classes` is 2"),
        (some_graphs, dict(labels=[1, -1]), r"whole numbers from 0 to 1; label 1 is -1"),
        (some_graphs, dict(present=np.array([[1] * 4, [1, 1, 1, 0]], dtype=bool)), r"row 0, 3 has no neighbour"),
        (some_graphs, dict(adjacency=np.stack([PATH, PATH | np.eye(4, dtype=bool)])), r"row 1, 3 is linked with, or"),
        (some_graphs, dict(train=np.array([True, True])), r"nothing is left for testing"),
        (some_numbers, dict(targets=np.arange(4.0)), r"`targets` must have shape \(5,\), one per input, got \(4,\)"),
        (some_numbers, dict(targets=np.array([0, 1, np.inf, 2, 3])), r"`targets` holds 1 values that are NaN or Inf"),
        (some_numbers, dict(train=np.zeros(5, dtype=bool)), r"nothing is left to learn from"),
    ],
)  # fmt: skip
def test_every_fault_is_named_with_its_place(make, changed, words):
    make()
    with pytest.raises(DataError, match=words):
        make(**changed)


def test_one_class_is_nothing_to_be_told_apart():
    with pytest.raises(ConfigError, match="`classes` must be an integer of at least 2, got 1"):
        some_tokens(classes=1)


def test_arrays_are_copies_that_cannot_be_written_to():
    tokens = RNG.gamma(2.0, size=(2, 4, 3))
    data = some_tokens(tokens=tokens)
    tokens[0, 0, 0] = 77.0
    assert data.tokens[0, 0, 0] != 77.0
    with pytest.raises(ValueError, match="read-only"):
        data.tokens[0, 0, 0] = 1.0


def test_training_testing_and_tokens_without_a_label_are_three_parts():
    data = some_tokens()
    np.testing.assert_array_equal(data.train.astype(int) + data.test + (data.labels < 0), 1)


def test_masks_hold_loops_and_neighbours_and_give_every_row_a_key():
    assert some_tokens().mask is None
    np.testing.assert_array_equal(some_graphs().mask[0], PATH | np.eye(4, dtype=bool))
    there = np.array([[1, 1, 1, 0], [0, 1, 1, 1]], dtype=bool)
    labels = np.where(there, [[0, 2, 1, 0], [2, 1, 0, 0]], -1)
    mask = some_tokens(labels=labels, present=there).mask
    for of_set, rows in zip(mask, there, strict=True):
        np.testing.assert_array_equal(of_set[rows], np.broadcast_to(rows, (3, 4)))
        np.testing.assert_array_equal(of_set[~rows], np.eye(4, dtype=bool)[~rows])


def test_standardized_is_what_the_part_for_training_says():
    graphs = some_graphs(present=np.array([[1, 1, 1, 0], [1, 1, 1, 0]], dtype=bool))
    seen = graphs.tokens[0, :3]
    np.testing.assert_allclose(
        graphs.standardized().tokens, (graphs.tokens - seen.mean(axis=0)) / seen.std(axis=0), rtol=1e-12
    )
    numbers = some_numbers()
    scaled = numbers.standardized()
    np.testing.assert_allclose(scaled.targets[:3].std(), 1.0, rtol=1e-12)
    np.testing.assert_allclose(scaled.inputs[:3].mean(axis=0), 0.0, atol=1e-12)
    assert abs(scaled.targets.mean()) > 1e-3  # those for testing were left out
    tokens = some_tokens()
    scaled = tokens.standardized().tokens
    np.testing.assert_allclose(scaled[tokens.train].mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(scaled[tokens.train].std(axis=0), 1.0, rtol=1e-12)
    assert np.abs(scaled.mean(axis=(0, 1))).max() > 1e-3


def test_a_coordinate_that_is_constant_in_training_becomes_zero():
    inputs = RNG.gamma(2.0, size=(5, 2))
    inputs[:3, 1] = 0.1
    np.testing.assert_array_equal(some_numbers(inputs=inputs).standardized().inputs[:, 1], 0.0)


def test_shuffled_labels_are_the_same_ones_in_training_and_untouched_elsewhere():
    labels = np.arange(400).reshape(1, 400) % 3
    data = some_tokens(tokens=np.ones((1, 400, 1)), labels=labels, train=np.arange(400)[None] < 300)
    dealt = data.shuffled(key=KEY)
    np.testing.assert_array_equal(dealt.labels[data.test], data.labels[data.test])
    np.testing.assert_array_equal(np.bincount(dealt.labels[0, :300]), np.bincount(data.labels[0, :300]))
    same = (dealt.labels == data.labels)[data.train].mean()
    assert abs(same - 1 / 3) < 4 * np.sqrt(2 / 9 / 300)  # four standard deviations of 300 draws


def test_a_stack_of_draws_is_what_vmap_runs_over():
    draws = [some_tokens(), some_tokens()]
    both = stack(draws)
    assert both.tokens.shape == (2, 2, 4, 3)
    assert repr(both).startswith("TokenSets(some: 2 draws of 2 sets of 4 tokens")
    hits = jax.vmap(lambda data: (data.labels == 0).sum() + data.classes * data.test.sum())(both)
    expected = (draws[0].labels == 0).sum() + 3 * draws[0].test.sum()
    np.testing.assert_array_equal(hits, [expected, expected])


def test_draws_that_differ_are_not_stacked():
    with pytest.raises(DataError, match="draw 1 is of another kind or shape than draw 0"):
        stack([some_tokens(), some_tokens(classes=4)])
    with pytest.raises(DataError, match="draw 1 is of another kind"):
        stack([some_tokens(), some_tokens(tokens=np.ones((2, 4, 1)))])
    with pytest.raises(DataError, match="`draws` is empty"):
        stack([])


def test_a_split_takes_its_share_of_every_class_and_leaves_some():
    labels = np.repeat([0, 1, 2, -1], [100, 10, 2, 5])
    train = split_of(labels, 0.3, key=KEY)
    assert [int(train[labels == label].sum()) for label in (0, 1, 2, -1)] == [30, 3, 1, 0]
    assert int(split_of(np.zeros(2, dtype=int), 0.999, key=KEY).sum()) == 1
    assert (split_of(labels, 0.3, key=jax.random.key(4)) != train).any()
    with pytest.raises(ConfigError, match=r"`train` is the share of labels.*got 1"):
        split_of(labels, 1.0, key=KEY)
