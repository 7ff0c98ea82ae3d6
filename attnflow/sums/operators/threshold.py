"""One layer of entmax: rows with a threshold, found for some queries at a time over all keys."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._tracing import is_traced
from attnflow.attention import Attention
from attnflow.errors import ConfigError, DataError, DegenerateKernelError
from attnflow.measures import DiscreteMeasure
from attnflow.pseudometrics.scrutiny import check_cost, check_pairs
from attnflow.sums.kernel_sums.blocks import ceil_div, coordinates, pad, slices
from attnflow.sums.kernel_sums.pairs import cost_matrix
from attnflow.sums.kernel_sums.rounding import logit_sizes
from attnflow.sums.kernel_sums.tiles import LOG2E, Coordinates, compile_tiles, log2_kernel
from attnflow.sums.operators.base import Layer, RowOperator

BLOCK_PAIRS = 2**18  # held at once: a few arrays of 2 MB, of a block of queries with all keys
LARGEST_BLOCK = 256  # queries
KEY_TILE = 512  # keys are filled up to a multiple of it: few shapes reach the compiler
NOWHERE = -2  # the place of a key that fills up
MOST_STEPS = 200  # of Newton's iteration, which rises to the threshold; 20 are many


class _Keys(NamedTuple):
    """Keys with mass: coordinates, D x (N,), masses (N,) and places among all (N,)."""

    points: Coordinates
    masses: Any
    places: Any


class _Rows(NamedTuple):
    """What is known of rows.

    Args:
        averages: (Q, c).
        squares: sum_j a_j^2, (Q,).
        slopes: sum_j w_j [s_j - tau]_+^{1/(alpha-1) - 1}, by twice of which a row moves at most, in the sum of absolute
            values, where logits move by one, (Q,).
        left: by how much its weights missed the sum of one before they were divided by it, (Q,).
        largest: the largest |logit|, of keys with weight, (Q,).
    """

    averages: Any
    squares: Any
    slopes: Any
    left: Any
    largest: Any


class ThresholdOperator(RowOperator):
    """A v(x) = sum_j a_j v_j, a_j = w_j [(alpha - 1) logit_j - tau]_+^{1/(alpha-1)}, tau such that sum_j a_j = 1."""

    _reason = "its rows have thresholds, and no kernel that is symmetric"

    def __init__(self, attention: Attention, measure: DiscreteMeasure, **options: Any) -> None:
        super().__init__(attention, measure, **options)
        if is_traced(attention, measure.points, measure.masses):
            raise ConfigError("entmax cannot be traced by JAX: rows have thresholds. Leave out jit and grad.")
        if attention.mask is not None:
            raise ConfigError(f"entmax looks at all keys, got `mask` = {attention.mask!r}. Drop one of the two.")
        if self._method not in ("auto", "dense") or self._devices is not None:
            raise ConfigError(
                f'entmax looks at all pairs on one processor, got `method` = "{self._method}" and `devices` = '
                f'{self._devices}. Pass method="dense" without devices.'
            )
        check_cost(attention.pseudometric, measure.ambient_dim)
        check_pairs(attention.pseudometric, measure.points)
        entmax: Any = attention.normalization
        self._power = 1 / (entmax.alpha - 1)
        massive = np.flatnonzero(measure.masses)
        total = 1.0 if entmax.tokens is None else entmax.tokens / measure.mass
        size, dtype = KEY_TILE * ceil_div(len(massive), KEY_TILE), np.dtype(np.float64)
        self._massive = massive
        self._keys = _Keys(
            coordinates(measure.points[massive], size, dtype),
            pad(measure.masses[massive] * total, size, 0.0, dtype),
            pad(massive, size, NOWHERE, np.dtype(np.int64)),
        )
        self._block = int(np.clip(BLOCK_PAIRS // size, 1, LARGEST_BLOCK))

    @property
    def method(self) -> str:
        return "dense"

    def __call__(self, values: np.ndarray, at: np.ndarray | None = None, *, magnified: float = 1.0) -> np.ndarray:
        result, error = self._layer(values, at)
        self._keep_promise(magnified * error)
        return result

    @contextlib.contextmanager
    def repeated(self, layers: int) -> Iterator[Layer]:
        """Return the layer: its rows are found anew each time."""
        yield self._layer

    def effective_sample_size(self, at: np.ndarray | None = None) -> np.ndarray:
        """Return 1 / sum_j a_j^2, shape (Q,)."""
        rows, error = self._rows(np.empty((len(self.measure), 0)), at)
        self._keep_promise(2 * error)
        return 1 / rows.squares

    def _layer(self, values: np.ndarray, at: np.ndarray | None) -> tuple[np.ndarray, float]:
        rows, error = self._rows(values.reshape(len(values), -1), at)
        self.worst_error = max(self.worst_error, error)
        return rows.averages.reshape(len(rows.averages), *values.shape[1:]), error

    def _rows(self, values: np.ndarray, at: np.ndarray | None) -> tuple[_Rows, float]:
        """Return the rows at queries, and a bound on the error of their averages relative to the largest value."""
        if is_traced(values, at):
            raise ConfigError("entmax cannot be traced by JAX: rows have thresholds. Leave out jit and grad.")
        queries = self.measure.points if at is None else at
        own = np.arange(len(queries)) if self._excludes(at) else np.full(len(queries), -1)
        columns = np.zeros((len(self._keys.masses), values.shape[1]))
        columns[: len(self._massive)] = values[self._massive]
        attention = self.attention.replace(normalization="softmax")

        def block(rows: slice) -> _Rows:
            places = np.resize(own[rows], self._block)
            points = coordinates(queries[rows], self._block, np.dtype(np.float64))
            found = _threshold_rows(attention, self._power, points, places, self._keys, columns)
            return _Rows(*(np.asarray(part)[: len(queries[rows])] for part in found))

        with jax.core.eval_context():
            found = [block(rows) for rows in slices(len(queries), self._block)]
        rows = _Rows(*map(np.concatenate, zip(*found, strict=True)))
        self._refuse_undefined(rows, queries)
        sizes = logit_sizes(attention, queries, self.measure.points, rows.largest)
        eps = np.finfo(np.float64).eps
        rounding = eps * ((queries.shape[1] + 4) * sizes + 4)  # of logits, and of what is taken from them
        return rows, float((2 * rows.slopes * rounding + rows.left + len(self._massive) * eps).max())

    def _refuse_undefined(self, rows: _Rows, queries: np.ndarray) -> None:
        bad = ~np.isfinite(rows.squares)
        if not bad.any():
            return
        row = int(np.argmax(bad))
        if np.isinf(rows.largest[row]):
            raise DegenerateKernelError(
                f"row {row}, query {queries[row].tolist()}, has no key with mass at a finite cost: it is 0/0. Leave it "
                "out."
            )
        cost_matrix(self.attention.pseudometric, queries[row : row + 1], self.measure.points)  # names the pair
        raise DataError(
            f"the logit of {type(self.attention.pseudometric).__name__} is beyond 1e308 for query "
            f"{queries[row].tolist()}. Pass a larger `bandwidth`."
        )


@functools.partial(compile_tiles, static_argnums=1)
def _threshold_rows(
    attention: Attention, power: float, queries: Coordinates, own: jax.Array, keys: _Keys, columns: jax.Array
) -> _Rows:
    """Return rows of queries, D x (q,), over all keys.

    F(tau) = sum_j w_j [s_j - tau]_+^power - 1 falls and is convex, because the power is at least one: from where one
    key alone has weight one, at least, Newton's iteration rises to its root, for sparsemax in finitely many steps.
    """
    logits = log2_kernel(attention, queries, keys.points) / LOG2E
    logits = jnp.where(own[:, None] == keys.places[None, :], -jnp.inf, logits)
    undefined = jnp.isnan(logits).any(axis=1) | jnp.isposinf(logits).any(axis=1)
    shift = logits.max(axis=1, keepdims=True)
    scaled = (logits - shift) / power
    start = (scaled - keys.masses[None, :] ** (-1 / power)).max(axis=1)

    def sums(threshold: jax.Array) -> tuple[jax.Array, jax.Array]:
        excess = jnp.maximum(scaled - threshold[:, None], 0.0)
        steep = jnp.where(excess > 0, keys.masses[None, :] * _raised(excess, power - 1), 0.0)
        return jnp.sum(steep * excess, axis=1), jnp.sum(steep, axis=1)

    def keeps_on(state: tuple) -> jax.Array:
        _, rose, step = state
        return rose & (step < MOST_STEPS)

    def newton(state: tuple) -> tuple:
        threshold, _, step = state
        total, slope = sums(threshold)
        higher = jnp.maximum(threshold, threshold + (total - 1) / (power * slope))
        return higher, (higher > threshold).any(), step + 1

    threshold = jax.lax.while_loop(keeps_on, newton, (start, True, 0))[0]
    excess = jnp.maximum(scaled - threshold[:, None], 0.0)
    weights = jnp.where(excess > 0, keys.masses[None, :] * _raised(excess, power), 0.0)
    total = weights.sum(axis=1)
    weights /= total[:, None]
    largest = jnp.where(excess > 0, jnp.abs(logits), 0.0).max(axis=1)
    return _Rows(
        jnp.dot(weights, columns, precision="highest"),
        jnp.where(undefined, jnp.nan, jnp.sum(weights**2, axis=1)),
        sums(threshold)[1],
        jnp.abs(total - 1),
        jnp.where(jnp.isneginf(shift[:, 0]), jnp.inf, largest),
    )


def _raised(base: jax.Array, power: float) -> jax.Array:
    """Return a power; a whole one by products, ten times faster."""
    return jax.lax.integer_pow(base, int(power)) if power == int(power) else base**power
