"""What N independent tokens do to layers of entmax, to first and second order, with the uniform density.

Entmax with alpha = 1 + 1/n has the weights a_j = [tau - D_j / 2 eps n]_+^n, tau(x) such that sum_j a_j = 1. Let w,
N int w p = 1, be the weights where tokens are as dense as their law, a profile (1 - s/R^2)_+^n of s = |x - y|^2, and A
the layer that has them; w' those of the profile (1 - s/R^2)_+^{n-1}, and A' its layer. If the law of the tokens becomes
p + delta, the threshold moves as well, and a layer is off by

    (A_N - A) f(x) = N int w(x, y) [f(y) - A' f(x)] delta(y) dy                                       first order,

A' in the place where a kernel whose rows are divided by their sums, at a fixed reach, has A. On the circle A e^{iq.x} =
kappa(q) e^{iq.x}, A' has kappa', and N tokens enter through phat(q) = 1/N sum_j e^{-iq X_j}:

    (A_N - A) e^{ix} = sum_{q != 0} phat(q) b(q) e^{i(q+1)x},   b(q) = kappa(q+1) - kappa'(1) kappa(q),
    N E |A_N^L f - A^L f|^2 -> sum_q c(q)^2,   c(q) = b(q) sum_{k < L} kappa(q+1)^{L-1-k} kappa(1)^k .

With rho = (2n + 2 + m)/(2n + m), by which the speed of kappa' exceeds that of kappa, and L eps_eff = t,

    c(q) -> (2q + 1 - rho) / (q^2 + 2q) (e^{-t (q+1)^2 / 2} - e^{-t/2}),   |c(-2)| -> t e^{-t/2} (3 + rho)/2,

of a fixed reach with rho = 1: a cloud that is denser somewhere is slower there. The pair of first eigenvalues splits by
2 |phat(2) b(-2)| / eps_eff -> (3 + rho) |phat(2)|. To second order kappa(1) goes up by 1/N times the sum over q of

    single(q) = -kappa(q) [kappa'(q+1) - kappa'(1) kappa'(q)] + v/2 kappa(q)^2 [kappa''(1) - kappa'(1)],
    repeated(q) = b(q) back(q) / (kappa(1) - kappa(q+1)),   back(q) = kappa(1) - kappa'(q+1) kappa(q),

the latter not where |q + 1| = 1, kappa'' of the profile n - 2 (for n = 1 what lies at the reach itself) and v =
(n-1) I_{n-2} I_n / (n I_{n-1}^2), I_k = int (1 - s/R^2)_+^k p, because N int w (f) p as a function of tau is of that
curvature: second orders of tau follow from f = 1. At a fixed reach single(q) = -kappa(q) [kappa(q+1) - kappa(1)
kappa(q)]. After L layers the mean is off by 1/N sum_q [single(q) L kappa(1)^{L-1} + b(q) back(q) S(q)],

    S(q) = sum_{i + j + k = L - 2} kappa(1)^{i+k} kappa(q+1)^j .

On S^2 the first order is summed over the degrees of spherical harmonics; the part of degree one changes the speed of
f = y and its direction, all others are noise.
"""

import functools
from math import factorial, gamma
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

BANDWIDTH, TIME = 0.5, 0.5
NODES, WEIGHTS = np.polynomial.legendre.leggauss(500)
VISIBLE = 60  # waves up to this over R are summed


class Circle(NamedTuple):
    """What tokens on the circle do to e^{ix}, per wave q, q from -Q to Q; all but `symbol` vanish at q = 0.

    Args:
        waves: q.
        symbol: kappa(1).
        shifted: kappa(q + 1).
        change: b.
        back: of the docstring.
        single: of the docstring.
    """

    waves: np.ndarray
    symbol: float
    shifted: np.ndarray
    change: np.ndarray
    back: np.ndarray
    single: np.ndarray


def effective(n: int, m: int, count: int) -> float:
    """Return eps_eff = R^2 / (2n + 2 + m) to leading order in R."""
    area = 2 * np.pi ** ((m + 1) / 2) / gamma((m + 1) / 2)
    constant = np.pi ** (m / 2) * factorial(n) / gamma(n + 1 + m / 2)
    return float(((2 * BANDWIDTH * n) ** n * area / (count * constant)) ** (2 / (m + 2 * n)) / (2 * n + 2 + m))


