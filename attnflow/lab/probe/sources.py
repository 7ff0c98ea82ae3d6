"""Where logits come from: queries and keys, a matrix, or distances of points. Rows are made when they are asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from attnflow._values import value

_GRAM_ROWS = 1024  # whose products take a twentieth of a second


class Logits(ABC):
    """A square matrix of logits L, (N, N), which need not be held."""

    @property
    @abstractmethod
    def count(self) -> int:
        """Return N."""

    @abstractmethod
    def rows(self, which: slice | np.ndarray) -> np.ndarray:
        """Return L_ij of some queries i and every key j, (B, N)."""

    @abstractmethod
    def columns(self, which: slice | np.ndarray) -> np.ndarray:
        """Return L_ji of every query j and some keys i, as rows (B, N)."""

    @abstractmethod
    def own(self) -> np.ndarray:
        """Return L_ii, (N,)."""

    @abstractmethod
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the means of the rows (N,) and of the columns (N,)."""

    @abstractmethod
    def squared_gram(self) -> float:
        """Return |C'C|^2 (Frobenius) of the row-centred logits C."""

    @abstractmethod
    def of(self, queries: np.ndarray, keys: np.ndarray | None = None) -> Logits:
        """Return the logits of some tokens, in that order; their keys may be taken from others, as many."""

    def matrix(self) -> np.ndarray:
        """Return L, (N, N)."""
        return self.rows(slice(None))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.count} tokens)"


@value
class Products(Logits):
    """L_ij = <q_i, k_j>/eps + b_j; with `potential` b of the keys where there is one."""

    queries: np.ndarray
    keys: np.ndarray
    bandwidth: float
    potential: np.ndarray | float = 0.0

    __repr__ = Logits.__repr__

    @property
    def count(self) -> int:
        """Return N."""
        return len(self.queries)

    def rows(self, which: slice | np.ndarray) -> np.ndarray:
        """Return L_ij of some queries i and every key j, (B, N)."""
        return (self.queries[which] / self.bandwidth) @ self.keys.T + self.potential

    def columns(self, which: slice | np.ndarray) -> np.ndarray:
        """Return L_ji of every query j and some keys i, as rows (B, N)."""
        shift = np.broadcast_to(self.potential, self.count)[which]
        return (self.keys[which] / self.bandwidth) @ self.queries.T + shift[:, None]

    def own(self) -> np.ndarray:
        """Return L_ii, (N,)."""
        return np.einsum("ij,ij->i", self.queries, self.keys) / self.bandwidth + self.potential

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the means of the rows (N,) and of the columns (N,), without the matrix."""
        rows = self.queries @ self.keys.mean(axis=0) / self.bandwidth + np.mean(self.potential)
        columns = self.keys @ self.queries.mean(axis=0) / self.bandwidth + self.potential
        return rows, columns

    def squared_gram(self) -> float:
        """Return |C'C|^2 (Frobenius) of the row-centred logits C = Q K', from Q'Q and K'K."""
        potential = np.broadcast_to(self.potential, self.count)
        queries = np.column_stack([self.queries / self.bandwidth, np.ones(self.count)])
        keys = np.column_stack([self.keys, potential])
        keys = keys - keys.mean(axis=0)
        product = (queries.T @ queries) @ (keys.T @ keys)
        return float(np.vdot(product.T, product))

    def of(self, queries: np.ndarray, keys: np.ndarray | None = None) -> Products:
        """Return the logits of some tokens, in that order; their keys may be taken from others, as many."""
        keys = queries if keys is None else keys
        shift = np.broadcast_to(self.potential, self.count)[keys]
        return Products(self.queries[queries], self.keys[keys], self.bandwidth, shift)


@value
class Given(Logits):
    """Logits that were handed over as a matrix."""

    content: np.ndarray

    __repr__ = Logits.__repr__

    @property
    def count(self) -> int:
        """Return N."""
        return len(self.content)

    def rows(self, which: slice | np.ndarray) -> np.ndarray:
        """Return L_ij of some queries i and every key j, (B, N)."""
        return self.content[which]

    def columns(self, which: slice | np.ndarray) -> np.ndarray:
        """Return L_ji of every query j and some keys i, as rows (B, N)."""
        return self.content[:, which].T

    def own(self) -> np.ndarray:
        """Return L_ii, (N,)."""
        return np.diagonal(self.content)

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the means of the rows (N,) and of the columns (N,)."""
        return self.content.mean(axis=1), self.content.mean(axis=0)

    def squared_gram(self) -> float:
        """Return |C'C|^2 (Frobenius) of the row-centred logits C; of a large matrix from C of every few queries."""
        step = -(-self.count // _GRAM_ROWS)
        some = self.content[::step]
        centred = some - some.mean(axis=1, keepdims=True)
        return float(np.linalg.norm(centred @ centred.T) ** 2) * (self.count / len(some)) ** 2

    def of(self, queries: np.ndarray, keys: np.ndarray | None = None) -> Given:
        """Return the logits of some tokens, in that order; their keys may be taken from others, as many."""
        return Given(self.content[np.ix_(queries, queries if keys is None else keys)])


def plain(points: np.ndarray, bandwidth: float) -> Products:
    """Return the logits -|x_i - x_j|^2/(2 eps) of points (N, D), up to a term of the row."""
    centred = points - points.mean(axis=0)
    return Products(centred, centred, bandwidth, -np.sum(centred**2, axis=1) / (2 * bandwidth))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return weights with rows that sum to 1, (B, N); the largest logit of a row may be anything."""
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights
