"""The controls that every probe carries: heads of which the answer is known."""

import numpy as np

BANDWIDTH = 0.05


def sphere(count, *, seed=1):
    """Uniform points on S^2."""
    points = np.random.default_rng(seed).standard_normal((count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def rotation(degrees):
    """A rotation about the third axis."""
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def rotated(count, degrees, *, seed=1):
    """Arguments of `probe`: a dot product on S^2 whose queries are rotated."""
    x = sphere(count, seed=seed)
    return dict(points=x, queries=x @ rotation(degrees).T, keys=x, bandwidth=BANDWIDTH)


def random_head(count, *, seed, dim=32, width=16, scale=1.0):
    """Arguments of `probe`: random tokens, random weights."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, dim))
    queries, keys = (x @ rng.standard_normal((dim, width)) * (scale / dim) ** 0.5 for _ in range(2))
    return dict(points=x, queries=queries, keys=keys)
