"""Two velocities a step."""

from __future__ import annotations

import numpy as np

from attnflow._values import value
from attnflow.integrators.base import Motion
from attnflow.integrators.steps import FixedStep


@value
class Midpoint(FixedStep):
    """The midpoint rule, x <- R(x + dt v(R(x + dt/2 v(x)))), R the nearest point of the manifold.

    The velocity in the middle is tangential there, not at x; that x + dt v is off the manifold by O(dt^2) along its
    normal, and R takes that away.

    Args:
        dt: the time of a step.

    Raises:
        ConfigError: if `dt` is not positive.

    Example:
        >>> import attnflow as af
        >>> af.Midpoint(0.1).order
        2
    """

    order = 2

    def step(self, motion: Motion, points: np.ndarray) -> np.ndarray:
        middle = points + self.dt / 2 * motion.velocity(points, motion.masses)
        return motion.retract(points + self.dt * motion.velocity(middle, motion.masses))
