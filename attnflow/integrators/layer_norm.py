"""Post-norm and pre-norm layers of a network."""

from __future__ import annotations

import numpy as np

from attnflow._values import value
from attnflow.errors import ConfigError
from attnflow.integrators.base import Motion
from attnflow.integrators.steps import FixedStep


class _Normalized(FixedStep):
    def check(self, motion: Motion) -> None:
        if motion.manifold is None:
            raise ConfigError(
                f"`integrator` = {self!r} normalises tokens, and there is no manifold to say how. Pass "
                "TokenFlow(..., manifold=Sphere(D - 1)), or take Layer."
            )


@value
class LayerNormStep(_Normalized):
    """One post-norm layer, x <- N(x + dt V A x), N the nearest point: on a sphere the division by the norm [Ka].

    The output of attention is added whole. Its normal part, dt <V A x, x> on a sphere, slows the step. To first order
    it is the step of `Layer`, whose residual is tangential; the constant of its error is another one, twelve times as
    large for two tokens that begin far apart, and there is no one number for all.

    Args:
        dt: the time of a layer.

    Raises:
        ConfigError: if `dt` is not positive, or, as it is used, the flow has no manifold.

    Example:
        >>> import attnflow as af
        >>> af.LayerNormStep(0.1).order
        1
    """

    order = 1

    def step(self, motion: Motion, points: np.ndarray) -> np.ndarray:
        return motion.retract(points + self.dt * motion.velocity(points, motion.masses, tangential=False))


@value
class PreNormStep(_Normalized):
    """One pre-norm layer, x <- x + dt V (A N x), N the nearest point: on a sphere the division by the norm [Ka].

    Attention sees normalised tokens, the residual stream is never normalised: with x = r theta on a sphere the
    directions move by theta' = P V (A theta) / r, r' = <V (A theta), theta>, slower and slower. The points of its
    trajectories are the stream; its order is that towards the flow x' = V (A N x), not towards tokens on the manifold.

    Args:
        dt: the time of a layer.

    Raises:
        ConfigError: if `dt` is not positive, or, as it is used, the flow has no manifold.

    Example:
        >>> import attnflow as af
        >>> af.PreNormStep(0.1).order
        1
    """

    order = 1

    def step(self, motion: Motion, points: np.ndarray) -> np.ndarray:
        return points + self.dt * motion.velocity(points, motion.masses, tangential=False)
