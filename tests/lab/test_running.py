"""Running what is missing: reuse, failures, signals, and what is told meanwhile."""

import os
import signal
import sys
import threading

import jax
import numpy as np
import pytest
from threadpoolctl import threadpool_info
from toy_study import LADDER, measure, study

from attnflow.errors import DataError, PrecisionError
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run
from attnflow.lab.store import Store


def test_a_run_measures_everything_once_and_then_reuses_it(store):
    first = run_study(study(), store, quick=False)
    again = run_study(study(), store, quick=False)
    assert (first.computed, first.reused, first.failures, first.signal) == (8 * 3, 0, (), None)
    assert (again.computed, again.reused) == (0, 8 * 3)


def test_the_full_run_reuses_the_quick_one(store):
    assert run_study(study(), store, quick=True).computed == 3
    assert read_run(study(), store).setting == "quick"
    assert run_study(study(), store, quick=False).reused == 3
    assert read_run(study(), store).setting == "full"


def test_a_new_case_changes_no_other_record(store):
    run_study(study(), store, quick=False)
    longer = study(ladder=[*LADDER, {"bandwidth": 0.001}])
    assert run_study(longer, store, quick=False).reused == 8 * 3


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_ones(tmp_path):
    digests = {}
    for name, master_seed in (("a", 0), ("b", 0), ("c", 1)):
        store = Store(tmp_path / name)
        store.prepare()
        run_study(study(), store, quick=False, master_seed=master_seed)
        records = read_run(study(), store, setting="full", master_seed=master_seed).records
        digests[name] = [record.payload_sha256 for record in records]
    assert digests["a"] == digests["b"]
    assert not set(digests["a"]) & set(digests["c"])


def test_blas_runs_on_one_thread_while_measuring(store):
    seen = []

    def look(case, keys):
        seen.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return measure(case, keys)

    run_study(study(measure=look), store, quick=True)
    assert set(seen) == {1}


def test_float32_is_refused_before_the_run(store, monkeypatch):
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(PrecisionError):
            run_study(study(), store, quick=True)
    finally:
        jax.config.update("jax_enable_x64", True)
    assert read_run(study(), store).setting is None


def test_what_another_launcher_measures_meanwhile_is_not_measured_again(store):
    sizes = []

    def while_another_runs(case, keys):
        if not sizes:  # the other one starts while the first record is at work here
            run_study(study(source="pass"), store, quick=True)
        sizes.append(case["bandwidth"])
        return measure(case, keys)

    here = study(measure=while_another_runs, source="pass")  # both say that they are the same code
    run = run_study(here, store, quick=True).run
    assert sizes == [LADDER[0]["bandwidth"]]
    read = read_run(here, store).records
    assert [record.payload_sha256 for record in run.records] == [record.payload_sha256 for record in read]


def fails_at(broken, error):
    def measure_or_fail(case, keys):
        if case["bandwidth"] in broken:
            raise error
        return measure(case, keys)

    return study(measure=measure_or_fail)


@pytest.mark.parametrize("error", [DataError("the sampler gave up"), ZeroDivisionError("float division by zero")])
def test_a_failing_case_is_a_record_and_the_run_goes_on(store, error):
    broken = {LADDER[2]["bandwidth"]}
    failing = fails_at(broken, error)
    summary = run_study(failing, store, quick=False)
    assert summary.computed == 8 * 3
    assert len(summary.failures) == 3
    assert str(error) in summary.failures[0]
    verdict = read_run(failing, store, setting="full").verdicts[0]
    assert verdict.verdict == "invalid"
    assert str(error) in verdict.reason

    broken.clear()  # what was wrong is repaired: only the failed records are measured again
    again = run_study(failing, store, quick=False)
    assert (again.computed, again.reused, again.failures) == (3, 7 * 3, ())
    assert read_run(failing, store, setting="full").verdicts[0].verdict == "supported"


def test_with_debug_an_exception_comes_through(store):
    with pytest.raises(ZeroDivisionError):
        run_study(fails_at({0.4}, ZeroDivisionError()), store, quick=True, debug=True)


def test_a_measurement_of_the_wrong_shape_is_a_failed_record(store):
    wrong = study(measure=lambda case, keys: {"error": np.ones(len(keys) + 1)})
    assert "one row per key" in run_study(wrong, store, quick=True).failures[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_measuring_keeps_the_record_at_work(store, number):
    def interrupted(case, keys):
        if case["bandwidth"] == LADDER[1]["bandwidth"] and len(keys) == 6:
            os.kill(os.getpid(), number)
        return measure(case, keys)

    handler = signal.getsignal(number)
    summary = run_study(study(measure=interrupted), store, quick=True)
    assert (summary.computed, summary.signal) == (2, number)
    assert signal.getsignal(number) is handler
    assert run_study(study(measure=interrupted), store, quick=True).computed == 1


def test_a_run_outside_the_main_thread_works(store):
    summaries = []
    thread = threading.Thread(target=lambda: summaries.append(run_study(study(), store, quick=True)))
    thread.start()
    thread.join()
    assert summaries[0].computed == 3


def test_progress_is_plain_lines_where_there_is_no_terminal(store, capsys):
    run_study(study(), store, quick=True)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"toy {i}/3 bandwidth={case['bandwidth']} seeds 0-5" for i, case in enumerate(LADDER[:3], start=1)
    ]


def test_progress_is_a_bar_on_a_terminal(store, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run_study(study(), store, quick=True)
    assert "100%" in capsys.readouterr().err
