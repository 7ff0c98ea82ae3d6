"""What evolutions return: values along time at fixed points, tokens that move, and eigenpairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from attnflow._checks import check_finite, check_points, check_times
from attnflow._drawing import drawing
from attnflow._html import Table, in_html
from attnflow._labelled import labelled, places
from attnflow._words import TOLD_SINGLY, in_brief
from attnflow.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Values u(t_k, x_q) of one evolution; the arrays are copied and read-only.

    Args:
        times: t_k, shape (T,).
        points: x_q, shape (Q, D).
        values: u(t_k, x_q), shape (T, Q) or (T, Q, c).
        weights: nonnegative weights of the points, shape (Q,); None means equal weights.
        solver_error: declared bound on the absolute error of `values`.
        method: how the values were found, such as "Fourier, degree 24".

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.

    Example:
        >>> import attnflow as af
        >>> import numpy as np
        >>> flow = af.Trajectory(times=np.array([0.0, 0.5]), points=np.zeros((3, 2)), values=np.ones((2, 3)))
        >>> flow
        Trajectory(2 times up to 0.5, values (2, 3) at 3 points in R^2, solver_error=0, method='')
    """

    times: np.ndarray
    points: np.ndarray
    values: np.ndarray
    weights: np.ndarray | None = None
    solver_error: float = 0.0
    method: str = ""

    def __post_init__(self) -> None:
        times = _frozen(check_finite(self.times, "times"))
        points = _frozen(check_points(self.points, "points"))
        values = _frozen(check_finite(self.values, "values"))
        if times.ndim != 1:
            raise DataError(f"`times` must have shape (T,), got {times.shape}. Pass a list of times.")
        if values.ndim not in (2, 3) or values.shape[:2] != (len(times), len(points)):
            raise DataError(
                f"`values` must have shape (T, Q) or (T, Q, c) with T = {len(times)} times and Q = {len(points)} "
                f"points, got {values.shape}."
            )
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "values", values)
        if self.weights is not None:
            object.__setattr__(self, "weights", _frozen(_check_weights(self.weights, len(points))))

    def __repr__(self) -> str:
        count, dim = self.points.shape
        what = f"values {self.values.shape} at {count} points in R^{dim}"
        return (
            f"Trajectory({in_words(self.times)}, {what}, solver_error={self.solver_error:.2g}, method={self.method!r})"
        )

    def _repr_html_(self) -> str:
        count, dim = self.points.shape
        facts = {
            "times": in_words(self.times), "points": f"{count} in R^{dim}", "values": in_brief(self.values),
            "solver error": self.solver_error, "method": self.method,
        }  # fmt: skip
        return in_html(self, facts, draw=self.plot, marks=self.values.size)

    def plot(self, ax: Any = None, times: object = None) -> Any:
        """Draw the values: on a line or the unit circle as curves, elsewhere as points coloured by them at one time.

        On the flat torus T^2 the points are drawn over their two angles, in R^2 and R^3 where they are; in space those
        beyond the middle are faint.

        Args:
            ax: axes of matplotlib, in R^3 of three dimensions; new ones in a figure of their own, `.figure`, unless
                given.
            times: which of the times t_k, one or, of curves, several; all curves and the last colours unless given.

        Returns:
            The axes.

        Raises:
            ConfigError: if a time is none of them, there are several where one is drawn, or `ax` is something else.
            DataError: if the values are vectors, or the points in other spaces.

        Example:
            >>> import attnflow as af
            >>> flow = af.Trajectory(times=[0.0, 0.5], points=[[0.0], [1.0], [3.0]], values=[[1, 4, 1], [2, 3, 1.5]])
            >>> len(flow.plot().lines)
            2
        """
        return drawing("evolutions").trajectory(self, ax, times=times)

    def to_xarray(self) -> Any:
        """Return the values as an xarray.DataArray u with dims time, point and, of vectors, value.

        Its coordinates are the times, x_1, ..., x_D of the points and, where points have them, weights; its attributes
        the solver error and the method.

        Raises:
            ConfigError: if xarray is not installed.

        Example:
            >>> import attnflow as af
            >>> flow = af.Trajectory(times=[0.0, 0.5], points=[[0.0], [1.0], [3.0]], values=[[1, 4, 1], [2, 3, 1.5]])
            >>> flow.to_xarray().sel(time=0.5).max().item()
            3.0
        """
        coordinates = {"time": ("time", self.times), **places(self.points)}
        coordinates |= {} if self.weights is None else {"weight": ("point", self.weights)}
        dims = ("time", "point", "value")[: self.values.ndim]
        facts = {"solver_error": float(self.solver_error), "method": self.method}
        return labelled(self.values, dims, name="u", coordinates=coordinates, facts=facts)

    def animate(self, path: str | Path, beside: Trajectory | None = None) -> Path:
        """Write a film of the values, one frame for each time, and return its path.

        These are drawn as dots; beside them is the continuum, on a line or the unit circle as a curve, elsewhere in a
        panel of its own: `particles.animate("flow.gif", beside=limit)`.

        Args:
            path: where to write, ".gif", or ".mp4" where ffmpeg is there.
            beside: at the same times, at points of its own.

        Raises:
            ConfigError: if the ending is another, or ffmpeg is missing.
            DataError: if the times differ, values are vectors, or points cannot be drawn.
        """
        film: Path = drawing("animation").animate(path, particles=self, continuum=beside)
        return film


