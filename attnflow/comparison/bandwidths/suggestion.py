"""What a suggested bandwidth is: a number, the error that it is predicted to leave, and those of its neighbours."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from attnflow._drawing import drawing
from attnflow._html import in_html


class Prediction(NamedTuple):
    """What a bandwidth is predicted to leave, root mean squares.

    Args:
        bandwidth: eps.
        error: of what N points give, less the limit.
        bias: of the population at this bandwidth, less the limit.
        noise: of what N points give, less the population; what it is on the average included.
        neighbours: how many keys the emptiest query sees, N p (2 pi eps)^{m/2} of a Gaussian profile.
    """

    bandwidth: float
    error: float
    bias: float
    noise: float
    neighbours: float


@dataclasses.dataclass(frozen=True, eq=False)
class BandwidthSuggestion:
    """The bandwidth with the least predicted error, see `suggest_bandwidth`.

    Args:
        target: "generator", "semigroup" or "spectrum".
        count: N.
        chosen: which of the predictions it is.
        predictions: of all bandwidths that were tried, by rising bandwidth.
        reason: why it is this one, and what the prediction does not know.
        confidence: the factor within which the predicted error is expected to be.
    """

    target: str
    count: int
    chosen: int
    predictions: tuple[Prediction, ...]
    reason: str
    confidence: float

    @property
    def bandwidth(self) -> float:
        """The bandwidth eps."""
        return self.predictions[self.chosen].bandwidth

    @property
    def predicted_error(self) -> float:
        """The root mean square error that it is predicted to leave."""
        return self.predictions[self.chosen].error

    @property
    def bias(self) -> float:
        """The part of infinitely many points at this bandwidth."""
        return self.predictions[self.chosen].bias

    @property
    def noise(self) -> float:
        """The part of having N points."""
        return self.predictions[self.chosen].noise

    @property
    def neighbours(self) -> float:
        """How many keys the emptiest query sees."""
        return self.predictions[self.chosen].neighbours

    def __repr__(self) -> str:
        return (
            f"BandwidthSuggestion({self.bandwidth:.4g} for the {self.target} of {self.count} points: predicted error "
            f"{self.predicted_error:.3g} within a factor {self.confidence:g}, bias {self.bias:.3g}, noise "
            f"{self.noise:.3g}, {self.neighbours:.3g} neighbours at least)"
        )

    def _repr_html_(self) -> str:
        facts = {
            "bandwidth": self.bandwidth, "for": f"the {self.target} of {self.count} points",
            "predicted error": f"{self.predicted_error:.3g} within a factor {self.confidence:g}", "bias": self.bias,
            "noise": self.noise, "neighbours": f"{self.neighbours:.3g} at least", "reason": self.reason,
        }  # fmt: skip
        return in_html(self, facts, draw=self.plot)

    def plot(self, ax: Any = None) -> Any:
        """Draw the predicted error, the bias and the noise against the bandwidth, the choice marked; return the axes.

        Args:
            ax: axes of matplotlib; new ones in a figure of their own, `.figure`, unless given.

        Raises:
            ConfigError: if `ax` is something else.
        """
        return drawing("predictions").bandwidth_suggestion(self, ax)


def root_mean_square(squares: np.ndarray, weights: np.ndarray) -> float:
    """Return the root of the mean over queries, with weights (Q,) of sum one, of sums over components (Q, c)."""
    return float(np.sqrt(weights @ squares.sum(axis=1)))
