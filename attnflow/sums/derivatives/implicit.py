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
            _, change, sweep = state
            return (jnp.abs(change).max() > rtol) & (sweep < max_sweeps)

        def sweep(state: tuple) -> tuple:
            values, change, count = state
            values = values - change
            return values, residual(values), count + 1

        values, change, _ = jax.lax.while_loop(keeps_on, sweep, (first, residual(first), 0))
        return jnp.where(jnp.abs(change).max() <= rtol, values, jnp.nan)

    def linear(matvec: Callable, right: Any) -> Any:
        scale = jnp.maximum(jnp.abs(right).max(), jnp.finfo(right.dtype).tiny)

        def solve(product: Callable, given: Any) -> Any:
            return scale * swept(lambda x: product(x) - given / scale, given / scale)

        return jax.lax.custom_linear_solve(matvec, right, solve, solve)

    return jax.lax.custom_root(lambda u: u - update(u), start, swept, linear)
