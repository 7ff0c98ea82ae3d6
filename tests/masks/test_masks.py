"""Masks: their sums against matrices with the same zeros, their laws, and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.masks.base import Ranges

N = 700  # more than a tile of keys
RNG = np.random.default_rng(3)
FLAT, DEEP = RNG.normal(size=(N, 3)), 0.4 * RNG.normal(size=(N, 12))
VALUES = RNG.normal(size=(N, 2))
GRAPH = scipy.sparse.random_array((N, N), density=0.02, rng=RNG) + scipy.sparse.eye_array(N)
PLACES = np.arange(N)


class Blocks(af.Mask):
    """A mask as a user writes one: ranges of 90 tokens that see one another."""

    is_symmetric = True

    def ranges(self, count):
        first = np.arange(count) // 90 * 90
        return Ranges(first, np.minimum(first + 89, count - 1))

    def lists(self, count, nearest):
        return self.ranges(count).lists(np.arange(count))


def nearest(points, cost, k):
    """The k keys of least cost of every query, by sorting a whole matrix."""
    costs = np.sum((points[:, None] - points[None]) ** 2, axis=-1) if cost == "distance" else -2 * points @ points.T
    kept = np.zeros((N, N), bool)
    np.put_along_axis(kept, np.argsort(costs, axis=1)[:, :k], True, axis=1)
    return kept


# The mask, and from points and the name of a cost to the matrix of what it keeps.
MASKS = {
    "causal": ("causal", lambda *_: PLACES[:, None] >= PLACES),
    "window": (af.Window(21), lambda *_: abs(PLACES - PLACES[:, None]) <= 21),
    "blocks": (Blocks(), lambda *_: PLACES[:, None] // 90 == PLACES // 90),
    "graph": (af.Adjacency(GRAPH), lambda *_: GRAPH.toarray() != 0),
    "neighbours": (af.Neighbours(9), lambda points, cost: nearest(points, cost, 9)),
}
COSTS = {"distance": af.SquaredDistance(), "dot product": af.DotProduct()}


def by_numpy(points, cost, kept, eps=0.7, masses=None):
    """Averages, log-normalisers and effective sample sizes from the matrix of all pairs."""
    squares = np.sum((points[:, None] - points[None]) ** 2, axis=-1)
    logits = -squares / (2 * eps) if cost == "distance" else points @ points.T / eps
    with np.errstate(divide="ignore"):
        logits = np.where(kept, logits + np.log(np.ones(N) if masses is None else masses), -np.inf)
    shift = logits.max(axis=1)
    kernel = np.exp(logits - shift[:, None])
    total = kernel.sum(axis=1)
    return kernel @ VALUES / total[:, None], shift + np.log(total), total**2 / (kernel**2).sum(axis=1)


@pytest.mark.parametrize("points", [FLAT, DEEP], ids=["three coordinates", "twelve"])
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("name", MASKS)
def test_sums_under_a_mask_are_those_of_the_matrix_with_zeros(name, cost, points):
    mask, kept = MASKS[name]
    life = af.EmpiricalAttention(af.Attention(COSTS[cost], bandwidth=0.7, mask=mask), points)
    average, logs, sizes = by_numpy(points, cost, kept(points, cost))
    found = life.layer(VALUES)
    # Products of twelve coordinates are rounded relative to the squared radius over eps, some 1e-15 times ten.
    np.testing.assert_allclose(found, average, rtol=0, atol=1e-13)
    assert np.abs(found - average).max() <= (life.solver_error + 4e-15) * np.abs(VALUES).max()
    assert life.solver_error < 1e-11
    np.testing.assert_allclose(life.log_normalizer(), logs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(life.effective_sample_size(), sizes, rtol=1e-12)
    assert life.method == "masked"


@pytest.mark.parametrize("name", ["window", "graph", "neighbours"])
def test_masses_and_left_out_selves_count_as_in_the_matrix(name):
    masses = RNG.uniform(0.5, 2.0, N) * (RNG.random(N) > 0.2)
    kept = MASKS[name][1](FLAT, "distance") & ~np.eye(N, dtype=bool)
    mask = MASKS[name][0]
    if name == "neighbours":  # the nine nearest of the others with mass
        costs = np.sum((FLAT[:, None] - FLAT[None]) ** 2, axis=-1) + 1e9 * (masses == 0) + 1e9 * np.eye(N)
        kept = np.zeros((N, N), bool)
        np.put_along_axis(kept, np.argsort(costs, axis=1)[:, :9], True, axis=1)
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.7, mask=mask)
    life = af.EmpiricalAttention(attention, af.DiscreteMeasure(FLAT, masses), include_self=False)
    np.testing.assert_allclose(
        life.layer(VALUES), by_numpy(FLAT, "distance", kept, masses=masses)[0], rtol=0, atol=1e-13
    )


def test_a_point_without_mass_may_ask_for_its_neighbours():
    masses = np.where(PLACES == 5, 0.0, 1.0)
    life = af.EmpiricalAttention(
        af.Attention(af.SquaredDistance(), bandwidth=0.7, mask=af.Neighbours(1)), af.DiscreteMeasure(FLAT, masses),
        include_self=False,
    )  # fmt: skip
    squares = np.sum((FLAT - FLAT[5]) ** 2, axis=1) + 1e9 * (PLACES == 5)
    np.testing.assert_allclose(life.layer(VALUES)[5], VALUES[np.argmin(squares)], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", MASKS)
def test_rows_sum_to_one_and_keep_the_bounds_of_what_they_average(name):
    life = af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=0.3, mask=MASKS[name][0]), FLAT)
    np.testing.assert_allclose(life.layer(np.ones(N)), 1.0, rtol=0, atol=1e-13)
    found = life.layer(VALUES)
    assert (found.max(axis=0) <= VALUES.max(axis=0) + 1e-13).all()
    assert (found.min(axis=0) >= VALUES.min(axis=0) - 1e-13).all()


def test_the_future_does_not_change_the_past():
    attention = af.Attention(af.DotProduct(), bandwidth=0.5, mask="causal")
    changed = FLAT.copy()
    changed[400:] += 1.0
    before, after = (af.EmpiricalAttention(attention, points).layer(VALUES) for points in (FLAT, changed))
    np.testing.assert_allclose(after[:400], before[:400], rtol=0, atol=1e-13)
    assert np.abs(after[400:] - before[400:]).max() > 0.01


def test_a_mask_that_keeps_all_changes_nothing():
    plain = af.Attention(af.SquaredDistance(), bandwidth=0.7)
    expected = af.EmpiricalAttention(plain, FLAT).evolve(VALUES, times=[0.7, 2.1]).values
    for mask in (af.Window(N), af.Neighbours(N), af.Adjacency(np.ones((N, N)))):
        found = af.EmpiricalAttention(plain.replace(mask=mask), FLAT).evolve(VALUES, times=[0.7, 2.1]).values
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_layers_and_generators_repeat_the_masked_matrix():
    kept = MASKS["window"][1]()
    squares = np.sum((FLAT[:, None] - FLAT[None]) ** 2, axis=-1)
    matrix = np.where(kept, np.exp(-squares / 1.4), 0.0)
    matrix /= matrix.sum(axis=1, keepdims=True)
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.7, mask=af.Window(21)), FLAT)
    flow = life.evolve(VALUES, times=[0.0, 2.8])
    np.testing.assert_allclose(flow.values[1], np.linalg.matrix_power(matrix, 4) @ VALUES, rtol=0, atol=1e-12)
    np.testing.assert_allclose(life.generator(VALUES), (matrix @ VALUES - VALUES) / 0.7, rtol=0, atol=1e-12)


def test_logits_that_are_huge_are_summed_with_care_under_a_mask():
    # Logits up to 1e6: rounding of 1e-10 of them is felt, but not by ListSum, which takes differences of costs.
    points = 1e3 * RNG.normal(size=(60, 3))
    found = af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=1.0, mask="causal"), points).layer(
        VALUES[:60]
    )
    logits = np.where(np.tri(60, dtype=bool), points @ points.T, -np.inf)
    np.testing.assert_allclose(found, VALUES[np.argmax(logits, axis=1)], rtol=0, atol=1e-8)


def test_single_precision_is_declared_under_a_mask():
    attention = af.Attention(af.DotProduct(), bandwidth=0.7, mask="causal")
    life = af.EmpiricalAttention(attention, DEEP, dtype="float32", rtol=1e-3)
    off = np.abs(life.layer(VALUES) - by_numpy(DEEP, "dot product", MASKS["causal"][1]())[0]).max()
    assert 1e-9 < off <= life.solver_error * np.abs(VALUES).max()


def test_profiles_and_key_weights_go_with_masks():
    attention = af.Attention(
        af.SquaredDistance(), bandwidth=0.7, profile="root", mask=af.Window(21),
        normalization=af.KeyWeights(lambda y: 0.5 * y[0]),
    )  # fmt: skip
    squares = np.sum((FLAT[:, None] - FLAT[None]) ** 2, axis=-1)
    kernel = np.where(MASKS["window"][1](), np.exp(-np.sqrt(squares / 0.7) + 0.5 * FLAT[:, 0]), 0.0)
    expected = kernel @ VALUES / kernel.sum(axis=1)[:, None]
    np.testing.assert_allclose(af.EmpiricalAttention(attention, FLAT).layer(VALUES), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("mask", [af.Window(21), af.Adjacency(GRAPH + GRAPH.T)], ids=["window", "symmetric graph"])
def test_the_spectrum_of_a_symmetric_mask_is_that_of_the_matrix(mask):
    kept = MASKS["window"][1]() if isinstance(mask, af.Window) else (GRAPH + GRAPH.T).toarray() != 0
    matrix = np.where(kept, np.exp(FLAT @ FLAT.T / 0.7), 0.0)
    life = af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=0.7, mask=mask), FLAT)
    totals = matrix.sum(axis=1)
    eigenvalues = np.sort(np.linalg.eigvals(matrix / totals[:, None]).real)[::-1][:5]
    np.testing.assert_allclose(life.spectrum(5).eigenvalues, (1 - eigenvalues) / 0.7, rtol=0, atol=1e-9)
    np.testing.assert_allclose(life.stationary(), totals / totals.sum(), rtol=1e-10)


@pytest.mark.parametrize("name", ["causal", "graph", "neighbours"])
def test_a_mask_that_is_not_symmetric_has_no_real_spectrum(name):
    life = af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=0.7, mask=MASKS[name][0]), FLAT)
    for ask in (lambda: life.spectrum(3), life.stationary):
        with pytest.raises(ConfigError, match="needs a symmetric mask"):
            ask()


def test_other_queries_have_nearest_keys_and_no_positions():
    queries = RNG.normal(size=(50, 3))
    near = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.7, mask=af.Neighbours(4)), FLAT)
    squares = np.sum((queries[:, None] - FLAT[None]) ** 2, axis=-1)
    kernel = np.where(squares <= np.sort(squares, axis=1)[:, 3:4], np.exp(-squares / 1.4), 0.0)
    expected = kernel @ VALUES / kernel.sum(axis=1)[:, None]
    np.testing.assert_allclose(near.layer(VALUES, at=queries), expected, rtol=0, atol=1e-13)
    causal = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.7, mask="causal"), FLAT)
    with pytest.raises(ConfigError, match="positions of queries"):
        causal.layer(VALUES, at=queries)


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_has_no_population_and_no_limit(name):
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.1, mask=MASKS[name][0])
    for life in (af.PopulationAttention, af.DriftDiffusion, af.LaplaceExpansion):
        with pytest.raises(ConfigError, match="no population and no limit"):
            life(attention, af.Uniform(af.Circle()))


def test_a_row_without_a_key_is_named():
    empty = GRAPH.tolil()
    empty[[17, 40]] = 0
    graph = af.Attention(af.DotProduct(), bandwidth=0.7, mask=af.Adjacency(empty))
    with pytest.raises(DataError, match="leaves row 17 without a key with mass, and 1 more"):
        af.EmpiricalAttention(graph, FLAT).layer(VALUES)
    causal = graph.replace(mask="causal")
    with pytest.raises(DataError, match="row 0 without a key"):
        af.EmpiricalAttention(causal, FLAT, include_self=False).layer(VALUES)
    with pytest.raises(DataError, match="row 0 without a key with mass, and 2 more"):
        af.EmpiricalAttention(causal, af.DiscreteMeasure(FLAT, PLACES > 2)).layer(VALUES)


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.ones((3, 4)), r"shape \(3, 4\)"),
        (np.ones(3), r"shape \(3,\)"),
        (np.array([["a", "b"], ["c", "d"]]), "of <U1"),
        (np.ones((0, 0)), r"shape \(0, 0\)"),
    ],
)
def test_what_is_no_square_matrix_is_refused(matrix, words):
    with pytest.raises(DataError, match=f"`matrix` must be a square matrix.*{words}"):
        af.Adjacency(matrix)


def test_a_graph_of_another_size_is_refused():
    graph = af.Attention(af.DotProduct(), bandwidth=0.7, mask=af.Adjacency(np.eye(8)))
    with pytest.raises(DataError, match="8 rows and the sample 700 points"):
        af.EmpiricalAttention(graph, FLAT).layer(VALUES)


def test_more_neighbours_than_keys_are_refused():
    attention = af.Attention(af.DotProduct(), bandwidth=0.7, mask=af.Neighbours(N))
    with pytest.raises(ConfigError, match="more keys than the 699 there are"):
        af.EmpiricalAttention(attention, FLAT, include_self=False).layer(VALUES)


@pytest.mark.parametrize("bad", [lambda: af.Window(-1), lambda: af.Window(1.5), lambda: af.Neighbours(0)])
def test_sizes_of_masks_are_integers(bad):
    with pytest.raises(ConfigError, match=r"`width`|`k`"):
        bad()


@pytest.mark.parametrize("bad", ["casual", 3, np.eye(3)])
def test_an_unknown_mask_is_refused(bad):
    with pytest.raises(ConfigError, match="`mask` must be"):
        af.Attention(af.DotProduct(), bandwidth=0.7, mask=bad)


def test_masks_are_not_traced_and_not_summed_by_named_methods():
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.7, mask="causal")
    with pytest.raises(ConfigError, match="cannot be traced"):
        jax.grad(lambda x: af.EmpiricalAttention(attention, x).layer(jnp.asarray(VALUES)).sum())(jnp.asarray(FLAT))
    with pytest.raises(ConfigError, match="cannot be traced"):
        jax.jit(af.EmpiricalAttention(attention, FLAT).layer)(jnp.asarray(VALUES))
    for options in ({"method": "cutoff"}, {"devices": 1}):
        with pytest.raises(ConfigError, match="cannot sum under"):
            af.EmpiricalAttention(attention, FLAT, **options)
    with pytest.raises(ConfigError, match="weighs keys by how much they are attended"):
        af.EmpiricalAttention(attention.replace(normalization=af.AlphaNormalization(1.0)), FLAT)


def test_a_cost_that_is_no_number_names_the_pair_under_a_mask():
    def cost(x, y):
        return jnp.where((x[0] == FLAT[7, 0]) & (y[0] == FLAT[9, 0]), jnp.nan, jnp.sum((x - y) ** 2))

    pairs = np.eye(N, dtype=bool)
    pairs[7, 9] = True
    attention = af.Attention(af.CustomPseudoMetric(cost), bandwidth=0.7, mask=af.Adjacency(pairs))
    with pytest.raises(DataError, match="NaN or -Inf for 1 pairs"):
        af.EmpiricalAttention(attention, FLAT).layer(VALUES)


def test_mapped_costs_go_with_masks():
    # Queries and keys of other sizes, and an asymmetric cost with them; 12 coordinates are taken as products.
    first, second = RNG.normal(size=(10, 12)) / 3, RNG.normal(size=(10, 12)) / 3
    logits = (DEEP @ first.T) @ (DEEP @ second.T).T / 0.7
    kernel = np.where(MASKS["causal"][1](), np.exp(logits), 0.0)
    expected = kernel @ VALUES / kernel.sum(axis=1)[:, None]
    for mask in ("causal", af.Adjacency(np.tri(N))):
        life = af.EmpiricalAttention(af.Attention(af.QueryKey(first, second), bandwidth=0.7, mask=mask), DEEP)
        np.testing.assert_allclose(life.layer(VALUES), expected, rtol=0, atol=1e-12)


def test_masks_show_themselves():
    attention = af.Attention(af.DotProduct(), bandwidth=0.1, mask="causal")
    assert repr(attention) == "Attention(DotProduct(), bandwidth=0.1, mask=Causal())"
    assert repr(af.Adjacency(np.eye(4))) == "Adjacency(4 pairs of 4 points)"
