"""A trained layer in the instrument: the same weights, the metric of its logits, modes and skills in closed form."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.learn.diffusion import compare_with_diffusion, fit_mixture

af.enable_x64()
RNG = np.random.default_rng(5)
TOKENS = RNG.normal(size=(23, 2)) @ [[1.0, 0.3], [0.0, 0.7]]
KINDS = {"self": af.learn.SelfAttention, "L2": af.learn.L2Attention, "metric": af.learn.MetricAttention}


def network_of(kind, *, blocks=1, residual=False, heads=1, width=6):
    def block(width, key):
        attention = KINDS[kind](width, heads=heads, key=key)
        return af.learn.PropagationBlock(width, attention, residual=residual, key=key)

    return filled(block, width=width, blocks=blocks)


def filled(block, *, width, blocks=1):
    """A network with parameters of order one from NumPy's generator, for which nothing is compiled."""
    make = functools.partial(af.learn.InformationPropagationNetwork, 2, width, 3, block=block, blocks=blocks)
    shapes = eqx.filter_eval_shape(make, key=jax.random.key(0))
    draws = np.random.default_rng(9)

    def fill(leaf):
        return draws.normal(size=leaf.shape) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf

    return jax.tree.map(lambda leaf: jnp.asarray(fill(leaf)) if hasattr(leaf, "shape") else leaf, shapes)


@pytest.fixture(scope="module")
def layers():
    return {kind: af.learn.layer_of(network_of(kind, heads=2), TOKENS, head=1) for kind in KINDS}


