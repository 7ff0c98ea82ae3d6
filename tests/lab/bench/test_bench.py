"""The bench: every row is there, errors are measured and below what is declared, nothing optional is needed."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from attnflow.cli import main
from attnflow.lab.bench import engines, measuring, motion, tables, tokens
from attnflow.lab.bench.engines import Answer, Engine, Problem
from attnflow.lab.bench.figure import cost_curves
from attnflow.lab.bench.machine import head, load_line, machine
from attnflow.lab.bench.measuring import Measurement, delivered, race
from attnflow.lab.bench.tables import Choice, Growth, slope
from attnflow.lab.bench.text import growth_text, planner_text, sizes_text, step_text, tokens_text, wrapped
from attnflow.lab.bench.tokens import TokenRow


def problem(count=500, bandwidth=0.05):
    return Problem.draw(count, cloud="sphere", bandwidth=bandwidth, rtol=1e-6)


def exact(asked):
    """A layer without tricks."""
    squares = ((asked.points[:, None] - asked.points) ** 2).sum(axis=-1)
    kernel = np.exp(-squares / (2 * asked.bandwidth))
    totals = kernel.sum(axis=1)
    return Answer((kernel @ asked.values)[:, 0] / totals, totals, None, "exact")


def engine(answer, name="toy"):
    return Engine(name, "float64", 1, lambda asked: lambda: answer(asked))


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """One quick bench without peers: what it printed, its JSON and its figures."""
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "optional", lambda name: None)
        patch.setattr(tokens, "optional", lambda name: None)
        # What is asked of the tables holds at any size; the gradients are compiled for each.
        patch.setattr(tables, "BEST_OF", 1)
        patch.setattr(tables, "QUICK_COUNTS", (1200, 2000))
        patch.setattr(tokens, "COUNTS", (300,))
        patch.setattr(tokens, "DIM", 5)
        patch.setattr(tokens, "ROUNDS", 1)
        patch.setattr(motion, "QUICK_COUNT", 4000)
        patch.setattr(motion, "PAIRS_COUNT", 1200)
        patch.setattr(tokens, "COSTS", {"dot product": tokens.COSTS["dot product"]})  # each compiles for seconds
        patch.chdir(folder)
        patch.setenv("COLUMNS", "200")
        printed = []
        patch.setattr("builtins.print", lambda *words, sep=" ", **_: printed.append(sep.join(map(str, words))))
        assert main(["bench", "--quick", "--json", "rows.json"]) == 0
    return "\n".join(printed), json.loads((folder / "rows.json").read_text()), folder / ".attnflow"


def test_the_quick_tables_hold_every_method_and_the_machine(quick):
    text, rows, _ = quick
    assert "gradient: of the sum of a dense layer by its points" in text
    names = {(row["engine"], row["dtype"]) for row in rows["one_step"]}
    assert names >= {(name, "float64") for name in ("dense", "cutoff", "fourier", "NumPy")} | {("dense", "float32")}
    assert {row["engine"] for row in rows["sizes"]} >= {"dense", "cutoff", "fourier", "auto", "NumPy"}
    for word in ("BLAS threads", "XLA_FLAGS", "xla_cpu_prefer_vector_width=512", "jax", "numpy", "finufft", "cores"):
        assert word in text
    assert all(row["seconds"] > 0 and row["cpu"] > 0 and row["rate"] > 0 for row in rows["one_step"])
    assert "Attention of 5 coordinates and channels" in text
    assert len(rows["tokens"]) == 4  # of one cost in two precisions, a layer and a gradient
    assert all(row["cpu"] > 0 and row["ratio"] is None for row in rows["tokens"])


def test_tokens_that_move_are_told_beside_all_pairs(quick):
    text, rows, _ = quick
    assert "Tokens that move: softmax <x, y>/eps, eps = 0.05" in text
    assert [(row["place"], row["points"], row["layers"]) for row in rows["motion"]] == [
        ("circle", 4000, 2),
        ("sphere", 4000, 2),
    ]
    for row in rows["motion"]:
        assert row["per_token"] == row["cpu"] / 8000
        assert row["of_all_pairs"] == row["per_token"] / (4000 * row["pair"])
        assert row["declared"] < 1e-6 * 2 * motion.DT


def test_delivered_errors_are_below_declared_ones(quick):
    _, tables_, _ = quick
    rows = [row for row in tables_["one_step"] + tables_["sizes"] if row["declared"] is not None]
    assert len(rows) >= 8
    for row in rows:
        # The direct sum that they are compared with rounds at 1e-14 itself.
        assert row["error"] <= row["declared"] + 1e-14
        assert row["row_sum_error"] <= row["declared"] + 1e-14
        assert row["declared"] <= row["rtol"]


def test_what_is_not_installed_is_a_line(quick):
    text, _, _ = quick
    assert "KeOps: not installed" in text.splitlines()
    assert "torch: not installed" in text.splitlines()


def test_the_cost_curves_are_written(quick):
    _, _, out = quick
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "bench.pdf").read_bytes().startswith(b"%PDF")


def test_the_figure_shows_what_was_measured_and_what_was_predicted():
    rows = [
        Measurement(
            engine="dense", dtype="float64", dim=3, points=n, bandwidth=eps, rtol=1e-6, cores=2,
            seconds=1e-9 * n**2 if n < 1e4 else None, predicted=2e-9 * n**2,
        )
        for eps in (0.1, 0.01)
        for n in (1000, 3000, 20000)
    ]  # fmt: skip
    first, second = cost_curves(rows, about="here").axes
    assert [ax.get_title() for ax in (first, second)] == ["bandwidth ε = 0.1", "bandwidth ε = 0.01"]
    modelled, measured = (line for line in second.lines if len(line.get_xdata()))
    np.testing.assert_allclose(modelled.get_ydata(), [2e-3, 1.8e-2, 0.8], rtol=1e-14)
    np.testing.assert_array_equal(measured.get_xdata(), [1000, 3000])


def test_tokens_are_the_layers_they_are_said_to_be(quick):
    _, rows, _ = quick
    layers = [row for row in rows["tokens"] if row["direction"] == "layer"]
    assert [row["dtype"] for row in layers] == ["float64", "float32"]
    for row in layers:
        assert row["error"] < (1e-12 if row["dtype"] == "float64" else 1e-4)  # asked for 1e-8 and 1e-4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_causal_tokens_are_the_layer_of_those_before(monkeypatch, dtype):
    monkeypatch.setattr(tokens, "DIM", 9)  # coordinates of which logits are products
    drawn = tokens.Tokens.draw(1100, dtype=dtype)
    (cost,) = tokens.CAUSAL
    exact, rows = tokens._direct(drawn, cost)
    found = tokens._own(drawn, cost, dtype).layer()[rows]
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-12 if dtype == "float64" else 1e-4)  # asked for 1e-4
    assert np.abs(found - tokens._direct(drawn, "queries and keys")[0]).max() > 0.1


@pytest.mark.parametrize("cost", sorted(tokens.COSTS.keys() - tokens.CAUSAL))
def test_the_gradient_of_tokens_is_that_of_the_sum_of_squares_of_a_layer(monkeypatch, cost):
    monkeypatch.setattr(tokens, "DIM", 5)
    drawn, step = tokens.Tokens.draw(300, dtype="float64"), 1e-6
    direction = np.random.default_rng(1).standard_normal(drawn.points.shape)

    def loss(points):
        costs = {
            "squared distance": ((points[:, None] - points) ** 2).sum(axis=-1),
            "dot product": -2 * points @ points.T,
            "queries and keys": -2 * points @ drawn.of_queries.T @ drawn.of_keys @ points.T,
        }
        squares = costs[cost]
        kernel = np.exp(squares / (-2 * drawn.bandwidth))
        return ((kernel @ drawn.values / kernel.sum(axis=1, keepdims=True)) ** 2).sum()

    own = tokens._own(drawn, cost, "float64")
    exact, rows = tokens._direct(drawn, cost)
    np.testing.assert_allclose(own.layer()[rows], exact, rtol=0, atol=1e-12)
    slope_of_sum = (own.gradient() * direction).sum()
    ends = [loss(drawn.points + sign * step * direction) for sign in (1, -1)]
    # The difference quotient is off by step^2 and by rounding / step, 1e-9 or so relative to sums of some hundreds.
    assert slope_of_sum == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_torch_computes_the_same_layers_and_gradients(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(tokens, "DIM", 5)
    monkeypatch.setattr(tokens, "COUNTS", (300,))
    for row in tokens.token_rows():
        tolerance = 1e-11 if row.dtype == "float64" else 1e-3  # roundings, and gradients of sums that cancel
        assert row.error < tolerance
        assert row.direction == "gradient" or row.torch_error < tolerance
        assert row.ratio > 0


def test_a_wrong_average_and_a_wrong_row_sum_are_seen():
    asked = problem()
    right = exact(asked)
    assert max(delivered(right, asked)) < 1e-13  # rounding of 500 terms
    error, row_sum_error = delivered(right._replace(averages=right.averages + 1e-6, totals=right.totals * 1.01), asked)
    assert error == pytest.approx(1e-6, rel=1e-6)
    assert row_sum_error == pytest.approx(0.01, rel=1e-6)
    assert delivered(right._replace(totals=None), asked)[1] is None


def test_a_method_that_is_refused_is_told_and_the_others_run():
    asked = problem(bandwidth=1e-8)  # a grid of 1e14 bytes
    fourier, toy = race([tables._engine("fourier"), engine(exact)], asked, rounds=1)
    assert fourier.seconds is None
    assert "GB" in fourier.note
    assert toy.seconds > 0


def test_what_exceeds_the_budget_is_predicted_and_said_so(monkeypatch):
    monkeypatch.setattr(tables, "BUDGET", 0.0)
    monkeypatch.setattr(engines, "optional", lambda name: None)
    numpy = Measurement("NumPy", "float64", 3, 1000, 0.01, 1e-6, 1, seconds=0.5)
    rows = list(tables.sizes([numpy], quick=True))
    assert all(row.seconds is None and row.predicted > 0 for row in rows)
    predicted = [row.predicted for row in rows if row.engine == "NumPy"]
    assert predicted == pytest.approx([0.5 * 4.096**2, 0.5 * 8.192**2])
    assert "~8.39" in "\n".join(sizes_text(rows, width=200))


def test_an_engine_that_is_slow_runs_once_and_its_memory_is_seen():
    calls = []

    def slow(asked):
        held = np.ones(8_000_000)  # 64 MB
        calls.append(len(asked.points))
        time.sleep(0.1)
        return exact(asked)._replace(method=str(held[0]))

    (row,) = race([engine(slow, "slow")], problem(), rounds=5, enough=0.05)
    assert calls == [measuring.WARM_POINTS, 500]
    assert row.next_seconds is None
    # A look every 2 ms; part of the array may lie in pages that the process already had.
    assert 4e7 < row.memory < 2e8


def choice(method, **seconds):
    return Choice(
        cloud="sphere", dim=3, points=1000, bandwidth=0.01, rtol=1e-6, method=method, seconds=seconds,
        cpu={name: each and each**2 for name, each in seconds.items()},
        predicted={"dense": 1.0, "cutoff": 1.5, "fourier": 90.0},
    )  # fmt: skip


def test_a_choice_is_compared_with_the_fastest_method():
    good, bad = choice("dense", dense=2.0, cutoff=2.5, fourier=None), choice("cutoff", dense=1.0, cutoff=4.0)
    assert (good.best, good.ratio, bad.best, bad.ratio) == ("dense", 1.0, "dense", 4.0)
    assert (good.cpu_ratio, bad.cpu_ratio) == (1.0, 16.0)
    assert choice("fourier", dense=1.0, fourier=None).ratio == float("inf")
    text = "\n".join(planner_text([good, bad], width=200))
    assert "1 of 2 (50%)" in text
    assert "the worst 4.00x (cutoff for dense" in text
    assert "above 3x: 1" in text
    assert "(90)" in text  # predicted only


def test_the_grid_of_the_planner_has_sixty_problems_in_one_to_six_coordinates():
    grid = tables.planner_grid()
    assert len(set(grid)) == len(grid) == 60
    assert {engines.CLOUDS[cloud](4, np.random.default_rng(0)).shape[1] for cloud, *_ in grid} == {1, 2, 3, 4, 6}


def test_the_planner_is_checked_against_every_method():
    (found,) = tables.planner_check([("square", 0.05, 3000, 1e-6)])
    assert set(found.predicted) == {"dense", "cutoff", "fourier"}
    assert found.seconds[found.method] >= found.seconds[found.best] > 0


def test_exponents_are_slopes_in_logarithms():
    sizes = [100, 400, 1600, 9000]
    assert slope(sizes, [3.0 * n**1.25 for n in sizes]) == pytest.approx(1.25, abs=1e-12)
    grown = Growth(
        "cutoff", "sphere", "neighbours", sizes, [0.1] * 4, [2.0 * n for n in sizes], [n**0.5 for n in sizes]
    )
    assert (grown.exponent, grown.next_exponent) == (pytest.approx(1.0), pytest.approx(0.5))
    assert "1.000" in growth_text([grown], width=200)[2]


def test_blas_threads_above_one_are_warned_of():
    facts = machine()
    assert not any("set OPENBLAS" in line for line in head({**facts, "blas_threads": 1}))
    assert any("set OPENBLAS_NUM_THREADS=1" in line for line in head({**facts, "blas_threads": 4}))


def test_the_load_of_other_processes_is_told(quick):
    text, rows, _ = quick
    assert rows["other_cores"] >= 0
    assert "cores busy meanwhile" in text.splitlines()[-1]
    assert "run it again" in load_line(1.5)
    assert "run it again" not in load_line(0.1)


def test_tables_fit_a_narrow_terminal(quick):
    _, rows, _ = quick
    step, sizes = (
        [Measurement(**{name: row[name] for name in Measurement.__dataclass_fields__}) for row in rows[table]]
        for table in ("one_step", "sizes")
    )
    refused = replace(step[0], seconds=None, note="a sentence that is longer than the terminal is wide, " * 2)
    texts = [
        *step_text([*step, refused], ["KeOps"], width=60),
        *sizes_text(sizes, width=60),
        *planner_text([choice("dense", dense=1.0)], width=60),
        *tokens_text(
            [TokenRow(**{name: row[name] for name in TokenRow.__dataclass_fields__}) for row in rows["tokens"]],
            ["torch"],
            width=60,
        ),
        *wrapped(head(rows["machine"]), width=60),
    ]
    assert max(map(len, texts)) <= 60
    assert not any(line != line.rstrip() for line in texts)


def test_the_gradient_is_compiled_before_it_is_timed_and_is_no_layer():
    asked = problem(40)
    gradient = engines.gradient_engine()
    before = engines._gradient._cache_size()
    race([gradient], asked, rounds=2)
    assert engines._gradient._cache_size() == before + 1
    assert delivered(gradient.prepare(asked)(), asked) == (None, None)


def test_the_gradient_is_that_of_a_layer():
    asked, step = problem(40), 1e-6
    direction = np.random.default_rng(1).standard_normal(asked.points.shape)
    ends = [exact(asked._replace(points=asked.points + sign * step * direction)).averages.sum() for sign in (1, -1)]
    slope_of_sum = (np.asarray(engines._gradient(asked.points, asked.values, asked.bandwidth)) * direction).sum()
    # The difference quotient is off by step^2 and by rounding / step, 1e-9 or so relative to sums of a few hundred.
    assert slope_of_sum == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "nowhere/rows.json"], "does not exist"),
        (["--figure", "nowhere/costs.png"], "does not exist"),
        (["--figure", "costs.jpg"], "must be one of '', '.png', '.pdf', got '.jpg'"),
        (["--growth", "--figure", "costs.png"], "draws no `--figure`"),
    ],
)
def test_a_file_that_could_not_be_written_is_refused_before_any_work(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err


def test_help_names_the_options(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["bench", "--help"])
    text = capsys.readouterr().out
    assert all(option in text for option in ("--quick", "--tokens", "--planner", "--growth", "--figure", "--json"))


@pytest.mark.parametrize("module", ["pykeops", "torch"])
def test_a_peer_that_is_installed_computes_the_same_layer(module):
    pytest.importorskip(module)
    asked = problem()
    name = {"pykeops": "KeOps", "torch": "torch"}[module]
    for peer in (each for each in engines.peers()[0] if each.name == name):
        tolerance = 1e-12 if peer.dtype == "float64" else 1e-4  # rounding of logits up to 40
        assert delivered(peer.prepare(asked)(), asked)[0] < tolerance
