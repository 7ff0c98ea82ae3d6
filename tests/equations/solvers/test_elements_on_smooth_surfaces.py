"""Finite elements on smooth surfaces: orders of the surface itself, and independent solutions on embedded ones."""

import jax.numpy as jnp
import numpy as np
import pytest
from embeddings import AXES, f, log_weight, r0, revolution
from witnesses import embedded_semigroup

import attnflow as af
from attnflow.equations.discretizations.elements import Elements
from attnflow.equations.discretizations.patches import patches_of
from attnflow.equations.solvers.finite_elements import System
from attnflow.errors import ConvergenceError

PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)
TIME = 0.3
# Eigenfunctions of L = Lap / 2 by their rates: harmonics of degree 1 and 2, waves of length 1 and 2^(1/2).
PARTS = {
    "S^2": (af.Sphere(2), {1: lambda x: x[0] - 0.7 * x[2] + 0.4 * x[1], 3: lambda x: (0.3 * x[0] - 0.2 * x[2]) * x[1]}),
    "T^2": (af.FlatTorus(2), {0.5: lambda x: x[0] - 0.7 * x[3], 1: lambda x: (0.1 * x[0] - 0.05 * x[1]) * x[2]}),
}


@pytest.mark.parametrize(("name", "degree", "first"), [("S^2", 1, 1), ("S^2", 2, 1), ("T^2", 1, 1), ("T^2", 2, 0)])
def test_the_error_falls_with_the_order_of_the_degree_and_one_more_on_a_smooth_surface(name, degree, first):
    # Over four refinements in L2. Flat triangles would hold degree 2 at the order 2 of their distance from S^2.
    manifold, parts = PARTS[name]
    patches, expansion = patches_of(manifold), af.LaplaceExpansion(PLAIN, af.Uniform(manifold))
    errors = []
    for level in range(first, first + 5):
        elements = Elements(patches, level, degree)
        system = System(expansion, elements)
        loads, _ = system.load(lambda x: sum(part(x) for part in parts.values()), adjoint=False)
        states = system.propagate(loads, times=np.array([TIME]), rtol=1e-8, adjoint=False)
        found = elements.evaluate(states[0], *elements.place(elements.points))[:, 0]
        exact = sum(np.exp(-rate * TIME) * part(elements.points.T) for rate, part in parts.items())
        errors.append(np.sqrt(elements.areas @ (found - exact) ** 2))
    np.testing.assert_allclose(np.log2(np.array(errors[:-1]) / errors[1:]), degree + 1, atol=0.2)


def test_an_ellipsoid_and_a_torus_of_revolution_are_solved_within_what_is_declared():
    # Against weighted Galerkin in harmonics, and Fourier collocation, which know nothing of triangles.
    ellipsoid = embedded_semigroup.on_sphere(
        lambda u: u * AXES, lambda u: np.broadcast_to(np.diag(AXES), (len(u), 3, 3)), log_weight, degree=16
    )
    torus = embedded_semigroup.on_angles(lambda t: revolution(t, np), log_weight, dim=2, nodes=21)
    for manifold, witness in ((af.Ellipsoid(AXES), ellipsoid), (af.TorusOfRevolution(1.0, 0.4), torus)):
        density = af.LogDensity(manifold, log_weight)
        solver = af.DriftDiffusion(PLAIN, density, rtol=1e-3, discretization=af.FiniteElements(2))
        rows = np.random.default_rng(0).choice(len(witness.points), 100, replace=False)
        for flow, truth in (
            (solver.evolve(f, times=0.3, at=witness.points[rows]), witness.evolve(f, time=0.3)),
            (solver.adjoint_evolve(r0, times=0.3, at=witness.points[rows]), witness.adjoint_evolve(r0, time=0.3)),
        ):
            error = np.abs(flow.values[0] - truth[rows]).max()
            assert 1e-3 * flow.solver_error < error < flow.solver_error < 1e-3 * 3
            assert flow.method.startswith("Finite elements of degree 2, ")


def test_costs_are_those_between_points_of_the_surface():
    # D = 2 - 2 x.y is |x - y|^2 on S^2, but along a tangent it does not even grow.
    cost = af.CustomPseudoMetric(lambda x, y: 2 - 2 * x @ y, vanishes_on_diagonal=True, is_symmetric=True)
    solver = af.DriftDiffusion(
        af.Attention(cost, bandwidth=0.1), af.Uniform(af.Sphere(2)), rtol=1e-2, discretization=af.FiniteElements(2)
    )
    spectrum = solver.spectrum(5)
    expected = np.array([0, 1, 1, 1, 3])
    assert np.abs(spectrum.eigenvalues - expected).max() < spectrum.solver_error < 0.03
    values = spectrum.eigenfunctions(np.concatenate([np.eye(3), -np.eye(3)]))  # corners and edges of patches
    np.testing.assert_allclose(values[:3, 1:4] @ values[:3, 1:4].T, 3 * np.eye(3), atol=0.02)  # sum Y_i^2 = 3


def test_a_refusal_names_the_surface():
    solver = af.DriftDiffusion(PLAIN, af.Uniform(af.Sphere(2)), rtol=1e-12, discretization=af.FiniteElements(2))
    with pytest.raises(ConvergenceError, match=r"degree 2 on Sphere\(dim=2\) err by about"):
        solver.evolve(lambda x: jnp.exp(x[0]), times=0.1, at=np.eye(3))