class Merging(NamedTuple):
    """Tokens that became one.

    Args:
        time: when.
        tokens: which, by their rows, rising; among them those that had become one with these before.
        point: where, shape (D,).
    """

    time: float
    tokens: tuple[int, ...]
    point: np.ndarray


@dataclass(frozen=True, eq=False)
class TokenTrajectory:
    """Tokens x_i(t_k) that move; the arrays are copied and read-only.

    Args:
        times: t_k, shape (T,).
        points: x_i(t_k), shape (T, N, D).
        weights: nonnegative masses of the tokens, shape (N,); None means equal ones.
        solver_error: declared bound on the distance of any token from where it should be; of fixed steps without
            what an unstable flow makes of errors, see `Layer`; infinite where an evolution broke off and nobody knows.
        method: how it was found, such as "Adaptive(rtol=1e-08), 212 velocities, dense sums".
        events: mergings, in the order of time.

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.

    Example:
        >>> import attnflow as af
        >>> import numpy as np
        >>> moved = af.TokenTrajectory(times=[0.0, 0.5], points=np.zeros((2, 3, 1)))
        >>> moved
        TokenTrajectory(2 times up to 0.5, 3 tokens in R^1, solver_error=0, method='')
    """

    times: np.ndarray
    points: np.ndarray
    weights: np.ndarray | None = None
    solver_error: float = 0.0
    method: str = ""
    events: tuple[Merging, ...] = ()

    def __post_init__(self) -> None:
        times = _frozen(check_finite(self.times, "times"))
        points = _frozen(check_finite(self.points, "points"))
        if times.ndim != 1:
            raise DataError(f"`times` must have shape (T,), got {times.shape}. Pass a list of times.")
        if points.ndim != 3 or len(points) != len(times) or not points.size:
            raise DataError(
                f"`points` must have shape (T, N, D) with T = {len(times)} times, got {points.shape}. Stack the tokens "
                "of each time."
            )
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "points", points)
        if self.weights is not None:
            object.__setattr__(self, "weights", _frozen(_check_weights(self.weights, points.shape[1])))

    def __repr__(self) -> str:
        what = f"{self.points.shape[1]} tokens in R^{self.points.shape[2]}"
        merged = f", {len(self.events)} mergings" if self.events else ""
        error = f"solver_error={self.solver_error:.2g}, method={self.method!r}"
        return f"TokenTrajectory({in_words(self.times)}, {what}{merged}, {error})"

    def _repr_html_(self) -> str:
        facts = {
            "times": in_words(self.times), "tokens": f"{self.points.shape[1]} in R^{self.points.shape[2]}",
            "mergings": len(self.events), "solver error": self.solver_error, "method": self.method,
        }  # fmt: skip
        return in_html(self, facts, draw=self.plot, marks=self.points.size)

    def plot(self, ax: Any = None) -> Any:
        """Draw the paths of the tokens, and dots where they end; return the axes.

        On a line and on the unit circle the coordinate or the angle is drawn over time, on the flat torus T^2, in R^2
        and in R^3 the tokens run where they are.

        Args:
            ax: axes of matplotlib, in R^3 of three dimensions; new ones in a figure of their own, `.figure`, unless
                given.

        Raises:
            ConfigError: if `ax` is something else.
            DataError: if tokens are in other spaces.
        """
        return drawing("evolutions").tokens(self, ax)

    def to_xarray(self) -> Any:
        """Return the tokens as an xarray.DataArray x with dims time, token and coordinate.

        Its coordinates are the times and, where tokens have them, weights; its attributes the solver error and the
        method.

        Raises:
            ConfigError: if xarray is not installed.
        """
        coordinates = {"time": ("time", self.times)}
        coordinates |= {} if self.weights is None else {"weight": ("token", self.weights)}
        facts = {"solver_error": float(self.solver_error), "method": self.method}
        dims = ("time", "token", "coordinate")
        return labelled(self.points, dims, name="x", coordinates=coordinates, facts=facts)


