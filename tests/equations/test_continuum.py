"""The drift-diffusion against closed forms and independent references, on every geometry that has a solver."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial import chebyshev
from witnesses import (
    circle_semigroup,
    gaussian,
    mathieu,
    prolate,
    quadrature,
    sphere_semigroup,
    torus_semigroup,
    uniform,
    von_mises_fisher,
)
from witnesses.polynomials import polynomial
from witnesses.trigonometric import trigonometric

import attnflow as af
from attnflow.equations.continuum import DriftDiffusion
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hermite import HermiteBasis
from attnflow.equations.semigroups import dense as semigroups
from attnflow.errors import AttnflowError, ConfigError, ConvergenceError

ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
TIGHT = 1e-11  # asked of the solver where 1e-10 is asserted
CLOSE = 1e-10
CIRCLE, TORUS, SPHERE = af.Circle(), af.FlatTorus(2), af.Sphere(2)
MEAN, VARIANCE = 0.3, 1.7
THETA = np.linspace(0.1, 6.2, 37)  # no symmetry about 0 or pi
ANGLES = np.random.default_rng(0).uniform(0, 6, (40, 2))
X = np.linspace(-3, 4, 41)[:, None]

CIRCLE_G = trigonometric(cosines={1: 0.7}, sines={2: 0.3})
CIRCLE_F = trigonometric(sines={1: 1.0}, cosines={3: 0.5})
CIRCLE_R = trigonometric(cosines={0: 1.0, 1: 0.4}, sines={2: 0.2})
TORUS_G = trigonometric(cosines={(1, 0): 0.5}, sines={(1, 1): 0.3})
SPHERE_G = polynomial({(0, 0, 1): 0.5, (1, 1, 0): 0.3})


def on_circle(theta):
    return np.column_stack([np.cos(theta), np.sin(theta)])


def circle_f(x):
    return x[1] + 0.5 * (4 * x[0] ** 3 - 3 * x[0])  # sin t + cos(3t)/2


def circle_r(x):
    return 1 + 0.4 * x[0] + 0.4 * x[0] * x[1]


def torus_f(x):
    return jnp.exp(0.5 * x[0] + 0.5 * x[3]) + x[1] * x[2]


def sphere_f(x):
    return jnp.exp(x[2] + x[0] / 2) + x[0]


def line_f(x):
    return jnp.sin(1.2 * x[0] + 0.3)


@functools.cache
def circle_density():
    return af.LogDensity(CIRCLE, lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1])


@functools.cache
def torus_density():
    return af.LogDensity(TORUS, lambda x: 0.5 * x[0] + 0.3 * (x[1] * x[2] + x[0] * x[3]))


@functools.cache
def sphere_density():
    return af.LogDensity(SPHERE, lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1])


@functools.cache
def line_density():
    return af.Gaussian(mean=[MEAN], covariance=[[VARIANCE]])


@functools.cache
def problem(name, rtol=TIGHT):
    """A solver with a function, points and the reference (f at t) there."""
    if name == "circle":
        return (
            DriftDiffusion(ATTENTION, circle_density(), rtol=rtol),
            circle_f,
            on_circle(THETA),
            (lambda t: circle_semigroup.evolve(THETA, time=t, log_density=CIRCLE_G, f=CIRCLE_F)),
        )
    if name == "torus":
        return (
            DriftDiffusion(ATTENTION, torus_density(), rtol=rtol),
            torus_f,
            quadrature.embed_torus(ANGLES),
            (lambda t: torus_semigroup.evolve(ANGLES, time=t, log_density=TORUS_G, f=torus_reference_f)),
        )
    if name == "sphere":
        points = SPHERE.sample_uniform(50, np.random.default_rng(0))
        return (
            DriftDiffusion(ATTENTION, sphere_density(), rtol=rtol),
            sphere_f,
            points,
            (lambda t: sphere_semigroup.evolve(points, time=t, log_density=SPHERE_G, f=sphere_reference_f)),
        )
    return (
        DriftDiffusion(ATTENTION, line_density(), rtol=rtol),
        line_f,
        X,
        (
            lambda t: gaussian.expect_sine(
                gaussian.ornstein_uhlenbeck(X, mean=MEAN, covariance=VARIANCE, time=t), wave=1.2, phase=0.3
            )
        ),
    )


def torus_reference_f(a):
    return np.exp(0.5 * np.cos(a[:, 0]) + 0.5 * np.sin(a[:, 1])) + np.sin(a[:, 0]) * np.cos(a[:, 1])


def sphere_reference_f(x):
    return np.exp(x[:, 2] + x[:, 0] / 2) + x[:, 0]


NAMES = ["circle", "torus", "sphere", "line"]


def check_evolution(name, rtol=TIGHT):
    limit, f, points, exact = problem(name, rtol)
    flow = limit.evolve(f, times=[0.5, 0.25], at=points)
    np.testing.assert_allclose(flow.values, [exact(0.5), exact(0.25)], rtol=0, atol=CLOSE)
    return flow


@pytest.mark.parametrize("name", NAMES)
def test_the_semigroup_agrees_with_its_reference(name):
    check_evolution(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rtol", [1e-4, 1e-6, 1e-8, 1e-10, 1e-12])
def test_the_declared_error_bounds_the_true_one(name, rtol):
    limit, f, points, exact = problem(name, rtol)
    flow = limit.evolve(f, times=[0.25], at=points)
    # The references themselves are good to 3e-13 (the torus, by its eigh) or better.
    assert np.abs(flow.values[0] - exact(0.25)).max() <= flow.solver_error + 3e-13
    assert flow.solver_error <= rtol * 3  # no |f| exceeds 3


def check_adjoint():
    limit, _, points, _ = problem("circle")
    flow = limit.adjoint_evolve(circle_r, times=0.5, at=points)
    exact = circle_semigroup.adjoint_evolve(THETA, time=0.5, log_density=CIRCLE_G, r0=CIRCLE_R)
    np.testing.assert_allclose(flow.values[0], exact, rtol=0, atol=CLOSE)


def test_the_adjoint_on_the_circle_agrees_with_its_reference():
    check_adjoint()


def test_the_adjoint_on_the_torus_and_the_sphere_agrees_with_its_reference():
    limit, f, points, _ = problem("torus")
    exact = torus_semigroup.adjoint_evolve(ANGLES, time=0.4, log_density=TORUS_G, r0=torus_reference_f)
    np.testing.assert_allclose(limit.adjoint_evolve(f, times=0.4, at=points).values[0], exact, rtol=0, atol=CLOSE)
    limit, f, points, _ = problem("sphere")
    exact = sphere_semigroup.adjoint_evolve(points, time=0.4, log_density=SPHERE_G, r0=sphere_reference_f)
    np.testing.assert_allclose(limit.adjoint_evolve(f, times=0.4, at=points).values[0], exact, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("initial", [(0.8, 0.6), (MEAN, VARIANCE), (-0.5, 2.0)], ids=["narrow", "p itself", "wider"])
def test_the_adjoint_on_the_line_moves_gaussians_to_gaussians(initial):
    limit, _, points, _ = problem("line")
    a, v = initial
    law = gaussian.adjoint_law((np.array([[a]]), np.array([[v]])), mean=MEAN, covariance=VARIANCE, time=1.5)

    def r0(x):
        return jnp.exp(-((x[0] - a) ** 2) / (2 * v)) / jnp.sqrt(2 * jnp.pi * v)

    flow = limit.adjoint_evolve(r0, times=1.5, at=points)
    np.testing.assert_allclose(flow.values[0], gaussian.density(points, law), rtol=0, atol=CLOSE)


def test_the_line_is_accurate_in_the_weights_of_a_quadrature():
    # Nodes reach 12 deviations out, where only the weighted norm of L2(p) means anything.
    limit, f, _, _ = problem("line")
    nodes = line_density().quadrature(40)
    flow = limit.evolve(f, times=0.4, at=nodes)
    law = gaussian.ornstein_uhlenbeck(nodes.points, mean=MEAN, covariance=VARIANCE, time=0.4)
    exact = af.Trajectory(flow.times, nodes.points, gaussian.expect_sine(law, wave=1.2, phase=0.3)[None], nodes.weights)
    error = af.compare(flow, exact).max()
    assert error <= min(CLOSE, flow.solver_error)
    np.testing.assert_array_equal(flow.weights, nodes.weights)


@pytest.mark.parametrize(
    ("manifold", "exact"),
    [
        (CIRCLE, uniform.torus_eigenvalues(11, m=1)),
        (TORUS, uniform.torus_eigenvalues(30, m=2)),
        (SPHERE, uniform.sphere_eigenvalues(30, m=2)),
    ],
    ids=["circle", "torus", "sphere"],
)
def test_uniform_densities_have_the_spectrum_of_the_laplacian(manifold, exact):
    spectrum = DriftDiffusion(ATTENTION, af.Uniform(manifold), rtol=TIGHT).spectrum(len(exact))
    np.testing.assert_allclose(spectrum.eigenvalues, exact, rtol=0, atol=CLOSE)
    nodes, weights = manifold.quadrature(24)
    values = spectrum.eigenfunctions(nodes)  # orthonormal, also within an eigenspace
    np.testing.assert_allclose(
        values.T @ (values * weights[:, None]) / manifold.volume, np.eye(len(exact)), rtol=0, atol=CLOSE
    )


def of_one_coordinate(density, axis):
    """log p as a function of one coordinate in [-1, 1], p by its Chebyshev series (accurate to 1e-15)."""
    series = chebyshev.chebinterpolate(density, 40)
    series = series[: 1 + np.flatnonzero(np.abs(series) > 1e-15)[-1]]

    def log_weight(x):
        def step(last, coefficient):  # in a loop: unrolled, forty terms compile for seconds
            upper, lower = last
            return (2 * x[axis] * upper - lower + coefficient, upper), None

        zero = jnp.zeros_like(x[axis])
        (upper, lower), _ = jax.lax.scan(step, (zero, zero), jnp.asarray(series[:0:-1]))
        return jnp.log(x[axis] * upper - lower + series[0])

    return log_weight


def test_the_spectrum_on_the_circle_is_mathieus():
    q = 2.0
    density = af.LogDensity(CIRCLE, of_one_coordinate(lambda u: mathieu.density(np.arccos(u), q=q), 0))
    spectrum = DriftDiffusion(ATTENTION, density, rtol=TIGHT).spectrum(7)
    np.testing.assert_allclose(spectrum.eigenvalues, mathieu.eigenvalues(7, q=q), rtol=0, atol=CLOSE)
    values = spectrum.eigenfunctions(on_circle(THETA))
    order = np.argsort([(mathieu.characteristic_b(1, q=q)), (mathieu.characteristic_a(1, q=q))])
    for column, parity in zip((1, 2), np.array(["odd", "even"])[order], strict=True):
        exact = mathieu.eigenfunction(1, THETA, q=q, parity=parity)
        ratio = values[:, column] @ exact / (exact @ exact)
        np.testing.assert_allclose(values[:, column], ratio * exact, rtol=0, atol=1e-9)  # a vector errs by error / gap


def test_the_spectrum_on_the_sphere_is_the_prolate_one():
    density = af.LogDensity(SPHERE, of_one_coordinate(lambda z: prolate.density(z, c=2.0), 2))
    spectrum = DriftDiffusion(ATTENTION, density, rtol=TIGHT).spectrum(16)
    np.testing.assert_allclose(spectrum.eigenvalues, prolate.eigenvalues(16, c=2.0), rtol=0, atol=CLOSE)


def test_the_spectrum_on_the_line_is_hermites():
    spectrum = problem("line")[0].spectrum(6)
    np.testing.assert_allclose(
        spectrum.eigenvalues, gaussian.generator_eigenvalues(6, variance=VARIANCE), rtol=0, atol=CLOSE
    )
    assert spectrum.solver_error < CLOSE
    values = spectrum.eigenfunctions(X)
    for n in range(6):  # orthonormal in N(mean, variance/2), the stationary law
        exact = gaussian.hermite(n, X[:, 0] - MEAN, variance=VARIANCE / 2)
        sign = np.sign(values[:, n] @ exact)
        np.testing.assert_allclose(values[:, n], sign * exact, rtol=0, atol=1e-9 * np.abs(exact).max())


def test_the_generator_is_pointwise_where_there_is_no_solver():
    sphere = af.Sphere(4)
    a, b = np.linspace(1, -2, 5), 0.8 * np.eye(5)[0]
    density = af.VonMisesFisher(sphere, mean_direction=b, concentration=0.8)
    points = sphere.sample_uniform(20, np.random.default_rng(0))
    limit = DriftDiffusion(ATTENTION, density)
    value = limit.generator(lambda x: jnp.dot(jnp.asarray(a), x), at=points)
    np.testing.assert_allclose(value, von_mises_fisher.generator(points, a=a, b=b), rtol=0, atol=1e-11)
    with pytest.raises(ConfigError, match=r"no solver.*generator"):
        limit.evolve(lambda x: x[0], times=0.1, at=points)


@pytest.mark.parametrize(("concentration", "modes"), [(10.0, 56), (20.0, 72)])
def test_peaked_densities_are_solved_to_full_accuracy(concentration, modes):
    # Symmetrised forms fail here (p^2 spans 17 or 35 decades); f-form and exponential do not.
    density = af.VonMisesFisher(CIRCLE, mean_direction=[1, 0], concentration=concentration)
    g = trigonometric(cosines={1: concentration})
    limit = DriftDiffusion(ATTENTION, density, rtol=TIGHT)
    flow = limit.evolve(circle_f, times=0.5, at=on_circle(THETA))
    exact = circle_semigroup.evolve(THETA, time=0.5, log_density=g, f=CIRCLE_F, modes=modes)
    np.testing.assert_allclose(flow.values[0], exact, rtol=0, atol=CLOSE)
    stationary = limit.adjoint_evolve(circle_r, times=60 / concentration, at=on_circle(THETA)).values[0]
    angles, weights = quadrature.torus_angles(400, m=1)
    mass = weights.sum() / (weights @ np.exp(2 * concentration * (np.cos(angles[:, 0]) - 1)))
    expected = mass * np.exp(2 * concentration * (np.cos(THETA) - 1))
    np.testing.assert_allclose(stationary, expected, rtol=0, atol=1e-9)  # it peaks at 14: rtol of the solver times that


def halved(diffusions, drifts):
    return diffusions, 0.5 * drifts


def reversed_drift(diffusions, drifts):
    return diffusions, -drifts


@pytest.mark.parametrize("defect", [halved, reversed_drift])
@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_drift_is_caught(name, defect, monkeypatch):
    basis = {"circle": FourierBasis, "torus": FourierBasis, "sphere": HarmonicBasis, "line": HermiteBasis}[name]
    exact = basis.along_fields

    def defective(self, points, *, diffusions, drifts):
        diffusions, drifts = defect(diffusions, drifts)
        return exact(self, points, diffusions=diffusions, drifts=drifts)

    monkeypatch.setattr(basis, "along_fields", defective)
    # On the line a drift away from the mean lets every mode grow: no resolution agrees with the next.
    with pytest.raises((AssertionError, ConvergenceError) if name == "line" else AssertionError):
        check_evolution(name, rtol=1.01e-8)  # a tolerance of its own, so that no cached solver is met or left
    problem.cache_clear()


def test_an_euler_step_instead_of_the_semigroup_is_caught(monkeypatch):
    monkeypatch.setattr(semigroups, "exponential_change", lambda a: a)
    problem.cache_clear()
    with pytest.raises((AssertionError, AttnflowError)):
        check_evolution("circle", rtol=1e-3)
    problem.cache_clear()


def test_a_wrong_volume_is_caught(monkeypatch):
    check_adjoint()
    exact = FourierBasis.reference_density
    monkeypatch.setattr(FourierBasis, "reference_density", lambda self, points: 1.01 * exact(self, points))
    problem.cache_clear()
    with pytest.raises((AssertionError, ConvergenceError)):
        check_adjoint()
    problem.cache_clear()
