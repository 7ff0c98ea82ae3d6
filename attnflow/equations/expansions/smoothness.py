"""Whether a cost has, at its minimiser, the derivatives that the expansion is made of.

Automatic differentiation answers at a kink as well: with the derivatives of one side, or with zero. So its second and
third derivatives are compared with differences of the slope along a few lines through the minimiser, on both sides and
at falling steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow.equations.expansions.refusals import Refusal, refuse

_STEPS = 0.1 * 10.0 ** -(np.arange(11) / 2)  # of the extent of M, from 0.1 to 1e-6
_AGREE = 1e-3  # of a derivative; differences of a smooth cost agree at steps under a thirtieth of its scale
_JUMP = 0.1  # of what the cost rises by in a step: a smooth one errs by the step over its scale
_DEGENERATE = 1e-8  # of the curvature at a distance: at a quartic minimum it is the square of the error of a search
_SINGULAR = 1e-14  # of the largest curvature: rounding of a Hessian
_SETTLED = 1e-6  # of the extent of M: minimisers are found to 1e-8 of it


def derivative_and_value(function: Callable) -> Callable:
    """Return the map to the derivative of a function and its value: what is alike in both is compiled once."""
    return jax.jacfwd(lambda u: 2 * (function(u),), has_aux=True)


class Faults(NamedTuple):
    """What a minimiser is looked at for, per query: four answers, and two numbers to tell them by."""

    finite: Any  # whether all derivatives are numbers
    settled: Any  # whether the gradient vanishes
    definite: Any  # whether G is positive definite, relative to the cost at a distance
    smooth: Any  # whether differences on both sides confirm G and T
    smallest: Any  # the smallest eigenvalue of G
    offset: Any  # how far Newton's method would still move


def faults_of_smooth(second: jax.Array) -> Faults:
    """Return what is wrong with the minimiser of a cost that is known to be smooth and to have no other critical point.

    Args:
        second: G, shape (m, m).
    """
    curvatures = jnp.linalg.eigvalsh(second)
    definite = (curvatures > jnp.maximum(_SINGULAR * jnp.abs(curvatures).max(), 0.0)).all()
    return Faults(jnp.isfinite(second).all(), True, definite, True, curvatures[0], 0.0)


def faults_of(
    cost: Callable[[jax.Array], jax.Array], second: jax.Array, third: jax.Array, *, extent: jax.Array
) -> Faults:
    """Return what is wrong with the minimiser u = 0 of a cost in a chart.

    Args:
        cost: u (m,) -> S.
        second: G, shape (m, m), its second derivatives at 0 by automatic differentiation.
        third: T, shape (m, m, m), its third ones.
        extent: how large M is, about.
    """
    curvatures, axes = jnp.linalg.eigh(second)
    lines = jnp.concatenate([axes.T, jnp.asarray(_generic_lines(len(second)), second.dtype)])
    steps = extent * jnp.asarray(_STEPS, second.dtype)

    def along(line: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return S and its slope at -t, 0 and t for all steps t, shape (3, steps)."""
        lengths = jnp.stack([-steps, 0 * steps, steps])
        one = jnp.ones((), second.dtype)
        return jax.vmap(jax.vmap(lambda t: jax.jvp(lambda s: cost(s * line), (t,), (one,))))(lengths)

    values, slopes = jax.vmap(along)(lines)
    expected = jnp.einsum("li,lj,ij->l", lines, lines, second)[:, None]
    bend = jnp.einsum("li,lj,lk,ijk->l", lines, lines, lines, third)[:, None]
    h = steps[None]
    differences = (slopes[:, 2] - slopes[:, 0]) / (2 * h)
    bends = (slopes[:, 2] + slopes[:, 0] - 2 * slopes[:, 1]) / h**2
    agrees = jnp.abs(differences - expected) <= _AGREE * expected
    agrees &= jnp.abs(bends - bend) <= _AGREE * jnp.maximum(jnp.abs(bend), expected / extent)
    rounding = 1e-15 * jnp.abs(values).max(axis=1)
    for side, sign in ((0, -1), (2, 1)):
        rise, by_slopes = values[:, side] - values[:, 1], sign * h * (slopes[:, side] + slopes[:, 1]) / 2
        agrees &= jnp.abs(rise - by_slopes) <= _JUMP * expected * h**2 + rounding
    agrees = agrees.all(axis=0)
    gradient = slopes[: len(second), 1, 0]  # along the axes of G
    offset = jnp.sqrt(jnp.sum((gradient / curvatures) ** 2))
    at_distance = jnp.nan_to_num(differences[: len(second)], nan=0.0).max(axis=1)
    floor = jnp.maximum(_DEGENERATE * at_distance, _SINGULAR * jnp.abs(curvatures).max())
    # Where slopes differ at the smallest steps far more than G says, it is a kink that makes G what it is.
    kinked = (jnp.abs(differences[:, -1]) > 100 * jnp.abs(second).max()).any()
    numbers = jnp.isfinite(second).all() & jnp.isfinite(third).all() & jnp.isfinite(gradient).all()
    return Faults(
        finite=numbers & jnp.isfinite(values[:, 1]).all(),
        settled=offset <= _SETTLED * extent,
        definite=kinked | ((curvatures > 0) & (curvatures > floor)).all(),
        smooth=(agrees[1:] & agrees[:-1]).any(),
        smallest=curvatures[0],
        offset=offset,
    )


def _generic_lines(dim: int) -> np.ndarray:
    """Return unit vectors (n, m) along no axis: kinks may lie between the axes."""
    lines = np.random.default_rng(0).standard_normal((dim if dim > 1 else 0, dim))
    return lines / np.linalg.norm(lines, axis=1, keepdims=True)


_REASONS = {
    "finite": "{cost} or a derivative of it is not finite at its minimiser for the query {query}: it is not smooth "
    "there. Write it smooth at x = y as well, without sqrt, arccos or abs, such as a power series of |x - y|^2.",
    "definite": "{cost} has no non-degenerate minimiser for the query {query}: the smallest eigenvalue of its "
    "Hessian is {smallest:.3g}. The expansion needs a unique minimiser with a positive definite Hessian.",
    "settled": "{cost} has no minimiser with a vanishing gradient for the query {query}: Newton's method would "
    "move by {offset:.3g} from the lowest point found. It is not smooth there. The expansion needs a smooth cost.",
    "smooth": "{cost} is not smooth at its minimiser for the query {query}: differences on both sides of it do not "
    "confirm its derivatives (smallest eigenvalue of its Hessian: {smallest:.3g}). Write it without a kink, a jump "
    "or a case that begins there.",
}


def refusals_of_smoothness(faults: Faults, cost: str, queries: np.ndarray) -> list[Refusal]:
    """Return what is wrong with the derivatives of a cost at minimisers.

    Args:
        faults: what was found at all queries, arrays (Q,).
        cost: what the cost is called.
        queries: x, shape (Q, D).
    """

    def refusal(field: str) -> Refusal:
        def words(row: int) -> str:
            query = np.round(queries[row], 4).tolist()
            numbers = {"smallest": faults.smallest[row], "offset": faults.offset[row]}
            return _REASONS[field].format(cost=cost, query=query, **numbers)

        kind = "degenerate" if field == "definite" else "not smooth"
        return Refusal(kind, ~np.asarray(getattr(faults, field)), words)

    return [refusal(field) for field in _REASONS]


def require_smooth_minimum(faults: Faults, cost: str, queries: np.ndarray) -> None:
    """Raise ConfigError, with the reason, where a minimiser of a cost has not the derivatives of an expansion."""
    refuse(refusals_of_smoothness(faults, cost, queries))
