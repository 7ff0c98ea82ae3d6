r"""The semigroup of a large sparse generator: rational Krylov with one real pole, its residual checked.

In the space of R^j u, R = (1 - gamma A)^{-1}, the error falls by about 2.4 per step however stiff A is [MN]: a finer
grid takes no more steps, a later time none either. One sparse factorisation serves all times within a factor of thirty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.sparse import csc_array, csr_array, eye_array
from scipy.sparse.linalg import splu

from attnflow.errors import ConvergenceError

_POLE = 0.08  # gamma relative to the time: at .02 twice as many steps are taken, from .05 to .2 as many
_SPAN = 30.0  # by which the times of one factorisation may be apart; what more steps cost is less than another
_MOST = 120  # steps; 20 to 40 are taken where u is smooth
_CHECKED = 6  # steps between two looks at the residual, which cost about as much
_RUNGS = 12  # times, each twice the one before, at which the residual is looked at; twelve more before these
_INVARIANT = 1e-12  # of a new direction relative to its image: what is further is rounding
_SAFETY = 2.0  # in the maximum norm; the bound is one of the Euclidean
_ROUNDING = 200 * np.finfo(float).eps  # 4e-14; 3e-14 were seen

_Map = Callable[[np.ndarray], np.ndarray]
_Sparse = csr_array | csc_array


class Propagated(NamedTuple):
    """States (T, K, c) at each time, and a bound of their error in the maximum norm."""

    states: np.ndarray
    error: float


class _Space(NamedTuple):
    """What is known of A on the span of V (K, m) after m steps: U T U*, T triangular.

    The residual of V U z(t) is (1 - gamma A) v times weights . z(t), v the next direction.

    Attributes:
        vectors: V.
        rotation: U, (m, m).
        triangle: T, (m, m).
        weights: (m,).
        peak: the largest entry of v.
    """

    vectors: np.ndarray
    rotation: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    peak: float


def propagate(
    generator: _Sparse,
    initial: np.ndarray,
    *,
    times: np.ndarray,
    tolerance: float,
    law: np.ndarray | None = None,
    mass: _Sparse | None = None,
    adjoint: bool = False,
) -> Propagated:
    """Return e^{tA} u, or e^{tA'} u, at each time, for A = M^-1 S with S and M sparse.

    A must be dissipative: e^{tA} must not grow. What is left of the equation d_t u = A u, integrated along time, bounds
    the error; where it cannot be made as small as asked, that is an error.

    Args:
        generator: S, shape (K, K).
        initial: u, shape (K, c).
        times: t >= 0 in any order, shape (T,).
        tolerance: the error that is allowed, relative to the largest |u| of each column. More is declared where
            it is rounding, which is seen once the space has become invariant.
        law: pi (K,) with pi'A = 0 and sum pi = 1, where A 1 = 0: then constants, and the mass of the adjoint, are kept
            to round-off.
        mass: M, shape (K, K), symmetric; None is the identity.
        adjoint: transpose A.

    Raises:
        ConvergenceError: if the residual stays above the tolerance.

    Example:
        >>> import numpy as np, scipy.sparse
        >>> A = scipy.sparse.diags_array([-1.0, -1e6])
        >>> found = propagate(A, np.ones((2, 1)), times=np.array([1.0]), tolerance=1e-10)
        >>> bool(np.abs(found.states[0, :, 0] - [np.exp(-1), 0]).max() < 1e-10)
        True
    """
    ones = np.ones(generator.shape[0])
    known = np.zeros_like(ones) if law is None else law
    kept, seen = (known, ones) if adjoint else (ones, known)  # u = kept (seen . u) + what decays

    def decaying(vector: np.ndarray) -> np.ndarray:
        return vector - np.multiply.outer(kept, seen @ vector)

    states = np.repeat(decaying(initial)[None], len(times), axis=0)
    error = 0.0
    for group in _groups(times):
        resolvent = _resolvent(generator, mass, _pole(times[group]), adjoint)
        for column in range(initial.shape[1]):
            size = float(np.abs(initial[:, column]).max())
            if size == 0 or np.abs(states[group[0], :, column]).max() <= _ROUNDING * size:
                continue
            start = decaying(initial[:, column] / size)
            found = _evolve(resolvent, decaying, start, times=times[group], tolerance=tolerance)
            states[group, :, column] = size * found.states[:, :, 0]
            error = max(error, size * found.error)
    return Propagated(states + np.outer(kept, seen @ initial), error)


def _groups(times: np.ndarray) -> list[np.ndarray]:
    """Return the places of the positive times, rising, in groups that are within a factor of thirty."""
    order = np.argsort(times, kind="stable")
    order = order[times[order] > 0]
    groups: list[list[int]] = []
    for place in order.tolist():
        if groups and times[place] <= _SPAN * times[groups[-1][0]]:
            groups[-1].append(place)
        else:
            groups.append([place])
    return [np.array(group) for group in groups]


def _pole(times: np.ndarray) -> float:
    """Return gamma for a group of times."""
    return float(_POLE * np.sqrt(times.min() * times.max()))


def _resolvent(generator: _Sparse, mass: _Sparse | None, gamma: float, adjoint: bool) -> _Map:
    """Return the map u -> (M - gamma S)^-1 M u, or its transpose.

    Without pivoting, in an order made for symmetric patterns: the diagonal of 1 - gamma Q of a generator of jumps
    dominates its rows, so elimination loses nothing.
    """
    weight = csc_array(eye_array(generator.shape[0])) if mass is None else csc_array(mass)
    matrix = weight - gamma * generator
    factors = splu(
        csc_array(matrix.T if adjoint else matrix),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    if adjoint:
        return lambda vector: np.asarray(weight @ factors.solve(vector))
    return lambda vector: factors.solve(np.asarray(weight @ vector))


def _evolve(resolvent: _Map, decaying: _Map, start: np.ndarray, *, times: np.ndarray, tolerance: float) -> Propagated:
    """Return e^{tA} u for one u (K,) at times within a group, from as many steps as the tolerance asks for."""
    gamma, allowed = _pole(times), max(tolerance, 2 * _ROUNDING)
    length, size = float(np.linalg.norm(start)), float(np.abs(start).max())
    vectors = np.empty((len(start), _MOST + 1), order="F")
    hessenberg = np.zeros((_MOST + 1, _MOST))
    vectors[:, 0] = start / length
    error = np.inf
    for step in range(1, _MOST + 1):
        image = resolvent(vectors[:, step - 1])
        scale = np.linalg.norm(image)
        for _ in range(2):  # twice is enough
            image = decaying(image)
            along = vectors[:, :step].T @ image
            image -= vectors[:, :step] @ along
            hessenberg[:step, step - 1] += along
        left = float(np.linalg.norm(image))
        is_invariant = left <= _INVARIANT * scale or step == len(start)
        hessenberg[step, step - 1] = left
        vectors[:, step] = image / max(left, 1e-300)
        if step % _CHECKED and not is_invariant:
            continue
        space = _compress(vectors[:, : step + 1], hessenberg[: step + 1, :step], gamma)
        coefficients, missed = _solve_small(space, times, gamma)
        error = length * missed + _ROUNDING * size
        if error <= allowed or is_invariant:
            states = length * (coefficients @ space.vectors.T)
            error *= max(1.0, float(np.abs(states).max()) / size)  # a density may gather
            if error <= allowed or is_invariant:
                return Propagated(states[..., None], error)
    raise ConvergenceError(
        f"the semigroup is not resolved: after {step} steps the residual leaves an error of {error:.3g}, "
        f"{allowed:.3g} is asked. Use a larger `rtol`."
    )


def _compress(vectors: np.ndarray, hessenberg: np.ndarray, gamma: float) -> _Space:
    """Return A on the span V of all but the last vector: R V = V H + h v e' gives A V = V (1 - H^-1) / gamma + ... .

    In the triangular form of H the rounding of H^-1 is relative to each mode, not to the fastest.
    """
    triangle, rotation = scipy.linalg.schur(hessenberg[:-1], output="complex")
    one = np.eye(len(triangle))
    inverse = scipy.linalg.solve_triangular(triangle, one)
    peak = float(np.abs(vectors[:, -1]).max())
    return _Space(
        vectors[:, :-1], rotation, (one - inverse) / gamma, hessenberg[-1, -1] / gamma * rotation[-1] @ inverse, peak
    )


def _solve_small(space: _Space, times: np.ndarray, gamma: float) -> tuple[np.ndarray, float]:
    """Return y(t) = e^{t A_m} e_1 (T, m) at each time, and a bound of the error, both for an initial norm of one.

    The semigroup smooths what is left of the equation at s: |e^{(t - s) A} (1 - gamma A) v| is at most
    (1 + gamma / (e (t - s))) |v|. Before half the first time that is nearly 1. Later on its integral diverges like a
    logarithm only, which is cut off where the factor is that of the fastest mode seen.
    """
    shortest, longest = float(times.min()), float(times.max())
    instants = longest / 2.0 ** np.arange(2 * _RUNGS, 0, -1)
    first = space.rotation[0].conj()
    with np.errstate(all="ignore"):  # what grows without bound is refused
        states = np.stack([scipy.linalg.expm(time * space.triangle) @ first for time in times])
        passed, rung = [first], space.triangle
        for place, instant in enumerate(instants):
            rung = rung @ rung if place % _RUNGS else scipy.linalg.expm(instant * space.triangle)
            passed.append(rung @ first)
        left = np.abs(passed @ space.weights)
        settled = instants <= shortest / 2
        early = _early(space, np.array(passed[: settled.sum() + 1]), instants[settled], gamma=gamma, after=shortest / 2)
    late = max(float(np.max(left[settled.sum() :])), float(np.abs(states @ space.weights).max()))
    fastest = 1 + gamma * float(np.abs(space.triangle).max())
    smoothed = longest + gamma / np.e * (1 + np.log(max(longest / gamma, 1.0) * fastest))
    return (states @ space.rotation.T).real, _SAFETY * (early + late * smoothed) * space.peak


def _early(space: _Space, passed: np.ndarray, instants: np.ndarray, *, gamma: float, after: float) -> float:
    """Return a bound of what the residual w(s) of early s leaves at times that are later by r at least.

    Either (1 + gamma / (e r)) int |w| ds or, by parts with W(s) = int_0^s w, where |A e^{rA}| is at most 1 / (e r),

        (1 + gamma / (e r)) |W(end)| + (1 + 4 gamma / (e r)) / (e r) int |W| ds

    which is 1e3 times less where u is rough: what is left of the equation then is large at first, but has no mean.

    Args:
        space: of the residual.
        passed: z(s) at s = 0 and at each instant, (1 + S, m).
        instants: s > 0, rising, (S,).
        gamma: of the pole.
        after: r.
    """
    widths = np.diff(instants, prepend=0.0)

    def whole(values: np.ndarray) -> float:
        return float(widths @ np.maximum(values[1:], values[:-1]))

    factor = gamma / (np.e * after)
    primitive = scipy.linalg.solve_triangular(space.triangle, (passed - passed[0]).T, check_finite=False)
    sums = np.abs(space.weights @ primitive)
    by_parts = (1 + factor) * float(sums[-1]) + (1 + 4 * factor) / (np.e * after) * whole(sums)
    directly = (1 + factor) * whole(np.abs(passed @ space.weights))
    return min(directly, by_parts)  # `directly` where A_m has a kernel, so that the other is not a number
