"""Gaussian kernel sums by the fast Gauss transform: non-uniform FFTs in place of all pairs."""

from __future__ import annotations

from functools import cached_property

import finufft
import numpy as np

from attnflow.attention import Attention
from attnflow.errors import ConfigError, ResourceError
from attnflow.kernel_sums.dense import DenseSum
from attnflow.kernel_sums.rows import KernelSum, Rows, RowSums
from attnflow.pseudometrics import SquaredDistance

MAX_DIM = 3  # of finufft
MAX_GRID_BYTES = 2**31  # of the refined grid of one transform
MAX_TRANSFORMS = 4  # at once; each keeps a grid of its own
BEST_ERROR = 2e-14  # of a kernel value, in double precision
THINNING = 10  # rows this much thinner than a uniform cloud in the bounding box are still summed by Fourier


class FourierSum(KernelSum):
    """The sums sum_j w_j exp(-|x_i - y_j|^2 / 2eps) [1, v_j] for any values v, in O(N + M^d) in place of O(N^2).

    With period P and frequencies omega_m = 2 pi m / P per coordinate, |m| <= n,

        exp(-r^2 / 2eps) ~ sum_m g_m e^{i omega_m r},   g_m = sqrt(2 pi eps) / P exp(-eps omega_m^2 / 2).

    Two errors are made. Aliasing: for |r| <= P - R the copies r + kP, k != 0, are at least R, R + P, ... away on either
    side and weigh 2 exp(-R^2 / 2eps) / (1 - exp(-R^2 / eps)) at most; R = sqrt(2 eps log(2/t)) makes that t up to a
    factor 1 + t^2. Truncation: the sum beyond n is at most its integral, erfc(K sqrt(eps/2)) <= exp(-K^2 eps / 2) for
    K = 2 pi n / P; K = sqrt(2 log(1/t) / eps) makes that t. Over d coordinates the kernel is off by
    (1 + 2t)^d - 1, about 2 d t; t = error / 8d leaves three quarters of `error` to the two non-uniform transforms
    (asked for error / 4; they deliver within .6 of what they are asked, relative to the sum of strengths).

    So a sum is off by `error` sum_j w_j max |v|, and the average of a row by 2 error sum_j w_j max |v| / total_i. A row
    for which that exceeds rtol max |v|, where the kernel density is thin or the self-term left out was most of it, is
    summed again over all pairs.

    Args:
        attention: a squared distance and the bandwidth.
        points: the keys y_j, shape (N, d) with d <= 3.
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        rtol: tolerance on max |error| / max |values| of the averages weighted / total, and on that of the totals.

    Raises:
        ConfigError: if the cost is no SquaredDistance or d > 3.
        ResourceError: if the grid of frequencies needs more than 2 GiB.
    """

    method = "fourier"

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype, rtol: float
    ) -> None:
        dim = points.shape[1]
        if type(attention.pseudometric) is not SquaredDistance:
            raise ConfigError(
                '`method` = "fourier" needs the cost SquaredDistance(), got '
                f'{type(attention.pseudometric).__name__}. Pass method="dense".'
            )
        if dim > MAX_DIM:
            raise ConfigError(
                f'`method` = "fourier" needs points of at most {MAX_DIM} coordinates, got {dim}. Pass method="dense".'
            )
        self.attention = attention
        self.points = points
        self._log_weights = log_weights
        self._rtol = rtol
        self._weights = np.exp(log_weights)
        self._mass = self._weights.sum()
        eps = attention.bandwidth
        low, high = points.min(axis=0), points.max(axis=0)
        width = high - low
        # A thinner row is not worth more frequencies: it is summed over all pairs.
        thin = np.prod(np.sqrt(2 * np.pi * eps) / np.maximum(width, np.sqrt(2 * np.pi * eps))) / THINNING
        self.error = max(rtol * thin / 2, BEST_ERROR)
        self._min_total = 2 * self.error * self._mass / rtol
        tail = self.error / (8 * dim)
        radius = np.sqrt(2 * eps * np.log(2 / tail))
        self._center = low + width / 2
        self._reach = width / 2 + radius  # queries further out have no key within the radius
        self._period = width + 2 * radius
        orders = np.ceil(np.sqrt(2 * np.log(1 / tail) / eps) * self._period / (2 * np.pi))
        grid_bytes = 16 * np.prod(2 * (2 * orders + 1))
        if not grid_bytes <= MAX_GRID_BYTES:
            raise ResourceError(
                f'`method` = "fourier" needs a grid of {grid_bytes / 1e9:.3g} GB for bandwidth {eps:g} and points '
                f"spread over {width.max():.3g}; at most {MAX_GRID_BYTES / 1e9:.3g} GB are allowed. "
                'Pass method="dense".'
            )
        self._factors = [
            np.sqrt(2 * np.pi * eps) / period * np.exp(-eps / 2 * (2 * np.pi / period * np.arange(-n, n + 1)) ** 2)
            for n, period in zip(orders.astype(int), self._period, strict=True)
        ]
        self._key_angles = self._angles(points)

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        scales = np.abs(values).max(axis=0, initial=0.0)
        scales[scales == 0] = 1.0
        columns = self._weights[:, None] * np.column_stack([np.ones(len(values)), values / scales])
        near = (np.abs(rows.points - self._center) <= self._reach).all(axis=1)
        sums = np.zeros((len(rows.points), columns.shape[1]))
        if near.any():
            own_points = rows.points is self.points
            at = self._key_angles if own_points else self._angles(rows.points[near])
            sums[near] = self._transform(columns, at)
        if rows.own is not None:
            sums -= columns[rows.own]
        sums[:, 1:] *= scales
        shift = np.zeros(len(sums))
        thin = np.flatnonzero(~(sums[:, 0] >= self._min_total))
        if len(thin):
            exact = self._dense.of_rows(values, rows.take(thin))
            shift[thin], sums[thin, 0], sums[thin, 1:] = exact[:3]
        return RowSums(shift, sums[:, 0], sums[:, 1:], np.full(len(shift), self._rtol))

    @cached_property
    def _dense(self) -> DenseSum:
        return DenseSum(self.attention, points=self.points, log_weights=self._log_weights, dtype=np.dtype(np.float64))

    def _angles(self, points: np.ndarray) -> list[np.ndarray]:
        """2 pi (x - center) / P, one array per coordinate: centring first keeps the digits of a distant cloud."""
        return list(np.ascontiguousarray((2 * np.pi * (points - self._center) / self._period).T))

    def _transform(self, columns: np.ndarray, at: list[np.ndarray]) -> np.ndarray:
        """Periodised sums of the real columns (N, C) at Q angles, (Q, C); the kernel is real, so two share one FFT."""
        dim = len(at)
        analyse = (finufft.nufft1d1, finufft.nufft2d1, finufft.nufft3d1)[dim - 1]
        synthesise = (finufft.nufft1d2, finufft.nufft2d2, finufft.nufft3d2)[dim - 1]
        shape = tuple(len(factor) for factor in self._factors)
        sums = np.empty((len(at[0]), columns.shape[1]))
        for start in range(0, columns.shape[1], 2 * MAX_TRANSFORMS):
            chunk = columns[:, start : start + 2 * MAX_TRANSFORMS]
            strengths = np.zeros(((chunk.shape[1] + 1) // 2, len(chunk)), np.complex128)
            strengths.real = chunk[:, 0::2].T
            strengths.imag[: chunk.shape[1] // 2] = chunk[:, 1::2].T
            modes = analyse(*self._key_angles, strengths, shape, isign=1, eps=self.error / 4)
            for axis, factor in enumerate(self._factors):
                modes *= factor.reshape(-1, *[1] * (dim - 1 - axis))
            packed = synthesise(*at, modes, isign=-1, eps=self.error / 4).reshape(len(strengths), -1)
            part = sums[:, start : start + 2 * MAX_TRANSFORMS]
            part[:, 0::2] = packed.real.T
            part[:, 1::2] = packed.imag[: chunk.shape[1] // 2].T
        return sums
