"""The velocity of tokens among infinitely many others, v[mu](x) = P_x V (A_mu id)(x), from values at nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from attnflow._extrapolation import extrapolated
from attnflow._lifting import evaluate
from attnflow.attention import Attending, Attention
from attnflow.equations.mean_field.kernels import Apply, Kernel
from attnflow.errors import ConvergenceError
from attnflow.normalizations.base import Keys

_ROUNDING = 2e-15  # of a sum, relative to the largest
_DEPTH = 6  # updates that are extrapolated


class UnresolvedError(ConvergenceError):
    """A density of which the nodes do not tell the velocity."""


class Field:
    """The velocity as a map from a density (M,) at the nodes, before it is projected on tangent spaces.

        v(x) = V sum_h W_h' (A_h id)(x),   or V (sum_h W_h' (A_h id)(x) - x)

    Args:
        attention: one attention or several heads.
        kernels: of the heads, on the same nodes.
        value: V, (D, D).
        centred: whether x is subtracted.
        settled: see `NodeKeys`.
    """

    def __init__(
        self, attention: Attending, kernels: list[Kernel], *, value: np.ndarray, centred: bool, settled: float
    ) -> None:
        nodes = kernels[0].nodes
        outputs = getattr(attention, "output", [np.eye(nodes.shape[1])])
        parts = zip(attention.heads, kernels, outputs, strict=True)
        self._heads = [Head(*part, settled=settled) for part in parts]
        self._nodes, self._value, self._centred = nodes, value, centred

    def at_nodes(self, density: np.ndarray) -> np.ndarray:
        """Return V A_mu id at the nodes, (M, D)."""
        return self._moved(self._nodes, [head.average(density, head.kernel.to_nodes) for head in self._heads])

    def towards(self, points: np.ndarray, *, rtol: float = 1.0) -> Callable[[np.ndarray], np.ndarray]:
        """Return the map from densities (M,) at the nodes to V A_mu id at points (Q, D), (Q, D).

        Args:
            points: (Q, D).
            rtol: how well averages are to be known; by default zero stands for those that are lost among rounding.

        Raises:
            UnresolvedError: by the map, where an average is known less well.
        """
        ways = [head.kernel.towards(points) for head in self._heads]

        def velocity(density: np.ndarray) -> np.ndarray:
            ways_of_heads = zip(self._heads, ways, strict=True)
            return self._moved(points, [head.average(density, way, rtol=rtol) for head, way in ways_of_heads])

        return velocity

    def _moved(self, points: np.ndarray, means: list[np.ndarray]) -> np.ndarray:
        mean = np.sum(means, axis=0)
        return (mean - points if self._centred else mean) @ self._value.T


class Head:
    """One attention with its output matrix."""

    def __init__(self, attention: Attention, kernel: Kernel, output: np.ndarray, *, settled: float) -> None:
        self.kernel = kernel
        self._divides = attention.rows == "divided"
        self._normalization = attention.normalization
        self._keys = NodeKeys(attention, kernel, settled=settled)
        self._output = output

    def average(self, density: np.ndarray, apply: Apply, *, rtol: float = 1.0) -> np.ndarray:
        """Return (A id) W at the points to which `apply` leads, for the density (M,) at the nodes."""
        self._keys.density = density = np.maximum(density, 0.0)  # below is rounding, which key weights may blow up
        masses = density * np.exp(self._normalization.log_key_weights(self._keys))
        sums = apply(np.column_stack([masses[:, None] * self.kernel.nodes, masses]))
        weighted, totals = sums[:, :-1], sums[:, -1:]
        if not self._divides:
            return weighted @ self._output
        # Where a total is lost among rounding there are no tokens either, a total being those nearby and more.
        known = totals > _ROUNDING * totals.max()
        if rtol < 1 and totals.min() <= _ROUNDING / rtol * self.kernel.to_nodes(masses[:, None]).max():
            raise UnresolvedError(
                f"there are so few tokens near point {int(np.argmin(totals))} that what it attends to is lost among "
                "rounding. Leave that point out, or use a larger bandwidth."
            )
        return np.where(known, weighted / np.where(known, totals, 1.0), 0.0) @ self._output


class NodeKeys(Keys):
    """The nodes as keys, with the masses of a density that changes.

    Args:
        attention: whose normalisation asks.
        kernel: of the attention.
        settled: by how much key weights that are iterated may still change, where the attention does not say.

    Attributes:
        density: (M,), as it is now.
    """

    density: np.ndarray

    def __init__(self, attention: Attention, kernel: Kernel, *, settled: float) -> None:
        self.is_symmetric = attention.pseudometric.is_symmetric
        self._kernel = kernel
        self._values: dict[Callable, np.ndarray] = {}
        self._settled = settled
        self._last = np.zeros(len(kernel.nodes))  # the fixed point of the density before

    def log_total(self, log_weights: Any) -> np.ndarray:
        return self._log_sums(self._kernel.from_nodes, log_weights)

    def log_row_total(self, log_weights: Any) -> np.ndarray:
        return self._log_sums(self._kernel.to_nodes, log_weights)

    def _log_sums(self, apply: Apply, log_weights: Any) -> np.ndarray:
        sums = apply((self.density * np.exp(log_weights))[:, None])[:, 0]
        return np.log(np.maximum(sums, _ROUNDING * sums.max()))

    def evaluate(self, potential: Callable) -> np.ndarray:
        if potential not in self._values:
            self._values[potential] = evaluate(potential, self._kernel.nodes, name="log_weight")
        return self._values[potential]

    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> np.ndarray:
        inputs: list[np.ndarray] = []
        outputs: list[np.ndarray] = []
        found = self._last
        for _ in range(max_sweeps):
            updated = update(found)
            change = updated - found
            # Totals are e^-u: rounding is relative to the largest of them.
            tolerance = max(self._settled if rtol is None else rtol, _ROUNDING * float(np.exp(np.ptp(found))))
            if not np.isfinite(change).all():
                raise UnresolvedError("the key weights are no numbers: there are places without tokens")
            if np.abs(change).max() <= tolerance:
                self._last = updated
                return self._last
            inputs, outputs = [*inputs, found][-_DEPTH:], [*outputs, updated][-_DEPTH:]
            found = extrapolated(inputs, outputs)
        raise UnresolvedError(
            f"the key weights still change by {np.abs(change).max():.2g}, above {tolerance:.2g}, after {max_sweeps} "
            "sweeps. Pass a larger `bandwidth`, or Sinkhorn(max_sweeps=...)."
        )
