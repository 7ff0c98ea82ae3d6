"""Surfaces whose vertices are tokens, told by how heat spreads around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attnflow.learn.data.base import TokenSets
from attnflow.learn.data.heat_kernel import heat_kernel_signatures
from attnflow.manifolds.triangulated import TriangulatedSurface

FIRST_TIME, LAST_TIME = 0.005, 0.5  # of the signatures, in units of the area: on a body from a forearm to half of it


class LabelledSurface(NamedTuple):
    """A surface, and the part of it to which each vertex belongs, (V,)."""

    surface: TriangulatedSurface
    labels: np.ndarray


def of_surfaces(
    name: str,
    surfaces: Sequence[LabelledSurface],
    *,
    rows: Sequence[np.ndarray],
    classes: int,
    features: int,
    train: np.ndarray,
) -> TokenSets:
    """Return some vertices of surfaces as sets of tokens, with logarithms of heat-kernel signatures as coordinates.

    Args:
        name: of the data.
        surfaces: S of them.
        rows: the vertices that are taken of each; sets with less than others are filled up.
        classes: how many parts there are.
        features: how many times the signatures are taken at, D.
        train: which surfaces are for training, (S,).
    """
    times = np.geomspace(FIRST_TIME, LAST_TIME, features)
    most = max(map(len, rows))
    tokens, labels = np.zeros((len(surfaces), most, features)), np.full((len(surfaces), most), -1)
    for i, (each, taken) in enumerate(zip(surfaces, rows, strict=True)):
        tokens[i, : len(taken)] = np.log(heat_kernel_signatures(each.surface, times)[taken])
        labels[i, : len(taken)] = each.labels[taken]
    present = labels >= 0
    return TokenSets(name, tokens, labels, classes, train[:, None] & present, None if present.all() else present)
