"""What a manifold must offer, what it may offer, and what follows from these."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Self

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_points
from attnflow._lifting import evaluate
from attnflow._tracing import register_fixed
from attnflow.errors import ConfigError, ConvergenceError, DataError, PrecisionError
from attnflow.measures import DiscreteMeasure

if TYPE_CHECKING:
    from builtins import property as required
else:

    class required:  # noqa: N801
        """An attribute that a subclass must give: in its class, as a property, as a field, or in its `__init__`.

        An abstract `property` would stand in the way of the last two: Python finds it before what is set on an object,
        and it cannot be set.
        """

        def __init__(self, describe: Callable) -> None:
            self.__doc__ = describe.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, obj: Any, cls: type) -> NoReturn:
            raise AttributeError(f"`{cls.__name__}` does not say its `{self.name}`.")  # hasattr answers no


MEMBERSHIP_TOLERANCE = 1e-8
REQUIRED = ("dim", "ambient_dim", "volume", "is_compact", "has_boundary")
LOG_SMALLEST, LOG_LARGEST = -708.0, 709.0  # of the numbers of float64 in full precision
MAX_NODES = 4_000_000  # of a quadrature that an answer needs; on T^3 they take 250 MB
LARGEST_RULE = 100_000_000  # nodes of one that is asked for by name
SMALLEST_DEGREE = 4  # of a rule whose nodes are to be many
MAX_DEGREE = 10_000  # of a rule whose nodes are to be many: one that is not larger by then does not grow


class Manifold(ABC):
    """An m-dimensional Riemannian manifold M embedded in R^D with the induced metric.

    A manifold of your own is a subclass that says `dim`, `ambient_dim`, `volume`, `is_compact` and `has_boundary` and
    writes `retract` and `quadrature`: densities, LaplaceExpansion, PopulationAttention and DriftDiffusion.generator
    then serve it. JAX takes it as an argument of what it compiles, and never looks into it. The rest is optional and
    brings:

        sample_uniform    samples of every density, by rejection
        along             curves: samples of every density by inversion, without rejection
        tangent_frame     a frame cheaper than the one found from the derivative of `retract`
        tangential        the projection on the tangent space by a formula, for tokens that move
        residual          a membership test cheaper than the distance to `retract`
        project           what `retract` does to many points at once, faster
        quadrature_size   the refusal of a rule that is too large before it is made
        spread            another choice of the points where minimisers are looked for

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> class LargeCircle(af.Manifold):
        ...     dim, ambient_dim, volume, is_compact, has_boundary = 1, 2, 4 * np.pi, True, False
        ...
        ...     def retract(self, y):
        ...         return 2 * y / jnp.linalg.norm(y)
        ...
        ...     def quadrature(self, degree):
        ...         angles = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
        ...         weights = np.full(degree + 1, self.volume / (degree + 1))
        ...         return af.DiscreteMeasure(2 * np.column_stack([np.cos(angles), np.sin(angles)]), weights)
        >>> af.enable_x64()
        >>> p = af.LogDensity(LargeCircle(), lambda x: 0.4 * x[0])
        >>> limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), p)
        >>> np.round(limit.drift(np.array([0.0, 2.0])), 12)  # the tangential part of grad log p
        array([0.4, 0. ])
    """

    is_examined = False  # whether the tests of the class have done so, and its parts are taken on trust

    @required
    @abstractmethod
    def dim(self) -> int:
        """The intrinsic dimension m."""

    @required
    @abstractmethod
    def ambient_dim(self) -> int:
        """The dimension D of the space that holds the points."""

    @required
    @abstractmethod
    def volume(self) -> float:
        """vol(M), infinite on Euclidean space."""

    @required
    @abstractmethod
    def is_compact(self) -> bool:
        """Whether M is compact: then it has a quadrature and a uniform density."""

    @required
    @abstractmethod
    def has_boundary(self) -> bool:
        """Whether M ends somewhere, as an interval does."""

    @property
    def log_volume(self) -> float:
        """The logarithm of vol(M), finite also in many dimensions, where the volume itself is no number of float64."""
        return math.log(self.volume)

    def __new__(cls, *_: Any, **__: Any) -> Self:
        missing = sorted(cls.__abstractmethods__)
        if missing:
            raise ConfigError(
                f"`{cls.__name__}` lacks {' and '.join(f'`{name}`' for name in missing)}, which every manifold must "
                "offer. Write it in this class; af.Manifold says what it returns."
            )
        register_fixed(cls)
        return super().__new__(cls)

    def __repr__(self) -> str:
        return type(self).__name__

    @abstractmethod
    def retract(self, y: jax.Array) -> jax.Array:
        """Return the point of M nearest to y (D,); smooth near M, written in jax.numpy.

        Generators, drifts and induced metrics are right for any smooth map onto M that leaves points of M where they
        are. Prefer a formula to an iteration: third derivatives of a few unrolled steps take minutes to compile.
        """

    @abstractmethod
    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return nodes and weights whose error vanishes rapidly as `degree` grows.

        On spheres and tori every polynomial in the ambient coordinates (per angle on a torus) of degree at most
        `degree` is integrated exactly; elsewhere the number of nodes per dimension should grow like the degree.
        """

    def quadrature_size(self, degree: int) -> int:
        """Return the number of nodes of `quadrature(degree)`."""
        return len(rule_of(self, degree))

    def tangent_frame(self, x: jax.Array) -> jax.Array:
        """Return an orthonormal basis (D, m) of the tangent space at x (D,).

        Unless written otherwise: the range of the derivative of `retract` at x, which is a projection.
        """
        return jnp.linalg.svd(jax.jacfwd(self.retract)(x))[0][:, : self.dim]

    def tangential(self, x: jax.Array, v: jax.Array) -> jax.Array:
        """Return the tangential part (D,) at x (D,) of a vector v (D,), P_x v = E E' v with the frame E."""
        frame = self.tangent_frame(x)
        return frame @ (frame.T @ v)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return `retract` of many points (N, D)."""
        return evaluate(self.retract, points)

    def residual(self, points: np.ndarray) -> np.ndarray:
        """Return the distance (N,) of each point (N, D) to M."""
        return np.linalg.norm(points - self.project(points), axis=1)

    @property
    def along(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """The map from arc lengths s (N,) in [0, volume) to points (N, D) of a curve; None where there is none.

        It starts anywhere and runs through M once with speed one. A curve of your own just has a method of this name.
        """
        return None

    def sample_uniform(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Return n independent points (n, D) of the normalised volume.

        Raises:
            ConfigError: if the manifold offers neither this nor `along`.
        """
        if self.along is None:
            raise ConfigError(
                f"{self} cannot be sampled: it offers neither `sample_uniform(n, generator)` nor, as a curve may, "
                "`along(lengths)`. Write one of them in its class."
            )
        return self.along(self.volume * generator.random(n))

    def spread(self, n: int) -> np.ndarray:
        """Return at least n points (N, D) spread over M: there minimisers are looked for, and maxima of errors.

        Raises:
            ConvergenceError: if already the smallest rule has more nodes than fit in memory.
        """
        check_size(self.quadrature_size(SMALLEST_DEGREE), self)
        return spread_nodes(self.quadrature, n, on=self)

    def chart_at(self, x: jax.Array) -> Callable[[jax.Array], jax.Array]:
        """Return a smooth chart u (m,) -> retract(x + E(x) u) around x, with chart(0) = x.

        The retraction is the nearest-point map, so the chart agrees with normal coordinates to second order: at u = 0
        derivatives of order one and two are the covariant ones.
        """
        frame = self.tangent_frame(x)
        return lambda u: self.retract(x + frame @ u)

    def check(self, points: object, name: str) -> np.ndarray:
        """Return points as (N, D) float64 on M.

        Raises:
            DataError: if a point is not on M, with the largest distance.
        """
        array = check_points(points, name, ambient_dim=self.ambient_dim)
        residual = self.residual(array)
        if residual.max() > MEMBERSHIP_TOLERANCE:
            worst = int(np.argmax(residual))
            raise DataError(
                f"`{name}` is not on {self}: the largest distance is {residual[worst]:.3g}, at row {worst}. "
                "Project them first, in float64: jax.vmap(manifold.retract)(np.asarray(points, float))."
            )
        return array


