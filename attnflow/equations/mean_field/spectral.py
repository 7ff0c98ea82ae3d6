"""The mean field in a basis: moments of a density, moved by the weak form of its continuity equation.

With rho = w sum_n c_n phi_n and the tight frame of fields X_a of a basis,

    d_t c_n = int rho <v, grad phi_n> dvol - kappa |grad phi_n|^2 c_n,   grad phi_n = sum_a (X_a phi_n) X_a,

where the derivative of phi_0 = 1 is exactly zero: mass is conserved to the last digit.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from scipy.integrate import DOP853
from scipy.sparse import csr_array, hstack

from attnflow.densities.integration import check_mass
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hyperspherical import HypersphericalBasis
from attnflow.equations.mean_field.fields import Field, UnresolvedError
from attnflow.equations.mean_field.kernels import kernel_on
from attnflow.equations.mean_field.problem import Problem

KINDS: tuple[type[Basis], ...] = (FourierBasis, HarmonicBasis, HypersphericalBasis)
# Degrees by dimension, and those of the run that it is compared with: the density must be resolved by both.
_DEGREES = {
    1: (20, 30, 45, 68, 100, 150, 225, 340, 500, 750, 1100),
    2: (10, 15, 20, 28, 40, 56, 80),
    3: (5, 7, 10, 14, 18),
}
_TAIL = 10.0  # times the tolerance of steps, which is what they leave in high moments: the largest one that may be
# Of h |lambda|, up to which steps damp; from 5.9 on those of a wave i k v that is carried along grow, and from 6.4 on
# those of one that decays. Longer ones would be rejected, but only after they have blown up noise in high moments.
_STABLE = 4.5
_CHECKED, _LEAST_CHECKED = 1e-2, 1e-13  # of the tolerance: what a symbol may be off by; where rounding is far below
_STEP = 1e-3  # of the tolerance: error of a step


class Level:
    """The equation at one resolution.

    Args:
        problem: what moves.
        degree: of the basis.
        rtol: of densities.
        step: tolerance of steps.
    """

    def __init__(self, problem: Problem, degree: int, *, rtol: float, step: float) -> None:
        density = problem.density
        kind = next(kind for kind in KINDS if kind.serves(density))
        self.basis = kind.on(density, degree).with_transforms()
        self.method = f"{kind.name}, degree {degree}".capitalize()
        self.scale = 1 / density.manifold.volume
        self._problem, self._rtol, self._step = problem, rtol, step
        self._frame = self.basis.fields(self.basis.nodes)
        self._along: csr_array = csr_array(hstack([along.T for along in self.basis.derivatives]))
        self._decay = problem.diffusivity * self.basis.slopes**2
        self._speed = 0.0  # the largest velocity of the last density of which the rate was asked
        self._highest = self.basis.orders > 7 / 8 * degree

    @functools.cached_property
    def field(self) -> Field:
        """The velocity at the nodes."""
        manifold, rtol = self._problem.density.manifold, max(_CHECKED * self._problem.rtol, _LEAST_CHECKED)
        kernels = [kernel_on(self.basis, head, manifold, rtol=rtol) for head in self._problem.attention.heads]
        return self._problem.field(kernels, settled=self._step)

    def start(self) -> np.ndarray:
        """Return the moments (K,) of the density that there is at first."""
        density = self._problem.density
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
        velocity = np.einsum("aqi,qi->qa", self._frame, self.field.at_nodes(density))
        self._speed = float(np.sqrt((velocity**2).sum(axis=1).max()))
        fluxes = density[:, None] * velocity
        projected = self.basis.rule.analyse_density(fluxes)
        return self._along @ projected.T.ravel() - self._decay * moments

    @property
    def longest_step(self) -> float:
        """The longest step that is stable for the density of which the rate was asked last."""
        fastest = float(self._decay.max() + self._speed * self.basis.slopes.max())
        return _STABLE / fastest if fastest else np.inf

    def resolves(self, moments: np.ndarray) -> bool:
        """Return whether high moments are small and the density is not negative, as far as the tolerance goes."""
        tail = float(np.abs(moments[self._highest]).max())
        if not tail <= _TAIL * self._step * float(np.abs(moments).max()):
            return False
        density = self.at_nodes(moments)
        return bool(density.min() >= -self._rtol * density.max())

    def missed(self, moments: np.ndarray) -> float:
        """Return by how much what is made of the density at first differs from it, relative to its largest value."""
        values = self._problem.seen
        made = self.scale * self.basis.closely(self._problem.seen_nodes).synthesise(moments[:, None])[:, 0]
        return float(np.abs(made - values).max() / values.max())


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
        least_step: tolerance of steps, where that of the density does not allow for more.
    """

    def __init__(self, problem: Problem, *, share: float, rtol: float, least_step: float) -> None:
        self._problem, self._rtol, self._step = problem, rtol, max(_STEP * rtol, least_step)
        self._degrees = [round(share * degree) for degree in _DEGREES[problem.density.manifold.dim]]
        self._levels: dict[int, Level] = {}

    def level(self, place: int) -> Level:
        """Return the level of that place in the list of degrees."""
        if place not in self._levels:
            self._levels[place] = Level(self._problem, self._degrees[place], rtol=self._rtol, step=self._step)
        return self._levels[place]

    def start(self) -> State:
        """Return the density that there is at first, at the lowest degree that resolves it.

        Raises:
            LeftError: if none does.
        """
        for place in range(len(self._degrees)):
            level = self.level(place)
            state = State(0.0, place, level.start(), None)
            if level.resolves(state.moments):
                missed = level.missed(state.moments)
                if missed <= self._rtol:
                    check_mass(self._problem.density, float(np.log(state.moments[0])))
                    return state
        raise LeftError(state, f"degree {level.basis.degree} misses what it is at first")

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
        try:
            level.rate(state.time, state.moments)
            first = None if state.step is None else min(state.step, time - state.time, level.longest_step)
            solver = DOP853(
                level.rate, state.time, state.moments, time, rtol=self._step, atol=self._step, first_step=first
            )
            while solver.status == "running":
                solver.max_step = level.longest_step
                words = solver.step()
                if words is not None:
                    raise LeftError(state, f"no step is small enough: {words}")
                if not level.resolves(solver.y):
                    raise LeftError(state, f"degree {level.basis.degree} does not resolve the density")
                state = State(solver.t, state.place, solver.y, solver.h_abs)
        except LeftError:
            raise
        except UnresolvedError as error:
            raise LeftError(state, str(error)) from error
        return state

    def _raised(self, state: State) -> State:
        """Return the same state in the basis of the next level."""
        place = state.place + 1
        moments = padded(state.moments, self.level(place).basis.size)
        return state._replace(place=place, moments=moments)


def padded(moments: np.ndarray, size: int) -> np.ndarray:
    """Return moments with zeros for functions of higher degree."""
    return np.concatenate([moments, np.zeros(max(0, size - len(moments)))])
