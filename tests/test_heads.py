"""Several heads: their outputs mixed by matrices, in all three lives, and refused where there is no limit."""

import pickle

import jax.numpy as jnp
import numpy as np
import pytest
from instances import density
from witnesses import direct

import attnflow as af
from attnflow.errors import ConfigError, DataError

RNG = np.random.default_rng(6)
CLOUD = RNG.gamma(2.0, size=(60, 2))
ANGLES = np.array([0.3, 1.1, 2.0, 4.1, 5.6])
ON_CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.4)
FIRST = np.array([[0.7, 0.2], [0.1, 0.6]])
OUTPUT = [FIRST, np.eye(2) - FIRST]  # eigenvalues .8 and .5, .2 and .5


def wide(x, y):
    return 2 * jnp.sum((x - y) ** 2)


WIDE = PLAIN.replace(pseudometric=af.CustomPseudoMetric(wide, vanishes_on_diagonal=True, is_symmetric=True))


def heads(bandwidth=0.4, output=None):
    made = [head.replace(bandwidth=bandwidth) for head in (PLAIN, WIDE)]
    return af.MultiHead(made, output=OUTPUT if output is None else output)


def f(x):
    return jnp.stack([x[0] * x[1], x[1] + 0.3 * x[0] ** 2])


def test_a_layer_and_many_are_sums_over_heads():
    life = af.EmpiricalAttention(heads(), CLOUD)
    averages = [direct.softmax(direct.distance_logits(CLOUD, CLOUD, bandwidth=eps)) for eps in (0.4, 0.2)]

    def layer(values):
        return sum(each @ values @ matrix for each, matrix in zip(averages, OUTPUT, strict=True))

    values = CLOUD**2
    exact = layer(values)
    assert np.abs(life.layer(values) - exact).max() / values.max() <= life.solver_error < 1e-12
    flow = life.evolve(values, times=1.2)
    assert np.abs(flow.values[0] - layer(layer(exact))).max() <= flow.solver_error < 1e-10
    again = pickle.loads(pickle.dumps(life))
    np.testing.assert_array_equal(again.layer(values), life.layer(values))


def test_particles_on_a_quadrature_are_the_population():
    attention = heads(0.1)
    particles = af.EmpiricalAttention(attention, density("circle").quadrature(160))
    population = af.PopulationAttention(attention, density("circle"))
    found = population.evolve(f, times=[0.1, 0.4], at=ON_CIRCLE)
    expected = particles.evolve(f, times=[0.1, 0.4], at=ON_CIRCLE)
    assert np.abs(found.values - expected.values).max() <= found.solver_error + expected.solver_error < 1e-7


def test_the_limit_is_the_sum_over_heads_and_what_the_population_tends_to():
    limit = af.DriftDiffusion(heads(), density("circle"))
    parts = [af.DriftDiffusion(head, density("circle")).generator(f, at=ON_CIRCLE) for head in (PLAIN, WIDE)]
    generator = limit.generator(f, at=ON_CIRCLE)
    np.testing.assert_allclose(generator, parts[0] @ OUTPUT[0] + parts[1] @ OUTPUT[1], rtol=0, atol=1e-12)
    flow = limit.evolve(f, times=0.4, at=ON_CIRCLE).values[0]
    errors = []
    for eps in (0.01, 0.005):
        population = af.PopulationAttention(heads(eps), density("circle"))
        errors.append([
            np.abs(population.generator(f, at=ON_CIRCLE) - generator).max(),
            np.abs(population.evolve(f, times=0.4, at=ON_CIRCLE).values[0] - flow).max(),
        ])  # fmt: skip
    # Halved up to the next order, below 3 % here. The plain sum of generators is off by |L f|, about one.
    np.testing.assert_allclose(np.divide(*errors), 2, rtol=0.03)
    assert max(errors[1]) < 0.05


