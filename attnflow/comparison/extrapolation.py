r"""Richardson's extrapolation in the bandwidth: of two bandwidths the errors of order eps cancel.

    generator  2 (A_{eps/2} - I)/(eps/2) - (A_eps - I)/eps = (4 A_{eps/2} - A_eps - 3 I)/eps = L + O(eps^2)
    semigroup  2 A_{eps/2}^{2n} - A_eps^n = e^{n eps L} + O(eps^2)

Two layers at eps/2 in place of one at eps would not do: (A_{eps/2}^2 - I)/eps keeps an error of order eps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, Self

import numpy as np

from attnflow._lifting import shown
from attnflow.attention import Attending, Attention
from attnflow.densities.base import Density
from attnflow.equations.expansions.laplace import SEARCHED, LaplaceExpansion
from attnflow.equations.expansions.minimizers import nodes_of
from attnflow.errors import ConfigError
from attnflow.pseudometrics.scrutiny import costs_between
from attnflow.trajectories import Trajectory

_ROUNDING = 1e-8  # of the largest cost


class Life(Protocol):
    """An attention at a bandwidth, over N points or a density."""

    attention: Any

    def generator(self, f: Any, at: object = None) -> np.ndarray:
        """Return (A f - f)/eps."""

    def evolve(self, f: Any, times: object, at: object = None) -> Trajectory:
        """Return A^n f."""

    def at_bandwidth(self, bandwidth: float) -> Self:
        """Return the same at another bandwidth."""


class Extrapolated:
    """A life of an attention without its error of first order in the bandwidth; made by `extrapolated`.

    Attributes:
        life: at the bandwidth eps.
        halved: the same at eps/2.
    """

    def __init__(self, life: Life) -> None:
        self.life = life
        self.halved = life.at_bandwidth(life.attention.bandwidth / 2)

    def __repr__(self) -> str:
        bandwidths = f"{self.life.attention.bandwidth:.6g} and {self.halved.attention.bandwidth:.6g}"
        return f"Extrapolated({type(self.life).__name__}, bandwidths {bandwidths})"

    def generator(self, f: Callable | np.ndarray, at: object = None) -> np.ndarray:
        """Return (4 A_{eps/2} f - A_eps f - 3 f)/eps, L f up to O(eps^2); arguments as of the life.

        Where M ends, that holds some sqrt(eps) inside.
        """
        return 2 * self.halved.generator(f, at=at) - self.life.generator(f, at=at)

    def evolve(self, f: Callable | np.ndarray, times: object, at: object = None) -> Trajectory:
        """Return 2 A_{eps/2}^{2n} f - A_eps^n f at the times n eps, e^{tL} f up to O(eps^2); arguments as of the life.

        Returns:
            A Trajectory, whose `solver_error` is twice that at eps/2 plus that at eps.

        Raises:
            ConfigError: as of the life, or if M has a boundary: what that does is of order sqrt(eps), everywhere.
        """
        density = getattr(self.life, "density", None)
        if density is not None and density.manifold.has_boundary:
            raise ConfigError(
                f"{density.manifold} has a boundary, which changes many layers by sqrt(eps) everywhere: an error of "
                "order eps is not the largest, and without it little is gained. Ask for the generator, inside."
            )
        once = self.life.evolve(f, times=times, at=at)
        twice = self.halved.evolve(f, times=once.times, at=at)
        return dataclasses.replace(
            once,
            values=2 * twice.values - once.values,
            solver_error=2 * twice.solver_error + once.solver_error,
            method=f"extrapolated in the bandwidth from {twice.method} and {once.method}",
        )


def extrapolated(life: Life) -> Extrapolated:
    r"""Return the life of an attention with the error of order eps taken out: Richardson's extrapolation.

        generator  (4 A_{eps/2} - A_eps - 3 I)/eps = L + O(eps^2)
        semigroup  2 A_{eps/2}^{2n} - A_eps^n = e^{n eps L} + O(eps^2)

    The noise of N points grows by a factor of up to 2^{3/2 + m/4} + 1, solver errors of a flow by three. Where the
    error was of order eps^2 before, as that of Sinkhorn layers of a squared geodesic distance on flat tori, it is
    halved and changes its sign [WR].

    Args:
        life: an EmpiricalAttention or a PopulationAttention, whose minimiser is the query. Of N points, whose dimension
            nobody tells, a profile is taken to be for that of its own, and minimisers are looked for among the points.

    Raises:
        ConfigError: if `life` is something else, or there is no error of order eps to take out: a limit does not
            exist, the minimiser of the cost is not the query, or the fourth moment of the profile is infinite.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> circle, plain = af.Circle(), af.Attention(af.SquaredDistance(), bandwidth=0.1)
        >>> population = af.PopulationAttention(plain, af.Uniform(circle))
        >>> better = af.extrapolated(population)
        >>> better
        Extrapolated(PopulationAttention, bandwidths 0.1 and 0.05)
        >>> for each in (population, better):  # L f = -f/2
        ...     print(round(float(each.generator(lambda x: x[0], at=[[1.0, 0.0]])[0]), 4))
        -0.514
        -0.4992
    """
    attention = getattr(life, "attention", None)
    if not (isinstance(attention, Attending) and hasattr(life, "at_bandwidth")):
        raise ConfigError(
            f"`life` must be an EmpiricalAttention or a PopulationAttention, got {type(life).__name__}. Only "
            "those have frozen layers at a bandwidth, whose errors are extrapolated."
        )
    density = getattr(life, "density", None)
    attention.require_identity()
    for head in attention.heads:
        _require_first_order(head, density)
        if density is None:
            _require_own_minimum(head, life.measure.points)  # type: ignore[attr-defined]
    return Extrapolated(life)


def _require_first_order(head: Attention, density: Density | None) -> None:
    """Raise ConfigError unless (A - I)/eps is known to be L + eps B + O(eps^2)."""
    reason = head.normalization.without_limit(head.pseudometric)
    if head.mask is not None:
        reason = "which keys a mask leaves does not depend on the bandwidth."
    if head.pseudometric.is_kernel:
        reason = "its spectrum does not tell the fourth moments of the kernel. Take the kernel itself."
    if reason:
        raise ConfigError(f"{head!r} cannot be extrapolated in the bandwidth: {reason}")
    head.profile.kurtosis(head.profile.dim if density is None else density.manifold.dim)
    if density is not None and not head.pseudometric.is_definite:
        LaplaceExpansion(head, density).require_fixed_minimizer(nodes_of(density, SEARCHED))


def _require_own_minimum(head: Attention, points: np.ndarray) -> None:
    """Raise ConfigError if of some points of a sample (N, D) one costs less to another than that one itself."""
    if head.pseudometric.is_definite:
        return
    few, costs = costs_between(head.pseudometric, points)
    lower = np.diag(costs) - costs.min(axis=1)
    if lower.max() > _ROUNDING * np.abs(costs).max():
        row = int(np.argmax(lower))
        raise ConfigError(
            f"the minimiser of {type(head.pseudometric).__name__} is not the query: for {shown(few[row])} the key "
            f"{shown(few[costs[row].argmin()])} costs less than itself. Attention then tends to a jump, and "
            "(A - I)/eps to nothing. Use `layer`."
        )
