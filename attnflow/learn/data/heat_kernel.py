"""Heat-kernel signatures: what the heat that stays at a vertex of a surface says of the shape around it  [SOG]."""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg

from attnflow._checks import check_times
from attnflow.equations.discretizations.elements import Elements
from attnflow.equations.discretizations.patches import patches_of
from attnflow.equations.expansions.reversible import ReversibleCoefficients
from attnflow.equations.solvers.finite_elements import smallest_eigenpairs
from attnflow.errors import ConfigError
from attnflow.manifolds.triangulated import TriangulatedSurface

_EXPONENT = 16.0  # modes that have fallen by e^-16 by the first time are left out
_FEW = 3  # vertices per mode up to which all modes are taken: a dense solver is faster then


def heat_kernel_signatures(surface: TriangulatedSurface, times: object) -> np.ndarray:
    r"""Return the heat-kernel signatures of the vertices, (V, T).

        h_t(x) = A k_{tA}(x, x) = sum_k e^{-lambda_k t A} phi_k(x)^2,   -Lap phi_k = lambda_k phi_k,   A the area

    with eigenfunctions whose squares have the mean one. They do not depend on where the surface is, how it is turned or
    how large it is. On the plane h_t is 1 / (4 pi t), as it is everywhere for small t; for large t it is 1. They are
    those of continuous functions that are linear on triangles: times should be above the area of a triangle, over A.

    Args:
        surface: whose vertices are asked.
        times: t, in units of the area: positive.

    Raises:
        ConfigError: if a time is not positive.

    Example:
        >>> import numpy as np, attnflow as af
        >>> corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
        >>> surface = af.TriangulatedSurface(corners, [[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]).refined().refined()
        >>> h = af.learn.heat_kernel_signatures(surface, times=[0.05, 0.2, 1.0])
        >>> np.round(h[:4], 2)  # at the corners: one value for all
        array([[3.19, 1.05, 1.  ],
               [3.19, 1.05, 1.  ],
               [3.19, 1.05, 1.  ],
               [3.19, 1.05, 1.  ]])
    """
    times = check_times(times)
    if times.min() == 0:
        raise ConfigError("`times` must be positive: at 0 all heat is in one point, and h is infinite.")
    eigenvalues, functions = _modes(surface, beyond=_EXPONENT / (float(times.min()) * surface.volume))
    return functions**2 @ np.exp(-surface.volume * np.outer(eigenvalues, times))


def _modes(surface: TriangulatedSurface, *, beyond: float) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues (k,) of -Lap, all those up to some number and more, and functions (V, k)."""
    elements = Elements(patches_of(surface), 0, 1)
    ones = np.ones(len(elements.points))
    metrics = np.broadcast_to(np.eye(2), (len(ones), 2, 2))
    stiffness, mass = elements.matrices(ReversibleCoefficients(metrics, np.zeros(len(ones))), ones)
    count = math.ceil(beyond * surface.volume / (4 * math.pi)) + 1  # Weyl's law; long surfaces have more
    while elements.size > _FEW * count:
        eigenvalues, functions = smallest_eigenpairs(stiffness, mass, count=count, area=surface.volume)
        if 2 * eigenvalues[-1] > beyond:  # the form is that of Lap / 2
            return 2 * eigenvalues, functions
        count *= 2
    eigenvalues, functions = scipy.linalg.eigh(stiffness.toarray(), mass.toarray())
    return 2 * eigenvalues, functions * math.sqrt(surface.volume)
