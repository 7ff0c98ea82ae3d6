"""The semigroup of an operator that is only applied: against matrices, with its residual watched."""

import numpy as np
import pytest
from scipy.linalg import expm

import attnflow as af
from attnflow.equations.discretizations.applied import AppliedOperator
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hyperspherical import HypersphericalBasis
from attnflow.equations.semigroups import krylov
from attnflow.equations.semigroups.dense import Semigroup
from attnflow.equations.semigroups.krylov import KrylovSemigroup

BASES = {
    "sphere": lambda: HarmonicBasis(af.Sphere(2), 9),
    "three-sphere": lambda: HypersphericalBasis(af.Sphere(3), 5),
    "torus of three angles": lambda: FourierBasis(af.FlatTorus(3), 3),
}


class Dense:
    """A matrix that is only applied; it counts how often."""

    def __init__(self, matrix):
        self.matrix, self.norm, self.count = matrix, np.linalg.norm(matrix, axis=0).max(), 0
        self.sizes = np.linalg.norm(matrix, axis=0)

    def apply(self, columns, *, adjoint):
        self.count += 1
        return (self.matrix.T if adjoint else self.matrix) @ columns


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("is_plain", [True, False])
def test_what_is_applied_is_the_matrix(name, is_plain):
    basis = BASES[name]()
    transformed = basis.with_transforms()

    def tensors(points):
        fields = basis.fields(points)
        scale = 1.0 if is_plain else 1 + 0.3 * points[:, 0]
        diffusions = np.einsum("aqi,q,aqj->qij", fields, scale * np.ones(len(points)), fields)
        if not is_plain:  # and not isotropic
            diffusions += 0.4 * np.einsum("qi,qj->qij", fields[0], fields[0])
        return {"diffusions": diffusions, "drifts": fields[1] * (0.5 + points[:, -1:])}

    matrix = basis.operator(**tensors(basis.nodes))
    operator = AppliedOperator(transformed, **tensors(transformed.nodes))
    one = np.eye(basis.size)
    # Sums of terms of up to 9^2.
    np.testing.assert_allclose(operator.apply(one, adjoint=False), matrix, rtol=0, atol=1e-11)
    np.testing.assert_allclose(operator.apply(one, adjoint=True), matrix.T, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(operator.apply(one[:, :1], adjoint=False), 0)  # constants stay
    np.testing.assert_array_equal(operator.apply(one, adjoint=True)[0], 0)  # and the adjoint conserves mass
    assert (operator.sizes >= np.linalg.norm(matrix, axis=0) * (1 - 1e-12)).all()


def stiff(size=300, seed=0):
    """A matrix that is not normal, with rates from 0 to 3000."""
    generator = np.random.default_rng(seed)
    matrix = -np.diag(np.linspace(0, np.sqrt(3000), size) ** 2)
    return matrix + np.triu(generator.normal(size=(size, size)), 1)


@pytest.mark.parametrize("adjoint", [False, True])
def test_states_are_those_of_the_exponential(adjoint):
    matrix = stiff()
    columns = np.random.default_rng(1).normal(size=(300, 3)) * [1.0, 1e-6, 0.0]
    times = np.array([0.3, 0.0, 0.01, 2.0, 0.3])
    states = KrylovSemigroup(Dense(matrix)).propagate(columns, times=times, adjoint=adjoint)
    for time, state in zip(times, states, strict=True):
        expected = expm(time * (matrix.T if adjoint else matrix)) @ columns
        # Rounding relative to the size of a column, a hundred times that of one operation.
        scale = np.maximum(np.linalg.norm(columns, axis=0), 1e-300)
        np.testing.assert_allclose(state / scale, expected / scale, rtol=0, atol=1e-12)


def test_a_ladder_falls_from_the_longest_step_to_the_fastest_scale():
    operator = Dense(stiff())
    columns = np.random.default_rng(2).normal(size=(300, 2))
    states, rungs, climbed = KrylovSemigroup(operator).follow(columns, watched=1, times=np.array([0.5]))
    assert rungs[0] == 0.5
    assert 1 / 8 < rungs[-1] * operator.norm < 8
    # As that of a matrix does, with which it is compared.
    several, times = KrylovSemigroup(operator), np.array([0.2, 0.5])
    of_matrix, _ = Semigroup(operator.matrix).ladder(columns, times=times)
    np.testing.assert_array_equal(several.follow(columns, watched=1, times=times)[1][:3], of_matrix[:3])
    assert climbed.shape == (len(rungs), 300, 1)
    np.testing.assert_allclose(climbed[0, :, 0], states[0, :, 0], rtol=0, atol=0)
    np.testing.assert_allclose(climbed[1, :, 0], expm(operator.matrix / 16) @ columns[:, 0], rtol=0, atol=1e-12)


def test_one_space_is_enough_where_only_slow_modes_are_left():
    operator = Dense(np.diag(-np.arange(300.0)))
    start = np.zeros((300, 1))
    start[[0, 3, 7]] = 1.0
    states = KrylovSemigroup(operator).propagate(start, times=np.array([50.0]))
    np.testing.assert_allclose(states[0, :, 0], np.exp(-50 * np.arange(300.0)) * start[:, 0], rtol=0, atol=1e-14)
    assert operator.count <= 24


def test_without_its_check_a_stiff_problem_is_answered_wrongly(monkeypatch):
    # The trap of a single space: 160 vectors do not reach e^{2A} with rates up to 3000.
    columns = np.random.default_rng(1).normal(size=(300, 1))
    expected = expm(2 * stiff()) @ columns
    monkeypatch.setattr(krylov._Space, "_reach_of", lambda self, column, time, rate: time)
    wrong = KrylovSemigroup(Dense(stiff())).propagate(columns, times=np.array([2.0]))[0]
    assert np.abs(wrong - expected).max() > 1e-3
