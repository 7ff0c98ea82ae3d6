"""Attention over the queries, keys and values of a trained model, one head or several, against softmax in NumPy."""

import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError, DataError

RNG = np.random.default_rng(31)
H, N, M, D, C = 3, 40, 30, 8, 5
K, V, Q = RNG.normal(size=(H, N, D)), RNG.normal(size=(H, N, C)), 1.5 * RNG.normal(size=(H, M, D))
EVERY = RNG.normal(size=(H, N, D))  # queries of all tokens
DOT = af.Attention(af.DotProduct(), bandwidth=math.sqrt(D))
CAUSAL = DOT.replace(mask="causal")
MASSES = RNG.integers(0, 3, size=(H, N)).astype(float)
CLOSE = 1e-13  # logits of a few tens, values of order one


def softmax(q, k, v, *, weights=1.0, mask=True):
    logits = np.where(mask, q @ np.swapaxes(k, -1, -2) / math.sqrt(D), -np.inf)
    kernel = np.exp(logits - logits.max(axis=-1, keepdims=True)) * weights
    return kernel @ v / kernel.sum(axis=-1, keepdims=True)


def layer(values, keys, queries):
    return af.EmpiricalAttention(DOT, keys).layer(values, at=queries)


def loss(values, keys, queries):
    return jnp.sum(layer(values, keys, queries) ** 2)


def test_one_line_is_the_head_of_a_model():
    life = af.EmpiricalAttention(DOT, K[0])
    np.testing.assert_allclose(life.layer(V[0], at=Q[0]), softmax(Q[0], K[0], V[0]), rtol=0, atol=CLOSE)
    np.testing.assert_allclose(life.layer(V[0, :, 0], at=Q[0]), softmax(Q[0], K[0], V[0])[:, 0], rtol=0, atol=CLOSE)


def test_keys_that_only_fill_up_have_mass_zero():
    for masses in (MASSES[0], (np.arange(N) < 25).astype(float)):
        life = af.EmpiricalAttention(DOT, af.DiscreteMeasure(K[0], masses))
        exact = softmax(Q[0], K[0], V[0], weights=masses)
        np.testing.assert_allclose(life.layer(V[0], at=Q[0]), exact, rtol=0, atol=CLOSE)
        assert np.abs(exact - softmax(Q[0], K[0], V[0])).max() > 0.1  # masses are felt


@pytest.mark.parametrize(
    ("mask", "kept"),
    [
        ("causal", np.tri(N, dtype=bool)),
        (af.Window(3), abs(np.subtract.outer(np.arange(N), np.arange(N))) <= 3),
        (af.Adjacency(np.tri(N, k=2)), np.tri(N, k=2, dtype=bool)),
    ],
    ids=["causal", "window", "adjacency"],
)
def test_under_a_mask_the_ith_query_is_at_the_place_of_the_ith_key(mask, kept):
    life = af.EmpiricalAttention(DOT.replace(mask=mask), K[0])
    exact = softmax(EVERY[0], K[0], V[0], mask=kept)
    np.testing.assert_allclose(life.layer(V[0], at=EVERY[0]), exact, rtol=0, atol=CLOSE)
    np.testing.assert_array_equal(life.layer(V[0], at=K[0]), life.layer(V[0]))


def test_rows_under_a_mask_that_are_summed_with_care_are_at_their_places_too():
    # Logits of 3e4 round to more than rtol in the plain sum, so that rows are summed again one list at a time.
    sharp = af.EmpiricalAttention(DOT.replace(mask="causal", bandwidth=1e-3), K[0], rtol=1e-12)
    logits = np.where(np.tri(N, dtype=bool), EVERY[0] @ K[0].T, -np.inf)
    np.testing.assert_allclose(sharp.layer(V[0], at=EVERY[0]), V[0][logits.argmax(axis=1)], rtol=0, atol=1e-6)


