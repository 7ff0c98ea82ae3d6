"""Rational Krylov for large sparse generators: closed forms at any stiffness, errors declared, structure kept."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

from attnflow.equations.semigroups import rational_krylov
from attnflow.equations.semigroups.rational_krylov import propagate
from attnflow.errors import ConvergenceError


def chain(n, log_law, *, drift=0.0):
    """Jumps on n places of a circle that keep the law e^{log_law} in detailed balance, but for a constant drift."""
    h = 2 * np.pi / n
    places = h * (np.arange(n) + 0.5)
    values = log_law(places)
    steps = np.roll(values, -1) - values + 2 * drift * h
    forward, backward = (
        np.where(step == 0, 1.0, step / np.expm1(np.where(step == 0, 1, step))) / (2 * h * h)
        for step in (-steps, steps)
    )
    here, there = np.arange(n), (np.arange(n) + 1) % n
    jumps = scipy.sparse.coo_array(
        (np.concatenate([forward, backward]), (np.concatenate([here, there]), np.concatenate([there, here])))
    ).tocsr()
    law = np.exp(values - values.max())
    return places, scipy.sparse.csr_array(jumps - scipy.sparse.diags_array(jumps.sum(axis=1))), law / law.sum()


def lopsided(places):
    return 1.4 * np.cos(places) + 0.6 * np.sin(2 * places)


@pytest.mark.parametrize("n", [64, 4096])
@pytest.mark.parametrize("drift", [0.0, 3.0])
def test_waves_decay_as_the_eigenvalues_of_the_circulant_say_on_any_grid(n, drift):
    places, generator, law = chain(n, np.zeros_like, drift=drift)
    first = generator.tocsr()[[0]].toarray()[0]
    rate = first @ np.exp(3j * (places - places[0]))  # of e^{3 i t}
    times = np.array([2.0, 0.0, 1e-3, 0.3])
    found = propagate(generator, np.cos(3 * places)[:, None], times=times, law=law, tolerance=1e-11)
    expected = (np.exp(np.outer(times, [rate])) * np.exp(3j * places)).real
    assert found.error < 1e-11
    # The entries of the matrix are rounded to 1e-16 of the fastest rate, n^2 / (4 pi^2).
    rounding = 1e-15 + 2e-16 * n**2 / 40
    np.testing.assert_allclose(found.states[:, :, 0], expected, rtol=0, atol=found.error + rounding)


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-8, 1e-12])
def test_the_declared_error_holds_at_every_tolerance(adjoint, tolerance):
    places, generator, law = chain(64, lopsided)
    initial = np.column_stack([np.exp(np.sin(places)), np.random.default_rng(1).normal(size=64)])
    times = np.array([1e-3, 0.04, 1.7])
    matrix = generator.toarray()
    expected = np.stack([scipy.linalg.expm(time * (matrix.T if adjoint else matrix)) @ initial for time in times])
    found = propagate(generator, initial, times=times, law=law, tolerance=tolerance, adjoint=adjoint)
    assert found.error <= tolerance * np.abs(initial).max()
    np.testing.assert_allclose(found.states, expected, rtol=0, atol=found.error + 1e-12)  # what expm rounds


def test_an_error_that_is_declared_too_small_would_be_seen(monkeypatch):
    monkeypatch.setattr(rational_krylov, "_SAFETY", 1e-6)
    with pytest.raises(AssertionError):
        test_the_declared_error_holds_at_every_tolerance(False, 1e-4)


def test_constants_mass_and_the_law_are_kept():
    places, generator, law = chain(200, lopsided)
    times = np.array([0.01, 1.0, 1e6])
    ones = propagate(generator, np.ones((200, 1)), times=times, law=law, tolerance=1e-6)
    np.testing.assert_allclose(ones.states, 1, rtol=0, atol=1e-14)
    density = 1 + 0.7 * np.sin(places) + 0.2 * np.cos(5 * places)
    found = propagate(generator, density[:, None], times=times, law=law, tolerance=1e-6, adjoint=True)
    np.testing.assert_allclose(found.states[:, :, 0].sum(axis=1), density.sum(), rtol=1e-14)
    np.testing.assert_allclose(found.states[-1, :, 0], density.sum() * law, rtol=1e-6)  # the tolerance


def test_a_mass_matrix_makes_the_generator_of_finite_elements():
    # Elements of degree one on the circle: cos 3t is an eigenvector of mass and stiffness alike.
    n = 300
    h = 2 * np.pi / n
    places = h * np.arange(n)
    shift = scipy.sparse.csr_array(scipy.sparse.eye_array(n).tocsr()[(np.arange(n) + 1) % n])
    both = shift + shift.T
    mass = h * (4 * scipy.sparse.eye_array(n) + both) / 6
    stiffness = (both - 2 * scipy.sparse.eye_array(n)) / (2 * h)
    rate = (np.cos(3 * h) - 1) / h / (h * (2 + np.cos(3 * h)) / 3)
    for adjoint in (False, True):
        found = propagate(
            scipy.sparse.csr_array(stiffness),
            np.cos(3 * places)[:, None],
            times=np.array([0.7]),
            law=np.full(n, 1 / n),
            mass=scipy.sparse.csr_array(mass),
            tolerance=1e-11,
            adjoint=adjoint,
        )
        np.testing.assert_allclose(found.states[0, :, 0], np.exp(0.7 * rate) * np.cos(3 * places), rtol=0, atol=1e-11)


def springs(n=160):
    """Springs of very different strength along a chain, on masses that overlap: rates from 1e-1 to 1e6."""
    generator = np.random.default_rng(8)
    stiffness, masses = np.exp(1.5 * generator.standard_normal(n - 1)) * n, np.exp(generator.standard_normal(n - 1)) / n
    steps = np.diff(np.eye(n), axis=0)
    middles = np.abs(steps)
    mass = middles.T @ (masses[:, None] * middles) / 6 + np.diag(middles.T @ masses) / 6
    start = np.column_stack([generator.standard_normal(n), np.sign(np.arange(n) - 70.5), generator.random(n)])
    return steps.T @ (stiffness[:, None] * steps), mass, start


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize(("tolerance", "steps"), [(1e-4, 30), (1e-8, 72)])
def test_what_is_rough_at_first_takes_few_steps_and_errs_by_less_than_declared(adjoint, tolerance, steps, monkeypatch):
    # 24 and 66 are taken. By the size of the residual at first, rather than by its mean in time, it were 72 and 114.
    monkeypatch.setattr(rational_krylov, "_MOST", steps)
    stiffness, mass, start = springs()
    times = np.array([0.3, 9.0, 0.02, 1.0])
    rates, modes = scipy.linalg.eigh(stiffness, mass)
    decays = np.exp(-np.multiply.outer(times, rates - rates[0]))  # the first is zero but for rounding
    before, after = (modes.T, mass @ modes) if adjoint else (modes.T @ mass, modes)
    exact = np.einsum("ik,tk,kc->tic", after, decays, before @ start)
    found = propagate(
        scipy.sparse.csr_array(-stiffness),
        start,
        times=times,
        law=mass.sum(axis=0) / mass.sum(),
        mass=scipy.sparse.csr_array(mass),
        tolerance=tolerance,
        adjoint=adjoint,
    )
    assert found.error <= tolerance * np.abs(start).max()
    # Eigenvalues of a matrix as large as 1e6 are known to 1e-10 only.
    np.testing.assert_allclose(found.states, exact, rtol=0, atol=found.error + 1e-9)
    monkeypatch.setattr(rational_krylov, "_MOST", 8)
    with pytest.raises(ConvergenceError, match=r"after 8 steps the residual leaves an error of"):
        propagate(scipy.sparse.csr_array(-stiffness), start, times=times, tolerance=tolerance)


def test_without_a_law_a_generator_that_kills_is_served():
    generator = scipy.sparse.diags_array([-1.0, -40.0, -1e7])
    found = propagate(generator, np.ones((3, 1)), times=np.array([0.1, 2.0]), tolerance=1e-10)
    expected = np.exp(np.outer([0.1, 2.0], [-1.0, -40.0, -1e7]))
    np.testing.assert_allclose(found.states[:, :, 0], expected, rtol=0, atol=found.error)


def test_what_grows_or_turns_too_fast_is_refused():
    # Waves that turn a hundred times before they decay are outside of what poles on the real axis resolve.
    turning = scipy.sparse.block_diag([[[0.0, 100.0 * k], [-100.0 * k, 0.0]] for k in range(1, 200)]).tocsr()
    with pytest.raises(ConvergenceError, match=r"after \d+ steps the residual leaves"):
        propagate(turning, np.ones((398, 1)), times=np.array([3.0]), tolerance=1e-10)
