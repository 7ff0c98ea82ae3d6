"""Fixed points that JAX compiles and differentiates: derivatives come from the equation, not from the iterates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def traced_fixed_point(update: Callable, start: jax.Array, *, rtol: float, max_sweeps: int) -> jax.Array:
    """Return u with update(u) = u for an update that halves errors, or nearly; NaN where the sweeps do not suffice.

    With J the derivative of the update, du = (I - J)^{-1} d_parameters update, solved by the same sweeps.

    Args:
        update: from u (N,) to new ones, by JAX.
        start: the first u.
        rtol: of max |update(u) - u|.
        max_sweeps: how many updates at most.
    """

    def swept(residual: Callable, first: Any) -> Any:
        """Return the root of a residual whose derivative is near the identity."""

        def keeps_on(state: tuple) -> jax.Array:
            _, change, count = state
            return (change > rtol) & (count < max_sweeps)

        def sweep(state: tuple) -> tuple:
            values, _, count = state
            change = residual(values)
            return values - change, jnp.abs(change).max(), count + 1

        start = first, jnp.full((), jnp.inf, first.dtype), 0
        values, change, _ = jax.lax.while_loop(keeps_on, sweep, start)
        return jnp.where(change <= rtol, values, jnp.nan)

    def linear(matvec: Callable, right: Any) -> Any:
        def solve(product: Callable, given: Any) -> Any:
            scale = jnp.maximum(jnp.abs(given).max(), jnp.finfo(given.dtype).tiny)
            return scale * swept(lambda x: product(x) - given / scale, given / scale)

        return jax.lax.custom_linear_solve(matvec, right, solve, solve)

    return jax.lax.custom_root(lambda u: u - update(u), start, swept, linear)
