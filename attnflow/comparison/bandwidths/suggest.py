"""The bandwidth of the least predicted error."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from attnflow._checks import check_choice, check_finite, check_integer, check_positive
from attnflow._lifting import check_function, evaluate
from attnflow.attention import Attention, check_attention
from attnflow.comparison.bandwidths.keys import Law, widest_bandwidth
from attnflow.comparison.bandwidths.of_generator import GeneratorErrors
from attnflow.comparison.bandwidths.of_sample import SampleErrors, dimension_of
from attnflow.comparison.bandwidths.of_semigroup import SemigroupErrors
from attnflow.comparison.bandwidths.of_spectrum import EigenvalueErrors
from attnflow.comparison.bandwidths.search import FEWEST, best_of, least_error, least_error_of_layers
from attnflow.comparison.bandwidths.suggestion import BandwidthSuggestion, Prediction
from attnflow.densities.base import Density
from attnflow.errors import ConfigError, DataError
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.precision import require_x64

TARGETS = ("generator", "semigroup", "spectrum")
FEWEST_POINTS = 50
MOST_QUERIES = {"generator": 256, "semigroup": 48}  # of `at`, drawn from it: a root mean square needs no more
COARSE = 24  # the degree of nodes that tell how large a law is
RARE = 0.01  # of the mass of `at`, which may lie where no key is
FACTORS = {"generator": 1.5, "semigroup": 1.5, "spectrum": 2.0}  # within which predictions are expected
FACTOR_OF_SAMPLES = 2.0  # the same of points alone


def suggest_bandwidth(
    attention: Attention, density: Density | np.ndarray, *, n: int | None = None,
    f: Callable | np.ndarray | None = None, at: object = None, target: str = "generator", time: float | None = None,
) -> BandwidthSuggestion:  # fmt: skip
    """Return the bandwidth at which N points are predicted to be closest to the limit, and how close [Si].

        error^2 = mean over `at` of E |what N points give - limit|^2 = |bias + mean shift|^2 + variance

    Under a known density no asymptotics are needed. The bias is the population at that bandwidth less the limit; the
    noise that of N independent keys: of one layer to second order in 1/N, of many layers to first order in the noise,
    with what frozen points slow the flow down by, to second order (as on flat tori of uniform density, at the
    neighbours of each point), and of an eigenvalue likewise, less exact at bandwidths as wide as M. Bandwidths are
    tried from eight neighbours of the emptiest query up to the size of the law.

    Of points alone the noise is estimated from the rows themselves, the bias from bandwidths eps and eps/2: in 8 of 10
    problems the error is within a factor 2 of what is predicted.

    Args:
        attention: the attention; its own bandwidth is not used. Under a density with softmax or KeyWeights; with
            points any normalisation that divides rows, whose weights are then taken as if they did not scatter.
        density: p, or points (N, D), for the target "generator".
        n: N, with a density.
        f: what is averaged, a function of one point; with points alone also its values (N,) or (N, c). None for the
            target "spectrum".
        at: queries apart from the points, (Q, D) or a DiscreteMeasure, the error a root mean square over them; of very
            many some are drawn. None for the points themselves, which then do not attend to themselves where the target
            is the generator. Not for "spectrum".
        target: "generator", (A_N f - f)/eps against L f; "semigroup", A_N^n f against e^{tL} f at t = n eps;
            "spectrum", the lowest eigenvalue above zero of (I - A_N)/eps.
        time: t, for the semigroup.

    Raises:
        ConfigError: if something is missing, or given where it means nothing; if f is constant, so that there is no
            error; if the normalisation weighs keys by how much they are attended, the minimiser of the cost is not the
            query, or no bandwidth has eight neighbours everywhere.
        DataError: if there are fewer than 50 points, or not of one shape with f.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> density = af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=1.0)
        >>> found = af.suggest_bandwidth(attention, density, n=4000, f=lambda x: x[1], at=[[0.6, 0.8]])
        >>> found
        BandwidthSuggestion(0.128 for the generator of 4000 points: predicted error 0.0502 within a factor 1.5, bias \
0.0324, noise 0.0386, 778 neighbours at least)
        >>> attention = attention.replace(bandwidth=found.bandwidth)
    """
    require_x64()
    target = check_choice(target, "target", TARGETS)
    _check_attention(attention)
    _check_given(target, f=f, at=at, time=time)
    if isinstance(density, Density):
        if n is None:
            raise ConfigError("`n` must be given with a density. Say how many points there will be, such as n=4000.")
        return _under_density(
            attention, density, check_integer(n, "n", minimum=FEWEST_POINTS), f, at, target=target, time=time
        )
    if n is not None:
        raise ConfigError(
            f"`n` must not be given with points, of which there are as many as there are, got {n!r}. Drop it."
        )
    return _of_points(attention, density, f, at, target=target)


def _check_attention(attention: object) -> None:
    known = check_attention(attention, known=True)
    if len(known.heads) > 1 or known.rows != "divided":
        raise ConfigError(
            f"`attention` must be one Attention whose rows are divided by their sums, got {attention!r}. Ask for each "
            "head, or take softmax."
        )


def _check_given(target: str, *, f: object, at: object, time: object) -> None:
    """Raise ConfigError if a target lacks what it is about, or is given what means nothing to it."""
    if target == "spectrum":
        given = next((name for name, content in (("f", f), ("at", at)) if content is not None), None)
        if given:
            raise ConfigError(
                f"`{given}` must not be given for the target 'spectrum', whose eigenvalue has none. Drop it."
            )
    elif f is None:
        raise ConfigError(f"`f` must be given for the target {target!r}. Pass a function of one point.")
    if target == "semigroup" and time is None:
        raise ConfigError("`time` must be given for the target 'semigroup'. Pass the time of evolution, such as 0.5.")
    if target != "semigroup" and time is not None:
        raise ConfigError(f"`time` must not be given for the target {target!r}, got {time!r}. Drop it.")


def _under_density(
    attention: Attention, density: Density, count: int, f: Any, at: object, *, target: str, time: float | None
) -> BandwidthSuggestion:  # fmt: skip
    """Return the suggestion under a known density."""
    nodes = density.quadrature(COARSE)
    keys = Law(attention, density, None).keys(nodes)  # refuses weights that scatter before anything is solved
    queries = _likely(nodes) if at is None else as_measure(at, "at")
    density.manifold.check(queries.points, "at")
    queries = _some(queries, MOST_QUERIES.get(target, len(queries)))
    if target != "spectrum":
        f = check_function(f)
        _check_varies(evaluate(f, nodes.points))
    dim = density.manifold.dim
    widest = widest_bandwidth(attention, keys, queries.points, dim)
    if target == "semigroup":
        time = check_positive(time, "time")
        many = SemigroupErrors(attention, density, f, at=queries, count=count, time=time)
        found = least_error_of_layers(many.predict, fewest=max(1, math.ceil(time / widest)), dim=dim)
    elif target == "spectrum":
        found = least_error(EigenvalueErrors(attention, density, count=count).predict, highest=widest, dim=dim)
    else:
        one = GeneratorErrors(attention, density, f, at=queries, count=count - (at is None))
        found = least_error(one.predict, highest=widest, dim=dim)
    best = best_of(found)
    return BandwidthSuggestion(target, count, best, tuple(found), _reason(found, best), FACTORS[target])


def _of_points(attention: Attention, points: object, f: object, at: object, *, target: str) -> BandwidthSuggestion:
    """Return the suggestion of points alone."""
    if target != "generator":
        raise ConfigError(f"`target` must be 'generator' for points alone, got {target!r}. Pass a density and `n`.")
    found_points = as_measure(points, "density").points
    count = len(found_points)
    if count < FEWEST_POINTS:
        raise DataError(f"`density` must be a density or at least {FEWEST_POINTS} points, got {count}. Add points.")
    values = _values(f, found_points)
    _check_varies(values)
    rows = None
    if at is None:
        rows = np.sort(np.random.default_rng(0).permutation(count)[: MOST_QUERIES[target]])
        queries, now = found_points[rows], values[rows]
    else:
        given = as_measure(at, "at", ambient_dim=found_points.shape[1])
        queries = _some(given, MOST_QUERIES[target]).points
        now = _columns(evaluate(check_function(f), queries))
    sample = SampleErrors(attention, found_points, values, at=queries, at_queries=now, rows=rows)
    widest = widest_bandwidth(attention, sample.keys, queries, 1)
    found, tried = sample.predict(highest=widest)
    best = best_of(found)
    dimension, error = dimension_of(tried)
    reason = (
        f"{_reason(found, best)}; of points alone: intrinsic dimension {dimension:.2f} +- {error:.2g}, "
        f"bias seen at {_clarity(tried[best].clarity)}"
    )
    return BandwidthSuggestion(target, count, best, tuple(found), reason, FACTOR_OF_SAMPLES)


def _likely(nodes: DiscreteMeasure) -> DiscreteMeasure:
    """Return nodes with the masses of p, without the emptiest that hold a hundredth of it."""
    points, masses = nodes
    order = np.argsort(masses)
    kept = np.sort(order[np.cumsum(masses[order]) > RARE * masses.sum()])
    return DiscreteMeasure(points[kept], masses[kept])


def _some(measure: DiscreteMeasure, most: int) -> DiscreteMeasure:
    """Return at most so many points with weights of sum one: all of them, or as many drawn by their weights."""
    points, masses = measure
    if len(points) <= most:
        return DiscreteMeasure(points, masses / masses.sum())
    # Evenly along the order of the masses: of a quadrature this is even in space, and scatters less than a draw.
    levels = (np.arange(most) + 0.5) / most * masses.sum()
    if np.ptp(masses) == 0:
        chosen = np.sort(np.random.default_rng(0).permutation(len(points))[:most])
    else:
        chosen = np.searchsorted(np.cumsum(masses), levels)
    return DiscreteMeasure(points[chosen], np.full(most, 1 / most))


def _values(f: object, points: np.ndarray) -> np.ndarray:
    """Return f at the points, (N, c), of a function or of its values."""
    if callable(f):
        return _columns(evaluate(f, points))
    values = check_finite(f, "f")
    if values.ndim not in (1, 2) or len(values) != len(points):
        raise DataError(
            f"`f` must be a function, or have shape ({len(points)},) or ({len(points)}, c), got {values.shape}."
        )
    return _columns(values)


def _check_varies(values: np.ndarray) -> None:
    if np.ptp(_columns(values), axis=0).max() <= 1e-12 * np.abs(values).max():
        raise ConfigError(
            "`f` must not be constant: attention keeps constants, and no bandwidth is better than another."
        )


def _columns(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1)


def _reason(found: list[Prediction], best: int) -> str:
    chosen = found[best]
    if len(found) == 1:
        return "the only bandwidth with eight neighbours of every query"
    if best == 0:
        return f"errors still fall, but below it the emptiest query has fewer than {FEWEST:g} neighbours"
    if best == len(found) - 1:
        return "errors still fall, but above it a kernel is wider than the law of the keys"
    return f"bias {chosen.bias:.3g} and noise {chosen.noise:.3g} balance"


def _clarity(clarity: float) -> str:
    return f"{math.sqrt(clarity):.2g} times its noise"
