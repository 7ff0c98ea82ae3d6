"""Heat on the tetrahedron whose corners are four corners of a box: a flat torus folded in two, so all is known.

Its faces are alike, the angles at each corner sum to pi, and the surface unfolds to the plane. With the sides of one
face at its corner v_0 as vectors e_1, e_2, functions on it are the even functions of s_1 e_1 + s_2 e_2 with periods 2
in s_1 and s_2: cos(pi (m s_1 + n s_2)), with -1/2 Lap = pi^2/2 (m, n) g^-1 (m, n)', g = (e_i . e_j). In the
coordinates (X, Y, Z) of the box, scaled to [-1, 1], X = 1 - 2 s_2, Y = 1 - 2 s_1 and Z = 1 - 2 (s_1 + s_2) on that
face, and they fold as the surface does: so cos(pi s_1) = sin(pi Y / 2) on all of it.
"""

import numpy as np

SIGNS = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])


def corners(sides):
    """The vertices (4, 3) in a box of the given sides."""
    return SIGNS * np.asarray(sides) / 2


def rate(sides, m, n):
    """The eigenvalue of -1/2 Lap of cos(pi (m s_1 + n s_2))."""
    v = corners(sides)
    gram = (v[1:3] - v[0]) @ (v[1:3] - v[0]).T
    return np.pi**2 / 2 * np.array([m, n]) @ np.linalg.solve(gram, np.array([m, n]))


def rates(sides, count):
    """The smallest eigenvalues of -1/2 Lap, with multiplicity: of (m, n) and (-m, -n) one is taken."""
    waves = [(m, n) for m in range(12) for n in range(-12, 13) if m > 0 or n >= 0]
    return np.sort([rate(sides, *wave) for wave in waves])[:count]


# Modes by their (m, n), as functions of the scaled coordinates, for any library of arrays.
MODES = {
    (1, 0): lambda xp, X, Y, Z: xp.sin(xp.pi * Y / 2),
    (0, 1): lambda xp, X, Y, Z: xp.sin(xp.pi * X / 2),
    (1, 1): lambda xp, X, Y, Z: xp.sin(xp.pi * Z / 2),
    (2, 0): lambda xp, X, Y, Z: -xp.cos(xp.pi * Y),
    (1, -1): lambda xp, X, Y, Z: 2 * xp.sin(xp.pi * X / 2) * xp.sin(xp.pi * Y / 2) - xp.sin(xp.pi * Z / 2),
}


def heat(points, sides, weights, time):
    """Sum over modes of weights[m, n] e^{-rate t} times the mode, at points (Q, 3)."""
    scaled = (2 * points / np.asarray(sides)).T
    return sum(
        weight * np.exp(-time * rate(sides, *wave)) * MODES[wave](np, *scaled) for wave, weight in weights.items()
    )


def start(xp, sides, weights):
    """The same at time 0, as a function of one point written in the library xp."""

    def f(x):
        scaled = [2 * x[i] / sides[i] for i in range(3)]
        return sum(weight * MODES[wave](xp, *scaled) for wave, weight in weights.items())

    return f
