r"""What a normalisation must offer: the logarithms of the weights of the keys.

A normalisation maps "log key weights u -> log totals at the keys" to new log key weights; every row is then divided by
its sum:

    A f(x) = sum_j w_j e^{u_j} k(x, y_j) f(y_j) / sum_j w_j e^{u_j} k(x, y_j).

It is written once, for one set of keys of which nothing is known but `Keys`. On a measure the log total of a key is a
kernel sum, log sum_j w_j e^{u_j} k(y_i, y_j). As the bandwidth vanishes the kernel becomes local and the log total of u
at y tends, up to a constant, to u(y) + log p_G(y), p_G the density with respect to the volume of the induced metric. So
the same function gives the density p e^u that the limit sees: no limit is typed in per normalisation.

What is then done with the rows is the family of a normalisation, `Normalization.rows`. Most divide them by their sums;
those that do not have no limit of this kind, and say why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from attnflow._tracing import Traceable
from attnflow.pseudometrics.base import PseudoMetric


class Keys(ABC):
    """The keys as a normalisation sees them: those of a measure, all at once, or one key in the limit.

    Attributes:
        is_symmetric: whether the cost is, so that rows and columns have the same totals.
    """

    is_symmetric: bool = True

    @abstractmethod
    def log_total(self, log_weights: Any) -> Any:
        """Return log sum_j w_j e^{u_j} k(y_i, y_j) at the keys y_i, up to a constant, for log key weights u.

        Of an asymmetric cost it is the total of the column, sum_j w_j e^{u_j} k(y_j, y_i): how much a key is attended.

        Args:
            log_weights: u, one number or one for each key.
        """

    def log_row_total(self, log_weights: Any) -> Any:
        """Return log sum_j w_j e^{u_j} k(y_i, y_j), the totals of the rows; of a symmetric cost those of the columns.

        Args:
            log_weights: u, one number or one for each key.
        """
        return self.log_total(log_weights)

    @abstractmethod
    def evaluate(self, potential: Callable) -> Any:
        """Return the values b(y_i) of a function of one point at the keys."""

    @abstractmethod
    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> Any:
        """Return the log key weights u with u = update(u), found from u = 0.

        Args:
            update: from log key weights to others, written with the totals; in the limit affine in u, as they are.
            rtol: the largest |update(u) - u|; None for a share of the tolerance of the averages.
            max_sweeps: how many updates at most.

        Raises:
            ConvergenceError: if they do not suffice.
        """


class Normalization(Traceable, ABC):
    """How the rows of an attention are normalised: key weights e^u, then every row divided by its sum.

    Parameters that are numbers or arrays are seen by JAX; a subclass needs no registration.

    Example:
        >>> import jax.numpy as jnp, attnflow as af
        >>> class Tilted(af.Normalization):  # half of the density taken out, and a preference for the north
        ...     def log_key_weights(self, keys):
        ...         return -0.5 * keys.log_total(0.0) + keys.evaluate(lambda y: y[-1])
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=Tilted())

    Attributes:
        rows: what is done with the rows of weighed keys: "divided" by their sums, "undivided", "sigmoid" or
            "threshold".
    """

    rows: str = "divided"

    @abstractmethod
    def log_key_weights(self, keys: Keys) -> Any:
        """Return u, one number or one for each key, smooth in what `keys` answers; a constant added changes nothing."""

    def without_limit(self, pseudometric: PseudoMetric) -> str:
        """Return why such an attention tends to no differential operator as the bandwidth vanishes; "" where it does.

        Args:
            pseudometric: the cost.
        """
        return ""

    def absorbed(self, pseudometric: PseudoMetric) -> tuple[PseudoMetric, Normalization]:
        """Return the cost and the normalisation as what an attention keeps: weights of order 1/eps belong to a cost.

        Args:
            pseudometric: the cost.
        """
        return pseudometric, self
