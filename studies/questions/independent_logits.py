"""How far a softmax over independent logits is condensed, exactly, whatever their laws.

Of n independent logits, the j-th of a law of its own, the weights are w_j = e^{l_j} / Z, Z = sum_j e^{l_j}, and since
1/Z^2 = int_0^inf s e^{-sZ} ds, with L_j(s) = E exp(-s e^{l_j}) and M_j(s) = E e^{2 l_j} exp(-s e^{l_j}),

    E sum_j w_j^2 = int_0^inf s sum_j M_j(s) prod_{k != j} L_k(s) ds,

which for one law is n int s M L^{n-1} ds. Integrands are analytic in log s and vanish at both ends, where sums of even
steps err by less than any power of the step.

For Gaussian logits of the spread sigma, the random energy model, condensation begins at sigma = (2 log n)^{1/2} as n
grows, E sum_j w_j^2 tends to 1 - (2 log n)^{1/2} / sigma beyond it and to 0 before.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.sparse import csr_array

STEP = 0.4  # in log s
EARLY, LATE = 14.0, 32.0  # terms are e^{-EARLY} of the largest before the first s, e^{-LATE} of it after the last
PIECE = 16  # values of s at once
KNOTS = 14  # of the curve of one law over the spreads of rows, in logarithms
WIDEST, SPREADS = 60.0, 120  # of the Gaussian curve


class Laws(NamedTuple):
    """Means over pairs for each kind, (K, P), and how many keys of each kind a row has, (N, K)."""

    mean_of: csr_array
    counts: np.ndarray


def laws_of(kinds: np.ndarray) -> Laws:
    """Return the laws of the kinds of pairs, whole numbers from 0 on, (N, n): what all pairs of a kind have."""
    labels = kinds.ravel()
    counts = np.zeros((len(kinds), labels.max() + 1))
    np.add.at(counts, (np.arange(len(kinds))[:, None], kinds), 1.0)
    return Laws(csr_array((1 / np.bincount(labels)[labels], (labels, np.arange(labels.size)))), counts)


def participation(logits: np.ndarray, *laws: Laws, scale: float = 1.0) -> np.ndarray:
    """Return E sum_j w_j^2, its mean over rows, of independent logits, for each of several laws.

    Args:
        logits: of pairs, as many as laws take means of, in any shape; they gain nothing by a term that all have.
        laws: of which the logits of a row are drawn.
        scale: c, by which logits are multiplied.
    """
    flat = scale * logits.ravel()
    log_s = -flat.max() - np.log(max(law.counts.sum(axis=1).max() for law in laws)) - EARLY
    totals = np.zeros(len(laws))
    while True:
        piece = log_s + STEP * np.arange(PIECE)
        z = np.exp(np.minimum(flat[:, None] + piece, 100.0))
        rest, square = np.expm1(-z), z**2 * np.exp(-z)
        latest = -np.inf
        for index, (mean_of, counts) in enumerate(laws):
            lost = np.minimum(-(mean_of @ rest), 1 - 1e-16)  # a mean of shares may be rounded to more than one
            exponents = counts @ np.log1p(-lost)
            terms = counts @ ((mean_of @ square) / (1 - lost)) * np.exp(exponents)
            totals[index] += STEP * terms.mean(axis=0).sum()
            latest = max(latest, exponents.max())
        if latest < -LATE:
            return totals
        log_s = piece[-1] + STEP


def scaled_rows(logits: np.ndarray, scales: Sequence[float]) -> np.ndarray:
    """Return E sum_j w_j^2 at several scales of independent logits of one law, but a spread for each row."""
    spreads = logits.std(axis=1, ddof=1)
    one = laws_of(np.zeros(logits.shape, dtype=int))
    knots = np.geomspace(min(scales) * spreads.min(), max(scales) * spreads.max(), KNOTS)
    found = [participation(logits / spreads[:, None], one, scale=float(knot))[0] for knot in knots]
    curve = CubicSpline(np.log(knots), np.log(found))
    return np.array([np.exp(curve(np.log(scale * spreads))).mean() for scale in scales])


@functools.cache
def gaussian_curve(n: int) -> CubicSpline:
    """Return E sum_j w_j^2 of n independent Gaussian logits, as a function of their spread, from 0 to 60."""
    spreads = np.concatenate([[0.0], np.geomspace(0.05, WIDEST, SPREADS)])
    nodes = np.linspace(-12.0, 12.0, 961)
    weights = np.exp(-(nodes**2) / 2)
    law = Laws(csr_array(weights[None] / weights.sum()), np.array([[float(n)]]))
    return CubicSpline(spreads, [participation(nodes, law, scale=float(spread))[0] for spread in spreads])


def equivalent_spread(found: float, n: int) -> float:
    """Return the spread at which n independent Gaussian logits are as condensed as what was found; 60 if it is more."""
    curve = gaussian_curve(n)
    if found >= curve(WIDEST):
        return WIDEST
    return float(brentq(lambda spread: float(curve(spread)) - found, 0.0, WIDEST))


def critical_spread(n: int) -> float:
    """Return (2 log n)^{1/2}."""
    return float(np.sqrt(2 * np.log(n)))
