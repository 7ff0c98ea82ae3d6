"""Graphs to be told apart by how they came about, and one whose vertices are to be told apart."""

from __future__ import annotations

import jax
import networkx as nx
import numpy as np

from attnflow._checks import check_integer
from attnflow.densities.sampling import generator_of
from attnflow.errors import ConfigError
from attnflow.learn.data.base import GraphSets, TokenSets, split_of

ORIGINS = ("uniform", "small world", "preferential attachment", "communities")
FEWEST = 12  # vertices: with less, graphs of all kinds look alike
_DEGREES = 10  # from one to this or more, by one coordinate each
_EDGES_PER_VERTEX = 2
_REWIRED = 0.1  # of the edges of a small world
_BETWEEN = 0.1  # of the edges between two communities, relative to those inside


def graphs(*, key: jax.Array, count: int = 200, most: int = 30, walks: int = 6, train: float = 0.5) -> GraphSets:
    """Return random graphs of four origins, which are their labels: all have twice as many edges as vertices.

    Uniform: any graph with so many edges. Small world: a ring in which all are linked with the next two, and a tenth of
    the edges rewired. Preferential attachment: each new vertex is linked with two old ones, more often with those that
    have many links. Communities: two halves with ten times as many links inside as between. All are connected; edges
    that are missing are added, and those too many taken away at random, so that neither number tells the origin.

    A vertex is told by its degree, one coordinate for each up to 10 and more, and by the probability that a random walk
    from it is back after 2, 3, ... steps.

    Args:
        key: the randomness.
        count: how many graphs, a multiple of 4.
        most: vertices, N; graphs have N/2 to N, of each origin as many of one size.
        walks: how many return probabilities there are.
        train: the share of graphs of each origin that is for training.

    Raises:
        ConfigError: if a number is too small, the count no multiple of 4, or the share not between 0 and 1.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.graphs(key=jax.random.key(0), count=40)
        GraphSets(graphs: 40 graphs of up to 30 vertices, 16 features, 4 classes, 20 of 40 for training)
    """
    most, walks = check_integer(most, "most", minimum=2 * FEWEST), check_integer(walks, "walks", minimum=0)
    if check_integer(count, "count", minimum=2 * len(ORIGINS)) % len(ORIGINS):
        raise ConfigError(f"`count` must be a multiple of {len(ORIGINS)}, one graph of each origin, got {count}.")
    generator = generator_of(key)
    labels = np.tile(np.arange(len(ORIGINS)), count // len(ORIGINS))
    sizes = np.repeat(generator.integers(most // 2, most + 1, count // len(ORIGINS)), len(ORIGINS))
    sizes[: len(ORIGINS)] = most  # so that all draws have one shape
    tokens, adjacency = np.zeros((count, most, _DEGREES + walks)), np.zeros((count, most, most), dtype=bool)
    for row, (label, size) in enumerate(zip(labels.tolist(), sizes.tolist(), strict=True)):
        links = nx.to_numpy_array(_graph(ORIGINS[label], size, generator), dtype=bool)
        adjacency[row, :size, :size] = links
        tokens[row, :size] = vertex_features(links, walks=walks)
    chosen = split_of(labels, train, key=key)
    present = np.arange(most) < sizes[:, None]
    return GraphSets("graphs", tokens, adjacency, present, labels, len(ORIGINS), chosen)


def karate_club(*, key: jax.Array, train: float = 0.2) -> TokenSets:
    """Return the 34 members of a karate club that broke in two, linked by friendship: who went where  [Za].

    They are told by nothing but who they are, one coordinate each, and their friends.

    Args:
        key: which of them are for training.
        train: their share, of both halves.

    Raises:
        ConfigError: if the share is not between 0 and 1.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.karate_club(key=jax.random.key(0))
        TokenSets(karate club: 1 set of 34 tokens, 34 coordinates, 2 classes, 6 of 34 for training)
    """
    club = nx.karate_club_graph()
    labels = np.array([club.nodes[member]["club"] == "Officer" for member in club], dtype=int)
    links = nx.to_numpy_array(club, weight=None).astype(bool)
    chosen = split_of(labels, train, key=key)
    return TokenSets("karate club", np.eye(len(labels))[None], labels[None], 2, chosen[None], adjacency=links[None])


def vertex_features(adjacency: np.ndarray, *, walks: int) -> np.ndarray:
    """Return what tells the vertices of a graph (N, N): degrees, one of 10 coordinates, and return probabilities."""
    degrees = adjacency.sum(axis=1)
    by_degree = np.minimum(degrees, _DEGREES)[:, None] == np.arange(1, _DEGREES + 1)
    step = adjacency / degrees[:, None]
    back, after = [], step
    for _ in range(walks):
        after = after @ step
        back.append(np.diag(after))
    return np.concatenate([by_degree, *(each[:, None] for each in back)], axis=1)


def _graph(origin: str, size: int, generator: np.random.Generator) -> nx.Graph:
    """Return a connected graph of some origin and size, with twice as many edges as vertices."""
    while True:
        seed = int(generator.integers(2**31))
        if origin == "uniform":
            graph = nx.gnm_random_graph(size, _EDGES_PER_VERTEX * size, seed=seed)
        elif origin == "small world":
            graph = nx.watts_strogatz_graph(size, 2 * _EDGES_PER_VERTEX, _REWIRED, seed=seed)
        elif origin == "preferential attachment":
            graph = nx.barabasi_albert_graph(size, _EDGES_PER_VERTEX, seed=seed)
        else:
            half = size // 2
            inside = 2 * _EDGES_PER_VERTEX / ((1 + _BETWEEN) * (half - 1))
            between = _BETWEEN * inside
            graph = nx.stochastic_block_model([half, size - half], [[inside, between], [between, inside]], seed=seed)
        _settle(graph, _EDGES_PER_VERTEX * size, generator)
        if nx.is_connected(graph):
            return graph


def _settle(graph: nx.Graph, edges: int, generator: np.random.Generator) -> None:
    """Add or take away edges at random until there are so many."""
    there = list(graph.edges)
    if len(there) > edges:
        graph.remove_edges_from([there[i] for i in generator.permutation(len(there))[edges:]])
        return
    missing = list(nx.non_edges(graph))
    graph.add_edges_from([missing[i] for i in generator.permutation(len(missing))[: edges - len(there)]])
