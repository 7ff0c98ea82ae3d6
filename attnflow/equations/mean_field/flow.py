"""The mean field of attention: infinitely many tokens that move."""

from __future__ import annotations

import numpy as np

from attnflow._checks import check_flag, check_real, check_times, check_tolerance, check_value
from attnflow._words import in_brief
from attnflow.attention import Attending, check_attention
from attnflow.densities.base import Density, check_density
from attnflow.equations.mean_field.finite_volume import CellSolver
from attnflow.equations.mean_field.problem import Answer, BrokenOffError, Problem, Solver
from attnflow.equations.mean_field.solver import SpectralSolver
from attnflow.equations.mean_field.spectral import KINDS
from attnflow.equations.solvers.finite_volume import FiniteVolume
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.manifolds.sphere import Sphere
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.trajectories import Trajectory


class MeanFieldFlow:
    r"""The law of infinitely many tokens that move by attention to one another, on circles, flat tori, S^2 and S^3.

        d_t mu + div(mu v[mu]) = kappa Lap mu,   v[mu](x) = P_x V (A_mu id)(x),

    or P_x V (A_mu id - x) if centred, P_x the projection on the tangent space; with several heads
    sum_h (A_h id) W_h is in place of A id [Sk, G]. The tokens of a TokenFlow tend to it as they become many.

    The density is known by its moments in a basis; the degree rises by itself as the density sharpens. Everything is
    done twice, at two degrees and two sizes of steps, and the difference is declared as `solver_error`. Mass is exact.
    Costs whose kernels the basis diagonalises, such as squared distances and dot products, serve at any bandwidth and
    degree; others as long as a matrix between the nodes can be held. FiniteVolume(cells=) is another way on the circle,
    where no density is negative, to a much larger tolerance.

    Args:
        attention: one attention, or several heads, without a mask; not entmax.
        density: mu at t = 0.
        value: V, a number or a matrix (D, D) that acts on columns, as in V x.
        centred: whether the token itself is subtracted.
        rtol: max |error| <= rtol max mu, over space and the times asked. Rounding leaves 1e-12 to 1e-11, and up to 1e-9
            where tokens gather; what is not reached is refused.
        diffusivity: kappa >= 0, of noise dx = v dt + sqrt(2 kappa) dB.
        discretization: "auto", or FiniteVolume(cells=) on the circle.

    Raises:
        ConfigError: if an argument is none of these, or the manifold is not served.
        DataError: if V has another shape or the density is not normalised.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> circle, attention = af.Circle(), af.Attention(af.DotProduct(), bandwidth=0.2)
        >>> start = af.VonMisesFisher(circle, mean_direction=[1, 0], concentration=0.7)
        >>> flow = af.MeanFieldFlow(attention, start).evolve(times=[0.0, 3.0], at=circle.quadrature(255))
        >>> bool(abs(flow.values @ flow.weights - 1).max() < 1e-12)  # the mass
        True
        >>> bool(flow.values[1].max() > 1.5 * flow.values[0].max())  # tokens gather
        True
    """

    def __init__(
        self,
        attention: Attending,
        density: Density,
        *,
        value: object = 1.0,
        centred: bool = False,
        rtol: float = 1e-8,
        diffusivity: float = 0.0,
        discretization: str | FiniteVolume = "auto",
    ) -> None:
        self.attention = check_attention(attention, known=True)
        self.density = check_density(density)
        self.rtol = check_tolerance(rtol, "rtol")
        dim = density.manifold.ambient_dim
        self.value = check_value(value, dim)
        self.attention.check_mixes(dim)
        self.centred = check_flag(centred, "centred")
        self.diffusivity = check_diffusivity(diffusivity)
        self._check_served()
        matrix = self.value * np.eye(dim) if self.value.ndim == 0 else self.value
        problem = Problem(self.attention, density, matrix, self.centred, self.diffusivity, self.rtol)
        self._solver = self._choose(discretization, problem)

    def __repr__(self) -> str:
        words = [repr(self.attention), repr(self.density), f"value={in_brief(self.value)}"]
        words += ["centred=True"] if self.centred else []
        words += [f"diffusivity={self.diffusivity:g}"] if self.diffusivity else []
        return f"MeanFieldFlow({', '.join(words)})"

    def evolve(self, times: object, at: object = None) -> Trajectory:
        """Return the densities mu_t with respect to dvol at points.

        Args:
            times: t >= 0, one or many, in any order.
            at: points (Q, D), or a DiscreteMeasure or Trajectory, whose weights the answer then carries; required.

        Returns:
            Values (T, Q).

        Raises:
            ConfigError: if a time is negative or `at` is missing.
            ConvergenceError: if the density leaves the range that the highest degree resolves, with the time at which
                it does; the attribute `trajectory` is what is known until then, or None.
        """
        instants = check_times(times)
        measure = self._queries(at)
        rising, places = np.unique(instants, return_inverse=True)
        try:
            answer = self._solver.evolve(rising, points=measure.points)
        except BrokenOffError as error:
            raised = ConvergenceError(str(error))
            raised.trajectory = None if error.answer is None else _trajectory(error.answer, measure)  # type: ignore[attr-defined]
            raise raised from error
        return _trajectory(answer._replace(times=instants, values=answer.values[places]), measure)

    def velocity(self, at: object = None) -> np.ndarray:
        """Return the velocity v[mu] of the density at t = 0 at points (Q, D), (Q, D)."""
        return self._solver.velocity(self._queries(at).points)

    def _check_served(self) -> None:
        manifold = self.density.manifold
        if not any(kind.serves(self.density) for kind in KINDS):
            raise ConfigError(
                f"a mean field is solved on the circle, FlatTorus(1) to (3), Sphere(2) and Sphere(3), got "
                f"{type(self.density).__name__} on {manifold}. Use a TokenFlow, or, for Gaussian laws on R^d, a "
                "GaussianClosure."
            )
        for head in self.attention.heads:
            if head.rows == "threshold":
                raise ConfigError(
                    f"`normalization` = {head.normalization!r} sees how many tokens there are, and has no mean field. "
                    "Use a TokenFlow, or softmax."
                )
            if head.pseudometric.is_kernel:
                raise ConfigError(
                    f"{type(head.pseudometric).__name__} may be negative, and a mean field needs positive weights. Use "
                    "the cost that it stands for."
                )

    def _choose(self, discretization: object, problem: Problem) -> Solver:
        if isinstance(discretization, FiniteVolume):
            if discretization.cells is None or self.density.manifold != Sphere(1):
                raise ConfigError(
                    "`discretization` = FiniteVolume(cells=...) needs a number of cells, and serves the circle, got "
                    f"{discretization!r} on {self.density.manifold}. Pass 'auto'."
                )
            return CellSolver(problem, cells=discretization.cells)
        if discretization != "auto":
            raise ConfigError(f"`discretization` must be 'auto' or FiniteVolume(cells=...), got {discretization!r}.")
        return SpectralSolver(problem)

    def _queries(self, at: object) -> DiscreteMeasure:
        if at is None:
            raise ConfigError("`at` is required: a density has no points of its own. Pass points (Q, D).")
        measure = as_measure(at, "at")
        self.density.manifold.check(measure.points, "at")
        return measure


def _trajectory(answer: Answer, measure: DiscreteMeasure) -> Trajectory:
    return Trajectory(answer.times, measure.points, answer.values, measure.masses, answer.error, method=answer.method)


def check_diffusivity(diffusivity: object) -> float:
    """Return a diffusivity that is not negative."""
    number = check_real(diffusivity, "diffusivity")
    if number < 0:
        raise ConfigError(
            f"`diffusivity` must not be negative, got {number:g}: it would be the heat equation backwards, in which "
            "waves of length 1/k grow like exp(k^2 t), so that no density has a future. Pass its positive."
        )
    return number
