"""How far two evolutions are apart, time by time."""

from __future__ import annotations

import numpy as np

from attnflow._checks import check_choice
from attnflow.errors import ConfigError, DataError
from attnflow.trajectories import Trajectory

TIME_TOLERANCE = 1e-9  # relative to max(1, t), as for times that must be whole numbers of layers
POINT_TOLERANCE = 1e-12  # relative to max(1, |x|): the same points after a round trip through a retraction


def compare(a: Trajectory, b: Trajectory, *, norm: str = "L2") -> np.ndarray:
    """Return the distance of two trajectories at each time.

    L2: e(t) = (sum_q w_q |a(t, x_q) - b(t, x_q)|^2 / sum_q w_q)^(1/2);  sup: e(t) = max_q |a(t, x_q) - b(t, x_q)|,
    with |.| the Euclidean norm over the components of a vector-valued function.

    Args:
        a: a trajectory.
        b: another one, at the same points and times.
        norm: "L2" uses the weights of the trajectories (None = equal), "sup" ignores them.

    Returns:
        Errors e(t_k), shape (T,).

    Raises:
        ConfigError: if the norm is unknown, the times differ, or something else than trajectories is given.
        DataError: if points, components or, for L2, weights differ.

    Example:
        >>> import attnflow as af
        >>> import numpy as np
        >>> points, times = np.array([[0.0], [1.0]]), np.array([0.5])
        >>> a = af.Trajectory(times=times, points=points, values=np.array([[3.0, 0.0]]))
        >>> b = af.Trajectory(times=times, points=points, values=np.array([[0.0, 0.0]]))
        >>> print(af.compare(a, b, norm="sup"))
        [3.]
    """
    check_choice(norm, "norm", ("L2", "sup"))
    for name, given in (("a", a), ("b", b)):
        if not isinstance(given, Trajectory):
            raise ConfigError(f"`{name}` must be a Trajectory, got {type(given).__name__}. Pass what `evolve` returns.")
    _check_same_times(a.times, b.times)
    _check_same_points(a.points, b.points)
    if a.values.shape != b.values.shape:
        raise DataError(
            f"`a` and `b` must have values of one shape, got {a.values.shape} and {b.values.shape}. "
            "Evolve the same function."
        )
    difference = a.values - b.values
    distance = np.abs(difference) if difference.ndim == 2 else np.linalg.norm(difference, axis=2)
    if norm == "sup":
        return distance.max(axis=1)
    return np.sqrt(distance**2 @ _common_weights(a, b))


def _check_same_times(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise ConfigError(f"`a` and `b` must have the same times, got {len(a)} and {len(b)} of them.")
    apart = np.abs(a - b) > TIME_TOLERANCE * np.maximum(1.0, np.abs(a))
    if apart.any():
        k = int(np.argmax(apart))
        raise ConfigError(
            f"`a` and `b` must have the same times; number {k} is {float(a[k])!r} in a and {float(b[k])!r} in b. "
            "Ask for times that are whole numbers of layers."
        )


def _check_same_points(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise DataError(f"`a` and `b` must have the same points, got shapes {a.shape} and {b.shape}.")
    apart = (np.abs(a - b) > POINT_TOLERANCE * np.maximum(1.0, np.abs(a))).any(axis=1)
    if apart.any():
        row = int(np.argmax(apart))
        raise DataError(
            f"`a` and `b` must have the same points; row {row} is {a[row]} in a and {b[row]} in b. "
            "Pass the same `at` to both."
        )


def _common_weights(a: Trajectory, b: Trajectory) -> np.ndarray:
    first, second = (
        np.full(len(a.points), 1.0 / len(a.points)) if t.weights is None else t.weights / t.weights.sum()
        for t in (a, b)
    )
    if not np.allclose(first, second, rtol=1e-12, atol=0.0):
        raise DataError(
            "`a` and `b` must carry the same weights in the L2 norm. Pass the same `at` to both, or use norm='sup'."
        )
    return first