def depth(n: int, m: int, count: int) -> int:
    """Return the number L of layers for which L eps_eff is nearest to 1/2."""
    return max(round(TIME / effective(n, m, count)), 1)


def target(n: int, m: int, count: int) -> float:
    """Return the factor of y on S^m at the time L eps_eff, e^{-m t / 2}."""
    return float(np.exp(-m * depth(n, m, count) * effective(n, m, count) / 2))


def within(power: int, square: float) -> tuple[np.ndarray, np.ndarray]:
    """Return angles up to the reach R, and the weights of (1 - s/R^2)^power at them, int over the circle, d(angle)/2pi.

    The last angle is missing: a profile (1 - s/R^2)^{-1} is none.
    """
    last = 2 * np.arcsin(np.sqrt(square) / 2)
    angles = last * (NODES + 1) / 2
    return angles, last / (2 * np.pi) * WEIGHTS * (1 - 4 * np.sin(angles / 2) ** 2 / square) ** power


@functools.cache
def square_reach(n: int, count: int) -> float:
    """Return R^2 on the circle, from N (R^2 / 2 eps n)^n int (1 - s/R^2)_+^n p = 1."""

    def excess(log_square: float) -> float:
        square = np.exp(log_square)
        return float(np.log(count * within(n, square)[1].sum()) + n * np.log(square / (2 * BANDWIDTH * n)))

    guess = np.log(effective(n, 1, count) * (2 * n + 3))
    return float(np.exp(brentq(excess, guess - 0.5, min(guess + 0.5, np.log(3.99)), xtol=1e-14)))


def symbols(power: int, square: float, waves: np.ndarray) -> np.ndarray:
    """Return kappa(q) of the profile (1 - s/R^2)_+^power, R^2 the square; what lies at R itself for the power -1."""
    if power < 0:
        return np.cos(waves * 2 * np.arcsin(np.sqrt(square) / 2))
    angles, weights = within(power, square)
    top = int(np.abs(waves).max())
    table = np.cos(np.outer(np.arange(top + 1), angles)) @ weights / weights.sum()
    return np.asarray(table[np.abs(waves)])


@functools.cache
def circle(n: int, count: int, *, fixed: bool = False) -> Circle:
    """Return what tokens do on the circle; with a fixed reach if rows are divided by their sums instead."""
    square = square_reach(n, count)
    top = int(VISIBLE / np.sqrt(square))
    q, one = np.arange(-top, top + 1), np.array([1])
    here, shifted, symbol = symbols(n, square, q), symbols(n, square, q + 1), symbols(n, square, one).item()
    if fixed:
        slope, slope_shifted, bend = symbol, shifted, 0.0
        single = -here * (shifted - symbol * here)
    else:
        slope, slope_shifted = symbols(n - 1, square, one).item(), symbols(n - 1, square, q + 1)
        bend = curvature(n, square) * (symbols(n - 2, square, one).item() - slope)
        single = -here * (slope_shifted - slope * symbols(n - 1, square, q)) + bend / 2 * here**2
    nonzero = q != 0
    change, back = shifted - slope * here, symbol - slope_shifted * here
    return Circle(q, symbol, shifted, change * nonzero, back * nonzero, single * nonzero)


def curvature(n: int, square: float) -> float:
    """Return v = (n - 1) I_{n-2} I_n / (n I_{n-1}^2); for n = 1 the factor (n - 1) I_{n-2} is the density of s/R^2."""
    whole, slope = within(n, square)[1].sum(), within(n - 1, square)[1].sum()
    if n == 1:
        last = 2 * np.arcsin(np.sqrt(square) / 2)
        bend = square / (2 * np.pi * np.sin(last))
    else:
        bend = (n - 1) * within(n - 2, square)[1].sum()
    return float(bend * whole / (n * slope**2))


def fluctuation(found: Circle, layers: int) -> np.ndarray:
    """Return c(q)^2 per wave."""
    return (found.change * repeats(found, layers)) ** 2


def repeats(found: Circle, layers: int) -> np.ndarray:
    """Return sum_{k < L} kappa(q+1)^{L-1-k} kappa(1)^k per wave."""
    same = np.abs(found.waves + 1) == 1
    gap = np.where(same, 1.0, found.symbol - found.shifted)
    many = (found.symbol**layers - found.shifted**layers) / gap
    return np.where(same, layers * found.symbol ** (layers - 1), many)


