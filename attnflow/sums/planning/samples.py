"""What a sample of pairs says about all of them: how thin the kernel density is and how far neighbours are."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from attnflow.profiles.gaussian import GAUSSIAN

SAMPLED_ROWS, SAMPLED_KEYS = 32, 4096


@dataclass(frozen=True, eq=False)
class Sample:
    """Squared distances of some rows to some keys, and what the keys weigh there.

    Args:
        squares: |x - y_j|^2, (R, S).
        density: sum_j w_j exp(-|x - y_j|^2 / 2eps) / sum_j w_j, (R,).
    """

    squares: np.ndarray
    density: np.ndarray

    @classmethod
    @np.errstate(under="ignore", over="ignore")
    def draw(cls, queries: np.ndarray, keys: np.ndarray, weights: np.ndarray, *, bandwidth: float) -> Sample:
        """Return some rows and some keys with mass, the same ones every time."""
        rng, massive = np.random.default_rng(0), np.flatnonzero(weights)
        rows, some = (rng.choice(len(p), min(len(p), n), replace=False)
                      for p, n in ((queries, SAMPLED_ROWS), (massive, SAMPLED_KEYS)))  # fmt: skip
        some = massive[some]
        squares = cdist(queries[rows], keys[some], "sqeuclidean")
        density = np.exp(GAUSSIAN.logit(squares, bandwidth=bandwidth)) @ weights[some] / weights[some].sum()
        return cls(squares, density)

    @functools.cached_property
    def distances(self) -> np.ndarray:
        """The distances (R, S), rising in each row."""
        return np.sqrt(np.sort(self.squares, axis=1))

    def radius(self, share: float) -> np.ndarray:
        """Return the radius of the ball around each row that holds a share of the keys, (R,)."""
        count = self.distances.shape[1]
        inner, outer = 1, min(16, count - 1)
        if share * count >= outer:
            return self.distances[:, min(int(share * count), count - 1)]
        # Below the sample's resolution: the radius grows like share^(1/m), m the dimension seen near the row.
        near, far = self.distances[:, inner], self.distances[:, outer]
        with np.errstate(divide="ignore", invalid="ignore"):
            dim = np.clip(math.log(outer / inner) / np.log(far / near), 0.5, None)
        return far * (share * count / outer) ** (1 / np.nan_to_num(dim, nan=1.0))
