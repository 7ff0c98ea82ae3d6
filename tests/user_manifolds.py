"""Manifolds as a user would write them: plain subclasses of af.Manifold."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from scipy import special

import attnflow as af


class CircleOfRadius(af.Manifold):
    """What is asked for, and `along`; no dataclass, no frame, no sampling."""

    dim = 1
    ambient_dim = 2
    is_compact = True
    has_boundary = False

    def __init__(self, radius):
        self.radius = radius
        self.volume = 2 * np.pi * radius

    def retract(self, y):
        return self.radius * y / jnp.linalg.norm(y)

    def quadrature(self, degree):
        n = degree + 1
        return af.DiscreteMeasure(self.along(self.volume * np.arange(n) / n), np.full(n, self.volume / n))

    def along(self, lengths):
        return self.radius * np.stack([np.cos(lengths / self.radius), np.sin(lengths / self.radius)], axis=1)


@dataclasses.dataclass(frozen=True)
class TiltedEllipse(af.Manifold):
    """(a cos t, b sin t) in a plane of R^3, whose two unit vectors are an array; uniform samples, but no `along`."""

    a: float
    b: float
    plane: np.ndarray  # (3, 2)
    dim: int = 1
    ambient_dim: int = 3
    is_compact: bool = True
    has_boundary: bool = False

    @property
    def volume(self):
        return 4 * self.a * special.ellipe(1 - (self.b / self.a) ** 2)

    def at(self, t):
        return np.stack([self.a * np.cos(t), self.b * np.sin(t)], axis=-1) @ self.plane.T

    def speed(self, t):
        return np.sqrt((self.a * np.sin(t)) ** 2 + (self.b * np.cos(t)) ** 2)

    def retract(self, y):
        # The point of the same angle is not the nearest one; generators need no more.
        x = y @ self.plane
        t = jnp.arctan2(x[1] / self.b, x[0] / self.a)
        return jnp.asarray(self.plane) @ jnp.array([self.a * jnp.cos(t), self.b * jnp.sin(t)])

    def quadrature(self, degree):
        t = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
        return af.DiscreteMeasure(self.at(t), 2 * np.pi / len(t) * self.speed(t))

    def sample_uniform(self, n, generator):
        points = np.empty((0, 3))
        while len(points) < n:
            t = 2 * np.pi * generator.random(n)
            points = np.concatenate([points, self.at(t[self.a * generator.random(n) < self.speed(t)])])
        return points[:n]


class EllipseByLength(TiltedEllipse):
    """The same, run through by arc length: s -> t by Newton's method on the incomplete elliptic integral."""

    def length(self, t):
        """The arc length from t = 0; E is counted from the other axis."""
        shape = 1 - (self.b / self.a) ** 2
        return self.a * (special.ellipeinc(np.asarray(t) - np.pi / 2, shape) + special.ellipe(shape))

    def along(self, lengths):
        t = 2 * np.pi * np.asarray(lengths) / self.volume
        for _ in range(30):
            t = t - (self.length(t) - lengths) / self.speed(t)
        return self.at(t)


CIRCLE = CircleOfRadius(2.0)
PLANE = np.linalg.qr(np.array([[1.0, 0.2], [0.5, 1.0], [-0.3, 0.4]]))[0]
ELLIPSE, ELLIPSE_BY_LENGTH = TiltedEllipse(1.5, 0.8, PLANE), EllipseByLength(1.5, 0.8, PLANE)
USER_MANIFOLDS = {"circle": CIRCLE, "ellipse": ELLIPSE, "ellipse by length": ELLIPSE_BY_LENGTH}
