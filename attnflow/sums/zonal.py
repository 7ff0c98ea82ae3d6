"""Zonal kernels on spheres and tori, which harmonics diagonalise: a layer takes two transforms, at any bandwidth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import ive

from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.manifolds.base import MAX_NODES, Manifold
from attnflow.manifolds.sphere import Sphere
from attnflow.measures import DiscreteMeasure
from attnflow.profiles.gaussian import GAUSSIAN
from attnflow.pseudometrics.plain import DotProduct, SquaredDistance
from attnflow.sums.harmonics import harmonics_of, has_harmonics
from attnflow.sums.operators.keys import Totals, key_potential
from attnflow.sums.operators.lanczos import largest_eigenpairs
from attnflow.sums.operators.spectra import Eigenfunctions, Eigenpairs
from attnflow.sums.sharpness import Sharpness
from attnflow.sums.symbols import profile_symbol
from attnflow.trajectories import Spectrum

FIRST_DEGREE = 24
LARGEST_LIMIT = 192  # degree of a harmonic: on S^2 tables of 30 MB, on S^3 twice that
LARGEST_ARGUMENT = 1e8  # of Bessel functions: that of scipy is exact up to 1e9
ROUND_OFF, GROWTH = 2e-15, 1e-17  # of a convolution, relative to the largest value; four times what was measured,
# 5e-16 + 2.5e-18 L^2 at degree L, on the nodes at the poles of S^2 where nothing is damped
ROUNDED, UNSEEN = 0.1, 1e-3  # of the tolerance
MOST_PAIRS = 8  # of resolutions, the last 3.6 times finer than the first; they should need two or three
KEPT = 4  # operators: two for the density, two for a function
PENDING_BYTES = 2**26  # of the coefficients of layers that are still to be evaluated at the queries


class ZonalOperator:
    """A v(x) = K(p e^u v)(x) / K(p e^u)(x) from values at the nodes of a rule, K by its eigenvalues.

    On a sphere S^m the kernel e^{-|x - y|^2 / 2eps} depends on <x, y> alone: by Funk and Hecke every harmonic of degree
    l is an eigenfunction, with the eigenvalue I_{l + n}(1/eps) / I_n(1/eps), n = (m - 1) / 2, relative to that of
    constants [DLMF, 10.25]; on a torus these are products of those of circles. Those of another profile on a sphere are
    integrals, of a kernel with a kink as well.

    What is rounded is relative to the largest p e^u, so that averages where K(p e^u) is much smaller lose digits: see
    `worst_error`. Harmonics beyond the largest degree are left out: see `tail`.

    Args:
        attention: a squared distance or a dot product, and the bandwidth.
        density: p on a sphere or torus.
        degree: of the rule of the manifold; harmonics reach up to half of it.
        rtol: tolerance of the averages, of which key weights that are iterated take a share.

    Attributes:
        worst_error: what rounding may do to any average so far, relative to the largest value.
        tail: the largest share of high harmonics in what was averaged so far, likewise.
    """

    @np.errstate(under="ignore")
    def __init__(self, attention: Attention, density: Density, *, degree: int, rtol: float = 1e-8) -> None:
        manifold, rule = density.manifold, density.manifold.quadrature(degree)
        self.measure = DiscreteMeasure(rule.points, density.quadrature(degree).masses)
        self._harmonics = harmonics_of(manifold, degree)
        self.limit = self._harmonics.limit
        self._bandwidth = attention.bandwidth
        if attention.profile == GAUSSIAN:
            self._symbol, log_constant = _gaussian_symbol(attention, manifold, limit=self.limit)
        else:
            self._symbol, log_constant = profile_symbol(
                attention.profile, attention.bandwidth, dim=manifold.dim, limit=self.limit
            )
        self._log_scale = log_constant - manifold.log_volume
        self._rounding = ROUND_OFF + GROWTH * self.limit**2
        self._weigh_keys(attention, self.measure.masses / rule.masses * manifold.volume, rtol)

    def _weigh_keys(self, attention: Attention, density: np.ndarray, rtol: float) -> None:
        def log_totals(log_weights: Any) -> tuple[np.ndarray, float]:
            sizes = density * np.exp(log_weights)
            totals = self._harmonics.synthesise(self._convolve(sizes[:, None]))[:, 0]
            rounding = self._rounding * float(sizes.max())
            totals = np.maximum(totals, rounding)  # what is less has no digit
            return self._log_scale + np.log(totals), rounding / float(totals.min())

        potential = key_potential(attention.normalization, self.measure.points, Totals(log_totals, rtol=rtol))
        self._peak = float(np.max(potential.values))
        self._weights = density * np.exp(potential.values - self._peak)
        self._key_error = 2 * potential.error
        self._key_masses = self.measure.masses * np.exp(potential.values - self._peak)
        self._coefficients = self._convolve(self._weights[:, None])
        self._totals = self._harmonics.synthesise(self._coefficients)
        self.begin()

    @np.errstate(under="ignore")
    def begin(self) -> None:
        """Forget what was averaged so far."""
        self.worst_error = self.tail = 0.0
        self._count_error(self._totals)
        self._count_tail(self._coefficients, size=1.0)

    def resolves(self, rtol: float) -> bool:
        """Whether what lies beyond the largest degree is below a tolerance by far, or below what is rounded."""
        return self.tail <= max(UNSEEN * rtol, self.worst_error) and self.tail < math.inf

    def keeps(self, rtol: float) -> bool:
        """Whether rounding is not felt at a tolerance."""
        return self.worst_error <= ROUNDED * rtol

    def __call__(self, values: np.ndarray, at: np.ndarray, *, magnified: float = 1.0) -> np.ndarray:
        """Return A v at points (P, D), from values (Q, ...) at the nodes; all digits there are, `magnified` or not."""
        return self.iterate(values, counts=[1], at=at, at_zero=None)[0]

    def log_normalizer(self, at: np.ndarray) -> np.ndarray:
        """Return log int e^{u(y)} k(x, y) p(y) dvol at points (P, D), shape (P,)."""
        return np.log(self._totals_at(at)[:, 0]) + self._peak + self._log_scale

    def iterate(
        self, values: np.ndarray, *, counts: Sequence[int], at: np.ndarray, at_zero: np.ndarray | None
    ) -> np.ndarray:
        """Return A^n v for several n at points (P, D), shape (len(counts), P, ...).

        Args:
            values: v at the nodes, shape (Q,) or (Q, c).
            counts: the numbers of layers n, in any order.
            at: where to record.
            at_zero: the values to record for n = 0, where that is asked.
        """
        last, asked = max(counts), set(counts)
        recorded = {} if at_zero is None else {0: at_zero}
        totals = self._totals_at(at)
        columns, pending = values.reshape(len(values), -1), {}
        for n in range(1, last + 1):
            coefficients = self._convolve(self._weights[:, None] * columns)
            self._count_tail(coefficients, size=float(np.abs(columns).max()))
            if n in asked:
                pending[n] = coefficients
            if n == last or len(pending) * coefficients.nbytes > PENDING_BYTES:
                for number, found in self._evaluate(pending, at):
                    recorded[number] = (found / totals).reshape(len(at), *values.shape[1:])
                pending = {}
            if n < last:
                columns = self._harmonics.synthesise(coefficients) / self._totals
        return np.stack([recorded[n] for n in counts])

    def eigenpairs(self, k: int) -> Eigenpairs:
        """Return the k largest eigenvalues of A, falling, and eigenvectors (Q, k) of norm one in the stationary law."""
        law = self._key_masses * self._totals[:, 0]
        law /= law.sum()

        def averages(vectors: np.ndarray) -> np.ndarray:
            self._seen = self._convolve(self._weights[:, None] * vectors)
            return self._harmonics.synthesise(self._seen) / self._totals

        tolerance = 10 * self.worst_error
        eigenvalues, vectors = largest_eigenpairs(averages, law, k=k, tolerance=tolerance)
        residuals = np.sqrt(law)[:, None] * (averages(vectors) - vectors * eigenvalues)
        rows = float(np.linalg.norm(vectors, axis=1).max())
        self._count_tail(self._seen, size=float(np.abs(vectors).max()))
        return Eigenpairs(eigenvalues, vectors, float(np.linalg.norm(residuals, 2)) + self.worst_error * rows)

    def spectrum(self, pairs: Eigenpairs, *, error: float) -> Spectrum:
        """Return the spectrum of (I - A) / eps from eigenpairs of A; `error` of its eigenvalues comes on top."""
        eps = self._bandwidth
        functions = Eigenfunctions(self, self.measure, True, pairs)
        return Spectrum((1 - pairs.eigenvalues) / eps, functions, (error + pairs.rounding) / eps)

    def _convolve(self, values: np.ndarray) -> np.ndarray:
        """Return the coefficients of K g, relative to K 1, for values of g (Q, c)."""
        return self._harmonics.damp(self._harmonics.analyse(values), self._symbol)

    def _evaluate(self, pending: dict[int, np.ndarray], at: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Return the values (P, c) of each of several coefficients: all at once, as harmonics are what costs."""
        if not pending:
            return []
        axis = self._harmonics.channels
        joined = np.concatenate(list(pending.values()), axis=axis)
        parts = np.split(self._harmonics.evaluate(joined, at), len(pending), axis=1)
        return list(zip(pending, parts, strict=True))

    def _totals_at(self, at: np.ndarray) -> np.ndarray:
        totals = self._harmonics.evaluate(self._coefficients, at)
        self._count_error(totals)
        return totals

    def _count_error(self, totals: np.ndarray) -> None:
        # The numerator and the denominator are rounded, relative to the largest weight.
        error = 2 * self._rounding * _ratio(self._weights.max(), totals.min()) + self._key_error
        self.worst_error = max(self.worst_error, error)

    def _count_tail(self, coefficients: np.ndarray, *, size: float) -> None:
        if size > 0:
            self.tail = max(self.tail, _ratio(self._harmonics.tail(coefficients, size=size), self._totals.min()))


