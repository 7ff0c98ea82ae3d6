"""Gaussian kernel sums on a GPU: every pair in registers, nothing of size N x N and no tile in memory.

    S_ci = sum_j p_ij F_cj,   p_ij = 2^(-|x_i - y_j|^2),   coordinates scaled by 1 / sqrt(2 eps log 2)

Three programs say the same: Pallas for Mosaic (Hopper and newer), Pallas for Triton, and plain XLA, which fuses an
exponential into a reduction only if it has one consumer: p and p F travel as one complex number.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from attnflow.attention import Attention
from attnflow.errors import ConfigError
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.blocks import ceil_div
from attnflow.sums.kernel_sums.pallas import mosaic_program, triton_program
from attnflow.sums.kernel_sums.rounding import column_scales, coordinate_rounding, least_total

FAR = 1e17  # of padded keys: 2^-(1e34) is zero in single precision too
QUERY_BLOCK, KEY_BLOCK = 512, 2048  # N is filled up to these
XLA_TILE = 16384  # queries at once without Pallas: .15 GB at a million keys
MOMENT_PAIRS = 2**26  # at once in the derivative without Pallas, where XLA forms them: .5 GB
MAX_COLUMNS = 8  # sums in registers at once
# Units in the last place. Roundings add up like a random walk: eight times the roots of the 1024 terms of a partial sum
# and of a thousand partial sums.
TERM_ROUNDING = 512


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def gaussian_sums(program: str, queries: jax.Array, keys: jax.Array, columns: jax.Array) -> jax.Array:
    """Return S_ci = sum_j 2^(-|x_i - y_j|^2) F_cj.

    Args:
        program: "mosaic", "triton" or "xla".
        queries: x, shape (D, Q), Q a multiple of QUERY_BLOCK.
        keys: y, shape (D, N), N a multiple of KEY_BLOCK.
        columns: F, shape (C, N).

    Returns:
        S, shape (C, Q).
    """
    return _PROGRAMS[program]("sums", queries, None, keys, columns)


def _forward(program: str, queries: jax.Array, keys: jax.Array, columns: jax.Array) -> tuple[jax.Array, tuple]:
    return gaussian_sums(program, queries, keys, columns), (queries, keys, columns)


def _backward(program: str, given: tuple, change: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return cotangents: the transposes are sums of the same kind, with queries and keys exchanged.

    dS/dx: sum_j g_ij (x_i - y_j) with g_ij = p_ij sum_c Sbar_ci F_cj; differences before sums, which would cancel.
    """
    queries, keys, columns = given
    run, slope = _PROGRAMS[program], -2 * math.log(2)
    wide = functools.partial(_fill, size=math.lcm(QUERY_BLOCK, KEY_BLOCK))
    q, k = queries.shape[1], keys.shape[1]
    x, y = wide(queries, fill=FAR), wide(keys, fill=FAR)
    rise, given_columns = wide(change, fill=0.0), wide(columns, fill=0.0)
    for_columns = run("sums", y, None, x, rise)[:, :k]
    for_queries = slope * run("moments", x, rise, y, given_columns)[:, :q]
    for_keys = slope * run("moments", y, given_columns, x, rise)[:, :k]
    return for_queries, for_keys, for_columns


gaussian_sums.defvjp(_forward, _backward)