def test_the_semigroup_of_heads_has_its_adjoint():
    limit = af.DriftDiffusion(heads(), density("circle"), rtol=1e-10)
    nodes, weights = af.Circle().quadrature(120)

    def density_of(x):
        return jnp.stack([1 + 0.3 * x[0], x[1] - 0.5 * x[0] * x[1]])

    forwards = limit.evolve(f, times=0.3, at=nodes).values[0]
    backwards = limit.adjoint_evolve(density_of, times=0.3, at=nodes).values[0]
    start, law = (np.array([function(x) for x in nodes]) for function in (f, density_of))
    # Both integrals are of size three; the quadrature is exact for such products.
    assert weights @ (forwards * law).sum(axis=1) == pytest.approx(weights @ (start * backwards).sum(axis=1), abs=1e-9)


def test_matrices_that_do_not_sum_to_the_identity_name_the_jump():
    jumps = heads(output=[FIRST, 0.9 * np.eye(2) - FIRST])
    with pytest.raises(ConfigError, match=r"\|sum_h W_h - I\| = 0.1\. A layer then tends to the jump"):
        af.DriftDiffusion(jumps, density("circle"))
    layer = af.PopulationAttention(jumps.heads[0], density("circle"))  # a single head knows nothing of it
    assert layer.layer(f, at=ON_CIRCLE).shape == (5, 2)


def test_components_in_which_heat_would_run_backwards_are_refused():
    output = np.diag([-1.0, 0.5])  # -1 + 2/2 of the second head: no diffusion is left; -2 is worse
    backwards = heads(output=[2 * output, np.eye(2) - 2 * output])
    limit = af.DriftDiffusion(backwards, density("circle"))
    assert limit.generator(f, at=ON_CIRCLE).shape == (5, 2)
    with pytest.raises(ConfigError, match="heat would run backwards"):
        limit.evolve(f, times=0.1, at=ON_CIRCLE)


def test_matrices_without_real_eigenvectors_have_a_generator_alone():
    turn = np.array([[0.5, -1.0], [1.0, 0.5]])
    limit = af.DriftDiffusion(heads(output=[turn, np.eye(2) - turn]), density("circle"))
    assert limit.generator(f, at=ON_CIRCLE).shape == (5, 2)
    with pytest.raises(ConfigError, match="share no real eigenvectors"):
        limit.evolve(f, times=0.1, at=ON_CIRCLE)


@pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (lambda: af.MultiHead([], output=[]), ConfigError, "`heads` is empty"),
        (lambda: af.MultiHead([af.SquaredDistance()], output=[FIRST]), ConfigError, "got SquaredDistance at 0"),
        (lambda: af.MultiHead([PLAIN], output=OUTPUT), DataError, "one matrix for each of the 1 heads, got 2"),
        (lambda: af.MultiHead([PLAIN], output=[FIRST[:1]]), DataError, r"square matrices .* got shapes \[\(1, 2\)\]"),
        (lambda: af.MultiHead([PLAIN, WIDE.replace(bandwidth=0.1)], output=OUTPUT), ConfigError, "one bandwidth"),
        (lambda: af.EmpiricalAttention(heads(), CLOUD).layer(lambda x: x[0]), DataError, "2 components.* a scalar f"),
        (lambda: af.EmpiricalAttention(heads(), CLOUD).layer(np.ones((60, 3))), DataError, r"got shape \(60, 3\)"),
        (lambda: af.DriftDiffusion(heads(), density("circle")).generator(lambda x: x[0], at=ON_CIRCLE), DataError,
         "2 components"),
        (lambda: af.EmpiricalAttention(heads(), CLOUD).stationary(), ConfigError, "Ask each head"),
        (lambda: af.LaplaceExpansion(heads(), density("circle")), ConfigError, "Ask it for each head"),
        (lambda: af.PopulationAttention(heads(), density("line")), ConfigError, "needs a compact manifold"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(made, error, words):
    with pytest.raises(error, match=words):
        made()
