"""Minimisers of a cost that form closed curves: followed once around, then averaged over by the trapezoidal rule.

A curve is followed by steps along the direction in which the Hessian of S vanishes, each corrected by Newton's method
in the directions normal to it. A trigonometric polynomial through those points is corrected likewise: the curve is then
a smooth periodic function of its argument, of which the trapezoidal rule converges faster than any power.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.interpolate import CubicSpline

from attnflow._compiling import compile_roughly
from attnflow._lifting import map_blocks
from attnflow._tracing import Fixed
from attnflow.equations.expansions.coefficients import hessian
from attnflow.equations.expansions.smoothness import derivative_and_value
from attnflow.manifolds.base import Manifold
from attnflow.pseudometrics.base import PseudoMetric

_CORRECTIONS = 8  # steps of Newton's method from a point that is near
_MOST_POINTS = 4096  # of one curve
_SHORTER = 8  # times that a step may be halved
_TURN = 0.95  # the cosine between the directions of successive points, at least
_MODES = 1e-3  # of the size of a curve: smaller modes are left to the correction


class OnCurve(NamedTuple):
    """Points (n, D) of a curve of minimisers.

    Attributes:
        points: (n, D), in order.
        tangents: unit vectors (n, D) along the curve.
        curvatures: eigenvalues of the Hessian of S (n, m), upwards; the first is zero.
        heights: S (n,).
        lengths: of the curve at each point, weights (n,) of the trapezoidal rule.
    """

    points: Any
    tangents: Any
    curvatures: Any
    heights: Any
    lengths: Any = None


def _normal_plane(direction: jax.Array) -> jax.Array:
    """Return an orthonormal basis (m, m - 1) of the complement of a unit vector (m,): the image of e_2 ... e_m."""
    sign = jnp.where(direction[0] >= 0, 1.0, -1.0)
    v = direction.at[0].add(sign)
    return (jnp.eye(len(v)) - 2 * jnp.outer(v, v) / (v @ v))[:, 1:]


def _corrected(pseudometric: PseudoMetric, manifold: Manifold, x: jax.Array, y: jax.Array, along: jax.Array) -> OnCurve:
    """Return the minimum of S in the plane through y (D,) that is normal to a direction (D,)."""
    start = manifold.retract(y)
    chart, frame = manifold.chart_at(start), manifold.tangent_frame(start)
    direction = frame.T @ along
    plane = _normal_plane(direction / jnp.linalg.norm(direction))

    def in_plane(a: jax.Array) -> jax.Array:
        return _half_in(pseudometric, x, chart)(plane @ a)

    def newton(_: int, a: jax.Array) -> jax.Array:
        second, first = derivative_and_value(jax.grad(in_plane))(a)
        return a - jnp.linalg.solve(second, first)

    a = jax.lax.fori_loop(0, _CORRECTIONS, newton, jnp.zeros(plane.shape[1], y.dtype))
    found = _at(pseudometric, manifold, x, chart(plane @ a))
    return found._replace(tangents=jnp.where(found.tangents @ along < 0, -found.tangents, found.tangents))


def _at(pseudometric: PseudoMetric, manifold: Manifold, x: jax.Array, y: jax.Array) -> OnCurve:
    """Return what S is at a point y (D,) of a curve of minimisers."""
    cost = _half_in(pseudometric, x, manifold.chart_at(y))
    values, axes = jnp.linalg.eigh(hessian(cost, manifold.dim)(jnp.zeros(manifold.dim, y.dtype)))
    tangent = manifold.tangent_frame(y) @ axes[:, 0]
    return OnCurve(y, tangent, values, cost(jnp.zeros(manifold.dim, y.dtype)))


def _half_in(pseudometric: PseudoMetric, x: jax.Array, chart: Callable) -> Callable[[jax.Array], jax.Array]:
    return lambda u: jnp.asarray(0.5 * pseudometric(x, chart(u)), x.dtype)


@functools.partial(compile_roughly, static_argnames="manifold")
def _corrected_all(
    pseudometric: PseudoMetric, manifold: Fixed, queries: jax.Array, points: jax.Array, along: jax.Array
) -> OnCurve:
    return jax.vmap(functools.partial(_corrected, pseudometric, manifold.content))(queries, points, along)


@functools.partial(compile_roughly, static_argnames="manifold")
def _followed(
    pseudometric: PseudoMetric, manifold: Fixed, x: jax.Array, start: jax.Array, step: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return points (n, D) of a curve, how many of them there are, and the smallest cosine between their directions."""

    def goes_on(state: tuple) -> jax.Array:
        points, count, here, _ = state
        back = points[0] - here.points
        is_before = (back @ here.tangents > 0) & (jnp.linalg.norm(back) < 1.5 * step)  # next it would pass the start
        return (count < _MOST_POINTS) & ~((count > 2) & is_before)

    def go(state: tuple) -> tuple:
        points, count, here, turn = state
        ahead = here.points + step * here.tangents
        there = _corrected(pseudometric, manifold.content, x, ahead, here.tangents)
        turn = jnp.minimum(turn, there.tangents @ here.tangents)
        return points.at[count].set(there.points), count + 1, there, turn

    first = _at(pseudometric, manifold.content, x, start)
    points = jnp.zeros((_MOST_POINTS, len(start)), start.dtype).at[0].set(first.points)
    points, count, _, turn = jax.lax.while_loop(goes_on, go, (points, jnp.asarray(1), first, jnp.ones((), start.dtype)))
    return points, count, turn