def xla_program(
    kind: str, queries: jax.Array, coefficients: jax.Array | None, keys: jax.Array, columns: jax.Array
) -> jax.Array:
    """Return the sums or the moments without Pallas, for any device; arguments as in `pallas.mosaic_program`.

    Every two rows of the result have a loop of their own: if they shared it, the exponential would have two consumers,
    and tile by tile all pairs would go through memory.
    """
    count = queries.shape[1]
    size = min(XLA_TILE if kind == "sums" else max(1, MOMENT_PAIRS // keys.shape[1]), count)
    given = queries if coefficients is None else jnp.concatenate([queries, coefficients])
    tiles = _fill(given, size, fill=0.0).reshape(len(given), -1, size).transpose(1, 0, 2)

    def term(differences: list, a: jax.Array, row: int) -> jax.Array:
        if kind == "sums":
            return columns[row]
        return sum(a[c][:, None] * columns[c] for c in range(len(columns))) * differences[row]

    def tile(rows: tuple[int, int], given: jax.Array) -> jax.Array:
        x, a = given[: len(keys)], given[len(keys) :]
        differences = [x[k][:, None] - keys[k] for k in range(len(keys))]
        p = jnp.exp2(-sum(d * d for d in differences))
        return lax.complex(*(p * term(differences, a, row) for row in rows)).sum(axis=1)

    rows = len(columns) if kind == "sums" else len(queries)
    results = []
    for row in range(0, rows, 2):
        pair = lax.map(functools.partial(tile, (row, min(row + 1, rows - 1))), tiles).reshape(-1)[:count]
        results += [pair.real, pair.imag]
    return jnp.stack(results[:rows])


_PROGRAMS: dict[str, Callable] = {"mosaic": mosaic_program, "triton": triton_program, "xla": xla_program}


class GpuSum(KernelSum):
    """The sums sum_j w_j exp(-|x_i - y_j|^2 / 2eps) [1, v_j] over all pairs, on a GPU.

    Points are centred and scaled in double precision before they are rounded to `dtype`: with R the radius of the cloud
    an exponent l is then off by u (D + 4) |l| + 2 u R sqrt(2 D |l| / eps), and nothing cancels.

    Args:
        attention: a squared distance and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic.
        program: "mosaic", "triton" or "xla"; None takes the first that this GPU can run.

    Raises:
        ConfigError: if there is no GPU, or the cost is no SquaredDistance.
    """

    method = "gpu"

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype,
        program: str | None = None,
    ) -> None:  # fmt: skip
        self._check_gaussian(attention)
        self.attention = attention
        self.points = points
        self.dtype = dtype
        self._device = gpu_device()
        self._program = program or best_program(self._device)
        self._weights = np.exp(log_weights)
        self._center = points.mean(axis=0)
        keys = _padded(self._scaled(points), KEY_BLOCK, fill=FAR, dtype=dtype)
        self._keys = jax.device_put(keys, self._device)

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        scales = column_scales(values)
        columns = (self._weights[:, None] * np.column_stack([np.ones(len(values)), values / scales])).T
        x = _padded(self._scaled(rows.points), QUERY_BLOCK, fill=0.0, dtype=self.dtype)
        x = jax.device_put(x, self._device)
        parts = []
        for start in range(0, len(columns), MAX_COLUMNS):
            some = _padded(columns[start : start + MAX_COLUMNS], KEY_BLOCK, fill=0.0, dtype=self.dtype)
            parts.append(_compiled_sums(self._program, x, self._keys, jax.device_put(some, self._device)))
        sums = np.concatenate([np.asarray(part, np.float64) for part in parts])[:, : len(rows.points)].T
        if rows.own is not None:
            sums = sums - columns[:, rows.own].T
        errors = self._rounding(sums[:, 0], rows)
        return RowSums(np.zeros(len(sums)), sums[:, 0], sums[:, 1:] * scales, errors)

    def _scaled(self, points: np.ndarray) -> np.ndarray:
        return (points - self._center).T / math.sqrt(2 * self.attention.bandwidth * math.log(2))

    def _rounding(self, totals: np.ndarray, rows: Rows) -> np.ndarray:
        """Return a bound on the error of the averages, (Q,); infinite where a row underflows."""
        limits, dim = np.finfo(self.dtype), self.points.shape[1]
        reached = totals >= least_total(self.dtype) * max(self._weights.max(), 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            logits = np.maximum(np.log(self._weights.sum()) - np.log(totals), 0.0)
            eps = self.attention.bandwidth
            roundings = TERM_ROUNDING + (dim + 4) * logits
            roundings += coordinate_rounding(
                self.points, rows.points, center=self._center, logits=logits, bandwidth=eps
            )
            # Taking a self-term away loses digits of what is left.
            lost = 1.0 if rows.own is None else (totals + self._weights[rows.own]) / totals
        return np.where(reached, limits.eps * roundings * lost, np.inf)


_compiled_sums = jax.jit(gaussian_sums, static_argnums=0)


def gpu_device() -> jax.Device:
    """Return the first GPU; raise ConfigError where there is none."""
    try:
        return jax.devices("gpu")[0]
    except RuntimeError as error:
        raise ConfigError(
            '`method` = "gpu": JAX sees no GPU here. Install jax with CUDA (attnflow[cuda13]) on a machine that has '
            'one, or pass method="auto".'
        ) from error


def has_gpu() -> bool:
    """Return whether JAX would run on a GPU by itself."""
    return jax.default_backend() == "gpu"


def best_program(device: jax.Device) -> str:
    """Return the best program: Mosaic needs a GPU of compute capability 9 or more, Triton 8; XLA runs everywhere."""
    capability = float(getattr(device, "compute_capability", 0) or 0)
    return "mosaic" if capability >= 9 else "triton" if capability >= 8 else "xla"


def _padded(array: np.ndarray, size: int, *, fill: float, dtype: np.dtype) -> np.ndarray:
    """(C, n) filled up to whole blocks."""
    padded = np.full((len(array), ceil_div(array.shape[1], size) * size), fill, dtype)
    padded[:, : array.shape[1]] = array
    return padded


def _fill(array: jax.Array, size: int, *, fill: float) -> jax.Array:
    return jnp.pad(array, ((0, 0), (0, -array.shape[1] % size)), constant_values=fill)
