"""The mean field in a basis: moments of a density, moved by the weak form of its continuity equation.

With rho = w sum_n c_n phi_n and the tight frame of fields X_a of a basis,

    d_t c_n = int rho <v, grad phi_n> dvol - kappa |grad phi_n|^2 c_n,   grad phi_n = sum_a (X_a phi_n) X_a,

where the derivative of phi_0 = 1 is exactly zero: mass is conserved to the last digit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.integrate import DOP853
from scipy.sparse import csr_array, hstack

from attnflow.densities.base import Density
from attnflow.densities.integration import check_mass
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hyperspherical import HypersphericalBasis
from attnflow.equations.mean_field.fields import UnresolvedError
from attnflow.equations.mean_field.kernels import kernel_on
from attnflow.equations.mean_field.problem import Problem

KINDS: tuple[type[Basis], ...] = (FourierBasis, HarmonicBasis, HypersphericalBasis)
# Degrees by dimension, and those of the run that it is compared with: the density must be resolved by both.
_DEGREES = {
    1: (20, 30, 45, 68, 100, 150, 225, 340, 500, 750, 1100),
    2: (10, 15, 20, 28, 40, 56, 80),
    3: (5, 7, 10, 14, 18),
}
_TAIL = 1e-2  # of the tolerance: the largest moment of the highest eighth of degrees
_FLOOR = 2e-15  # rounding of moments
_NOISE = 10.0  # times the tolerance of steps: what they leave in waves that diffusion damps within a step
_SEEN = 1 << 14, 1 << 15  # nodes at which a starting density is compared with what a basis makes of it, by dimension
_CHECKED = 1e-2  # of the tolerance: what a symbol may be off by
_STEP, _LEAST_STEP = 1e-3, 3e-14  # error of a step, as a share of the tolerance; the least that SciPy takes


class Level:
    """The equation at one resolution.

    Args:
        problem: what moves.
        degree: of the basis.
    """

    def __init__(self, problem: Problem, degree: int) -> None:
        density = problem.density
        kind = next(kind for kind in KINDS if kind.serves(density))
        self.basis = kind.on(density, degree).with_transforms()
        self.method = f"{kind.name}, degree {degree}".capitalize()
        manifold = density.manifold
        self.scale = 1 / manifold.volume
        self.field = problem.field(
            [kernel_on(self.basis, head, manifold, rtol=_CHECKED * problem.rtol) for head in problem.attention.heads]
        )
        self._frame = self.basis.fields(self.basis.nodes)
        self._along: csr_array = csr_array(hstack([along.T for along in self.basis.derivatives]))
        self._decay = problem.diffusivity * self.basis.slopes**2
        self._highest = self.basis.orders > 7 / 8 * degree
        self._noise = _NOISE if problem.diffusivity else 0.0

    def start(self, density: Density) -> np.ndarray:
        """Return the moments of a density (K,)."""
        return self.basis.analyse_density(np.exp(density.log_densities(self.basis.nodes))[:, None])[:, 0]

    def at_nodes(self, moments: np.ndarray) -> np.ndarray:
        """Return the density at the nodes, (M,)."""
        return self.scale * self.basis.rule.synthesise(moments[:, None])[:, 0]

    def at(self, moments: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return densities (T, Q) at points of moments (T, K)."""
        return self.scale * self.basis.synthesise(moments.T, at=points).T

    def rate(self, _: float, moments: np.ndarray) -> np.ndarray:
        """Return d_t c."""
        density = self.at_nodes(moments)
        velocity = self.field.at_nodes(density)
        fluxes = density[:, None] * np.einsum("aqi,qi->qa", self._frame, velocity)
        projected = self.basis.rule.analyse_density(fluxes)
        return self._along @ projected.T.ravel() - self._decay * moments

    def resolves(self, moments: np.ndarray, *, rtol: float) -> bool:
        """Return whether high moments are small and the density is not negative, as far as the tolerance goes."""
        tail = float(np.abs(moments[self._highest]).max())
        if not tail <= max(_TAIL * rtol, _FLOOR, self._noise * step_of(rtol)) * float(np.abs(moments).max()):
            return False
        density = self.at_nodes(moments)
        return bool(density.min() >= -rtol * density.max())

    def missed(self, density: Density, moments: np.ndarray) -> float:
        """Return by how much the density differs from what is made of it, relative to its largest value."""
        rule = self.basis.closely(_SEEN[min(density.manifold.dim, 2) - 1])
        values = np.exp(density.log_densities(rule.nodes))
        return float(np.abs(self.scale * rule.synthesise(moments[:, None])[:, 0] - values).max() / values.max())


