"""Written digits: those that scikit-learn ships, and MNIST where its files are  [LBBH]."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import jax
import numpy as np
from sklearn.datasets import load_digits

from attnflow._checks import check_integer
from attnflow.densities.sampling import generator_of
from attnflow.errors import ConfigError, DataError
from attnflow.learn.data.base import TokenSets, split_of
from attnflow.learn.data.files import find
from attnflow.learn.data.idx import read_idx

CLASSES = 10
_DIGITS_BRIGHTEST, _MNIST_BRIGHTEST = 16.0, 255.0


def digits(*, key: jax.Array, count: int | None = None, train: float = 0.5) -> TokenSets:
    """Return one set of written digits as tokens: 8 x 8 pixels in [0, 1], the digit as label.

    Args:
        key: which of them are taken, and for what.
        count: how many are taken; None for all 1797.
        train: the share of them, of every digit, that is for training.

    Raises:
        ConfigError: if the share is not between 0 and 1, or the count not between 20 and 1797.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.digits(key=jax.random.key(0))
        TokenSets(digits: 1 set of 1797 tokens, 64 coordinates, 10 classes, 898 of 1797 for training)
    """
    pixels, labels = load_digits(return_X_y=True)
    most = len(labels)
    if count is not None and not 2 * CLASSES <= check_integer(count, "count", minimum=1) <= most:
        raise ConfigError(
            f"`count` must be from {2 * CLASSES} to {most}, all there are, got {count}. Pass None for all."
        )
    rows = generator_of(key).permutation(most)[:count]
    chosen = split_of(labels[rows], train, key=key)
    return TokenSets("digits", pixels[None, rows] / _DIGITS_BRIGHTEST, labels[None, rows], CLASSES, chosen[None])


def mnist(folder: str | PathLike, *, key: jax.Array, count: int = 1000, test: int = 1000) -> TokenSets:
    """Return some of the written digits of MNIST as one set of tokens: 28 x 28 pixels in [0, 1], the digit as label.

    Its four files must be there under the names by which they are published, plain or compressed (.gz).

    Args:
        folder: that holds train-images-idx3-ubyte, train-labels-idx1-ubyte and the two that begin with t10k.
        key: which digits are taken.
        count: how many of the 60000 are for training.
        test: how many of the other 10000 are for testing.

    Raises:
        ConfigError: if `count` or `test` is not positive, or more than there are.
        DataError: if a file is missing, is no IDX file, is cut short or too long, or images and labels do not fit; the
            message names the file, what was expected and what was found.
    """
    generator = generator_of(key)
    parts = []
    for part, name, asked in (("train", "count", count), ("t10k", "test", test)):
        pixels, labels = _part(Path(folder), part)
        if check_integer(asked, name, minimum=1) > len(labels):
            raise ConfigError(f"`{name}` must be at most {len(labels)}, all there are, got {asked}.")
        rows = np.sort(generator.permutation(len(labels))[:asked])
        parts.append((pixels[rows] / _MNIST_BRIGHTEST, labels[rows]))
    (pixels, labels), (others, of_others) = parts
    if pixels.shape[1] != others.shape[1]:
        raise DataError(
            f"images in {folder} have {pixels.shape[1]} pixels for training, {others.shape[1]} for testing."
        )
    tokens, labels = np.concatenate([pixels, others]), np.concatenate([labels, of_others])
    return TokenSets("mnist", tokens[None], labels[None], CLASSES, (np.arange(count + test) < count)[None])


def _part(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (n, D) and the labels (n,) of one half of MNIST."""
    of_images, of_labels = (find(folder, f"{part}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    images, labels = read_idx(of_images, dims=3), read_idx(of_labels, dims=1)
    if len(images) != len(labels):
        raise DataError(
            f"{of_images} holds {len(images)} images and {of_labels} {len(labels)} labels. Fetch both anew."
        )
    wrong = (labels < 0) | (labels >= CLASSES)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(f"{of_labels}: label {first} is {labels[first]}; digits are 0 to {CLASSES - 1}.")
    return images.reshape(len(images), -1), labels
