"""What is wrong with a manifold, found before anything is computed on it."""

from __future__ import annotations

import functools

import jax
import numpy as np

from attnflow._checks import check_finite, check_integer, check_positive
from attnflow._lifting import evaluate
from attnflow._tracing import Fixed
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.base import MEMBERSHIP_TOLERANCE, REQUIRED, Manifold, rule_of

MAX_NODES = 20_000  # examined of a rule; a larger one, as in many dimensions, is taken on trust
VOLUME_TOLERANCE = 1e-8  # relative; rules of smooth closed manifolds reach 1e-15
DERIVATIVE_TOLERANCE = 1e-6  # of a projection; difference quotients with steps of 1e-5 of the extent err by 1e-10
SPEED_TOLERANCE = 1e-6  # difference quotients of 1e-6 of the length err by 1e-10
_SAMPLE = 32  # nodes at which maps are examined


def check_manifold(manifold: object) -> Manifold:
    """Return a manifold whose parts fit together.

    Raises:
        ConfigError: if it is no Manifold, or an attribute is missing or out of range.
        DataError: if its quadrature, its retraction, its frame or its arc length contradict the rest.
    """
    if not isinstance(manifold, Manifold):
        raise ConfigError(
            f"`manifold` must be a manifold such as af.Sphere(2), got {type(manifold).__name__}. Subclass af.Manifold."
        )
    if not manifold.is_examined:
        # Maps are written in float64; where JAX is not yet told to keep it, they cannot be examined.
        examine(Fixed(manifold), with_maps=jax.config.read("jax_enable_x64"))
    return manifold


