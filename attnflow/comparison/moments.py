"""How far apart means and covariances are, in the units of the points."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np

from attnflow.comparison.laws import Law, as_law, check_one_space, moments_of
from attnflow.comparison.noise import Distance, resampled_floor


def moments(a: object, b: object) -> Distance:
    """Return the distance of means and covariances: W_2 of the two Gaussian laws that have them [Ge].

        d^2 = |m_a - m_b|^2 + tr( S_a + S_b - 2 (S_a^{1/2} S_b S_a^{1/2})^{1/2} )  <=  W_2(a, b)^2

    Args:
        a: points (N, D), a DiscreteMeasure, or a trajectory of one time.
        b: another law, in the same space.

    Raises:
        ConfigError: if a trajectory has several times.
        DataError: if points or masses are none, or the laws are of different spaces.

    Example:
        >>> import numpy as np, attnflow as af
        >>> apart = af.moments(np.array([[0.0], [2.0]]), np.array([[4.0], [8.0]]))
        >>> round(apart**2, 12)  # of means 1 and 6, of deviations 1 and 2
        26.0
    """
    laws = as_law(a, "a"), as_law(b, "b")
    check_one_space(*laws)
    return moments_of_laws(*laws)


def moments_of_laws(a: Law, b: Law) -> Distance:
    """Return the distance of the moments of two laws with points of as many coordinates."""
    return Distance(_between_laws(a, b), functools.partial(resampled_floor, itertools.repeat(_between_laws), a, b))


def gelbrich(mean: np.ndarray, covariance: np.ndarray, other_mean: np.ndarray, other: np.ndarray) -> float:
    """Return W_2 of two Gaussian laws, |m_a - m_b| and min over orthogonal U of |S_a^{1/2} - S_b^{1/2} U|.

    As a norm of a difference it keeps all digits where the laws are close; the traces would leave eight.
    """
    first, second = _root(covariance), _root(other)
    left, _, right = np.linalg.svd(second.T @ first)
    return math.hypot(*(mean - other_mean), float(np.linalg.norm(first - second @ (left @ right))))


def _between_laws(a: Law, b: Law) -> float:
    return gelbrich(*moments_of(a), *moments_of(b))


def _root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric square root."""
    variances, axes = np.linalg.eigh(covariance)
    return axes * np.sqrt(np.maximum(variances, 0)) @ axes.T