class ZonalResolutions:
    """Pairs of resolutions, the finer by a fifth, from the first that resolves a density and a function.

    Args:
        attention, density: what `is_zonal` says yes to.
        rtol: tolerance of the averages.
    """

    def __init__(self, attention: Attention, density: Density, *, rtol: float) -> None:
        self._attention, self._density, self._rtol = attention, density, rtol
        # Harmonics resolve what is averaged; a kink of the kernel is met by its eigenvalues.
        self._sharpness = Sharpness(attention.replace(profile=GAUSSIAN), density, rtol=rtol)
        self._degree = 0
        self._operators: dict[int, ZonalOperator] = {}

    def __call__(self, f: Callable | None) -> Iterator[tuple[ZonalOperator, ZonalOperator]]:
        """Return coarse and fine operators, until they are too large, or their rounding is felt."""
        if not self._degree:
            self._degree = self._sharpness.of_operator(FIRST_DEGREE)
        degree = self._degree if f is None else self._sharpness.of_function(f, self._degree)
        for _ in range(MOST_PAIRS):
            if not self._is_affordable(finer(degree)):
                return
            coarse, fine = self._operator(degree), self._operator(finer(degree))
            if not fine.resolves(self._rtol):
                self._degree = finer(degree)  # for the density and the key weights alone
            elif fine.keeps(self._rtol):
                yield coarse, fine
            if fine.resolves(self._rtol) and not fine.keeps(self._rtol):
                return
            degree = finer(degree)

    def _is_affordable(self, degree: int) -> bool:
        return degree <= 2 * LARGEST_LIMIT and self._density.quadrature_size(degree) <= MAX_NODES

    def _operator(self, degree: int) -> ZonalOperator:
        if degree not in self._operators:
            self._operators[degree] = ZonalOperator(self._attention, self._density, degree=degree, rtol=self._rtol)
            for oldest in list(self._operators)[:-KEPT]:
                del self._operators[oldest]
        self._operators[degree].begin()
        return self._operators[degree]