@functools.lru_cache(maxsize=64)
def examine(fixed: Fixed, *, with_maps: bool) -> None:
    """Raise the errors of `check_manifold` where the parts of a manifold contradict each other."""
    manifold = fixed.content
    _check_attributes(manifold)
    _check_curve(manifold)
    if manifold.is_compact and manifold.quadrature_size(4) <= MAX_NODES:
        nodes = _check_quadrature(manifold)
        if with_maps:
            _check_maps(manifold, nodes[:: 1 + len(nodes) // _SAMPLE])


def _check_attributes(manifold: Manifold) -> None:
    missing = [f"`{name}`" for name in REQUIRED if not hasattr(manifold, name)]
    if missing:
        raise ConfigError(f"{manifold} does not say its {' and '.join(missing)}. Set it in the class or in `__init__`.")
    dim = check_integer(manifold.dim, "manifold.dim", minimum=1)
    check_integer(manifold.ambient_dim, "manifold.ambient_dim", minimum=dim)
    for name in ("is_compact", "has_boundary"):
        if not isinstance(getattr(manifold, name), bool):
            raise ConfigError(f"`manifold.{name}` must be True or False, got {getattr(manifold, name)!r}.")
    if manifold.is_compact:
        check_positive(manifold.volume, "manifold.volume")


def _check_quadrature(manifold: Manifold) -> np.ndarray:
    """Return the nodes of the first rule whose weights sum to the volume."""
    first, degree = manifold.quadrature_size(4), 4
    while True:
        nodes, weights = rule_of(manifold, degree)
        if len(nodes) != manifold.quadrature_size(degree):
            raise DataError(
                f"`quadrature_size({degree})` of {manifold} is {manifold.quadrature_size(degree)}, but the rule has "
                f"{len(nodes)} nodes. Return their number, or leave `quadrature_size` out."
            )
        total = float(weights.sum())
        is_exact = abs(total - manifold.volume) <= VOLUME_TOLERANCE * manifold.volume
        degree = 3 * degree // 2
        size = manifold.quadrature_size(degree)
        if is_exact and size > first:
            return nodes
        if size <= first:
            raise DataError(
                f"`quadrature` of {manifold} has {size} nodes at degree {degree} and {first} at degree 4. Let their "
                "number grow with the degree: errors are told by comparing two degrees."
            )
        if size > MAX_NODES:
            raise DataError(
                f"the weights of `quadrature` of {manifold} sum to {total:.10g} at {len(nodes)} nodes, its `volume` is "
                f"{manifold.volume:.10g}. Correct one of them: weights hold the volume element."
            )


def _check_maps(manifold: Manifold, nodes: np.ndarray) -> None:
    """Raise DataError unless `retract` maps onto M and leaves M alone, and `tangent_frame` spans its tangent space."""
    scale = max(1.0, float(np.abs(nodes).max()))
    retracted = evaluate(manifold.retract, nodes)
    if retracted.shape != nodes.shape:
        raise DataError(
            f"`retract` of {manifold} must return a point ({manifold.ambient_dim},), got shape {retracted.shape[1:]}."
        )
    _require_small(
        np.abs(retracted - nodes), MEMBERSHIP_TOLERANCE * scale, nodes,
        f"`retract` of {manifold} moves a node of its quadrature by {{:.3g}}",
        "Points of M must stay where they are, and nodes must be on M.",
    )  # fmt: skip
    _require_small(
        manifold.residual(nodes)[:, None], MEMBERSHIP_TOLERANCE * scale, nodes,
        f"`residual` of {manifold} says that a node of its quadrature is off M by {{:.3g}}",
        "Correct one of them.",
    )  # fmt: skip
    if manifold.along is not None:
        points = manifold.along(manifold.volume * (np.arange(_SAMPLE) + 0.5) / _SAMPLE)
        _require_small(
            manifold.residual(points)[:, None], MEMBERSHIP_TOLERANCE * scale, points,
            f"`along` of {manifold} is off M by {{:.3g}}",
            "Correct it or `retract`.",
        )  # fmt: skip
    extent = float(np.linalg.norm(nodes - nodes.mean(axis=0), axis=1).max())
    aside = nodes + 0.01 * extent * np.random.default_rng(0).uniform(-1, 1, nodes.shape)
    misses = manifold.residual(evaluate(manifold.retract, aside))
    if manifold.has_boundary:  # beyond which charts may go on, from a few of the nodes
        nearest = np.argsort(misses)[: len(misses) // 2]
        misses, aside = misses[nearest], aside[nearest]
    _require_small(
        misses[:, None], MEMBERSHIP_TOLERANCE * scale, aside,
        f"`retract` of {manifold} misses M by {{:.3g}}",
        "It must return a point of M for every point near M.",
    )  # fmt: skip
    _check_tangent_spaces(manifold, nodes, step=1e-5 * extent)


def _check_tangent_spaces(manifold: Manifold, nodes: np.ndarray, *, step: float) -> None:
    """Raise DataError unless the derivative of `retract` is a projection on the span of `tangent_frame`, of rank m."""
    steps = step * np.eye(manifold.ambient_dim)
    ahead, behind = (
        evaluate(manifold.retract, (nodes[:, None] + sign * steps).reshape(-1, manifold.ambient_dim))
        for sign in (1, -1)
    )
    derivatives = np.swapaxes((ahead - behind).reshape(len(nodes), *steps.shape), 1, 2) / (2 * step)
    ranks = np.trace(derivatives, axis1=1, axis2=2)  # a projection has its rank as trace
    if np.abs(ranks - manifold.dim).max() > DERIVATIVE_TOLERANCE:
        rank = float(ranks[np.argmax(np.abs(ranks - manifold.dim))])
        raise DataError(
            f"`dim` of {manifold} is {manifold.dim}, but its `retract` maps onto a set of dimension {rank:.3g}. "
            "Correct one of them."
        )
    if type(manifold).tangent_frame is Manifold.tangent_frame:  # which comes from the derivative
        return
    point = jax.ShapeDtypeStruct(nodes.shape[1:], nodes.dtype)
    shape, expected = jax.eval_shape(manifold.tangent_frame, point).shape, (manifold.ambient_dim, manifold.dim)
    if shape != expected:
        raise DataError(
            f"`tangent_frame` of {manifold} must have shape {expected}, got {shape}. Its columns are tangent vectors."
        )
    frames = evaluate(lambda x: manifold.tangent_frame(x).ravel(), nodes).reshape(-1, *expected)
    _require_small(
        np.abs(np.swapaxes(frames, 1, 2) @ frames - np.eye(manifold.dim)), DERIVATIVE_TOLERANCE, nodes,
        f"`tangent_frame` of {manifold} is not orthonormal: E'E differs from the identity by {{:.3g}}",
        "Normalise its columns, or leave `tangent_frame` out.",
    )  # fmt: skip
    _require_small(
        np.abs(derivatives @ frames - frames), DERIVATIVE_TOLERANCE, nodes,
        f"`tangent_frame` of {manifold} is not tangent: the derivative of `retract` changes it by {{:.3g}}",
        "Correct one of them, or leave `tangent_frame` out.",
    )  # fmt: skip


def _check_curve(manifold: Manifold) -> None:
    """Raise DataError unless `along` runs through a curve once, with speed one."""
    if manifold.along is None:
        return
    if manifold.dim != 1:
        raise ConfigError(f"`along` of {manifold} is for curves, its `dim` is {manifold.dim}. Leave `along` out.")
    length = manifold.volume
    middles, step = length * (np.arange(64) + 0.5) / 64, 1e-6 * length
    ahead, behind = (check_finite(manifold.along(middles + sign * step), "along") for sign in (1, -1))
    if ahead.shape != (64, manifold.ambient_dim):
        raise DataError(
            f"`along` of {manifold} must return points (64, {manifold.ambient_dim}) for 64 lengths, got {ahead.shape}."
        )
    speeds = np.linalg.norm(ahead - behind, axis=1) / (2 * step)
    if np.abs(speeds - 1).max() > SPEED_TOLERANCE:
        raise DataError(
            f"`along` of {manifold} must run with speed one, its speed is between {speeds.min():.6g} and "
            f"{speeds.max():.6g}. It takes arc lengths from 0 to the volume, not a parameter."
        )
    start, end = manifold.along(np.array([0.0, length]))
    if not manifold.has_boundary and np.linalg.norm(end - start) > SPEED_TOLERANCE * length:
        raise DataError(
            f"`along` of {manifold} ends {np.linalg.norm(end - start):.3g} from its start after {length:.10g}, its "
            "`volume`. Correct the volume, or set `has_boundary`."
        )


def _require_small(errors: np.ndarray, tolerance: float, points: np.ndarray, what: str, remedy: str) -> None:
    """Raise DataError, naming the worst point, if an error (N, ...) is above the tolerance."""
    largest = errors.reshape(len(errors), -1).max(axis=1)
    if not largest.max() <= tolerance:
        row = int(np.argmax(largest))
        raise DataError(f"{what.format(largest[row])}, at {np.round(points[row], 4).tolist()}. {remedy}")
