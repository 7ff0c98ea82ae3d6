"""Every number against its definition read out loud, and against closed forms on spheres."""

import numpy as np
import pytest
from controls import BANDWIDTH, random_head, rotated, sphere
from witnesses.bessel import sphere_symbol
from witnesses.heads import detailed_balance, numbers

import attnflow as af
from attnflow.lab.probe import passes
from attnflow.lab.probe.definitions import DEFINITIONS
from attnflow.lab.probe.probing import OF_A_HEAD
from attnflow.lab.probe.sequence import along, interval_along
from attnflow.lab.probe.sources import Given


@pytest.fixture(scope="module")
def small():
    rng = np.random.default_rng(8)
    points = rng.standard_normal((60, 4))
    return points, points @ rng.standard_normal((4, 4)), points + rng.standard_normal((60, 4))


@pytest.fixture(scope="module")
def control():
    return af.probe(**rotated(400, 0)).head


def test_numbers_are_their_definitions(small, monkeypatch):
    points, queries, keys = small
    monkeypatch.setattr(passes, "BLOCK_PAIRS", 60 * 7)  # blocks of seven rows, and a last one of four
    found = af.probe(points, queries=queries, keys=keys).head
    for name, told in numbers(queries @ keys.T / 2, points).items():
        assert found[name] == pytest.approx(told, rel=1e-11, abs=1e-12), name
    assert found["share_cost"] + found["share_potential"] + found["share_circulation"] == pytest.approx(1, abs=1e-12)


def test_the_reversible_spectrum_is_that_of_softmax_without_circulation(small):
    points, queries, keys = small
    found = af.probe(points, queries=queries, keys=keys).head
    eigenvalues, imbalance = detailed_balance(queries @ keys.T / 2)
    assert np.abs(found.spectrum.eigenvalues - eigenvalues).max() < 1e-10
    assert found["irreversibility"] == pytest.approx(imbalance, abs=1e-6)  # the iteration for pi ends at 1e-7
    assert found["second_eigenvalue"] == found.spectrum.eigenvalues[1]


def test_logits_and_queries_with_keys_are_one_head(small):
    points, queries, keys = small
    a = af.probe(points, queries=queries, keys=keys, values=keys, bandwidth=3.0).head
    b = af.probe(points, logits=queries @ keys.T / 3, values=keys).head
    for name in OF_A_HEAD:
        assert a[name] == (None if b[name] is None else pytest.approx(b[name], rel=1e-9, abs=1e-9)), name
    assert a.scale == "L = Q K'/3"
    assert b.scale == "L as given"
    assert np.allclose(a.weights(), b.weights())
    assert np.allclose(a.split().logits(), a.logits())


def on_the_sphere(count):
    """ESS, locality and jump of a dot product on S^2.

    Without the token itself a row has the mean R x, R = i_1(1/eps)/i_0(1/eps), and <|y - x|^2> = 2 (1 - R). Keys vary
    by k^2, whose mean is R_2 x at half the bandwidth: E |m' - R x|^2 = (1 - 2 R R_2 + R^2)/ESS. The token's own weight
    is 1/(1 + nb), nb = (N - 1) eps/2 up to e^{-2/eps}, and shrinks <|y - x|^2> and m - x by what it takes.
    """
    mean, narrow = (sphere_symbol(1, m=2, bandwidth=eps) for eps in (BANDWIDTH, BANDWIDTH / 2))
    ess = count * BANDWIDTH * np.tanh(1 / BANDWIDTH)
    others = 1 - 1 / (1 + (count - 1) * BANDWIDTH / 2)
    moved = others**2 * ((1 - mean) ** 2 + (1 - 2 * mean * narrow + mean**2) / ess)
    spread = others * 2 * (1 - mean) - moved
    return ess, spread, moved / spread


def test_the_sphere_is_a_diffusion_with_the_numbers_of_its_closed_form(control):
    assert control.reading.kind == "diffusion"
    assert control["locality"] == pytest.approx(0.09, abs=0.005)  # as seen before this was written
    assert control["jump"] == pytest.approx(0.05, abs=0.01)
    ess, locality, jump = on_the_sphere(400)
    assert control["ess"] == pytest.approx(ess, rel=0.05)  # five percent and ten are what 400 points leave
    assert control["locality"] == pytest.approx(locality, rel=0.05)
    assert control["jump"] == pytest.approx(jump, rel=0.1)
    assert control["typicality"] == pytest.approx(1, abs=1e-12)
    assert control["gap"] == pytest.approx(0, abs=1e-9)
    assert control["own_top"] == 1
    assert control["share_cost"] == pytest.approx(1, abs=1e-12)
    assert control["negative_cost"] == 0
    assert control["effective_dimension"] == pytest.approx(3, rel=0.05)
    assert control["split_half"] > 0.98


