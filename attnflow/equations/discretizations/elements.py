r"""Piecewise polynomials on the patches of a surface, and the matrices of L in weak form.

    -int (L u) v rho dA = 1/2 int rho <G^-1 grad u, grad v> dA,

so that u(t) = sum_i u_i(t) phi_i obeys M u' = -S u with M_ij = int rho phi_i phi_j dA and S_ij = 1/2 int rho
<G^-1 grad phi_i, grad phi_j> dA. Edges need nothing: u is continuous and the flux across them is balanced weakly.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csc_array

from attnflow.equations.discretizations.patches import Patches
from attnflow.equations.expansions.reversible import ReversibleCoefficients
from attnflow.manifolds.meshes import edges_of
from attnflow.manifolds.triangulated import triangle_rule

_BLOCK = 1 << 14  # triangles whose matrices are held at once

# Where the functions of a triangle are one: at the corners, then at the middles of the sides opposite to them.
_PLACES = {1: np.eye(3), 2: np.concatenate([np.eye(3), (1 - np.eye(3)) / 2])}


def shapes(degree: int, weights: np.ndarray) -> np.ndarray:
    """Return the values (Q, n) of the functions of a triangle at barycentric coordinates (Q, 3)."""
    if degree == 1:
        return weights
    opposite = np.roll(weights, -1, axis=1) * np.roll(weights, 1, axis=1)
    return np.concatenate([weights * (2 * weights - 1), 4 * opposite], axis=1)


def slopes(degree: int, weights: np.ndarray) -> np.ndarray:
    """Return their derivatives (Q, n, 3) by the three barycentric coordinates."""
    unit = np.broadcast_to(np.eye(3), (len(weights), 3, 3))
    if degree == 1:
        return unit
    after, before = np.roll(weights, -1, axis=1), np.roll(weights, 1, axis=1)
    to_after, to_before = np.roll(np.eye(3), 1, axis=1), np.roll(np.eye(3), -1, axis=1)
    sides = 4 * (after[:, :, None] * to_before + before[:, :, None] * to_after)
    return np.concatenate([(4 * weights[:, :, None] - 1) * unit, sides], axis=1)


class Elements:
    """Continuous functions on a surface that are polynomials on every flat triangle of its patches.

    Args:
        patches: of the surface.
        level: how many times every triangle of them is cut into four.
        degree: of the polynomials, 1 or 2.

    Attributes:
        members: the functions that live on each triangle, (F, n).
        size: N, how many functions there are.
        points: nodes of a quadrature, (F Q, D), Q per triangle.
        areas: their weights, (F Q,).
        frames: the tangent plane at each of them, (F Q, D, 2).
        is_curved: whether the surface leaves these planes.
    """

    def __init__(self, patches: Patches, level: int, degree: int) -> None:
        self.degree, self._patches, self._level = degree, patches, level
        self.is_curved = patches.is_curved
        faces, self.size, corners = patches.cut(level)
        self.members = faces
        if degree == 2:
            edges = edges_of(faces)
            self.members = np.concatenate([faces, self.size + edges.of_faces], axis=1)
            self.size += len(edges.ends)
        # Exact for products of two functions and three, or five, more degrees of rho.
        self._rule, shares = triangle_rule(degree + 2)
        self.points, self.areas, self.frames, self._gradients = patches.nodes(corners, self._rule, shares)
        self._shapes = shapes(degree, self._rule)

    def matrices(self, coefficients: ReversibleCoefficients, rho: np.ndarray) -> tuple[csc_array, csc_array]:
        """Return the stiffness S and the mass M, (N, N).

        Args:
            coefficients: G^-1 at the nodes.
            rho: at the nodes, (F Q,).
        """
        per_face = (len(self.members), len(self._rule))
        weights = (self.areas * rho).reshape(per_face)
        metrics = coefficients.inverse_metrics.reshape(*per_face, 2, 2)
        along = slopes(self.degree, self._rule)
        stiffness, mass = [], []
        for start in range(0, len(self.members), _BLOCK):
            rows = slice(start, start + _BLOCK)
            forms = _pulled_back(0.5 * weights[rows, :, None, None] * metrics[rows], self._gradients[rows])
            stiffness.append(np.einsum("qma,fqab,qnb->fmn", along, forms, along, optimize=True))
            mass.append(np.einsum("qm,fq,qn->fmn", self._shapes, weights[rows], self._shapes, optimize=True))
        return self._assemble(stiffness), self._assemble(mass)

    def _assemble(self, blocks: list[np.ndarray]) -> csc_array:
        local = np.concatenate(blocks)
        rows = np.broadcast_to(self.members[:, :, None], local.shape)
        columns = np.broadcast_to(self.members[:, None, :], local.shape)
        matrix = coo_array((local.ravel(), (rows.ravel(), columns.ravel())), shape=(self.size, self.size))
        return csc_array(matrix)

    def load(self, values: np.ndarray) -> np.ndarray:
        """Return int g phi_i dA, (N, c), of values (F Q, c) at the nodes."""
        shaped = (self.areas[:, None] * values).reshape(len(self.members), len(self._rule), -1)
        local = np.einsum("qm,fqc->fmc", self._shapes, shaped)
        columns = [np.bincount(self.members.ravel(), weights=part.ravel(), minlength=self.size) for part in
                   np.moveaxis(local, 2, 0)]  # fmt: skip
        return np.stack(columns, axis=1)

    def place(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return in which triangles points (Q, 3) lie, and their barycentric coordinates (Q, 3) there."""
        return self._patches.place(points, self._level)

    def place_of_finer(self, finer: Elements) -> tuple[np.ndarray, np.ndarray]:
        """Return, likewise, where the functions (N',) of the elements one level finer are one."""
        child = np.arange(4)[:, None, None]
        local = _PLACES[self.degree]
        outer = (local + np.eye(4, 3)[:, None]) / 2
        weights = np.where(child < 3, outer, (1 - local) / 2)  # (4, n, 3), of all four triangles of one
        faces, places = np.empty(finer.size, dtype=int), np.empty((finer.size, 3))
        faces[finer.members] = (np.arange(len(finer.members)) // 4)[:, None]
        places[finer.members] = np.tile(weights, (len(self.members), 1, 1))
        return faces, places

    def largest(self, values: np.ndarray) -> np.ndarray:
        """Return for each function, (N,), the largest of values (F Q,) at the nodes of the triangles it lives on."""
        found = np.full(self.size, -np.inf)
        of_face = values.reshape(len(self.members), -1).max(axis=1)
        np.maximum.at(found, self.members, of_face[:, None])
        return found

    def evaluate(self, coefficients: np.ndarray, faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return sum_i u_i phi_i, (..., Q, c), from u (..., N, c), at barycentric coordinates (Q, 3) in triangles."""
        values = shapes(self.degree, weights)
        return sum(values[:, [i]] * coefficients[..., self.members[faces, i], :] for i in range(values.shape[1]))


def _pulled_back(tensors: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Return g' T g, (F, Q, 3, 3), of tensors T (F, Q, 2, 2) and gradients g (F, Q, 3, 2) or (F, 1, 3, 2)."""
    if gradients.shape[1] > 1:
        return gradients @ tensors @ np.swapaxes(gradients, 2, 3)
    constant = gradients[:, 0]  # three times as fast
    return np.einsum("fai,fqij,fbj->fqab", constant, tensors, constant, optimize=True)
