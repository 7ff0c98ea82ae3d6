r"""The generator of an attention in a local chart, by automatic differentiation.

With S = D/2, y* the minimiser of S(x, .), and, in any chart around y*, G = d^2 S and T = d^3 S at y* and p^ the density
of the keys in the chart, weighed as the normalisation says, Laplace's method gives [RZ]

    A f(x) = f(y*) + eps (L f)(y*) + O(eps^2),
    L f = 1/2 G^{ij} d_i d_j f + ( G^{kl} d_k log p^ - 1/2 G^{ij} T_ijk G^{kl} ) d_l f.

Nothing is derived by hand per pseudo-metric.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._tracing import Fixed
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.expansions.key_density import log_key_weight


class ChartCoefficients(NamedTuple):
    """L f = 1/2 tr(inverse_metric Hess f) + drift . grad f, in the coordinates of a chart."""

    inverse_metric: jax.Array
    drift: jax.Array


class AmbientCoefficients(NamedTuple):
    """What L is at many queries, as tensors of R^D on the tangent space at the minimiser.

    Attributes:
        minimizers: y*(x), (Q, D).
        diffusions: C = E G^-1 E', (Q, D, D).
        drifts: E b, (Q, D), with L f = 1/2 tr(C Hess f) + <E b, grad f>.
    """

    minimizers: np.ndarray
    diffusions: np.ndarray
    drifts: np.ndarray


class RawCoefficients(NamedTuple):
    """Per query the smallest eigenvalue of G, G^-1 and b in the frame, and both as tensors of R^D."""

    smallest: Any
    inverse_metric: Any
    drift: Any
    ambient_diffusion: Any
    ambient_drift: Any


def chart_coefficients(
    cost: Callable[[jax.Array], jax.Array], log_density: Callable[[jax.Array], jax.Array], minimizer: jax.Array
) -> ChartCoefficients:
    """Return the generator in one chart.

    Args:
        cost: u (m,) -> S, half the pseudo-metric in the chart.
        log_density: u (m,) -> log p^, the density with respect to du.
        minimizer: u* (m,), where the gradient of `cost` vanishes.
    """
    inverse = jnp.linalg.inv(jax.hessian(cost)(minimizer))
    third = jax.jacfwd(jax.hessian(cost))(minimizer)
    drift = inverse @ jax.grad(log_density)(minimizer) - 0.5 * inverse @ jnp.einsum("ij,ijk->k", inverse, third)
    return ChartCoefficients(inverse, drift)


def log_volume_element(chart: Callable[[jax.Array], jax.Array], u: jax.Array) -> jax.Array:
    """Return log sqrt(det g) of an embedding chart, g = J'J."""
    jacobian = jax.jacfwd(chart)(u)
    return 0.5 * jnp.linalg.slogdet(jacobian.T @ jacobian)[1]


def _local_coefficients(attention: Attention, density: Density, x: jax.Array, y: jax.Array) -> ChartCoefficients:
    """Return the generator in chart_at(y), y the minimiser of the cost of the query x."""
    chart = density.manifold.chart_at(y)

    def log_density(u: jax.Array) -> jax.Array:
        key = chart(u)
        log_weight = log_key_weight(attention, density, key)
        return density.log_density(key) + log_volume_element(chart, u) + log_weight

    return chart_coefficients(
        cost=lambda u: 0.5 * attention.pseudometric(x, chart(u)),
        log_density=log_density,
        minimizer=jnp.zeros(density.manifold.dim, y.dtype),
    )


@jax.jit
def raw_coefficients(
    attention: Attention, density: Density, queries: jax.Array, minimizers: jax.Array
) -> RawCoefficients:
    """Return the generator at queries (Q, D) with minimisers (Q, D), each field with a first axis of length Q."""

    def one(x: jax.Array, y: jax.Array) -> RawCoefficients:
        local = _local_coefficients(attention, density, x, y)
        frame = density.manifold.tangent_frame(y)
        smallest = jnp.min(1 / jnp.linalg.eigvalsh(local.inverse_metric))
        return RawCoefficients(smallest, *local, frame @ local.inverse_metric @ frame.T, frame @ local.drift)

    return jax.vmap(one)(queries, minimizers)


@jax.jit
def drifts(attention: Attention, density: Density, queries: jax.Array) -> jax.Array:
    """Return Z = b - 1/2 div_G G^-1 in R^D, for costs whose minimiser is the query: b without the part of 1/2 Lap_G."""
    manifold = density.manifold

    def one(x: jax.Array) -> jax.Array:
        chart = manifold.chart_at(x)
        origin = jnp.zeros(manifold.dim, x.dtype)

        def metric(u: jax.Array) -> jax.Array:
            return jax.hessian(lambda v: 0.5 * attention.pseudometric(chart(u), chart(v)))(u)

        def flux(u: jax.Array) -> jax.Array:  # sqrt(det G) G^-1, whose divergence over sqrt(det G) is Lap_G's drift
            g = metric(u)
            return jnp.sqrt(jnp.linalg.det(g)) * jnp.linalg.inv(g)

        divergence = jnp.einsum("iji->j", jax.jacfwd(flux)(origin)) / jnp.sqrt(jnp.linalg.det(metric(origin)))
        drift = _local_coefficients(attention, density, x, x).drift - 0.5 * divergence
        return manifold.tangent_frame(x) @ drift

    return jax.vmap(one)(queries)


@functools.partial(jax.jit, static_argnames=("f", "manifold"))
def applied(
    f: Callable, manifold: Fixed, inverse_metrics: jax.Array, drifts: jax.Array, minimizers: jax.Array
) -> jax.Array:
    """Return L f = 1/2 tr(G^-1 Hess f) + b . grad f in chart_at(y*), row by row."""

    def one(inverse_metric: jax.Array, drift: jax.Array, y: jax.Array) -> jax.Array:
        chart = manifold.content.chart_at(y)
        origin = jnp.zeros(manifold.content.dim, y.dtype)

        def local(u: jax.Array) -> jax.Array:
            return jnp.asarray(f(chart(u)), y.dtype)

        second = jnp.sum(jax.jacfwd(jax.jacfwd(local))(origin) * inverse_metric, axis=(-2, -1))
        return 0.5 * second + jax.jacfwd(local)(origin) @ drift

    return jax.vmap(one)(inverse_metrics, drifts, minimizers)
