"""What the closed equations of Gaussian data return: a mean and a covariance along time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from attnflow._checks import check_finite
from attnflow._html import Table, in_html
from attnflow.errors import DataError
from attnflow.trajectories import in_words


@dataclass(frozen=True, eq=False)
class GaussianTrajectory:
    """The laws N(m(t_k), S(t_k)) of Gaussian tokens; the arrays are copied and read-only.

    Args:
        times: t_k, shape (T,).
        means: m(t_k), shape (T, D).
        covariances: S(t_k), shape (T, D, D), symmetric.
        blow_up_time: the time up to which the solution exists; infinity if no end of it was seen.
        rank_loss_time: the first time up to the last of `times` at which S has lost numerical rank: the smallest
            eigenvalue that was not zero at the start is under 1e-12 of the largest. Infinity if there is none.
        solver_error: declared bound on the absolute error of `means` and `covariances`.
        method: how they were found.

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.GaussianTrajectory(times=[0.0], means=[[1.0, 2.0]], covariances=[np.eye(2)])
        GaussianTrajectory(t = 0, in R^2, blow_up_time=inf, solver_error=0, method='')
    """

    times: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    blow_up_time: float = math.inf
    rank_loss_time: float = math.inf
    solver_error: float = 0.0
    method: str = ""

    def __post_init__(self) -> None:
        for name in ("times", "means", "covariances"):
            array = np.array(check_finite(getattr(self, name), name))
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        count, dim = self.means.shape if self.means.ndim == 2 else (-1, -1)
        if self.times.shape != (count,) or self.covariances.shape != (count, dim, dim):
            raise DataError(
                f"`times`, `means` and `covariances` must have shapes (T,), (T, D) and (T, D, D), got "
                f"{self.times.shape}, {self.means.shape} and {self.covariances.shape}."
            )

    def __repr__(self) -> str:
        end = f"blow_up_time={self.blow_up_time:.6g}, solver_error={self.solver_error:.2g}"
        return f"GaussianTrajectory({in_words(self.times)}, in R^{self.means.shape[1]}, {end}, method={self.method!r})"

    def _repr_html_(self) -> str:
        facts = {
            "times": in_words(self.times), "in": f"R^{self.means.shape[1]}", "blow-up time": self.blow_up_time,
            "rank lost at": self.rank_loss_time, "solver error": self.solver_error, "method": self.method,
        }  # fmt: skip
        rows = [(float(t), m, S) for t, m, S in zip(self.times, self.means, self.covariances, strict=True)]
        return in_html(self, facts, table=Table(["time", "mean", "covariance"], rows))
