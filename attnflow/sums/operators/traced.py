"""Averages that JAX can differentiate, planned or summed over all pairs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from attnflow._tracing import is_known, primal
from attnflow.attention import Attention
from attnflow.errors import ConfigError
from attnflow.pseudometrics.plain import SquaredDistance
from attnflow.sums.derivatives.planned import Summation, planned_average
from attnflow.sums.derivatives.traced import Outputs, in_units, softmax_average
from attnflow.sums.kernel_sums.base import Rows
from attnflow.sums.kernel_sums.large_logits import LargeLogitSum
from attnflow.sums.planning.planner import PLANNED_PAIRS

GRADIENT_LAYERS = 6  # that a gradient written in JAX takes, in the time of one over all pairs


class TracedAverages:
    """Averages and log-normalisers of softmax rows; sums over all pairs can also be compiled and batched.

    Args:
        kernel_sum: makes a planned sum from an attention, keys and the logarithms of their weights.
        method: how the kernel is to be summed, "auto" or a name.
        spread: whether sums are spread over devices.
        dtype: of the arithmetic.
    """

    def __init__(self, kernel_sum: Callable[..., Any], *, method: str, spread: bool, dtype: np.dtype) -> None:
        self._kernel_sum = kernel_sum
        self._method = method
        self._spread = spread
        self._dtype = dtype

    def __call__(
        self, attention: Attention, keys: Any, masses: Any, values: Any, *, at: Any = None, exclude_self: bool = False
    ) -> Outputs:
        """Return averages (Q, c) and log-normalisers (Q,) at the queries, by default the keys (N, D)."""
        if attention.mask is not None or attention.pseudometric.is_kernel:
            what = type(attention.pseudometric).__name__ if attention.mask is None else f"`mask` = {attention.mask!r}"
            raise ConfigError(
                f"{what} cannot be traced by JAX. Compute such layers outside of jit and grad, or drop it."
            )
        queries, scale = keys if at is None else at, primal(masses).max()
        attention, queries, keys = _mapped(attention, queries, keys)
        given = queries, keys, masses / scale, values  # averages do not depend on the scale
        if self._plans(attention, *given, known=is_known(attention, given)):
            over = functools.partial(self._kernel_sum, Attention(SquaredDistance(), bandwidth=1.0))
            back = functools.partial(over, method="auto")
            how = Summation(over, back, own=at is None, exclude_self=exclude_self)
            outputs = planned_average(how, *in_units(attention.bandwidth, *given[:2]), *given[2:])
        else:
            own = jnp.arange(len(keys), dtype=jnp.int32) if exclude_self else None
            outputs = softmax_average(attention, *given, own=own, dtype=self._dtype)
            if is_known(outputs.log_normalizer):
                _refuse_undefined(*primal((attention, *given[:3], outputs.log_normalizer)), exclude_self=exclude_self)
        return outputs._replace(log_normalizer=outputs.log_normalizer + jnp.log(scale))

    def _plans(self, attention: Attention, queries: Any, keys: Any, masses: Any, values: Any, *, known: bool) -> bool:
        """Return whether a sum is planned; otherwise it is taken over all pairs, written in JAX."""
        if self._method not in ("auto", "dense"):
            if not (known and attention.is_gaussian):
                what = "under jit or vmap" if attention.is_gaussian else "for this cost"
                raise ConfigError(f'`method` = "{self._method}" cannot be traced {what}. Pass method="dense".')
            return True
        if not (known and attention.is_gaussian):
            return False
        if self._spread or self._method != "auto":
            return self._spread
        if len(queries) * len(keys) < PLANNED_PAIRS:
            return False
        attention, (queries, keys, masses) = primal(attention), map(np.asarray, primal((queries, keys, masses)))
        with np.errstate(divide="ignore"):
            planned = self._kernel_sum(attention, keys, np.log(masses))
        channels, dim = values.shape[1] + 1, keys.shape[1] + 1
        # The planned derivative by points sums the products of all values with all coordinates.
        costs = planned.plan(queries, columns=channels * dim).costs
        dense = GRADIENT_LAYERS * planned.plan(queries, columns=channels).costs["dense"].first
        return min((cost.first for method, cost in costs.items() if method != "dense"), default=np.inf) < dense


def _mapped(attention: Attention, queries: Any, keys: Any) -> tuple[Attention, Any, Any]:
    """Return the attention that sees mapped points, and these, where its cost is a plainer one without potentials."""
    found = None if attention.is_gaussian else attention.mapped(primal(keys).mean(axis=0))
    if found is None or found[1].has_potentials:
        return attention, queries, keys
    plainer, mapped = found
    images = mapped.of_keys(keys)
    is_one = queries is keys and mapped.of_queries is mapped.of_keys
    return plainer, images if is_one else mapped.of_queries(queries), images


def _refuse_undefined(
    attention: Attention, queries: Any, keys: Any, masses: Any, log_normalizers: Any, *, exclude_self: bool
) -> None:
    """Raise the error of a sum that is not traced, where a row is 0/0 or a cost is not a number."""
    bad = np.flatnonzero(~np.isfinite(log_normalizers))
    if len(bad):
        with np.errstate(divide="ignore"):
            given = dict(points=np.asarray(keys, np.float64), log_weights=np.log(np.asarray(masses, np.float64)))
        rows = Rows(np.asarray(queries, np.float64)[bad], bad if exclude_self else None, bad)
        LargeLogitSum(attention, **given).of_rows(np.empty((len(keys), 0)), rows)
