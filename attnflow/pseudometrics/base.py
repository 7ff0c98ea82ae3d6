"""What a pseudo-metric must offer: its cost for one pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from attnflow._checks import check_real
from attnflow._tracing import Traceable, is_known, is_traced, primal
from attnflow._values import freeze, static, value
from attnflow._words import in_brief
from attnflow.errors import DataError


class Factors(NamedTuple):
    """Maps of points (n, D) to rows (n, K), in the library that the points are of, NumPy or JAX."""

    of_queries: Callable
    of_keys: Callable


class Mapped(NamedTuple):
    """A cost as the squared distance of mapped points and potentials, D(x, y) = |a(x) - b(y)|^2 + r(x) + c(y).

    Maps take points (n, D) in the library that they are of, NumPy or JAX, and return rows (n, K); where a and b are one
    map they are one object. Potentials return (n,), and are None where there are none. Another cost C(a(x), b(y)) may
    stand in the place of the squared distance.
    """

    of_queries: Callable
    of_keys: Callable
    row: Callable | None = None
    column: Callable | None = None
    cost: PseudoMetric | None = None

    @property
    def has_potentials(self) -> bool:
        """Whether r or c is there: they may be large, and cancel."""
        return self.row is not None or self.column is not None


class PseudoMetric(Traceable, ABC):
    """The cost D(x, y) of a query x and a key y; attention weighs a key by exp(-D(x, y) / (2 eps)).

    Costs add and scale: 2 * cost1 + cost2 is a cost.

    Attributes:
        vanishes_on_diagonal: whether D(x, x) = 0 <= D(x, y) for all y, so that no logit exceeds that of x itself.
        is_definite: whether D(x, y) = 0 at y = x alone, so that no minimiser need be searched for. A cost that vanishes
            on the diagonal is taken at its word unless it says otherwise.
        is_symmetric: whether D(x, y) = D(y, x) for all x and y.
        is_examined: whether the tests of this very class have shown both, and that it is smooth; otherwise that is
            tested between some of the points that it is used on, and at the minimisers.
        is_kernel: whether it is a kernel in the place of a cost, which may be negative and has no logit.
        ambient_dim: D, the number of coordinates of points that it takes; None where it takes any.

    Parameters that are numbers or arrays are seen by JAX; a subclass needs no registration.

    Example:
        >>> import jax.numpy as jnp, attnflow as af
        >>> class Weighted(af.PseudoMetric):
        ...     vanishes_on_diagonal = is_symmetric = True
        ...
        ...     def __init__(self, matrix):
        ...         self.matrix = matrix
        ...
        ...     def __call__(self, x, y):
        ...         return (x - y) @ self.matrix @ (x - y)
        >>> attention = af.Attention(Weighted(jnp.diag(jnp.array([1.0, 4.0]))), bandwidth=0.1)
    """

    vanishes_on_diagonal: bool = False
    is_symmetric: bool = False
    is_examined: bool = False
    is_kernel: bool = False
    ambient_dim: int | None = None
    __array_ufunc__ = None  # a NumPy number times a cost is a cost

    @property
    def is_definite(self) -> bool:
        return self.vanishes_on_diagonal

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("factors", "mapped"):
            if "__call__" in vars(cls) and name not in vars(cls):
                setattr(cls, name, getattr(PseudoMetric, name))  # another cost has others

    @abstractmethod
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return D of one query x (D,) and one key y (D,), written in jax.numpy and smooth in y."""

    def factors(self, radius: Any) -> Factors | None:
        """Return maps a, b of points (n, D) to rows (n, K) with D(x_i, y_j) = -2 a_i . b_j, or None if there are none.

        Sums in many dimensions are then products of matrices.

        Args:
            radius: the size of the keys, by which a and b can be balanced: rounding is relative to |a_i| |b_j|.
        """
        return None

    def mapped(self, center: Any) -> Mapped | None:
        """Return this cost as a plainer one of mapped points, or None if there is none.

        Sums then compute what belongs to one point once for it; of a squared distance there are sums over neighbours,
        by Fourier transforms and on a GPU.

        Args:
            center: a point (D,) amid the keys, from which a cost of differences may count coordinates.
        """
        return None

    def local(self, dim: int) -> PseudoMetric:
        """Return the cost that has the same limit with the Gaussian profile, in `dim` dimensions."""
        return self

    def check(self, points: np.ndarray) -> None:
        """Raise DataError unless the cost is defined at points (N, D), where that is more than a matter of pairs."""

    def __add__(self, other: PseudoMetric) -> PseudoMetric:
        return Sum(self, other) if isinstance(other, PseudoMetric) else NotImplemented

    def __mul__(self, scale: Any) -> PseudoMetric:
        return NotImplemented if isinstance(scale, PseudoMetric) else Scaled(self, scale)

    __rmul__ = __mul__

    def __truediv__(self, scale: Any) -> PseudoMetric:
        return NotImplemented if isinstance(scale, PseudoMetric) else Scaled(self, 1 / scale)


