"""Five heads of a trained protein model: none is a diffusion, and half of their tokens say the same of them."""

from pathlib import Path

import numpy as np
import pytest
from controls import random_head, rotated
from scipy.stats import spearmanr

import attnflow as af
from attnflow.lab.probe.numbers import numbers_of_pass
from attnflow.lab.probe.passes import pass_over
from attnflow.lab.probe.sources import Products

FILE = Path(__file__).parents[2] / "data" / "antiberty_trastuzumab.npz"


@pytest.fixture(scope="module")
def file():
    with np.load(FILE, allow_pickle=False) as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def heads(file):
    which = [tuple(map(int, pair)) for pair in file["heads"]]
    stacked = {kind: np.stack([file[f"{kind}_{layer}_{head}"] for layer, head in which]) for kind in "QKV"}
    found = af.probe(
        np.stack([file[f"X_{layer}"] for layer, _ in which]),
        queries=stacked["Q"],
        keys=stacked["K"],
        values=stacked["V"],
        tokens=file["tokens"],
        names=[f"{layer}.{head}" for layer, head in which],
    )
    return {head.name: head for head in found.heads}


def test_the_licence_stays_with_the_file():
    words = FILE.with_suffix(".md").read_text(encoding="utf-8")
    assert "MIT License" in words
    assert "Jeffrey Ruffolo" in words


def test_no_trained_head_is_called_a_diffusion(heads):
    assert set(heads) == {"0.4", "1.2", "4.3", "7.0", "7.3"}
    for head in heads.values():
        assert head.reading.kind not in ("diffusion", "nothing"), head
        assert {condition.number for condition in head.reading.failed} >= {"typicality", "locality", "jump"}
        assert head["own_top"] <= 0.06
        assert head["typicality"] < 0.89


def test_they_are_what_they_are_known_for(heads):
    assert {name: head.reading.kind for name, head in heads.items()} == {
        "0.4": "window", "1.2": "window", "4.3": "window", "7.0": "window", "7.3": "sink",
    }  # fmt: skip
    assert heads["1.2"].rows.offsets[np.argmax(heads["1.2"].rows.profile)] == -1  # the previous residue
    both = heads["0.4"].rows
    assert set(both.offsets[np.argsort(both.profile)[-2:]]) == {-1, 1}  # both neighbours
    assert heads["7.3"]["share_potential"] > 0.5
    assert max(heads, key=lambda name: heads[name]["window_skill"]) == "7.0"  # nearest to a diffusion of this model


def test_random_weights_on_the_same_tokens_show_nothing(file):
    rng = np.random.default_rng(0)
    x = file["X_4"].astype(float)
    queries, keys = (x @ rng.standard_normal((512, 64)) / 512**0.5 for _ in range(2))
    assert af.probe(x, queries=queries, keys=keys).head.reading.kind == "nothing"


def test_what_is_said_of_heads_is_the_same_of_half_their_tokens(file):
    rng = np.random.default_rng(1)
    cases = [
        (file[f"X_{layer}"], file[f"Q_{layer}_{head}"], file[f"K_{layer}_{head}"], 8.0) for layer, head in file["heads"]
    ]
    for control in (*(rotated(200, degrees) for degrees in (0, 5, 30)), random_head(200, seed=0)):
        scale = control.get("bandwidth", 4.0)
        cases.append((control["points"], control["queries"], control["keys"], scale))
    whole, half = [], []
    for points, queries, keys, scale in cases:
        points, queries, keys = (array.astype(float) for array in (points, queries, keys))
        kept = np.sort(rng.permutation(len(points))[: len(points) // 2])
        for which, found in ((np.arange(len(points)), whole), (kept, half)):
            logits = Products(queries[which], keys[which], scale)
            summed = pass_over(logits, points[which], None, rng=rng)
            found.append(numbers_of_pass(summed, square=logits.squared_gram(), tokens=len(which)))
    names = ("typicality", "share_cost", "share_potential", "share_circulation", "negative_cost", "contraction")
    for name in names:
        # The sources report rank correlations of .9 and more across inputs; ties of exact zeros are spread by rounding.
        pair = [np.round([numbers[name] for numbers in side], 6) for side in (whole, half)]
        assert spearmanr(*pair).statistic > 0.9, name


def test_reports_are_short(heads):
    head = heads["7.0"]
    assert len(repr(head)) < 100
    assert repr(head.numbers["typicality"]).startswith("typicality = 0.379 [")
    assert repr(head.rows).startswith("Rows(122 tokens, ess ")
    assert len(repr(head.spectrum)) < 100
