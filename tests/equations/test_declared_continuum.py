"""What the continuum declares is no less than each of its parts: resolutions, lost parts of f, rounding, aliases."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.semigroups.eigenmodes import Eigenproblem
from attnflow.equations.semigroups.evolution import Evolution

ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
CIRCLE = af.Circle()
THETA = np.array([0.0, 0.7, 2.0, 4.0, 5.5])
AT = np.column_stack([np.cos(THETA), np.sin(THETA)])


@functools.cache
def limit(rtol):
    density = af.LogDensity(CIRCLE, lambda x: 1.5 * x[0] + 1.2 * x[0] * x[1])
    return af.DriftDiffusion(ATTENTION, density, rtol=rtol)


def generic(x):
    return jnp.exp(0.8 * x[0] + x[1])


def two_resolutions(solver, problem):
    """The declared error, the solution it belongs to, its level, and the solution of the level before."""
    refinement = solver._solver.refinement
    level, solution, error = refinement.solve(problem, rtol=solver.rtol)
    degrees = list(refinement._basis.degrees(solver.density))
    before = refinement._level(degrees[degrees.index(level.basis.degree) - 1])
    return error, solution, level, problem.solve(before), before


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("time", [0.02, 1.0])
def test_the_error_of_an_evolution_is_no_less_than_the_difference_of_two_resolutions(time, adjoint):
    problem = Evolution(generic, np.array([time]), AT, None, adjoint, True, 1e-3)
    error, fine, level, coarse, before = two_resolutions(limit(1e-3), problem)
    apart = problem.values(level.basis, fine.states) - problem.values(
        level.basis, np.pad(coarse.states, ((0, 0), (0, level.basis.size - before.basis.size), (0, 0)))
    )
    size = np.abs(problem.values(level.basis, fine.states)).max()
    assert (
        error >= np.abs(apart).max() + fine.lost + 0.98e-13 * size
    )  # the difference is itself rounded, to 1e-15 of the size


def test_the_error_of_a_spectrum_is_no_less_than_the_difference_and_its_rounding():
    error, fine, _, coarse, _ = two_resolutions(limit(1e-3), Eigenproblem(4, 1e-3))
    assert error >= np.abs(fine.values - coarse.values).max() + fine.rounding.max()


def test_every_answer_counts_the_rounding_of_its_largest_value():
    flow = af.DriftDiffusion(ATTENTION, af.Uniform(CIRCLE)).evolve(lambda x: 7.0 + x[0], times=1.0, at=AT)
    assert flow.solver_error >= 7e-13
    assert np.abs(flow.values[0] - 7 - np.exp(-0.5) * np.cos(THETA)).max() <= flow.solver_error
