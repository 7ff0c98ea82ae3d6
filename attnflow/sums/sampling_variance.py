"""How much attention over N independent points scatters about that over their density, by influence functions.

What a point mass at y, added to the density, does to A^n f(x) is the influence h_y(x) [Ha], and

    lim N Var[A_N^n f(x)] = int h_y(x)^2 p(y) dvol(y) = sum_j w_j (d A^n f(x) / d w_j)^2                          [Si]

over a quadrature with the masses w_j, as averages do not depend on the total mass. With rows a(x, y), relative to the
masses, h_y(x) = a(x, y) (f(y) - A f(x)) for one layer and given key weights e^u. Many layers are summed backwards from
the query: with b_0 = a(x, .) w and b_k = b_{k-1} a w, of layer n - k

    b_{k-1} [a(., y) (A^{n-1-k} f(y) - A^{n-k} f(.))]   is added.

Key weights that depend on the points add sum_l w_l h_l(x) du_l/dw_j, the pullback of a normalisation by JAX.

For one layer and given key weights the moments of a ratio of sums over N independent points are exact: with
S_0 = sum a_j, S_1 = sum a_j phi_j, phi = f - A f(x), M(t) = E e^{-ta},

    E (S_1 / S_0)^2 = N int t { E[a^2 phi^2 e^{-ta}] M^{N-1} + (N - 1) E[a phi e^{-ta}]^2 M^{N-2} } dt,
    E (S_1 / S_0)   = N int E[a phi e^{-ta}] M^{N-1} dt.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_integer
from attnflow._lifting import evaluate
from attnflow.attention import Attending, Attention
from attnflow.errors import ConfigError, ConvergenceError, PrecisionError, ResourceError
from attnflow.normalizations.base import Normalization
from attnflow.normalizations.started import asked_of_keys
from attnflow.sums.answers import EDGE, Answer
from attnflow.sums.kernel_sums.blocks import slices
from attnflow.sums.kernel_sums.pairs import all_costs
from attnflow.sums.layers import Layers
from attnflow.sums.operators.kernel import KernelOperator
from attnflow.sums.operators.keys import LogTotals, Totals, traced_key_potential

if TYPE_CHECKING:
    from attnflow.sums.population import PopulationAttention

MOST_NODES = 8192  # of matrices of all pairs: half a gigabyte
BLOCK_PAIRS = 2**22  # of queries, nodes and channels at once
RTOL = 1e-11  # of key weights that are a fixed point, as they are differentiated
STEP = 0.25  # of log t: the trapezoidal rule is off by about e^{-pi^2 / STEP}
TINY = np.finfo(np.float64).tiny
ROUNDING = 1e-15  # of what is summed; what adds less ends a sum
FIRST_LOG, LAST_LOG = -20.0, 340.0  # of N t; the square of what is more is no number
AT_ONCE = 16  # t that are summed before it is asked whether they matter


class _Rows(NamedTuple):
    """Rows a (Q, n) relative to masses w (n,) of total mass one: A v = (a w) v."""

    weights: np.ndarray
    masses: np.ndarray

    def average(self, values: np.ndarray) -> np.ndarray:
        return (self.weights * self.masses) @ values


class _Keys(NamedTuple):
    """The nodes as keys of an attention: their masses, which sum to one, and log key weights, and logits between them.

    The logits are there if layers or derivatives of key weights ask for them.
    """

    attention: Attention
    points: np.ndarray
    masses: np.ndarray
    potential: np.ndarray
    between: np.ndarray

    def logits(self, queries: np.ndarray) -> np.ndarray:
        costs = all_costs(self.attention.pseudometric, queries, self.points)
        return np.asarray(self.attention.profile.logit(costs, bandwidth=self.attention.bandwidth))

    def rows(self, logits: np.ndarray) -> _Rows:
        logits = logits + self.potential
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return _Rows(weights / (weights @ self.masses)[:, None], self.masses)

    def pull_back(self, cotangents: np.ndarray) -> np.ndarray:
        """Return sum_l c_l du_l / dw_j for c (Q, n, c), of the same shape."""
        flat = np.moveaxis(cotangents, 1, 0).reshape(len(self.masses), -1)
        kernel = np.exp(self.between - self.between.max())
        pulled = _pulled_back(
            self.attention.normalization, self.points, kernel, self.masses, flat,
            is_symmetric=self.attention.pseudometric.is_symmetric,
        )  # fmt: skip
        return np.moveaxis(np.asarray(pulled).reshape(len(self.masses), len(cotangents), -1), 0, 1)


class Sampling:
    """The variance of layers over independent points, from the operator of their density on a quadrature.

    Args:
        attention: whose rows are divided by their sums.
        count: how many points; None for N times the variance as N grows.
        layers: how many, frozen.

    Raises:
        ConfigError: if the variance is not known.
    """

    def __init__(self, attention: Attending, *, count: int | None, layers: int) -> None:
        self._attention = _known(attention)
        self._layers = check_integer(layers, "layers", minimum=1)
        self._count = None if count is None else check_integer(count, "count", minimum=2)
        asked = asked_of_keys(self._attention.normalization)
        self._estimates_weights = bool(asked & {"total", "fixed point"})
        self._is_dense = self._estimates_weights or self._layers > 1
        name = type(self._attention.normalization).__name__
        if "fixed point" in asked and not self._attention.pseudometric.is_symmetric:
            raise ConfigError(
                f"`sampling_variance` of {name} needs a symmetric cost, and "
                f"{type(self._attention.pseudometric).__name__} does not say that it is: key weights of an asymmetric "
                "one leave a constant open. Set `is_symmetric=True` if D(x, y) = D(y, x), or use softmax."
            )
        if self._count is not None and (self._layers > 1 or self._estimates_weights):
            what = f"of {self._layers} layers" if self._layers > 1 else f"with the estimated key weights of {name}"
            raise ConfigError(
                f"`count` must be None {what}, got {self._count}: the variance is known to leading order in 1/N alone. "
                "Divide what is returned without it by N."
            )

    def __call__(self, operator: object, values: np.ndarray, queries: np.ndarray) -> Answer:
        """Return the variance at queries (Q, D) from values (n,) or (n, c) at the nodes of an operator.

        Raises:
            ResourceError: if matrices of all pairs of nodes are needed, and there are too many.
            PrecisionError: if the kernel of some key is no number.
        """
        assert isinstance(operator, KernelOperator)  # on a quadrature: harmonics have no rows
        keys = self._keys(operator)
        columns = values.reshape(len(values), -1)
        block = max(1, BLOCK_PAIRS // columns.size)
        with np.errstate(under="ignore"):
            parts = [self._of_block(keys, columns, queries[some]) for some in slices(len(queries), block)]
        variance, sizes, outside = (np.concatenate(each) for each in zip(*parts, strict=True))
        if not np.isfinite(variance).all():
            raise PrecisionError(
                f"the variance is no number at bandwidth {self._attention.bandwidth:g}: of some key the kernel is "
                "below 1e-308 everywhere. Pass a larger `bandwidth`."
            )
        shape = len(queries), *values.shape[1:]
        return Answer(variance.reshape(shape), float(sizes.max()), outside=float(outside.max()))

    def shift(self, operator: object, values: np.ndarray, queries: np.ndarray) -> Answer:
        """Return E A_N f(x) - A f(x) of one layer of `count` points, as `__call__` does the variance."""
        assert isinstance(operator, KernelOperator)
        assert self._count is not None
        keys, columns = self._keys(operator), values.reshape(len(values), -1)
        parts = [
            _moments_of_ratio(keys.rows(keys.logits(queries[some])), columns, count=self._count)[0]
            for some in slices(len(queries), max(1, BLOCK_PAIRS // columns.size))
        ]
        shape = len(queries), *values.shape[1:]
        return Answer(np.concatenate(parts).reshape(shape), float(np.abs(columns).max()))

    def _keys(self, operator: KernelOperator) -> _Keys:
        nodes = len(operator.measure)
        if self._is_dense and nodes > MOST_NODES:
            raise ResourceError(
                f"`sampling_variance` of layers, or of estimated key weights, needs a matrix of {nodes} x {nodes} "
                f"numbers here, and has at most {MOST_NODES} rows. Use a larger `bandwidth` or `rtol`, or one layer of "
                "softmax."
            )
        points, masses = operator.measure.points, operator.measure.masses / operator.measure.mass
        keys = _Keys(self._attention, points, masses, operator.key_potential, np.empty((0, nodes)))
        return keys._replace(between=keys.logits(points)) if self._is_dense else keys

    def _of_block(
        self, keys: _Keys, columns: np.ndarray, queries: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the variance (Q, c), the size of what is rounded, and how much comes from the edge of the nodes."""
        rows = keys.rows(keys.logits(queries))
        influences = self._influences(keys, rows, columns)
        squares = np.einsum("j,qjc->qc", keys.masses, influences**2)
        # Influences are differences of values, rounded relative to the largest.
        row_squares = np.einsum("j,qj->q", keys.masses, rows.weights**2)[:, None]
        sizes = squares + np.sqrt(squares * row_squares) * np.abs(columns).max()
        edge = keys.masses < EDGE * keys.masses.max()
        outside = np.einsum("j,qjc->qc", keys.masses[edge], influences[:, edge] ** 2)
        if self._count is None:
            return squares, sizes, outside
        return _moments_of_ratio(rows, columns, count=self._count)[1], sizes / self._count, outside / self._count

    def _influences(self, keys: _Keys, rows: _Rows, columns: np.ndarray) -> np.ndarray:
        """Return h_y(x) at all queries and nodes, (Q, n, c)."""
        history = [columns]  # A^k f at the nodes
        between = keys.rows(keys.between)
        for _ in range(self._layers - 1):
            history.append(between.average(history[-1]))
        influences = rows.weights[:, :, None] * (history[-1] - rows.average(history[-1])[:, None, :])
        above = rows.weights
        for values, averaged in zip(history[-2::-1], history[:0:-1], strict=True):
            reached = above * keys.masses  # where the layers above look, b
            above = reached @ between.weights
            for channel in range(columns.shape[1]):
                influences[:, :, channel] += above * values[:, channel]
                influences[:, :, channel] -= (reached * averaged[:, channel]) @ between.weights
        if self._estimates_weights:
            influences = influences + keys.pull_back(keys.masses[:, None] * influences)
        # Averages do not depend on the total mass: influences have mean zero, but for key weights that do.
        return influences - np.einsum("j,qjc->qc", keys.masses, influences)[:, None, :]


