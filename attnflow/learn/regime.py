"""Whether a head is a diffusion among given tokens: what a short-range mixing would have, in numbers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from attnflow._checks import check_finite, check_points
from attnflow._words import to_four_digits
from attnflow.errors import DataError
from attnflow.lab.probe.splitting import split

OWN_KEY = 0.9  # share of rows whose largest weight is the token's own; on a sphere with a dot product it is 1
NEAR = 0.25  # of locality and jump; the control on a sphere has .09 and .05


class Regime(NamedTuple):
    """How far a layer with logits l (N, N) and weights A = softmax(l) is from a diffusion among its tokens.

    Logits are split uniquely, up to a term of the row, into a cost, a potential of the keys and a circulation,

        l_ij = r_i + b_j - D_ij/2 + W_ij,   D_ij = l_ii + l_jj - l_ij - l_ji,   W antisymmetric, its rows sum to 0,

    of which only the cost acts as a metric, the potential as a drift, and the circulation as neither.

    Args:
        neighbours: the median over rows of 1 / sum_j A_ij^2.
        own_key: the share of rows whose largest weight is the token's own.
        gap: the median over rows of l_ii less the largest other logit, in nats.
        typicality: the mean mass on keys whose logit is at most the token's own.
        locality: the median spread of a row, sum_j A_ij |x_j - m_i|^2 about its mean m_i, over that of all tokens.
        jump: the median of |m_i - x_i|^2 over the spread of the row.
        negative: the share of pairs with D_ij < 0.
        cost, potential, circulation: the shares of the variance of logits within rows; they sum to 1.
    """

    neighbours: float
    own_key: float
    gap: float
    typicality: float
    locality: float
    jump: float
    negative: float
    cost: float
    potential: float
    circulation: float

    def __repr__(self) -> str:
        return to_four_digits(self)

    @property
    def is_local(self) -> bool:
        """Whether tokens attend to what is around them, without which a layer is no diffusion.

        At least 9 rows of 10 have their own key on top, and locality and jump are at most 1/4.
        """
        return self.own_key >= OWN_KEY and self.locality <= NEAR and self.jump <= NEAR


def regime_of(logits: object, points: object) -> Regime:
    """Return the regime of a layer from its logits (N, N), among the tokens (N, D).

    Raises:
        DataError: if the shapes do not fit, or all tokens are one.

    Example:
        >>> import numpy as np, attnflow as af
        >>> points = np.arange(30.0)[:, None]
        >>> af.learn.regime_of(-((points - points.T) ** 2) / 8, points).is_local
        True
        >>> af.learn.regime_of(np.zeros((30, 30)), points).is_local
        False
    """
    found, at = check_finite(logits, "logits"), check_points(points, "points")
    count = len(at)
    if found.shape != (count, count) or count < 2:
        raise DataError(f"`logits` must have shape {(count, count)}, one row for each of two tokens or more, got "
                        f"{found.shape}.")  # fmt: skip
    extent = float(np.sum(at.var(axis=0)))
    if extent == 0:
        raise DataError("`points` are one point. Pass tokens that differ.")
    own = np.diag(found)
    others = np.where(np.eye(count, dtype=bool), -np.inf, found).max(axis=1)
    weights = np.exp(found - found.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    means = weights @ at
    spreads = np.maximum(weights @ np.sum(at**2, axis=1) - np.sum(means**2, axis=1), np.finfo(float).eps * extent)
    parts = split(found)
    return Regime(
        neighbours=float(np.median(1 / np.sum(weights**2, axis=1))),
        own_key=float(np.mean(own >= others)),
        gap=float(np.median(own - others)),
        typicality=float(np.mean(np.sum(np.where(found <= own[:, None], weights, 0), axis=1))),
        locality=float(np.median(spreads) / extent),
        jump=float(np.median(np.sum((means - at) ** 2, axis=1) / spreads)),
        negative=float(np.sum(parts.cost < 0) / (count * (count - 1))),
        **_shares(found, parts.cost, parts.potential, parts.circulation),
    )


def _shares(
    logits: np.ndarray, costs: np.ndarray, potential: np.ndarray, circulation: np.ndarray
) -> dict[str, float]:  # fmt: skip
    """Return which part of the variance of logits within rows comes from each: covariances, which sum to it."""
    centred = logits - logits.mean(axis=1, keepdims=True)
    total = np.sum(centred**2)
    parts = {"cost": -costs / 2, "potential": np.broadcast_to(potential, logits.shape), "circulation": circulation}
    return {name: float(np.sum(centred * part) / total) if total else 0.0 for name, part in parts.items()}
