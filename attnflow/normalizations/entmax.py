"""Entmax: rows with a threshold below which keys have no weight at all."""

from __future__ import annotations

from attnflow._checks import check_positive, check_real
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.normalizations.base import Keys, Normalization
from attnflow.pseudometrics.base import PseudoMetric


@value
class Entmax(Normalization):
    """Weights a_j = w_j [(alpha - 1) logit_j - tau]_+^{1/(alpha - 1)}, tau such that a row sums to one [Pe].

    alpha = 2 is sparsemax, the projection of the logits on the simplex; alpha = 1.5 is 1.5-entmax; softmax is the limit
    alpha -> 1. How far a row reaches depends on how much there is to sum: unlike all other attentions this one sees the
    total mass, with a copy of all tokens it reaches less far. A density has the mass one.

    Args:
        alpha: above 1, at most 2.
        tokens: the total mass that a measure is taken to have: N lets a population be what N tokens average to, and
            masses 1/N be what N tokens are. None leaves the masses as they are.

    Raises:
        ConfigError: if alpha is not in (1, 2], or `tokens` not positive.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> attention = af.Attention(af.DotProduct(), bandwidth=1.0, normalization=af.Entmax(2.0))
        >>> keys = [[1.0], [0.75], [-1.0]]  # from x = 1: the logits 1, .75 and -1, and the weights .625, .375 and 0
        >>> float(af.EmpiricalAttention(attention, keys).layer(lambda x: x[0], at=[[1.0]])[0])
        0.90625
    """

    alpha: float = static()
    tokens: float | None = static()

    rows = "threshold"

    def __init__(self, alpha: float, tokens: float | None = None) -> None:
        alpha = check_real(alpha, "alpha")
        if not 1 < alpha <= 2:
            raise ConfigError(f"`alpha` must be above 1 and at most 2, got {alpha!r}. Use softmax for alpha = 1.")
        freeze(self, alpha=alpha, tokens=None if tokens is None else check_positive(tokens, "tokens"))

    def log_key_weights(self, keys: Keys) -> float:
        return 0.0

    def without_limit(self, pseudometric: PseudoMetric) -> str:
        return (
            "how far entmax reaches is chosen by how many tokens there are, not by the bandwidth alone: for infinitely "
            "many it reaches nowhere, and the limits do not commute. Use the population at a bandwidth, with "
            "`tokens=`."
        )