def _known(attention: Attending) -> Attention:
    """Return the one head of an attention, if its rows are divided by their sums and known pair by pair."""
    head = attention.heads[0]
    name = type(head.normalization).__name__
    if len(attention.heads) > 1:
        raise ConfigError("`sampling_variance` is known of one head, got several. Ask each head.")
    if head.rows != "divided":
        raise ConfigError(
            f"`sampling_variance` is that of rows which are divided by their sums, and those of {name} are not. Use "
            "softmax, or measure it over several samples."
        )
    if head.pseudometric.is_kernel:
        raise ConfigError(
            f"`sampling_variance` needs a kernel that is positive, and that of {type(head.pseudometric).__name__} is "
            "not. Use SquaredDistance()."
        )
    return head


def mean_shift(population: PopulationAttention, f: Callable, at: np.ndarray, *, count: int) -> np.ndarray:
    """Return E A_N f(x) - A f(x) of one layer over N independent points, (Q,) or (Q, c); x is none of them.

    It is what the sums of a row and of its values have in common, about -(1/N) int k^2 (f - A f) p / (int k p)^2.

    Raises:
        ConfigError: as of `PopulationAttention.sampling_variance` with a count.
    """
    sampling = Sampling(population.attention, count=count, layers=1)

    def shift(layers: Layers) -> Answer:
        return sampling.shift(layers.first, evaluate(f, layers.first.measure.points), at)

    return population._converge(shift, f, squares=True).values


