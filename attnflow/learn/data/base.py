"""Sets of tokens, graphs, sentences and numbers to learn from: frozen arrays, looked at when they are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import jax
import numpy as np

from attnflow._checks import check_finite
from attnflow._tracing import Traceable
from attnflow._values import freeze, static, value
from attnflow.densities.sampling import generator_of
from attnflow.errors import DataError
from attnflow.learn.data.checks import (
    check_array,
    check_labels,
    check_share,
    check_split,
    check_truths,
    frozen,
    refuse_any,
)

UNLABELLED = -1
_SMALLEST_SCALE = 1e-12  # of a coordinate relative to its largest value: below, it is constant


@value
class Learnable(Traceable):
    """What can be learned from: a name, arrays of one draw, and which of them are for training, `train`.

    JAX takes it apart into its arrays, so that `vmap` runs over the leading axis that `stack` adds.
    """

    name: str = static()

    answers: ClassVar[str] = "labels"  # the field that is to be found from the others
    if TYPE_CHECKING:

        @property
        def train(self) -> np.ndarray: ...  # a field of every kind, behind those it belongs to

    @property
    def test(self) -> np.ndarray:
        """What is for testing, like `train`."""
        return ~self.train

    def replace(self, **fields: Any) -> Self:
        """Return the same data with some fields changed, and looked at again."""
        return dataclasses.replace(self, **fields)

    def shuffled(self, *, key: jax.Array) -> Self:
        """Return the data with the answers for training dealt out anew, so that they say nothing of the rest."""
        answers = np.array(getattr(self, self.answers))
        answers[self.train] = generator_of(key).permutation(answers[self.train])
        return self.replace(**{self.answers: answers})

    def in_words(self, of: str, *, dims: int = 1) -> str:
        """Return what the data are made of, where `train` has so many dimensions in one draw, and the split."""
        draws = f"{len(self.train)} draws of " if self.train.ndim > dims else ""
        share = f"{int(self.train.sum())} of {int(self.train.sum() + self.test.sum())} for training"
        return f"{type(self).__name__}({self.name}: {draws}{of}, {share})"


D = TypeVar("D", bound=Learnable)


@value
class TokenSets(Learnable):
    """Sets of tokens whose labels are to be found, token by token.

    Args:
        name: of the data.
        tokens: (S, N, D), S sets of N tokens.
        labels: of each token, 0 to classes - 1, or -1 where it has none, (S, N).
        classes: how many there are.
        train: the tokens whose labels may be learned from, (S, N); all others that have one are for testing.
        present: which rows are tokens at all, (S, N); None for all. The others fill sets up to one length.
        adjacency: which tokens are linked, (S, N, N); None where no graph is given.

    Raises:
        DataError: if shapes do not fit, a number is not finite, a label is out of range, nothing is left for training
            or for testing, a token for training has no label, or a token of a graph has no neighbour.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.learn.TokenSets("pairs", np.zeros((1, 2, 3)), np.array([[0, 1]]), 2, np.array([[True, False]]))
        TokenSets(pairs: 1 set of 2 tokens, 3 coordinates, 2 classes, 1 of 2 for training)
    """

    tokens: np.ndarray
    labels: np.ndarray
    classes: int = static()
    train: np.ndarray
    present: np.ndarray | None = None
    adjacency: np.ndarray | None = None

    def __post_init__(self) -> None:
        tokens = check_array(self.tokens, "tokens", "(S, N, D)", dims=3)
        sets, count, _ = tokens.shape
        present = None if self.present is None else check_truths(self.present, "present", (sets, count))
        labels = check_labels(self.labels, self.classes, (sets, count), least=UNLABELLED)
        train = check_truths(self.train, "train", (sets, count))
        if present is not None:
            refuse_any(~present & (labels >= 0), "labels", "has a label, but is not `present`. Give it the label -1")
        refuse_any(train & (labels < 0), "train", "is for training, but has no label. Leave it out of `train`")
        check_split(train, labels >= 0)
        adjacency = _adjacency(self.adjacency, tokens, present)
        freeze(self, tokens=tokens, labels=labels, train=train, present=present, adjacency=adjacency)

    def __repr__(self) -> str:
        sets, count, dim = self.tokens.shape[-3:]
        of = f"{sets} set{'s' * (sets != 1)} of {count} tokens, {dim} coordinates, {self.classes} classes"
        return self.in_words(of, dims=2)

    @property
    def test(self) -> np.ndarray:
        return (self.labels >= 0) & ~self.train

    @property
    def mask(self) -> np.ndarray | None:
        """Which tokens attend to which, (S, N, N); None where all do.

        Tokens attend to themselves and to their neighbours, or to all that are present; absent ones to themselves
        alone.
        """
        return _mask(self.present, self.adjacency)

    def standardized(self) -> Self:
        """Return the data with coordinates of mean 0 and variance 1 over the tokens for training."""
        return self.replace(tokens=_standardized(self.tokens, self.train))


@value
class GraphSets(Learnable):
    """Graphs whose labels are to be found, one label for each.

    Args:
        name: of the data.
        tokens: features of the vertices, (S, N, D).
        adjacency: which of them are linked, (S, N, N).
        present: which rows are vertices at all, (S, N).
        labels: of each graph, 0 to classes - 1, (S,).
        classes: how many there are.
        train: the graphs for training, (S,); all others are for testing.

    Raises:
        DataError: if shapes do not fit, a number is not finite, a label is out of range, nothing is left for training
            or for testing, or a vertex has no neighbour.
    """

    tokens: np.ndarray
    adjacency: np.ndarray
    present: np.ndarray
    labels: np.ndarray
    classes: int = static()
    train: np.ndarray

    def __post_init__(self) -> None:
        tokens = check_array(self.tokens, "tokens", "(S, N, D)", dims=3)
        present = check_truths(self.present, "present", tokens.shape[:2])
        labels = check_labels(self.labels, self.classes, tokens.shape[:1], least=0)
        train = check_truths(self.train, "train", tokens.shape[:1])
        check_split(train, np.ones_like(train))
        adjacency = _adjacency(self.adjacency, tokens, present)
        freeze(self, tokens=tokens, adjacency=adjacency, present=present, labels=labels, train=train)

    def __repr__(self) -> str:
        sets, count, dim = self.tokens.shape[-3:]
        return self.in_words(f"{sets} graphs of up to {count} vertices, {dim} features, {self.classes} classes")

    @property
    def mask(self) -> np.ndarray:
        """Which vertices attend to which, (S, N, N): to themselves and neighbours, absent ones to themselves."""
        mask = _mask(self.present, self.adjacency)
        assert mask is not None
        return mask

    def standardized(self) -> Self:
        """Return the data with features of mean 0 and variance 1 over the vertices of the graphs for training."""
        return self.replace(tokens=_standardized(self.tokens, self.present & self.train[:, None]))


@value
class Regression(Learnable):
    """Numbers to be found from points.

    Args:
        name: of the data.
        inputs: (n, D).
        targets: (n,).
        train: which rows are for training, (n,); all others are for testing.

    Raises:
        DataError: if shapes do not fit, a number is not finite, or nothing is left for training or for testing.
    """

    inputs: np.ndarray
    targets: np.ndarray
    train: np.ndarray

    answers = "targets"

    def __post_init__(self) -> None:
        inputs = check_array(self.inputs, "inputs", "(n, D)", dims=2)
        targets = check_finite(self.targets, "targets")
        if targets.shape != inputs.shape[:1]:
            raise DataError(f"`targets` must have shape ({len(inputs)},), one per input, got {targets.shape}.")
        train = check_truths(self.train, "train", targets.shape)
        check_split(train, np.ones_like(train))
        freeze(self, inputs=inputs, targets=frozen(targets), train=train)

    def __repr__(self) -> str:
        count, dim = self.inputs.shape[-2:]
        return self.in_words(f"{count} numbers of {dim} coordinates")

    def standardized(self) -> Self:
        """Return the data with inputs and targets of mean 0 and variance 1 over the rows for training."""
        targets = _standardized(self.targets[:, None], self.train)[:, 0]
        return self.replace(inputs=_standardized(self.inputs, self.train), targets=targets)


def stack(draws: Sequence[D]) -> D:
    """Return draws of one kind and shape as one, whose arrays have a leading axis over draws, as seeds need it.

    Raises:
        DataError: if there is none, or they differ in kind, shape or structure.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.stack([af.learn.moons(key=key) for key in jax.random.split(jax.random.key(0), 3)])
        TokenSets(moons: 3 draws of 1 set of 400 tokens, 2 coordinates, 2 classes, 600 of 1200 for training)
    """
    if not len(draws):
        raise DataError("`draws` is empty. Pass at least one draw.")
    structures: list[Any] = [jax.tree.structure(draw) for draw in draws]
    shapes = [[np.shape(leaf) for leaf in jax.tree.leaves(draw)] for draw in draws]
    for i, (structure, shape) in enumerate(zip(structures, shapes, strict=True)):
        if structure != structures[0] or shape != shapes[0]:
            raise DataError(
                f"draw {i} is of another kind or shape than draw 0: {draws[i]}, {draws[0]}. Draw them alike."
            )
    return jax.tree.map(lambda *leaves: np.stack(leaves), *draws)


def split_of(labels: np.ndarray, share: float, *, key: jax.Array) -> np.ndarray:
    """Return which of some labels (n,) are for training: of each class that share, rounded, and at least one.

    Of a class of two or more at least one is left. Pass zeros where there are no classes.

    Raises:
        ConfigError: if the share is not between 0 and 1.
    """
    share = check_share(share, "train")
    generator = generator_of(key)
    train = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == label)
        count = max(min(round(share * len(rows)), len(rows) - 1), 1)
        train[generator.permutation(rows)[:count]] = True
    return train


def _adjacency(array: object, tokens: np.ndarray, present: np.ndarray | None) -> np.ndarray | None:
    if array is None:
        return None
    sets, count, _ = tokens.shape
    adjacency = check_truths(array, "adjacency", (sets, count, count))
    there = np.ones((sets, count), dtype=bool) if present is None else present
    refuse_any(there & ~adjacency.any(axis=2), "adjacency", "has no neighbour. Leave it out, or link it with itself")
    refuse_any((adjacency & ~(there[:, :, None] & there[:, None])).any(axis=2), "adjacency", _TO_ABSENT)
    return adjacency


_TO_ABSENT = "is linked with, or is, a row that is not `present`. Mark both as present"


def _mask(present: Any, adjacency: Any) -> Any:
    if present is None and adjacency is None:
        return None
    count = (adjacency if present is None else present).shape[-1]
    if adjacency is None:
        return (present[..., :, None] & present[..., None, :]) | np.eye(count, dtype=bool)
    return adjacency | np.eye(count, dtype=bool)


def _standardized(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Return (x - mean) / deviation of coordinates (..., D) over the rows that count; constant ones become 0."""
    seen = values[counted]
    scale, size = seen.std(axis=0), np.abs(seen).max(axis=0)
    constant = scale <= _SMALLEST_SCALE * size
    found = (values - seen.mean(axis=0)) / np.where(constant, 1.0, scale)
    return np.where(constant, 0.0, found)
