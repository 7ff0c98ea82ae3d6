"""Velocities of tokens: one layer of attention over themselves, compiled in one piece where JAX can trace it."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow.attention import Attending, Attention
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.heads import MultiHead
from attnflow.manifolds.base import Manifold
from attnflow.measures import DiscreteMeasure
from attnflow.normalizations.started import Started, asked_of_keys
from attnflow.pseudometrics.placed import Placed
from attnflow.sums.kernel_sums.rounding import coordinate_rounding, product_sizes
from attnflow.sums.kernel_sums.tiles import compile_tiles
from attnflow.sums.operators.base import RowOperator
from attnflow.sums.operators.kinds import HeadsOperator, operator_of
from attnflow.sums.planning.planner import PLANNED_PAIRS

Potentials = tuple[Any, ...]  # log key weights of each head, one number or (N,)

# So many tokens are made of fewer by copies without mass, for one program to serve them: tiles have 64 and 256 rows.
FILLED_UP = (64, 256)
WEIGHTY = 40.0  # a logit that is smaller by more has no weight
FARTHER = 1.25  # what rounding takes is found again where tokens are farther out than so many times what was known


def output(operator: RowOperator, points: Any, value: Any, at: Any, *, centred: bool) -> Any:
    """Return V (A id - x) or V A id, rows (Q, D), V a number () or a matrix (D, D)."""
    averages = operator(points, at)
    if centred:
        averages = averages - (points if at is None else at)
    return averages * value if np.ndim(value) == 0 else averages @ value.T


@functools.partial(compile_tiles, static_argnames=("manifold", "centred", "rtol"))
def traced_velocity(
    attention: Attending, points: Any, masses: Any, value: Any, at: Any, tangential: Any, places: Any, *,
    manifold: Manifold | None, centred: bool, rtol: float,
) -> tuple[jax.Array, Potentials]:  # fmt: skip
    """Return velocities at the tokens, or at other points (Q, D), and the potentials that were found.

    Under a mask the cost is one of points with `places` (N, 3), see `Placed`; else these are None.
    """
    points = points if manifold is None else jax.vmap(manifold.retract)(points)
    keys: Any = points if places is None else jnp.concatenate([points, places], axis=1)
    operator = operator_of(attention, DiscreteMeasure(keys, masses), rtol=rtol)
    found = output(operator, points, value, at, centred=centred)
    if manifold is not None:
        parts = jax.vmap(manifold.tangential)(points if at is None else at, found)
        found = jnp.where(tangential, parts, found)
    return found, potentials_of(operator)


@functools.partial(jax.jit, static_argnames="manifold")
def tangential_parts(points: Any, vectors: Any, *, manifold: Manifold) -> jax.Array:
    """Return P_x v at many points (Q, D)."""
    return jax.vmap(manifold.tangential)(points, vectors)


@functools.partial(jax.jit, static_argnames="manifold")
def retracted(points: Any, *, manifold: Manifold) -> jax.Array:
    """Return the points of the manifold nearest to many (N, D)."""
    return jax.vmap(manifold.retract)(jnp.asarray(points))


def potentials_of(operator: RowOperator) -> Potentials:
    """Return the log key weights that an operator has found, head by head."""
    operators = operator.operators if isinstance(operator, HeadsOperator) else [operator]
    return tuple(getattr(each, "key_potential", 0.0) for each in operators)


def filled_up(array: np.ndarray, count: int) -> np.ndarray:
    """Return rows (count, ...): those that are given, and copies of the last."""
    return array[np.minimum(np.arange(count), len(array) - 1)]


def placed(attention: Attending, count: int, *, rows: int) -> tuple[Any, np.ndarray | None]:
    """Return the attention of points that carry places, and these, (rows, 3); None where a mask is no one range.

    All heads then have one mask, by the positions of the tokens.
    """
    mask = attention.mask
    ranges = mask.ranges(count) if mask is not None and mask.is_by_position else None
    if ranges is None or any(head.mask != mask or head.pseudometric.is_kernel for head in attention.heads):
        return attention, None
    heads = [head.replace(pseudometric=Placed(head.pseudometric), mask=None) for head in attention.heads]
    places = np.column_stack([ranges.first, ranges.last, np.arange(count)]).astype(np.float64)
    seen = MultiHead(heads, attention.output) if isinstance(attention, MultiHead) else heads[0]
    return seen, filled_up(places, rows)


def largest_norm(points: np.ndarray) -> float:
    """Return max |x_i|."""
    return float(np.sqrt((points**2).sum(axis=1).max()))


@np.errstate(over="ignore")
def rounding_of(attention: Attention, points: np.ndarray, *, rtol: float) -> float:
    """Return what rounding takes from averages over all pairs, relative to the largest value; rtol if unknown.

    A logit of size z is off by (D + 4) z u, rows that are not divided are magnified by e^z at most, u = 2e-16.
    """
    logits = float(product_sizes(attention, points, points).max())
    if attention.is_gaussian:
        places = dict(center=points.mean(axis=0), logits=np.full(len(points), WEIGHTY), bandwidth=attention.bandwidth)
        felt, largest = float(coordinate_rounding(points, points, **places).max()), 1.0
    elif np.isfinite(logits) and attention.profile.is_exponential:
        felt, largest = logits, math.exp(min(logits, 700.0)) if attention.rows == "undivided" else 1.0
    else:
        return rtol
    return largest * (points.shape[1] + 4) * (1 + felt) * float(np.finfo(np.float64).eps)


class TokenMotion:
    """Tokens that move by attention, as integrators see them.

    Args:
        attention: one attention or several heads.
        value: V, a number () or a matrix (D, D).
        manifold: that they stay on; None in space.
        centred: whether the token itself is subtracted.
        rtol: of one layer.
        tokens: with their masses.
        weights: what trajectories say of masses.

    Attributes:
        error: a bound on the error of all velocities so far.
        method: how the last one was summed.
    """

    def __init__(
        self, attention: Attending, *, value: Any, manifold: Manifold | None, centred: bool, rtol: float,
        tokens: DiscreteMeasure, weights: np.ndarray | None,
    ) -> None:  # fmt: skip
        self._attention = attention
        self._value = value
        self._size = float(np.abs(value)) if np.ndim(value) == 0 else float(np.linalg.norm(value, 2))
        self._centred = centred
        self._rtol = rtol
        self.manifold = manifold
        self.weights = weights
        self.masses = tokens.masses / tokens.mass
        self.error, self.method = 0.0, "dense sums"
        self._counted = 0.0
        count = len(tokens)
        self._rows = next((size for size in FILLED_UP if count <= size), count)
        asked = [asked_of_keys(head.normalization) for head in attention.heads]
        self._sought = ["fixed point" in each for each in asked]
        self._seen, self._places = attention, None
        if attention.mask is not None and not any(asked):
            self._seen, self._places = placed(attention, count, rows=self._rows)
        self._traces = count**2 < PLANNED_PAIRS and (attention.mask is None or self._places is not None)
        self._potentials: Potentials = tuple(np.zeros(count) for _ in attention.heads)

    @property
    def is_reordered(self) -> bool:
        """Whether nothing depends on the order of the tokens: then some that are together are one of their mass."""
        return self._attention.mask is None

    def velocity(
        self, points: np.ndarray, masses: np.ndarray, at: np.ndarray | None = None, *, tangential: bool = True
    ) -> np.ndarray:
        """Return velocities (N, D) at the points of the manifold nearest to these, or at other points (Q, D) of it.

        Args:
            points: where the tokens are.
            masses: of the tokens.
            at: other points of the manifold.
            tangential: whether what is normal to the manifold is left out.
        """
        if self._traces and (at is None or self._places is None):
            try:
                return self._traced(points, masses, at, tangential=tangential)
            except ConfigError:  # features, thresholds and alternating potentials are not traced by JAX
                self._traces = False
        return self._planned(self.retract(points), masses, at, tangential=tangential)

    def _traced(self, points: np.ndarray, masses: np.ndarray, at: np.ndarray | None, *, tangential: bool) -> np.ndarray:
        count, rows = len(points), self._rows
        masses = np.append(masses, np.zeros(rows - count))
        starts = tuple(filled_up(potential, rows) for potential in self._potentials)
        seen = self._started(starts) if any(self._sought) else self._seen
        found, potentials = traced_velocity(
            seen, filled_up(points, rows), masses, self._value, at, tangential, self._places,
            manifold=self.manifold, centred=self._centred, rtol=self._rtol,
        )  # fmt: skip
        if any(self._sought):
            if not all(np.isfinite(each).all() for each in potentials):
                raise ConvergenceError(
                    "the key weights do not settle in the sweeps that are allowed. Pass a larger `bandwidth` or "
                    "`max_sweeps`."
                )
            self._keep(tuple(np.broadcast_to(each, rows)[:count] for each in potentials))
        self._count_traced_error(points)
        return np.asarray(found)[:count] if at is None else np.asarray(found)

    def _planned(
        self, points: np.ndarray, masses: np.ndarray, at: np.ndarray | None, *, tangential: bool
    ) -> np.ndarray:
        attention = self._started(self._potentials)
        operator = operator_of(attention, DiscreteMeasure(points, masses), rtol=self._rtol)
        with warnings.catch_warnings():  # tokens that have all met are what a flow may come to
            warnings.filterwarnings("ignore", message="the kernel is constant")
            found = np.asarray(output(operator, points, self._value, at, centred=self._centred))
        self._keep(potentials_of(operator))
        self._count_error(operator.worst_error, points)
        self.method = f"{operator.method} sums"
        if self.manifold is None or not tangential:
            return found
        return np.asarray(tangential_parts(points if at is None else at, found, manifold=self.manifold))

    def _started(self, potentials: Potentials) -> Any:
        """Return the attention whose potentials are sought from known ones."""
        if not any(self._sought):
            return self._attention
        heads = [
            head.replace(normalization=Started(head.normalization, start)) if sought else head
            for head, start, sought in zip(self._attention.heads, potentials, self._sought, strict=True)
        ]
        return MultiHead(heads, self._attention.output) if isinstance(self._attention, MultiHead) else heads[0]

    def _keep(self, potentials: Potentials) -> None:
        kept = zip(potentials, self._potentials, self._sought, strict=True)
        self._potentials = tuple(np.asarray(now) if sought else before for now, before, sought in kept)

    def _count_error(self, relative: float, points: np.ndarray) -> None:
        self.error = max(self.error, relative * largest_norm(points) * self._size)

    def _count_traced_error(self, points: np.ndarray) -> None:
        """Count what rounding takes, again where tokens have gone farther out."""
        if largest_norm(points) <= self._counted:
            return
        self._counted = FARTHER * largest_norm(points)
        farther = FARTHER * points
        errors: list[Any] = [
            self._rtol if sought else rounding_of(head, farther, rtol=self._rtol)
            for head, sought in zip(self._attention.heads, self._sought, strict=True)
        ]
        if isinstance(self._attention, MultiHead):
            errors = [np.linalg.norm(w, 2) * e for w, e in zip(self._attention.output, errors, strict=True)]
        self._count_error(float(sum(errors)), farther)

    def state(self) -> Mapping[str, np.ndarray]:
        """Return what later velocities, and their declared error, depend on besides the tokens."""
        return {
            "motion.error": np.array(self.error), "motion.counted": np.array(self._counted),
            "motion.traces": np.array(self._traces), "motion.method": np.array(self.method),
            **{f"motion.potential.{head}": np.asarray(each) for head, each in enumerate(self._potentials)},
        }  # fmt: skip

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from such a state."""
        self.error, self._counted = float(state["motion.error"]), float(state["motion.counted"])
        self._traces, self.method = bool(state["motion.traces"]), str(state["motion.method"])
        self._potentials = tuple(state[f"motion.potential.{head}"] for head in range(len(self._potentials)))

    def retract(self, points: np.ndarray) -> np.ndarray:
        """Return the points of the manifold nearest to these (N, D)."""
        if self.manifold is None:
            return points
        return np.asarray(retracted(filled_up(points, self._rows), manifold=self.manifold))[: len(points)]
