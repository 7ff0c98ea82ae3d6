"""What cannot be probed is refused by name before anything is computed."""

from typing import NamedTuple

import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError, DataError, ResourceError
from attnflow.lab.probe import arguments

X = np.random.default_rng(0).standard_normal((60, 4))
NAN = np.where((np.arange(60)[:, None] % 25 == 3) & (np.arange(4) == 1), np.nan, X)
FLAT = np.where(np.arange(4) == 2, 1.0, X)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (dict(), ConfigError, "`points` must be given"),
        (dict(points=X, queries=X), ConfigError, "`keys` must be given with `queries`"),
        (dict(points=X, keys=X), ConfigError, "`queries` must be given with `keys`"),
        (dict(points=X, values=X), ConfigError, "`values` must come with `queries`"),
        (dict(points=X, queries=X, keys=X, logits=X @ X.T), ConfigError, "`logits` must come without"),
        (dict(logits=X @ X.T, bandwidth=2.0), ConfigError, "`bandwidth` must be left out"),
        (dict(points=X, queries=X, keys=X, bandwidth=-1.0), ConfigError, "`bandwidth` must be positive"),
        (dict(points=X, bandwidth="wide"), ConfigError, "`bandwidth` must be positive"),
        (dict(points=X[:49]), DataError, r"`points` must have at least 50 rows, got shape \(49, 4\)"),
        (dict(points=X.T), DataError, "Transpose it"),
        (dict(points=FLAT), DataError, "got 1 constant of 4: 2. Drop those"),
        (dict(points=np.ones((60, 2))), DataError, "got 2 constant of 2: 0, 1"),
        (dict(points=NAN), DataError, "NaN or Inf in 3 of 60 rows: 3, 28, 53"),
        (dict(points=X, queries=X, keys=NAN), DataError, "`keys` must be finite, got NaN or Inf in 3 of 60 rows"),
        (dict(points=X, queries=X, keys=X, values=X[:55]), DataError, r"`values` must have as many rows as `points`"),
        (dict(points=X, queries=X, keys=X[:, :3]), DataError, "`keys` must have as many columns as `queries`"),
        (dict(points=X, logits=X), DataError, "`logits` must be square"),
        (dict(points=X, queries=[X, X], keys=[X, X, X]), DataError, "`queries` 2, `keys` 3"),
        (dict(points=X[:, 0]), DataError, r"`points` must have shape \(N, d\)"),
        (dict(points=[["a"] * 4] * 60), DataError, "`points` must be an array of real numbers"),
        (dict(points=X, tokens=["a"]), DataError, "`tokens` must have 60 names"),
        (dict(points=X, queries=X, keys=X, names=["a", "b"]), DataError, "`names` must have 1 entries"),
    ],
)
def test_bad_input_is_refused_by_name(given, error, words):
    with pytest.raises(error, match=words):
        af.probe(**given)


def test_too_many_tokens_are_refused_with_what_they_would_take(monkeypatch):
    monkeypatch.setattr(arguments, "MOST", 55)
    with pytest.raises(
        ResourceError, match=r"`points` has 60 rows, of at most 55: .* minutes of a core. Take every 2th"
    ):
        af.probe(X)


def test_more_memory_than_is_free_is_refused_before_computing(monkeypatch):
    class Memory(NamedTuple):
        available: int = 200_000  # 60 tokens want 8 copies of 4 columns and 6 matrices: 188 kB

    monkeypatch.setattr(arguments.psutil, "virtual_memory", Memory)
    assert af.probe(X[:58]).count == 58
    with pytest.raises(
        ResourceError, match=r"`points` has 60 rows and 8 columns with its values, which take 0.0 GB of"
    ):
        af.probe(X, queries=X, keys=X, values=X)


def test_several_heads_share_what_has_no_axis_of_heads():
    found = af.probe(X, queries=np.stack([X, -X]), keys=X, bandwidth=1.0, names=["like", "unlike"])
    assert [head.name for head in found.heads] == ["like", "unlike"]
    alone = af.probe(X, queries=-X, keys=X, bandwidth=1.0).head
    assert repr(found.heads[1].numbers) == repr(alone.numbers)
    assert found.table(("typicality", "locality_values")).shape == (2, 2)
    assert np.isnan(found.table(("locality_values",))).all()
    with pytest.raises(ConfigError, match="`head` is for a probe of one head, this one has 2"):
        _ = found.head
    assert repr(found).startswith("Probe(2 heads of 60 tokens: ")


def test_logits_alone_say_what_they_can():
    found = af.probe(logits=X @ X.T).head
    assert found["locality"] is None
    assert found.numbers["locality"].reason == "there are no coordinates"
    assert found.numbers["split_half"].reason == "there are neither coordinates nor values"
    assert found["share_cost"] == pytest.approx(af.probe(X, logits=X @ X.T).head["share_cost"])
    assert {null.name for null in found.numbers["typicality"].nulls} == {"shuffled keys", "gaussian logits"}


def test_a_large_head_is_taken_in_blocks_and_says_what_it_leaves_out(monkeypatch):
    monkeypatch.setattr("attnflow.lab.probe.probing.MOST_TOKENS", 55)
    found = af.probe(X, queries=X, keys=X).head
    assert found.spectrum is None
    assert found.numbers["slow_modes"].reason == "it takes a matrix, of at most 55 tokens"
    assert found["ess"] > 1
