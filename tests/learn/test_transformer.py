"""The transformer against one written in NumPy, what its words may not see, and what does not fit it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import attnflow as af
from attnflow._compiling import compile_roughly
from attnflow.errors import ConfigError, DataError
from attnflow.learn.transformer import EncoderDecoder, positions

WORDS, WIDTH, LENGTH = (7, 9), 4, 6
SOURCE = np.array([4, 6, 3, 2, 0])
TARGET = np.array([1, 5, 8, 3])
ROUND = 1e-12  # some tens of operations on numbers of order one


def make_heads(width, key):
    return af.learn.MetricAttention(width, heads=2, features=3, key=key)


def made(**sizes):
    """The shapes of a transformer: nothing is drawn, which would be compiled."""
    sizes = {"vocabulary": WORDS, "width": WIDTH, "length": LENGTH, "make_heads": make_heads, "hidden": 5} | sizes
    return eqx.filter_eval_shape(lambda key: EncoderDecoder(**sizes, key=key), jax.random.key(0))


@pytest.fixture(scope="module")
def model():
    """A transformer with all parameters drawn, those of norms and biases too."""
    generator = np.random.default_rng(3)
    return jax.tree.map(lambda leaf: jnp.asarray(0.7 * generator.normal(size=leaf.shape) + 0.1), made())


@pytest.fixture(scope="module")
def logits(model):
    """A function that is compiled for each pair of lengths."""
    return eqx.filter_jit(lambda source, target: model(source, target))


@pytest.fixture(scope="module")
def translate():
    """A function of a transformer and a source."""
    return eqx.filter_jit(lambda model, source: model.translate(source))


def norm(layer, x):
    x = x - x.mean(axis=1, keepdims=True)
    return x / np.sqrt((x**2).mean(axis=1, keepdims=True) + 1e-5) * layer.weight + layer.bias


def linear(layer, x):
    return x @ np.asarray(layer.weight).T + layer.bias


def exchange(part, x, memory, mask):
    """Two heads one after the other: distances of images, weights, values of two numbers each, then one matrix."""
    maps, mixed = part.heads.maps, []
    for head in range(2):
        image = lambda z, h=head: (  # noqa: E731
            np.tanh(z @ np.asarray(maps.inner[h]).T + maps.inner_bias[h]) @ np.asarray(maps.outer[h]).T
            + maps.outer_bias[h]
        )
        cost = ((image(x)[:, None] - image(memory)[None]) ** 2).sum(axis=2)
        weights = np.where(mask, np.exp(-cost), 0)
        weights /= weights.sum(axis=1, keepdims=True)
        mixed.append(weights @ memory @ np.asarray(part.values.weight[head]).T)
    return linear(part.output, np.concatenate(mixed, axis=1))


def perceptron(layer, x):
    return linear(layer.perceptron[1], np.maximum(linear(layer.perceptron[0], x), 0))


def sinusoids(count):
    angles = np.arange(count)[:, None] / 10000.0 ** (np.array([0, 0, 2, 2]) / WIDTH)
    return np.where([1, 0, 1, 0], np.sin(angles), np.cos(angles))


def test_the_transformer_is_the_one_of_the_equations(model, logits):
    encoder, decoder = model.encoder[0], model.decoder[0]
    x = np.asarray(model.embeddings[0])[SOURCE] + sinusoids(len(SOURCE))
    there = SOURCE != 0
    normed = norm(encoder.norms[0], x)
    x = x + exchange(encoder.exchanges[0], normed, normed, there[None].repeat(len(x), 0))
    x = x + perceptron(encoder, norm(encoder.norms[1], x))
    memory = norm(model.norms[0], x)
    y = np.asarray(model.embeddings[1])[TARGET] + sinusoids(len(TARGET))
    normed = norm(decoder.norms[0], y)
    y = y + exchange(decoder.exchanges[0], normed, normed, np.tri(len(y), dtype=bool))
    y = y + exchange(decoder.exchanges[1], norm(decoder.norms[1], y), memory, there[None].repeat(len(y), 0))
    y = y + perceptron(decoder, norm(decoder.norms[2], y))
    expected = linear(model.last, norm(model.norms[1], y))
    np.testing.assert_allclose(logits(SOURCE, TARGET), expected, rtol=0, atol=ROUND * np.abs(expected).max())


def test_a_word_sees_those_before_it_and_none_after(logits):
    before = logits(SOURCE, TARGET)
    after = logits(SOURCE, np.array([1, 5, 4, 3]))
    np.testing.assert_array_equal(after[:2], before[:2])
    assert (np.abs(after[2:] - before[2:]).max(axis=1) > 1e-3).all()


def test_padding_of_the_source_changes_nothing_and_its_words_do(logits):
    longer = np.append(SOURCE, 0)
    np.testing.assert_allclose(logits(longer, TARGET), logits(SOURCE, TARGET), rtol=0, atol=1e-11)
    assert np.abs(logits(SOURCE[[0, 2, 1, 3, 4]], TARGET) - logits(SOURCE, TARGET)).max() > 1e-3  # order counts


def test_translations_take_the_likeliest_word_after_those_written(model, logits, translate):
    for source in (SOURCE, np.array([3, 5, 2, 0, 0]), np.array([6, 2, 0, 0, 0])):
        written = np.zeros(LENGTH, dtype=int)
        written[0] = 1
        for place in range(1, LENGTH):
            written[place] = np.argmax(logits(source, written)[place - 1])
            if written[place] in (0, 2):
                break
        np.testing.assert_array_equal(translate(model, source), written)


def test_transformers_of_several_seeds_write_what_each_does(model, translate):
    other = jax.tree.map(lambda leaf: leaf[..., ::-1], model)
    sources = np.array([[SOURCE, [3, 5, 2, 0, 0]], [[6, 2, 0, 0, 0], SOURCE]])
    written = af.learn.translations_of(jax.tree.map(lambda *leaves: jnp.stack(leaves), model, other), sources)
    expected = [[translate(each, row) for row in rows] for each, rows in zip((model, other), sources, strict=True)]
    np.testing.assert_array_equal(written, expected)


def test_nothing_is_written_after_the_end(model, translate):
    ending = eqx.tree_at(lambda each: each.last.bias, model, jnp.where(jnp.arange(WORDS[1]) == 2, 1e3, 0.0))
    assert np.asarray(translate(ending, SOURCE)).tolist() == [1, 2, 0, 0, 0, 0]


def test_gradients_of_its_loss_equal_differences(model):
    sentences = af.learn.Translations(
        "three", np.array([[4, 6, 2], [5, 2, 0], [3, 2, 0]]), np.array([[1, 5, 2, 0], [1, 8, 3, 2], [1, 4, 4, 2]]),
        tuple("abcdefg"), tuple("abcdefghi"), np.array([True, True, False]),
    )  # fmt: skip
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)
    vector, restore = ravel_pytree(parameters)

    @compile_roughly
    @jax.value_and_grad
    def loss(vector):
        return af.learn.SentenceLoss()(eqx.combine(restore(vector), rest), sentences, jax.random.key(0))

    gradient = np.asarray(loss(vector)[1])
    step = (
        1e-3  # extrapolated differences are off by h^4, 1e-12, times a fifth derivative, and by rounding over h, 1e-13
    )
    for direction in np.random.default_rng(4).normal(size=(5, vector.size)) / np.sqrt(vector.size):
        slopes = [
            (loss(vector + h * direction)[0] - loss(vector - h * direction)[0]) / (2 * h) for h in (step, step / 2)
        ]
        assert abs((4 * slopes[1] - slopes[0]) / 3 - gradient @ direction) < 1e-6 * np.abs(gradient).max()


def test_positions_tell_neighbours_apart_by_a_rotation():
    at = positions(8, WIDTH)
    turned = [at[n, 0] * at[n + 1, 1] - at[n, 1] * at[n + 1, 0] for n in range(7)]
    np.testing.assert_allclose(turned, -np.sin(1.0), rtol=0, atol=1e-6)  # the angles are those of float32 numbers


def test_heads_that_do_not_fit_the_width_are_named():
    with pytest.raises(ConfigError, match="`width` must be a multiple of the number of heads, got 5 and 2 heads"):
        made(width=5)
    with pytest.raises(ConfigError, match="`heads` do not take tokens of width 4"):
        made(make_heads=lambda _, key: make_heads(3, key))


@pytest.mark.parametrize("sizes", [{"vocabulary": (2, 9)}, {"width": 0}, {"length": 1}, {"layers": 0}, {"hidden": 0}])
def test_sizes_that_make_no_transformer_are_refused(sizes):
    with pytest.raises(ConfigError, match=f"`{next(iter(sizes))}` must be an integer of at least"):
        made(**sizes)


def test_sentences_that_are_too_long_are_refused_with_both_lengths(model):
    with pytest.raises(DataError, match="`target` has 7 words, and `length` of the transformer is 6"):
        model(SOURCE, np.ones(7, dtype=int))