@pytest.fixture(scope="module")
def deep():
    """A network of two blocks, and the second of them."""
    network = network_of("metric", blocks=2, residual=True, heads=2)
    return network, af.learn.layer_of(network, TOKENS, block=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_instrument_sums_with_the_weights_of_the_network(kind, layers):
    layer, network = layers[kind], network_of(kind, heads=2)
    own = np.asarray(network.blocks[0].heads.weights(jnp.asarray(layer.points), jnp.asarray(layer.points)))[1]
    np.testing.assert_allclose(layer.matrix, own, rtol=0, atol=1e-12)  # weights up to 1, of logits up to 200
    np.testing.assert_allclose(layer.values, network.blocks[0].values.weight[1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_metric_is_the_second_difference_of_the_logits(kind, layers):
    layer = layers[kind]
    x, h = TOKENS[:4], 1e-4 * np.array([0.8, -0.6])
    embed = jax.vmap(layer.embedding)
    pairs = [embed(jnp.asarray(points)) for points in (x, x + h)]
    logit = jax.vmap(layer.attention.logit)
    (xx, xy), (yx, yy) = ([logit(a, b) for b in pairs] for a in pairs)
    # D(x, x + h) = <h, G h> + O(h^3), the logit -D/2eps; h^3 is 1e-4 of h^2, times third derivatives of order 30
    expected = layer.attention.bandwidth * (xx + yy - xy - yx)
    found = np.einsum("i,qij,j->q", h, layer.metric(x), h)
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-3 * np.abs(expected).max())


def test_the_metric_of_metric_attention_is_that_of_its_map_and_of_what_comes_before(deep):
    network, layer = deep
    maps = network.blocks[1].heads.maps
    jacobian = jax.jit(jax.vmap(jax.jacfwd(lambda x: maps.of_head(0, layer.embedding(x)))))
    jacobians = np.asarray(jacobian(jnp.asarray(TOKENS)))
    expected = np.einsum("nki,nkj->nij", jacobians, jacobians)
    np.testing.assert_allclose(layer.metric(), expected, rtol=1e-10, atol=1e-12 * np.abs(expected).max())


def test_geodesics_are_shorter_in_the_learned_metric_than_straight_lines_and_as_long_as_they_say(layers):
    """Of L2 attention the metric is constant and they are straight; of metric-attention nearby ways are no shorter."""
    start, way = TOKENS[0], np.array([[1.0, 0.5]])
    (straight,) = layers["L2"].geodesics(start, way, lengths=[0.0, 0.2, 0.4])
    (g,) = layers["L2"].metric(start[None])
    np.testing.assert_allclose(straight, start + np.outer([0.0, 0.2, 0.4], way[0] / np.sqrt(way[0] @ g @ way[0])))
    (bent,) = layers["metric"].geodesics(start, way, lengths=np.linspace(0, 0.4, 41))

    def length(points):
        middles, steps = (points[1:] + points[:-1]) / 2, np.diff(points, axis=0)
        return np.sqrt(np.einsum("si,sij,sj->s", steps, layers["metric"].metric(middles), steps)).sum()

    assert length(bent) == pytest.approx(0.4, rel=1e-3)  # the midpoint rule of 40 steps
    line = bent[0] + np.linspace(0, 1, 41)[:, None] * (bent[-1] - bent[0])
    assert length(bent) < length(line)


def test_dot_products_have_no_geodesics(layers):
    with pytest.raises(ConfigError, match="need a metric, and QueryKey has none"):
        layers["self"].geodesics(TOKENS[0], [[1.0, 0.0]], lengths=[0.1])


def test_an_input_that_is_a_token_enters_each_block_as_that_token_does(deep):
    network, layer = deep
    entering = jax.jit(jax.vmap(layer.embedding))(jnp.asarray(TOKENS))
    np.testing.assert_allclose(entering, layer.points, rtol=1e-11, atol=1e-11)
    outputs = eqx.filter_jit(network)(TOKENS)
    np.testing.assert_allclose(af.learn.respond(network, TOKENS, TOKENS[3:6]), outputs[3:6], rtol=1e-10)


def test_the_spectrum_of_a_symmetric_cost_is_that_of_the_instrument(layers):
    layer = layers["L2"]
    spectrum = af.EmpiricalAttention(layer.attention, layer.points).spectrum(5)
    np.testing.assert_allclose(layer.spectrum(5), 1 - layer.attention.bandwidth * spectrum.eigenvalues, atol=1e-12)
    assert layer.spectrum(1) == pytest.approx(1)


def test_tokens_that_attend_to_one_another_alone_are_a_cluster():
    centres = 9 * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    tokens = np.concatenate(
        [centre + 0.02 * RNG.normal(size=(n, 2)) for centre, n in zip(centres, (4, 6, 5), strict=True)]
    )
    found = af.learn.layer_of(network_of("L2", heads=2), tokens).clusters()
    assert found.number == 3
    groups = [set(found.labels[start:stop]) for start, stop in ((0, 4), (4, 10), (10, 23))]
    assert [len(group) for group in groups] == [1, 1, 1]
    assert len(set.union(*groups)) == 3


def test_the_lipschitz_constant_is_the_norm_of_the_jacobian_of_the_head(layers):
    layer, block = layers["metric"], network_of("metric", heads=2).blocks[0]

    def mixed(tokens):
        return block.heads.weights(tokens, tokens)[1] @ block.values(tokens)[1]

    jacobian = np.asarray(jax.jit(jax.jacobian(mixed))(jnp.asarray(layer.points))).reshape(23 * 6, -1)
    found = layer.lipschitz()
    assert float(found) == pytest.approx(np.linalg.norm(jacobian, 2), rel=1e-9)


def test_shares_of_the_logits_sum_to_one_and_name_the_part_that_is_there():
    points = RNG.normal(size=(9, 2))
    regime = af.learn.regime_of(RNG.normal(size=(9, 9)), points)
    assert regime.cost + regime.potential + regime.circulation == pytest.approx(1, abs=1e-13)
    turns = 2 * np.pi * np.arange(9) / 9
    turning = af.learn.regime_of(np.sin(turns[:, None] - turns), points)  # antisymmetric, its rows sum to 0
    assert (turning.cost, turning.potential, turning.circulation) == pytest.approx((0, 0, 1), abs=1e-13)
    keys = af.learn.regime_of(np.broadcast_to(turns, (9, 9)), points)  # b_j alone
    assert keys.circulation == pytest.approx(0, abs=1e-13)


def test_a_regime_tells_a_diffusion_from_a_jump_and_from_a_mean():
    angles = 2 * np.pi * (np.arange(200) + 0.3 * np.sin(np.arange(200))) / 200
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    turned = np.column_stack([np.cos(angles + 0.7), np.sin(angles + 0.7)])
    near = af.learn.regime_of(30 * circle @ circle.T, circle)
    # of e^{30 cos t}: 1 - |m|^2 = 1 - (I_1/I_0)^2(30) = .033 of a circle of variance 1; (1 - m)^2 over it = .0083
    assert near.is_local
    assert (near.own_key, near.negative, near.circulation) == (1, 0, pytest.approx(0, abs=1e-12))
    assert near.locality == pytest.approx(0.033, abs=0.002)
    assert near.jump == pytest.approx(0.0083, abs=0.002)
    # the sum of squared weights is I_0(60)/I_0(30)^2 / 200; the tokens are not quite equally far apart
    assert near.neighbours == pytest.approx(200 * ive(0, 30) ** 2 / ive(0, 60), rel=0.05)
    jump = af.learn.regime_of(30 * circle @ turned.T, circle)
    assert not jump.is_local
    assert jump.own_key == 0
    assert jump.circulation == pytest.approx(np.sin(0.7) ** 2, abs=0.02)  # the antisymmetric part of a rotation
    mean = af.learn.regime_of(np.zeros((200, 200)), circle)
    assert not mean.is_local
    assert mean.neighbours == pytest.approx(200)
    assert (mean.cost, mean.potential, mean.circulation) == (0, 0, 0)


def test_where_a_layer_is_a_diffusion_its_expansion_says_what_it_does():
    points = RNG.normal(loc=(0.5, 0.0), size=(400, 2))
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    density = fit_mixture(points, components=1)
    (gaussian,) = density.densities
    drift = -(points - gaussian.mean) @ gaussian.precision
    fit = compare_with_diffusion(attention, points, points + 0.05 * drift, components=1)
    assert fit.skill == pytest.approx(1, abs=1e-12)  # L of the coordinates is grad log p, to rounding
    assert fit.nearer == 1
    assert fit.size == pytest.approx(1, abs=1e-9)
    assert fit.still < 1
    moved = af.EmpiricalAttention(attention, points).layer(points)
    sampled = compare_with_diffusion(attention, points, moved, components=1)
    assert sampled.still < sampled.skill
    assert sampled.nearer > 0.5  # the rest is noise of 60 neighbours in the middle, and fewer outside


def test_a_dot_product_in_space_has_no_diffusion_and_says_why(layers):
    fit = layers["self"].diffusion(components=2)
    assert np.isnan(fit.skill)
    assert "decreases without end" in fit.reason
    assert np.isfinite(fit.still)
    again = layers["metric"].diffusion(components=2)
    assert again.reason == ""
    assert np.isfinite(again.skill)


def test_snapshots_are_the_models_that_were_measured():
    def loss(model, data, key):
        return jnp.sum((model(data) - 1) ** 2)

    def make(key):
        return eqx.nn.Linear(2, 1, key=key)

    keys = jax.random.split(jax.random.key(8), 2)
    data = np.ones((2, 2))
    trained = af.learn.train(make, loss, data, keys=keys, steps=6, every=3, measure=af.learn.keep_parameters)
    first, _, last = af.learn.snapshots(trained, 1)
    np.testing.assert_array_equal(first.weight, make(keys[1]).weight.astype(np.float32))
    np.testing.assert_array_equal(last.weight, trained.model(1).weight)
    assert last(np.ones(2)).shape == (1,)
    bare = af.learn.train(make, loss, data, keys=keys, steps=0)
    with pytest.raises(ConfigError, match="has not kept its parameters"):
        af.learn.snapshots(bare, 0)


def test_what_is_no_layer_is_named(layers):
    network = network_of("metric")
    with pytest.raises(ConfigError, match=r"`block` must be one of 0 to 0, got 1"):
        af.learn.layer_of(network, TOKENS, block=1)
    with pytest.raises(ConfigError, match=r"`head` must be one of 0 to 0, got 2"):
        af.learn.layer_of(network, TOKENS, head=2)
    with pytest.raises(DataError, match=r"`tokens` have 3 coordinates, and the network takes 2"):
        af.learn.layer_of(network, np.ones((4, 3)))
    alone = filled(lambda width, key: af.learn.PointwiseBlock(width, key=key), width=4)
    with pytest.raises(ConfigError, match="PointwiseBlock, in which no token attends"):
        af.learn.layer_of(alone, TOKENS)
    with pytest.raises(ConfigError, match=r"`k` must be at most the number of tokens, 23"):
        layers["L2"].spectrum(24)
    with pytest.raises(DataError, match=r"`logits` must have shape \(4, 4\)"):
        af.learn.regime_of(np.zeros((3, 4)), np.ones((4, 1)))
    with pytest.raises(DataError, match="`points` are one point"):
        af.learn.regime_of(np.zeros((3, 3)), np.ones((3, 1)))
    with pytest.raises(ConfigError, match=r"`components` must be at most half of the 23 points"):
        layers["metric"].diffusion(components=12)