def finer(degree: int) -> int:
    """Return the degree of the finer of two resolutions.

    The tail of a kernel, exp(-degree^2 eps / 2) = rtol, falls to rtol^(1.2^2): the finer measures the coarser.
    """
    return math.ceil(1.2 * degree) + 3


def _gaussian_symbol(attention: Attention, manifold: Manifold, *, limit: int) -> tuple[np.ndarray, float]:
    """Return the eigenvalues of a Gaussian kernel relative to that of constants, and the logarithm of that one."""
    angles, order = (1, (manifold.dim - 1) / 2) if isinstance(manifold, Sphere) else (manifold.dim, 0.0)
    argument = 1 / attention.bandwidth
    # int e^{(<x, y> - 1)/eps} dvol = (2 pi)^{n + 1} eps^n e^{-1/eps} I_n(1/eps) on a sphere.
    log_circle = (order + 1) * math.log(2 * math.pi) - order * math.log(argument) + math.log(ive(order, argument))
    log_constant = angles * log_circle
    if isinstance(attention.pseudometric, DotProduct):  # |x|^2 = |y|^2 is one for every angle
        log_constant += angles * argument
    return bessel_ratios(order, argument, limit), log_constant


def _ratio(number: float, least: float) -> float:
    return float(number / least) if least > 0 else math.inf


def is_zonal(attention: Attention, density: Density) -> bool:
    """Return whether `ZonalOperator` serves a cost, on the manifold of a density that uses its rule."""
    cost, manifold = type(attention.pseudometric), density.manifold
    if attention.profile == GAUSSIAN:
        plain = cost in (SquaredDistance, DotProduct)
    else:
        plain = cost is SquaredDistance and isinstance(manifold, Sphere)
    return (
        plain and attention.normalization.rows == "divided" and not density.brings_quadrature
        and has_harmonics(density.manifold) and 1 / attention.bandwidth <= LARGEST_ARGUMENT
    )  # fmt: skip


def bessel_ratios(order: float, argument: float, limit: int) -> np.ndarray:
    """Return I_{order + l}(z) / I_order(z) for l = 0, ..., limit  [DLMF, 10.33.1].

    r_l = I_{order + l + 1} / I_{order + l} = 1 / (2 (order + l + 1) / z + r_{l+1}), all terms positive, from the top
    down: an error of the first is gone where the ratio of the functions has fallen to 1e-10, its square being felt.
    """
    top = limit + 20 + math.ceil(math.sqrt(50 * argument))
    ratios = np.empty(limit)
    half = order + top + 0.5
    ratio = argument / (half + math.hypot(half + 0.5, argument))  # to 1 / (2 z)
    for l in range(top - 1, -1, -1):  # noqa: E741
        ratio = 1 / (2 * (order + l + 1) / argument + ratio)
        if l < limit:
            ratios[l] = ratio
    with np.errstate(under="ignore"):
        return np.concatenate([[1.0], np.cumprod(ratios)])
