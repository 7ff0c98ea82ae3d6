"""What a map from a reference manifold is at many places, and what is wrong with it."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.spatial import cKDTree

from attnflow._lifting import evaluate, map_blocks
from attnflow._tracing import Fixed
from attnflow.errors import DataError

if TYPE_CHECKING:
    from attnflow.manifolds.embedded import EmbeddedManifold

_PLACES = 4096  # at least; on a circle they are .0015 apart, on S^2 and T^2 about .06 and .1
_SINGULAR = 1e-6  # of the largest volume element: no map that is less somewhere could be resolved
_SEEKERS, _ROUNDS = 16, 12  # places from which a search for an extremum begins, and rounds that shrink it to a third
_NEIGHBOURS = 4  # times the distance of places: those farther apart on R must not meet
_STEPS = 20  # of Gauss and Newton towards a crossing
_MEETS = 1e-9  # of the extent of M
_TRIED = 512  # pairs of places, the nearest by the map


class Survey(NamedTuple):
    """A map phi of R at many places.

    Attributes:
        places: on R, (N, D').
        points: phi there, (N, D).
        stretch: the largest |d phi| of a unit tangent vector.
        least: the smallest volume element.
        largest: the largest one.
    """

    places: np.ndarray
    points: np.ndarray
    stretch: float
    least: float
    largest: float


@functools.lru_cache(maxsize=64)
def survey(fixed: Fixed) -> Survey:
    """Return what a map is at some 4000 places.

    Raises:
        DataError: if it is no number somewhere, is not an immersion, or meets itself.
    """
    manifold: EmbeddedManifold = fixed.content
    places = manifold.reference.spread(_PLACES)
    points, derivatives = map_blocks(functools.partial(_mapped, fixed), places)
    finite = np.isfinite(points).all(axis=1) & np.isfinite(derivatives).all(axis=(1, 2))
    if not finite.all():
        raise DataError(
            f"the map of {manifold} or its derivative is NaN or Inf at {int((~finite).sum())} of {len(finite)} places, "
            f"the first at {manifold.describe(places[np.argmin(finite)])}. Write it smooth everywhere."
        )
    volumes = _volumes(derivatives)
    largest = _extreme(manifold, places, volumes, sign=1)[1]
    where, least = _extreme(manifold, places, volumes, sign=-1)
    if not least > _SINGULAR * largest:
        raise DataError(
            f"the map of {manifold} is not an immersion: its derivative has no full rank at "
            f"{manifold.describe(where)}, where the volume element is {least:.3g} and {largest:.3g} elsewhere. Use a "
            "map without cusps and edges."
        )
    stretch = float(np.linalg.norm(derivatives, ord=2, axis=(1, 2)).max())
    found = Survey(places, points, stretch, least, largest)
    if not manifold.is_one_to_one:
        _check_crossings(manifold, found)
    return found


@functools.lru_cache(maxsize=64)
def _tree(fixed: Fixed) -> cKDTree:
    return cKDTree(survey(fixed).points)


def nearest(fixed: Fixed, points: np.ndarray) -> np.ndarray:
    """Return the places (N, D') of a survey whose points are nearest to points (N, D)."""
    return survey(fixed).places[_tree(fixed).query(points)[1]]


@functools.partial(jax.jit, static_argnums=0)
def _mapped(fixed: Fixed, places: jax.Array) -> tuple[jax.Array, jax.Array]:
    manifold: EmbeddedManifold = fixed.content
    return jax.vmap(manifold.checked_embed)(places), jax.vmap(manifold.derivative)(places)


def _volumes(derivatives: np.ndarray) -> np.ndarray:
    return np.sqrt(np.abs(np.linalg.det(np.swapaxes(derivatives, 1, 2) @ derivatives)))


def _extreme(
    manifold: EmbeddedManifold, places: np.ndarray, volumes: np.ndarray, *, sign: int
) -> tuple[np.ndarray, float]:
    """Return where the volume element is largest, or least, and how large: of clouds of places that shrink."""
    generator = np.random.default_rng(0)
    reference = manifold.reference
    best = places[np.argsort(sign * volumes)[-_SEEKERS:]]
    width = (reference.volume / len(places)) ** (1 / reference.dim)
    for _ in range(_ROUNDS):
        steps = width * generator.standard_normal((_SEEKERS, 1024 // _SEEKERS, best.shape[1]))
        around = evaluate(reference.retract, (best[:, None] + steps).reshape(-1, best.shape[1]))
        around = np.concatenate([best, around])
        found = _volumes(map_blocks(functools.partial(_mapped, Fixed(manifold)), around)[1])
        order = np.argsort(sign * np.nan_to_num(found))
        best, width = around[order[-_SEEKERS:]], width / 3
    return best[-1], float(found[order[-1]])


def _check_crossings(manifold: EmbeddedManifold, known: Survey) -> None:
    """Raise DataError if two places apart are mapped to one point: from pairs that are near by the map alone."""
    reference = manifold.reference
    spacing = (reference.volume / len(known.places)) ** (1 / reference.dim)
    radius = known.stretch * spacing * np.sqrt(reference.dim)
    pairs = cKDTree(known.points).query_pairs(radius, output_type="ndarray")
    one, other = known.places[pairs[:, 0]], known.places[pairs[:, 1]]
    apart = np.linalg.norm(one - other, axis=1) > _NEIGHBOURS * spacing
    pairs, one, other = pairs[apart], one[apart], other[apart]
    if not len(pairs):
        return
    gaps = np.linalg.norm(known.points[pairs[:, 0]] - known.points[pairs[:, 1]], axis=1)
    nearest_pairs = np.argsort(gaps)[:_TRIED]
    one, other, gaps = map_blocks(functools.partial(_met, Fixed(manifold)), one[nearest_pairs], other[nearest_pairs])
    extent = float(np.ptp(known.points, axis=0).max())
    meets = (gaps <= _MEETS * extent) & (np.linalg.norm(one - other, axis=1) > _NEIGHBOURS * spacing / 2)
    if meets.any():
        row = int(np.argmax(meets))
        raise DataError(
            f"the map of {manifold} meets itself: {manifold.describe(one[row])} and {manifold.describe(other[row])} "
            f"are both mapped to {np.round(manifold.points(one[row][None])[0], 4).tolist()}. Use a map that is one to "
            "one, if need be into more dimensions."
        )


@functools.partial(jax.jit, static_argnums=0)
def _met(fixed: Fixed, ones: jax.Array, others: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return where the method of Gauss and Newton leads two places that are to be mapped to one, and the gap left."""
    manifold: EmbeddedManifold = fixed.content
    reference = manifold.reference

    def move(theta: jax.Array, step: jax.Array) -> jax.Array:
        return reference.retract(theta + reference.tangent_frame(theta) @ step)

    def step(_: int, places: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        one, other = places
        gap = manifold.embed(one) - manifold.embed(other)
        slopes = jnp.concatenate([manifold.derivative(one), -manifold.derivative(other)], axis=1)
        moves = -jnp.linalg.pinv(slopes, rtol=1e-6) @ gap
        return move(one, moves[: reference.dim]), move(other, moves[reference.dim :])

    def meet(one: jax.Array, other: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        one, other = jax.lax.fori_loop(0, _STEPS, step, (one, other))
        return one, other, jnp.linalg.norm(manifold.embed(one) - manifold.embed(other))

    return jax.vmap(meet)(ones, others)