@value
class Sum(PseudoMetric):
    """The sum D(x, y) = D_1(x, y) + D_2(x, y) of two costs, written cost1 + cost2.

    It vanishes on the diagonal, is symmetric and is taken on trust if both are; it is definite if both vanish there and
    one is definite.

    Args:
        first: D_1.
        second: D_2.

    Example:
        >>> import numpy as np, attnflow as af
        >>> cost = af.SquaredDistance() + af.Mahalanobis(np.array([[1.0, 1.0]]))
        >>> float(cost(np.array([1.0, 2.0]), np.array([4.0, 6.0])))
        74.0
    """

    first: PseudoMetric
    second: PseudoMetric

    def __repr__(self) -> str:
        return f"{self.first!r} + {self.second!r}"

    @property
    def vanishes_on_diagonal(self) -> bool:  # type: ignore[override]
        return self.first.vanishes_on_diagonal and self.second.vanishes_on_diagonal

    @property
    def is_definite(self) -> bool:
        return self.vanishes_on_diagonal and (self.first.is_definite or self.second.is_definite)

    @property
    def is_symmetric(self) -> bool:  # type: ignore[override]
        return self.first.is_symmetric and self.second.is_symmetric

    @property
    def is_examined(self) -> bool:  # type: ignore[override]
        return is_trusted(self.first) and is_trusted(self.second)

    @property
    def ambient_dim(self) -> int | None:  # type: ignore[override]
        return self.first.ambient_dim or self.second.ambient_dim

    def check(self, points: np.ndarray) -> None:
        for cost in (self.first, self.second):
            check_dim(cost, points.shape[1])
            cost.check(points)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.first(x, y) + self.second(x, y)

    def mapped(self, center: Any) -> Mapped | None:
        """Return the squared distance of both mapped points side by side, if both are squared distances."""
        first, second = self.first.mapped(center), self.second.mapped(center)
        if first is None or second is None or first.cost or second.cost:
            return None
        of_queries = _side_by_side(first.of_queries, second.of_queries)
        is_one = first.of_queries is first.of_keys and second.of_queries is second.of_keys
        of_keys = of_queries if is_one else _side_by_side(first.of_keys, second.of_keys)
        return Mapped(of_queries, of_keys, _summed(first.row, second.row), _summed(first.column, second.column))


def _side_by_side(first: Callable, second: Callable) -> Callable:
    def both(points: Any) -> Any:
        rows = first(points), second(points)
        return rows[0].__array_namespace__().concatenate(rows, axis=1)

    return both


def _summed(first: Callable | None, second: Callable | None) -> Callable | None:
    if first is None or second is None:
        return first or second
    return lambda points: first(points) + second(points)


@value
class Scaled(PseudoMetric):
    """The multiple s D(x, y) of a cost, written s * cost or cost / t; the limit is that of D with generator L / s [RZ].

    A multiple by a negative number, or by none that is known, is not said to vanish on the diagonal.

    Args:
        pseudometric: D.
        scale: s, a finite number.

    Raises:
        ConfigError: if `scale` is not one finite number.

    Example:
        >>> import numpy as np, attnflow as af
        >>> float((af.SquaredDistance() / 4)(np.array([1.0, 2.0]), np.array([4.0, 6.0])))
        6.25
    """

    pseudometric: PseudoMetric
    scale: Any
    is_positive: bool = static()

    def __repr__(self) -> str:
        inner = f"({self.pseudometric!r})" if isinstance(self.pseudometric, Sum) else repr(self.pseudometric)
        return f"{in_brief(self.scale)} * {inner}"

    def __init__(self, pseudometric: PseudoMetric, scale: Any) -> None:
        known = is_known(scale)
        if known:
            number = check_real(primal(scale), "scale")
        freeze(self, pseudometric=pseudometric, scale=scale if is_traced(scale) else number)
        freeze(self, is_positive=known and number > 0)

    @property
    def vanishes_on_diagonal(self) -> bool:  # type: ignore[override]
        return self.is_positive and self.pseudometric.vanishes_on_diagonal

    @property
    def is_definite(self) -> bool:
        return self.is_positive and self.pseudometric.is_definite

    @property
    def is_symmetric(self) -> bool:  # type: ignore[override]
        return self.pseudometric.is_symmetric

    @property
    def is_examined(self) -> bool:  # type: ignore[override]
        return is_trusted(self.pseudometric)

    @property
    def ambient_dim(self) -> int | None:  # type: ignore[override]
        return self.pseudometric.ambient_dim

    def check(self, points: np.ndarray) -> None:
        self.pseudometric.check(points)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.scale * self.pseudometric(x, y)

    def factors(self, radius: Any) -> Factors | None:
        """Return those of D, the rows of queries multiplied."""
        factors = self.pseudometric.factors(radius)
        return None if factors is None else Factors(lambda x: self.scale * factors.of_queries(x), factors.of_keys)

    def mapped(self, center: Any) -> Mapped | None:
        """Return that of D, with the squared distance of longer rows, or with a multiple of another cost."""
        inner = self.pseudometric.mapped(center) if self.is_positive else None
        if inner is None:
            return None
        row, column = _scaled(inner.row, self.scale), _scaled(inner.column, self.scale)
        if inner.cost:
            return inner._replace(row=row, column=column, cost=Scaled(inner.cost, self.scale))
        of_queries = _scaled(inner.of_queries, self.scale**0.5)
        is_one = inner.of_queries is inner.of_keys
        return Mapped(of_queries, of_queries if is_one else _scaled(inner.of_keys, self.scale**0.5), row, column)


def _scaled(of_points: Callable | None, scale: Any) -> Any:
    return None if of_points is None else lambda points: scale * of_points(points)


def check_dim(cost: PseudoMetric, dim: int) -> None:
    """Raise DataError unless a cost takes points of so many coordinates."""
    if cost.ambient_dim not in (None, dim):
        raise DataError(
            f"{type(cost).__name__} takes points of {cost.ambient_dim} coordinates, got points of {dim}. Pass a cost "
            "whose matrices have as many columns as points have coordinates."
        )


def is_trusted(cost: PseudoMetric) -> bool:
    """Return whether what a cost says of itself has been shown by tests of its very class, or of what it is made of."""
    shown = vars(type(cost)).get("is_examined", False)
    return cost.is_examined if isinstance(shown, property) else bool(shown)
