"""The drift-diffusion of a manifold that is given by a map, solved on the manifold that is mapped.

The formula of the generator holds in every chart: with D(phi(x), phi(y)) for the cost, p(phi) times the volume element
for the density and f(phi) for f, the solution on R is u(phi).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._programs import at_point
from attnflow._values import static, value
from attnflow.densities.base import Density
from attnflow.densities.pulled_back import pull_back
from attnflow.equations.expansions.base import Expansion
from attnflow.equations.solvers.base import Answer, Discretization, Solver
from attnflow.errors import ConvergenceError
from attnflow.manifolds.embedded import EmbeddedManifold
from attnflow.trajectories import Spectrum


@value
class PulledBack(Discretization):
    """The solution on R of what is asked on M = phi(R).

    Args:
        reference: how it is solved on R.
    """

    reference: Discretization = static()

    name = "pulled back"

    @property
    def domain(self) -> str:
        return self.reference.domain

    def serves(self, density: Density) -> bool:
        return isinstance(density.manifold, EmbeddedManifold) and self.reference.serves(pull_back(density))

    def solver(self, expansion: Expansion, density: Density, *, rtol: float) -> PulledBackSolver:
        pulled = pull_back(density)
        make = functools.partial(self.reference.solver, expansion.pulled_back(pulled), pulled)
        return PulledBackSolver(make, pulled.image, rtol=rtol)


class PulledBackSolver(Solver):
    """A drift-diffusion on M = phi(R), by one on R.

    A density on M is one on R over the volume element, and so is its error, which then counts the more, relative to the
    largest value, the more that element varies: a solver of a smaller tolerance answers for densities.

    Args:
        make: the map from `rtol` to a solver on R.
        image: M.
        rtol: max |error| <= rtol max |u|.
    """

    def __init__(self, make: Callable[..., Solver], image: EmbeddedManifold, *, rtol: float) -> None:
        self._make = make
        self._image = image
        self._rtol = rtol

    def evolve(
        self, f: Callable, *, times: np.ndarray, points: np.ndarray, weights: np.ndarray | None, adjoint: bool
    ) -> Answer:
        places = self._image.places(points)
        solver = self._of_densities if adjoint else self._of_functions
        mapped = Mapped(f, self._image, adjoint)
        with self._told_on_image():
            values, error, method = solver.evolve(mapped, times=times, points=places, weights=weights, adjoint=adjoint)
        if adjoint:
            volumes = self._image.volume_elements(places)
            values = values / volumes.reshape(-1, *[1] * (values.ndim - 2))
            error /= self._image.volume_range[0]
        return Answer(values, error, f"{method}, on {self._image.reference}")

    def spectrum(self, count: int) -> Spectrum:
        with self._told_on_image():
            found = self._of_functions.spectrum(count)
        return found._replace(eigenfunctions=MappedEigenfunctions(found.eigenfunctions, self._image))

    @functools.cached_property
    def _of_functions(self) -> Solver:
        return self._make(rtol=self._rtol)

    @functools.cached_property
    def _of_densities(self) -> Solver:
        least, largest = self._image.volume_range
        return self._make(rtol=self._rtol * least / largest)

    @contextlib.contextmanager
    def _told_on_image(self) -> Iterator[None]:
        """Tell whose points those in an error are."""
        try:
            yield
        except ConvergenceError as error:
            words = f"on {self._image}, whose points are those of {self._image.reference} by its map: {error}"
            raise ConvergenceError(words) from error


@dataclass(frozen=True)
class Mapped:
    """The function f(phi(theta)) on R of a function f on M, times the volume element where f is a density."""

    f: Callable
    image: EmbeddedManifold
    is_density: bool

    def __call__(self, theta: jax.Array) -> jax.Array:
        value = at_point(self.f, self.image.embed(theta))
        return value * jnp.exp(self.image.log_volume_element(theta)) if self.is_density else value


@dataclass(frozen=True)
class MappedEigenfunctions:
    """The map from points (Q, D) on M to the values (Q, k) there, from those on R."""

    on_reference: Callable[[np.ndarray], np.ndarray]
    image: EmbeddedManifold

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.on_reference(self.image.places(self.image.check(points, "points")))
