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

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.sparse import csr_array

STEP = 0.4  # in log s
EARLY, LATE = 14.0, 32.0  # terms are e^{-EARLY} of the largest before the first s, e^{-LATE} of it after the last
WIDEST, SPREADS = 60.0, 120  # of the Gaussian curve


def participation(logits: np.ndarray, kinds: np.ndarray, *, scale: float) -> float:
    """Return E sum_j w_j^2, its mean over rows, of independent logits whose laws are those of their kinds.

    The law of a kind is what all pairs of that kind have, in whichever row.

    Args:
        logits: l_ij (N, n), which gain nothing by a term of the row.
        kinds: of each pair, whole numbers from 0 on, (N, n).
        scale: c, by which logits are multiplied.
    """
    flat, labels = scale * logits.ravel(), kinds.ravel()
    counts = np.zeros((len(kinds), labels.max() + 1))
    np.add.at(counts, (np.arange(len(kinds))[:, None], kinds), 1.0)
    mean_of = csr_array((1 / np.bincount(labels)[labels], (labels, np.arange(labels.size))))
    return _integrated(flat, mean_of, counts)


def _integrated(flat: np.ndarray, mean_of: csr_array, counts: np.ndarray) -> float:
    """Return the integral for logits (P,), the means over P by kind (K, P), and how many a row has of each (N, K)."""
    log_s = -flat.max() - np.log(counts.sum(axis=1).max()) - EARLY
    total = 0.0
    while True:
        piece = log_s + STEP * np.arange(16)
        z = np.exp(np.minimum(flat[:, None] + piece, 100.0))
        kept = np.exp(-z)
        lost = np.minimum(-(mean_of @ np.expm1(-z)), 1 - 1e-16)  # a sum of shares may be rounded to more than one
        exponents = counts @ np.log1p(-lost)
        terms = counts @ ((mean_of @ (z**2 * kept)) / (1 - lost)) * np.exp(exponents)
        total += float(terms.mean(axis=0).sum()) * STEP
        if exponents.max() < -LATE:
            return total
        log_s = piece[-1] + STEP


@functools.cache
def gaussian_curve(n: int) -> CubicSpline:
    """Return E sum_j w_j^2 of n independent Gaussian logits, as a function of their spread, from 0 to 60."""
    spreads = np.concatenate([[0.0], np.geomspace(0.05, WIDEST, SPREADS)])
    nodes = np.linspace(-12.0, 12.0, 961)
    weights = np.exp(-(nodes**2) / 2)
    mean_of = csr_array(weights[None] / weights.sum())
    return CubicSpline(spreads, [_integrated(spread * nodes, mean_of, np.array([[float(n)]])) for spread in spreads])


def equivalent_spread(found: float, n: int) -> float:
    """Return the spread at which n independent Gaussian logits are as condensed as what was found; 60 if it is more."""
    curve = gaussian_curve(n)
    if found >= curve(WIDEST):
        return WIDEST
    return float(brentq(lambda spread: float(curve(spread)) - found, 0.0, WIDEST))


def critical_spread(n: int) -> float:
    """Return (2 log n)^{1/2}."""
    return float(np.sqrt(2 * np.log(n)))
