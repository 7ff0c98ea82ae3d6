"""Laplace expansion of an attention from derivative values: A f(x) = f(y*) + eps (L f)(y*) + O(eps^2).

Arguments are derivatives in a chart at the minimiser y* of the cost D(x, .): `metric` G = D_ij / 2 (d, d),
`third` T = D_ijk / 2 (d, d, d), `log_density_gradient` of the chart density p^ = p sqrt(det g) (d,).
"""

from __future__ import annotations

from collections.abc import Callable

import mpmath as mp
import numpy as np


def laplace_generator(
    *,
    metric: np.ndarray,
    third: np.ndarray,
    log_density_gradient: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
) -> float:
    """L f = 1/2 G^{ij} f_ij + (G^{kl} (log p^)_k - 1/2 G^{ij} T_ijk G^{kl}) f_l.  [RZ]"""
    inverse = np.linalg.inv(np.atleast_2d(metric))
    drift = inverse @ log_density_gradient - np.einsum("ij,ijk,kl->l", inverse, third, inverse) / 2
    return float((inverse * hessian).sum() / 2 + drift @ gradient)


def printed_generator(
    *,
    metric: np.ndarray,
    third: np.ndarray,
    log_density_gradient: np.ndarray,
    gradient: np.ndarray,
    hessian: np.ndarray,
) -> float:
    """The formula as printed, a control that must fail: only V is normalised rightly.  [RZ]

    (1/m0) [<V + 2 c^{-1} grad log p, grad f> + c^{-1} : Hess f], V_l = -m0 d_ijk c^{-1}_ij c^{-1}_kl,
    m0 = (4 pi)^{d/2} det(c)^{-1/2}, with c = 2 G and d = 2 T the derivatives of D.
    """
    hess_cost, third_cost = 2 * np.atleast_2d(metric), 2 * np.asarray(third)
    inverse = np.linalg.inv(hess_cost)
    m0 = (4 * np.pi) ** (len(inverse) / 2) / np.sqrt(np.linalg.det(hess_cost))
    v = -m0 * np.einsum("ijk,ij,kl->l", third_cost, inverse, inverse)
    return float(((v + 2 * inverse @ log_density_gradient) @ gradient + (inverse * hessian).sum()) / m0)


def brute_force_generator(
    *,
    cost: Callable[[mp.mpf], mp.mpf],
    density: Callable[[mp.mpf], mp.mpf],
    f: Callable[[mp.mpf], mp.mpf],
    bandwidth: float,
) -> float:
    """(A f - f(0)) / eps in one dimension by mpmath quadrature, A f = int e^{-D/2eps} f p / int e^{-D/2eps} p.

    The cost has its minimum at 0 and the integrals run over |v| <= 16 sqrt(eps / G), where a cost near its
    parabola leaves weights of e^{-128}.
    """
    with mp.workdps(30):
        eps = mp.mpf(bandwidth)
        width = 16 * mp.sqrt(2 * eps / mp.diff(cost, 0, 2))
        panels = [width * k / 8 for k in range(-8, 9)]

        def integral(g: Callable[[mp.mpf], mp.mpf]) -> mp.mpf:
            return mp.quad(lambda v: mp.exp(-cost(v) / (2 * eps)) * density(v) * g(v), panels)

        start = f(mp.mpf(0))
        return float(integral(lambda v: f(v) - start) / integral(lambda v: mp.mpf(1)) / eps)
