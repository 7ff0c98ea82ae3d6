"""Looking closely: rules with many more nodes than an answer needs, and the places where a function bends most.

Two rules that agree may both have missed what lies between their nodes. A rule with 2^18 nodes sees a Gaussian of
width s wherever its nearest node is within about 6 s: s > 2e-6 on the unit circle, s > .002 on the torus T^2, s > .001
on S^2.
"""

from __future__ import annotations

import functools

import numpy as np

from attnflow.manifolds.base import Manifold, rule_of
from attnflow.measures import DiscreteMeasure

NODES = 1 << 18  # of a close look: a function of one point takes 20 to 30 ms there once compiled


def close_rule(manifold: Manifold, nodes: int = NODES) -> DiscreteMeasure:
    """Return a quadrature of a compact manifold with at least so many nodes.

    Example:
        >>> import attnflow as af
        >>> from attnflow.resolution import close_rule
        >>> len(close_rule(af.Circle(), 1000)), len(close_rule(af.Sphere(2), 1000))
        (1024, 1152)
    """
    try:
        hash(manifold)
    except TypeError:  # a manifold of a user's own that holds an array
        return _make_rule(manifold, nodes)
    return _keep_rule(manifold, nodes)


def _make_rule(manifold: Manifold, nodes: int) -> DiscreteMeasure:
    count = 8  # per dimension: powers of two, some times 3/2, whose Fourier transforms are fast
    while manifold.quadrature_size(count - 1) < nodes and count < nodes:
        count = 3 * count // 2 if count & (count - 1) == 0 else 4 * count // 3
    return rule_of(manifold, count - 1)


_keep_rule = functools.lru_cache(maxsize=8)(_make_rule)


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
