"""Laws of tokens that move, over all integrators."""

import numpy as np
import pytest
from instances import INTEGRATORS

import attnflow as af

SPHERE = af.Sphere(2)
TOKENS = SPHERE.sample_uniform(9, np.random.default_rng(2))
VALUE = np.array([[0.6, 0.2, -0.3], [0.1, -0.4, 0.5], [0.2, 0.3, 0.8]])
FLOW = af.TokenFlow(af.Attention(af.QueryKey(VALUE, VALUE[::-1]), bandwidth=0.4), VALUE, manifold=SPHERE, centred=True)


@pytest.fixture(params=INTEGRATORS)
def integrator(request):
    return INTEGRATORS[request.param]


def end(tokens, integrator, time=0.5):
    return FLOW.evolve(tokens, time, integrator=integrator).points[0]


def tolerance(integrator):
    """What two ways to the same tokens may differ by: rounding, or the tolerance of adaptive steps."""
    return 1e-13 if hasattr(integrator, "dt") else 1e-7


def test_tokens_in_another_order_move_alike(integrator):
    order = np.random.default_rng(0).permutation(len(TOKENS))
    np.testing.assert_allclose(
        end(TOKENS[order], integrator), end(TOKENS, integrator)[order], rtol=0, atol=tolerance(integrator)
    )


def test_a_token_that_is_there_twice_is_one_of_twice_the_mass(integrator):
    heavy = af.DiscreteMeasure(TOKENS, np.where(np.arange(9) == 4, 2.0, 1.0))
    twice = end(np.vstack([TOKENS, TOKENS[4:5]]), integrator)
    once = FLOW.evolve(heavy, 0.5, integrator=integrator)
    np.testing.assert_allclose(twice[:9], once.points[0], rtol=0, atol=tolerance(integrator))
    np.testing.assert_allclose(twice[9], twice[4], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(once.weights, heavy.masses)


def test_two_evolutions_one_after_the_other_are_one(integrator):
    if isinstance(integrator, af.PreNormStep):
        return  # its stream leaves the sphere, where a flow does not begin
    half = end(TOKENS, integrator, 0.25)
    np.testing.assert_allclose(end(half, integrator, 0.25), end(TOKENS, integrator), rtol=0, atol=tolerance(integrator))


def test_time_zero_is_the_start_and_tokens_stay_where_they_belong(integrator):
    moved = FLOW.evolve(TOKENS, [0.0, 1.0], integrator=integrator)
    np.testing.assert_array_equal(moved.points[0], TOKENS)
    radii = np.linalg.norm(moved.points[1], axis=1)
    if isinstance(integrator, af.PreNormStep):
        assert np.ptp(radii) > 0.1
    else:
        np.testing.assert_allclose(radii, 1.0, atol=1e-15)


def test_the_declared_error_holds_against_a_tighter_flow(integrator):
    moved = FLOW.evolve(TOKENS, 0.5, integrator=integrator)
    assert moved.solver_error < 1e-7
    if not hasattr(integrator, "dt"):
        tight = end(TOKENS, af.Adaptive(rtol=1e-12))
        assert np.linalg.norm(moved.points[0] - tight, axis=1).max() <= moved.solver_error
