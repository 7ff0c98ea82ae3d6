"""Geodesics of the induced metric G: the curves along which attention diffuses first.

In a chart around a point, G_ij(u) = 1/2 d_i d_j D(chart(u), chart(v)) at v = u, derivatives in v, and a geodesic obeys

    u''^k = -Gamma^k_ij u'^i u'^j,    Gamma^k_ij = 1/2 G^kl (d_i G_jl + d_j G_il - d_l G_ij),

stepped by the method of Runge and Kutta of order four; after every step there is a new chart.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_finite
from attnflow._lifting import evaluate
from attnflow._tracing import Fixed
from attnflow.equations.expansions.coefficients import induced_metric
from attnflow.equations.expansions.matrices import inverse
from attnflow.equations.expansions.smoothness import derivative_and_value
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.manifolds.base import Manifold
from attnflow.pseudometrics.base import PseudoMetric

TANGENT = 1e-6  # of a direction: so much of it may be normal
FEWEST_STEPS, MOST_STEPS = 8, 4096  # from one length to the next
_STAGES = ((0.0, 1 / 6), (0.5, 1 / 3), (0.5, 1 / 3), (1.0, 1 / 6))  # how far with the last rate, and its weight


def check_rays(
    x: object, directions: object, lengths: object, *, manifold: Manifold
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts (K, D), tangent directions (K, D) and lengths (S,) of geodesics.

    Raises:
        ConfigError: if a length is negative.
        DataError: if a start is not on the manifold, a direction not tangent or zero, or the shapes do not fit.
    """
    ways = np.atleast_2d(check_finite(directions, "directions"))
    starts = np.atleast_2d(check_finite(x, "x"))
    if len(starts) == 1:
        starts = np.repeat(starts, len(ways), axis=0)
    starts = manifold.check(starts, "x")
    if ways.shape != starts.shape:
        raise DataError(f"`directions` must have shape {starts.shape}, one for each start, got {ways.shape}.")
    frames = evaluate(lambda point: manifold.tangent_frame(point).ravel(), starts)
    frames = frames.reshape(len(starts), manifold.ambient_dim, manifold.dim)
    lost = np.linalg.norm(ways - np.einsum("kdi,kei,ke->kd", frames, frames, ways), axis=1)
    size = np.linalg.norm(ways, axis=1)
    if not (size > 0).all() or (lost > TANGENT * size).any():
        row = int(np.argmax(np.where(size > 0, lost / np.maximum(size, np.finfo(float).tiny), np.inf)))
        raise DataError(
            f"`directions` must be tangent to {manifold} and not zero: row {row} has length {size[row]:.3g}, of which "
            f"{lost[row]:.3g} is normal. Project it on the tangent space."
        )
    reach = np.atleast_1d(check_finite(lengths, "lengths"))
    if reach.ndim != 1 or (reach < 0).any():
        raise ConfigError(f"`lengths` must be numbers (S,) that are not negative, got {reach.tolist()}.")
    return starts, ways, reach


def shoot(
    pseudometric: PseudoMetric, manifold: Manifold, *, starts: np.ndarray, directions: np.ndarray, lengths: np.ndarray,
    rtol: float,
) -> np.ndarray:  # fmt: skip
    """Return points (K, S, D) at these lengths in G of geodesics from starts (K, D) along tangent directions (K, D).

    The number of steps is doubled until the points move by no more than `rtol` times the longest way.

    Raises:
        ConvergenceError: if the largest number of steps is not enough.
    """
    order = np.argsort(lengths, kind="stable")
    gaps = np.diff(lengths[order], prepend=0.0)
    found, steps, moved = None, FEWEST_STEPS, np.inf
    while steps <= MOST_STEPS:
        coarse, found = found, np.asarray(_shoot(pseudometric, Fixed(manifold), starts, directions, gaps, steps))
        if coarse is not None:
            moved = float(np.linalg.norm(found - coarse, axis=-1).max())
            ways = np.linalg.norm(np.diff(found, axis=1, prepend=starts[:, None]), axis=-1).sum(axis=1)
            if moved <= rtol * ways.max():
                return found[:, np.argsort(order)]
        steps *= 2
    raise ConvergenceError(
        f"the geodesics are not resolved by {MOST_STEPS} steps from length to length: they move by {moved:.3g}. Use "
        "shorter ones, or a larger `rtol`."
    )


@functools.partial(jax.jit, static_argnames="manifold")
def _shoot(
    pseudometric: PseudoMetric, manifold: Fixed, starts: jax.Array, directions: jax.Array, gaps: jax.Array, steps: int
) -> jax.Array:
    space: Manifold = manifold.content

    def metric_of(chart: Callable[[jax.Array], jax.Array]) -> Callable[[jax.Array], jax.Array]:
        return functools.partial(induced_metric, pseudometric, chart)

    def bend(metric: Callable[[jax.Array], jax.Array], u: jax.Array, speed: jax.Array) -> jax.Array:
        """Return u'' at u with the speed u'."""
        slopes, g = derivative_and_value(metric)(u)  # d_l G_ij at [i, j, l]
        along = jnp.einsum("lij,i,j->l", slopes, speed, speed) - 0.5 * jnp.einsum("ijl,i,j->l", slopes, speed, speed)
        return -inverse(g) @ along

    def step(x: jax.Array, velocity: jax.Array, length: jax.Array) -> tuple[jax.Array, jax.Array]:
        chart = space.chart_at(x)
        metric = metric_of(chart)
        begun = jnp.stack([jnp.zeros(space.dim, x.dtype), space.tangent_frame(x).T @ velocity])

        def stage(last: tuple[jax.Array, jax.Array], part: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
            rate, total = last
            u, speed = begun + part[0] * length * rate
            rate = jnp.stack([speed, bend(metric, u, speed)])
            return (rate, total + part[1] * rate), None

        nothing = jnp.zeros_like(begun)
        (_, total), _ = jax.lax.scan(stage, (nothing, nothing), jnp.asarray(_STAGES, x.dtype))
        u, speed = begun + length * total
        return jax.jvp(chart, (u,), (speed,))

    def ray(x: jax.Array, direction: jax.Array) -> jax.Array:
        frame = space.tangent_frame(x)
        v = frame.T @ direction
        unit = v / jnp.sqrt(v @ metric_of(space.chart_at(x))(jnp.zeros(space.dim, x.dtype)) @ v)

        def leg(state: tuple[jax.Array, jax.Array], gap: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            state = jax.lax.fori_loop(0, steps, lambda _, at: step(at[0], at[1], gap / steps), state)
            return state, state[0]

        return jax.lax.scan(leg, (x, frame @ unit), gaps)[1]

    return jax.vmap(ray)(starts, directions)