def follow(
    pseudometric: PseudoMetric, manifold: Manifold, *, query: np.ndarray, start: np.ndarray, step: float
) -> np.ndarray | None:
    """Return points (n, D) around a closed curve of minimisers of S(x, .), or None if it does not close.

    Args:
        pseudometric: D.
        manifold: M.
        query: x, (D,).
        start: a minimiser, (D,).
        step: about how far the points are apart, at most; where the curve turns quickly they are nearer.
    """
    for _ in range(_SHORTER):
        with jax.core.eval_context(), jax.disable_jit(False):
            points, count, turn = _followed(pseudometric, Fixed(manifold), query, start, step)
        if not turn >= _TURN:
            step /= 2
        elif count < _MOST_POINTS:
            return np.asarray(points[:count])
        else:
            return None
    return None


def refined(
    pseudometric: PseudoMetric, manifold: Manifold, *, query: np.ndarray, points: np.ndarray
) -> Iterator[OnCurve]:
    """Yield finer and finer rules on the closed curve through points (n, D)."""
    modes = _modes_of(points)
    compiled = functools.partial(_corrected_all, pseudometric, Fixed(manifold))
    nodes = 16
    while nodes < 2 * len(modes):
        nodes *= 2
    while nodes <= _MOST_POINTS:
        near = np.fft.irfft(modes, nodes, axis=0, norm="forward")
        speed = np.fft.irfft(_derived(modes), nodes, axis=0, norm="forward")
        found: OnCurve = map_blocks(compiled, np.broadcast_to(query, near.shape), near, speed)
        along = np.fft.irfft(_derived(np.fft.rfft(found.points, axis=0, norm="forward")), nodes, axis=0, norm="forward")
        yield found._replace(lengths=2 * np.pi / nodes * np.linalg.norm(along, axis=1))
        nodes *= 2


def _modes_of(points: np.ndarray) -> np.ndarray:
    """Return the larger Fourier coefficients (k, D) of a closed curve through points (n, D), by its chords."""
    closed = np.concatenate([points, points[:1]])
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    count = 2 * len(points)
    evenly = CubicSpline(lengths, closed, bc_type="periodic")(lengths[-1] * np.arange(count) / count)
    modes = np.fft.rfft(evenly, axis=0, norm="forward")
    sizes = np.linalg.norm(modes, axis=1)
    kept = int(np.flatnonzero(sizes > _MODES * sizes[1:].max())[-1]) + 1
    return modes[: max(kept, 2)]


def _derived(modes: np.ndarray) -> np.ndarray:
    """Return the coefficients of the derivative, by the argument in [0, 2 pi)."""
    return 1j * np.arange(len(modes))[:, None] * modes


def are_on(points: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """Return whether points (k, D) lie on the closed curve through others (n, D), in order.

    Chords that turn by 0.3 rad are a twenty-fifth of their length off the curve.
    """
    chords = np.roll(curve, -1, axis=0) - curve
    squares = np.sum(chords**2, axis=1)
    offsets = points[:, None] - curve[None]
    places = np.clip(np.einsum("knd,nd->kn", offsets, chords) / squares, 0, 1)
    distances = np.linalg.norm(offsets - places[..., None] * chords[None], axis=2)
    return (distances <= 0.2 * np.sqrt(squares)).any(axis=1)
