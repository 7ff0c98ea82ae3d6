"""Velocities of tokens: one layer of attention over themselves, compiled in one piece where JAX can trace it."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow.attention import Attending, Attention
from attnflow.errors import ConvergenceError
from attnflow.heads import MultiHead
from attnflow.manifolds.base import Manifold
from attnflow.measures import DiscreteMeasure
from attnflow.normalizations.started import Started
from attnflow.sums.kernel_sums.tiles import compile_tiles
from attnflow.sums.operators.base import RowOperator
from attnflow.sums.operators.kinds import HeadsOperator, operator_of
from attnflow.sums.planning.planner import PLANNED_PAIRS

Potentials = tuple[Any, ...]  # log key weights, of each head one number or (N,)


def is_traceable(attention: Attending) -> bool:
    """Return whether JAX traces all of an attention: no mask, no features, no threshold, no alternating potentials."""
    return all(
        head.mask is None
        and not head.pseudometric.is_kernel
        and head.rows != "threshold"
        and (head.pseudometric.is_symmetric or head.normalization.rows != "divided" or _is_free(head))
        for head in attention.heads
    )


def _is_free(head: Attention) -> bool:
    """Return whether key weights are no fixed point, so that an asymmetric cost can be traced."""
    return not hasattr(head.normalization, "max_sweeps")


def started(attention: Attending, potentials: Potentials) -> Any:
    """Return the attention whose potentials are sought from known ones."""
    heads = [
        head.replace(normalization=Started(head.normalization, start))
        for head, start in zip(attention.heads, potentials, strict=True)
    ]
    return MultiHead(heads, attention.output) if isinstance(attention, MultiHead) else heads[0]


def potentials_of(operator: RowOperator) -> Potentials:
    """Return the log key weights that an operator has found, head by head."""
    operators = operator.operators if isinstance(operator, HeadsOperator) else [operator]
    return tuple(getattr(each, "key_potential", 0.0) for each in operators)


def times_value(values: Any, value: Any) -> Any:
    """Return V y for rows y (Q, D), V a number or a matrix (D, D)."""
    return values * value if np.ndim(value) == 0 else values @ value.T


@functools.partial(compile_tiles, static_argnames=("manifold", "centred", "rtol"))
def traced_velocity(
    attention: Attending, points: Any, masses: Any, value: Any, at: Any, *,
    manifold: Manifold | None, centred: bool, rtol: float,
) -> tuple[jax.Array, Potentials]:  # fmt: skip
    """Return velocities at the tokens, or at other points (Q, D), and the potentials that were found."""
    if manifold is not None:
        points = jax.vmap(manifold.retract)(points)
    operator = operator_of(attention, DiscreteMeasure(points, masses), rtol=rtol)
    velocities = times_value(_output(operator, points, at, centred), value)
    where = points if at is None else at
    return _tangential(manifold, where, velocities), potentials_of(operator)


def planned_velocity(
    attention: Attending, measure: DiscreteMeasure, value: Any, at: np.ndarray | None, *,
    manifold: Manifold | None, centred: bool, rtol: float,
) -> tuple[np.ndarray, Potentials, RowOperator]:  # fmt: skip
    """Return the same by planned sums, and the operator that was planned."""
    operator = operator_of(attention, measure, rtol=rtol)
    velocities = times_value(_output(operator, measure.points, at, centred), value)
    where = measure.points if at is None else at
    if manifold is not None:
        velocities = np.asarray(tangential_parts(where, velocities, manifold=manifold))
    return velocities, potentials_of(operator), operator


def _output(operator: RowOperator, points: Any, at: Any, centred: bool) -> Any:
    averages = operator(points, at)
    return averages - (points if at is None else at) if centred else averages


def _tangential(manifold: Manifold | None, where: Any, velocities: Any) -> Any:
    return velocities if manifold is None else jax.vmap(manifold.tangential)(where, velocities)


@functools.partial(jax.jit, static_argnames="manifold")
def tangential_parts(points: Any, vectors: Any, *, manifold: Manifold) -> jax.Array:
    """Return P_x v at many points."""
    return _tangential(manifold, points, vectors)


@functools.partial(jax.jit, static_argnames="manifold")
def retracted(points: Any, *, manifold: Manifold) -> jax.Array:
    """Return the nearest points of the manifold to many."""
    return jax.vmap(manifold.retract)(jnp.asarray(points))


class TokenMotion:
    """Tokens that move by attention, as integrators see them.

    Args:
        attention: one attention or several heads.
        value: V, a number or (D, D).
        manifold: that they stay on; None in space.
        centred: whether the token itself is subtracted.
        rtol: of one layer.
        tokens: with their masses; what is known of them is what they weigh.
        weights: what trajectories say of masses.
    """

    def __init__(
        self, attention: Attending, *, value: Any, manifold: Manifold | None, centred: bool, rtol: float,
        tokens: DiscreteMeasure, weights: np.ndarray | None,
    ) -> None:  # fmt: skip
        self._attention = attention
        self._value = value
        self._size = float(np.abs(value)) if np.ndim(value) == 0 else float(np.linalg.norm(value, 2))
        self._how: dict[str, Any] = dict(manifold=manifold, centred=centred, rtol=rtol)
        self._manifold = manifold
        self._potentials: Potentials = tuple(np.zeros(len(tokens)) for _ in attention.heads)
        self.weights = weights
        self.masses = tokens.masses / tokens.mass
        self.error = 0.0
        self.method = "dense sums"
        self._traces = is_traceable(attention) and len(tokens) ** 2 < PLANNED_PAIRS

    def velocity(self, points: np.ndarray, masses: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
        """Return velocities at the tokens (N, D), or at other points (Q, D)."""
        if self._traces:
            attention = started(self._attention, self._potentials)
            found, potentials = traced_velocity(attention, points, masses, self._value, at, **self._how)
            if not all(np.isfinite(each).all() for each in potentials):
                raise ConvergenceError(
                    "the key weights do not settle in the sweeps that are allowed. Pass a larger `bandwidth` or "
                    "`max_sweeps`."
                )
            self._potentials = tuple(np.broadcast_to(np.asarray(each), len(points)) for each in potentials)
            return np.asarray(found)
        points = self.retract(points)
        found, potentials, operator = planned_velocity(
            self._attention, DiscreteMeasure(points, masses), self._value, at, **self._how
        )
        self.method = f"{operator.method} sums"
        largest = float(np.linalg.norm(points, axis=1).max())
        self.error = max(self.error, operator.worst_error * largest * self._size)
        return found

    def retract(self, points: np.ndarray) -> np.ndarray:
        """Return the nearest points of the manifold (N, D)."""
        return points if self._manifold is None else np.asarray(retracted(points, manifold=self._manifold))
