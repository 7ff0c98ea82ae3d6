r"""The next order of the expansion of an attention: the coefficient of eps^2 in A f.

Let S = D/2, y* its minimiser and H H' = G^-1 in a chart around it. With the key at u = s H z, s = sqrt(eps),

    (S - S(y*))/eps = |z|^2/2 + s c_3(z) + s^2 c_4(z) + s^3 c_5(z) + ...,    c_j of degree j,

so that numerator and denominator of A f - f(y*) are series in s of Gaussian averages of e^{-s c_3 - s^2 c_4 - ...} p^
(f - f(y*)). Polynomials of degree 10 at most are averaged: the radius by its moments, the direction by a rule on the
sphere that is exact for them. Along a direction all is a function of one number, whose Taylor coefficients automatic
differentiation gives. What comes out is linear in those of f, j = 1 to 4 along every direction.

A profile h is a mixture of Gaussians, e^{-a D / 2 eps}: of its averages the term s^q is mu_q(h) / mu_q(Gaussian) times
the Gaussian one. In the units in which mu_2 agrees, mu_4 is all that is left of it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammaln, roots_jacobi

from attnflow._compiling import compile_roughly
from attnflow._programs import at_point
from attnflow._tracing import Fixed
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.expansions.coefficients import hessian
from attnflow.equations.expansions.key_correction import log_density_in, log_key_weight_in, log_key_weight_slope_in
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold

MOST_DIMENSIONS = 5  # a rule for 1296 directions; for six they are 7776 at every query
ROWS = 64  # queries at once
_NODES = 6  # of Gauss, exact for degree 11
_ORDER = 4  # of s


def require_few(manifold: Manifold) -> None:
    """Raise ConfigError in many dimensions."""
    if manifold.dim > MOST_DIMENSIONS:
        raise ConfigError(
            f"`bias` is found in at most {MOST_DIMENSIONS} dimensions, got {manifold.dim} on {manifold}: it averages "
            "over directions, of which there are too many. Compare a population at two bandwidths."
        )


def kurtosis_of(attention: Attention, dim: int) -> float:
    """Return m mu_0 mu_4 / ((m + 2) mu_2^2) of the kernel of an attention, see `Profile.kurtosis`.

    Raises:
        ConfigError: if it is infinite, or not known.
    """
    if attention.pseudometric.is_kernel:
        raise ConfigError(
            f"`bias` takes fourth moments of the kernel, which the spectrum of {type(attention.pseudometric).__name__} "
            "does not tell. Ask for the kernel itself, such as that of SquaredDistance()."
        )
    return attention.profile.kurtosis(dim)


class SecondOrder(NamedTuple):
    """B f = sum_kj w_kj f_kj, f_kj the Taylor coefficient of order j = 1 to 4 of f(chart(t v_k)) at t = 0.

    Attributes:
        directions: v_k at every query, (Q, K, m).
        weights: w_kj, (Q, K, 4).
    """

    directions: Any
    weights: Any


@functools.cache
def directions_of(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return half of the nodes (K, m) of a rule on the unit sphere of R^m, and their weights (K,), which sum to 1.

    With their antipodes they integrate polynomials of degree 11; alone, even ones, as all that are averaged are.
    """
    if dim == 1:
        return np.ones((1, 1)), np.ones(1)
    lower, masses = directions_of(dim - 1)
    heights, weights = roots_jacobi(_NODES, (dim - 3) / 2, (dim - 3) / 2)
    rim = np.sqrt(1 - heights**2)
    nodes = np.concatenate(
        [np.broadcast_to(heights[:, None, None], (_NODES, len(lower), 1)), rim[:, None, None] * lower], axis=2
    )
    return nodes.reshape(-1, dim), np.outer(weights / weights.sum(), masses).ravel()


def taylor(function: Callable[[jax.Array], jax.Array], order: int) -> list[jax.Array]:
    """Return the Taylor coefficients at 0, of order 0 to `order`, of a function of one number."""

    def up_to(n: int, t: jax.Array) -> tuple[jax.Array, ...]:
        if n == 0:
            return (function(t),)
        lower, slopes = jax.jvp(functools.partial(up_to, n - 1), (t,), (jnp.ones_like(t),))
        return (*lower, slopes[-1])

    derivatives = up_to(order, jnp.zeros((), jnp.result_type(float)))
    return [derivative / math.factorial(n) for n, derivative in enumerate(derivatives)]


