"""Manifolds given by one smooth map from a circle, a flat torus or a sphere: all that is asked of them follows."""

from __future__ import annotations

import functools
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._lifting import evaluate, map_blocks
from attnflow._programs import at_point
from attnflow._tracing import Fixed
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.manifolds.base import MAX_NODES, Manifold, required, rule_of
from attnflow.manifolds.curves import ArcLength, arc_length
from attnflow.manifolds.maps import Survey, nearest, survey
from attnflow.measures import DiscreteMeasure

_STEPS = 6  # of Gauss and Newton from the nearest of some thousand places: the error is squared in each
_FIRST_DEGREE = 24
_SETTLED = 1e-13  # of two volumes, relative
_MARGIN = 0.01  # by which the volume element may exceed the largest found; every proposal is checked


class EmbeddedManifold(Manifold):
    r"""The image M of a circle, a flat torus or a sphere R under one smooth map phi, with the metric of R^D.

    A manifold of your own is a subclass that names its `reference` R and writes the map, `embed`. Its volume element
    sqrt det(J'J), J = d phi, its quadrature, its samples and its charts follow, and DriftDiffusion solves on R what it
    is asked on M. That phi is an immersion and does not meet itself is examined at some 4000 places, before anything is
    computed.

    A formula for the inverse of phi may be written as `locate`; otherwise it is found by the method of Gauss and
    Newton from the nearest of these places.

    Attributes:
        reference: R, such as Circle(), FlatTorus(2) or Sphere(2).

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> class Bean(af.EmbeddedManifold):
        ...     reference = af.Sphere(2)
        ...
        ...     def embed(self, theta):
        ...         return theta * jnp.array([1.0, 0.8, 1.5]) + 0.3 * theta[2] ** 2 * jnp.array([1.0, 0.0, 0.0])
        >>> af.enable_x64()
        >>> p = af.LogDensity(Bean(), lambda x: 0.4 * x[0])
        >>> limit = af.DriftDiffusion(af.Attention(af.SquaredDistance(), bandwidth=0.1), p)
        >>> at = p.quadrature(4).points
        >>> bool(np.ptp(limit.evolve(lambda x: x[2], times=100.0, at=at).values) < 1e-8)  # it has settled
        True
    """

    is_compact = True
    has_boundary = False
    is_one_to_one = False  # whether that is known of every map of the class, and need not be examined

    @property
    def is_examined(self) -> bool:  # type: ignore[override]
        """Whether the parts are taken on trust: all but a formula of a user's own for the inverse."""
        return type(self).locate is EmbeddedManifold.locate

    @required
    @abstractmethod
    def reference(self) -> Manifold:
        """The manifold R that is mapped."""

    @abstractmethod
    def embed(self, theta: jax.Array) -> jax.Array:
        """Return the point phi(theta) (D,) of a point theta of R, written in jax.numpy, smooth."""

    def locate(self, x: jax.Array) -> jax.Array:
        """Return the point theta of R with phi(theta) = x, or, for x near M, with phi(theta) near x; smooth.

        Unless written otherwise, it has first derivatives only.
        """
        known = self._survey
        offsets = jnp.sum(known.points**2, axis=1) - 2 * jnp.asarray(known.points) @ jax.lax.stop_gradient(x)
        return self._refine(x, jnp.asarray(known.places)[jnp.argmin(offsets)])

    def check_map(self) -> None:
        """Raise an error unless phi is an immersion that does not meet itself.

        Raises:
            ConfigError: if it is not said what is mapped.
            DataError: if phi is no such map, naming the place.
        """
        if not isinstance(getattr(self, "reference", None), Manifold):
            raise ConfigError(
                f"`{type(self).__name__}` does not say its `reference`, the manifold that is mapped. Set it in the "
                "class, such as reference = af.Sphere(2)."
            )
        survey(Fixed(self))

    @property
    def dim(self) -> int:
        return self.reference.dim

    @property
    def ambient_dim(self) -> int:
        return self._survey.points.shape[1]

    @property
    def volume(self) -> float:
        return _volume(Fixed(self))

    @property
    def volume_range(self) -> tuple[float, float]:
        """The least and the largest volume element."""
        return self._survey.least, self._survey.largest

    @property
    def along(self) -> Callable[[np.ndarray], np.ndarray] | None:
        return self._along if self.dim == 1 else None

    def retract(self, y: jax.Array) -> jax.Array:
        return self.embed(self.locate(y))

    def places(self, points: np.ndarray) -> np.ndarray:
        """Return the points (N, D') of R that are mapped to points (N, D) of M."""
        if type(self).locate is not EmbeddedManifold.locate:
            return evaluate(self.locate, points)
        return map_blocks(functools.partial(_refined, Fixed(self)), points, nearest(Fixed(self), points))

    def points(self, places: np.ndarray) -> np.ndarray:
        """Return the points (N, D) of M to which points (N, D') of R are mapped."""
        return evaluate(self.embed, places)

    def residual(self, points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - self.points(self.places(points)), axis=1)

    def derivative(self, theta: jax.Array) -> jax.Array:
        """Return J (D, m), the derivative of phi along the frame of R at theta."""
        frame = self.reference.tangent_frame(theta)
        return jax.vmap(lambda along: jax.jvp(self.embed, (theta,), (along,))[1], in_axes=1, out_axes=1)(frame)

    def log_volume_element(self, theta: jax.Array) -> jax.Array:
        """Return log sqrt det(J'J) at a point theta of R."""
        return jnp.log(orthonormalise(self.derivative(theta))[2]).sum()

    def volume_elements(self, places: np.ndarray) -> np.ndarray:
        """Return sqrt det(J'J) (N,) at points (N, D') of R."""
        return np.exp(evaluate(self.log_volume_element, places))

    def tangent_frame(self, x: jax.Array) -> jax.Array:
        return orthonormalise(self.derivative(self.locate(x)))[0]

    def chart_at(self, x: jax.Array) -> Callable[[jax.Array], jax.Array]:
        """Return a chart that agrees with normal coordinates to second order.

        With E = J A orthonormal and y(w) = phi(chart of R at A w): u -> y(u - Gamma(u, u) / 2), Gamma^k_ij = E_k .
        d_ij y, whose second derivatives are normal to M.
        """
        chart = self.reference.chart_at(self.locate(x))
        origin = jnp.zeros(self.dim, x.dtype)
        frame, axes, _ = orthonormalise(jax.jacfwd(lambda w: self.embed(chart(w)))(origin))

        def straight(w: jax.Array) -> jax.Array:
            return self.embed(chart(axes @ w))

        bend = jnp.einsum("dk,dij->kij", frame, jax.jacfwd(jax.jacfwd(straight))(origin))
        return lambda u: straight(u - 0.5 * bend @ u @ u)

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return the nodes of R for a degree that is higher by how much phi stretches, weighed by volume elements."""
        places, weights = rule_of(self.reference, self._degree(degree))
        return DiscreteMeasure(self.points(places), weights * self.volume_elements(places))

    def quadrature_size(self, degree: int) -> int:
        return self.reference.quadrature_size(self._degree(degree))

    def sample_uniform(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Return n independent points (n, D), of curves by arc length, elsewhere by rejection on R.

        Raises:
            DataError: if a volume element exceeds its bound.
        """
        if self.dim == 1:
            return super().sample_uniform(n, generator)
        bound = (1 + _MARGIN) * self._survey.largest
        kept: list[np.ndarray] = []
        while sum(map(len, kept)) < n:
            proposals = self.reference.sample_uniform(max(n, 64), generator)
            ratios = self.volume_elements(proposals) / bound
            if ratios.max() > 1:
                raise DataError(
                    f"the volume element of {self} exceeds its bound by {ratios.max() - 1:.3g}, at "
                    f"{self.describe(proposals[np.argmax(ratios)])}: it is too peaked to be resolved. Use a "
                    "smoother map."
                )
            kept.append(proposals[generator.random(len(proposals)) < ratios])
        return self.points(np.concatenate(kept)[:n])

    def describe(self, theta: np.ndarray) -> str:
        """Return a point of R in words."""
        return f"{np.round(theta, 4).tolist()} of {self.reference}"

    def checked_embed(self, theta: jax.Array) -> jax.Array:
        """Return phi(theta), where it is not yet known to be a point.

        Raises:
            DataError: if it is none.
        """
        point = at_point(self.embed, theta, name="embed")
        if point.ndim != 1 or len(point) <= self.dim:
            shape = "a number" if point.ndim != 1 else f"shape {point.shape}"
            raise DataError(
                f"the map of {self} must return a point (D,) with D > {self.dim}, got {shape}. Return its coordinates."
            )
        return point

    def _refine(self, x: jax.Array, theta: jax.Array) -> jax.Array:
        def step(x: jax.Array, theta: jax.Array) -> jax.Array:
            frame, axes, _ = orthonormalise(self.derivative(theta))
            move = axes @ (frame.T @ (x - self.embed(theta)))
            return self.reference.retract(theta + self.reference.tangent_frame(theta) @ move)

        fixed = jax.lax.stop_gradient(x)
        theta = jax.lax.fori_loop(0, _STEPS, lambda _, theta: step(fixed, theta), theta)
        return step(x, jax.lax.stop_gradient(theta))  # which has the derivative of the inverse

    def _degree(self, degree: int) -> int:
        return math.ceil(degree * max(1.0, self._survey.stretch))

    @property
    def _survey(self) -> Survey:
        return survey(Fixed(self))

    @property
    def _arc_length(self) -> ArcLength:
        return arc_length(Fixed(self))

    def _along(self, lengths: np.ndarray) -> np.ndarray:
        return self.points(self._arc_length.places(lengths))


