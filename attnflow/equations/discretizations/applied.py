"""Operators that are applied by fast transforms, where a matrix would be too large."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array, vstack

from attnflow.equations.discretizations.base import Basis

_CONSTANT = 1e-14  # of the largest factor: variation below is rounding


class AppliedOperator:
    """f -> 1/2 tr(C Hess f) + <b, grad f>, projected on a basis: the map of coefficients whose matrix is `operator`.

    What a factor multiplies is summed at the nodes, multiplied there and projected; constant factors need no nodes.

    Args:
        basis: its functions, whose rule has fast sums.
        diffusions: C at its nodes, (M, D, D).
        drifts: b at its nodes, (M, D).
    """

    def __init__(self, basis: Basis, *, diffusions: np.ndarray, drifts: np.ndarray) -> None:
        self._rule = basis.rule
        if basis.rule.outward is not None:
            drifts = drifts - 0.5 * np.einsum("qij,qj->qi", diffusions, basis.rule.outward)
        factors = basis.along_fields(basis.nodes, diffusions=diffusions, drifts=drifts)
        fields = basis.derivatives
        second = factors[:, len(fields) :].reshape(-1, len(fields), len(fields))
        terms = [(factors[:, a], along) for a, along in enumerate(fields)]
        for b, along in enumerate(fields):
            for a in range(b + 1):
                both = fields[a] @ along if a == b else fields[a] @ along + along @ fields[a]
                terms.append((second[:, a, b], csr_array(both)))
        largest = max(float(np.abs(factor).max()) for factor, _ in terms)
        means = [float(np.mean(factor)) for factor, _ in terms]
        self._constant: csr_array = sum(
            (mean * part for mean, (_, part) in zip(means, terms, strict=True)), start=csr_array(terms[0][1].shape)
        )
        kept = [
            (factor - mean, part)
            for mean, (factor, part) in zip(means, terms, strict=True)
            if np.ptp(factor) > _CONSTANT * largest
        ]
        self._factors = np.stack([factor for factor, _ in kept], axis=1) if kept else np.zeros((0, 0))  # (M, T)
        self._parts = csr_array(vstack([part for _, part in kept])) if kept else self._constant
        self.sizes = sum(
            float(np.abs(factor).max()) * np.sqrt(np.asarray(part.multiply(part).sum(axis=0)).ravel())
            for factor, part in terms
        )
        self.norm = float(np.max(self.sizes))

    def apply(self, columns: np.ndarray, *, adjoint: bool) -> np.ndarray:
        """Return A u, or A'u, for u (K, c)."""
        image = (self._constant.T if adjoint else self._constant) @ columns
        size, count = columns.shape
        terms = self._factors.shape[1]
        if not terms:
            return image
        if adjoint:
            values = self._rule.synthesise(columns)
            weighed = (self._factors[:, :, None] * values[:, None, :]).reshape(len(values), -1)
            moments = self._rule.analyse(weighed).reshape(size, terms, count)
            return image + self._parts.T @ np.moveaxis(moments, 1, 0).reshape(terms * size, count)
        parts = np.moveaxis((self._parts @ columns).reshape(terms, size, count), 0, 1).reshape(size, -1)
        values = self._rule.synthesise(parts).reshape(-1, terms, count)
        return image + self._rule.analyse(np.einsum("qt,qtc->qc", self._factors, values))
