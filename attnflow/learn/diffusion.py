"""What the expansion of an attention says of a layer over given tokens, beside what the layer does."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from sklearn.mixture import GaussianMixture

from attnflow._checks import check_integer
from attnflow._words import to_four_digits
from attnflow.attention import Attention
from attnflow.densities.gaussian import Gaussian
from attnflow.densities.mixture import Mixture
from attnflow.equations.expansions.laplace import LaplaceExpansion
from attnflow.errors import AttnflowError, ConfigError

NARROWEST = 1e-6  # added to variances of components, relative to those of the points


class DiffusionFit(NamedTuple):
    """How far A f = f(y*) + eps (L f)(y*) holds, f the coordinates of the points, L of a density fitted to them.

    y*(x) is where the cost D(x, .) is least: x itself for a metric.

    Skills are 1 - mean |A f - guess|^2 / variance of A f between the tokens: 1 for a guess that is right, 0 for their
    mean. The mean over all tokens would be a poor measure: where all tokens are sent to one place, every guess near it
    would do well.

    Args:
        skill: of the guess f(y*) + eps (L f)(y*); -inf where the tokens become one, NaN where there is no L.
        still: of the guess f, that nothing moves.
        nearer: the share of points at which the first guess is nearer to A f than the second.
        size: the median of |guess - f| over that of |A f - f|.
        reason: why there is no L, or "".
    """

    skill: float
    still: float
    nearer: float
    size: float
    reason: str

    def __repr__(self) -> str:
        return to_four_digits(self)


def compare_with_diffusion(
    attention: Attention, points: np.ndarray, moved: np.ndarray, *, components: int
) -> DiffusionFit:
    """Return how well the expansion of an attention over R^d tells where a layer moves points.

    Args:
        attention: of points (d,).
        points: (N, d).
        moved: A f of the coordinates, (N, d).
        components: of the mixture of Gaussians that is fitted to the points.
    """
    density = fit_mixture(points, components=components)
    between = float(np.sum(moved.var(axis=0)))

    def distances(guess: np.ndarray) -> np.ndarray:
        return np.linalg.norm(moved - guess, axis=1)

    def skill(guess: np.ndarray) -> float:
        return 1 - float(np.mean(distances(guess) ** 2)) / between if between else -np.inf

    cost = attention.pseudometric
    at_query = cost.vanishes_on_diagonal and cost.is_symmetric  # then y* is x; else it is looked for
    try:
        expansion = LaplaceExpansion(attention, density, at_query=at_query)
        guess = expansion.minimizer(points) + attention.bandwidth * expansion.generator(_itself, at=points)
    except AttnflowError as error:
        return DiffusionFit(np.nan, skill(points), np.nan, np.nan, str(error))
    size = np.median(np.linalg.norm(guess - points, axis=1)) / np.median(distances(points))
    nearer = np.mean(distances(guess) < distances(points))
    return DiffusionFit(skill(guess), skill(points), float(nearer), float(size), "")


def fit_mixture(points: np.ndarray, *, components: int) -> Mixture:
    """Return a mixture of so many Gaussians, fitted to points (N, d) by expectation maximisation.

    The start is the same for the same points. Variances are never below 1e-6 of those of the points.

    Raises:
        ConfigError: if `components` is not a positive integer, or more than half of the points.

    Example:
        >>> import numpy as np
        >>> from attnflow.learn.diffusion import fit_mixture
        >>> draws = np.random.default_rng(0).normal(size=(400, 2))
        >>> halves = fit_mixture(np.concatenate([draws[:100] - 5, draws[100:] + 5]), components=2)
        >>> sorted(np.round(np.exp(halves.log_weights), 3).tolist())
        [0.25, 0.75]
    """
    if check_integer(components, "components", minimum=1) > len(points) // 2:
        raise ConfigError(f"`components` must be at most half of the {len(points)} points, got {components}.")
    floor = NARROWEST * float(np.mean(points.var(axis=0)))
    fit = GaussianMixture(components, reg_covar=floor, max_iter=500, random_state=0).fit(points)
    parts = [Gaussian(mean, covariance) for mean, covariance in zip(fit.means_, fit.covariances_, strict=True)]
    return Mixture(parts, weights=fit.weights_)


def _itself(x: jax.Array) -> jax.Array:
    return x
