"""Several attentions side by side, whose outputs are mixed by matrices."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from attnflow._checks import check_finite
from attnflow._tracing import is_traced
from attnflow._values import freeze, value
from attnflow._words import in_brief
from attnflow.attention import Attending, Attention
from attnflow.errors import ConfigError, DataError
from attnflow.masks.base import Mask

COMMUTE = 1e-9  # relative: what is left off the diagonal of matrices that share eigenvectors
SUM = 1e-12  # by which a sum of matrices may miss the identity, relative to their sizes


class CommonBasis(NamedTuple):
    """Eigenvectors V (c, c) that all output matrices share, and their eigenvalues (H, c).

    With W_h = V diag(values_h) V^{-1} the components f V of what the heads act on do not mix: each has the operator
    sum_h values_h,i A_h.
    """

    vectors: np.ndarray
    values: np.ndarray

    @property
    def condition(self) -> float:
        """By how much largest values may grow on the way to the components and back."""
        inverse = np.linalg.inv(self.vectors)
        return float(np.abs(self.vectors).sum(axis=0).max() * np.abs(inverse).sum(axis=0).max())


@value
class MultiHead(Attending):
    """Several heads, H_new = sum_h (A_h H) W_h for values H (N, c) of a vector f with c components [RZ].

    The three lives take it in place of an attention. If sum_h W_h = I its limit is L H = sum_h (L_h H) W_h; otherwise a
    layer has a jump that does not vanish with the bandwidth, and no generator.

    Args:
        heads: attentions of one bandwidth, the time of a layer.
        output: W_h (c, c), one for each head.

    Raises:
        ConfigError: if there is no head, or their bandwidths differ.
        DataError: if the matrices are not one for each head, square, finite and of one size.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> plain = af.Attention(af.SquaredDistance(), bandwidth=0.1)
        >>> first = np.array([[0.7, 0.2], [0.1, 0.6]])
        >>> heads = af.MultiHead([plain, plain.replace(normalization="sinkhorn")], output=[first, np.eye(2) - first])
        >>> af.EmpiricalAttention(heads, [[0.0, 1.0], [0.6, 0.8], [1.0, 0.0]]).layer(lambda x: x).shape
        (3, 2)
    """

    heads: tuple[Attention, ...]
    output: tuple[Any, ...]

    def __init__(self, heads: Sequence[Attention], output: Sequence[Any]) -> None:
        for number, head in enumerate(heads):
            if not isinstance(head, Attention):
                raise ConfigError(f"`heads` must be Attentions, got {type(head).__name__} at {number}.")
        if not len(heads):
            raise ConfigError("`heads` is empty. Pass at least one Attention.")
        if len(output) != len(heads):
            raise DataError(f"`output` must hold one matrix for each of the {len(heads)} heads, got {len(output)}.")
        matrices = tuple(matrix if is_traced(matrix) else check_finite(matrix, "output") for matrix in output)
        shapes = [np.shape(matrix) for matrix in matrices]
        if any(len(shape) != 2 or shape != (shapes[0][0],) * 2 for shape in shapes):
            raise DataError(f"`output` must hold square matrices (c, c) of one size, got shapes {shapes}.")
        bandwidths = [head.bandwidth for head in heads]
        if not is_traced(bandwidths) and len(set(bandwidths)) > 1:
            raise ConfigError(
                f"`heads` must have one bandwidth, the time of a layer, got {bandwidths}. Scale their costs instead."
            )
        freeze(self, heads=tuple(heads), output=matrices)

    def __repr__(self) -> str:
        return f"MultiHead({in_brief(list(self.heads))}, {self.channels} components)"

    @property
    def rows(self) -> str:
        """The family of several heads."""
        return "heads"

    @property
    def bandwidth(self) -> float:  # type: ignore[override]
        """That of every head."""
        return self.heads[0].bandwidth

    @property
    def mask(self) -> Mask | None:  # type: ignore[override]
        """The first mask of a head, if there is one."""
        return next((head.mask for head in self.heads if head.mask is not None), None)

    @property
    def channels(self) -> int:
        """How many components c the values have."""
        return np.shape(self.output[0])[0]

    def at_bandwidth(self, bandwidth: float) -> MultiHead:
        """Return the same heads at another bandwidth."""
        return MultiHead([head.at_bandwidth(bandwidth) for head in self.heads], self.output)

    def check_channels(self, shape: tuple[int, ...]) -> None:
        """Raise DataError unless values of f have the shape (N, c)."""
        if len(shape) != 2 or shape[1] != self.channels:
            got = "a scalar f" if len(shape) == 1 else f"shape {shape}"
            raise DataError(
                f"`f` must have {self.channels} components, one for each row of the output matrices, got {got}."
            )

    def check_mixes(self, dim: int) -> None:
        """Raise DataError unless tokens of so many coordinates can be what is mixed."""
        if self.channels != dim:
            raise DataError(
                f"the output matrices of the heads must have shape ({dim}, {dim}) for tokens of {dim} coordinates, got "
                f"({self.channels}, {self.channels})."
            )

    def require_identity(self) -> None:
        """Raise ConfigError, naming the jump, unless the output matrices sum to the identity."""
        difference = np.abs(sum(self.output) - np.eye(self.channels))
        if difference.max() > SUM * max(1.0, max(np.abs(matrix).max() for matrix in self.output)):
            raise ConfigError(
                f"the output matrices do not sum to the identity: |sum_h W_h - I| = {difference.max():.3g}. A layer "
                "then tends to the jump f -> f sum_h W_h as the bandwidth vanishes, not to f, and has no generator. "
                "Add what is missing to one of them."
            )

    @functools.cached_property
    def common_basis(self) -> CommonBasis | None:
        """Eigenvectors that all output matrices share; None where they do not commute, or have too few."""
        mixture = sum((1 + 0.618034 * number) * matrix for number, matrix in enumerate(self.output))
        vectors = np.linalg.eig(mixture)[1]
        if np.linalg.cond(vectors) > 1 / COMMUTE:
            return None
        turned = np.array([np.linalg.solve(vectors, matrix @ vectors) for matrix in self.output])
        values = np.diagonal(turned, axis1=1, axis2=2)
        left = np.abs(turned - values[:, :, None] * np.eye(self.channels)).max()
        return CommonBasis(vectors, values) if left <= COMMUTE * max(1.0, np.abs(turned).max()) else None
