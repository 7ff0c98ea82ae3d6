"""The density of a manifold that is given by a map, seen on the manifold that is mapped."""

from __future__ import annotations

import jax

from attnflow._values import static, value
from attnflow.densities.base import Density
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.embedded import EmbeddedManifold


@value
class PulledBack(Density):
    """The density p(phi(theta)) sqrt det(J'J) on R of a density p on M = phi(R), which has the same mass.

    Args:
        manifold: R.
        density: p.
        image: M.

    Example:
        >>> import attnflow as af
        >>> from attnflow.densities.pulled_back import pull_back
        >>> af.enable_x64()
        >>> pulled_back = pull_back(af.Uniform(af.Ellipsoid((1.0, 1.3, 0.7))))
        >>> bool(abs(pulled_back.quadrature(60).mass - 1) < 1e-12)
        True
    """

    manifold: Manifold = static()
    density: Density
    image: EmbeddedManifold = static()

    def log_density(self, x: jax.Array) -> jax.Array:
        return self.density.log_density(self.image.embed(x)) + self.image.log_volume_element(x)


def pull_back(density: Density) -> PulledBack:
    """Return a density of an EmbeddedManifold, seen on its reference."""
    image = density.manifold
    assert isinstance(image, EmbeddedManifold)
    return PulledBack(image.reference, density, image)
