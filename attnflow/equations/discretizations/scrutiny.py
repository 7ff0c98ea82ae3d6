"""What a resolution cannot see: features of f and of L that lie between its nodes or above its degree."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import NamedTuple

import numpy as np

from attnflow._lifting import evaluate
from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.close import CloseRule, GridRule
from attnflow.equations.expansions.coefficients import AmbientCoefficients
from attnflow.resolution import close_nodes, close_rule, roughest

_OPERATOR = 1 << 14  # nodes at which L is looked at: 30 to 60 ms, once for a solver
_PLACES = 512  # where log p bends most, among many more nodes
_KEPT = 8  # functions of which it is remembered what was seen, and rules
_RESOLVED = 1e-13  # of the size of f: less is rounding
_NOISE = 1e-11  # of the largest coefficient of L: rounding of its projections stays below


class Seen(NamedTuple):
    """A function at the nodes of a close rule.

    Attributes:
        coefficients: its projection on the largest basis, (K, c); moments of a density.
        doubts: by how much they differ from those of a rule with a quarter of the nodes, if anything is lost.
        norm: of f in L2(w), or of a density over w.
        size: the largest |f|.
        lost: the largest |f - its projection|.
        place: where, (D,).
    """

    coefficients: np.ndarray
    doubts: np.ndarray
    norm: float
    size: float
    lost: float
    place: np.ndarray

    def beyond(self, size: int) -> float:
        """Return the norm of what is not in the span of the first functions."""
        return float(np.sqrt(max(self.norm**2 - np.sum(self.coefficients[:size] ** 2), 0.0)))


class Missed(NamedTuple):
    """What a resolution misses of L f = 1/2 tr(C Hess f) + <b, grad f>.

    Attributes:
        tails: how much of b, and of C/2, is above degree 0, 1, ..., n, (2, n + 1), as seen at very many nodes.
        aliases: the norm by which their projections differ from those of a rule with very many nodes, (2,).
        place: where b is farthest from its projection, (D,).
    """

    tails: np.ndarray
    aliases: np.ndarray
    place: np.ndarray

    def leak(self, sizes: np.ndarray, basis: Basis) -> np.ndarray:
        """Return a bound on what L sends above degree n, (S,), from |coefficients| (S, K) in a basis of at most n."""
        room = np.floor(self.tails.shape[1] - 1 - basis.orders).astype(int)
        first, second = self.tails[:, room]
        return sizes @ (basis.slopes * first + basis.slopes**2 * second)


class Scrutiny:
    """A close look at f, and at L, for all resolutions of one solver.

    A smooth feature is seen down to a width of about 1e-5 on curves and .003 on surfaces where it is one of f or of
    log p, 1e-4 and .005 where it is one of the cost.

    Args:
        basis: the kind of basis.
        density: p.
        coefficients: the map from points (M, D) to the tensors of L there.
    """

    def __init__(
        self, basis: type[Basis], density: Density, *, coefficients: Callable[[np.ndarray], AmbientCoefficients]
    ) -> None:
        self._kind = basis
        self._density = density
        self.coefficients = coefficients
        self._seen: dict[tuple[Hashable, bool], Seen] = {}
        self._rules: dict[tuple[int, int], CloseRule] = {}
        self._grids: dict[int, np.ndarray] = {}

    @functools.cached_property
    def top(self) -> Basis:
        """The basis in which functions are looked at."""
        return self._of_degree(self._kind.examined_degree(self._density))

    def _of_degree(self, degree: int) -> Basis:
        basis = self._kind.on(self._density, degree)
        dense = min(self._kind.degrees(self._density)[-1], self._kind.swift_degree(self._density) - 1)
        return basis if degree <= dense else basis.with_transforms()

    @property
    def nodes(self) -> int:
        """The number of nodes at which f is looked at."""
        return close_nodes(self._density.manifold)

    def seen(self, f: Callable, *, adjoint: bool) -> Seen:
        """Return what is seen of f, or of a density."""
        if not isinstance(f, Hashable):
            return self._look(f, adjoint)
        if (f, adjoint) not in self._seen:
            self._seen[f, adjoint] = self._look(f, adjoint)
            _forget(self._seen)
        return self._seen[f, adjoint]

    def moments(
        self, f: Callable, basis: Basis, *, adjoint: bool, nodes: int
    ) -> tuple[CloseRule, np.ndarray, np.ndarray]:
        """Return a rule for the basis, f there (Q, c), and its coefficients (K, c), or moments of a density."""
        rule = self._rule(basis, nodes)
        values = evaluate(f, rule.nodes).reshape(len(rule.nodes), -1)
        return rule, values, rule.analyse_density(values) if adjoint else rule.analyse(values)

    def _rule(self, basis: Basis, nodes: int) -> CloseRule:
        key = (basis.degree, nodes)
        if key not in self._rules:
            self._rules[key] = basis.closely(nodes)
            _forget(self._rules)
        return self._rules[key]

    def _look(self, f: Callable, adjoint: bool) -> Seen:
        rule, values, coefficients = self.moments(f, self.top, adjoint=adjoint, nodes=self.nodes)
        density = (rule.weights / rule.volumes)[:, None] if adjoint else 1.0
        rest = np.linalg.norm(values - density * rule.synthesise(coefficients), axis=1)
        size, worst = float(np.linalg.norm(values, axis=1).max()), int(np.argmax(rest))
        doubts = np.zeros_like(coefficients)
        if rest[worst] > _RESOLVED * size:
            doubts = coefficients - self.moments(f, self.top, adjoint=adjoint, nodes=self.nodes // 4)[2]
        norm = float(np.sqrt(np.sum(rule.weights[:, None] * (values / density) ** 2)))
        return Seen(coefficients, doubts, norm, size, float(rest[worst]), rule.nodes[worst])

    @functools.cached_property
    def missed_with_matrix(self) -> Missed:
        """What the largest basis misses of L in which it becomes a matrix."""
        last = self._of_degree(self._kind.degrees(self._density)[-1])
        return self.missed(last, self.fields(last, last.nodes))

    @functools.cached_property
    def missed_at_best(self) -> Missed:
        """What the largest basis misses of L."""
        degrees = self._kind.high_degrees(self._density)
        if not degrees:
            return self.missed_with_matrix
        best = self._of_degree(degrees[-1])
        return self.missed(best, self.fields(best, best.nodes))

    def missed(self, basis: Basis, fields: np.ndarray) -> Missed:
        """Return what a basis misses of L.

        Args:
            basis: where L becomes a matrix.
            fields: L along its fields at its nodes, (M, A + A^2).
        """
        rule = self._rule(basis, max(_OPERATOR, 2 * len(basis.nodes)))
        closely = self._on_grid(rule) if isinstance(rule, GridRule) else self.fields(basis, rule.nodes)
        own = basis.analyse(fields)
        rest, places = np.abs(closely - rule.synthesise(own)), rule.nodes
        if isinstance(rule, GridRule):
            rough, there = self._where_rough
            rest = np.concatenate([rest, np.abs(there - basis.synthesise(own, at=rough))])
            places = np.concatenate([places, rough])
            unseen = rest.max(axis=0)
        else:
            unseen = np.sqrt(rule.weights @ rest**2)
        noise = _NOISE * np.abs(fields).max()
        aliases = np.linalg.norm(rule.analyse(closely) - own, axis=0)
        first = len(basis.derivatives)
        parts = (slice(0, first), slice(first, None))  # of b, and of C/2
        above = basis.orders[None] > np.arange(basis.degree + 1)[:, None]
        tails = np.array([np.sqrt(2) * above @ np.linalg.norm(own[:, part], axis=1) for part in parts])
        tails += np.array([[np.linalg.norm(unseen[part])] for part in parts])
        aliases = np.array([np.linalg.norm(aliases[part]) for part in parts])
        return Missed(
            np.where(tails > noise, tails, 0.0),
            np.where(aliases > noise, aliases, 0.0),
            places[rest.max(axis=1).argmax()],
        )

    def fields(self, basis: Basis, points: np.ndarray) -> np.ndarray:
        """Return L along the fields of a basis at points (Q, D): X_a'b and X_a'C X_b / 2, (Q, A + A^2)."""
        found = self.coefficients(points)
        return basis.along_fields(points, diffusions=found.diffusions, drifts=found.drifts)

    def _on_grid(self, rule: GridRule) -> np.ndarray:
        if len(rule.nodes) not in self._grids:
            self._grids[len(rule.nodes)] = self.fields(self.top, rule.nodes)
            _forget(self._grids)
        return self._grids[len(rule.nodes)]

    @functools.cached_property
    def _where_rough(self) -> tuple[np.ndarray, np.ndarray]:
        """The places where log p bends most among very many, and L there."""
        nodes = close_rule(self._density.manifold, self.nodes).points
        places = nodes[roughest(self._density.log_densities(nodes), _PLACES)]
        return places, self.fields(self.top, places)


def _forget(kept: dict) -> None:
    """Remove the first of too many."""
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]
