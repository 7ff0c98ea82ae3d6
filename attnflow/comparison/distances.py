"""How far two evolutions are apart, time by time."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from attnflow._checks import check_choice
from attnflow.comparison.energy import energy_of_laws
from attnflow.comparison.laws import check_one_space, law_at, moments_at
from attnflow.comparison.moments import gelbrich
from attnflow.comparison.transport import distance_of_laws
from attnflow.equations.gaussian_trajectory import GaussianTrajectory
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.base import Manifold
from attnflow.trajectories import TokenTrajectory, Trajectory

TIME_TOLERANCE = 1e-9  # relative to max(1, t), as for times that must be whole numbers of layers
POINT_TOLERANCE = 1e-12  # relative to max(1, |x|): the same points after a round trip through a retraction


Flow = Trajectory | TokenTrajectory | GaussianTrajectory

PAIRED = ("L2", "sup")  # of values at the same points, or of the same tokens
OF_LAWS: dict[str, Callable[..., float]] = {
    "W1": functools.partial(distance_of_laws, order=1),
    "W2": functools.partial(distance_of_laws, order=2),
    "sliced": functools.partial(distance_of_laws, order=1, method="sliced"),
}


def compare(a: Flow, b: Flow, *, norm: str | None = None, manifold: Manifold | None = None) -> np.ndarray:
    """Return the distance of two trajectories at each time.

    Of functions at the same points, |.| the Euclidean norm over components:

        L2: e(t) = (sum_q w_q |a(t, x_q) - b(t, x_q)|^2 / sum_q w_q)^(1/2);  sup: e(t) = max_q |a(t, x_q) - b(t, x_q)|.

    Of tokens that move the same for a(t, x_q) the place of token q, if there are as many; and distances of laws, each
    as the function of that name at every time: "mmd", "moments", "W1", "W2", "sliced" (W1 in random directions). One of
    the two may be a trajectory of densities at nodes. A GaussianTrajectory has moments.

    Args:
        a: a trajectory.
        b: another one, at the same times; of functions also at the same points.
        norm: one of those; "L2" for functions, "mmd" for laws and "moments" where one is Gaussian, unless given. L2
            uses the weights of the trajectories (None = equal), sup ignores them.
        manifold: Circle() for W1 and W2 along its arcs.

    Returns:
        Errors e(t_k), shape (T,).

    Raises:
        ConfigError: if the norm is unknown or not one of these trajectories, the times differ, or something else than
            trajectories is given.
        DataError: if points, components, numbers of tokens or, for L2, weights differ.

    Example:
        >>> import attnflow as af
        >>> import numpy as np
        >>> points, times = np.array([[0.0], [1.0]]), np.array([0.5])
        >>> a = af.Trajectory(times=times, points=points, values=np.array([[3.0, 0.0]]))
        >>> b = af.Trajectory(times=times, points=points, values=np.array([[0.0, 0.0]]))
        >>> print(af.compare(a, b, norm="sup"))
        [3.]
        >>> tokens = [af.TokenTrajectory(times=times, points=[[[x], [1.0]]]) for x in (0.0, 3.0)]
        >>> print(af.compare(*tokens, norm="W1"))
        [1.5]
    """
    for name, given in (("a", a), ("b", b)):
        if not isinstance(given, Flow):
            raise ConfigError(f"`{name}` must be a Trajectory, got {type(given).__name__}. Pass what `evolve` returns.")
    norms = _norms(a, b)
    norm = check_choice(norms[0] if norm is None else norm, "norm", norms)
    if manifold is not None and norm not in ("W1", "W2"):
        raise ConfigError(f"`manifold` is for the norms 'W1' and 'W2', got norm={norm!r}. Drop it.")
    _check_same_times(a.times, b.times)
    if norm in PAIRED:
        return _paired(a, b, norm)  # type: ignore[arg-type]
    steps = range(len(a.times))
    if norm == "moments":
        return np.array([gelbrich(*_moments_pair(a, b, k)) for k in steps])
    pairs = [(law_at(a, k), law_at(b, k)) for k in steps]  # type: ignore[arg-type]
    check_one_space(*pairs[0])
    distance = energy_of_laws if norm == "mmd" else functools.partial(OF_LAWS[norm], manifold=manifold)
    return np.array([float(distance(*pair)) for pair in pairs])


def _norms(a: Flow, b: Flow) -> tuple[str, ...]:
    """Return the norms that two trajectories have, the usual one first."""
    if isinstance(a, Trajectory) and isinstance(b, Trajectory):
        return PAIRED
    if isinstance(a, GaussianTrajectory) or isinstance(b, GaussianTrajectory):
        return ("moments",)
    return ("mmd", "moments", *OF_LAWS) + (PAIRED if type(a) is type(b) else ())


def _moments_pair(a: Flow, b: Flow, k: int) -> tuple[np.ndarray, ...]:
    first, second = moments_at(a, k), moments_at(b, k)
    if len(first[0]) != len(second[0]):
        raise DataError(f"`a` and `b` must be of one space, got {len(first[0])} and {len(second[0])} coordinates.")
    return *first, *second


def _paired(a: Trajectory | TokenTrajectory, b: Trajectory | TokenTrajectory, norm: str) -> np.ndarray:
    """Return a norm of the difference of values at the same points, or of places of the same tokens."""
    if isinstance(a, TokenTrajectory):
        values, others, what = a.points, b.points, "tokens of one number and dimension"
    else:
        assert isinstance(b, Trajectory)
        _check_same_points(a.points, b.points)
        values, others, what = a.values, b.values, "values of one shape"
    if values.shape != others.shape:
        raise DataError(
            f"`a` and `b` must have {what}, got {values.shape} and {others.shape}. Evolve the same ones, or take a "
            "norm of laws of tokens."
        )
    difference = values - others
    distance = np.abs(difference) if difference.ndim == 2 else np.linalg.norm(difference, axis=2)
    return distance.max(axis=1) if norm == "sup" else np.sqrt(distance**2 @ _common_weights(a, b))


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


def _common_weights(a: Trajectory | TokenTrajectory, b: Trajectory | TokenTrajectory) -> np.ndarray:
    count = a.points.shape[-2]
    first, second = (np.full(count, 1.0 / count) if t.weights is None else t.weights / t.weights.sum() for t in (a, b))
    if not np.allclose(first, second, rtol=1e-12, atol=0.0):
        raise DataError(
            "`a` and `b` must carry the same weights in the L2 norm. Pass the same `at` to both, or use norm='sup'."
        )
    return first
