"""Implicit kernels: attention whose kernel is learned through its spectrum."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from attnflow._checks import check_integer, check_real
from attnflow.attention import Attention
from attnflow.errors import ConfigError
from attnflow.learn.heads.base import Heads
from attnflow.learn.heads.checks import check_head, check_sizes
from attnflow.learn.heads.maps import LinearMaps, products
from attnflow.learn.heads.spectra import LearnedSpectrum
from attnflow.pseudometrics.custom import CustomPseudoMetric

FLOOR = 1e-4  # below the noise 1/(2R) of kappa^2 for R up to 5000, and it keeps slopes of the logarithm under 100


class ImplicitKernel(Heads):
    r"""The weights kappa_h(q, k)^2 e^{|k|_P^P / 2} of queries q = Q_h x and keys k = K_h y, over their sum  [S].

    kappa is a positive definite kernel of R frequencies w_r, images of normal numbers under a perceptron, see
    LearnedSpectrum: the stationary one, and the one that is not, whose frequencies come in pairs [RHK],

        kappa(q, k) = (1/R) sum_r cos <w_r, q - k>,
        kappa(q, k) = (1/4R) sum_r (cos <w_r, q> + cos <w'_r, q>)(cos <w_r, k> + cos <w'_r, k>) + the same with sin.

    Both may be negative, and rows of such weights have sums as near to zero as one likes. The kernel of attention is
    therefore the square, positive definite too, whose spectrum is that of kappa convolved with itself, and never less
    than 1e-4 of its largest value: the logits are log(kappa^2 + 1e-4) + |k|_P^P / 2. A factor of the query would
    cancel. At the start kappa^2 is e^{-|q - k|^2/2} up to an error of order R^{-1/2}, and with P = 2 these heads are
    ScaledSelfAttention: coordinates of q and k are over k^{1/4}, so that e^{<q, k>} is that of <Q x, K y> / sqrt k.

    Args:
        dim: D, of the tokens.
        heads: H.
        features: k, of queries and keys; D unless given.
        frequencies: R.
        hidden: width of the perceptron; k unless given.
        stationary: which of the two kernels.
        norm: P, at least 1; None for weights without the norm of keys.
        key: of JAX, from which all parameters are drawn.

    Raises:
        ConfigError: if a size is no positive integer, or `norm` is less than 1.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> heads = af.learn.ImplicitKernel(2, heads=3, norm=2, key=jax.random.key(0))
        >>> heads.weights(np.ones((5, 2)), np.ones((4, 2))).shape
        (3, 5, 4)
    """

    queries: LinearMaps
    keys: LinearMaps
    spectra: tuple[LearnedSpectrum, ...]  # one, or two of pairs, which start as equals
    norm: float | None = eqx.field(static=True)

    def __init__(
        self, dim: int, *, heads: int = 1, features: int | None = None, frequencies: int = 64,
        hidden: int | None = None, stationary: bool = True, norm: float | None = None, key: jax.Array,
    ) -> None:  # fmt: skip
        features = check_sizes(dim, heads, features)
        hidden = check_integer(features if hidden is None else hidden, "hidden", minimum=1)
        count = check_integer(frequencies, "frequencies", minimum=1)
        if norm is not None and check_real(norm, "norm") < 1:
            raise ConfigError(f"`norm` must be at least 1, or None, got {norm!r}. Pass 2 for that of dot products.")
        self.norm = norm
        for_queries, for_keys, first, second = jax.random.split(key, 4)
        self.queries = LinearMaps(dim, features, heads=heads, key=for_queries)
        self.keys = LinearMaps(dim, features, heads=heads, key=for_keys)
        spectrum = LearnedSpectrum(features, hidden, count=count, heads=heads, key=first)
        self.spectra = (spectrum,)
        if not stationary:
            other = LearnedSpectrum(features, hidden, count=count, heads=heads, key=second)
            self.spectra += (eqx.tree_at(lambda each: each.draws, other, spectrum.draws),)

    def frequencies(self) -> jax.Array:
        """Return the frequencies (H, 1 or 2, R, k), two of them in pairs."""
        return jnp.stack([spectrum.frequencies() for spectrum in self.spectra], axis=1)

    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Return log(kappa_h(Q_h x_i, K_h y_j)^2 + 1e-4) + |K_h y_j|_P^P / 2, (H, N, M)."""
        return _Kernels(self.queries, self.keys, self.frequencies(), self.norm).logits(queries, keys)

    def attention(self, head: int = 0) -> Attention:
        """Return one head, with the cost -2 logit at the bandwidth 1."""
        check_head(head, self.queries.weight)
        kernels = _Kernels(self.queries, self.keys, self.frequencies(), self.norm)
        kernel = jax.tree.map(lambda leaf: leaf[head : head + 1], kernels)
        return Attention(CustomPseudoMetric(Partial(_cost, kernel)), bandwidth=1.0)


class _Kernels(eqx.Module):
    """What the logits of some heads are made of, once their frequencies are known."""

    queries: LinearMaps
    keys: LinearMaps
    frequencies: jax.Array
    norm: float | None = eqx.field(static=True)

    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        balance = self.queries.weight.shape[1] ** -0.25
        queries, keys = balance * self.queries(queries), balance * self.keys(keys)
        logits = jnp.log(products(self._waves(queries), self._waves(keys)) ** 2 + FLOOR)
        if self.norm is None:
            return logits
        return logits + 0.5 * jnp.sum(jnp.abs(keys) ** self.norm, axis=-1)[:, None, :]

    def _waves(self, points: jax.Array) -> jax.Array:
        """Return Phi (H, N, 2R) of points (H, N, k), kappa(x, y) = <Phi(x), Phi(y)>."""
        phases = jnp.einsum("hnk,hsrk->hsnr", points, self.frequencies)
        waves = jnp.concatenate([jnp.cos(phases), jnp.sin(phases)], axis=-1)
        return jnp.mean(waves, axis=1) / self.frequencies.shape[2] ** 0.5


def _cost(kernel: _Kernels, x: jax.Array, y: jax.Array) -> jax.Array:
    return -2 * kernel.logits(x[None], y[None])[0, 0, 0]
