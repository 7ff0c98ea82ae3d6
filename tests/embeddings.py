"""Maps without symmetry, written in JAX and, once more, in NumPy for the witnesses."""

import jax.numpy as jnp
import numpy as np

AXES = np.array([1.0, 1.3, 0.7])


def knot(t, lib=jnp):
    """A trefoil, which in R^3 does not meet itself; (...,) -> (..., 3)."""
    x, y = lib.sin(t) + 2 * lib.sin(2 * t), lib.cos(t) - 2 * lib.cos(2 * t)
    return lib.stack([x, y, 0.3 * lib.cos(t) - lib.sin(3 * t)], axis=-1)


def oval(t, lib=jnp):
    """A torus whose axis is an ellipse that leaves its plane; (..., 2) -> (..., 3)."""
    around, tube = t[..., 0], 1 + 0.3 * lib.cos(t[..., 1])
    height = 0.4 * lib.sin(t[..., 1]) + 0.1 * lib.cos(around)
    return lib.stack([1.2 * tube * lib.cos(around), tube * lib.sin(around), height], axis=-1)


def revolution(t, lib=jnp):
    """The torus of revolution with R = 1 and r = 0.4; (..., 2) -> (..., 3)."""
    ring = 1 + 0.4 * lib.cos(t[..., 1])
    return lib.stack([ring * lib.cos(t[..., 0]), ring * lib.sin(t[..., 0]), 0.4 * lib.sin(t[..., 1])], axis=-1)


def pear(u):
    """A radius; (..., 3) -> (...,)."""
    return 1 + 0.15 * u[..., 2] + 0.1 * u[..., 0] * u[..., 1]


def pear_slope(u):
    """Its ambient gradient; (Q, 3) -> (Q, 3)."""
    return np.stack([0.1 * u[:, 1], 0.1 * u[:, 0], np.full(len(u), 0.15)], axis=1)


def log_weight(x):
    return 0.5 * x[..., 0] + 0.3 * x[..., 0] * x[..., 2] - 0.2 * x[..., 1]


def f(x):
    return x[..., 1] + x[..., 0] * x[..., 2]


def r0(x):
    return 1 + 0.3 * x[..., 0] * x[..., 1] + x[..., 2] ** 2
