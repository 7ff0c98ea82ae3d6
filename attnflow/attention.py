"""Attention: what is being studied, as plain data."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import jax
import numpy as np

from attnflow._checks import check_choice, check_positive
from attnflow._tracing import Traceable, is_known, is_traced, primal
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.masks.base import Mask
from attnflow.masks.causal import Causal
from attnflow.normalizations.base import Normalization
from attnflow.normalizations.sinkhorn import Sinkhorn
from attnflow.normalizations.softmax import Softmax
from attnflow.normalizations.unnormalized import Sigmoid, Unnormalized
from attnflow.profiles.base import Profile
from attnflow.profiles.gaussian import GAUSSIAN
from attnflow.profiles.kinds import NAMED
from attnflow.profiles.squared import Squared
from attnflow.pseudometrics.base import Factors, Mapped, PseudoMetric
from attnflow.pseudometrics.exchanged import Exchanged
from attnflow.pseudometrics.plain import SquaredDistance

# Those that can do without parameters go by their names.
NORMALIZATIONS = {"softmax": Softmax, "sinkhorn": Sinkhorn, "unnormalized": Unnormalized, "sigmoid": Sigmoid}
MASKS = {"causal": Causal}


class Attending(Traceable):
    """What the three lives take: one attention, or several heads.

    Attributes:
        bandwidth: eps, the time of one layer.
        rows: what is done with rows, by which a life chooses how it sums, see `Normalization.rows`.
        heads: the attentions that it is made of.
        mask: which keys of a sample are attended to.
    """

    bandwidth: Any
    rows: Any
    heads: Any
    mask: Any

    def at_bandwidth(self, bandwidth: float) -> Self:
        """Return the same at another bandwidth."""
        raise NotImplementedError

    def require_identity(self) -> None:
        """Do nothing: one attention mixes no components."""

    def check_mixes(self, dim: int) -> None:
        """Do nothing: one attention takes tokens of any number of coordinates as they are."""


@value
class Attention(Attending):
    """Attention with the logit log h(D(x, y) / eps), h the profile [RZ].

        A f(x) = sum_j a_j(x) f(X_j),   a_j(x) = e^{u_j} h(D(x, X_j)/eps) / sum_k e^{u_k} h(D(x, X_k)/eps)

    The Gaussian profile has the logit -D(x, y) / 2eps; softmax normalisation has u = 0.

    Args:
        pseudometric: the cost D(x, y).
        bandwidth: eps > 0, in units of D. One layer is the time eps.
        normalization: where the log key weights u come from, or what is done in place of dividing rows: "softmax",
            "sinkhorn", "unnormalized", "sigmoid" or a Normalization.
        profile: h(s): "gaussian", e^{-s/2}, "exponential", "root", "compact", or a Profile such as
            StudentT(5.0, dim=2).
        mask: which keys of a sample a query attends to: "causal", or a Mask such as Window(128), Adjacency(matrix) or
            Neighbours(k); None for all of them.

    Raises:
        ConfigError: if the bandwidth is not positive and finite, the pseudo-metric is not a PseudoMetric, or the
            normalization, the profile or the mask is unknown; or if the profile is not exponential and the cost may be
            negative.

    Example:
        >>> import attnflow as af
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
        >>> float(attention.logit(np.array([0.0, 0.0]), np.array([0.3, 0.1])))
        -1.0
        >>> attention
        Attention(SquaredDistance(), bandwidth=0.05)
    """

    pseudometric: PseudoMetric
    bandwidth: float
    normalization: Normalization
    profile: Profile = static()
    mask: Mask | None = static()

    def __init__(
        self,
        pseudometric: PseudoMetric,
        bandwidth: float,
        normalization: str | Normalization = "softmax",
        profile: str | Profile = "gaussian",
        mask: str | Mask | None = None,
    ) -> None:
        if not isinstance(pseudometric, PseudoMetric):
            raise ConfigError(
                f"`pseudometric` must be a PseudoMetric such as SquaredDistance(), got {pseudometric!r}. "
                "Wrap a function of two points in CustomPseudoMetric."
            )
        if np.ndim(bandwidth):
            raise ConfigError(
                f"`bandwidth` must be one number, got shape {np.shape(bandwidth)}. Use jax.vmap for several."
            )
        if not is_traced(bandwidth):
            bandwidth = check_positive(bandwidth, "bandwidth")
        elif is_known(bandwidth):
            check_positive(float(primal(bandwidth)), "bandwidth")
        if isinstance(normalization, str):
            normalization = NORMALIZATIONS[check_choice(normalization, "normalization", NORMALIZATIONS)]()
        if not isinstance(normalization, Normalization):
            raise ConfigError(
                f"`normalization` must be {' or '.join(map(repr, NORMALIZATIONS))} or a Normalization such as "
                f"AlphaNormalization(1.0), got {normalization!r}."
            )
        if not isinstance(profile, Profile):
            profile = NAMED[check_choice(profile, "profile", NAMED)]
        if not (profile.is_exponential or pseudometric.vanishes_on_diagonal):
            raise ConfigError(
                f"`profile` = {profile!r} needs a cost that is not negative and zero at x = y, which "
                f"{type(pseudometric).__name__} does not say of itself. Set `vanishes_on_diagonal=True` if "
                "D(x, x) = 0 <= D(x, y), or take the Gaussian profile."
            )
        if pseudometric.is_kernel and not (profile == GAUSSIAN and mask is None):
            raise ConfigError(
                f"{type(pseudometric).__name__} is the whole kernel: it goes with no `profile` and no `mask`, got "
                f"{profile!r} and {mask!r}. Drop them, or choose another spectrum."
            )
        cost, normalization = normalization.absorbed(pseudometric)
        if cost is not pseudometric and profile != GAUSSIAN:
            raise ConfigError(
                f"weights e^(b/eps) are part of the cost D - 2 b for the Gaussian profile alone, got `profile` = "
                f"{profile!r}. Write the cost with CustomPseudoMetric."
            )
        pseudometric = cost
        if isinstance(mask, str):
            mask = MASKS[check_choice(mask, "mask", MASKS)]()
        if not (mask is None or isinstance(mask, Mask)):
            raise ConfigError(
                f'`mask` must be "causal", a Mask or None, got {type(mask).__name__}. Wrap a matrix in '
                "Adjacency(matrix)."
            )
        freeze(
            self, pseudometric=pseudometric, bandwidth=bandwidth, normalization=normalization, profile=profile,
            mask=mask,
        )  # fmt: skip

    @property
    def rows(self) -> str:
        """What its normalisation does with rows."""
        return self.normalization.rows

    @property
    def heads(self) -> tuple[Attention, ...]:
        """Itself alone."""
        return (self,)

    def __repr__(self) -> str:
        words = [repr(self.pseudometric), f"bandwidth={self.bandwidth!r}"]
        words += [] if self.normalization == Softmax() else [f"normalization={self.normalization!r}"]
        words += [] if self.profile == GAUSSIAN else [f"profile={self.profile!r}"]
        words += [] if self.mask is None else [f"mask={self.mask!r}"]
        return f"Attention({', '.join(words)})"

    def logit(self, x: jax.Array, y: jax.Array, *, unit: float = 1.0) -> jax.Array:
        """Return the logit of one query and one key, log h(D(x, y) / eps).

        Args:
            x: the query, shape (D,).
            y: the key, shape (D,).
            unit: 1 for the natural logarithm; 1 / log 2 makes it the logarithm to base 2.
        """
        return self.profile.logit(self.pseudometric(x, y), bandwidth=self.bandwidth, unit=unit)

    @property
    def is_gaussian(self) -> bool:
        """Whether the kernel is exp(-|x - y|^2 / 2eps), for which there are faster sums than over all pairs."""
        # A subclass that writes another cost is another cost.
        return type(self.pseudometric).__call__ is SquaredDistance.__call__ and self.profile == GAUSSIAN

    def factors(self, radius: Any) -> Factors | None:
        """Return maps a, b of points to rows with logit(x, y) = a(x) . b(y) / eps, or None, as of the pseudo-metric."""
        return self.pseudometric.factors(radius) if self.profile == GAUSSIAN else None

    def local(self, dim: int) -> Attention:
        """Return the attention with the Gaussian profile that has the same limit in so many dimensions: of D / c.

        c is mu_2 / (m mu_0), see `Profile`, or what the spectrum of random features says.

        Raises:
            ConfigError: if there is none, because the second moment of the profile is infinite, or the density of
                frequencies at zero is not known.
        """
        cost = self.pseudometric.local(dim)
        if self.profile != GAUSSIAN:
            cost = cost / self.profile.scale(dim)
        return self if cost is self.pseudometric else self.replace(pseudometric=cost, profile=GAUSSIAN)

    def squared(self) -> Attention:
        """Return the attention whose kernel is the square of this one: a Gaussian at half the bandwidth.

        Raises:
            ConfigError: for random features, whose square has as many features squared.
        """
        if self.pseudometric.is_kernel:
            raise ConfigError(
                f"the squares of {type(self.pseudometric).__name__} are no sum of features. Ask for an effective "
                "sample size of SquaredDistance()."
            )
        if self.profile == GAUSSIAN:
            return self.replace(bandwidth=self.bandwidth / 2)
        return self.replace(profile=Squared(self.profile))

    def mapped(self, center: Any) -> tuple[Attention, Mapped] | None:
        """Return the attention of a plainer cost, and the maps and potentials of points, or None if there is none.

        logit(x, y) = plainer logit(a(x), b(y)) - (r(x) + c(y)) / 2eps; of other profiles than the Gaussian the rounding
        of maps is not known.

        Args:
            center: a point (D,) amid the keys.
        """
        mapped = self.pseudometric.mapped(center)
        if mapped is None or self.profile != GAUSSIAN:
            return None
        return self.replace(pseudometric=mapped.cost or SquaredDistance()), mapped

    def replace(self, **changes: Any) -> Attention:
        """Return the same attention with some fields changed.

        Example:
            >>> import attnflow as af
            >>> af.Attention(af.SquaredDistance(), bandwidth=0.1).replace(bandwidth=0.05)
            Attention(SquaredDistance(), bandwidth=0.05)
        """
        for name in changes:
            check_choice(name, "changes", [field.name for field in dataclasses.fields(self)])
        return Attention(**{field.name: getattr(self, field.name) for field in dataclasses.fields(self)} | changes)

    def at_bandwidth(self, bandwidth: float) -> Attention:
        """Return the same attention at another bandwidth."""
        return self.replace(bandwidth=bandwidth)

    def exchanged(self) -> Attention:
        """Return the attention in which keys attend to queries; a symmetric cost stays as it is."""
        if self.pseudometric.is_symmetric:
            return self
        return self.replace(pseudometric=Exchanged(self.pseudometric))


def check_attention(attention: object, *, known: bool = False) -> Any:
    """Return an Attention, or several heads; raise ConfigError for all else, such as a bare cost.

    Args:
        attention: what is given.
        known: whether it is to be of known numbers and without a mask, as the lives of a density need it.
    """
    if not isinstance(attention, Attending):
        raise ConfigError(
            f"`attention` must be an Attention, got {type(attention).__name__}. "
            "Pass Attention(SquaredDistance(), bandwidth=0.05)."
        )
    if known and is_traced(attention):
        raise ConfigError(
            "`attention` depends on a value which JAX is tracing. Only layers of an EmpiricalAttention can be "
            "differentiated or compiled."
        )
    if known and attention.mask is not None:
        raise ConfigError(
            f"`mask` = {attention.mask!r} picks keys of a sample. Infinitely many keys have neither positions nor a "
            "number of nearest ones, so that there is no population and no limit. Use EmpiricalAttention, or drop the "
            "mask."
        )
    return attention


def bandwidth_from_inverse_temperature(beta: float) -> float:
    """Return the bandwidth eps = 1/beta of softmax(beta <x, y>).

    Args:
        beta: inverse temperature, positive.

    Raises:
        ConfigError: if beta is not positive and finite.

    Example:
        >>> import attnflow as af
        >>> af.bandwidth_from_inverse_temperature(20.0)
        0.05
    """
    return 1 / check_positive(beta, "beta")
