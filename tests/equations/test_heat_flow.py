"""Heat under a new metric: closed forms, the heat equation that an attention is, and where there is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations import heat_flow as room
from attnflow.equations.expansions.heat import HeatExpansion
from attnflow.errors import ConfigError, DataError

CIRCLE, SPHERE, TORUS = af.Circle(), af.Sphere(2), af.FlatTorus(2)
THETA = np.linspace(0.1, 6.2, 37)
ON_CIRCLE = np.column_stack([np.cos(THETA), np.sin(THETA)])
PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.1)


def generic_f(x):
    return jnp.exp(x[-1] + x[0] / 2) + x[0]


def lopsided(manifold):
    return af.LogDensity(manifold, lambda x: 0.5 * x[0] - 0.3 * x[1] + 0.3 * x[0] * x[1])


def test_a_constant_factor_stretches_time():
    # Lap under 4 g is Lap / 4: a wave cos(3t) decays as e^{-9 t / 4}; with c = 2 and k = 5 as e^{-5 * 9 t / 8}.
    flow = af.heat_flow(CIRCLE, lambda x: 4.0, specific_heat=2.0, conductivity=5.0, rtol=1e-10)
    values = flow.evolve(lambda x: 4 * x[0] ** 3 - 3 * x[0], times=[0.0, 0.2], at=ON_CIRCLE).values
    expected = np.exp(-np.outer([0.0, 0.2], [45 / 8])) * np.cos(3 * THETA)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)


def test_a_curve_under_any_metric_is_a_circle_of_its_length():
    # In arc length s of h the flow is d_t u = u_ss; sqrt(h) = 1.3 + .5 cos t + .2 sin t has the length 2.6 pi.
    flow = af.heat_flow(CIRCLE, lambda x: (1.3 + 0.5 * x[0] + 0.2 * x[1]) ** 2, rtol=1e-10)
    np.testing.assert_allclose(flow.spectrum(5).eigenvalues, np.array([0, 1, 1, 4, 4]) / 1.3**2, rtol=0, atol=1e-8)

    def wave(x):
        angle = jnp.arctan2(x[1], x[0])
        return jnp.sin((1.3 * angle + 0.5 * jnp.sin(angle) - 0.2 * jnp.cos(angle)) / 1.3)

    start = np.asarray(jax.vmap(wave)(ON_CIRCLE))
    values = flow.evolve(wave, times=0.7, at=ON_CIRCLE).values[0]
    np.testing.assert_allclose(values, np.exp(-0.7 / 1.3**2) * start, rtol=0, atol=1e-9)
    rough = HeatExpansion(CIRCLE, metric=lambda x: 1.0, specific_heat=lambda x: 1.0, conductivity=lambda x: 1.0)
    assert np.abs(rough.generator(wave, ON_CIRCLE) - flow.generator(wave, at=ON_CIRCLE)).max() > 0.1


def test_conductivity_and_heat_stand_where_the_equation_has_them():
    # (1/c) (k u')' on the circle, k = 1.5 + .5 cos, c = 1 + .3 sin, u = sin 2t.
    flow = af.heat_flow(
        CIRCLE, lambda x: 1.0, specific_heat=lambda x: 1 + 0.3 * x[1], conductivity=lambda x: 1.5 + 0.5 * x[0]
    )
    found = flow.generator(lambda x: 2 * x[0] * x[1], at=ON_CIRCLE)
    k, slope = 1.5 + 0.5 * np.cos(THETA), -0.5 * np.sin(THETA)
    expected = (-4 * k * np.sin(2 * THETA) + 2 * slope * np.cos(2 * THETA)) / (1 + 0.3 * np.sin(THETA))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_heat_is_kept_in_the_volume_of_the_metric_and_the_equilibrium_is_its_density():
    factor, heat = (lambda x: jnp.exp(0.4 * x[2] - 0.3 * x[0])), (lambda x: 1 + 0.3 * x[1])
    flow = af.heat_flow(SPHERE, factor, specific_heat=heat, rtol=1e-9)
    nodes, volumes = SPHERE.quadrature(60)
    weights = volumes * np.asarray(jax.vmap(lambda x: factor(x) * heat(x))(nodes))  # c dvol_h, m = 2
    total = flow.evolve(generic_f, times=[0.0, 0.1, 1.0], at=nodes).values @ weights
    np.testing.assert_allclose(total, total[0], rtol=1e-8)
    assert np.ptp(flow.evolve(generic_f, times=[0.0, 0.1, 1.0], at=nodes).values @ volumes) > 0.01  # not in another
    np.testing.assert_allclose(np.exp(flow.density.log_densities(nodes)), weights / volumes / weights.sum(), rtol=1e-12)
    mass = flow.adjoint_evolve(generic_f, times=[0.0, 0.3], at=nodes).values @ volumes
    np.testing.assert_allclose(mass[1], mass[0], rtol=1e-13)


def test_a_tensor_and_its_factor_are_the_same_metric():
    by_factor = af.heat_flow(SPHERE, lambda x: 1 + 0.3 * x[2])
    by_tensor = af.heat_flow(SPHERE, lambda x: (1 + 0.3 * x[2]) * jnp.eye(3) + 7.0 * jnp.outer(x, x))  # normal part
    points = SPHERE.quadrature(6).points
    np.testing.assert_allclose(
        by_factor.generator(generic_f, at=points), by_tensor.generator(generic_f, at=points), rtol=0, atol=1e-12
    )


def test_the_factor_on_a_curve_is_the_fourth_power_of_the_density():
    p = lopsided(CIRCLE)
    _, factor, heat = af.DriftDiffusion(PLAIN, p).as_heat_flow()
    density = np.exp(p.log_densities(ON_CIRCLE[:5]))
    np.testing.assert_allclose(jax.jit(jax.vmap(factor))(ON_CIRCLE[:5]), density**-4, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(heat))(ON_CIRCLE[:5]), density**4, rtol=1e-12)


def test_on_a_curve_an_attention_is_a_heat_flow():
    # RZ4, m = 1: h = p^-4 g, specific heat p^4.
    p = lopsided(CIRCLE)
    limit = af.DriftDiffusion(PLAIN, p, rtol=1e-10)
    metric, _, heat = limit.as_heat_flow()
    flow = af.heat_flow(CIRCLE, metric, specific_heat=heat, conductivity=0.5, rtol=1e-10)
    for method in ("evolve", "adjoint_evolve"):
        one, other = (getattr(each, method)(generic_f, times=[0.1, 0.8], at=ON_CIRCLE) for each in (limit, flow))
        np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(limit.spectrum(6).eigenvalues, flow.spectrum(6).eigenvalues, rtol=0, atol=1e-8)
    # the equilibrium is p^2
    squared = 2 * p.log_densities(ON_CIRCLE)
    np.testing.assert_allclose(np.ptp(flow.density.log_densities(ON_CIRCLE) - squared), 0, atol=1e-11)


def test_in_three_dimensions_an_attention_is_a_heat_flow():
    # RZ4, m = 3: h = p_G^4 G, specific heat p_G^-4, under a cost and weights of keys.
    manifold = af.Sphere(3)
    cost = af.CustomPseudoMetric(
        lambda x, y: jnp.sum((x - y) ** 2) + 0.3 * (jnp.sin(x[0]) - jnp.sin(y[0])) ** 2,
        vanishes_on_diagonal=True,
        is_symmetric=True,
    )
    attention = af.Attention(cost, 0.1, normalization=af.KeyWeights(lambda y: 0.4 * y[1]))
    limit = af.DriftDiffusion(attention, lopsided(manifold), rtol=1e-2)
    metric, _, heat = limit.as_heat_flow()
    flow = af.heat_flow(manifold, metric, specific_heat=heat, conductivity=0.5, rtol=1e-2)
    points = manifold.sample_uniform(20, np.random.default_rng(2))
    np.testing.assert_allclose(
        flow.generator(generic_f, at=points), limit.generator(generic_f, at=points), rtol=0, atol=1e-10
    )
    # In one basis the two are the same matrix, whatever it resolves.
    one, other = (each.evolve(generic_f, times=[0.1, 0.5], at=points) for each in (limit, flow))
    np.testing.assert_allclose(one.values, other.values, rtol=0, atol=1e-9)
    np.testing.assert_allclose(limit.spectrum(5).eigenvalues, flow.spectrum(5).eigenvalues, rtol=0, atol=1e-9)


def test_on_a_surface_there_is_none_unless_the_density_is_uniform():
    with pytest.raises(ConfigError, match=r"varies by a factor of \d.*self-tuned"):
        af.DriftDiffusion(PLAIN, lopsided(SPHERE)).as_heat_flow()
    metric, factor, _ = af.DriftDiffusion(PLAIN, af.Uniform(SPHERE)).as_heat_flow()
    north = jnp.array([0.0, 0.0, 1.0])
    assert float(factor(north)) == 1
    np.testing.assert_allclose(metric(north), np.diag([1.0, 1.0, 0.0]), atol=1e-15)


def test_self_tuned_attention_is_the_heat_flow_in_which_the_points_are_uniform():
    # HEAT: rho = (V p)^(-1/2) makes L = 1/2 Lap under h = V p g, whose equilibrium is p itself.
    p = lopsided(SPHERE)
    volume = SPHERE.volume

    def tuned(x, y):
        return volume * jnp.exp(0.5 * (p.log_density(x) + p.log_density(y))) * jnp.sum((x - y) ** 2)

    cost = af.CustomPseudoMetric(tuned, vanishes_on_diagonal=True, is_symmetric=True)
    limit = af.DriftDiffusion(af.Attention(cost, 0.1), p, rtol=1e-8)
    flow = af.heat_flow(SPHERE, lambda x: volume * jnp.exp(p.log_density(x)), conductivity=0.5, rtol=1e-8)
    points = SPHERE.quadrature(8).points
    one, other = (each.evolve(generic_f, times=0.4, at=points) for each in (limit, flow))
    np.testing.assert_allclose(one.values, other.values, rtol=0, atol=one.solver_error + other.solver_error)
    np.testing.assert_allclose(flow.density.log_densities(points), p.log_densities(points), rtol=0, atol=1e-12)
    metric, factor, _ = limit.as_heat_flow()  # p_G is uniform: there is a metric, and it is the induced one
    assert float(factor(points[3])) == 1
    np.testing.assert_allclose(np.trace(metric(points[3])), 2 * volume * np.exp(p.log_densities(points))[3], rtol=1e-10)


def test_finite_volumes_solve_it_as_well():
    factor = lambda x: 1.3 + 0.5 * x[0] + 0.2 * x[1]  # noqa: E731
    arguments = {"specific_heat": lambda x: 1 + 0.3 * x[1], "rtol": 1e-8}
    found, truth = (
        af.heat_flow(CIRCLE, factor, discretization=way, **arguments).evolve(generic_f, times=0.3, at=ON_CIRCLE)
        for way in (af.FiniteVolume(), af.Spectral())
    )
    np.testing.assert_allclose(found.values, truth.values, rtol=0, atol=found.solver_error + truth.solver_error)


def test_an_asymmetric_cost_is_no_heat_flow():
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2) * (1 + 0.1 * x[0]), vanishes_on_diagonal=True)
    with pytest.raises(ConfigError, match="not known to be symmetric"):
        af.DriftDiffusion(af.Attention(cost, 0.1), af.Uniform(CIRCLE)).as_heat_flow()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"metric": lambda x: x[0]}, r"`metric` must be positive .* got -?\d.* at \["),
        ({"metric": lambda x: 1.0, "specific_heat": lambda x: x[1]}, r"`specific_heat` must be positive"),
        ({"metric": lambda x: 1.0, "conductivity": lambda x: 0.5 + x[1]}, r"`conductivity` must be positive"),
        ({"metric": lambda x: x}, r"a scalar or shape \(2, 2\) for one point"),
        ({"metric": lambda x: 1.0, "conductivity": -1.0}, "`conductivity` must be positive"),
        ({"metric": np.eye(2)}, "`metric` must be a function"),
        ({"metric": lambda x: 1.0, "rtol": 2.0}, "`rtol` must be between"),
    ],
)
def test_wrong_arguments_are_named_with_their_place(arguments, words):
    with pytest.raises((ConfigError, DataError), match=words):
        af.heat_flow(CIRCLE, **arguments)


def test_manifolds_that_are_not_compact_are_refused():
    with pytest.raises(ConfigError, match="compact"):
        af.heat_flow(af.EuclideanSpace(1), lambda x: 1.0)


def test_the_other_sign_of_the_power_is_caught(monkeypatch):
    sound = room._log_density
    monkeypatch.setattr(room, "_log_density", lambda *given: -sound(*given))
    with pytest.raises(AssertionError):
        test_the_factor_on_a_curve_is_the_fourth_power_of_the_density()
