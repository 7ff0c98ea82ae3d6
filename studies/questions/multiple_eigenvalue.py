"""The first eigenvalue of sampled attention on a sphere, which is multiple without noise: its levels and their law.

On S^m, p uniform, A has the eigenvalue a_n on the harmonics of degree n, of the kernel e^{-|x - y|^2 / 2 eps}

    a_n = I_{n + nu}(1/eps) / I_nu(1/eps),   nu = (m - 1)/2,

and l = (1 - a_1)/eps belongs to the m + 1 coordinates. They answer to N independent keys as one eigenvalue does (see
`eigenvalue_noise`), with products of two of them in place of u^2: products are harmonics of degree 2 and constants,
and constants are lost, so that to first order the levels less l are the eigenvalues of

    M = -c (m + 1) (1/N sum_j y_j y_j' - I/(m + 1)),   c = a_1 (1 - a_2) / eps,           softmax,
                                                       c = a_1 (1 - a_2) / (1 + a_2) / eps,   Sinkhorn.

M has no trace. By the central limit theorem and invariance under rotations N^{1/2} M tends to a Gaussian matrix whose
law is that of the orthogonal ensemble, less its trace: density ~ exp(-tr M^2 / 2 sigma^2), with m(m + 3)/2 numbers that
are independent, and E tr M^2 = c^2 m (m + 1) / N. So

    sigma^2 = 2 c^2 (m + 1) / (m + 3) .

The diagonal of M is what the levels would be if the coordinates stayed the eigenfunctions: they would cross freely.
"""

import numpy as np
from scipy.special import ive

import attnflow as af


def share(degree: int, *, dim: int, bandwidth: float) -> float:
    """Return a_n on S^dim."""
    order = (dim - 1) / 2
    return float(ive(degree + order, 1 / bandwidth) / ive(order, 1 / bandwidth))


def scale(dim: int, *, bandwidth: float, normalization: str) -> float:
    """Return sigma."""
    first, second = (share(degree, dim=dim, bandwidth=bandwidth) for degree in (1, 2))
    response = first * (1 - second) / bandwidth
    if normalization == "sinkhorn":
        response /= 1 + second
    return float(response * np.sqrt(2 * (dim + 1) / (dim + 3)))


def levels(points: np.ndarray, *, bandwidth: float, normalization: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the levels of an empirical attention, rising, and its quotients <y, (I - A) y / eps> / <y, y>.

    Args:
        points: on the sphere, (N, m + 1).
        bandwidth: eps, in |x - y|^2.
        normalization: "softmax" or "sinkhorn".

    Returns:
        l_1, ..., l_{m+1}, and the quotients of the coordinates less their means, in their order, (m + 1,) both.
    """
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth, normalization=normalization)
    empirical = af.EmpiricalAttention(attention, points)
    law = empirical.stationary()
    centred = points - law @ points
    quotients = -(law @ (centred * empirical.generator(points))) / (law @ centred**2)
    return empirical.spectrum(1 + points.shape[1]).eigenvalues[1:], quotients
