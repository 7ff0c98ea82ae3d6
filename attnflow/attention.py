"""Attention: what is being studied, as plain data."""

from __future__ import annotations

import numpy as np

from attnflow._checks import check_positive
from attnflow._tracing import Traceable, is_known, is_traced, primal
from attnflow._values import freeze, value
from attnflow.errors import ConfigError
from attnflow.pseudometrics.base import PseudoMetric


@value
class Attention(Traceable):
    """Softmax attention with the logit -D(x, y) / (2 eps) [RZ].

        A f(x) = sum_j w_j(x) f(X_j),   w_j(x) = exp(-D(x, X_j)/2eps) / sum_k exp(-D(x, X_k)/2eps)

    Args:
        pseudometric: the cost D(x, y).
        bandwidth: eps > 0, in units of D. One layer is the time eps.

    Raises:
        ConfigError: if the bandwidth is not positive and finite, or the pseudo-metric is not a PseudoMetric.

    Example:
        >>> import attnflow as af
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    """

    pseudometric: PseudoMetric
    bandwidth: float

    def __init__(self, pseudometric: PseudoMetric, bandwidth: float) -> None:
        if not isinstance(pseudometric, PseudoMetric):
            raise ConfigError(
                f"`pseudometric` must be a PseudoMetric such as SquaredDistance(), got {pseudometric!r}. "
                "Wrap a function of two points in CustomPseudoMetric."
            )
        if np.ndim(bandwidth):
            raise ConfigError(
                f"`bandwidth` must be one number, got shape {np.shape(bandwidth)}. Use jax.vmap for several."
            )
        if not is_traced(bandwidth):
            bandwidth = check_positive(bandwidth, "bandwidth")
        elif is_known(bandwidth):
            check_positive(float(primal(bandwidth)), "bandwidth")
        freeze(self, pseudometric=pseudometric, bandwidth=bandwidth)


def check_attention(attention: object, *, known: bool = False) -> Attention:
    """An Attention, of `known` numbers if so asked; ConfigError for anything else, such as a bare pseudo-metric."""
    if not isinstance(attention, Attention):
        raise ConfigError(
            f"`attention` must be an Attention, got {type(attention).__name__}. "
            "Pass Attention(SquaredDistance(), bandwidth=0.05)."
        )
    if known and is_traced(attention):
        raise ConfigError(
            "`attention` depends on a value which JAX is tracing. Only layers of an EmpiricalAttention can be "
            "differentiated or compiled."
        )
    return attention


def bandwidth_from_inverse_temperature(beta: float) -> float:
    """The bandwidth eps = 1/beta of softmax(beta <x, y>).

    Args:
        beta: inverse temperature, positive.

    Raises:
        ConfigError: if beta is not positive and finite.

    Example:
        >>> import attnflow as af
        >>> af.bandwidth_from_inverse_temperature(20.0)
        0.05
    """
    return 1 / check_positive(beta, "beta")
