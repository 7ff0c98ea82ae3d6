"""B f in closed form: the coefficient of eps^2 in A f, with (A f - f)/eps = L f + eps B f + O(eps^2)."""

from __future__ import annotations

import numpy as np


def circle_bias(n: int) -> float:
    """B e^{in theta} = (n^4 - 2 n^2)/8 e^{in theta}, uniform p, chordal: from I_n(z)/I_0(z) at large z.

    I_n(z) ~ e^z (2 pi z)^{-1/2} (1 - (k - 1)/8z + (k - 1)(k - 9)/128 z^2), k = 4 n^2.  [DLMF, 10.40]
    """
    return (n**4 - 2 * n**2) / 8


def von_mises_fisher_bias(x: np.ndarray, *, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """B f for f = a.y and p ~ exp(b.y) on S^m, from A f = R(|q|/eps) a.q/|q|, q = x + eps b.

    R(r) = I_{(m+1)/2}(r)/I_{(m-1)/2}(r) = 1 - m/2r + m(m - 2)/8 r^2 + O(r^-3).
    """
    m = x.shape[1] - 1
    along, bent, tilt = x @ a, x @ b, a @ b
    turned = along * (3 * bent**2 - b @ b) / 2 - bent * tilt
    return turned - m / 2 * (tilt - 2 * bent * along) + m * (m - 2) / 8 * along


def gaussian_bias_of_sine(x: np.ndarray, *, mean: float, variance: float, wave: float) -> np.ndarray:
    """B sin(k x) for p = N(mu, s) on the line: A f(x) = E f(Y), Y ~ N(x - d r, eps (1 - r)), r = eps/(s + eps).

    With d = x - mu, B f = (d/s^2) f' + (d^2/s^2 - 1/s) f''/2 - (d/2s) f''' + f''''/8.
    """
    d, k = x - mean, wave
    sine, cosine = np.sin(k * x), np.cos(k * x)
    second = (d**2 / variance**2 - 1 / variance) / 2
    return (k * d / variance**2 + k**3 * d / (2 * variance)) * cosine + (k**4 / 8 - k**2 * second) * sine
