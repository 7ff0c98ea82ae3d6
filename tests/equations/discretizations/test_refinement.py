"""The first question is followed through time by sums, later ones by exponentials that are kept: with one answer."""

import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow.equations.semigroups.evolution import Evolution

TORUS = af.FlatTorus(2)
DENSITY = af.LogDensity(TORUS, lambda x: 0.5 * x[0] - 0.4 * x[1] * x[2] + 0.3 * x[3])
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
RTOL = 1e-8  # for which degree 16 is needed
AT = TORUS.sample_uniform(30, np.random.default_rng(0))


def f(x):
    return jnp.exp(0.7 * x[0] + 0.4 * x[3])


def rough(x):
    return jnp.tanh(20 * (x[0] + 0.3 * x[2]))


def many(x):
    return jnp.stack([f(x), x[0], x[1], x[2], x[3]])


def problem_of(function, times, *, adjoint=False):
    return Evolution(function, np.array(times), AT, None, adjoint, True, RTOL)


def refinement():
    return af.DriftDiffusion(ATTENTION, DENSITY)._solver.refinement


def test_the_first_question_needs_no_matrix_and_the_second_has_the_same_answer():
    solver, problems = refinement(), [problem_of(f, [0.1, 0.4], adjoint=True) for _ in range(2)]
    answers = [solver.solve(problem, rtol=RTOL) for problem in problems]
    first, second = (level for level, *_ in answers)
    assert (first.has_matrix, second.has_matrix) == (False, True)
    assert first.basis.degree == second.basis.degree == 16
    values, others = (problems[0].values(level.basis, solution.states, at=AT) for level, solution, _ in answers)
    np.testing.assert_allclose(values, others, rtol=0, atol=1e-12)  # where values are of order one


def test_many_components_rough_functions_and_long_times_are_left_to_a_matrix():
    level = refinement()._level(16, has_matrix=False)
    assert problem_of(f, [0.3]).is_swift(level)
    assert not problem_of(many, [0.3]).is_swift(level)
    assert not problem_of(rough, [0.3]).is_swift(level)
    assert not problem_of(f, [30.0]).is_swift(level)
    assert not problem_of(f, [0.1, 0.15, 0.2, 0.25, 0.3]).is_swift(level)
