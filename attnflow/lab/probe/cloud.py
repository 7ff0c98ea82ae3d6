"""Points alone: their dimension, density and modes, as plain attention would see them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import attnflow
from attnflow._checks import check_positive
from attnflow.errors import AttnflowError
from attnflow.lab.probe.arguments import check_tokens
from attnflow.lab.probe.definitions import COLUMNS
from attnflow.lab.probe.dimension import intrinsic_dimension
from attnflow.lab.probe.passes import BLOCK_PAIRS
from attnflow.lab.probe.results import CloudProbe, ReversibleSpectrum
from attnflow.lab.probe.sources import plain
from attnflow.lab.probe.spectra import (
    ALL_TOKENS,
    MOST_TOKENS,
    eigenpairs_of,
    eigenvalues_of,
    explanations,
    modes_of,
    numbers_of,
    reversible,
)
from attnflow.lab.probe.surrogates import DRAWS, shuffled_columns, some_tokens
from attnflow.lab.probe.uncertainty import as_numbers, of_halves, summarised

CLOUD = (
    "dimension", "bandwidth", "predicted_bandwidth", "ess", "density_spread", "slow_modes", "second_eigenvalue",
    "intrinsic_dimension",
)  # fmt: skip
BANDWIDTHS = 48  # tried, from the smallest distances to the largest
COORDINATES = 3  # whose generator a bandwidth is predicted for
QUERIES = 512  # whose kernel sums are taken over all points


class Steepest(NamedTuple):
    """Kernel sums of points at several bandwidths.

    Args:
        bandwidths: eps, rising, shape (B,).
        dimensions: 2 d log S/d log eps, shape (B,).
    """

    bandwidths: np.ndarray
    dimensions: np.ndarray

    @property
    def bandwidth(self) -> float:
        """Where the sum is steepest."""
        return float(self.bandwidths[np.argmax(self.dimensions)])

    @property
    def dimension(self) -> float:
        """Its slope there, twice."""
        return float(self.dimensions.max())


def kernel_sums(points: np.ndarray, rng: np.random.Generator) -> Steepest:
    """Return how steeply the kernel sum of points (N, D) rises with the bandwidth [BH].

    S(eps) = mean_ij e^{-|x_i - x_j|^2/2 eps},    d log S/d log eps = <D k>/(2 eps <k>),    m/2 on a manifold.
    """
    some = points[some_tokens(len(points), rng, most=QUERIES)]
    squares = np.einsum("ij,ij->i", points, points)
    distances = np.maximum(np.einsum("ij,ij->i", some, some)[:, None] + squares - 2 * some @ points.T, 0)
    nearest = np.sort(np.partition(distances, 1, axis=1)[:, 1])
    smallest = max(nearest[len(nearest) // 20], 1e-12 * distances.max())  # repeated points have no distance
    bandwidths = np.geomspace(smallest / 4, distances.max(), BANDWIDTHS)
    slopes = []
    for bandwidth in bandwidths:
        exponents = distances / (2 * bandwidth)
        kernel = np.exp(-exponents)
        slopes.append(2 * np.vdot(kernel, exponents) / kernel.sum())
    return Steepest(bandwidths, np.array(slopes))


def densities(points: np.ndarray, bandwidth: float) -> tuple[np.ndarray, np.ndarray]:
    """Return log sum_{j != i} e^{-|x_i - x_j|^2/2 eps} and 1/sum_j A_ij^2 of points, (N,) each."""
    logits = plain(points, bandwidth)
    own = logits.own()
    sums, ess = np.zeros(len(points)), np.zeros(len(points))
    step = max(1, BLOCK_PAIRS // len(points))
    for start in range(0, len(points), step):
        rows = slice(start, min(start + step, len(points)))
        kernel = np.exp(np.minimum(logits.rows(rows) - own[rows, None], 0))
        total = kernel.sum(axis=1)
        sums[rows], ess[rows] = total - 1, total**2 / np.einsum("ij,ij->i", kernel, kernel)
    return np.log(np.maximum(sums, np.finfo(float).tiny)), ess


def predicted_bandwidth(points: np.ndarray) -> tuple[float, str]:
    """Return the bandwidth of least predicted error for leading coordinates of points (N, D), or NaN and why not."""
    if len(points) > MOST_TOKENS:
        return math.nan, f"it is predicted for at most {MOST_TOKENS} points"
    face: Any = attnflow  # whose names load JAX when they are asked for: heads do without
    axes = np.linalg.eigh(points.T @ points)[1][:, -COORDINATES:]
    try:
        attention = face.Attention(face.SquaredDistance(), bandwidth=1.0)
        return float(face.suggest_bandwidth(attention, points, f=points @ axes).bandwidth), ""
    except AttnflowError as error:
        return math.nan, str(error)


def probe_cloud(points: np.ndarray, *, bandwidth: object = None, tokens: object = None) -> CloudProbe:
    """Return what points look like to plain attention.

    Args:
        points: shape (N, D).
        bandwidth: eps, or None for that of the steepest kernel sum.
        tokens: names of the points, or None.
    """
    rng = np.random.default_rng(0)
    names = check_tokens(tokens, len(points))
    centred = points - points.mean(axis=0)
    steepest = kernel_sums(centred, rng)
    eps = steepest.bandwidth if bandwidth is None else check_positive(bandwidth, "bandwidth")
    log_sums, ess = densities(centred, eps)
    values = {
        "dimension": steepest.dimension,
        "bandwidth": steepest.bandwidth,
        "ess": float(ess.mean()),
        "density_spread": float(log_sums.std()),
    }
    values["intrinsic_dimension"], why = intrinsic_dimension(points)
    values["predicted_bandwidth"], why_not = predicted_bandwidth(centred)
    reasons = {"intrinsic_dimension": why, "predicted_bandwidth": why_not}

    def draw(which: np.ndarray, cloud: np.ndarray = centred) -> dict[str, float]:
        return _numbers(cloud[which], eps, len(points), rng)

    halves = of_halves(draw, len(points), rng)
    kept = [some_tokens(len(points), rng) for _ in range(DRAWS)]
    shuffled = [shuffled_columns(centred, rng) for _ in range(DRAWS)]
    draws = [draw(which, cloud) for which, cloud in zip(kept, shuffled, strict=True)]
    spectrum = None
    if len(points) <= MOST_TOKENS:
        spectrum = _spectrum(centred, eps, names, shuffled)
        values |= numbers_of(spectrum.eigenvalues)
    else:
        reasons |= dict.fromkeys(
            ("slow_modes", "second_eigenvalue"), f"it takes a matrix, of at most {MOST_TOKENS} points"
        )
    own = values if len(kept[0]) == len(points) else halves.means
    nulls = summarised({COLUMNS: draws}, own, tokens=len(kept[0]))
    numbers = as_numbers(values, halves.widths, nulls, reasons=reasons, order=CLOUD)
    return CloudProbe(
        numbers, eps, "steepest kernel sum" if bandwidth is None else "given", *steepest,
        log_sums - log_sums.mean(), spectrum, plain(points, eps),
    )  # fmt: skip


def _numbers(points: np.ndarray, bandwidth: float, tokens: int, rng: np.random.Generator) -> dict[str, float]:
    """Return the numbers of some of the points, at the bandwidth of all."""
    steepest = kernel_sums(points, rng)
    log_sums, ess = densities(points, bandwidth)
    slow = numbers_of(eigenvalues_of(reversible(plain(points, bandwidth))[0]))
    return {
        "dimension": steepest.dimension,
        "bandwidth": steepest.bandwidth,
        "ess": float(ess.mean()) * tokens / len(points),
        "density_spread": float(log_sums.std()),
        **slow,
    }


def _spectrum(
    points: np.ndarray, bandwidth: float, tokens: tuple[str, ...] | None, shuffled: list[np.ndarray]
) -> ReversibleSpectrum:
    symmetric, law = reversible(plain(points, bandwidth))
    null = [eigenvalues_of(reversible(plain(cloud[:ALL_TOKENS], bandwidth))[0]) for cloud in shuffled]
    causes = explanations(len(points), points, tokens)
    eigenvalues, vectors = eigenpairs_of(symmetric)
    return ReversibleSpectrum(
        eigenvalues, np.mean(null, axis=0), COLUMNS, len(null[0]), modes_of(eigenvalues, vectors, law, causes)
    )
