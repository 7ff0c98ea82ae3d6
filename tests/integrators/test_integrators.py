"""Integrators on a motion that is known exactly: their orders, their declared errors, and mergings."""

import dataclasses
import math

import numpy as np
import pytest
from instances import INTEGRATORS

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.integrators.steps import FixedStep


@dataclasses.dataclass
class Pull:
    """Tokens on the unit circle that are pulled to (1, 0): theta' = -sin theta, tan(theta/2) = e^-t tan(theta_0/2).

    As a stream x = r theta they do not come near: turned by 90 degrees the pull goes around, x' = J x/|x|.
    """

    goes_around: bool = False
    manifold = "circle"
    weights = None
    is_reordered = True
    error = 0.0
    method = "by hand"

    def __post_init__(self):
        self.masses = np.full(5, 0.2)
        self.count = 0

    def velocity(self, points, masses, *, tangential=True):
        self.count += 1
        x = self.retract(points)
        if self.goes_around:
            return np.column_stack([-x[:, 1], x[:, 0]])
        pull = np.tile([1.0, 0.0], (len(x), 1))
        return pull - x[:, :1] * x if tangential else pull

    def retract(self, points):
        return points / np.linalg.norm(points, axis=1, keepdims=True)

    def exact(self, start, t):
        angles = np.arctan2(start[:, 1], start[:, 0])
        angles = angles + t if self.goes_around else 2 * np.arctan(math.exp(-t) * np.tan(angles / 2))
        return np.column_stack([np.cos(angles), np.sin(angles)])


ANGLES = np.array([0.3, -1.2, 2.0, -2.6, 1.1])
START = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


class FourStages(FixedStep):
    """Said to be of order four: all its stages are taken at the same point, and so it is Euler's."""

    order = 4

    def step(self, motion, points):
        stages = [motion.velocity(points, motion.masses) for _ in range(4)]
        return motion.retract(points + self.dt / 6 * (stages[0] + 2 * stages[1] + 2 * stages[2] + stages[3]))


def error_of(integrator, motion):
    return np.abs(integrator.solve(motion, START, 1.0).points[0] - motion.exact(START, 1.0)).max()


def shows_its_order(integrator):
    """Whether halving dt divides the error by 2^order, to .05 of the exponent, from the difference of two slopes."""
    motion = Pull(goes_around=isinstance(integrator, af.PreNormStep))
    errors = [error_of(dataclasses.replace(integrator, dt=1 / n), motion) for n in (40, 80, 160)]
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    return abs(2 * slopes[1] - slopes[0] - integrator.order) < 0.05  # slopes miss the order by O(dt): extrapolated


FIXED = {name: integrator for name, integrator in INTEGRATORS.items() if isinstance(integrator, FixedStep)}


@pytest.mark.parametrize("name", FIXED)
def test_every_step_has_the_order_that_it_declares(name):
    assert shows_its_order(FIXED[name])


def test_a_fourth_order_scheme_that_is_euler_inside_is_found_out():
    assert not shows_its_order(FourStages(0.125))
    np.testing.assert_allclose(
        FourStages(0.125).solve(Pull(), START, 1.0).points, af.Layer(0.125).solve(Pull(), START, 1.0).points, atol=1e-15
    )


@pytest.mark.parametrize("rtol", [1e-4, 1e-8, 1e-12, 1e-13])
def test_adaptive_steps_hold_their_declared_error_and_are_of_order_eight(rtol):
    motion = Pull()
    found = af.Adaptive(rtol=rtol).solve(motion, START, [3.0, 0.0, 0.7])
    off = max(np.abs(found.points[k] - motion.exact(START, t)).max() for k, t in enumerate([3.0, 0.0, 0.7]))
    assert off <= found.solver_error + 4e-16
    assert 0 < found.solver_error < 10 * rtol
    np.testing.assert_array_equal(found.points[1], START)
    np.testing.assert_allclose(np.linalg.norm(found.points, axis=2), 1.0, atol=1e-15)
    if rtol == 1e-12:  # a method of order eight takes ten times the steps for 1e8 times the accuracy
        rough = Pull()
        af.Adaptive(rtol=1e-4).solve(rough, START, 3.0)
        assert motion.count < 12 * rough.count