class State(NamedTuple):
    """Moments (K,) in the basis of a level at one time, and the step with which they go on, None at the start."""

    time: float
    place: int
    moments: np.ndarray
    step: float | None


class LeftError(UnresolvedError):
    """A density that has left the range of the highest degree, and the last state that was in it."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Run:
    """One way through time, on levels of rising degree.

    Args:
        problem: what moves.
        share: of the degrees of the list, by which two ways differ.
        rtol: of the density.
    """

    def __init__(self, problem: Problem, *, share: float, rtol: float) -> None:
        self._problem, self._rtol = problem, rtol
        self._degrees = [round(share * degree) for degree in _DEGREES[problem.density.manifold.dim]]
        self._levels: dict[int, Level] = {}

    def level(self, place: int) -> Level:
        """Return the level of that place in the list of degrees."""
        if place not in self._levels:
            self._levels[place] = Level(self._problem, self._degrees[place])
        return self._levels[place]

    def start(self) -> State:
        """Return the density that there is at first, at the lowest degree that resolves it.

        Raises:
            LeftError: if none does.
        """
        for place in range(len(self._degrees)):
            level = self.level(place)
            state = State(0.0, place, level.start(self._problem.density), None)
            missed = level.missed(self._problem.density, state.moments)
            if level.resolves(state.moments, rtol=self._rtol) and missed <= self._rtol:
                check_mass(self._problem.density, float(np.log(state.moments[0])))
                return state
        raise LeftError(state, f"degree {level.basis.degree} misses the starting density by {missed:.2g} of its size")

    def advance(self, state: State, time: float) -> State:
        """Return the state at a later time.

        Raises:
            LeftError: if it is not resolved until then.
        """
        while True:
            try:
                return self._steps(state, time)
            except LeftError as left:
                if left.state.place + 1 == len(self._degrees):
                    raise
                state = self._raised(left.state)

    def _steps(self, state: State, time: float) -> State:
        if state.time >= time:
            return state
        level = self.level(state.place)
        tolerance = step_of(self._rtol)
        first = None if state.step is None else min(state.step, time - state.time)
        solver = DOP853(
            level.rate, state.time, state.moments, time, rtol=tolerance, atol=tolerance, first_step=first
        )  # fmt: skip
        while solver.status == "running":
            try:
                words = solver.step()
            except UnresolvedError as error:
                raise LeftError(state, str(error)) from error
            if words is not None:
                raise LeftError(state, f"no step is small enough: {words}")
            if not level.resolves(solver.y, rtol=self._rtol):
                raise LeftError(state, f"degree {level.basis.degree} does not resolve the density")
            state = State(solver.t, state.place, solver.y, solver.h_abs)
        return state

    def _raised(self, state: State) -> State:
        """Return the same state in the basis of the next level."""
        place = state.place + 1
        moments = padded(state.moments, self.level(place).basis.size)
        return state._replace(place=place, moments=moments)


def step_of(rtol: float) -> float:
    """Return the tolerance of steps for that of a density."""
    return max(_STEP * rtol, _LEAST_STEP)


def padded(moments: np.ndarray, size: int) -> np.ndarray:
    """Return moments with zeros for functions of higher degree."""
    return np.concatenate([moments, np.zeros(max(0, size - len(moments)))])
