"""What a profile must offer: the logarithm of the weight h(s) of a key at s = D / eps."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._tracing import Traceable
from attnflow.errors import ConfigError, ConvergenceError

_FAR = 1e100, 1e140  # where the power is read by which h falls: s^(-a) has no other there
_LEVELS, _SETTLED = 14, 1e-13  # halvings of a step, and what two of them agree to; ten are enough
_RANGE = 6.0  # of t in r = exp(pi/2 sinh t): from 1e-137 to 1e137, whose square is still a number
_MARGIN = 0.1  # of a power: r^(-1.1), summed up to there, lacks 1e-14


class Profile(Traceable, ABC):
    """The weight h(s) of a key at s = D(x, y) / eps, between 0 and 1; errors are declared for an h that falls.

    Attention with the weights h(|x - y|^2 / eps) tends to the generator of the Gaussian profile, h = e^{-s/2}, times

        mu_2 / (m mu_0),   mu_j = int |z|^j h(|z|^2) dz   in the dimension m of the manifold.

    Attributes:
        edge: h(s) = 0 for s >= edge; infinite by default.
        is_smooth: whether h(|z|^2) is smooth in z; a quadrature sees a kink slowly.
        is_exponential: whether h(s) = e^{-as}; any other needs a cost that is not negative.
        dim: the dimension that it is made for, if it is for one; a curve's by default.

    Parameters are part of the structure of an attention: JAX does not differentiate by them.

    Example:
        >>> import jax.numpy as jnp, attnflow as af
        >>> af.enable_x64()
        >>> class Logistic(af.Profile):
        ...     def log_weight(self, s):
        ...         return jnp.log(2.0) - jnp.logaddexp(0.0, s)  # 2 / (1 + e^s)
        >>> round(Logistic().scale(1), 6)
        0.632459
    """

    edge: float = math.inf
    is_smooth: bool = False
    is_exponential: bool = False
    dim: int = 1

    @abstractmethod
    def log_weight(self, s: Any) -> Any:
        """Return log h(s), of an array of any shape of NumPy or JAX; minus infinity where h = 0."""

    def logit(self, cost: Any, *, bandwidth: Any, unit: float = 1.0) -> Any:
        """Return log h(D / eps), in units of `unit`.

        Args:
            cost: D, of any shape.
            bandwidth: eps.
            unit: 1 for the natural logarithm; 1 / log 2 makes it the logarithm to base 2.
        """
        return self.log_weight(cost / bandwidth) * unit

    def steepness(self, logits: np.ndarray) -> np.ndarray:
        """Return a bound on the mean of |d log h / d log s| over rows, by which errors of costs are multiplied.

        Args:
            logits: log(sum_j w_j / sum_j w_j h_j) of the rows, the logarithm of how few keys are seen.
        """
        return np.exp(logits) * _steepest(self)

    def scale(self, dim: int) -> float:
        """Return mu_2 / (m mu_0), by which the generator differs from that of the Gaussian profile in m dimensions.

        Args:
            dim: m.

        Raises:
            ConfigError: if the second moment is infinite, so that there is no diffusion.
            ConvergenceError: if the quadrature does not settle.
        """
        return _moment_ratio(self, dim, 2) / dim

    def kurtosis(self, dim: int) -> float:
        """Return m mu_0 mu_4 / ((m + 2) mu_2^2), which is 1 for the Gaussian profile: how heavy the tails are.

        Args:
            dim: m.

        Raises:
            ConfigError: if the fourth moment is infinite, so that the error of the generator is not of order eps.
            ConvergenceError: if the quadrature does not settle.

        Example:
            >>> import attnflow as af
            >>> round(af.StudentT(8.0, dim=2).kurtosis(2), 12)  # (nu - 2) / (nu - 4)
            1.5
        """
        return dim / (dim + 2) * _moment_ratio(self, dim, 4) / _moment_ratio(self, dim, 2) ** 2


def library_of(s: Any) -> Any:
    """Return the library, NumPy or JAX, that a number or an array is of."""
    return jnp if isinstance(s, jax.Array) else np


_LOST = {
    2: "as the bandwidth vanishes attention jumps far, and its limit is no diffusion",
    4: "the error of the generator then falls slower than the bandwidth does",
}


@functools.lru_cache(maxsize=256)
def _moment_ratio(profile: Profile, dim: int, order: int) -> float:
    """Return mu_order / mu_0, the order 2 or 4."""
    name = {2: "second", 4: "fourth"}[order]
    if math.isinf(profile.edge):
        near, far = (float(np.asarray(profile.log_weight(np.float64(s)))) for s in _FAR)
        power = (near - far) / math.log(_FAR[1] / _FAR[0]) if np.isfinite(far) else math.inf
        if 2 * power < dim + order + (1 - 1e-9) * _MARGIN:
            raise ConfigError(
                f"the weights of {profile!r} fall like |x - y|^(-{2 * power:.4g}), and in {dim} dimensions have no "
                f"{name} moment, or hardly one: {_LOST[order]}. Pass one that falls faster than "
                f"|x - y|^(-{dim + order}), such as StudentT(nu, dim={dim}) with nu > {order}."
            )
    before = math.nan
    for level in range(3, _LEVELS):
        high, none = (_moment(profile, dim + extra, 2**level) for extra in (order, 0))
        found = high / none
        if abs(found - before) <= _SETTLED * found:
            return found
        before = found
    raise ConvergenceError(
        f"the {name} moment of {profile!r} in {dim} dimensions does not settle: {before:.10g} and "
        f"{found:.10g} at the last two resolutions. Set `edge` where h becomes zero."
    )


@np.errstate(under="ignore", over="ignore")
def _moment(profile: Profile, n: int, count: int) -> float:
    """Return int r^(n - 1) h(r^2) dr by the trapezoidal rule after a double exponential substitution."""
    t = np.linspace(-_RANGE, _RANGE, 2 * count + 1)
    bend, slope = math.pi / 2 * np.sinh(t), math.pi / 2 * np.cosh(t)
    if math.isinf(profile.edge):
        log_r, log_speed = bend, bend + np.log(slope)
    else:
        # r = R / (1 + e^(-2 bend)).
        log_r = math.log(profile.edge) / 2 - np.logaddexp(0.0, -2 * bend)
        log_speed = log_r - np.logaddexp(0.0, 2 * bend) + np.log(2 * slope)
    logs = np.asarray(profile.log_weight(np.exp(2 * log_r)), dtype=float)
    return float(np.exp((n - 1) * log_r + logs + log_speed).sum() * (t[1] - t[0]))


@functools.lru_cache(maxsize=64)
@np.errstate(under="ignore")
def _steepest(profile: Profile) -> float:
    """Return the largest |s h'(s)|, from a fine grid, and a tenth more."""
    logs = np.linspace(-30.0, min(30.0, math.log(profile.edge)), 6001)
    weights = np.exp(np.asarray(profile.log_weight(np.exp(logs)), dtype=float))
    return 1.1 * float(np.abs(np.diff(weights)).max() / (logs[1] - logs[0]))
