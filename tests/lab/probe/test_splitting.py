"""Logits split exactly, and only in what attention sees."""

import numpy as np
import pytest

from attnflow.errors import DataError
from attnflow.lab.probe.sources import Given, Products, plain
from attnflow.lab.probe.splitting import split

N = 60
ROUNDING = 1e-12  # relative to logits of order ten, sums of sixty


@pytest.fixture(scope="module")
def head():
    rng = np.random.default_rng(3)
    return rng.standard_normal((N, 5)) + 0.5, rng.standard_normal((N, 5))


def test_the_parts_give_the_logits_back(head):
    queries, keys = head
    logits = queries @ keys.T
    parts = split(logits)
    assert np.abs(parts.logits() - logits).max() < ROUNDING * np.abs(logits).max()


def test_the_parts_are_what_they_are_called(head):
    parts = split(head[0] @ head[1].T)
    assert np.abs(parts.cost - parts.cost.T).max() < 1e-13
    assert np.abs(np.diagonal(parts.cost)).max() < 1e-13
    assert np.abs(parts.circulation + parts.circulation.T).max() < 1e-13
    assert np.abs(parts.circulation.sum(axis=1)).max() < 1e-11
    assert abs(parts.potential.mean()) < 1e-13


def test_a_planted_potential_and_a_planted_circulation_are_found():
    rng = np.random.default_rng(4)
    points = rng.standard_normal((N, 4))
    cost = np.sum((points[:, None] - points) ** 2, axis=2)
    potential = rng.standard_normal(N)
    potential -= potential.mean()
    drawn = rng.standard_normal((N, N))
    drawn -= drawn.T
    lean = drawn.mean(axis=1)
    circulation = drawn - lean[:, None] + lean
    parts = split(rng.standard_normal(N)[:, None] + potential - cost / 2 + circulation)
    assert np.abs(parts.cost - cost).max() < 1e-10
    assert np.abs(parts.potential - potential).max() < 1e-10
    assert np.abs(parts.circulation - circulation).max() < 1e-10


def test_the_split_does_not_see_what_attention_does_not_see(head):
    queries, keys = head
    rng = np.random.default_rng(5)
    change = rng.standard_normal((5, 5)) + 3 * np.eye(5)
    told = split(queries @ keys.T)
    for q, k in (
        (queries @ change, keys @ np.linalg.inv(change).T),
        (queries, keys + rng.standard_normal(5)),
    ):
        same = split(q @ k.T)
        assert np.abs(same.cost - told.cost).max() < 1e-11
        assert np.abs(same.circulation - told.circulation).max() < 1e-11
        assert np.abs(same.potential - told.potential).max() < 1e-11


def test_key_norms_are_seen_to_move_where_the_split_stays(head):
    # The control of the last test: |Qx - Ky|^2 with the key norm as potential is not well defined.
    keys = head[1]
    assert np.ptp(np.sum((keys + 3) ** 2, axis=1) - np.sum(keys**2, axis=1)) > 1


def test_a_plain_cost_is_its_squared_distance_and_nothing_else():
    points = np.random.default_rng(6).standard_normal((N, 3))
    parts = split(plain(points, 0.3).matrix())
    distances = np.sum((points[:, None] - points) ** 2, axis=2)
    assert np.abs(parts.cost - distances / 0.3).max() < 1e-11
    assert np.abs(parts.circulation).max() < 1e-13
    # -|x - y|^2/2 is symmetric with 0 on its diagonal: no potential is left.
    assert np.ptp(split(-distances / 0.6).potential) < 1e-13


@pytest.mark.parametrize("kind", ["products", "given", "plain"])
def test_rows_columns_means_and_subsets_are_those_of_the_matrix(kind, head):
    queries, keys = head
    source = {
        "products": Products(queries, keys, 2.0),
        "given": Given(queries @ keys.T),
        "plain": plain(keys, 0.5),
    }[kind]
    matrix = source.matrix()
    some = slice(7, 12)
    assert source.count == N
    assert np.allclose(source.rows(some), matrix[some], atol=1e-13)
    assert np.allclose(source.columns(some), matrix[:, some].T, atol=1e-13)
    assert np.allclose(source.own(), np.diagonal(matrix), atol=1e-13)
    assert np.allclose(source.means()[0], matrix.mean(axis=1), atol=1e-13)
    assert np.allclose(source.means()[1], matrix.mean(axis=0), atol=1e-13)
    first, second = np.array([3, 1, 8]), np.array([0, 9, 2])
    assert np.allclose(source.of(first).matrix(), matrix[np.ix_(first, first)], atol=1e-13)
    assert np.allclose(source.of(first, second).matrix(), matrix[np.ix_(first, second)], atol=1e-13)
    centred = matrix - matrix.mean(axis=1, keepdims=True)
    assert source.squared_gram() == pytest.approx(np.sum((centred.T @ centred) ** 2), rel=1e-12)


@pytest.mark.parametrize("logits", [np.zeros((3, 4)), np.zeros(3), np.zeros((0, 0)), [[0.0, np.nan], [0.0, 0.0]]])
def test_what_is_no_square_matrix_is_refused(logits):
    with pytest.raises(DataError, match="`logits`"):
        split(logits)
