"""Laws as distances see them: points with masses that sum to one, and how large a sample they stand for."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from attnflow.equations.gaussian_trajectory import GaussianTrajectory
from attnflow.errors import ConfigError, DataError
from attnflow.measures import as_measure
from attnflow.trajectories import TokenTrajectory, Trajectory

RESAMPLES = 10  # pairs of samples for a noise floor: their root mean square is then known to about a tenth

_FARTHEST = 1e150  # of a coordinate, whose square is still a number of float64


class Law(NamedTuple):
    """A probability law on points.

    Args:
        points: shape (N, D).
        masses: positive, with the sum one, shape (N,).
        size: of the sample that it is, (sum w)^2 / sum w^2 of weights; infinite of a density.
        is_density: whether each mass is spread over the surroundings of its point, a node.
    """

    points: np.ndarray
    masses: np.ndarray
    size: float
    is_density: bool


def as_law(given: object, name: str) -> Law:
    """Return the law of points (N, D), of a DiscreteMeasure, or of the one time of a trajectory.

    Raises:
        ConfigError: if a trajectory has more than one time, or is a GaussianTrajectory.
        DataError: if points or masses are none, or densities are negative.
    """
    if isinstance(given, TokenTrajectory | Trajectory):
        if len(given.times) != 1:
            raise ConfigError(
                f"`{name}` is a trajectory of {len(given.times)} times. Pass one of its states, evolve to one time, or "
                "compare all with af.compare."
            )
        return law_at(given, 0)
    if isinstance(given, GaussianTrajectory):
        raise ConfigError(
            f"`{name}` is a GaussianTrajectory, of whose laws the moments are known. Compare it as it is with a "
            "trajectory: af.compare."
        )
    measure = as_measure(given, name)
    return _law(measure.points, measure.masses)


def law_at(flow: TokenTrajectory | Trajectory, k: int) -> Law:
    """Return the law at the k-th time: of tokens, or of the nodes of a density, f(x_q) w_q."""
    if isinstance(flow, TokenTrajectory):
        return _law(flow.points[k], np.ones(flow.points.shape[1]) if flow.weights is None else flow.weights)
    if flow.values.ndim != 2:
        raise DataError(f"a density has one value per point, got values of shape {flow.values.shape}.")
    density = flow.values[k]
    if density.min() < -flow.solver_error or density.max() <= 0:
        raise DataError(f"a density must not be negative, got {density.min():.3g} at the time {flow.times[k]:.6g}.")
    masses = np.maximum(density, 0) * (1.0 if flow.weights is None else flow.weights)
    return _law(flow.points, masses)._replace(size=math.inf, is_density=True)


def check_one_space(a: Law, b: Law) -> None:
    """Raise DataError unless the points of both have as many coordinates."""
    if a.points.shape[1] != b.points.shape[1]:
        raise DataError(
            f"`a` and `b` must have points of as many coordinates, got {a.points.shape[1]} and {b.points.shape[1]}."
        )


def pooled(a: Law, b: Law) -> tuple[np.ndarray, np.ndarray]:
    """Return points and masses of the law that both would be samples of, were they of one law."""
    share = 0.5 if a.size == b.size else 1 / (1 + b.size / a.size)  # a density knows the law: the other adds nothing
    return np.concatenate([a.points, b.points]), np.concatenate([share * a.masses, (1 - share) * b.masses])


def resamples(a: Law, b: Law) -> list[tuple[Law, Law]]:
    """Return pairs of independent samples of the pooled law, of the sizes of both; a density stays what it is."""
    rng = np.random.default_rng(0)
    points, masses = pooled(a, b)
    levels = np.cumsum(masses)

    def sample(law: Law) -> Law:
        if math.isinf(law.size):
            return law
        count = max(1, round(law.size))
        drawn = np.searchsorted(levels, levels[-1] * rng.random(count), side="right")
        return _law(points[np.minimum(drawn, len(points) - 1)], np.ones(count))

    return [(sample(a), sample(b)) for _ in range(RESAMPLES)]


def moments_at(flow: TokenTrajectory | Trajectory | GaussianTrajectory, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (D,) and the covariance (D, D) at the k-th time."""
    return (flow.means[k], flow.covariances[k]) if isinstance(flow, GaussianTrajectory) else moments_of(law_at(flow, k))


def moments_of(law: Law) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (D,) and the covariance (D, D) of a law."""
    mean = law.masses @ law.points
    off = law.points - mean
    return mean, off.T @ (law.masses[:, None] * off)


def _law(points: np.ndarray, weights: np.ndarray) -> Law:
    if np.abs(points).max() > _FARTHEST:
        raise DataError(
            f"points reach {np.abs(points).max():.3g}, and squares of distances overflow beyond {_FARTHEST:.0e}. Take "
            "an earlier time, or another unit."
        )
    kept = weights > 0
    if not kept.all():
        points, weights = points[kept], weights[kept]
    masses = weights / weights.sum()
    return Law(points, masses, 1 / float(masses @ masses), is_density=False)
