"""Tokens that move by attention: against matrices of all pairs and SciPy alone, and what they must conserve."""

import warnings

import jax
import numpy as np
import pytest
from witnesses import moving_tokens as witness

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.sums import token_velocities
from attnflow.sums.token_neighbours import neighbours

RNG = np.random.default_rng(5)
BETA = 1.3
PLACES = {"circle": (af.Circle(), 2), "sphere": (af.Sphere(2), 3), "plane": (None, 2)}

# Heads of which one says nothing: programs are compiled once for three kinds, and on the sphere for each by itself.
HEADS = {"softmax head": (1.0, 0.0), "unnormalized head": (0.0, 1.0), "two heads": (1.0, 1.0)}


def started(name, count=12):
    """Tokens without symmetry, and Q, K, V without one either: (tokens, query, key, value, manifold)."""
    manifold, dim = PLACES[name]
    rng = np.random.default_rng(dim + len(name))
    tokens = rng.normal(size=(count, dim))
    if manifold is not None:
        tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    query, key, value = (0.5 * rng.normal(size=(dim, dim)) for _ in range(3))
    return tokens, query, key, value, manifold


def attention_of(kind, query, key):
    """An attention, and its matrix over tokens."""
    logits = dict(query=query, key=key, beta=BETA)

    def plain(x, **how):
        return witness.weights(x, masses=np.ones(len(x)), **logits, **how) @ x

    cost = af.QueryKey(query, key)
    if kind == "causal":
        return af.Attention(cost, bandwidth=1 / BETA, mask="causal"), lambda x: plain(x, normalized=True, causal=True)
    if kind in HEADS:
        output = [0.6 * query.T * HEADS[kind][0], 0.5 * key * HEADS[kind][1]]
        heads = [af.Attention(cost, bandwidth=1 / BETA, normalization=each) for each in ("softmax", "unnormalized")]
        both = lambda x: plain(x, normalized=True) @ output[0] + plain(x, normalized=False) @ output[1]  # noqa: E731
        return af.MultiHead(heads, output), both
    return af.Attention(cost, bandwidth=1 / BETA, normalization=kind), lambda x: plain(x, normalized=kind == "softmax")


@pytest.mark.parametrize(
    ("place", "kind"),
    [(place, kind) for place in PLACES for kind in (*HEADS, "causal")]
    + [("sphere", "softmax"), ("sphere", "unnormalized")],
)
def test_tokens_move_as_a_matrix_of_all_pairs_says(place, kind):
    tokens, query, key, value, manifold = started(place)
    attention, output = attention_of(kind, query, key)
    times = [0.4, 1.0] if manifold is None else [0.5, 2.0]
    moved = af.TokenFlow(attention, value, manifold=manifold).evolve(tokens, times)
    right = witness.moved(tokens, output, value=value, times=times, sphere=manifold is not None)
    # The declared error, and that of the witness, at a tolerance of 1e-12 of a step.
    off = np.linalg.norm(moved.points - right, axis=2).max()
    assert off <= min(1e-8, moved.solver_error + 1e-10)


@pytest.mark.parametrize("bandwidth", [0.5, 0.05])
def test_sinkhorn_moves_tokens_and_keeps_their_centre_of_mass_where_softmax_does_not(bandwidth):
    tokens = started("plane")[0]
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth, normalization="sinkhorn")
    masses = np.linspace(0.5, 2.0, len(tokens))
    flow = af.TokenFlow(attention, value=-1.0, centred=True)
    moved = flow.evolve(af.DiscreteMeasure(tokens, masses), times=[0.1, 0.5])
    right = witness.moved(
        tokens, lambda x: witness.doubly_stochastic(x, bandwidth=bandwidth, masses=masses) @ x, value=-np.eye(2),
        times=[0.1, 0.5], centred=True,
    )  # fmt: skip
    # Averages are right to the tolerance of a layer, 1e-10.
    np.testing.assert_allclose(moved.points, right, rtol=0, atol=1e-9)
    centres = masses @ moved.points / masses.sum()
    np.testing.assert_allclose(centres, [masses @ tokens / masses.sum()] * 2, rtol=0, atol=1e-10)
    softmax = af.TokenFlow(attention.replace(normalization="softmax"), value=-1.0, centred=True)
    lost = softmax.evolve(af.DiscreteMeasure(tokens, masses), times=0.5).points[0] - tokens
    assert np.abs(masses @ lost / masses.sum()).max() > 5e-4


