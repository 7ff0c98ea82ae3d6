r"""The generator of a heat flow under any metric, by automatic differentiation in a chart.

L f = (1/c) div_h(k grad_h f),   C = 2 (k/c) h^{-1},   b = (1/(c sqrt det h)) div(k sqrt(det h) h^{-1})
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._compiling import compile_promptly, compile_roughly
from attnflow._lifting import map_blocks
from attnflow._programs import at_point
from attnflow._tracing import Fixed
from attnflow.densities.pulled_back import PulledBack
from attnflow.equations.expansions.coefficients import MANY_ROWS, AmbientCoefficients, applied, laplacian_drift_of
from attnflow.equations.expansions.matrices import inverse, log_volume
from attnflow.equations.expansions.smoothness import derivative_and_value
from attnflow.errors import DataError
from attnflow.manifolds.base import Manifold


class _Raw(NamedTuple):
    """Per point C and b in the frame and in R^D, and what must be positive: h in the frame, and c and k."""

    diffusion: Any
    drift: Any
    ambient_diffusion: Any
    ambient_drift: Any
    metric: Any
    parts: Any


class HeatExpansion:
    """The generator of d_t u = (1/c) div_h(k grad_h u) on a manifold.

    Args:
        manifold: M.
        metric: h, one ambient point (D,) -> (D, D), of which the tangent part is seen, or a scalar, for that times the
            metric of M.
        specific_heat: c, one ambient point -> scalar.
        conductivity: k, one ambient point -> scalar.
    """

    def __init__(
        self, manifold: Manifold, *, metric: Callable, specific_heat: Callable, conductivity: Callable
    ) -> None:
        self.manifold = manifold
        self._metric, self._specific_heat, self._conductivity = metric, specific_heat, conductivity

    def metric(self, x: jax.Array) -> jax.Array:
        """Return h at one point (D,) as a tensor (D, D) of R^D."""
        dim = self.manifold.ambient_dim
        found = at_point(lambda y: jnp.ravel(jnp.asarray(self._metric(y))), x, name="metric")
        if found.size not in (1, dim * dim):
            raise DataError(
                f"`metric` must return a scalar or shape ({dim}, {dim}) for one point, got {found.size} numbers. "
                "Return a conformal factor, or the metric as a tensor of the ambient space."
            )
        return found * jnp.eye(dim) if found.size == 1 else found.reshape(dim, dim)

    def log_equilibrium(self, x: jax.Array) -> jax.Array:
        """Return log of c sqrt(det h / det g) at one point (D,): what heat at one temperature weighs."""
        frame = self.manifold.tangent_frame(x)
        return jnp.log(self._heat(x)) + log_volume(frame.T @ self.metric(x) @ frame)

    def coefficients(self, points: np.ndarray) -> AmbientCoefficients:
        """Return C and b at points (Q, D), as tensors of R^D."""
        raw = self._raw(points)
        return AmbientCoefficients(points, raw.ambient_diffusion, raw.ambient_drift)

    def log_law(self, points: np.ndarray) -> np.ndarray:
        """Return the logarithm of the equilibrium (Q,): every heat flow is reversible."""
        return map_blocks(jax.jit(jax.vmap(self.log_equilibrium)), points)

    def generator(self, f: Callable, at: object) -> np.ndarray:
        """Return L f at points (Q, D): (Q,), or (Q, c) for a vector f."""
        points = np.asarray(at)
        raw = self._raw(points)
        return map_blocks(functools.partial(applied, f, Fixed(self.manifold)), raw.diffusion, raw.drift, points)

    def pulled_back(self, density: PulledBack) -> HeatExpansion:
        """Return the same heat flow on the manifold that is mapped to M."""
        image = density.image

        def metric(theta: jax.Array) -> jax.Array:
            along, frame = image.derivative(theta), image.reference.tangent_frame(theta)
            return frame @ (along.T @ self.metric(image.embed(theta)) @ along) @ frame.T

        def specific_heat(theta: jax.Array) -> jax.Array:
            return self._heat(image.embed(theta))

        def conductivity(theta: jax.Array) -> jax.Array:
            return self._spread(image.embed(theta))

        return HeatExpansion(image.reference, metric=metric, specific_heat=specific_heat, conductivity=conductivity)

    def require_positive(self, points: np.ndarray) -> None:
        """Raise DataError, naming the place, unless h, c and k are positive at points (Q, D)."""
        self._raw(points)

    def _raw(self, points: np.ndarray) -> _Raw:
        raw: _Raw = map_blocks(self._compiled_for_many if len(points) > MANY_ROWS else self._compiled, points)
        finite = np.isfinite(raw.metric).all(axis=(1, 2))
        smallest = np.linalg.eigvalsh(np.where(finite[:, None, None], raw.metric, 0.0))[:, :1]
        positive = np.hstack([smallest, raw.parts])
        wrong = ~((positive > 0) & np.isfinite(positive))
        if wrong.any():
            row, part = np.argwhere(wrong)[0]
            name = ("metric", "specific_heat", "conductivity")[part]
            raise DataError(
                f"`{name}` must be positive and finite on {self.manifold}, got {positive[row, part]:.3g} at "
                f"{np.round(points[row], 4).tolist()}. Mend it there."
            )
        return raw

    def _heat(self, x: jax.Array) -> jax.Array:
        return at_point(self._specific_heat, x, name="specific_heat", scalar=True)

    def _spread(self, x: jax.Array) -> jax.Array:
        return at_point(self._conductivity, x, name="conductivity", scalar=True)

    @functools.cached_property
    def _compiled(self) -> Callable[[np.ndarray], _Raw]:
        return compile_roughly(jax.vmap(self._one))

    @functools.cached_property
    def _compiled_for_many(self) -> Callable[[np.ndarray], _Raw]:
        return compile_promptly(jax.vmap(self._one))

    def _one(self, x: jax.Array) -> _Raw:
        chart = self.manifold.chart_at(x)
        origin = jnp.zeros(self.manifold.dim, x.dtype)

        def local_metric(u: jax.Array) -> jax.Array:
            along = jax.jacfwd(chart)(u)
            return along.T @ self.metric(chart(u)) @ along

        def conductivity(u: jax.Array) -> jax.Array:
            return self._spread(chart(u))

        slopes, local = derivative_and_value(local_metric)(origin)
        bend, spread = derivative_and_value(conductivity)(origin)
        heat = self._heat(x)
        inverted = inverse(local)
        diffusion = 2 * spread / heat * inverted
        drift = 2 * spread / heat * laplacian_drift_of(slopes, inverted) + inverted @ bend / heat
        frame = self.manifold.tangent_frame(x)
        parts = jnp.stack([heat, spread])
        return _Raw(diffusion, drift, frame @ diffusion @ frame.T, frame @ drift, local, parts)
