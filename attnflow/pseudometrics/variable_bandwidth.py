"""Squared distances in units that vary from point to point: variable bandwidth and self-tuning."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy.spatial import cKDTree

from attnflow._checks import check_integer, check_points
from attnflow._lifting import evaluate_compiled, shown
from attnflow._programs import at_point, name_of
from attnflow._tracing import is_traced
from attnflow._values import freeze, value
from attnflow._words import in_brief
from attnflow.densities.base import Density, check_density
from attnflow.errors import ConfigError, DataError
from attnflow.pseudometrics.base import Mapped, PseudoMetric
from attnflow.pseudometrics.plain import SquaredDistance


class InLocalUnits(PseudoMetric):
    """The cost D(x, y) = |x - y|^2 / (rho(x) rho(y)); a kind says what rho is.

    Sums compute rho once for every point. Where it is not positive the cost is not a number.
    """

    vanishes_on_diagonal = is_symmetric = True

    @abstractmethod
    def _unit(self, x: jax.Array) -> jax.Array:
        """Return rho(x) of one point (D,)."""

    def _units(self, points: Any) -> Any:
        """Return rho of points (n, D), (n,)."""
        compiled = functools.partial(_compiled_units, self)
        return compiled(points) if is_traced(self) else evaluate_compiled(compiled, points, name=self._name)

    @property
    def _name(self) -> str:
        """What a user calls rho."""
        return "rho"

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        product = _positive(self._unit(x)) * _positive(self._unit(y))
        return SquaredDistance()(x, y) / product

    def mapped(self, center: Any) -> Mapped:
        """Return the points, counted from the center, with their rho for one coordinate more."""

        def beside(points: Any) -> Any:
            library = points.__array_namespace__()
            return library.concatenate([points - center, self._checked(points)[:, None]], axis=1)

        return Mapped(beside, beside, cost=_InUnitsBeside())

    def check(self, points: np.ndarray) -> None:
        """Raise DataError unless rho is positive and finite at all points."""
        self._checked(points)

    def _checked(self, points: Any) -> Any:
        units = self._units(points)
        if not is_traced(units) and not (units > 0).all():
            row = int(np.argmax(~(units > 0)))
            raise DataError(
                f"`{self._name}` must be positive, and is {units[row]:.6g} at row {row}, {shown(points[row])}. Pass "
                "its exponential, or leave the point out."
            )
        return units


@jax.jit
def _compiled_units(cost: InLocalUnits, points: jax.Array) -> jax.Array:
    return jax.vmap(cost._unit)(points)


def _positive(rho: jax.Array) -> jax.Array:
    return jnp.where(rho > 0, rho, jnp.nan)


@value
class _InUnitsBeside(PseudoMetric):
    """The cost |x - y|^2 / (rho(x) rho(y)) of points that carry rho as their last coordinate."""

    vanishes_on_diagonal = is_symmetric = is_examined = True

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return SquaredDistance()(x[:-1], y[:-1]) / (_positive(x[-1]) * _positive(y[-1]))


@value
class VariableBandwidth(InLocalUnits):
    """The squared distance in units of a local bandwidth, D(x, y) = |x - y|^2 / (rho(x) rho(y))  [BH].

    The limit is rho^2 (1/2 Lap f + <grad log p, grad f> + (m+2)/2 <grad log rho, grad f>): attention in the metric
    g / rho^2.

    Args:
        rho: of one point (D,) -> a positive number, in jax.numpy, smooth. Parameters, by which JAX can differentiate,
            go in front: `jax.tree_util.Partial(rho, parameters)`.

    Raises:
        ConfigError: if `rho` is not a function.

    Example:
        >>> import numpy as np, attnflow as af
        >>> cost = af.VariableBandwidth(lambda x: 1 + x[0] ** 2)
        >>> float(cost(np.array([1.0, 0.0]), np.array([0.0, 3.0])))
        5.0
    """

    rho: Callable

    def __post_init__(self) -> None:
        if not callable(self.rho):
            raise ConfigError(f"`rho` must be a function of one point, got {type(self.rho).__name__}.")
        freeze(self, rho=self.rho if isinstance(self.rho, Partial) else Partial(self.rho))

    def _unit(self, x: jax.Array) -> jax.Array:
        return at_point(self.rho, x, name="rho", scalar=True)

    @property
    def _name(self) -> str:
        return name_of(self.rho, "rho")


@value
class SelfTuned(InLocalUnits):
    """The squared distance in units of the spacing of points, rho = (V p)^{-1/m}, V the volume of the manifold  [BH].

    In the metric (V p)^{2/m} g the points are uniform, and attention tends to its exact heat flow, whatever p and m.

    Args:
        density: p, on a compact manifold.

    Raises:
        ConfigError: if `density` is no density, or its manifold not compact.

    Example:
        >>> import numpy as np, attnflow as af
        >>> cost = af.SelfTuned(af.Uniform(af.Circle()))  # rho = 1
        >>> round(float(cost(np.array([1.0, 0.0]), np.array([0.0, 1.0]))), 6)
        2.0
    """

    density: Density

    def __post_init__(self) -> None:
        if not check_density(self.density).manifold.is_compact:
            raise ConfigError(
                f"`density` must live on a compact manifold, got {self.density.manifold}, whose volume is infinite. "
                "Pass VariableBandwidth(rho)."
            )

    def _unit(self, x: jax.Array) -> jax.Array:
        manifold = self.density.manifold
        log_density = at_point(self.density.log_density, x, name="log_density", scalar=True)
        return jnp.exp(-(log_density + manifold.log_volume) / manifold.dim)

    @staticmethod
    def of_neighbours(points: object, *, k: int) -> InLocalUnits:
        """Return the cost with rho(x) the distance from x to the k-th nearest of some points, x itself not counted.

        Of n points of density p, rho is about (k / (n w p))^{1/m}, w the volume of the unit ball: D is that of
        SelfTuned(density) times (n w / (k V))^{2/m}. rho has kinks: it serves sums over points, not the expansion.

        Args:
            points: (n, D); copies count once.
            k: which neighbour, less than the number of distinct points.

        Raises:
            ConfigError: if k is not a positive integer below the number of distinct points.
            DataError: if the points are not finite or have the wrong shape.

        Example:
            >>> import numpy as np, attnflow as af
            >>> cost = af.SelfTuned.of_neighbours(np.array([[0.0], [1.0], [3.0]]), k=1)
            >>> float(cost(np.array([0.0]), np.array([3.0])))  # rho = 1 and 2
            4.5
        """
        distinct = np.unique(check_points(points, "points"), axis=0)
        if check_integer(k, "k", minimum=1) >= len(distinct):
            raise ConfigError(f"`k` must be below the number of distinct points, {len(distinct)}, got {k}.")
        return _OfNeighbours(distinct, k)


@value
class _OfNeighbours(InLocalUnits):
    """The cost in units of the distance to the k-th nearest of distinct points (n, D)."""

    points: np.ndarray
    k: int

    def __repr__(self) -> str:
        return f"SelfTuned.of_neighbours({in_brief(self.points)}, k={self.k})"

    @property
    def ambient_dim(self) -> int:  # type: ignore[override]
        return self.points.shape[1]

    def _unit(self, x: jax.Array) -> jax.Array:
        squares = jnp.sum((self.points - x[None, :]) ** 2, axis=1)
        others = jnp.where(squares > 0, squares, jnp.inf)
        return jnp.sqrt(-jax.lax.top_k(-others, self.k)[0][-1])

    def _units(self, points: Any) -> Any:
        if is_traced(points, self.points):
            return _compiled_units(self, points)
        distances = np.asarray(cKDTree(self.points).query(points, k=self.k + 1)[0])
        return np.where(distances[:, 0] > 0, distances[:, self.k - 1], distances[:, self.k])