def test_velocities_at_other_points_are_those_of_a_token_without_mass():
    tokens, query, key, value, manifold = started("sphere")
    at = started("sphere", count=20)[0][12:]
    flow = af.TokenFlow(attention_of("softmax", query, key)[0], value, manifold=manifold)
    together = af.DiscreteMeasure(np.vstack([tokens, at]), np.repeat([3.0, 0.0], [12, 8]))
    np.testing.assert_allclose(flow.velocity(tokens, at=at), flow.velocity(together)[12:], rtol=0, atol=1e-14)
    np.testing.assert_allclose(np.sum(flow.velocity(tokens) * tokens, axis=1), 0.0, atol=1e-15)


FLOW = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1.0), manifold=af.Sphere(2))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FLOW.evolve(2 * started("sphere")[0], 1.0), DataError, "`tokens` is not on Sphere"),
        (lambda: FLOW.evolve(started("sphere")[0][:1], 1.0), ConfigError, "at least 2 tokens, got 1"),
        (lambda: FLOW.evolve(started("sphere")[0], -1.0), ConfigError, "`times` must not be negative"),
        (lambda: FLOW.evolve(started("sphere")[0], 0.25, integrator=af.Layer(0.1)), ConfigError, "0.2 and 0.3"),
        (lambda: FLOW.evolve(started("sphere")[0], 1.0, integrator=0.1), ConfigError, "`integrator` must be"),
        (lambda: af.TokenFlow(FLOW.attention, np.eye(2), manifold=af.Sphere(2)), DataError, r"shape \(3, 3\) for"),
        (lambda: af.TokenFlow(FLOW.attention, np.eye(3)[:2]), DataError, "a number or a square matrix"),
        (lambda: af.TokenFlow(FLOW.attention, manifold=af.Interval(0, 1)), ConfigError, "has a boundary"),
        (lambda: af.TokenFlow(FLOW.attention, manifold="sphere"), ConfigError, "`manifold` must be a Manifold"),
        (lambda: af.TokenFlow(af.DotProduct()), ConfigError, "`attention` must be an Attention"),
        (lambda: af.Layer(0.0), ConfigError, "`dt` must be positive"),
        (lambda: jax.jit(af.TokenFlow(FLOW.attention).velocity)(np.eye(2)), ConfigError, "cannot be traced by JAX"),
        (lambda: jax.grad(lambda x: af.TokenFlow(FLOW.attention).velocity(x).sum())(np.eye(2)), ConfigError, "traced"),
        (
            lambda: af.TokenFlow(FLOW.attention, -1.0, manifold=af.Circle()).evolve(
                np.eye(2)[[0, 0]], 1.0, af.LayerNormStep(1.0)
            ),
            ConvergenceError,
            "layer 1, from time 0: 2 tokens overflow or come where no point of the manifold is nearest",
        ),
    ],
)  # fmt: skip
def test_what_cannot_move_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("integrator", "where", "kept"),
    [
        (af.Layer(0.5), "layer 4, from time 1.5: 12 tokens overflow", [0.0, 1.0, 1.5]),
        (af.Adaptive(), "after time 0.2", 2),
    ],
)
def test_tokens_that_overflow_are_named_with_the_step_and_the_last_good_state_is_kept(integrator, where, kept):
    tokens = 0.5 * np.random.default_rng(4).normal(size=(12, 2))
    flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1.0, normalization="unnormalized"))
    with pytest.raises(ConvergenceError, match=where) as caught:
        flow.evolve(tokens, [0.0, 40.0, 1.0], integrator=integrator)
    found = caught.value.trajectory
    assert np.isinf(found.solver_error)  # nobody has measured how far a state so near the end is off
    np.testing.assert_array_equal(found.points[0], tokens)
    if kept == 2:  # the flow itself blows up in finite time, where steps become short
        assert len(found.times) == 2
        assert 0.228 < found.times[1] < 0.229
    else:
        assert found.times.tolist() == kept
        again = flow.evolve(tokens, kept, integrator=integrator)
        np.testing.assert_array_equal(found.points, again.points)


