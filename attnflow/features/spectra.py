"""The spectra that have names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from attnflow._checks import check_positive
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.features.base import FrequencySpectrum


@value
class GaussianSpectrum(FrequencySpectrum):
    """Normal frequencies: kappa(z) = e^{-|z|^2/2}, softmax attention itself.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> af.GaussianSpectrum().scale(2)
        1.0
    """

    def sample(self, key: jax.Array, count: int, dim: int) -> jax.Array:
        return jax.random.normal(key, (count, dim), float)

    def log_density(self, frequency: jax.Array) -> jax.Array:
        return -0.5 * jnp.sum(frequency**2)


@value
class MaternSpectrum(FrequencySpectrum):
    """Student's frequencies: kappa is Matern's, 2^{1-nu}/Gamma(nu) (sqrt(2 nu) |z|)^nu K_nu(sqrt(2 nu) |z|).

    The generator is 1 + m / (2 nu) times that of the Gaussian kernel.

    Args:
        nu: smoothness, positive.

    Raises:
        ConfigError: if nu is not positive and finite.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> round(af.MaternSpectrum(1.5).scale(3), 12)
        2.0
    """

    nu: float

    def __init__(self, nu: float) -> None:
        freeze(self, nu=check_positive(nu, "nu"))

    def sample(self, key: jax.Array, count: int, dim: int) -> jax.Array:
        normal, gamma = jax.random.split(key)
        halves = jax.random.gamma(gamma, self.nu, (count, 1), float) / self.nu  # chi squared of 2 nu, over 2 nu
        return jax.random.normal(normal, (count, dim), float) / jnp.sqrt(halves)

    def log_density(self, frequency: jax.Array) -> jax.Array:
        return -(self.nu + frequency.size / 2) * jnp.log1p(jnp.sum(frequency**2) / (2 * self.nu))


@value
class CauchySpectrum(FrequencySpectrum):
    """Cauchy's frequencies: kappa(z) = e^{-|z|}; the generator is m + 1 times that of the Gaussian kernel.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> round(af.CauchySpectrum().scale(2), 12)
        3.0
    """

    def sample(self, key: jax.Array, count: int, dim: int) -> jax.Array:
        top, bottom = jax.random.split(key)
        return jax.random.normal(top, (count, dim), float) / jnp.abs(jax.random.normal(bottom, (count, 1), float))

    def log_density(self, frequency: jax.Array) -> jax.Array:
        return MaternSpectrum(0.5).log_density(frequency)


@value
class SampledSpectrum(FrequencySpectrum):
    """Frequencies of which nothing is known but how to draw them: there are sums, but no limit.

    Args:
        sampler: (key, count, dim) -> (count, dim).
    """

    sampler: Callable = static()

    def sample(self, key: jax.Array, count: int, dim: int) -> jax.Array:
        return self.sampler(key, count, dim)

    def log_density(self, frequency: Any) -> jax.Array:
        raise ConfigError(
            "a function that draws frequencies does not tell their density at zero, from which the limit follows. Pass "
            "a FrequencySpectrum with a `log_density`."
        )


NAMED: dict[str, type[FrequencySpectrum]] = {"gaussian": GaussianSpectrum, "cauchy": CauchySpectrum}
