r"""What a basis must offer, and the matrix of any second-order operator in it.

A basis brings a tight frame of vector fields X_a: sum_a X_a X_a' is the projection on the tangent space, each X_a maps
the span of the basis into itself, and sum_ab (X_a'C X_b) nabla_{X_a} X_b = 0 for every tangent tensor C. Then, exactly,

    1/2 tr(C Hess f) + <b, grad f> = 1/2 sum_ab (X_a'C X_b) X_a X_b f + sum_a (X_a'b) X_a f,

without charts and without poles. On flat tori and the line the fields are coordinate derivatives; on S^2 they are the
three rotations e_a x x, for which nabla_{X_a} X_b = x_b P e_a and sum_b (X_b) x_b = 0.

Where M has a boundary it reflects: what leaves, 1/2 <nu, C grad f>, is taken from the projection of L f,

    A_ij = int phi_i (L phi_j) w dvol - 1/2 int_{boundary} phi_i <nu, C grad phi_j> w dS.

Integrated by parts this is the weak form, in which a flux through the boundary is zero without being asked to be; the
rule for int dvol has nodes there, so it is a drift inwards at these nodes and nothing else.
"""

from __future__ import annotations

import copy
import functools
import math
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np
from scipy.fft import next_fast_len
from scipy.sparse import csr_array

from attnflow.densities.base import Density
from attnflow.equations.discretizations.close import CloseRule, DenseRule, GridRule

_ROWS = 4096  # points synthesised at once, so that memory stays far below Q x K numbers