def test_the_large_sphere_comes_nearer_to_its_closed_form():
    found = af.probe(**rotated(4000, 0)).head
    assert found.reading.kind == "diffusion"
    ess, locality, jump = on_the_sphere(4000)
    assert found["ess"] == pytest.approx(ess, rel=0.02)
    assert found["locality"] == pytest.approx(locality, rel=0.01)
    assert found["jump"] == pytest.approx(jump, rel=0.03)
    # Sampling splits those of one degree, the more the higher it is: .034 at degree four for this sample.
    told = [sphere_symbol(degree, m=2, bandwidth=BANDWIDTH) for degree in range(5) for _ in range(2 * degree + 1)]
    assert np.abs(found.spectrum.eigenvalues[:25] - told).max() < 0.06
    assert 24 <= found["slow_modes"] <= 27  # degrees 1 to 4, and the first that sampling splits off .47 of degree five
    assert {mode.label for mode in found.spectrum.modes[:3]} == {"direction of the cloud"}
    assert found["intrinsic_dimension"] == pytest.approx(2, abs=0.15)  # TwoNN varies by 2.2 % for 4000 points


@pytest.mark.parametrize(("degrees", "kind"), [(5, "other"), (30, "jump")])
def test_a_rotated_sphere_has_its_circulation_and_is_no_diffusion(degrees, kind):
    found = af.probe(**rotated(400, degrees)).head
    assert found.reading.kind == kind
    # L = x'Ry/eps: |x'W|^2 over |x'R|^2 is 2 sin^2/3 for evenly spread points; 400 leave 8 %.
    assert found["share_circulation"] == pytest.approx(2 * np.sin(np.deg2rad(degrees)) ** 2 / 3, rel=0.08)
    assert found["own_top"] < 0.8
    assert "tv_without_circulation" in {condition.number for condition in found.reading.failed}


def test_jump_circulation_and_irreversibility_grow_with_the_angle():
    heads = [af.probe(**rotated(300, degrees)).head for degrees in (0, 5, 30)]
    for name in ("jump", "share_circulation", "tv_without_circulation", "irreversibility", "gap"):
        found = [head[name] for head in heads]
        assert found == sorted(found), name
        assert found[2] > found[1] + 0.01 > found[0], name


def test_a_negated_sphere_has_a_negative_cost():
    x = sphere(400)
    found = af.probe(x, queries=-x, keys=x, bandwidth=BANDWIDTH).head
    assert found["negative_cost"] == 1
    assert found["typicality"] < 1e-6
    assert found["share_cost"] == pytest.approx(1, abs=1e-12)
    assert found.reading.kind == "jump"


def test_random_weights_show_nothing():
    for seed in range(4):
        found = af.probe(**random_head(200, seed=seed, scale=1 + 2 * seed)).head
        assert found.reading.words == "nothing to see: as random weights would do", seed


def test_nothing_random_is_called_nothing_because_of_its_size():
    # Of many tokens the draws have fewer; they are compared with the head's own numbers on as many.
    assert af.probe(**random_head(700, seed=1)).head.reading.kind == "nothing"


def test_even_keys_are_averaging_without_any_variance():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 3))
    found = af.probe(x, queries=0 * x, keys=x).head
    assert found.reading.kind == "averaging"
    assert found["share_cost"] is None
    assert found.numbers["share_cost"].reason == "there is no variance to take it of"
    assert found["ess"] == pytest.approx(80)


def test_logits_of_ten_thousand_are_a_choice_of_one_key():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 4))
    found = af.probe(x, logits=1e4 * rng.standard_normal((60, 60))).head
    assert found["ess"] == pytest.approx(1, abs=0.01)
    assert all(number.value is None or np.isfinite(number.value) for number in found.numbers.values())
    assert np.isfinite(found.spectrum.eigenvalues).all()
    assert found.spectrum.eigenvalues[0] == pytest.approx(1, abs=1e-9)


def test_a_planted_sink_is_called_one():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((120, 8))
    logits = 0.3 * rng.standard_normal((120, 120)) + 4 * (np.arange(120) % 20 == 0)
    found = af.probe(x, logits=logits).head
    assert found.reading.kind == "sink"
    assert found["share_potential"] > 0.8
    assert found["tv_without_potential"] > found["tv_without_cost"]


