"""The search for minimisers: how narrow a well is found, and how soon a cost without one is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.expansions.minimizers import Cover
from attnflow.errors import ConfigError

SPHERE = af.Sphere(2)
CENTRES = SPHERE.sample_uniform(8, np.random.default_rng(4))
QUERIES = SPHERE.sample_uniform(5, np.random.default_rng(5))


def with_a_well(parameters, x, y):
    centre, width, depth = parameters
    return jnp.sum((x - y) ** 2) - depth * jnp.exp(-jnp.sum((y - centre) ** 2) / (2 * width**2))


def expansion(centre, *, width, depth):
    parameters = jnp.asarray(centre), jnp.asarray(width), jnp.asarray(depth)
    cost = af.CustomPseudoMetric(jax.tree_util.Partial(with_a_well, parameters))
    return af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), af.Uniform(SPHERE))


@pytest.mark.parametrize("width", [0.02, 0.03, 0.05])
def test_a_narrow_well_on_the_sphere_is_found(width):
    # Nodes are 0.03 apart: the farthest place is 0.021 from one, where e^{-1/2} of the depth is left.
    for centre in CENTRES:
        far = np.sum((QUERIES - centre) ** 2, axis=1)
        deep, shallow = expansion(centre, width=width, depth=9.0), expansion(centre, width=width, depth=1.0)
        # The slope of |x - y|^2, at most 2, moves the bottom by width^2 slope / depth, and lowers it by half of that
        # times the slope.
        assert np.linalg.norm(deep.minimizer(QUERIES) - centre, axis=1).max() < 0.5 * width**2
        np.testing.assert_allclose(deep.gap(QUERIES), (9 - far) / 2, rtol=0, atol=0.5 * width**2)
        two = far > 1.4  # else the well takes the minimiser at the query over
        assert two.any()
        np.testing.assert_allclose(shallow.gap(QUERIES[two]), (far[two] - 1) / 2, rtol=0, atol=4 * width**2)
        np.testing.assert_allclose(shallow.minimizer(QUERIES[two]), QUERIES[two], rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("density", "distance"),
    [
        (af.Uniform(af.Circle()), 0.001),
        (af.Uniform(SPHERE), 0.022),
        (af.Uniform(af.FlatTorus(2)), 0.032),
        (af.Uniform(af.Sphere(3)), 0.12),
    ],
    ids=["circle", "sphere", "torus", "three-sphere"],
)
def test_no_place_is_farther_from_the_cover_than_it_says(density, distance):
    nodes = Cover.of(density).nodes.reshape(-1, density.manifold.ambient_dim)
    places = density.sample(200, key=jax.random.key(3))
    nearest = [np.linalg.norm(nodes - place, axis=1).min() for place in places]
    assert max(nearest) < distance


def test_cells_of_the_cover_are_small_and_hold_all_nodes():
    cover = Cover.of(af.Uniform(SPHERE))
    nodes = cover.nodes.reshape(-1, 3)
    assert len(np.unique(np.round(nodes, 12), axis=0)) == len(np.unique(np.round(SPHERE.spread(20_000), 12), axis=0))
    middles = cover.nodes.mean(axis=1, keepdims=True)
    # 1024 cells of 4 pi / 1024 = 0.11^2: halved across their longer side, none is longer than about three times that
    assert np.linalg.norm(cover.nodes - middles, axis=-1).max() < 0.2
    assert cover.neighbours.shape == (1024, 8)


def test_a_cost_without_a_minimum_is_refused_in_three_dimensions_from_few_queries():
    # 49^3 nodes of the quadrature were once the queries, each with as many nodes to look at.
    space = af.Gaussian(mean=[0.0, 1.0, -0.5], covariance=np.diag([1.0, 2.0, 0.5]))
    assert Cover.of(space).nodes.size < 4 * 3 * 20_000
    with pytest.raises(ConfigError, match="DotProduct has no minimiser for the query"):
        af.DriftDiffusion(af.Attention(af.DotProduct(), bandwidth=0.1), space)


def test_in_many_dimensions_minimisers_are_looked_for_from_samples():
    space = af.Gaussian(mean=np.arange(5.0), covariance=np.eye(5))
    shift = np.linspace(0.1, 0.5, 5)
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x + shift - y) ** 2))
    limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), space)
    at = np.linspace(-1, 1, 10).reshape(2, 5)
    np.testing.assert_allclose(limit.minimizer(at), at + shift, rtol=0, atol=1e-12)


def local_minima_of_a_form(x, weights):
    """All local minima of sum w (x - y)^2 on the sphere, by Lagrange: y = w x / (w - l), |y| = 1, without a search."""
    w = np.asarray(weights)
    full = np.poly(w)  # prod (l - w_i)
    residual = np.polymul(full, full)
    for i in range(3):
        others = np.poly(np.delete(w, i))
        residual = np.polysub(residual, (w[i] * x[i]) ** 2 * np.polymul(others, others))
    roots = np.roots(residual)
    found = []
    for multiplier in roots[np.abs(roots.imag) < 1e-9].real:
        point = w * x / (w - multiplier)
        tangent = np.linalg.svd(point[None])[2][1:]
        if np.linalg.eigvalsh(tangent @ np.diag(w - multiplier) @ tangent.T).min() > 1e-9:
            found.append(point)
    return found


def test_the_gap_of_a_form_is_that_of_its_local_minima():
    # A start that never settles is no minimum: of the cost diag(1, 2, 3) there is none but the query, whatever starts.
    for weights, alone in (([1.0, 2.0, 3.0], True), ([1.0, 6.0, 9.0], False)):
        matrix = jnp.diag(jnp.array(weights))
        cost = af.CustomPseudoMetric(jax.tree_util.Partial(lambda m, x, y: (x - y) @ m @ (x - y), matrix))
        limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), af.Uniform(SPHERE))
        queries = np.concatenate([QUERIES, [[0.71829266, 0.48195975, -0.50176734], [0.95, 0.2, 0.24]]])
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        minima = [local_minima_of_a_form(x, weights) for x in queries]
        expected = [
            min((np.sum(weights * (x - y) ** 2) / 2 for y in found if np.linalg.norm(x - y) > 1e-3), default=np.inf)
            for x, found in zip(queries, minima, strict=True)
        ]
        assert np.isinf(expected).all() == alone
        np.testing.assert_allclose(limit.gap(queries), expected, rtol=1e-9)
        np.testing.assert_allclose(limit.minimizer(queries), queries, rtol=0, atol=1e-12)
