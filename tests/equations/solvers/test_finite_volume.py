"""Finite volumes: order two, extrapolated to many digits, and what one grid keeps in floating point."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from witnesses import circle_semigroup
from witnesses.trigonometric import trigonometric

import attnflow as af
from attnflow._lifting import evaluate
from attnflow.equations.discretizations import exponential_fitting
from attnflow.equations.discretizations.cells import cells_of
from attnflow.equations.expansions.laplace import LaplaceExpansion
from attnflow.equations.solvers.finite_volume import FiniteVolume, Level
from attnflow.errors import ConfigError, ConvergenceError

CIRCLE, TORUS, SPHERE, INTERVAL = af.Circle(), af.FlatTorus(2), af.Sphere(2), af.Interval(-0.5, 1.7)
CELLS = {"circle": 64, "interval": 64, "torus": 16, "sphere": 16}
PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)
THETA = np.linspace(0.1, 6.2, 37)
ON_CIRCLE = np.column_stack([np.cos(THETA), np.sin(THETA)])


def generic_f(x):  # no symmetry that would make a conserved quantity zero; flat at the ends of the interval
    if len(x) == 1:
        return jnp.exp(jnp.cos(jnp.pi * (x[0] + 0.5) / 2.2))
    return jnp.exp(x[-1] + x[0] / 2) + x[0]


def bump(x):  # a density a tenth of a radian wide, around a point of the manifold
    centre = jnp.array([0.6, 0.8, 0.0] if len(x) == 3 else [0.6, 0.8, 1.0, 0.0][: len(x)])
    return jnp.exp(-50 * jnp.sum((x - centre) ** 2))


@functools.cache
def density(name):
    return {
        "circle": lambda: af.LogDensity(CIRCLE, lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1]),
        "torus": lambda: af.LogDensity(TORUS, lambda x: 0.4 * x[0] + 0.3 * x[1] * x[2]),
        "sphere": lambda: af.LogDensity(SPHERE, lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1]),
        "interval": lambda: af.LogDensity(INTERVAL, lambda x: 0.7 * x[0] + 0.4 * jnp.sin(2 * x[0])),
    }[name]()


@functools.cache
def spectral(name):
    return af.DriftDiffusion(PLAIN, density(name), rtol=1e-10)


@functools.cache
def on_grid(name, cells, rtol=0.5):
    return af.DriftDiffusion(PLAIN, density(name), rtol=rtol, discretization=FiniteVolume(cells))


every_kind = pytest.mark.parametrize("name", list(CELLS))


@pytest.mark.parametrize(
    ("name", "rtol", "within"),
    [("circle", 1e-10, 1e-10), ("interval", 1e-8, 1e-9), ("torus", 1e-6, 1e-7), ("sphere", 1e-4, 1e-4)],
)
def test_extrapolated_values_agree_with_the_spectral_ones(name, rtol, within):
    limit = af.DriftDiffusion(PLAIN, density(name), rtol=rtol, discretization=FiniteVolume())
    points = density(name).spread(30)[:30]
    for method in ("evolve", "adjoint_evolve"):
        found = getattr(limit, method)(generic_f, times=[0.05, 0.5, 4.0], at=points)
        truth = getattr(spectral(name), method)(generic_f, times=[0.05, 0.5, 4.0], at=points)
        error = np.abs(found.values - truth.values).max()
        assert error < min(within, found.solver_error)
        assert found.solver_error <= rtol * np.abs(evaluate(generic_f, points)).max() * 2
        assert "extrapolated" in found.method


def test_the_circle_of_the_witness_is_met_to_eleven_digits():
    limit = af.DriftDiffusion(PLAIN, density("circle"), rtol=1e-11, discretization=FiniteVolume())
    flow = limit.evolve(lambda x: x[1] + 0.5 * (4 * x[0] ** 3 - 3 * x[0]), times=0.5, at=ON_CIRCLE)
    log_p = trigonometric(cosines={1: 0.7}, sines={2: 0.3})
    expected = circle_semigroup.evolve(
        THETA, time=0.5, log_density=log_p, f=trigonometric(cosines={3: 0.5}, sines={1: 1.0})
    )
    np.testing.assert_allclose(flow.values[0], expected, rtol=0, atol=1e-11)


def test_the_interval_reflects_as_its_closed_form_says():
    # p ~ e^{cx} on [0, 1]: e^{-cx} (k cos kx + c sin kx) decays at the rate (c^2 + k^2) / 2, k = n pi.
    c, k = 1.3, 2 * np.pi
    p = af.LogDensity(af.Interval(0, 1), lambda x: c * x[0])
    limit = af.DriftDiffusion(PLAIN, p, rtol=1e-10, discretization=FiniteVolume())
    f = lambda x: jnp.exp(-c * x[0]) * (k * jnp.cos(k * x[0]) + c * jnp.sin(k * x[0]))  # noqa: E731
    points = np.linspace(0, 1, 23)[:, None]
    flow = limit.evolve(f, times=[0.0, 0.05], at=points)
    expected = np.exp(-np.outer([0.0, 0.05], [(c**2 + k**2) / 2])) * evaluate(f, points)
    np.testing.assert_allclose(flow.values, expected, rtol=0, atol=flow.solver_error)
    assert flow.solver_error < 1e-9
    rates = (c**2 + (np.pi * np.arange(4)) ** 2) / 2 * (np.arange(4) > 0)
    np.testing.assert_allclose(limit.spectrum(4).eigenvalues, rates, rtol=0, atol=1e-8)


def test_a_peak_that_fourier_series_do_not_resolve_is_resolved():
    # The spectrum for p ~ exp(20 cos) needs 384 cells; the Fourier basis ends at degree 160.
    peaked = af.VonMisesFisher(CIRCLE, mean_direction=[1, 0], concentration=20)
    limit = af.DriftDiffusion(PLAIN, peaked, rtol=1e-9, discretization=FiniteVolume())
    f = lambda x: x[1] + x[0] * x[1]  # noqa: E731
    truth = af.DriftDiffusion(PLAIN, peaked, rtol=1e-10).evolve(f, times=0.02, at=ON_CIRCLE)
    found = limit.evolve(f, times=0.02, at=ON_CIRCLE)
    np.testing.assert_allclose(found.values, truth.values, rtol=0, atol=found.solver_error)


@every_kind
def test_errors_at_the_centres_are_of_order_two_over_four_refinements(name):
    points = density(name).spread(20)[:20]
    counts = [16, 32, 64, 128, 256] if density(name).manifold.dim == 1 else [8, 16, 32, 64]
    truth = spectral(name).evolve(generic_f, times=0.3, at=points).values
    expansion = LaplaceExpansion(PLAIN, density(name))
    errors = []
    for count in counts:
        level = Level(cells_of(density(name).manifold, count), expansion)
        start = evaluate(generic_f, level.cells.centres)[:, None]
        matrix = level.jumps.matrix
        states = af.equations.semigroups.rational_krylov.propagate(
            matrix, start, times=np.array([0.3]), tolerance=1e-10, law=level.law
        ).states
        errors.append(np.abs(level.cells.interpolate(states[0], at=points)[:, 0] - truth[0]).max())
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - 2) < 0.2)


def test_a_difference_to_one_side_instead_is_of_order_one(monkeypatch):
    monkeypatch.setattr(exponential_fitting, "bernoulli", lambda x: 1 + np.maximum(-x, 0))  # upwind
    with pytest.raises(AssertionError):
        test_errors_at_the_centres_are_of_order_two_over_four_refinements("circle")


@every_kind
def test_mass_and_constants_are_kept_at_the_centres(name):
    limit, grid = on_grid(name, CELLS[name]), FiniteVolume(CELLS[name]).grid(density(name).manifold)
    ones = limit.evolve(lambda x: jnp.ones(()), times=[0.2, 50.0], at=grid).values
    np.testing.assert_allclose(ones, 1, rtol=0, atol=1e-12)
    flow = limit.adjoint_evolve(generic_f, times=[0.0, 0.2, 5.0], at=grid)
    np.testing.assert_allclose(flow.values @ flow.weights, flow.values[0] @ flow.weights, rtol=1e-13)


@every_kind
def test_duality_and_the_semigroup_law_hold_on_one_grid(name):
    # int f_t r_s depends on s + t only: this is duality and P_{s+t} = P_s P_t at once.
    limit, grid = on_grid(name, CELLS[name]), FiniteVolume(CELLS[name]).grid(density(name).manifold)
    f = limit.evolve(generic_f, times=[0.0, 0.3, 0.7], at=grid).values
    r = limit.adjoint_evolve(lambda x: 1 + 0.4 * x[0] - 0.3 * x[0] * x[-1], times=[0.7, 0.4, 0.0], at=grid).values
    pairings = np.sum(grid.masses * f * r, axis=1)
    np.testing.assert_allclose(pairings, pairings[0], rtol=1e-12)
    assert abs(pairings[0]) > 1


@every_kind
def test_densities_stay_positive_and_their_entropy_falls_where_crank_nicolson_fails(name):
    cells = 3 * CELLS[name] // 2
    limit, grid = on_grid(name, cells), FiniteVolume(cells).grid(density(name).manifold)
    times = np.concatenate([[1e-4], np.linspace(0.01, 2, 12)])
    flow = limit.adjoint_evolve(bump, times=times, at=grid)
    assert flow.values.min() >= 0
    law = np.exp(2 * density(name).log_densities(grid.points))
    law /= grid.masses @ law
    shares = flow.values / (flow.values @ grid.masses)[:, None]
    entropy = np.sum(grid.masses * shares * np.log(np.maximum(shares, 1e-300) / law), axis=1)
    assert np.all(np.diff(entropy) < 1e-13)
    assert entropy[0] > 10 * entropy[-1]

    level = Level(cells_of(density(name).manifold, cells), LaplaceExpansion(PLAIN, density(name)))
    masses = grid.masses * evaluate(bump, grid.points)
    half = 0.25 * level.jumps.matrix.T  # one step of .5
    one = scipy.sparse.eye_array(len(masses))
    stepped = scipy.sparse.linalg.spsolve(scipy.sparse.csc_array(one - half), masses + half @ masses)
    assert (stepped / grid.masses).min() < -0.1 * evaluate(bump, grid.points).max()


@every_kind
def test_detailed_balance_holds_with_the_squared_density(name):
    level = Level(cells_of(density(name).manifold, 16), LaplaceExpansion(PLAIN, density(name)))
    flows = level.law[:, None] * level.jumps.matrix.toarray()
    np.testing.assert_allclose(flows, flows.T, rtol=1e-13, atol=1e-17)
    squared = level.cells.volumes * np.exp(2 * density(name).log_densities(level.cells.centres))
    np.testing.assert_allclose(level.law, squared / squared.sum(), rtol=1e-12)
    rates = level.jumps.matrix.toarray()
    assert rates[~np.eye(len(rates), dtype=bool)].min() >= 0
    np.testing.assert_allclose(rates.sum(axis=1), 0, atol=1e-12 * np.abs(rates).max())


def stretched(x, y):
    """Asymmetric, with third derivatives, along the coordinates of the torus only."""
    first, second = jnp.sum((x - y)[:2] ** 2), jnp.sum((x - y)[2:] ** 2)
    turn = x[0] * y[1] - x[1] * y[0]
    return (1.5 + 0.4 * x[1] + 0.2 * x[2]) * first + (1 + 0.3 * y[0]) * second + 0.3 * turn**3


def squeezed(x, y):
    """Longer along the meridians of the sphere than around them, away from the poles, as much as the height says."""
    square = jnp.sum((x - y) ** 2)
    return (1 + 0.2 * x[2]) * square + 0.5 * (x[2] - y[2]) ** 2 + 0.2 * square * (y[2] - x[2])


@pytest.mark.parametrize(
    ("cost", "name", "rtol"), [(stretched, "torus", 1e-4), (squeezed, "sphere", 1e-3)], ids=["torus", "sphere"]
)
def test_a_drift_that_is_not_reversible_is_served_along_the_coordinates(cost, name, rtol):
    attention = af.Attention(af.CustomPseudoMetric(cost), 0.1)
    points = density(name).spread(20)[:20]
    limit = af.DriftDiffusion(attention, density(name), rtol=rtol, discretization=FiniteVolume())
    truth = af.DriftDiffusion(attention, density(name), rtol=1e-6)
    for method in ("evolve", "adjoint_evolve"):
        found = getattr(limit, method)(generic_f, times=[0.4, 400.0], at=points)
        expected = getattr(truth, method)(generic_f, times=[0.4, 400.0], at=points)
        np.testing.assert_allclose(
            found.values, expected.values, rtol=0, atol=found.solver_error + expected.solver_error
        )


def test_a_metric_across_the_coordinates_is_refused_with_its_place():
    def cost(x, y):
        return jnp.sum((x - y) ** 2) + 0.5 * (x[0] - y[0] + x[2] - y[2]) ** 2

    attention = af.Attention(af.CustomPseudoMetric(cost), 0.1)
    limit = af.DriftDiffusion(attention, density("torus"), rtol=1e-2, discretization=FiniteVolume(16))
    with pytest.raises(ConfigError, match=r"couples them by 0\.\d+ of the diffusion at \["):
        limit.evolve(generic_f, times=0.1, at=density("torus").spread(10))


def test_spectra_agree_and_eigenfunctions_are_orthonormal_in_the_law():
    limit = af.DriftDiffusion(PLAIN, density("circle"), rtol=1e-9, discretization=FiniteVolume())
    found, truth = limit.spectrum(5), spectral("circle").spectrum(5)
    np.testing.assert_allclose(found.eigenvalues, truth.eigenvalues, rtol=0, atol=found.solver_error)
    assert found.eigenvalues[0] == 0
    nodes, volumes = CIRCLE.quadrature(200)
    law = volumes * np.exp(2 * density("circle").log_densities(nodes))
    functions = found.eigenfunctions(nodes)
    # of order h^2 at 128 cells
    np.testing.assert_allclose(functions.T @ (law[:, None] / law.sum() * functions), np.eye(5), atol=2e-3)


def test_eigenfunctions_that_are_rounding_where_the_law_is_least_are_refused():
    peaked = af.VonMisesFisher(CIRCLE, mean_direction=[1, 0], concentration=60)
    limit = af.DriftDiffusion(PLAIN, peaked, rtol=1e-5, discretization=FiniteVolume())
    found = limit.spectrum(4)
    # near the peak p is a Gaussian of variance 1/60, whose rates are multiples of 60
    assert found.eigenvalues[1] == pytest.approx(60, rel=0.01)
    with pytest.raises(ConvergenceError, match=r"eigenfunction \d misses its equation .* the first \d only"):
        found.eigenfunctions(ON_CIRCLE)
    np.testing.assert_allclose(limit.spectrum(1).eigenfunctions(ON_CIRCLE), 1, rtol=1e-12)


def test_a_spectrum_that_is_complex_is_refused():
    def cost(x, y):
        return 2 * (1 - x[0] * y[0] - x[1] * y[1]) + 0.6 * (x[0] * y[1] - x[1] * y[0]) ** 3

    attention = af.Attention(af.CustomPseudoMetric(cost), 0.1)
    limit = af.DriftDiffusion(attention, af.Uniform(CIRCLE), discretization=FiniteVolume(), rtol=1e-6)
    with pytest.raises(ConfigError, match="not reversible"):
        limit.spectrum(3)
    values = limit.evolve(lambda x: x[0], times=1.3, at=ON_CIRCLE).values[0]
    np.testing.assert_allclose(values, np.exp(-0.65) * np.cos(THETA - 1.17), rtol=0, atol=1e-6)


def test_one_grid_declares_an_error_that_holds_and_refuses_above_the_tolerance():
    points = density("circle").spread(50)
    truth = spectral("circle").evolve(generic_f, times=[0.0, 0.5], at=points).values
    flow = on_grid("circle", 64, 0.01).evolve(generic_f, times=[0.0, 0.5], at=points)
    assert np.abs(flow.values - truth).max() < flow.solver_error < 0.01 * np.abs(truth).max()
    with pytest.raises(ConvergenceError, match=r"by 64 cells .* Use more `cells`"):
        on_grid("circle", 64, 1e-5).evolve(generic_f, times=0.5, at=points)


def test_what_no_grid_resolves_is_refused():
    limit = af.DriftDiffusion(PLAIN, density("sphere"), rtol=1e-9, discretization=FiniteVolume())
    with pytest.raises(ConvergenceError, match="by 96 cells"):
        limit.spectrum(3)
    narrow = lambda x: jnp.exp(-1e8 * (x[1] - 0.123) ** 2)  # noqa: E731
    limit = af.DriftDiffusion(PLAIN, density("circle"), rtol=1e-6, discretization=FiniteVolume())
    with pytest.raises(ConvergenceError, match="not resolved"):
        limit.evolve(narrow, times=0.1, at=ON_CIRCLE)


@pytest.mark.parametrize("cells", [7, 6, 33, "many", 2.5])
def test_wrong_numbers_of_cells_are_refused(cells):
    with pytest.raises(ConfigError, match="`cells` must be"):
        FiniteVolume(cells)


def test_a_grid_needs_cells_and_a_manifold_that_has_them():
    with pytest.raises(ConfigError, match="Pass them"):
        FiniteVolume().grid(CIRCLE)
    with pytest.raises(ConfigError, match="no cells of"):
        FiniteVolume(8).grid(af.Sphere(3))
    with pytest.raises(ConfigError, match="finite volume"):
        af.DriftDiffusion(PLAIN, af.Uniform(af.Sphere(3)), discretization=FiniteVolume())
