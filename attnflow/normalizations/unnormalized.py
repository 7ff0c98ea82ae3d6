"""Kernels whose rows are not divided by anything: plain sums, and sigmoids."""

from __future__ import annotations

from attnflow._checks import check_real
from attnflow._tracing import is_traced
from attnflow._values import freeze, value
from attnflow.normalizations.base import Keys, Normalization
from attnflow.pseudometrics.base import PseudoMetric

_NO_LIMIT = (
    "{0} attention does not divide its rows: constants move, and A f / (2 pi eps)^(m/2) tends to p f, not to f. It has "
    'no generator. Use normalization="softmax", or the population at a bandwidth.'
)


@value
class Unnormalized(Normalization):
    """The mean of the kernel times the values, A f(x) = sum_j w_j k(x, y_j) f(y_j) / sum_j w_j, w_j masses [G].

    On a density A f = int k f p dvol, the limit of particles. Rows do not sum to one, so that constants are not kept
    and there is no limit of vanishing bandwidth at x.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.5, normalization="unnormalized")
        >>> mean = af.EmpiricalAttention(attention, [[0.0], [1.0]]).layer(lambda x: 1.0 + x[0])
        >>> [round(float(value), 6) for value in mean]  # (1 + 2/e) / 2 and (2 + 1/e) / 2
        [0.867879, 1.18394]
    """

    rows = "undivided"

    def log_key_weights(self, keys: Keys) -> float:
        return 0.0

    def without_limit(self, pseudometric: PseudoMetric) -> str:
        return _NO_LIMIT.format("unnormalized")


@value
class Sigmoid(Normalization):
    """The mean of sigmoids times the values, A f(x) = sum_j w_j s(logit(x, y_j) + b) f(y_j) / sum_j w_j, w_j masses.

    With s(z) = 1 / (1 + e^{-z}). It is a mean, so that particles tend to a population, A f = int s(logit + b) f p dvol;
    sigmoid attention of N tokens as it is trained is N times that, with b = -log N.

    Args:
        bias: b, any real number.

    Raises:
        ConfigError: if the bias is not a finite number.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> attention = af.Attention(af.DotProduct(), bandwidth=1.0, normalization=af.Sigmoid(bias=1.0))
        >>> layer = af.EmpiricalAttention(attention, [[0.0], [2.0]]).layer(lambda x: x[0])
        >>> [round(float(value), 6) for value in layer]  # s(1) and s(4 + 1)
        [0.731059, 0.993307]
    """

    bias: float

    rows = "sigmoid"

    def __init__(self, bias: float = 0.0) -> None:
        freeze(self, bias=bias if is_traced(bias) else check_real(bias, "bias"))

    def log_key_weights(self, keys: Keys) -> float:
        return 0.0

    def without_limit(self, pseudometric: PseudoMetric) -> str:
        return _NO_LIMIT.format("sigmoid")