class Spectrum(NamedTuple):
    """The k smallest eigenvalues, with multiplicity, and their eigenfunctions.

    Args:
        eigenvalues: shape (k,), rising.
        eigenfunctions: the map from points (Q, D) to values (Q, k).
        solver_error: declared bound on the absolute error of `eigenvalues`.
    """

    eigenvalues: np.ndarray
    eigenfunctions: Callable[[np.ndarray], np.ndarray]
    solver_error: float

    def __repr__(self) -> str:
        shown = [f"{value:.6g}" for value in self.eigenvalues[:TOLD_SINGLY]]
        count = len(self.eigenvalues)
        shown += [f"...: {count}"] if count > TOLD_SINGLY else []
        return f"Spectrum([{', '.join(shown)}], solver_error={self.solver_error:.2g})"

    def _repr_html_(self) -> str:
        zero = abs(self.eigenvalues) <= self.solver_error
        rows = [(k, f"{value:.6g}") for k, value in enumerate(np.where(zero, 0.0, self.eigenvalues))]
        table = Table(["k", "eigenvalue"], rows)
        return in_html(self, {"solver error": float(self.solver_error)}, table=table, draw=self.plot)

    def plot(self, ax: Any = None) -> Any:
        """Draw the eigenvalues over their number, with the declared error, and return the axes.

        Args:
            ax: axes of matplotlib; new ones in a figure of their own, `.figure`, unless given.

        Example:
            >>> import numpy as np, attnflow as af
            >>> found = af.Spectrum(np.array([0.0, 0.5, 0.5]), lambda points: np.ones((len(points), 3)), 1e-9)
            >>> found
            Spectrum([0, 0.5, 0.5], solver_error=1e-09)
            >>> found.plot().get_xlabel()
            '$k$'
        """
        return drawing("evolutions").spectrum(self, ax)

    def to_xarray(self, at: object) -> Any:
        """Return the eigenfunctions at points (Q, D) as an xarray.DataArray phi with dims point and k.

        Its coordinates are x_1, ..., x_D of the points and the eigenvalues along k; its attribute the solver error of
        these.

        Args:
            at: points (Q, D).

        Raises:
            ConfigError: if xarray is not installed.
            DataError: if the points are not of that shape.
        """
        points = check_points(at, "at")
        coordinates = {"eigenvalue": ("k", np.asarray(self.eigenvalues)), **places(points)}
        values, facts = np.asarray(self.eigenfunctions(points)), {"solver_error": float(self.solver_error)}
        return labelled(values, ("point", "k"), name="phi", coordinates=coordinates, facts=facts)

    def plot_functions(self, at: object, ax: Any = None, which: int | None = None) -> Any:
        """Draw eigenfunctions: on a line or the unit circle as curves, elsewhere one, as points coloured by it.

        Args:
            at: points (Q, D), as many as make a picture.
            ax: axes of matplotlib, in R^3 of three dimensions; new ones unless given.
            which: k, the number of one, from 0 on; all curves, and elsewhere 1, the first that is not constant, unless
                given.

        Returns:
            The axes.

        Raises:
            ConfigError: if there is no such eigenfunction, or `ax` is something else.
            DataError: if points cannot be drawn.
        """
        return drawing("evolutions").eigenfunctions(self, at, ax, which=which)


def count_layers(times: object, step: float, *, name: str = "bandwidth") -> np.ndarray:
    """Return the numbers of layers n with times = n step, shape (T,).

    Args:
        times: one or several.
        step: the time of a layer, eps where the points stay.
        name: what the step is called.

    Raises:
        ConfigError: if a time is negative or not a whole number of layers to |t - n step| <= 1e-9 max(1, t).
    """
    array = check_times(times)
    # Rounding, never truncation: .35 / .07 is 4.999999999999999.
    counts = np.rint(array / step).astype(np.int64)
    off = np.abs(array - counts * step) > 1e-9 * np.maximum(1, array)
    if off.any():
        t = array[off][0]
        below = int(np.floor(t / step))
        raise ConfigError(
            f"`times` must be whole numbers of layers n * {name}, got {t:.12g} with {name} {step:g}. "
            f"The two nearest are {below * step:.12g} and {(below + 1) * step:.12g}."
        )
    return counts


def _check_weights(weights: object, count: int) -> np.ndarray:
    array = check_finite(weights, "weights")
    if array.shape != (count,):
        raise DataError(f"`weights` must have shape ({count},), one per point, got {array.shape}.")
    if (array < 0).any() or array.sum() == 0:
        raise DataError("`weights` must be nonnegative and not all zero. Pass None for equal weights.")
    return array


def in_words(times: np.ndarray) -> str:
    """Return how many times there are, and the last, as they are printed."""
    return f"t = {times[0]:g}" if len(times) == 1 else f"{len(times)} times up to {times.max(initial=0.0):g}"


def _frozen(array: np.ndarray) -> np.ndarray:
    copy = np.array(array)
    copy.setflags(write=False)
    return copy
