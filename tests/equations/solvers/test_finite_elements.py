"""Finite elements on triangulated surfaces: orders, closed forms, what is conserved, and what is declared."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from surfaces import box, bracket, lopsided, needles, on_sphere, rectangle
from witnesses import disphenoid

import attnflow as af
from attnflow.equations.discretizations.elements import Elements
from attnflow.equations.discretizations.patches import patches_of
from attnflow.equations.solvers import finite_elements
from attnflow.errors import ConfigError, ConvergenceError

PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)
SIDES = (1.0, 1.3, 0.9)
WEIGHTS = {(1, 0): 0.7, (0, 1): -1.1, (1, 1): 0.4, (2, 0): 0.5, (1, -1): 0.8}
START = disphenoid.start(jnp, SIDES, WEIGHTS)
both_degrees = pytest.mark.parametrize("degree", [1, 2])


def limit(density, *, rtol, degree=2, attention=PLAIN):
    return af.DriftDiffusion(attention, density, rtol=rtol, discretization=af.FiniteElements(degree))


@both_degrees
def test_the_error_falls_with_the_order_of_the_degree_and_one_more(degree):
    # Over four refinements, from sides of about .7.
    surface, time = box(SIDES), 0.08
    expansion = af.LaplaceExpansion(PLAIN, af.Uniform(surface))
    errors = []
    for level in range(1, 6):
        elements = Elements(patches_of(surface), level, degree)
        system = finite_elements.System(expansion, elements)
        loads, _ = system.load(START, adjoint=False)
        states = system.propagate(loads, times=np.array([time]), rtol=1e-11, adjoint=False)
        off = elements.evaluate(states[0], *elements.place(elements.points))[:, 0]
        off -= disphenoid.heat(elements.points, SIDES, WEIGHTS, time)
        errors.append([np.abs(off).max(), np.sqrt(elements.areas @ off**2)])
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders[:, 1], degree + 1, atol=0.2)  # in L2
    np.testing.assert_allclose(orders[1:, 0], degree + 1, atol=0.2)  # the largest error, where a side is below .5


@pytest.mark.parametrize(("degree", "rtol"), [(1, 3e-3), (2, 1e-4)])
def test_heat_on_a_folded_torus_is_that_of_the_closed_form_within_what_is_declared(degree, rtol):
    surface = box(SIDES)
    points, times = surface.sample_uniform(50, np.random.default_rng(0)), [0.3, 0.0, 0.02]
    flow = limit(af.Uniform(surface), rtol=rtol, degree=degree).evolve(START, times=times, at=points)
    exact = np.stack([disphenoid.heat(points, SIDES, WEIGHTS, t) for t in times])
    error = np.abs(flow.values - exact).max()
    assert 1e-3 * flow.solver_error < error < flow.solver_error < rtol * 3  # the initial maximum is below 3
    np.testing.assert_allclose(flow.values[1], exact[1], rtol=0, atol=1e-13)
    assert flow.method.startswith(f"Finite elements of degree {degree}, ")


@functools.cache
def shared(degree):
    return limit(af.Uniform(box(SIDES)), rtol=0.02 if degree == 1 else 1e-3, degree=degree)


@pytest.mark.parametrize("seed", range(12))
def test_errors_are_declared(seed):
    # Below three times the declared error; a declared error of no use would be far above it.
    generator = np.random.default_rng(seed)
    weights = dict(zip(WEIGHTS, generator.normal(size=5), strict=True))
    points, times = box(SIDES).sample_uniform(200, generator), 10 ** generator.uniform(-3, 0, 2)
    flow = shared(1 + seed % 2).evolve(disphenoid.start(jnp, SIDES, weights), times=times, at=points)
    error = max(
        np.abs(found - disphenoid.heat(points, SIDES, weights, t)).max()
        for t, found in zip(times, flow.values, strict=True)
    )
    assert error < 3 * flow.solver_error


@both_degrees
def test_the_spectrum_of_a_folded_torus_has_all_its_eigenvalues_once(degree):
    surface = box(SIDES)
    rtol = {1: 3e-3, 2: 3e-5}[degree]
    spectrum = limit(af.Uniform(surface), rtol=rtol, degree=degree).spectrum(7)
    expected = disphenoid.rates(SIDES, 7)
    assert np.abs(spectrum.eigenvalues - expected).max() < spectrum.solver_error < rtol * expected[-1]
    points = surface.sample_uniform(100, np.random.default_rng(1))
    found = spectrum.eigenfunctions(points)[:, 1:4]
    waves = [(1, 0), (0, 1), (1, 1)]
    order = np.argsort([disphenoid.rate(SIDES, *wave) for wave in waves])
    scaled = (2 * points / SIDES).T
    exact = np.sqrt(2) * np.stack([disphenoid.MODES[waves[i]](np, *scaled) for i in order], axis=1)
    signs = np.sign(np.sum(found * exact, axis=0))
    np.testing.assert_allclose(found * signs, exact, rtol=0, atol={1: 0.05, 2: 1e-3}[degree])
    np.testing.assert_allclose(spectrum.eigenfunctions(points)[:, 0], 1, rtol=0, atol=1e-10)


def test_another_cost_gives_the_geometry_that_it_induces():
    # |Q (x - y)|^2 on one surface is |x - y|^2 on another.
    stretch = jnp.array([1.2, 0.8, 1.5])
    cost = af.CustomPseudoMetric(
        lambda x, y: jnp.sum((stretch * (x - y)) ** 2), vanishes_on_diagonal=True, is_symmetric=True
    )
    spectrum = limit(af.Uniform(box(SIDES)), rtol=3e-4, attention=af.Attention(cost, bandwidth=0.1)).spectrum(5)
    expected = disphenoid.rates(np.array(SIDES) * np.asarray(stretch), 5)
    assert np.abs(spectrum.eigenvalues - expected).max() < spectrum.solver_error


def test_ends_reflect():
    a, b = 1.0, 0.7
    spectrum = limit(af.Uniform(rectangle(a, b)), rtol=3e-5).spectrum(6)
    expected = np.sort([np.pi**2 / 2 * (m**2 / a**2 + n**2 / b**2) for m in range(4) for n in range(4)])[:6]
    assert np.abs(spectrum.eigenvalues - expected).max() < spectrum.solver_error


def log_scale(x):
    return 0.3 * x[0] - 0.2 * x[1]


SCALED = af.CustomPseudoMetric(
    lambda x, y: jnp.sum((x - y) ** 2) * jnp.exp(-log_scale(x) - log_scale(y)),
    vanishes_on_diagonal=True,
    is_symmetric=True,
)


@functools.cache
def on_lopsided():
    """A density on a surface of many angles, and a bandwidth that varies: G = s^-2, stationary law p^2 s^2."""
    density = af.LogDensity(lopsided(), lambda x: 0.9 * x[2] - 0.6 * x[0] * x[1] + 0.3 * x[1])
    return limit(density, rtol=0.03, attention=af.Attention(SCALED, bandwidth=0.1))


def generic_f(x):
    return jnp.exp(0.5 * x[0] - 0.3 * x[1] * x[2]) + x[2]


def generic_r(x):
    return 1 + 0.4 * x[0] - 0.3 * x[1] * x[2] + 0.2 * x[2]


@functools.cache
def own_rule():
    """The nodes at which the solver integrates, as a measure: 16 in each of its triangles."""
    surface = on_lopsided().density.manifold
    method = on_lopsided().adjoint_evolve(generic_r, times=0.05, at=surface.vertices).method
    while f"{len(surface.faces)} triangles" not in method:
        surface = surface.refined()
    elements = Elements(patches_of(surface), 0, 2)
    return af.DiscreteMeasure(elements.points, elements.areas), method


def test_constants_stay_and_masses_are_conserved():
    solver, (rule, method) = on_lopsided(), own_rule()
    ones = solver.evolve(lambda x: jnp.ones(()), times=[1e-3, 0.2, 1e4], at=rule).values
    np.testing.assert_allclose(ones, 1, rtol=0, atol=1e-12)
    flow = solver.adjoint_evolve(generic_r, times=[0.0, 0.05, 50.0], at=rule)
    assert flow.method == method  # so that the rule is that of the solver
    masses = flow.values @ rule.masses
    np.testing.assert_allclose(masses, masses[0], rtol=1e-13)
    law = np.exp(2 * solver.density.log_densities(rule.points) + 2 * log_scale(rule.points.T))
    np.testing.assert_allclose(flow.values[2], masses[0] * law / (rule.masses @ law), rtol=1e-10)  # the stationary law


def test_duality_holds_wherever_time_is_spent():
    solver, (rule, method) = on_lopsided(), own_rule()
    f = solver.evolve(generic_f, times=[0.0, 0.3, 0.7], at=rule)
    r = solver.adjoint_evolve(generic_r, times=[0.7, 0.4, 0.0], at=rule)
    assert r.method == method
    assert f.method == method
    pairings = np.sum(rule.masses * f.values * r.values, axis=1)
    assert abs(pairings[0]) > 1
    # The same time in all: exact but for errors in time, a thousandth of the tolerance at the most.
    np.testing.assert_allclose(pairings, pairings[0], rtol=3e-5)


def test_duality_is_exact_where_time_is_resolved():
    elements = Elements(patches_of(lopsided()), 1, 2)
    system = finite_elements.System(af.LaplaceExpansion(PLAIN, on_lopsided().density), elements)
    loads, times = np.random.default_rng(0).standard_normal((elements.size, 2)), np.array([0.05, 0.4])
    forward, backward = (system.propagate(loads, times=times, rtol=1e-13, adjoint=adjoint) for adjoint in (False, True))
    for f, r in zip(forward, backward, strict=True):
        assert loads[:, 0] @ f[:, 1] == pytest.approx(loads[:, 1] @ r[:, 0], rel=1e-12)


@pytest.mark.parametrize("adjoint", [False, True])
def test_errors_in_time_are_small_where_the_density_is_too(adjoint):
    # Against the exponential of the dense matrix, equilibrated; in the norm of the law 4e-1 of the maximum is not seen.
    expansion = af.LaplaceExpansion(PLAIN, af.LogDensity(on_sphere(2), lambda x: 12 * x[2]))
    system = finite_elements.System(expansion, Elements(patches_of(on_sphere(2)), 0, 2))
    loads, _ = system.load(generic_f, adjoint=adjoint)
    scales = np.sqrt(system.mass.diagonal())
    mass, stiffness = (each.toarray() / np.outer(scales, scales) for each in (system.mass, system.stiffness))
    times = np.array([0.05, 0.4])
    states = system.propagate(loads, times=times, rtol=1e-6, adjoint=adjoint)[:, :, 0]
    expected = [
        scipy.linalg.expm(-t * np.linalg.solve(mass, stiffness)) @ np.linalg.solve(mass, loads[:, 0] / scales) / scales
        for t in times
    ]
    weight = system.elements.largest(system.rho) if adjoint else np.ones(len(scales))
    error = np.abs(weight * (states - expected)).max() / np.abs(weight * expected).max()
    assert error < 1e-6


def test_a_mesh_of_the_sphere_tends_to_the_sphere_with_the_square_of_its_edges():
    def log_weight(x):
        return 0.5 * x[2] + 0.3 * x[0] * x[1]

    times, errors, gaps = [0.25, 1.0], [], []
    sphere = af.DriftDiffusion(PLAIN, af.LogDensity(af.Sphere(2), log_weight))
    eigenvalues = sphere.spectrum(6).eigenvalues
    for level, rtol in ((2, 2e-3), (3, 5e-4)):
        mesh = on_sphere(level)
        solver = limit(af.LogDensity(mesh, log_weight), rtol=rtol)
        flow = solver.evolve(generic_f, times=times, at=mesh.vertices)
        errors.append(np.abs(flow.values - sphere.evolve(generic_f, times=times, at=mesh.vertices).values).max())
        gaps.append(np.abs(solver.spectrum(6).eigenvalues - eigenvalues).max())
    for coarse, fine in (errors, gaps):
        assert np.log2(coarse / fine) == pytest.approx(2, abs=0.2)
    assert errors[-1] < 0.02


def test_vectors_are_solved_by_components_and_shapes_are_kept():
    solver = on_lopsided()
    at = solver.density.manifold.vertices
    both = solver.evolve(lambda x: jnp.stack([generic_f(x), x[0]]), times=[0.2, 0.0], at=at)
    assert both.values.shape == (2, len(at), 2)
    alone = solver.evolve(generic_f, times=0.2, at=at)
    np.testing.assert_allclose(both.values[0, :, 0], alone.values[0], rtol=0, atol=1e-5)
    assert solver.evolve(generic_f, times=0.0, at=at).solver_error == 0.0


def test_a_tolerance_out_of_reach_is_refused_with_one_that_is_not():
    surface = box(SIDES)
    points = surface.vertices
    with pytest.raises(ConvergenceError, match=r"degree 1 on Tri.* 1e-08 is asked, and .* Pass `rtol=.*degree=2\)"):
        af.DriftDiffusion(PLAIN, af.Uniform(surface)).evolve(START, times=0.1, at=points)
    with pytest.raises(ConvergenceError, match=r"Pass `rtol=[\de.-]+` to DriftDiffusion\.$"):
        limit(af.Uniform(surface), rtol=1e-12).spectrum(3)


def test_a_corner_that_looks_inwards_is_declared():
    # u grows like r^(2/3) from it, so errors fall by 1.6 per level, and more than the difference of two is left.
    surface = bracket()
    radii, angles = np.meshgrid(np.geomspace(0.005, 0.3, 12), np.linspace(0, 1.5 * np.pi, 13))
    near = np.stack([radii * np.cos(angles), radii * np.sin(angles), 0 * radii], axis=-1).reshape(-1, 3)
    rough, fine = (
        limit(af.Uniform(surface), rtol=rtol).evolve(lambda x: x[0] + 0.3 * x[1], times=0.3, at=near)
        for rtol in (0.1, 0.025)
    )
    error = np.abs(rough.values - fine.values).max()
    assert 0.1 * rough.solver_error < error < rough.solver_error
    # Eigenvalues of the L-shape with Neumann's condition: Dauge's benchmark of Maxwell's equations, halved.
    spectrum = limit(af.Uniform(surface), rtol=0.01).spectrum(5)
    expected = np.array([0, 1.47562182408, 3.53403136678, np.pi**2, np.pi**2]) / 2
    assert np.abs(spectrum.eigenvalues - expected).max() < spectrum.solver_error


def test_obtuse_triangles_cost_functions_and_not_the_truth_of_what_is_declared():
    surface = needles()  # angles up to 136 degrees, for which entries of S have the wrong sign
    system = finite_elements.System(
        af.LaplaceExpansion(PLAIN, af.Uniform(surface)), Elements(patches_of(surface), 0, 1)
    )
    diagonal = system.stiffness.diagonal()
    assert (system.stiffness.toarray() - np.diag(diagonal)).max() > 0.05 * np.median(diagonal)
    rough = limit(af.Uniform(surface), rtol=0.02, degree=1).spectrum(5)
    fine = limit(af.Uniform(surface), rtol=1e-3).spectrum(5)
    error = np.abs(rough.eigenvalues - fine.eigenvalues).max()
    assert 0.1 * rough.solver_error < error < rough.solver_error


def test_a_mesh_too_fine_to_be_cut_is_refused(monkeypatch):
    monkeypatch.setattr(finite_elements, "MOST_FUNCTIONS", 300)
    density = af.Uniform(on_sphere(2))
    with pytest.raises(ConvergenceError, match=r"cut into four has more than 300 functions of degree 2"):
        limit(density, rtol=0.1).evolve(generic_f, times=0.1, at=density.manifold.vertices)


def test_what_finite_elements_do_not_serve_is_refused():
    with pytest.raises(ConfigError, match=r"serves triangulated surfaces, S\^2 and FlatTorus\(2\), not Uniform on Sp"):
        limit(af.Uniform(af.Sphere(3)), rtol=1e-3)
    with pytest.raises(ConfigError, match=r"`degree` must be 1 or 2, got 3"):
        af.FiniteElements(3)
    asymmetric = af.CustomPseudoMetric(
        lambda x, y: (1 + 0.1 * x[0] ** 2) * jnp.sum((x - y) ** 2), vanishes_on_diagonal=True
    )
    solver = limit(af.Uniform(lopsided()), rtol=1e-3, attention=af.Attention(asymmetric, bandwidth=0.1))
    with pytest.raises(ConfigError, match="does not say that it is symmetric"):
        solver.spectrum(3)
    with pytest.raises(ConfigError, match=r"along the charts of TriangulatedSurface.*, which leave it, it decreases"):
        limit(af.Uniform(lopsided()), rtol=1e-3, attention=af.Attention(af.DotProduct(), bandwidth=0.1))
