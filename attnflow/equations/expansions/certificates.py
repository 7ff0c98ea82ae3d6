"""What is known of a global minimiser: whether it is unique, inside, non-degenerate, and how high the next one is."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from attnflow._checks import check_tolerance
from attnflow._html import Table, in_html
from attnflow.densities.base import Density
from attnflow.equations.expansions.minimizers import SAME_POINT, TIE, Candidates, Cover, Lowest
from attnflow.equations.expansions.refusals import REGULAR, Refusal
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.pseudometrics.scrutiny import low_elsewhere

DOUBTFUL = 16  # queries at which a cost is looked for elsewhere
UNSEEN = 25.0  # in log p: what is rarer by so much is not there
_RUNAWAY = 10.0  # so many times further out than the whole cover, a search has found that there is no minimum


class Minimizers(NamedTuple):
    """The global minimisers of D(x, .) at queries, and what is known of each.

    Attributes:
        points: y*(x), (Q, D): one of them where there are several, the lowest point found where there is none.
        gaps: D/2 at the next local minimum less D/2 at y* (Q,), infinite if none was found.
        curvatures: the smallest eigenvalue of G = 1/2 Hess_y D at y* (Q,).
        kinds: of each (Q,) "regular", "several", "degenerate", "not smooth", "beyond the end" or "none". The expansion
            holds where it is regular: unique, inside, non-degenerate, in a smooth place of the cost.
    """

    points: np.ndarray
    gaps: np.ndarray
    curvatures: np.ndarray
    kinds: np.ndarray

    def largest_bandwidth(self, tolerance: float = 1e-8) -> np.ndarray:
        """Return the largest eps (Q,) with e^{-gap/eps} <= tolerance: what the next minimum adds to A f is that small.

        That holds for the Gaussian profile. Zero where the minimiser is not regular, infinite where no other was found.

        Args:
            tolerance: between 0 and 1.

        Raises:
            ConfigError: if it is not.
        """
        reach = -math.log(check_tolerance(tolerance, "tolerance"))
        return np.where(self.kinds == REGULAR, self.gaps / reach, 0.0)

    def _repr_html_(self) -> str:
        rows = [
            (str(kind), point, float(gap), float(curvature))
            for kind, point, gap, curvature in zip(self.kinds, self.points, self.gaps, self.curvatures, strict=True)
        ]
        return in_html(self, {}, table=Table(["minimiser", "at", "gap", "curvature"], rows))

    def __repr__(self) -> str:
        kinds, counts = np.unique(self.kinds, return_counts=True)
        found = ", ".join(f"{count} {kind}" for kind, count in zip(kinds, counts, strict=True))
        regular = self.kinds == REGULAR
        if not regular.any():
            return f"Minimizers({found})"
        gap, curvature = self.gaps[regular].min(), self.curvatures[regular].min()
        others = "no others found"
        if np.isfinite(gap):
            reach = self.largest_bandwidth()[regular].min()
            others = f"gap >= {gap:.3g}: less than 1e-8 of A f from others for bandwidths up to {reach:.3g}"
        return f"Minimizers({found}; {others}; curvature >= {curvature:.3g})"


def refusals_of_place(
    lowest: Lowest, queries: np.ndarray, *, cost: str, cover: Cover, manifold: Manifold, several: bool = False
) -> list[Refusal]:
    """Return what is wrong with where minimisers are.

    Args:
        lowest: what a search has found.
        queries: x, (Q, D).
        cost: what the cost is called.
        cover: where the search began.
        manifold: M.
        several: whether a query may have several of them.
    """
    distances = np.linalg.norm(lowest.points, axis=1)
    beyond = manifold.residual(lowest.points) if manifold.has_boundary else np.zeros(len(queries))
    # Charts of compact manifolds may be lines and planes that leave them, as those of intervals and triangles.
    where = f"along the charts of {manifold}, which leave it," if manifold.is_compact else f"on {manifold}"

    def point(points: np.ndarray, row: int) -> list:
        return np.round(points[row], 4).tolist()

    def endless(row: int) -> str:
        return (
            f"{cost} has no minimiser for the query {point(queries, row)}: {where} it decreases without end. The "
            "expansion needs a unique one. Let the cost grow there."
        )

    def outside(row: int) -> str:
        return (
            f"{cost} is least beyond the end of {manifold} for the query {point(queries, row)}, at "
            f"{point(lowest.points, row)}. The expansion needs a minimiser inside. Ask at other queries."
        )

    def tied(row: int) -> str:
        return (
            f"{cost} has several global minimisers, or a flat one, for the query {point(queries, row)}: D/2 differs "
            f"by {lowest.gaps[row]:.3g} between two of them. The expansion needs a unique one; what A f tends to is "
            "told by `LaplaceExpansion.leading_order`."
        )

    extent = np.linalg.norm(cover.nodes, axis=-1).max()
    refusals = [
        Refusal("none", ~(distances < _RUNAWAY * extent), endless),
        Refusal("beyond the end", beyond > SAME_POINT, outside),
    ]
    return refusals if several else [*refusals, Refusal("several", lowest.gaps < TIE, tied)]


def doubtful_queries(cost: PseudoMetric, density: Density, nodes: np.ndarray) -> np.ndarray:
    """Return some of the nodes (Q, D), at which a cost that is said to be least at y = x is low far away too."""
    if not len(low_elsewhere(cost, nodes, most=1)):
        return nodes[:0]
    log_p = density.log_densities(nodes)
    return low_elsewhere(cost, nodes[log_p > log_p.max() - UNSEEN], most=DOUBTFUL)


def require_definite(found: Candidates, queries: np.ndarray, *, density: Density, cost: str) -> None:
    """Raise ConfigError if a cost that is said to be least at y = x alone is as low at another key.

    Args:
        found: the local minima at the queries.
        queries: x, (Q, D).
        density: of the keys; where they are rarer by e^-25 than at the query, an average does not see them.
        cost: what the cost is called.
    """
    elsewhere = np.linalg.norm(found.points - queries[:, None], axis=2) > SAME_POINT
    keys = density.log_densities(found.points.reshape(-1, queries.shape[1])).reshape(found.heights.shape)
    seen = keys > density.log_densities(queries)[:, None] - UNSEEN
    tied = elsewhere & seen & (found.heights <= found.roundings[:, None])
    if tied.any():
        row, place = np.argwhere(tied)[0]
        raise ConfigError(
            f"{cost} says `vanishes_on_diagonal`, but for the query {np.round(queries[row], 4).tolist()} it is also "
            f"zero at y = {np.round(found.points[row, place], 4).tolist()}: it has several global minimisers. Set "
            "`vanishes_on_diagonal = False`; what A f tends to is then told by `LaplaceExpansion.leading_order`."
        )