def orthonormalise(vectors: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return E, A and s with E = V A orthonormal, A upper triangular and s the lengths, prod s = sqrt det(V'V).

    Args:
        vectors: V, (D, m), independent.
    """
    frame: list[Any] = []
    axes: list[Any] = []
    lengths = []
    for k in range(vectors.shape[1]):
        rest, axis = vectors[:, k], jnp.zeros(vectors.shape[1], vectors.dtype).at[k].set(1.0)
        for unit, other in zip(frame, axes, strict=True):
            share = unit @ rest
            rest, axis = rest - share * unit, axis - share * other
        lengths.append(jnp.sqrt(rest @ rest))
        frame.append(rest / lengths[-1])
        axes.append(axis / lengths[-1])
    return jnp.stack(frame, axis=1), jnp.stack(axes, axis=1), jnp.stack(lengths)


@functools.partial(jax.jit, static_argnums=0)
def _refined(manifold: Fixed, points: jax.Array, starts: jax.Array) -> jax.Array:
    return jax.vmap(manifold.content._refine)(points, starts)


@functools.lru_cache(maxsize=64)
def _volume(fixed: Fixed) -> float:
    """Return the integral of the volume element over R, at the first degree that moves it by 1e-13 at most.

    Raises:
        ConvergenceError: if there is none.
    """
    manifold: EmbeddedManifold = fixed.content
    if manifold.dim == 1:
        return arc_length(fixed).length
    survey(fixed)
    degree, volumes = _FIRST_DEGREE, [math.nan]
    while manifold.reference.quadrature_size(degree) <= MAX_NODES:
        places, weights = rule_of(manifold.reference, degree)
        volumes.append(float(np.sum(weights * manifold.volume_elements(places))))
        if abs(volumes[-1] - volumes[-2]) <= _SETTLED * volumes[-1]:
            return volumes[-1]
        degree = 3 * degree // 2
    raise ConvergenceError(
        f"the volume of {manifold} does not settle: it moves by {abs(volumes[-1] - volumes[-2]):.3g} of "
        f"{volumes[-1]:.6g}. Use a map that is smooth."
    )
