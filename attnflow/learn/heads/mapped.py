"""Attention among images of a learned map: metric-attention, and the same map inside a dot product."""

from __future__ import annotations

import jax
from jax.tree_util import Partial

from attnflow.attention import Attention
from attnflow.learn.heads.base import Heads
from attnflow.learn.heads.checks import check_head, check_sizes
from attnflow.learn.heads.maps import PerceptronMaps, minus_squared_distances, products
from attnflow.pseudometrics.custom import CustomPseudoMetric
from attnflow.pseudometrics.learned_map import LearnedMap


class _Mapped(Heads):
    """Heads that compare phi_h(x) and phi_h(y), phi_h a perceptron of one hidden layer."""

    maps: PerceptronMaps

    def __init__(
        self, dim: int, *, heads: int = 1, features: int | None = None, hidden: int | None = None, key: jax.Array
    ) -> None:
        features = check_sizes(dim, heads, features)
        self.maps = PerceptronMaps(dim, features, hidden=features if hidden is None else hidden, heads=heads, key=key)

    def _map_of(self, head: int) -> Partial:
        check_head(head, self.maps.inner)
        return Partial(_image, jax.tree.map(lambda parameter: parameter[head : head + 1], self.maps))


class MetricAttention(_Mapped):
    """The logits -|phi_h(x) - phi_h(y)|^2: a learned metric  [RZ].

    Args:
        dim: D, of the tokens.
        heads: H.
        features: k, of phi; D unless given.
        hidden: width of the hidden layer of phi; k unless given.
        key: of JAX, from which phi is drawn.

    Raises:
        ConfigError: if a size is no positive integer.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> heads = af.learn.MetricAttention(2, key=jax.random.key(0))
        >>> x = np.array([[1.0, 2.0], [0.0, 1.0]])
        >>> cost = heads.attention().pseudometric
        >>> bool(np.isclose(-float(cost(x[0], x[1])), heads.logits(x, x)[0, 0, 1]))
        True
    """

    def __init__(
        self, dim: int, *, heads: int = 1, features: int | None = None, hidden: int | None = None, key: jax.Array
    ) -> None:
        super().__init__(dim, heads=heads, features=features, hidden=hidden, key=key)

    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Return -|phi_h(x_i) - phi_h(y_j)|^2, (H, N, M)."""
        return minus_squared_distances(self.maps(queries), self.maps(keys))

    def attention(self, head: int = 0) -> Attention:
        """Return one head, with the cost |phi(x) - phi(y)|^2 at the bandwidth 1/2."""
        return Attention(LearnedMap(self._map_of(head)), bandwidth=0.5)


class MLPDotProduct(_Mapped):
    """The logits <phi_h(x), phi_h(y)>: the map of metric-attention without the metric; arguments as of MetricAttention.

    It is the control of "because it is a metric": <a, b> = (|a|^2 + |b|^2 - |a - b|^2)/2, so that it differs by the
    weight e^{|phi(y)|^2/2} of keys and by a factor of two.
    """

    def __init__(
        self, dim: int, *, heads: int = 1, features: int | None = None, hidden: int | None = None, key: jax.Array
    ) -> None:
        super().__init__(dim, heads=heads, features=features, hidden=hidden, key=key)

    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Return <phi_h(x_i), phi_h(y_j)>, (H, N, M)."""
        return products(self.maps(queries), self.maps(keys))

    def attention(self, head: int = 0) -> Attention:
        """Return one head, with the cost -2 <phi(x), phi(y)> at the bandwidth 1."""
        return Attention(CustomPseudoMetric(Partial(_minus_twice_product, self._map_of(head))), bandwidth=1.0)


def _image(maps: PerceptronMaps, point: jax.Array) -> jax.Array:
    return maps.of_head(0, point)


def _minus_twice_product(phi: Partial, x: jax.Array, y: jax.Array) -> jax.Array:
    return -2 * phi(x) @ phi(y)