def volume_of(manifold: Manifold) -> float:
    """Return the volume of a manifold in many dimensions from its logarithm.

    Raises:
        PrecisionError: if it is no number of float64.
    """
    if not LOG_SMALLEST < manifold.log_volume < LOG_LARGEST:
        raise PrecisionError(
            f"the volume of {manifold} is e^{manifold.log_volume:.4g}, which is no number of float64. Use its "
            "`log_volume`."
        )
    return math.exp(manifold.log_volume)


def check_size(nodes: int, manifold: Manifold, *, most: int = MAX_NODES) -> None:
    """Raise ConvergenceError if a quadrature would have more nodes than fit in memory."""
    if nodes > MAX_NODES:
        count = str(nodes) if nodes < 10**15 else f"1e{int(math.log10(nodes))}"
        raise ConvergenceError(
            f"a quadrature of {count} nodes would be needed on {manifold}, at most {most} are allowed. Use a "
            "larger bandwidth, a larger `rtol` or fewer dimensions."
        )


def rule_of(manifold: Manifold, degree: int) -> DiscreteMeasure:
    """Return `quadrature(degree)` of a manifold.

    Raises:
        DataError: if it is no DiscreteMeasure of points (Q, D).
    """
    rule = manifold.quadrature(degree)
    if not isinstance(rule, DiscreteMeasure):
        raise DataError(
            f"`quadrature` of {manifold} must return a DiscreteMeasure, got {type(rule).__name__}. Write "
            "`return af.DiscreteMeasure(points, weights)`."
        )
    if rule.ambient_dim != manifold.ambient_dim:
        raise DataError(
            f"the nodes of `quadrature` of {manifold} must have shape (Q, {manifold.ambient_dim}), got "
            f"{rule.points.shape}. Correct them or `ambient_dim`."
        )
    return rule


def spread_nodes(quadrature: Callable[[int], DiscreteMeasure], n: int, *, on: Manifold) -> np.ndarray:
    """Return the nodes (N, D) of the first of a few rules on a manifold that has at least n of them.

    Raises:
        DataError: if the rules do not grow.
    """
    degree = SMALLEST_DEGREE
    nodes = quadrature(degree).points
    while len(nodes) < n:
        degree = 3 * degree // 2
        if degree > MAX_DEGREE:
            raise DataError(
                f"`quadrature` of {on} has only {len(nodes)} nodes at degree {MAX_DEGREE}. Let it have more nodes as "
                "the degree grows."
            )
        nodes = quadrature(degree).points
    return nodes
