"""A cost on a manifold that is given by a map, seen on the manifold that is mapped."""

from __future__ import annotations

import jax

from attnflow._values import static, value
from attnflow.manifolds.embedded import EmbeddedManifold
from attnflow.pseudometrics.base import PseudoMetric, is_trusted


@value
class Through(PseudoMetric):
    """The cost D(phi(x), phi(y)) of two points of R, phi the map of R onto M.

    Args:
        pseudometric: D, on M.
        image: M.

    Example:
        >>> import jax.numpy as jnp, attnflow as af
        >>> from attnflow.pseudometrics.through import Through
        >>> stretched = Through(af.SquaredDistance(), af.Ellipsoid((1.0, 3.0)))
        >>> float(stretched(jnp.array([0.0, 1.0]), jnp.array([0.0, -1.0])))
        36.0
    """

    pseudometric: PseudoMetric
    image: EmbeddedManifold = static()

    @property
    def vanishes_on_diagonal(self) -> bool:  # type: ignore[override]
        return self.pseudometric.vanishes_on_diagonal

    @property
    def is_definite(self) -> bool:
        return self.pseudometric.is_definite

    @property
    def is_symmetric(self) -> bool:  # type: ignore[override]
        return self.pseudometric.is_symmetric

    @property
    def is_examined(self) -> bool:  # type: ignore[override]
        return is_trusted(self.pseudometric)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.pseudometric(self.image.embed(x), self.image.embed(y))