def ring(count):
    """Tokens on the circle, not equally far apart."""
    angles = 2 * np.pi * np.arange(count) / count
    angles = angles + 0.2 * np.sin(angles)
    return np.column_stack([np.cos(angles), np.sin(angles)])


@pytest.mark.parametrize(("count", "warned"), [(150, True), (250, False), (60, False)])
def test_many_tokens_that_see_few_others_are_told_apart_from_a_density(count, warned):
    flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=0.01), manifold=af.Circle())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        flow.evolve(ring(count), 0.01, integrator=af.Layer(0.01))
    # N p sqrt(2 pi eps) is about 6 of 150 tokens at the densest place, 4.98 - 1 at the median, and 7 of 250
    assert [("at time 0 a token sees" in str(each.message)) for each in caught][:1] == [True] * warned


def test_attention_that_looks_elsewhere_is_not_asked_how_many_it_sees():
    sphere, plane = started("sphere", count=150)[0], started("plane", count=150)[0]
    for cost, tokens in ((af.QueryKey(np.eye(3), 2 * np.eye(3)), sphere), (af.DotProduct(), plane)):
        assert neighbours(af.Attention(cost, bandwidth=1e-4), tokens, np.ones(150)) is None
    close = neighbours(af.Attention(af.SquaredDistance(), bandwidth=1e-4), plane, np.ones(150))
    assert close is not None
    assert 0 <= close < 1


@pytest.mark.parametrize("normalization", ["softmax", "unnormalized"])
def test_the_simplex_is_at_rest_and_energy_rises(normalization):
    simplex = np.eye(4) - 0.25
    simplex /= np.linalg.norm(simplex, axis=1, keepdims=True)
    flow = af.TokenFlow(
        af.Attention(af.DotProduct(), bandwidth=0.5, normalization=normalization), manifold=af.Sphere(3)
    )
    np.testing.assert_allclose(flow.velocity(simplex), 0.0, atol=1e-15)
    tokens = np.random.default_rng(8).normal(size=(9, 4))
    tokens /= np.linalg.norm(tokens, axis=1, keepdims=True)
    moved = flow.evolve(tokens, np.linspace(0.0, 3.0, 7)).points
    energies = [np.exp(2.0 * x @ x.T).sum() for x in moved]  # which both are gradient flows of, in other metrics [G]
    assert (np.diff(energies) > 0).all()


def test_a_wait_that_is_exponentially_long_takes_a_few_hundred_velocities():
    angles = np.array([-0.05, 0.0, 0.04, 1.45, 1.5, 1.56])
    tokens = np.column_stack([np.cos(angles), np.sin(angles)])
    flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / 15), manifold=af.Circle())
    moved = flow.evolve(tokens, [1e3, 1e5], integrator=af.Adaptive(rtol=1e-6, merge=1e-4))
    assert [event.tokens for event in moved.events] == [(0, 1, 2), (3, 4, 5), (0, 1, 2, 3, 4, 5)]
    assert moved.events[-1].time > np.exp(10.0)
    gaps = np.linalg.norm(moved.points[:, 0] - moved.points[:, 3], axis=1)
    assert gaps[0] > 1.2
    assert gaps[1] == 0.0
    assert int(moved.method.split(", ")[2].split()[0]) < 800


def test_keys_that_do_not_settle_are_named_with_the_time():
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.5, normalization=af.Sinkhorn(max_sweeps=24))
    flow = af.TokenFlow(attention, value=-40.0)  # from 0 the weights take 35 sweeps; at first fewer, from nearby
    with pytest.raises(ConvergenceError, match=r"after time 0: the key weights do not settle") as caught:
        flow.evolve(started("plane")[0], 0.5)
    assert caught.value.trajectory.times.tolist() == [0.0]