def test_a_token_that_leaves_its_own_key_out_is_said_by_queries_and_keys_side_by_side():
    cost = af.QueryKey(np.eye(D, 2 * D), np.eye(D, 2 * D, k=D))
    life = af.EmpiricalAttention(DOT.replace(pseudometric=cost), np.hstack([EVERY[0], K[0]]), include_self=False)
    exact = softmax(EVERY[0], K[0], V[0], mask=~np.eye(N, dtype=bool))
    np.testing.assert_allclose(life.layer(V[0]), exact, rtol=0, atol=CLOSE)
    alone = af.EmpiricalAttention(DOT, K[0], include_self=False)
    for queries in (Q[0], K[0]):  # also where they coincide with keys
        with pytest.raises(ConfigError, match=r"coincides with a key.*np\.hstack\(\[Q, K\]\)"):
            alone.layer(V[0], at=queries)


def test_heads_are_a_leading_axis():
    life = af.EmpiricalAttention(DOT, K)
    found = life.layer(V, at=Q)
    np.testing.assert_allclose(found, softmax(Q, K, V), rtol=0, atol=CLOSE)
    assert np.abs(found - softmax(Q, K, V)).max() <= life.solver_error * np.abs(V).max() < 1e-9
    for head in range(H):
        one = af.EmpiricalAttention(DOT, K[head])
        np.testing.assert_array_equal(found[head], one.layer(V[head], at=Q[head]))
        np.testing.assert_array_equal(life.log_normalizer(at=Q)[head], one.log_normalizer(at=Q[head]))
        np.testing.assert_array_equal(life.effective_sample_size()[head], one.effective_sample_size())
    np.testing.assert_allclose(life.layer(V[..., 0]), softmax(K, K, V)[..., 0], rtol=0, atol=CLOSE)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(life)).layer(V, at=Q), found)
    assert repr(life) == f"EmpiricalAttention({DOT!r}, 3 heads, N=40, D=8)"
    assert life.method == "dense"


