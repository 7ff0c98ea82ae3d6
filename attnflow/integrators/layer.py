"""The residual update of a network."""

from __future__ import annotations

import numpy as np

from attnflow._values import value
from attnflow.integrators.base import Motion
from attnflow.integrators.steps import FixedStep


@value
class Layer(FixedStep):
    """One residual layer, x <- R(x + dt v(x)): Euler's step and, on a manifold, the nearest point R of it.

    On a sphere R divides by the norm, as root-mean-square normalisation after the residual sum does.

    The declared error of steps of one length, this and others, is that of their velocities, added up, without growth:
    from an unstable arrangement what is off by a rounding grows as tokens part. Of 16 tokens evenly on the circle, with
    V = 1 and logits 8 <x, y>, ten digits are right at t = 20, four at t = 40. `Adaptive` measures that and declares it.

    Args:
        dt: the time of a layer.

    Raises:
        ConfigError: if `dt` is not positive.

    Example:
        >>> import attnflow as af
        >>> af.Layer(0.1).order
        1
    """

    order = 1

    def step(self, motion: Motion, points: np.ndarray) -> np.ndarray:
        return motion.retract(points + self.dt * motion.velocity(points, motion.masses))