class Basis(ABC):
    """K smooth functions phi_n, phi_0 = 1, orthonormal in L2(w dvol) for a reference probability density w.

    Functions are ordered by degree, so the basis of a lower degree is the first part of that of a higher one.

    A kind of basis says by its name which it is, by `serves` and `degrees` for which densities it is made and how fine
    it is worth making, and by `on` it is made.

    Attributes:
        name: what the kind is called.
        domain: where it serves, in words.
        degree: n, the largest degree of a phi_n.
        nodes: quadrature nodes (M, D), enough for products of three functions of the basis.
        volumes: weights (M,) with sum_q volumes_q h(x_q) close to int h dvol.
        derivatives: one sparse matrix (K, K) per field, X_a phi_n = sum_k phi_k (derivatives_a)_kn.
    """

    name: ClassVar[str]
    domain: ClassVar[str]
    degree: int
    nodes: np.ndarray
    volumes: np.ndarray
    derivatives: tuple[csr_array, ...]

    @classmethod
    @abstractmethod
    def serves(cls, density: Density) -> bool:
        """Return whether the functions span L2 of where the density lives and their fields are exact there."""

    @classmethod
    @abstractmethod
    def degrees(cls, density: Density) -> range:
        """Return the degrees worth trying, rising by 4 up to about a thousand functions.

        Errors fall by about 10^2 per two degrees, so two neighbours tell the error of the coarser one.
        """

    @classmethod
    def high_degrees(cls, density: Density) -> range:
        """Return higher degrees, at which a matrix would be too large and sums over the nodes are fast; often none."""
        return range(0)

    @classmethod
    def swift_degree(cls, density: Density) -> float:
        """Return the degree from which one function is followed sooner by such sums than a matrix is exponentiated."""
        return math.inf

    @classmethod
    def examined_degree(cls, density: Density) -> int:
        """Return the degree up to which it is seen what is in a function: what is above is rough."""
        return cls.degrees(density)[-1]

    @classmethod
    @abstractmethod
    def on(cls, density: Density, degree: int) -> Self:
        """Return the basis of one degree for a density that it serves."""

    @property
    def method(self) -> str:
        """The kind and the degree, in words."""
        return f"{self.name.capitalize()}, degree {self.degree}"

    @abstractmethod
    def evaluate(self, points: np.ndarray) -> np.ndarray:
        """Return phi_n(x_q), (Q, K), at points (Q, D)."""

    @abstractmethod
    def fields(self, points: np.ndarray) -> np.ndarray:
        """Return the frame X_a(x_q), (A, Q, D), at points (Q, D)."""

    @abstractmethod
    def reference_density(self, points: np.ndarray) -> np.ndarray:
        """Return w(x_q), (Q,), at points (Q, D)."""

    @abstractmethod
    def closely(self, nodes: int) -> CloseRule:
        """Return a rule with at least so many nodes, over which sums are fast."""

    def finely(self, degree: int) -> GridRule:
        """Return the same on the quadrature of that degree of the manifold; only where there are high degrees."""
        raise NotImplementedError

    def with_transforms(self) -> Self:
        """Return the same functions where sums over their nodes are fast."""
        other = copy.copy(self)
        other.rule = self.finely(next_fast_len(3 * self.degree + 1) - 1)
        other.nodes, other.volumes = other.rule.nodes, other.rule.volumes
        return other

    @functools.cached_property
    def rule(self) -> CloseRule:
        """The sums over the nodes."""
        return DenseRule(self, self.nodes, self.volumes)

    @property
    def size(self) -> int:
        """K, the number of functions."""
        return self.derivatives[0].shape[0]

    @property
    def outward(self) -> np.ndarray | None:
        """The outward normal at nodes on the boundary, over the part of `volumes` that is not dS, (M, D); or None.

        On a node of several faces it is the sum of theirs; elsewhere it is zero.
        """
        return None

    @property
    def orders(self) -> np.ndarray:
        """The degree of each function, (K,); unless written otherwise, its slope."""
        return self.slopes

    @functools.cached_property
    def slopes(self) -> np.ndarray:
        """The norm of grad phi_n in L2(w), (K,); on a flat torus the length of its wave vector."""
        return np.sqrt(sum(np.asarray(along.multiply(along).sum(axis=0)).ravel() for along in self.derivatives))

    @functools.cached_property
    def at_nodes(self) -> np.ndarray:
        """phi_n at the nodes, (M, K)."""
        return self.rule.functions if isinstance(self.rule, DenseRule) else self.evaluate(self.nodes)

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """Weights (M,) with sum_q weights_q h(x_q) close to int h w dvol."""
        return self.volumes * self.reference_density(self.nodes)

    def analyse(self, values: np.ndarray) -> np.ndarray:
        """Return coefficients (K, c) of a function with values (M, c) at the nodes: c_n = int f phi_n w dvol."""
        return self.rule.analyse(values)

    def analyse_density(self, values: np.ndarray) -> np.ndarray:
        """Return moments (K, c) of a density r (M, c) at the nodes: c_n = int r phi_n dvol, r = w sum c_n phi_n."""
        return self.rule.analyse_density(values)

    def synthesise_at_nodes(self, coefficients: np.ndarray) -> np.ndarray:
        """Return sum_n c_n phi_n, (..., M, c), from coefficients (..., K, c) at the nodes."""
        if isinstance(self.rule, DenseRule):
            return self.rule.functions @ coefficients
        columns = np.moveaxis(coefficients, -2, 0)
        if not columns.size:
            return np.zeros((*coefficients.shape[:-2], len(self.nodes), coefficients.shape[-1]))
        values = self.rule.synthesise(columns.reshape(len(columns), math.prod(columns.shape[1:])))
        return np.moveaxis(values.reshape(len(values), *columns.shape[1:]), 0, -2)

    def synthesise(self, coefficients: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        """Return sum_n c_n phi_n(x_q), (..., Q, c), from coefficients (..., K, c) at points (Q, D)."""
        blocks = [self.evaluate(at[start : start + _ROWS]) @ coefficients for start in range(0, len(at), _ROWS)]
        return np.concatenate(blocks, axis=-2)

    def bound(self, coefficients: np.ndarray, *, at: np.ndarray) -> np.ndarray:
        """Return sum_n |c_n phi_n(x_q)|, (..., Q, c), from coefficients (..., K, c) at points (Q, D)."""
        sizes = np.abs(coefficients)
        blocks = [np.abs(self.evaluate(at[start : start + _ROWS])) @ sizes for start in range(0, len(at), _ROWS)]
        return np.concatenate(blocks, axis=-2)

    def operator(self, *, diffusions: np.ndarray, drifts: np.ndarray) -> np.ndarray:
        """Return the matrix (K, K) of f -> 1/2 tr(C Hess f) + <b, grad f>, projected on the basis.

        A boundary reflects. The first column is exactly zero: constants are not moved, and the adjoint conserves mass.

        Args:
            diffusions: C at the nodes, (M, D, D), symmetric on the tangent space.
            drifts: b at the nodes, (M, D).
        """
        if self.outward is not None:
            drifts = drifts - 0.5 * np.einsum("qij,qj->qi", diffusions, self.outward)
        factors = self.along_fields(self.nodes, diffusions=diffusions, drifts=drifts).T[..., None]
        once = [self.at_nodes @ along for along in self.derivatives]
        first, second = factors[: len(once)], factors[len(once) :].reshape(len(once), len(once), -1, 1)
        image = sum(factor * each for factor, each in zip(first, once, strict=True))
        for b, along in enumerate(self.derivatives):  # sum_a (X_a'C X_b) X_a X_b: one product for all X_a
            image += sum(factor * each for factor, each in zip(second[:, b], once, strict=True)) @ along
        return self.at_nodes.T @ (self.weights[:, None] * image)

    def along_fields(self, points: np.ndarray, *, diffusions: np.ndarray, drifts: np.ndarray) -> np.ndarray:
        """Return X_a'b and X_a'C X_b / 2 at points (Q, D), (Q, A + A^2): L is theirs times X_a f and X_a X_b f."""
        fields = self.fields(points)
        first = np.einsum("aqi,qi->qa", fields, drifts)
        second = 0.5 * np.einsum("aqi,qij,bqj->qab", fields, diffusions, fields)
        return np.concatenate([first, second.reshape(len(points), -1)], axis=1)