def second_order(found: Circle, layers: int) -> np.ndarray:
    """Return single(q) L kappa(1)^{L-1} + b(q) back(q) S(q) per wave."""
    once = layers * found.symbol ** (layers - 1)
    same = np.abs(found.waves + 1) == 1
    gap = np.where(same, 1.0, found.symbol - found.shifted)
    apart = (once - repeats(found, layers)) / gap
    twice = np.where(same, layers * (layers - 1) / 2 * found.symbol ** (layers - 2), apart)
    return found.single * once + found.change * found.back * twice


def mean_error(n: int, count: int, *, fixed: bool = False) -> float:
    """Return the mean of e^{-ix} (A_N^L - e^{-L eps_eff / 2}) e^{ix} to second order: bias and slow-down."""
    found, layers = circle(n, count, fixed=fixed), depth(n, 1, count)
    second = second_order(found, layers).sum() / count
    return float(found.symbol**layers - target(n, 1, count) + second)


def squared_error(n: int, count: int, *, fixed: bool = False) -> float:
    """Return N E |A_N^L e^{ix} - e^{-L eps_eff / 2} e^{ix}|^2: noise, and the square of the mean error."""
    noise = fluctuation(circle(n, count, fixed=fixed), depth(n, 1, count)).sum()
    return float(noise + count * mean_error(n, count, fixed=fixed) ** 2)


def limit_of_noise(rho: float, top: int = 100_000) -> float:
    """Return the limit of sum_q c(q)^2 on the circle, t = 1/2; a tail of 8 e^{-t} / top is left out."""
    q = np.arange(-top, top + 1)
    usual = ~np.isin(q, (0, -2))
    waves = q[usual]
    quotient = (2 * waves + 1 - rho) / (waves * (waves + 2.0))
    change = quotient * (np.exp(-TIME * (waves + 1.0) ** 2 / 2) - np.exp(-TIME / 2))
    return float(np.sum(change**2) + (TIME * (3 + rho) / 2) ** 2 * np.exp(-TIME))


def rise(found: Circle) -> np.ndarray:
    """Return single(q) + repeated(q) per wave."""
    same = np.abs(found.waves + 1) == 1
    gap = np.where(same, 1.0, found.symbol - found.shifted)
    return found.single + np.where(same, 0.0, found.change * found.back / gap)


def noise_on_sphere(n: int, count: int) -> float:
    """Return N E |A_N^L y - e^{-L eps_eff} y|^2 on S^2 but for the part that is linear in y, to first order."""
    degrees = noise_of_degrees(n, count, depth(n, 2, count))
    return float(degrees.sum() - degrees[1])


@functools.cache
def noise_of_degrees(n: int, count: int, layers: int) -> np.ndarray:
    """Return N E |A_N^L y - A^L y|^2 on S^2 per degree in x; that of degree one holds a mean that is no noise."""
    square = effective(n, 2, count) * (2 * n + 4)  # exact, as s is uniform
    z = 1 - square * (1 + NODES) / 4
    inside = 1 - (2 - 2 * z) / square
    weights, slopes = WEIGHTS * inside**n, WEIGHTS * inside ** (n - 1)
    weights, slopes = weights / weights.sum(), slopes / slopes.sum()
    symbol, slope = weights @ z, slopes @ z
    polynomials, derivatives = [np.ones_like(z), z], [np.zeros_like(z), np.ones_like(z)]  # Legendre's
    found = []
    for degree in range(int(VISIBLE / np.sqrt(square))):
        if degree >= 2:
            polynomials.append(((2 * degree - 1) * z * polynomials[-1] - (degree - 1) * polynomials[-2]) / degree)
            derivatives.append(derivatives[-2] + (2 * degree - 1) * polynomials[-2])
        kappa = weights @ polynomials[degree]
        many = sum(symbol**k * kappa ** (layers - 1 - k) for k in range(layers))
        along = weights @ ((1 - slope * z) * polynomials[degree])  # y - slope x along the token y, and across
        across = weights @ (slope * (1 - z**2) * derivatives[degree])
        found.append((2 * degree + 1) * many**2 * (along**2 + across**2 / max(degree * (degree + 1), 1)))
    return np.array(found)
