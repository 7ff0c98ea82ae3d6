"""A head's matrices as pictures of a few hundred cells, each the mean of its pairs, without an N x N array."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from attnflow.lab.probe.results import HeadProbe
from attnflow.lab.probe.sources import Logits, softmax
from attnflow.lab.probe.splitting import parts_of_rows, sides_of

CELLS = 200  # along each side at most
_BLOCK_PAIRS = 2**21  # whose arrays are held at once


class Pictures(NamedTuple):
    """Means over cells, shape (C, C) each; parts with the mean of every row taken away, as softmax forgets it."""

    weights: np.ndarray
    cost: np.ndarray
    potential: np.ndarray
    circulation: np.ndarray


def pictures(head: HeadProbe, *, cells: int = CELLS) -> Pictures:
    """Return A and what -D/2, b and W add to the logits.

    Args:
        head: with its logits.
        cells: along each side at most; fewer tokens have one each.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab.probe.pooling import pictures
        >>> from attnflow.lab.probe.probing import probe
        >>> x = np.random.default_rng(0).normal(size=(60, 3))
        >>> head = probe(x, queries=x, keys=x).head
        >>> found = pictures(head, cells=20)
        >>> found.weights.shape, bool(np.isclose(found.weights.sum(), 20 / 3))
        ((20, 20), True)
    """
    logits = head.source
    sides = sides_of(logits.own(), *logits.means())
    edges = _edges(head.count, cells)
    found = [np.zeros((len(edges), len(edges))) for _ in range(3)]
    for rows in _blocks(edges, head.count):
        block, exchanged = logits.rows(rows), logits.columns(rows)
        cost, circulation = parts_of_rows(block, exchanged, sides, rows)
        centred = (cost.mean(axis=1, keepdims=True) - cost) / 2
        for array, content in zip(found, (softmax(block), centred, circulation), strict=True):
            _add(array, content, rows, edges, head.count)
    widths = np.diff([*edges, head.count])
    potential = np.add.reduceat(sides.potential, edges) / widths
    return Pictures(found[0], found[1], np.tile(potential, (len(edges), 1)), found[2])


def weights_picture(logits: Logits, *, cells: int) -> np.ndarray:
    """Return A alone, means over cells (C, C)."""
    edges = _edges(logits.count, cells)
    found = np.zeros((len(edges), len(edges)))
    for rows in _blocks(edges, logits.count):
        _add(found, softmax(logits.rows(rows)), rows, edges, logits.count)
    return found


def _edges(count: int, cells: int) -> np.ndarray:
    """Return where cells begin."""
    return np.unique(np.linspace(0, count, min(cells, count), endpoint=False).astype(int))


def _blocks(edges: np.ndarray, count: int) -> list[slice]:
    """Return rows that are held together, each block of whole cells."""
    most = max(1, _BLOCK_PAIRS // count)
    starts = [0]
    for begin, end in zip(edges, [*edges[1:], count], strict=True):
        if end - starts[-1] > most and begin > starts[-1]:
            starts.append(int(begin))
    return [slice(begin, end) for begin, end in zip(starts, [*starts[1:], count], strict=True)]


def _add(array: np.ndarray, content: np.ndarray, rows: slice, edges: np.ndarray, count: int) -> None:
    """Put the means of a block of rows into the picture."""
    first, last = np.searchsorted(edges, [rows.start, rows.stop])
    widths = np.diff([*edges, count])
    summed = np.add.reduceat(np.add.reduceat(content, edges, axis=1), edges[first:last] - rows.start, axis=0)
    array[first:last] = summed / np.outer(widths[first:last], widths)