def test_planned_sums_move_tokens_as_sums_over_all_pairs_do(monkeypatch):
    tokens, _, _, value, manifold = started("sphere", count=60)
    flows = [
        af.TokenFlow(af.Attention(af.SquaredDistance(), bandwidth=0.3, normalization=each), value, manifold=manifold)
        for each in ("softmax", "sinkhorn")
    ]
    traced = [flow.evolve(tokens, 0.2, integrator=af.Layer(0.1)) for flow in flows]
    monkeypatch.setattr(token_velocities, "PLANNED_PAIRS", 1)
    together = np.tile([[0.6, 0.0, 0.8]], (60, 1))  # all tokens in one place are nothing to be warned of
    np.testing.assert_allclose(af.TokenFlow(flows[0].attention).velocity(together), together, atol=1e-14)
    for flow, right in zip(flows, traced, strict=True):
        moved = flow.evolve(tokens, 0.2, integrator=af.Layer(0.1))
        off = np.linalg.norm(moved.points - right.points, axis=2).max()
        assert off <= moved.solver_error + right.solver_error


def test_kinds_that_jax_does_not_trace_move_too():
    tokens, query, key, value, manifold = started("sphere")
    entmax = af.Attention(af.DotProduct(), bandwidth=1.0, normalization=af.Entmax(1.5))
    asymmetric = af.Attention(af.QueryKeyDistance(query, key), bandwidth=0.5, normalization="sinkhorn")
    for attention in (entmax, asymmetric):
        flow = af.TokenFlow(attention, value, manifold=manifold)
        layer = af.EmpiricalAttention(attention, af.DiscreteMeasure(tokens, np.full(12, 1 / 12)), rtol=1e-10)
        velocities = layer.layer(tokens) @ value.T
        velocities -= np.sum(velocities * tokens, axis=1, keepdims=True) * tokens
        np.testing.assert_allclose(flow.velocity(tokens), velocities, rtol=0, atol=1e-9)


@pytest.mark.parametrize("mask", [af.Window(4), af.Adjacency(np.tri(12))], ids=repr)
def test_tokens_under_a_mask_move_as_a_layer_of_it_says(mask):
    tokens, query, key, _, _ = started("plane")
    attention = af.Attention(af.QueryKey(query, key), bandwidth=0.5, mask=mask)
    heavy = af.DiscreteMeasure(tokens, np.linspace(1.0, 2.0, 12))
    right = af.EmpiricalAttention(attention, heavy, rtol=1e-12).layer(tokens)
    np.testing.assert_allclose(af.TokenFlow(attention).velocity(heavy), right, rtol=0, atol=1e-14)


def test_keys_are_not_weighed_by_totals_under_a_mask():
    flow = af.TokenFlow(af.Attention(af.SquaredDistance(), bandwidth=0.5, normalization="sinkhorn", mask="causal"))
    with pytest.raises(ConfigError, match=r"^Sinkhorn\(.*\) weighs keys .* under `mask`"):
        flow.velocity(started("plane")[0])


def test_tokens_on_a_surface_stay_on_it():
    ellipsoid = af.Ellipsoid((1.0, 0.8, 0.6))
    tokens = ellipsoid.sample_uniform(10, np.random.default_rng(1))
    flow = af.TokenFlow(af.Attention(af.SquaredDistance(), bandwidth=0.5), manifold=ellipsoid, centred=True)
    moved = flow.evolve(tokens, 0.5, integrator=af.Layer(0.25)).points[0]
    np.testing.assert_allclose(np.sum((moved / [1.0, 0.8, 0.6]) ** 2, axis=1), 1.0, atol=1e-12)
    normals = tokens / np.array([1.0, 0.8, 0.6]) ** 2
    np.testing.assert_allclose(np.sum(flow.velocity(tokens) * normals, axis=1), 0.0, atol=1e-12)
