"""Discrete measures: a sample, a quadrature, or points with multiplicities, all seen as points with masses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_finite, check_rows
from attnflow._tracing import is_known, is_traced, primal
from attnflow._values import freeze
from attnflow._words import in_brief
from attnflow.errors import DataError
from attnflow.trajectories import Trajectory


@dataclass(frozen=True, eq=False)
class DiscreteMeasure:
    """The measure sum_j w_j delta_{x_j}; the arrays are copied and read-only.

    Attention does not depend on the total mass, so the masses are kept as given: multiplicities for a sample with
    duplicates, quadrature weights (times p) for an integral. One under 2e-308 of the largest counts as zero.

    Args:
        points: x_j, shape (N, D).
        weights: w_j >= 0, shape (N,), not all zero; None gives every point the mass 1.

    Raises:
        DataError: if the shapes do not fit, a number is not finite, or a weight is negative.

    Example:
        >>> import numpy as np
        >>> import attnflow as af
        >>> twice = af.DiscreteMeasure(np.array([[0.0], [1.0]]), weights=[2, 1])
        >>> len(twice), float(twice.mass)
        (2, 3.0)
        >>> points, weights = twice
    """

    points: np.ndarray
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        points = check_rows(_numbers(self.points, "points"), "points")
        weights = np.ones(len(points)) if self.weights is None else _numbers(self.weights, "weights")
        if weights.shape != (len(points),):
            raise DataError(f"`weights` must have shape ({len(points)},), one per point, got {weights.shape}.")
        if is_known(weights) and ((primal(weights) < 0).any() or not primal(weights).any()):
            raise DataError("`weights` must be nonnegative and not all zero. Pass None for equal weights.")
        if is_traced(points, weights):
            freeze(self, points=jnp.asarray(points), weights=jnp.asarray(weights))
            return
        freeze(self, points=_frozen(points), weights=_frozen(weights))

    def __repr__(self) -> str:
        count, dim = self.points.shape
        return f"DiscreteMeasure({count} points in R^{dim}, weights={in_brief(self.weights)})"

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Unpack as points, weights."""
        return iter((self.points, self.masses))

    @property
    def masses(self) -> np.ndarray:
        """The weights as an array (N,)."""
        assert self.weights is not None
        return self.weights

    @property
    def mass(self) -> float:
        """The total mass sum_j w_j."""
        return float(self.masses.sum())

    @property
    def ambient_dim(self) -> int:
        """The dimension D of the space that holds the points."""
        return self.points.shape[1]


class Measures:
    """A measure for each of several heads, all of as many points with as many coordinates.

    Args:
        parts: the measures, one for each head.

    Raises:
        DataError: if they differ in their numbers of points or of coordinates.
    """

    def __init__(self, parts: Sequence[DiscreteMeasure]) -> None:
        shapes = [part.points.shape for part in parts]
        if len(set(shapes)) != 1:
            raise DataError(
                f"the heads must have as many points each, got {shapes}. Fill up those that have fewer with points of "
                "mass 0."
            )
        stacked = jnp.stack if is_traced(*[array for part in parts for array in part]) else np.stack
        self.parts = tuple(parts)
        self.points = stacked([part.points for part in parts])
        self.masses = stacked([part.masses for part in parts])

    def __len__(self) -> int:
        return self.points.shape[1]

    @property
    def ambient_dim(self) -> int:
        """The dimension D of the space that holds the points."""
        return self.points.shape[2]


def as_measures(points: object, name: str, *, ambient_dim: int | None = None) -> DiscreteMeasure | Measures:
    """Return what `as_measure` does, or, of points (H, N, D) and of a list of measures, one for each head.

    Raises:
        DataError: as `as_measure`, or if heads do not have as many points each.
    """
    if isinstance(points, Measures):
        return points
    if isinstance(points, list | tuple) and points and all(isinstance(part, DiscreteMeasure) for part in points):
        return Measures([as_measure(part, name, ambient_dim=ambient_dim) for part in points])
    if isinstance(points, DiscreteMeasure | Trajectory):
        return as_measure(points, name, ambient_dim=ambient_dim)
    array = _numbers(points, name)
    if array.ndim != 3 or not len(array):
        return as_measure(array, name, ambient_dim=ambient_dim)
    return Measures([as_measure(part, name, ambient_dim=ambient_dim) for part in array])


def as_measure(points: object, name: str, *, ambient_dim: int | None = None) -> DiscreteMeasure:
    """Return points (N, D) with mass 1 each, a DiscreteMeasure unchanged, or the weighted points of a Trajectory.

    This is what `at` is in all three lives.

    Raises:
        DataError: if the points are not finite or do not have the shape (N, D).
    """
    if isinstance(points, Trajectory):
        points = DiscreteMeasure(points.points, points.weights)
    if isinstance(points, DiscreteMeasure):
        check_rows(points.points, name, ambient_dim=ambient_dim)
        return points
    return DiscreteMeasure(check_rows(_numbers(points, name), name, ambient_dim=ambient_dim))


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return the array if nobody can write to it, as of another measure, else a copy that is so."""
    if array.flags.writeable or not array.flags.owndata:
        array = np.array(array)
        array.setflags(write=False)
    return array


def _numbers(array: object, name: str) -> np.ndarray:
    """Return a finite array, or, unchanged, one that JAX compiles: only its shape is known then."""
    if not is_traced(array):
        return check_finite(array, name)
    if is_known(array):
        check_finite(primal(array), name)
    return array  # type: ignore[return-value]
