"""Looking closely: rules with many more nodes than an answer needs, and the places where a function bends most.

Two rules that agree may both have missed what lies between their nodes. A rule with very many sees a Gaussian of width
s wherever its nearest node is within about 6 s.
"""

from __future__ import annotations

import functools

import numpy as np

from attnflow._tracing import Fixed
from attnflow.manifolds.base import Manifold, rule_of
from attnflow.measures import DiscreteMeasure

CLOSE_NODES = 1 << 16, 1 << 17  # of a close look, on curves and in more dimensions: 10 and 25 ms for a function


def close_nodes(manifold: Manifold) -> int:
    """Return how many nodes a close look at a manifold takes."""
    return CLOSE_NODES[min(manifold.dim, 2) - 1]


def close_rule(manifold: Manifold, nodes: int) -> DiscreteMeasure:
    """Return a quadrature of a compact manifold with at least so many nodes.

    Example:
        >>> import attnflow as af
        >>> from attnflow.resolution import close_rule
        >>> len(close_rule(af.Circle(), 1000)), len(close_rule(af.Sphere(2), 1000))
        (1024, 1152)
    """
    return rule_at(manifold, close_degree(manifold, nodes))


def close_degree(manifold: Manifold, nodes: int) -> int:
    """Return the degree of that quadrature."""
    count = 8  # per dimension: powers of two, some times 3/2, whose Fourier transforms are fast
    while manifold.quadrature_size(count - 1) < nodes and count < nodes:
        count = 3 * count // 2 if count & (count - 1) == 0 else 4 * count // 3
    return count - 1


def rule_at(manifold: Manifold, degree: int) -> DiscreteMeasure:
    """Return the quadrature of a manifold of some degree; the last few are kept."""
    return _rule(Fixed(manifold), degree)  # a manifold of a user's own may hold arrays, which have no hash


@functools.lru_cache(maxsize=8)
def _rule(fixed: Fixed, degree: int) -> DiscreteMeasure:
    return rule_of(fixed.content, degree)


def roughest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the places (count,) of the largest second differences of values (Q,) or (Q, c) along the order of a rule.

    Neighbours in the order of a rule are neighbours on M but for the ends of its rows.

    Example:
        >>> import numpy as np
        >>> from attnflow.resolution import roughest
        >>> roughest(np.array([0.0, 1.0, 2.0, 9.0, 4.0, 5.0, 6.0, 3.0]), 1)
        array([3])
    """
    columns = values.reshape(len(values), -1)
    bends = np.abs(np.roll(columns, 1, axis=0) - 2 * columns + np.roll(columns, -1, axis=0)).max(axis=1)
    count = min(count, len(bends))
    return np.argpartition(bends, -count)[-count:]