@functools.partial(jax.jit, static_argnames="is_symmetric")
def _pulled_back(
    normalization: Normalization, points: jax.Array, kernel: jax.Array, masses: jax.Array, cotangents: jax.Array, *,
    is_symmetric: bool,
) -> jax.Array:  # fmt: skip
    """Return sum_l c_l du_l / dw_j for the columns of c (n, C), u the log key weights of masses w."""

    def log_totals(matrix: jax.Array, weights: jax.Array) -> LogTotals:
        return lambda u: (jnp.log(matrix @ (weights * jnp.exp(u))), 0.0)

    def potential(weights: jax.Array) -> jax.Array:
        of_rows = None if is_symmetric else log_totals(kernel, weights)
        totals = Totals(log_totals(kernel.T, weights), of_rows, rtol=RTOL)
        return jnp.broadcast_to(traced_key_potential(normalization, points, totals), weights.shape)

    _, pull = jax.vjp(potential, masses)
    return jax.vmap(lambda each: pull(each)[0], in_axes=1, out_axes=1)(cotangents)


def _moments_of_ratio(rows: _Rows, values: np.ndarray, *, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return E A_N f(x) - A f(x) and Var[A_N f(x)] of N independent points, (Q, c), by the trapezoidal rule in log t.

    Raises:
        ConvergenceError: if there are so few neighbours that the integrals reach beyond all numbers.
    """
    masses, kernel, averages = rows.masses, rows.weights, rows.average(values)
    weighed = kernel[:, :, None] * (values - averages[:, None, :])  # a phi
    mean, square = np.zeros_like(averages), np.zeros_like(averages)
    for steps in range(0, math.ceil((LAST_LOG - FIRST_LOG) / STEP), AT_ONCE):
        added_mean, added_square = np.zeros_like(mean), np.zeros_like(mean)
        for step in range(steps, steps + AT_ONCE):
            t = math.exp(FIRST_LOG + step * STEP) / count
            damped = masses * np.exp(-t * kernel)
            void = damped.sum(axis=1)[:, None]  # M; its logarithm near one is felt N times
            missing = (np.expm1(-t * kernel) @ masses)[:, None]
            log_void = np.where(void > 0.5, np.log1p(np.maximum(missing, -0.5)), np.log(np.maximum(void, TINY)))
            first = np.einsum("qj,qjc->qc", damped, weighed)
            second = np.einsum("qj,qjc->qc", damped, weighed**2)
            added_mean += t * first * np.exp((count - 1) * log_void)
            added_square += t**2 * (
                second * np.exp((count - 1) * log_void) + (count - 1) * first**2 * np.exp((count - 2) * log_void)
            )
        mean, square = mean + added_mean, square + added_square
        ended = (np.abs(added_mean) <= ROUNDING * np.sqrt(square)) & (added_square <= ROUNDING * square)
        if steps * STEP > -FIRST_LOG and ended.all():
            break
    else:
        raise ConvergenceError(
            f"`count` = {count} points have fewer than about one neighbour each, and their variance is not found. "
            "Pass a larger `count` or `bandwidth`."
        )
    mean, square = count * STEP * mean, count * STEP * square
    return mean, square - mean**2
