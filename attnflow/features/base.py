"""What a spectrum must offer: frequencies, and how dense they are at zero."""

from __future__ import annotations

from abc import ABC, abstractmethod

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._tracing import Traceable
from attnflow.errors import ConfigError

_ROUND = 1e-8  # relative, to which a Hessian is a multiple of the identity


class FrequencySpectrum(Traceable, ABC):
    """The law of the frequencies of a kernel, kappa(z) = E cos <w, z>; it depends on |w| alone.

    A small bandwidth sees its density s near zero: attention tends to that of |x - y|^2 / c, c = -d^2 log s(0) along
    any direction, also where kappa is negative somewhere.

    Example:
        >>> import jax, jax.numpy as jnp, attnflow as af
        >>> class Laplacian(af.FrequencySpectrum):  # on curves in the plane: kappa = e^{-|z|}
        ...     def sample(self, key, count, dim):
        ...         top, bottom = jax.random.split(key)
        ...         return jax.random.normal(top, (count, dim)) / jnp.abs(jax.random.normal(bottom, (count, 1)))
        ...
        ...     def log_density(self, frequency):
        ...         return -(frequency.size + 1) / 2 * jnp.log1p(jnp.sum(frequency**2))
        >>> af.enable_x64()
        >>> round(Laplacian().scale(1), 6)
        2.0
    """

    @abstractmethod
    def sample(self, key: jax.Array, count: int, dim: int) -> jax.Array:
        """Return frequencies w, (count, D), of kappa on R^D."""

    @abstractmethod
    def log_density(self, frequency: jax.Array) -> jax.Array:
        """Return log s(w), up to a constant, of the kernel restricted to a plane of m dimensions, w of shape (m,)."""

    def scale(self, dim: int) -> float:
        """Return c in m dimensions, int z z' kappa / int kappa = c I on a tangent space.

        Args:
            dim: m.

        Raises:
            ConfigError: if c is not positive and finite, or the density depends on more than |w|.
        """
        with jax.core.eval_context():
            hessian = -np.asarray(jax.hessian(self.log_density)(jnp.zeros(dim)))
        scale = float(np.trace(hessian)) / dim
        if not (np.isfinite(scale) and scale > 0):
            raise ConfigError(
                f"the density of {self!r} has second derivatives -{scale:.4g} of its logarithm at zero: attention with "
                "this kernel does not tend to a diffusion. The density must be positive and largest there."
            )
        if np.abs(hessian - scale * np.eye(dim)).max() > _ROUND * scale:
            raise ConfigError(
                f"the density of {self!r} is not one of |w| alone near zero, and its limit depends on directions of "
                "the ambient space. Transform the points instead."
            )
        return scale