def test_layers_are_counted_and_named():
    with pytest.raises(ConfigError, match=r"n \* dt, got 0.3 with dt 0.125. The two nearest are 0.25 and 0.375"):
        af.Layer(0.125).solve(Pull(), START, [0.25, 0.3])
    found = af.Layer(0.125).solve(Pull(), START, [0.5, 0.125])
    assert found.times.tolist() == [0.5, 0.125]
    assert found.method.startswith("Layer(dt=0.125), 4 layers")


@pytest.mark.parametrize("integrator", [af.LayerNormStep(0.1), af.PreNormStep(0.1)])
def test_a_layer_that_normalises_needs_a_manifold(integrator):
    motion = Pull()
    motion.manifold = None
    with pytest.raises(ConfigError, match="there is no manifold to say how"):
        integrator.solve(motion, START, 0.1)


def test_a_velocity_that_fails_on_the_way_is_named_with_its_time_and_leaves_what_was_found():
    class Fails(Pull):
        def velocity(self, points, masses, *, tangential=True):
            if self.count >= 30:
                raise ConvergenceError("the key weights do not settle.")
            return super().velocity(points, masses)

    with pytest.raises(ConvergenceError, match="layer 31, from time 3: the key weights do not settle") as caught:
        af.Layer(0.1).solve(Fails(), START, [0.0, 1.0, 20.0])
    assert caught.value.trajectory.times.tolist() == [0.0, 1.0, 30 * 0.1]
    with pytest.raises(ConvergenceError, match=r"after time 0\.\d+: the key weights") as caught:
        af.Adaptive(rtol=1e-10).solve(Fails(), START, [0.05, 9.0])
    kept = caught.value.trajectory
    assert kept.times[0] == 0.05
    np.testing.assert_allclose(kept.points[-1], Pull().exact(START, kept.times[-1]), atol=1e-9)


@pytest.mark.parametrize("integrator", [af.Layer(0.1), af.Adaptive()])
def test_tokens_without_a_velocity_are_named_and_not_sought_a_step_for(integrator):
    class Blind(Pull):
        def velocity(self, points, masses, *, tangential=True):
            found = super().velocity(points, masses)
            found[1] = np.nan  # as under a causal mask where the first tokens have no mass
            return found

    with pytest.raises(
        DataError, match=r"(from|after) time 0: 1 velocities are no numbers, the first is that of token 1"
    ):
        integrator.solve(Blind(), START, [0.0, 1.0])


def test_tokens_that_are_near_become_one_with_the_sum_of_their_masses():
    motion = Pull()
    motion.masses = np.array([0.1, 0.2, 0.3, 0.15, 0.25])
    found = af.Adaptive(rtol=1e-9, merge=0.05).solve(motion, START, np.linspace(0.0, 6.0, 13))
    assert [event.tokens for event in found.events][-1] == (0, 1, 2, 3, 4)
    times = [event.time for event in found.events]
    assert times == sorted(times)
    members = list(found.events[0].tokens)
    together = found.points[np.searchsorted(found.times, times[0]) :][:, members]
    np.testing.assert_array_equal(together, together[:, :1].repeat(len(members), axis=1))
    right = np.array([motion.exact(START, t) for t in found.times])
    off = np.linalg.norm(found.points - right, axis=2).max()
    assert 1e-4 < off <= found.solver_error < 0.15  # at most three mergings moved a token, each by less than .05


def test_masks_and_mergings_exclude_each_other():
    motion = Pull()
    motion.is_reordered = False
    with pytest.raises(ConfigError, match="under a mask each has a place of its own"):
        af.Adaptive(merge=0.1).solve(motion, START, 1.0)
