"""Graphs that neither their size nor their number of edges gives away, and features known in closed form."""

import jax
import networkx as nx
import numpy as np
import pytest

from attnflow.errors import ConfigError
from attnflow.learn.data.graphs import ORIGINS, graphs, karate_club, vertex_features

KEY = jax.random.key(11)


@pytest.fixture(scope="module")
def drawn():
    return graphs(key=KEY, count=120, most=40)


def of_each(data):
    """The graphs as networkx has them, by origin."""
    found = {origin: [] for origin in ORIGINS}
    for links, there, label in zip(data.adjacency, data.present, data.labels, strict=True):
        found[ORIGINS[label]].append(nx.from_numpy_array(links[there][:, there]))
    return found


def test_all_graphs_are_connected_and_have_twice_as_many_edges_as_vertices(drawn):
    for members in of_each(drawn).values():
        for graph in members:
            assert nx.is_connected(graph)
            assert graph.number_of_edges() == 2 * graph.number_of_nodes()
            assert nx.number_of_selfloops(graph) == 0


def test_every_origin_has_the_same_sizes(drawn):
    sizes = drawn.present.sum(axis=1).reshape(-1, len(ORIGINS))
    np.testing.assert_array_equal(sizes, np.broadcast_to(sizes[:, :1], sizes.shape))
    assert sizes.max() == 40
    assert 20 <= sizes.min() < 25  # 29 draws from 20 to 40
    np.testing.assert_array_equal(np.bincount(drawn.labels[drawn.train]), 15)


def test_each_origin_is_what_it_says(drawn):
    """Rings have the triangles, attachment has the hubs, and communities are cut in two by the fewest edges."""
    members = of_each(drawn)
    triangles = {origin: np.mean([nx.transitivity(graph) for graph in each]) for origin, each in members.items()}
    hubs = {origin: np.mean([max(dict(graph.degree).values()) for graph in each]) for origin, each in members.items()}
    halves = {
        origin: np.mean([
            nx.cut_size(graph, range(len(graph) // 2)) / graph.number_of_edges() for graph in each
        ])
        for origin, each in members.items()
    }  # fmt: skip
    assert triangles["small world"] > 1.2 * max(v for k, v in triangles.items() if k != "small world")
    assert hubs["preferential attachment"] > 1.3 * max(v for k, v in hubs.items() if k != "preferential attachment")
    assert halves["communities"] < 0.15  # a ring has 6 of its 2 N edges there before some are rewired
    assert abs(halves["uniform"] - 0.5) < 0.05


def test_features_of_complete_graphs_and_of_rings_are_known():
    """On K_n a walk is back after 2 steps with 1 / (n - 1), on a ring of many after 2k with (2k choose k) / 4^k."""
    complete = vertex_features(~np.eye(5, dtype=bool), walks=2)
    np.testing.assert_array_equal(complete[:, :10], np.arange(1, 11) == [[4]] * 5)
    np.testing.assert_allclose(complete[:, 10], 1 / 4, rtol=1e-14)
    np.testing.assert_allclose(complete[:, 11], 3 / 4 / 4, rtol=1e-14)  # not back after two, then back
    ring = nx.to_numpy_array(nx.cycle_graph(30), dtype=bool)
    np.testing.assert_allclose(vertex_features(ring, walks=5)[:, 10:], [[1 / 2, 0, 3 / 8, 0, 5 / 16]] * 30, rtol=1e-14)


def test_more_than_ten_neighbours_are_ten():
    star = nx.to_numpy_array(nx.star_graph(14), dtype=bool)
    features = vertex_features(star, walks=0)
    assert features.shape == (15, 10)
    np.testing.assert_array_equal(features[0], np.eye(10)[9])
    np.testing.assert_array_equal(features[1:], np.eye(10)[[0] * 14])


def test_features_go_with_the_vertices():
    graph = nx.to_numpy_array(nx.barabasi_albert_graph(20, 2, seed=3), dtype=bool)
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_allclose(
        vertex_features(graph[order][:, order], walks=4), vertex_features(graph, walks=4)[order], rtol=1e-13
    )


def test_absent_vertices_have_neither_features_nor_neighbours(drawn):
    assert not drawn.tokens[~drawn.present].any()
    assert not drawn.adjacency[~drawn.present].any()
    np.testing.assert_array_equal(drawn.mask[~drawn.present].sum(axis=1), 1)  # themselves


def test_one_key_is_one_draw_and_all_draws_have_one_shape(drawn):
    again, other = graphs(key=KEY, count=120, most=40), graphs(key=jax.random.key(12), count=120, most=40)
    np.testing.assert_array_equal(again.adjacency, drawn.adjacency)
    assert other.tokens.shape == drawn.tokens.shape
    assert (other.adjacency != drawn.adjacency).any()


def test_the_karate_club_is_zacharys():
    """34 members, 78 friendships, halves of 17; the instructor is the first and the officer the last."""
    club = karate_club(key=KEY)
    assert club.adjacency.sum() == 2 * 78
    np.testing.assert_array_equal(club.adjacency[0], club.adjacency[0].T)
    assert np.bincount(club.labels[0]).tolist() == [17, 17]
    assert club.labels[0, [0, 33]].tolist() == [0, 1]
    assert [int(club.train[club.labels == half].sum()) for half in (0, 1)] == [3, 3]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (dict(count=42), "`count` must be a multiple of 4, one graph of each origin, got 42"),
        (dict(count=4), "`count` must be an integer of at least 8"),
        (dict(most=10), "`most` must be an integer of at least 24"),
        (dict(walks=-1), "`walks`"),
        (dict(train=1.0), "`train`"),
    ],
)
def test_graphs_that_cannot_be_drawn_are_refused(changed, words):
    with pytest.raises(ConfigError, match=words):
        graphs(**dict(key=KEY, count=8) | changed)
