r"""How key weights that come from totals change with the bandwidth, to first order: u = u_0 + eps u_1 + O(eps^2).

The log total of weights u at a key is the logarithm of an average over a small Gaussian [RZ],

    log total(u) = u + log p_G + eps c + O(eps^2),
    c = -S_ijkl G^ij G^kl / 8 + T_ijk T_lmn (3 G^ij G^kl G^mn + 2 G^il G^jm G^kn) / 24 - G^ij T_ijk G^kl d_l log w / 2
        + G^ij d_i d_j w / 2w,

with w = p^ e^{u_0} in a chart and the derivatives G, T, S of half the cost, by the query for a column. It takes two
derivatives of u_0, of which a normalisation tells the value at one key only. But as a function of that key it can be
differentiated: what the k-th total is asked for at another key, one finds by running the normalisation there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from attnflow._programs import at_point
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.expansions.coefficients import hessian, log_volume_element
from attnflow.equations.expansions.key_density import LimitKeys
from attnflow.equations.expansions.matrices import inverse, log_volume
from attnflow.equations.expansions.smoothness import derivative_and_value

Chart = Callable[[jax.Array], jax.Array]


class _InChart(LimitKeys):
    """One key chart(u) as the bandwidth vanishes, all told in that chart: a chart at the key would move with it."""

    def __init__(self, attention: Attention, density: Density, chart: Chart, u: jax.Array) -> None:
        super().__init__(attention, density, chart(u))
        self._chart = chart
        self._place = u

    @functools.cached_property
    def _log_local_density(self) -> jax.Array:
        def cost(v: jax.Array) -> jax.Array:
            return jnp.asarray(0.5 * self._attention.pseudometric(self._key, self._chart(v)), self._key.dtype)

        log_induced_volume = log_volume(hessian(cost, self._place.size)(self._place))
        return log_density_in(self._chart, self._density, self._place) - log_induced_volume


class _Listening(_InChart):
    """One key as the bandwidth vanishes, and the weights whose totals were asked for, in order."""

    def __init__(self, attention: Attention, density: Density, chart: Chart, u: jax.Array) -> None:
        super().__init__(attention, density, chart, u)
        self.asked: list[Any] = []

    def log_total(self, log_weights: Any) -> jax.Array:
        self.asked.append(log_weights)
        return super().log_total(log_weights)

    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> jax.Array:
        before = len(self.asked)
        found = super().fixed_point(update, rtol=rtol, max_sweeps=max_sweeps)
        del self.asked[before:]  # on the way to it
        update(found)
        return found


class _Corrected(_InChart):
    """One key at a small bandwidth eps, to first order in it."""

    def __init__(
        self, attention: Attention, density: Density, chart: Chart, u: jax.Array, *, bandwidth: jax.Array
    ) -> None:
        super().__init__(attention, density, chart, u)
        self._bandwidth = bandwidth
        self._corrections: dict[int, jax.Array] = {}
        self._next = 0

    def log_total(self, log_weights: Any) -> jax.Array:
        return self._corrected(log_weights, by_column=True)

    def log_row_total(self, log_weights: Any) -> jax.Array:
        return self._corrected(log_weights, by_column=False)

    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> jax.Array:
        first = self._next

        def again(u: Any) -> Any:
            self._next = first
            return update(u)

        again(jnp.zeros_like(self._bandwidth))  # which corrects all totals before anything is differentiated
        return super().fixed_point(again, rtol=rtol, max_sweeps=max_sweeps)

    def _corrected(self, log_weights: Any, *, by_column: bool) -> jax.Array:
        number = self._next
        self._next += 1
        if number not in self._corrections:
            self._corrections[number] = self._correction(number, by_column=by_column)
        return super().log_total(log_weights) + self._bandwidth * self._corrections[number]

    def _correction(self, number: int, *, by_column: bool) -> jax.Array:
        """Return c of the total that is asked for after so many others."""
        attention, density, chart = self._attention, self._density, self._chart

        def cost(v: jax.Array) -> jax.Array:
            pair = (chart(v), self._key) if by_column else (self._key, chart(v))
            return jnp.asarray(0.5 * attention.pseudometric(*pair), v.dtype)

        def log_weight(v: jax.Array) -> jax.Array:
            keys = _Listening(attention, density, chart, v)
            attention.normalization.log_key_weights(keys)
            return log_density_in(chart, density, v) + keys.asked[number]

        return _log_average(cost, log_weight, self._place)


def _log_average(
    cost: Callable[[jax.Array], jax.Array], log_weight: Callable[[jax.Array], jax.Array], minimizer: jax.Array
) -> jax.Array:
    """Return c, the term of order eps in the logarithm of int e^{-S/eps} w du.

    Args:
        cost: u (m,) -> S in a chart.
        log_weight: u (m,) -> log w, with respect to du.
        minimizer: where S is least, (m,).
    """
    fourth, third = derivative_and_value(jax.jacfwd(hessian(cost, minimizer.size)))(minimizer)
    inverted = inverse(hessian(cost, minimizer.size)(minimizer))
    bends, slopes = derivative_and_value(jax.jacfwd(log_weight))(minimizer)
    skew = jnp.einsum("ij,ijk->k", inverted, third)
    raised = jnp.einsum("ijk,il,jm,kn->lmn", third, inverted, inverted, inverted)
    return (
        -jnp.einsum("ijkl,ij,kl->", fourth, inverted, inverted) / 8
        + skew @ inverted @ skew / 8
        + jnp.sum(raised * third) / 12
        - skew @ inverted @ slopes / 2
        + jnp.sum(inverted * (bends + jnp.outer(slopes, slopes))) / 2
    )


def log_density_in(chart: Chart, density: Density, u: jax.Array) -> jax.Array:
    """Return log p^ at u (m,), the density with respect to du."""
    return at_point(density.log_density, chart(u), scalar=True) + log_volume_element(chart, u)


def log_key_weight_in(chart: Chart, attention: Attention, density: Density, u: jax.Array) -> jax.Array:
    """Return u_0 at chart(u), up to a constant, u of shape (m,)."""
    return 0.0 * u.sum() + attention.normalization.log_key_weights(_InChart(attention, density, chart, u))


def log_key_weight_slope_in(chart: Chart, attention: Attention, density: Density, u: jax.Array) -> jax.Array:
    """Return u_1 at chart(u), up to a constant: zero where the weights come from no totals.

    Args:
        chart: of M.
        attention: with the Gaussian profile; its totals are those of the surroundings of a key.
        density: p.
        u: (m,).
    """

    def weight(bandwidth: jax.Array) -> jax.Array:
        keys = _Corrected(attention, density, chart, u, bandwidth=bandwidth)
        return bandwidth * 0.0 + attention.normalization.log_key_weights(keys)

    none = jnp.zeros((), u.dtype)
    return jax.jvp(weight, (none,), (jnp.ones_like(none),))[1]
