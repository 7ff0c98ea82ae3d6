"""What the continuum declares is no less than each of its parts: resolutions, lost parts of f, rounding, aliases."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

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


def test_the_error_of_a_spectrum_is_no_less_than_the_residual_of_the_coarse_modes_and_its_rounding():
    error, fine, level, coarse, before = two_resolutions(limit(1e-3), Eigenproblem(4, 1e-3))
    vectors = np.pad(coarse.vectors, ((0, level.basis.size - before.basis.size), (0, 0)))
    residuals = level.semigroup.matrix @ vectors + coarse.values * vectors
    largest = (np.linalg.norm(residuals, axis=0) / np.linalg.norm(vectors, axis=0)).max()
    assert largest > 10 * np.abs(fine.values - coarse.values).max()  # so the residual is what is declared
    assert error >= 0.999 * largest + fine.rounding.max()  # the residual is itself rounded, to 1e-14 of |L|


def test_what_is_lost_of_a_rough_function_is_no_less_than_its_decayed_tail_and_doubts():
    """On the uniform circle e^{tL} multiplies degree k by e^{-k^2 t / 2}, and a step has known coefficients."""
    half, time = 1.1, 0.05  # of the arc where the step is 1, around an angle of 0.4
    solver = af.DriftDiffusion(ATTENTION, af.Uniform(CIRCLE), rtol=1e-3)
    turn = np.array([np.cos(0.4), np.sin(0.4)])
    problem = Evolution(
        lambda x: jnp.where(x @ turn > np.cos(half), 1.0, -1.0), np.array([time]), AT, None, False, True, 1e-3
    )
    _, fine, level, *_ = two_resolutions(solver, problem)
    basis = level.basis
    k = np.arange(basis.degree + 1, 10**6)
    tail = np.sqrt(np.sum((4 * np.sin(k * half) / (np.pi * k)) ** 2) / 2)
    last = np.arange(basis.degree - 3, basis.degree + 1)
    left = np.sqrt(np.sum(2 * np.exp(-(last**2) * time)))  # of the functions of the last four degrees, together
    doubts = basis.at_nodes @ (np.exp(-(basis.orders[:, None] ** 2) * time / 2) * fine.start.doubts)
    assert fine.start.missing >= 0.95 * tail  # its coefficients are sums over nodes, which see a step to one spacing
    assert fine.lost >= 0.999 * (2 * left * fine.start.missing + np.abs(doubts).max())  # rounded


def test_the_error_far_out_on_the_line_is_no_less_than_the_difference_and_the_rounding_that_polynomials_magnify():
    """A quadratic is resolved exactly; ten deviations out its rounding, 1e10 times magnified, is all that errs."""
    far, time = np.array([[0.3 + 10 * np.sqrt(1.4)]]), 0.05
    solver = af.DriftDiffusion(ATTENTION, af.Gaussian(mean=[0.3], covariance=[[1.4]]), rtol=1e-3)
    problem = Evolution(lambda x: x[0] + x[0] ** 2, np.array([time]), far, None, False, False, 1e-3)
    error, fine, level, coarse, before = two_resolutions(solver, problem)
    basis = level.basis
    apart = fine.states[0] - np.pad(coarse.states[0], ((0, basis.size - before.basis.size), (0, 0)))
    difference = (np.abs(basis.evaluate(far)) @ np.abs(apart)).item()
    # A coefficient's rounding is relative to the largest terms of its sum; each decays and is magnified on its own.
    x = basis.nodes[:, 0]
    sizes = np.abs(basis.at_nodes).T @ (basis.weights * np.abs(x + x**2))
    left = scipy.linalg.expm(time * level.semigroup.matrix) * sizes
    noise = np.finfo(float).eps * np.linalg.norm(basis.evaluate(far) @ left)
    assert error >= 0.99 * (noise + difference) + fine.lost  # two ways to exponentiate agree to 1e-10


def test_every_answer_counts_the_rounding_of_its_largest_value():
    flow = af.DriftDiffusion(ATTENTION, af.Uniform(CIRCLE)).evolve(lambda x: 7.0 + x[0], times=1.0, at=AT)
    assert flow.solver_error >= 7e-13
    assert np.abs(flow.values[0] - 7 - np.exp(-0.5) * np.cos(THETA)).max() <= flow.solver_error
