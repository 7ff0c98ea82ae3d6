"""Attention through random features: a kernel in place of a cost."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_choice, check_integer
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError, DataError
from attnflow.features.base import FrequencySpectrum
from attnflow.features.spectra import NAMED, SampledSpectrum
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.pseudometrics.plain import SquaredDistance


@value
class RandomFeatures(PseudoMetric):
    r"""The kernel (1/R) sum_r cos(<w_r, x - y> / sqrt eps), in the place of h(D(x, y) / eps) [S].

    The frequencies w_r are drawn from a spectrum. It is a kernel and no cost: it may be negative, so that it has no
    logit. Sums take time and memory like N R, never like N^2. At R features it differs from that of the whole spectrum
    by R^{-1/2}: the declared errors are those of the arithmetic, of the kernel as it is drawn. A row whose total is
    below W / sqrt(2R), W the mass of the keys, is no larger than that: DegenerateKernelError. The errors of many layers
    are added up as if no layer magnified them, as none does whose kernel is hardly negative. The limits are those of
    the whole spectrum, see FrequencySpectrum.

    Args:
        spectrum: "gaussian", "cauchy", MaternSpectrum(nu), a FrequencySpectrum, or a function (key, count, dim) that
            draws frequencies (count, dim).
        count: R.
        key: of JAX, from which the frequencies come.

    Raises:
        ConfigError: if the spectrum is something else, the count no positive integer, or the key none of JAX.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> features = af.RandomFeatures("gaussian", 2000, key=jax.random.key(0))
        >>> points = af.Uniform(af.Circle()).sample(500, key=jax.random.key(1))
        >>> values = [
        ...     af.EmpiricalAttention(af.Attention(cost, bandwidth=0.3), points).layer(lambda x: x[0])
        ...     for cost in (features, af.SquaredDistance())
        ... ]
        >>> bool(np.abs(values[0] - values[1]).max() < 0.1)  # some R^(-1/2) over the share of keys that are near
        True
    """

    spectrum: FrequencySpectrum
    count: int
    key: jax.Array = static()

    # kappa(0) = 1 is the largest value of it.
    vanishes_on_diagonal = is_symmetric = is_examined = is_kernel = True

    def __init__(self, spectrum: str | Callable | FrequencySpectrum, count: int, *, key: jax.Array) -> None:
        if isinstance(spectrum, str):
            spectrum = NAMED[check_choice(spectrum, "spectrum", NAMED)]()
        if not isinstance(spectrum, FrequencySpectrum):
            if not callable(spectrum):
                raise ConfigError(
                    f"`spectrum` must be 'gaussian', 'cauchy', a FrequencySpectrum or a function, got "
                    f"{type(spectrum).__name__}. Pass MaternSpectrum(1.5), or a function (key, count, dim)."
                )
            spectrum = SampledSpectrum(spectrum)
        if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ()):
            raise ConfigError("`key` must be one key of JAX, from which the frequencies come. Pass jax.random.key(0).")
        freeze(self, spectrum=spectrum, count=check_integer(count, "count", minimum=1), key=key)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        raise ConfigError(
            "RandomFeatures is a kernel that may be negative: it has no cost and no logit. Only sums of it can be "
            "asked, and the limit of its spectrum."
        )

    def local(self, dim: int) -> PseudoMetric:
        """Return |x - y|^2 / c, c as the spectrum has it near zero, see `FrequencySpectrum.scale`."""
        return SquaredDistance() / self.spectrum.scale(dim)

    def frequencies(self, dim: int) -> np.ndarray:
        """Return w_r, (R, D).

        Raises:
            DataError: if the spectrum draws something else, or no numbers.
        """
        with jax.core.eval_context():
            drawn = np.asarray(self.spectrum.sample(self.key, self.count, dim), dtype=np.float64)
        if drawn.shape != (self.count, dim) or not np.isfinite(drawn).all():
            raise DataError(
                f"`spectrum` must draw {self.count} finite frequencies of shape ({self.count}, {dim}), got shape "
                f"{drawn.shape} and {np.count_nonzero(~np.isfinite(drawn))} that are no numbers."
            )
        return drawn