@compile_roughly
def second_orders(
    attention: Attention, density: Density, kurtosis: float, queries: jax.Array, minimizers: jax.Array
) -> SecondOrder:
    """Return B at queries (Q, D) with minimisers (Q, D).

    Args:
        attention: with the Gaussian profile, see `Attention.local`.
        density: p.
        kurtosis: of the profile in m dimensions, 1 for the Gaussian one.
        queries: x.
        minimizers: y*(x).
    """
    manifold = density.manifold
    nodes, masses = directions_of(manifold.dim)

    def one(x: jax.Array, y: jax.Array) -> SecondOrder:
        chart = manifold.chart_at(y)

        def cost(u: jax.Array) -> jax.Array:
            return jnp.asarray(0.5 * attention.pseudometric(x, chart(u)), y.dtype)

        def log_density(u: jax.Array) -> jax.Array:
            return log_density_in(chart, density, u) + log_key_weight_in(chart, attention, density, u)

        slope = jax.jacfwd(functools.partial(log_key_weight_slope_in, chart, attention, density))
        origin = jnp.zeros(manifold.dim, y.dtype)
        values, axes = jnp.linalg.eigh(hessian(cost, manifold.dim)(origin))
        directions = jnp.asarray(nodes) @ (axes / jnp.sqrt(values)).T

        def along(direction: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            costs = taylor(lambda t: cost(t * direction), 5)
            logs = taylor(lambda t: log_density(t * direction), 3)
            return _averaged(costs, logs, dim=manifold.dim)

        fourth, second, total = (jnp.asarray(masses) * part.T for part in jax.vmap(along)(directions))
        # Weights e^{eps u_1} of keys: s^2 <du_1, s H z> <df, s H z>.
        shifts = jnp.asarray(masses) * manifold.dim * (directions @ slope(origin))
        weights = kurtosis * fourth - total.sum() * second
        return SecondOrder(directions, weights.at[0].add(shifts).T)

    return jax.vmap(one)(queries, minimizers)


def _averaged(costs: list[jax.Array], logs: list[jax.Array], *, dim: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return, along a direction, by what f_1 to f_4 count in the terms s^4 and s^2, (4,) each, and 1 in s^2.

    Args:
        costs: Taylor coefficients of S.
        logs: those of log p^.
        dim: m.
    """
    _, _, _, c3, c4, c5 = costs
    one, none = jnp.ones_like(c3), jnp.zeros_like(c3)
    # e^{-s c_3 - s^2 c_4 - s^3 c_5} by how many c a term has, each of which brings r^2 more than s^q does.
    kernel = [
        [one, none, none, none],
        [none, -c3, -c4, -c5],
        [none, none, c3**2 / 2, c3 * c4],
        [none, none, none, -(c3**3) / 6],
    ]
    _, l1, l2, l3 = logs
    weight = [one, l1, l2 + l1**2 / 2, l3 + l1 * l2 + l1**3 / 6]

    def counted(order: int, degree: int) -> jax.Array:
        """Return the term s^order, its radius averaged with a further factor that makes it one of s^degree."""
        terms = [
            _radial_moment(dim, degree + 2 * count) * row[q] * weight[order - q]
            for count, row in enumerate(kernel)
            for q in range(order + 1)
        ]
        return jnp.sum(jnp.stack(terms), axis=0)

    fourth = jnp.stack([counted(3, 4), counted(2, 4), counted(1, 4), counted(0, 4)])
    return fourth, jnp.stack([counted(1, 2), counted(0, 2), none, none]), counted(2, 2)


def _radial_moment(dim: int, power: int) -> float:
    """Return E |z|^power of a standard normal z in R^m."""
    return math.exp(power / 2 * math.log(2) + gammaln((dim + power) / 2) - gammaln(dim / 2))


@functools.partial(compile_roughly, static_argnames=("f", "manifold"))
def applied_twice(
    f: Callable, manifold: Fixed, directions: jax.Array, weights: jax.Array, minimizers: jax.Array
) -> jax.Array:
    """Return B f, row by row: (Q,) for a scalar f, (Q, c) for a vector f.

    Args:
        f: of one ambient point.
        manifold: M.
        directions: of `SecondOrder`.
        weights: of `SecondOrder`.
        minimizers: y*, (Q, D).
    """

    def one(directions: jax.Array, weights: jax.Array, y: jax.Array) -> jax.Array:
        chart = manifold.content.chart_at(y)

        def along(direction: jax.Array) -> jax.Array:
            return jnp.stack(taylor(lambda t: at_point(f, chart(t * direction)), _ORDER)[1:])

        return jnp.einsum("kj,kj...->...", weights, jax.vmap(along)(directions))

    return jax.vmap(one)(directions, weights, minimizers)
