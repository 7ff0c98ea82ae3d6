"""Wasserstein distances: how far the mass of one law must travel to become another."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable

import numpy as np
from scipy.spatial.distance import cdist

from attnflow._checks import check_choice, check_integer
from attnflow._optional import optional
from attnflow.comparison.laws import RESAMPLES, Law, as_law, check_one_space
from attnflow.comparison.noise import Distance, resampled_floor
from attnflow.comparison.quantiles import Quantiles, distance_on_circle, distance_on_line, quantiles
from attnflow.errors import ConfigError, ConvergenceError, ResourceError
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.sphere import Circle
from attnflow.manifolds.torus import FlatTorus

METHODS = ("auto", "sliced", "exact")
_LARGEST_PLAN = 100_000_000  # pairs, of which a plan and its costs take 1.6 GB
_PLAN_STEPS = 10_000_000

Between = Callable[[Law, Law], float]


def wasserstein(
    a: object, b: object, *, order: int = 1, manifold: Manifold | None = None, method: str = "auto",
    directions: int = 128,
) -> Distance:  # fmt: skip
    """Return W_p(a, b) = ( inf over couplings of E d(X, Y)^p )^(1/p), a number that knows its noise floor.

    On the line (points of one coordinate) and along arcs of the circle it is exact. In more dimensions it is sliced,

        SW_p^p = mean over random unit vectors theta of W_p(theta.a, theta.b)^p  <=  W_p^p,

    with `directions_error` its standard error, or with method="exact" a linear program, which takes N M numbers.

    Args:
        a: points (N, D), a DiscreteMeasure, or a trajectory of one time: of tokens, or of a density at nodes, whose
            masses are values times weights, equal ones unless it has others; in one dimension they are spread over
            cells that end half way between nodes.
        b: another law, in the same space.
        order: p, 1 or 2.
        manifold: Circle() for distances along arcs; None for straight ones.
        method: "auto"; "sliced" or "exact" where there are several dimensions.
        directions: how many a sliced distance takes.

    Raises:
        ConfigError: if the order, the manifold or the method is none of those, POT is needed and not installed, or a
            trajectory has several times.
        DataError: if points or masses are none, or the laws are of different spaces.
        ResourceError: if a linear program would be too large.
        ConvergenceError: if it does not end.

    Example:
        >>> import numpy as np, attnflow as af
        >>> apart = af.wasserstein(np.array([[0.0], [1.0]]), np.array([[0.5], [2.5]]))
        >>> float(apart), bool(apart.noise_floor > 0)
        (1.0, True)
        >>> quarter = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
        >>> round(af.wasserstein(*quarter, manifold=af.Circle()) / np.pi, 12)
        0.5
    """
    laws = as_law(a, "a"), as_law(b, "b")
    check_one_space(*laws)
    check_choice(method, "method", METHODS)
    if order not in (1, 2) or isinstance(order, bool):
        raise ConfigError(f"`order` must be 1 or 2, got {order!r}.")
    check_integer(directions, "directions", minimum=2)
    return distance_of_laws(*laws, order=order, manifold=manifold, method=method, directions=directions)


def distance_of_laws(
    a: Law, b: Law, *, order: int, manifold: Manifold | None = None, method: str = "auto", directions: int = 128
) -> Distance:
    """Return W_p of two laws with points of as many coordinates."""
    dim = a.points.shape[1]
    between: Between
    if manifold is not None:
        between = functools.partial(_on_circle, manifold=_circle(manifold, method), order=order)
    elif dim == 1:
        between = functools.partial(_on_line, order=order)
    elif method == "exact":
        between = functools.partial(_exact, order=order)
    else:
        return _sliced(a, b, order=order, directions=directions)
    return Distance(between(a, b), functools.partial(resampled_floor, itertools.repeat(between), a, b))


def _circle(manifold: object, method: str) -> Manifold:
    circles = (Circle(), FlatTorus(1))
    if manifold not in circles:
        raise ConfigError(
            f"`manifold` = {manifold!r} has no distances between laws here; Circle() has. Drop it for the straight "
            "distances of the space around."
        )
    if method == "sliced":
        raise ConfigError(
            f"`method` = {method!r} is for points in space: on the circle the distance is exact. Drop it."
        )
    return circles[0]


def _on_line(a: Law, b: Law, *, order: int) -> float:
    return distance_on_line(*(_quantiles_along(law, np.ones(1)) for law in (a, b)), order=order)


def _on_circle(a: Law, b: Law, *, manifold: Manifold, order: int) -> float:
    parts = []
    for law, name in ((a, "a"), (b, "b")):
        points = manifold.check(law.points, name)
        angles = np.mod(np.arctan2(points[:, 1], points[:, 0]), 2 * math.pi)
        parts.append(quantiles(angles, law.masses, is_density=law.is_density, turn=2 * math.pi))
    return distance_on_circle(*parts, order=order)


def _quantiles_along(law: Law, direction: np.ndarray) -> Quantiles:
    """Return the quantile function of a projection, of a density in space that of its nodes."""
    is_density = law.is_density and law.points.shape[1] == 1
    return quantiles(law.points @ direction, law.masses, is_density=is_density)


def _sliced(a: Law, b: Law, *, order: int, directions: int) -> Distance:
    vectors = np.random.default_rng(0).standard_normal((directions, a.points.shape[1]))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def powers(vectors: np.ndarray, a: Law, b: Law) -> np.ndarray:
        along = [[_quantiles_along(law, vector) for law in (a, b)] for vector in vectors]
        return np.array([distance_on_line(*pair, order=order) for pair in along]) ** order

    def between(vectors: np.ndarray, a: Law, b: Law) -> float:
        return float(powers(vectors, a, b).mean() ** (1 / order))

    found = powers(vectors, a, b)
    value = float(found.mean() ** (1 / order))
    error = float(found.std(ddof=1) / math.sqrt(directions) / (order * value ** (order - 1))) if value else 0.0
    # A pair of samples takes a tenth of the directions: ten pairs then cost what the distance does, not ten times that.
    thinned = [functools.partial(between, vectors[k % directions :: RESAMPLES]) for k in range(RESAMPLES)]
    return Distance(value, functools.partial(resampled_floor, thinned, a, b), directions_error=error)


def _exact(a: Law, b: Law, *, order: int) -> float:
    """Return W_p by the network simplex."""
    ot = optional("ot")
    if ot is None:
        raise ConfigError(
            "exact distances in several dimensions need POT, which is not installed. Run pip install "
            "'attnflow[transport]', or use method='sliced'."
        )
    pairs = len(a.points) * len(b.points)
    if pairs > _LARGEST_PLAN:
        raise ResourceError(
            f"an exact distance of {len(a.points)} and {len(b.points)} points takes a plan of {pairs:.1e} pairs, more "
            f"than {_LARGEST_PLAN:.0e}. Use method='sliced'."
        )
    costs = cdist(a.points, b.points, "euclidean" if order == 1 else "sqeuclidean")
    found, log = ot.emd2(a.masses, b.masses, costs, numItermax=_PLAN_STEPS, log=True)
    if log.get("warning"):
        raise ConvergenceError(f"the linear program does not end: {log['warning']} Use method='sliced'.")
    return float(max(found, 0.0)) ** (1 / order)
