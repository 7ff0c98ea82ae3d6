r"""The semigroup of a large sparse system M u' = -S u, by rational functions of one pole [VH06].

With A = M^-1 S and B = (I + tau A)^-1, of which one sparse factorisation is made, Lanczos' method in the inner product
of M finds an orthonormal basis V of span(w, B w, ...), and

    e^{-tA} f ~ |w| V e^{-t Lambda} T^-1 e_1,   w = B f,   B V = V T + beta v e_m',   Lambda = (T^-1 - I) / tau.

The error falls by 1 + sqrt 2 per step where tau is about t / (sqrt 2 m) [Andersson81], whatever the spectrum of A. It
is told by what the last four steps have changed, which is thirty times as much, and by the residual at the times asked:
M^-1 (M u' + S u) = -(beta / tau) g(t) B^-1 v, g = e_m' T^-1 y, for the coefficients y(t).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.linalg
from scipy.sparse import csc_array
from scipy.sparse.linalg import SuperLU, splu

from attnflow.errors import ConvergenceError

_STEPS = 90  # at most; a third is enough for ten digits
_LOOKED_AT = 4  # steps after which the error is looked at again
_POLE = 30.0  # t / tau in the middle of the times that share a factorisation
_SHARING = 30.0  # ratio of times that may share one: that costs a few steps more


class RationalSemigroup:
    """e^{-t M^-1 S} for a positive definite M and a nonnegative S whose kernel are the constants.

    Args:
        stiffness: S, (N, N).
        mass: M, (N, N).
    """

    def __init__(self, stiffness: csc_array, mass: csc_array) -> None:
        self._stiffness, self._mass = stiffness, mass
        self._of_ones = np.asarray(mass.sum(axis=0)).ravel()  # M 1
        self._total = float(self._of_ones.sum())

    def propagate(self, loads: np.ndarray, *, times: np.ndarray, rtol: float) -> np.ndarray:
        """Return e^{-tA} M^-1 b, (T, N, c), for loads b (N, c) and times t > 0.

        The mean is taken apart, so that constants do not change and masses 1'M u do not either.

        Args:
            loads: b.
            times: t, (T,).
            rtol: max |error| <= rtol |f| in the norm of M, f without its mean.

        Raises:
            ConvergenceError: if it is not reached.
        """
        means = loads.sum(axis=0) / self._total
        rest = loads - self._of_ones[:, None] * means
        states = np.empty((len(times), *loads.shape))
        for group in _groups(times):
            tau = math.sqrt(times[group].min() * times[group].max()) / _POLE
            factor = factorise(self._mass + tau * self._stiffness)
            for column in range(loads.shape[1]):
                found = self._lanczos(factor, rest[:, column], tau=tau, times=times[group], rtol=rtol)
                states[group, :, column] = means[column] + found
        return states

    def _lanczos(self, factor: SuperLU, load: np.ndarray, *, tau: float, times: np.ndarray, rtol: float) -> np.ndarray:
        """Return e^{-tA} M^-1 b, (T, N), for one load without a mean."""
        # Rows: the constant, then v_1, v_2, ...; and M times each, so that inner products are products with these.
        basis, images = (np.empty((_STEPS + 1, len(load))) for _ in range(2))
        basis[0], images[0] = 1 / math.sqrt(self._total), self._of_ones / math.sqrt(self._total)
        vector, image, size = self._outside(factor.solve(load), basis[:1], images[:1])
        if size <= np.finfo(float).tiny:
            return np.zeros((len(times), len(load)))
        asked = rtol * float(vector @ load) / size**2  # |f| is at least <w, f> / |w|, and may be far more than |w|
        diagonal: list[float] = []
        beside: list[float] = []
        before, norm = np.zeros((len(times), 0)), size
        for step in range(1, _STEPS + 1):
            basis[step], images[step] = vector / norm, image / norm
            vector = factor.solve(images[step])
            diagonal.append(float(vector @ images[step]))
            vector, image, norm = self._outside(vector, basis[: step + 1], images[: step + 1])
            done = norm <= np.finfo(float).eps * diagonal[0]
            if done or step % _LOOKED_AT == 0:
                coefficients, residuals = _projected(diagonal, beside, tau=tau, times=times)
                changes = coefficients - np.pad(before, ((0, 0), (0, step - before.shape[1])))
                error = max(np.linalg.norm(changes, axis=1).max(), norm * float((times * residuals).max()))
                if done or error <= asked:
                    return size * coefficients @ basis[1 : step + 1]
                before = coefficients
            beside.append(norm)
        raise ConvergenceError(
            f"the semigroup at t = {times.max():g} is off by {rtol * error / asked:.2g} of f after {_STEPS} steps, "
            f"{rtol:.2g} is asked. Use a larger `rtol`, or a mesh without triangles far smaller than the others."
        )

    def _outside(
        self, vector: np.ndarray, basis: np.ndarray, images: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """Return a vector without its part in the span of a basis, M times that, and its norm."""
        for _ in range(2):  # again, as rounding of the first time matters where little is left
            vector = vector - (images @ vector) @ basis
        image = self._mass @ vector
        return vector, image, math.sqrt(max(float(vector @ image), 0.0))


def factorise(matrix: csc_array) -> SuperLU:
    """Return the factors of a symmetric positive definite matrix (N, N), without pivoting."""
    options = dict(SymmetricMode=True, ColPerm="MMD_AT_PLUS_A")
    return splu(csc_array(matrix), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)


def _groups(times: np.ndarray) -> list[np.ndarray]:
    """Return the places of times that share a pole."""
    order = np.argsort(times, kind="stable")
    groups: list[list[int]] = []
    for place in order:
        if not groups or times[place] > _SHARING * times[groups[-1][0]]:
            groups.append([])
        groups[-1].append(int(place))
    return [np.array(group) for group in groups]


def _projected(
    diagonal: list[float], beside: list[float], *, tau: float, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients (T, m) in the basis, for |w| = 1, and |g| / tau, (T,)."""
    values, axes = scipy.linalg.eigh_tridiagonal(diagonal, beside)
    values = np.maximum(values, np.finfo(float).eps * values.max())  # in (0, 1] but for rounding
    with np.errstate(under="ignore"):
        left = np.exp(-np.multiply.outer(times, (1 / values - 1) / tau)) * (axes[0] / values)
        return left @ axes.T, np.abs(left @ (axes[-1] / values)) / tau
