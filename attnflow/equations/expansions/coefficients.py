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

from attnflow._compiling import compile_promptly, compile_roughly
from attnflow._programs import at_point
from attnflow._tracing import Fixed
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.expansions.key_density import log_key_weight
from attnflow.equations.expansions.matrices import inverse, log_volume
from attnflow.equations.expansions.smoothness import Faults, derivative_and_value, faults_of, faults_of_smooth
from attnflow.pseudometrics.base import PseudoMetric, is_trusted

_FEW_DIMENSIONS = 8
MANY_ROWS = 2**14  # so many take 1 s longer on T^3 by `raw_coefficients`, which is compiled 1 to 2 s sooner


class ChartCoefficients(NamedTuple):
    """L f = 1/2 tr(inverse_metric Hess f) + drift . grad f, in the coordinates of a chart.

    They come from the second and third derivatives G (m, m) and T (m, m, m) of half the cost.
    """

    inverse_metric: jax.Array
    drift: jax.Array
    second: jax.Array
    third: jax.Array


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
    """Per query what is wrong with the minimiser, G^-1 and b in the frame, and both as tensors of R^D."""

    faults: Faults
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
    third, second = derivative_and_value(hessian(cost, minimizer.size))(minimizer)
    inverted = inverse(second)
    drift = inverted @ jax.jacfwd(log_density)(minimizer) - 0.5 * inverted @ jnp.einsum("ij,ijk->k", inverted, third)
    return ChartCoefficients(inverted, drift, second, third)


def hessian(function: Callable, dim: int) -> Callable:
    """Return the map to the second derivatives; in few dimensions forwards, which compiles in two thirds of the time.

    Third derivatives then take the memory of dim^3 values of the chart instead of dim^2.
    """
    return jax.jacfwd(jax.jacfwd(function)) if dim <= _FEW_DIMENSIONS else jax.hessian(function)


def log_volume_element(chart: Callable[[jax.Array], jax.Array], u: jax.Array) -> jax.Array:
    """Return log sqrt(det g) of an embedding chart, g = J'J."""
    jacobian = jax.jacfwd(chart)(u)
    return log_volume(jacobian.T @ jacobian)


def _local_cost(attention: Attention, density: Density, x: jax.Array, y: jax.Array) -> Callable:
    """Return half the cost of the query x in chart_at(y), u (m,) -> S."""
    chart = density.manifold.chart_at(y)
    return lambda u: 0.5 * attention.pseudometric(x, chart(u))


def _local_coefficients(attention: Attention, density: Density, x: jax.Array, y: jax.Array) -> ChartCoefficients:
    """Return the generator in chart_at(y), y the minimiser of the cost of the query x."""
    chart = density.manifold.chart_at(y)

    def log_density(u: jax.Array) -> jax.Array:
        key = chart(u)
        log_weight = log_key_weight(attention, density, key)
        log_p = at_point(density.log_density, key, scalar=True)
        return log_p + log_volume_element(chart, u) + log_weight

    return chart_coefficients(
        cost=_local_cost(attention, density, x, y),
        log_density=log_density,
        minimizer=jnp.zeros(density.manifold.dim, y.dtype),
    )


def _raw_coefficients(
    attention: Attention, density: Density, extent: jax.Array, queries: jax.Array, minimizers: jax.Array
) -> RawCoefficients:
    """Return the generator at queries (Q, D) with minimisers (Q, D), each field with a first axis of length Q.

    Args:
        attention: the cost and the weights of keys.
        density: p.
        extent: how large M is, about.
        queries: x.
        minimizers: y*(x).
    """

    def one(x: jax.Array, y: jax.Array) -> RawCoefficients:
        local = _local_coefficients(attention, density, x, y)
        frame = density.manifold.tangent_frame(y)
        if is_trusted(attention.pseudometric):
            faults = faults_of_smooth(local.second)
        else:
            faults = faults_of(_local_cost(attention, density, x, y), local.second, local.third, extent=extent)
        diffusion, drift = local.inverse_metric, local.drift
        return RawCoefficients(faults, diffusion, drift, frame @ diffusion @ frame.T, frame @ drift)

    return jax.vmap(one)(queries, minimizers)


raw_coefficients, raw_coefficients_of_many = compile_roughly(_raw_coefficients), compile_promptly(_raw_coefficients)


def induced_metric(pseudometric: PseudoMetric, chart: Callable[[jax.Array], jax.Array], u: jax.Array) -> jax.Array:
    """Return G (m, m) at u (m,) in a chart: half the second derivatives in y of D(x, y) at y = x = chart(u)."""
    x = chart(u)
    return hessian(lambda v: 0.5 * pseudometric(x, chart(v)), u.size)(u)


def laplacian_drift(metric: Callable[[jax.Array], jax.Array], u: jax.Array) -> jax.Array:
    """Return the drift of 1/2 Lap_G in a chart, div(sqrt(det G) G^-1) / (2 sqrt(det G)), (m,).

    That is 1/2 G^{ij} (1/2 G^{kl} d_i G_kl) - 1/2 G^{ik} d_i G_kl G^{lj}: no determinant is differentiated.
    """
    slopes, g = derivative_and_value(metric)(u)
    return laplacian_drift_of(slopes, inverse(g))


def laplacian_drift_of(slopes: jax.Array, inverted: jax.Array) -> jax.Array:
    """Return the same from d_i G_kl, (k, l, i), and G^-1."""
    volume = 0.5 * jnp.einsum("kl,kli->i", inverted, slopes)
    return 0.5 * (inverted @ volume - jnp.einsum("ik,kli->l", inverted, slopes) @ inverted)


@compile_promptly
def drifts(attention: Attention, density: Density, queries: jax.Array) -> jax.Array:
    """Return Z = b - 1/2 div_G G^-1 in R^D, for costs whose minimiser is the query: b without the part of 1/2 Lap_G."""
    manifold = density.manifold

    def one(x: jax.Array) -> jax.Array:
        chart = manifold.chart_at(x)
        origin = jnp.zeros(manifold.dim, x.dtype)

        def metric(u: jax.Array) -> jax.Array:
            return induced_metric(attention.pseudometric, chart, u)

        drift = _local_coefficients(attention, density, x, x).drift - laplacian_drift(metric, origin)
        return manifold.tangent_frame(x) @ drift

    return jax.vmap(one)(queries)


@functools.partial(compile_roughly, static_argnames=("f", "manifold"))  # once for each f
def applied(
    f: Callable, manifold: Fixed, inverse_metrics: jax.Array, drifts: jax.Array, minimizers: jax.Array
) -> jax.Array:
    """Return L f = 1/2 tr(G^-1 Hess f) + b . grad f in chart_at(y*), row by row."""

    def one(inverse_metric: jax.Array, drift: jax.Array, y: jax.Array) -> jax.Array:
        chart = manifold.content.chart_at(y)
        origin = jnp.zeros(manifold.content.dim, y.dtype)

        def local(u: jax.Array) -> jax.Array:
            return at_point(f, chart(u))

        second, first = derivative_and_value(jax.jacfwd(local))(origin)
        return 0.5 * jnp.einsum("...ij,ij->...", second, inverse_metric) + first @ drift

    return jax.vmap(one)(inverse_metrics, drifts, minimizers)