@pytest.mark.parametrize(("leak", "shift"), [(0.0, -1), (0.4, 0), (0.5, 2)])
def test_a_planted_window_and_its_leak_are_found(leak, shift):
    count = 300
    rng = np.random.default_rng(1)
    places = np.arange(count)
    steps = places - places[:, None]
    near = np.exp(-((steps - shift) ** 2) / 2)
    near /= near.sum(axis=1, keepdims=True)
    weights = (1 - leak) * near + leak / count
    found = af.probe(rng.standard_normal((count, 6)), logits=np.log(np.maximum(weights, 1e-12))).head
    assert found.reading.kind == "window"
    assert found["leak"] == pytest.approx(1 - 0.95 * (1 - leak), abs=0.01)  # a window keeps 95 % of what is there
    assert found["step_mean"] == pytest.approx(shift, abs=0.15)  # the tail beyond it is on the side of the shift
    assert found["window_skill"] > 0.95
    assert 1.5 <= found["window"] <= 4.5
    assert found.rows.offsets[np.argmax(found.rows.profile)] == shift


def test_modes_are_named_by_what_made_them():
    count = 120
    rng = np.random.default_rng(2)
    x = rng.standard_normal((count, 6))
    names = np.array(list("ABC"))[np.arange(count) % 3]
    alike = 3.0 * (names[:, None] == names)
    by_name = af.probe(x, logits=alike + 0.01 * rng.standard_normal((count, count)), tokens=names).head
    assert [mode.label for mode in by_name.spectrum.modes[:2]] == ["token identity"] * 2
    steps = np.arange(count) - np.arange(count)[:, None]
    by_place = af.probe(x, logits=-(steps**2) / 200.0, tokens=names).head
    assert [mode.label for mode in by_place.spectrum.modes[:3]] == ["position"] * 3
    assert by_place.spectrum.modes[0].explained > 0.9


def test_each_number_has_its_definition_and_what_it_cannot_say(control):
    assert tuple(control.numbers) == OF_A_HEAD
    for name, number in control.numbers.items():
        definition = number.definition
        assert definition is DEFINITIONS[name]
        assert min(map(len, (definition.title, definition.formula, definition.meaning, definition.cannot_say))) > 3
        if number.value is None:
            assert number.reason
        elif number.low is not None:
            assert number.low <= number.value <= number.high
            assert definition.least <= number.low
            assert number.high <= definition.most
        if number.null is not None:
            assert number.null.low <= number.null.value <= number.null.high
            assert {null.name for null in number.nulls} <= {"gaussian logits", "shuffled keys", "random weights"}


def test_intervals_hold_other_samples():
    # Half widths are told from eight halves, a factor 1.3 either way; numbers of six samples must lie within two.
    names = ("ess", "locality", "jump", "contraction", "second_eigenvalue", "share_circulation", "tv_without_cost")
    heads = [af.probe(**rotated(150, 20, seed=seed)).head for seed in range(6)]
    for name in names:
        values = np.array([head[name] for head in heads])
        widths = np.array([head.numbers[name].high - head.numbers[name].low for head in heads]) / 2
        assert np.abs(values - values.mean()).max() < 2 * widths.mean(), name
        assert values.std(ddof=1) > 0.15 * widths.mean() / 2.365, name


def test_the_same_head_gives_the_same_numbers(small):
    points, queries, keys = small
    a, b = (af.probe(points, queries=queries, keys=keys).head for _ in range(2))
    assert repr(a.numbers) == repr(b.numbers)
    assert repr(a) == "HeadProbe('head 0', 60 tokens, " + repr(a.reading.words) + ")"


def test_intervals_along_a_sequence_hold_other_samples():
    # Forty heads with one planted law of steps: of a 95 % interval fewer than 34 holds have a chance of 1e-3.
    count, rng = 120, np.random.default_rng(0)
    steps = np.arange(count) - np.arange(count)[:, None]
    near = np.exp(-((steps + 0.5) ** 2) / 4)
    law = 0.6 * near / near.sum(axis=1, keepdims=True) + 0.4 / count
    found, widths = [], []
    for _ in range(40):
        logits = Given(np.log(law) + 0.7 * rng.standard_normal((count, count)))
        summed = passes.pass_over(logits, None, None, rng=rng)
        found.append(along(summed))
        widths.append(interval_along(summed))
    for name in ("window", "leak", "step_mean", "step_size", "window_skill"):
        values = np.array([numbers[name] for numbers in found])
        width = np.array([numbers[name] for numbers in widths])
        assert np.sum(np.abs(values - values.mean()) <= width) >= 34, name
        assert width.mean() < 4 * values.std(), name


@pytest.mark.parametrize("shift", [-5, 5])
def test_the_skill_along_a_sequence_knows_which_way_the_window_is_shifted(shift):
    # Five of 120 places turn the shortest of the four cosines by half a radian, of which second order leaves 2 %.
    count = 120
    steps = np.arange(count) - np.arange(count)[:, None]
    found = along(passes.pass_over(Given(-((steps - shift) ** 2) / 2.0), None, None, rng=np.random.default_rng(0)))
    assert found["step_mean"] == pytest.approx(shift, abs=0.7)  # rows near the end find the end instead
    assert found["window_skill"] > 0.9
