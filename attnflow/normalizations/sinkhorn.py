"""Sinkhorn: an attention that is doubly stochastic."""

from __future__ import annotations

from typing import Any

from attnflow._checks import check_integer, check_tolerance
from attnflow._values import freeze, static, value
from attnflow.normalizations.base import Keys, Normalization
from attnflow.pseudometrics.base import PseudoMetric


@value
class Sinkhorn(Normalization):
    """Keys weighed so that columns, too, sum to their masses: A is doubly stochastic with respect to them [Sk].

        sum_i w_i a_j(y_i) = w_j,   a_j(x) = w_j e^{u_j} k(x, y_j) / sum_l w_l e^{u_l} k(x, y_l)

    Of a symmetric cost u is the fixed point of u <- (u - log total(u)) / 2, an iteration that halves the distance from
    it; in the limit it is -1/2 log p_G, which leaves half the drift of softmax. Of an asymmetric cost the potentials of
    queries and keys alternate: u <- -log column total(-log row total(u)), slower, and without a limit of this kind.

    Points that leave themselves out have such weights unless one of them is heavier than all others together.

    Args:
        rtol: by how much the logarithm of the sum of a column may be off; None for a share of the tolerance of the
            averages. What is left is part of the declared error of a layer.
        max_sweeps: how many times all totals are summed at most.

    Raises:
        ConfigError: if `rtol` is not between 0 and 1, or `max_sweeps` not a positive integer.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> points = af.Uniform(af.Circle()).sample(50, key=jax.random.key(0))
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization="sinkhorn")
        >>> columns = af.EmpiricalAttention(attention, points).layer(np.eye(50)).sum(axis=0)
        >>> bool(np.abs(columns - 1).max() < 1e-8)
        True
    """

    rtol: float | None = static()
    max_sweeps: int = static()

    def __init__(self, rtol: float | None = None, max_sweeps: int = 1000) -> None:
        freeze(
            self,
            rtol=None if rtol is None else check_tolerance(rtol, "rtol"),
            max_sweeps=check_integer(max_sweeps, "max_sweeps", minimum=1),
        )

    def log_key_weights(self, keys: Keys) -> Any:
        def alternated(u: Any) -> Any:
            return -keys.log_total(-keys.log_row_total(u))

        def halved(u: Any) -> Any:
            return 0.5 * (u - keys.log_total(u))

        if keys.is_symmetric:  # log total(u) = -u to twice the change of u
            rtol = None if self.rtol is None else self.rtol / 2
            return keys.fixed_point(halved, rtol=rtol, max_sweeps=self.max_sweeps)
        return keys.fixed_point(alternated, rtol=self.rtol, max_sweeps=self.max_sweeps)

    def without_limit(self, pseudometric: PseudoMetric) -> str:
        if pseudometric.is_symmetric:
            return ""
        return (
            f"Sinkhorn weights of {type(pseudometric).__name__}, which does not say that it is symmetric, are no "
            "matter of the surroundings of a key: that rows and columns sum to one leaves them open at leading order, "
            "and at the next they solve an equation on the whole manifold. Use AlphaNormalization(0.5), or set "
            "`is_symmetric=True` if D(x, y) = D(y, x)."
        )
