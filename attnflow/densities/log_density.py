"""A density by its logarithm, up to a constant."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax.tree_util import Partial

from attnflow._programs import at_point
from attnflow._values import derived, freeze, static, value
from attnflow.densities.base import Density
from attnflow.densities.integration import integrate
from attnflow.densities.sampling import draw
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.checks import check_manifold


@value
class LogDensity(Density):
    """The density p proportional to exp(log_weight(x)) on a compact manifold.

    Normalised by quadrature, refined until two resolutions agree to 1e-13, and with a closer look at 2^16 places of a
    curve, 2^17 elsewhere. It sees a spike, taken as a Gaussian, of any width above 1e-5 on the unit circle, .002 on S^2
    and T^2, .02 on S^3 and T^3; a narrower one may be missed. A spike that is seen is resolved, or refused.

    Sampled exactly: by inversion on curves, elsewhere by rejection from the uniform density with a bound that
    every proposal checks.

    Args:
        manifold: a compact manifold.
        log_weight: the unnormalised log-density of one ambient point (D,), written in jax.numpy, smooth. For a sweep
            over parameters pass jax.tree_util.Partial(function, *parameters): it is compiled once.

    Raises:
        ConfigError: if the manifold is not compact, or `log_weight` not a function.
        DataError: if the parts of a manifold of your own contradict each other.
        ConvergenceError: if the quadrature does not converge (the log-density is not smooth enough, or too narrow), or
            has too many nodes (more than four dimensions).

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> p = af.LogDensity(af.Sphere(2), lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1])
        >>> nodes, weights = p.quadrature(40)
        >>> bool(abs(weights.sum() - 1) < 1e-12)
        True
    """

    manifold: Manifold = static()
    log_weight: Partial
    log_normalizer: float = derived()
    log_bound: float = derived()

    def __init__(self, manifold: Manifold, log_weight: Callable) -> None:
        if not check_manifold(manifold).is_compact:
            raise ConfigError(f"LogDensity needs a compact manifold, got {manifold}. Use af.Gaussian on it.")
        if not callable(log_weight):
            raise ConfigError(f"`log_weight` must be a function of one point, got {type(log_weight).__name__}.")
        partial = log_weight if isinstance(log_weight, Partial) else Partial(log_weight)
        freeze(self, manifold=manifold, log_weight=partial, log_normalizer=0.0, log_bound=0.0)
        log_normalizer, log_bound = integrate(self)
        freeze(self, log_normalizer=log_normalizer, log_bound=log_bound - log_normalizer)

    def log_density(self, x: jax.Array) -> jax.Array:
        return at_point(self.log_weight, x, name="log_weight", scalar=True) - self.log_normalizer

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return draw(self, generator, log_bound=self.log_bound)