def test_heads_have_masks_masses_and_normalizations():
    causal = af.EmpiricalAttention(CAUSAL, K).layer(V, at=EVERY)
    np.testing.assert_allclose(causal, softmax(EVERY, K, V, mask=np.tri(N, dtype=bool)), rtol=0, atol=CLOSE)
    padded = af.EmpiricalAttention(DOT, [af.DiscreteMeasure(*pair) for pair in zip(K, MASSES, strict=True)])
    exact = softmax(Q, K, V, weights=MASSES[:, None])
    np.testing.assert_allclose(padded.layer(V, at=Q), exact, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(padded.at_bandwidth(1e4).layer(V, at=Q), padded_means(), rtol=0, atol=0.01)
    balanced = DOT.replace(normalization="sinkhorn")
    found = af.EmpiricalAttention(balanced, K).layer(V)
    np.testing.assert_array_equal(found[1], af.EmpiricalAttention(balanced, K[1]).layer(V[1]))


def padded_means():
    means = np.einsum("hn,hnc->hc", MASSES, V) / MASSES.sum(axis=1)[:, None]
    return np.broadcast_to(means[:, None], (H, M, C))


def test_a_function_of_a_point_is_taken_at_the_points_of_each_head():
    life = af.EmpiricalAttention(DOT, K)
    values = np.sin(K[..., :2])
    found = life.generator(lambda x: jnp.sin(x[:2]), at=Q)
    exact = (softmax(Q, K, values) - np.sin(Q[..., :2])) / math.sqrt(D)
    np.testing.assert_allclose(found, exact, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("head", [None, 0], ids=["several heads", "one head"])
def test_a_gradient_is_that_of_the_softmax_written_in_jax(head):
    def plain(values, keys, queries):
        weights = jax.nn.softmax(queries @ jnp.swapaxes(keys, -1, -2) / math.sqrt(D), axis=-1)
        return jnp.sum((weights @ values) ** 2)

    given = (V, K, Q) if head is None else (V[head], K[head], Q[head])
    exact = jax.grad(plain, argnums=(0, 1, 2))(*given)
    for ask in (jax.grad, lambda *args, **options: jax.jit(jax.grad(*args, **options))):
        for ours, theirs in zip(ask(loss, argnums=(0, 1, 2))(*given), exact, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11)  # of sums over 600 numbers of order one


def test_values_alone_can_be_traced():
    life = af.EmpiricalAttention(DOT, K)
    np.testing.assert_allclose(jax.jit(lambda v: life.layer(v, at=Q))(V), softmax(Q, K, V), rtol=0, atol=CLOSE)


def test_the_gradient_of_many_heads_holds_no_matrix_of_pairs():
    given = [jax.ShapeDtypeStruct((4, 2048, D), np.float64)] * 3
    used = jax.jit(jax.grad(loss, argnums=(0, 1, 2))).lower(*given).compile().memory_analysis()
    assert used.temp_size_in_bytes < 2048**2 * 8  # that of a single head; measured .29 of it


LIFE, ONE = af.EmpiricalAttention(DOT, K), af.EmpiricalAttention(DOT, K[0])


@pytest.mark.parametrize(
    ("ask", "error", "words"),
    [
        (lambda: LIFE.layer(V, at=Q[0]), DataError, r"`at` must have shape \(3, Q, 8\), got \(30, 8\)\. Pass queries"),
        (lambda: LIFE.layer(V, at=Q[:2]), DataError, r"`at` must have shape \(3, Q, 8\), got \(2, 30, 8\)"),
        (lambda: LIFE.layer(V, at=Q[..., :4]), DataError, r"`at` must have shape \(N, 8\), got \(30, 4\)"),
        (lambda: LIFE.layer(V[0], at=Q), DataError, r"`f` must have shape \(3, 40\) or \(3, 40, c\), got \(40, 5\)"),
        (lambda: LIFE.layer(V[:2], at=Q), DataError, r"got \(2, 40, 5\)"),
        (lambda: LIFE.layer(V[:, :30], at=Q), DataError, r"got \(3, 30, 5\)"),
        (lambda: ONE.layer(V[0], at=Q), DataError, r"shape \(Q, 8\), got \(3, 30, 8\)\. Keys of several"),
        (lambda: ONE.layer(V, at=Q[0]), DataError, r"`f` must have shape \(40,\) or \(40, c\), got \(3, 40, 5\)"),
        (lambda: LIFE.generator(V, at=Q), ConfigError, r"those at the own points\. Pass a function; or, of values v"),
        (lambda: ONE.generator(V[0], at=Q[0]), ConfigError, r"compute \(life\.layer\(f, at=at\) - v\) / bandwidth"),
        (lambda: LIFE.evolve(V, times=math.sqrt(D)), ConfigError, "`evolve` of 3 heads is no single trajectory"),
        (lambda: LIFE.spectrum(2), ConfigError, "attention of 3 heads has no spectrum.*of each head"),
        (lambda: LIFE.stationary(), ConfigError, "attention of 3 heads has no stationary law"),
        (lambda: af.EmpiricalAttention(DOT, K[None]), DataError, r"`points` must have shape \(N, D\)"),
        (lambda: af.EmpiricalAttention(DOT, K[:0]), DataError, r"`points` must have shape \(N, D\)"),
        (lambda: af.EmpiricalAttention(DOT, K[:, :1]), ConfigError, "at least 2 points"),
        (lambda: af.EmpiricalAttention(DOT, [af.DiscreteMeasure(K[0]), af.DiscreteMeasure(K[1, :9])]), DataError,
         "as many points each.*mass 0"),
        (lambda: af.EmpiricalAttention(CAUSAL, K[0]).layer(V[0], at=Q[0]), ConfigError, "as many as keys, 40.*got 30"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(ask, error, words):
    with pytest.raises(error, match=words):
        ask()
