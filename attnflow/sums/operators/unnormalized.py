"""One layer whose rows are not divided: the mean of a kernel times the values."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._values import value
from attnflow.attention import Attention
from attnflow.errors import PrecisionError
from attnflow.measures import DiscreteMeasure
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.sums.derivatives.traced import Outputs
from attnflow.sums.kernel_sums.base import RowSums
from attnflow.sums.kernel_sums.rounding import logit_sizes
from attnflow.sums.operators.kernel import KernelOperator


class UnnormalizedOperator(KernelOperator):
    """A v(x) = sum_j w_j k(x, y_j) v_j / sum_j w_j, for values v at the points y_j."""

    _reason = "its rows do not sum to one"
    _offset: Any = 0.0  # what is added to logits, and rounds them

    @np.errstate(under="ignore")
    def _of_sums(self, sums: RowSums, at: np.ndarray | None) -> tuple[np.ndarray, float]:
        with np.errstate(over="ignore"):
            scales = np.exp(sums.shift + self._log_scale - np.log(self.measure.mass))
            sizes = scales * sums.total
        if not np.isfinite(sizes).all():
            raise PrecisionError(
                f"the kernel of query {np.argmax(~np.isfinite(sizes))} sums to more than 1e308 at bandwidth "
                f'{self.attention.bandwidth:g}. Pass a larger `bandwidth`, or normalization="softmax".'
            )
        # A large logit is itself rounded, which the average of a row does not feel.
        points = self.measure.points
        logits = logit_sizes(self.attention, points if at is None else at, points, np.abs(sums.shift))
        rounding = (points.shape[1] + 4) * np.finfo(np.float64).eps * (logits + abs(self._offset))
        errors = sizes * (2 * np.nan_to_num(sums.error, nan=np.inf) + rounding)  # of the average, and of the total
        self._largest_row = np.float64(max(self._largest_row, sizes.max()))
        with np.errstate(over="ignore", invalid="ignore"):
            result = sums.weighted * scales[:, None]
        if not np.isfinite(result).all():
            raise PrecisionError(
                f"values are beyond 1e308 where rows sum to {sizes.max():.3g}. Use fewer layers or a larger "
                "`bandwidth`."
            )
        return result, float(errors.max())

    def _of_traced(self, found: Outputs) -> Any:
        return found.average * jnp.exp(found.log_normalizer - jnp.log(jnp.sum(self.measure.masses)))[:, None]


class SigmoidOperator(UnnormalizedOperator):
    """A v(x) = sum_j w_j s(logit(x, y_j) + b) v_j / sum_j w_j with s(z) = 1 / (1 + e^{-z}): a kernel as others are."""

    def __init__(self, attention: Attention, measure: DiscreteMeasure, **options: Any) -> None:
        sigmoid: Any = attention.normalization
        cost = LogSigmoid(attention.replace(normalization="softmax", mask=None), sigmoid.bias)
        kernel = Attention(cost, bandwidth=1.0, normalization="unnormalized", mask=attention.mask)
        super().__init__(kernel, measure, **options)
        self._offset = sigmoid.bias
        self._name = type(sigmoid).__name__
        self._given = attention, *self._given[1:]


@value
class LogSigmoid(PseudoMetric):
    """The cost -2 log s(logit + b), s(z) = 1 / (1 + e^{-z}), whose kernel at bandwidth one is s(logit + b).

    Args:
        attention: the logit.
        bias: b.
    """

    attention: Attention
    bias: Any

    @property
    def is_symmetric(self) -> bool:  # type: ignore[override]
        return self.attention.pseudometric.is_symmetric

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return 2 * jax.nn.softplus(-(self.attention.logit(x, y) + self.bias))
