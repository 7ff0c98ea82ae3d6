"""The intrinsic dimension of many tokens, by scikit-dimension."""

from __future__ import annotations

import math

import numpy as np

from attnflow._optional import optional

MOST = 4096  # of whom all distances are taken; of more tokens so many drawn at random
FEWEST = 1000  # tokens; of 120 the estimates of one cloud are apart by factors


def intrinsic_dimension(points: np.ndarray | None) -> tuple[float, str]:
    """Return the dimension of points (N, D) by the ratios of their two nearest distances, or NaN and why not [TwoNN].

    Example:
        >>> import numpy as np
        >>> from attnflow.lab.probe.dimension import intrinsic_dimension
        >>> intrinsic_dimension(np.zeros((60, 3)))
        (nan, 'it takes at least 1000 tokens, of 60 it says nothing')
    """
    if points is None:
        return math.nan, "there are no coordinates"
    if len(points) < FEWEST:
        return math.nan, f"it takes at least {FEWEST} tokens, of {len(points)} it says nothing"
    skdim = optional("skdim")
    if skdim is None:
        return math.nan, "it needs scikit-dimension: run pip install 'attnflow[probe]'"
    if len(points) > MOST:
        points = np.random.default_rng(0).choice(points, MOST, replace=False)
    distinct = np.unique(points, axis=0)  # a distance of zero has no ratio
    if len(distinct) < FEWEST:
        return math.nan, f"it takes at least {FEWEST} distinct tokens, there are {len(distinct)}"
    return float(skdim.id.TwoNN().fit(distinct).dimension_), ""
