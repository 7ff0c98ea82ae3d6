"""Running what is missing: reuse, failures, seeds; and gathering records into the levels of a claim."""

import os
import signal
import sys
import threading

import jax
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from attnflow.errors import ConfigError, DataError, PrecisionError
from attnflow.judge.claims import Claim
from attnflow.lab import runs as runner
from attnflow.lab.runs import claim_levels, find_studies, judge_study, latest_run, load_study, read_records, run_study
from attnflow.lab.store import Store
from attnflow.lab.study import Study


def claim(**changes):
    fields = {
        "id": "toy", "source": "RZ", "statement": "errors are of order eps", "kind": "exponent", "quantity": "error",
        "size": "bandwidth", "hypotheses": "none", "predicted": 1.0,
    }  # fmt: skip
    return Claim(**{**fields, **changes})


LADDER = [{"bandwidth": 0.4 / 2**level} for level in range(8)]


def noise(keys):
    return np.array([np.random.default_rng(np.asarray(jax.random.key_data(key))).normal() for key in keys])


def measure(case, keys):
    """Errors eps (1 + eps) with 5 % of noise that the levels share only in part."""
    error = case["bandwidth"] * (1 + case["bandwidth"]) * (1 + 0.05 * noise(keys) * (1 + case["bandwidth"]))
    return {"error": error, "field": np.outer(error, [1.0, 2.0])}


def study(**changes):
    fields = {
        "name": "toy", "measure": measure, "ladder": LADDER, "quick": 3, "claims": [claim()], "seeds": 40,
        "quick_seeds": 6,
    }  # fmt: skip
    return Study(**{**fields, **changes})


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "out")
    made.prepare()
    return made


def test_a_run_measures_everything_once_and_then_reuses_it(store):
    first = run_study(study(), store, quick=False)
    again = run_study(study(), store, quick=False)
    assert (first.computed, first.reused, first.failures, first.signal) == (8 * 3, 0, (), None)
    assert (again.computed, again.reused) == (0, 8 * 3)


def test_the_full_run_reuses_the_quick_one(store):
    assert run_study(study(), store, quick=True).computed == 3
    assert latest_run(study(), store) == "quick"
    assert run_study(study(), store, quick=False).reused == 3
    assert latest_run(study(), store) == "full"


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
        records = read_records(study(), store, quick=False, master_seed=master_seed)
        digests[name] = [record.payload_sha256 for record in records]
    assert digests["a"] == digests["b"]
    assert not set(digests["a"]) & set(digests["c"])


def test_a_record_says_what_it_was_computed_with(store):
    run_study(study(), store, quick=True)
    provenance = read_records(study(), store, quick=True)[0].provenance
    assert provenance["versions"]["jax"] == jax.__version__
    assert provenance["code"] == runner.code_digest()
    assert provenance["device"] == jax.devices()[0].device_kind
    assert provenance["blas_threads"] == 1
    assert provenance["seconds"] >= 0


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
    assert latest_run(study(), store) is None


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
    verdict = judge_study(failing, store, quick=False)[0]
    assert verdict.verdict == "invalid"
    assert str(error) in verdict.reason

    broken.clear()  # what was wrong is repaired: only the failed records are measured again
    again = run_study(failing, store, quick=False)
    assert (again.computed, again.reused, again.failures) == (3, 7 * 3, ())
    assert judge_study(failing, store, quick=False)[0].verdict == "supported"


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


def test_seeds_of_all_batches_come_together_in_order(store):
    run_study(study(), store, quick=False)
    levels = claim_levels(claim(), read_records(study(), store, quick=False), study=study())
    keys = [key for task in study().tasks(quick=False)[:3] for key in task.seed_keys()]
    assert [level.size for level in levels] == [case["bandwidth"] for case in LADDER]
    assert len(levels[0].values) == 40
    np.testing.assert_array_equal(levels[0].values, measure(LADDER[0], keys)["error"])


def test_verdicts_follow_the_records(store):
    claims = [claim(), claim(id="control", predicted=0.5, control_of="toy")]
    judged = study(claims=claims)
    run_study(judged, store, quick=False)
    assert [verdict.verdict for verdict in judge_study(judged, store, quick=False)] == ["supported", "refuted"]


def test_a_ladder_of_three_levels_is_invalid_and_gets_no_slope(store):
    run_study(study(), store, quick=True)
    verdict = judge_study(study(), store, quick=True)[0]
    assert (verdict.verdict, verdict.measured) == ("invalid", None)


def test_judging_what_was_not_run_says_how_to_run_it(store):
    with pytest.raises(ConfigError, match=r"24 of 24 records .* are missing.*verify --full"):
        judge_study(study(), store, quick=False)


def mixed(case, keys):
    """Two quantities over different cases, each with its own companions."""
    size = np.full(len(keys), case["bandwidth"])
    if case["kind"] == "bias":
        return {"bias": size, "solver_error": size / 100, "ess": size * 0 + 50}
    return {"noise": size**2, "noise.solver_error": size / 7, "solver_error": size, "failed": size < 0.02}


MIXED = [{"bandwidth": h["bandwidth"], "kind": kind} for h in LADDER for kind in ("bias", "noise")]


def test_a_claim_uses_exactly_the_cases_that_measure_its_quantity(store):
    both = study(measure=mixed, ladder=MIXED, seeds=1, quick_seeds=1, claims=())
    run_study(both, store, quick=False)
    records = read_records(both, store, quick=False)
    bias = claim_levels(claim(quantity="bias"), records, study=both)
    noise = claim_levels(claim(quantity="noise"), records, study=both)
    sizes = [case["bandwidth"] for case in LADDER]
    assert [level.size for level in bias] == [level.size for level in noise] == sizes
    assert all(level.deterministic for level in bias)
    assert [level.ess for level in bias] == [50.0] * 8
    assert [level.ess for level in noise] == [None] * 8
    assert [level.solver_error for level in bias] == [h / 100 for h in sizes]
    assert [level.solver_error for level in noise] == [h / 7 for h in sizes]  # its own one comes first
    assert [level.failed for level in noise] == [None] * 5 + ["1 seeds failed"] * 3


def test_a_quantity_that_no_case_measures_is_told_the_nearest_one(store):
    misspelt = study(claims=[claim(quantity="eror")])
    run_study(misspelt, store, quick=True)
    with pytest.raises(ConfigError, match="Did you mean 'error'"):
        judge_study(misspelt, store, quick=True)


def test_two_cases_of_one_size_in_a_ladder_are_refused(store):
    twice = study(ladder=[*LADDER[:3], {"bandwidth": 0.4, "manifold": "sphere"}], quick=4)
    run_study(twice, store, quick=True)
    with pytest.raises(ConfigError, match=r"2 cases with bandwidth = 0.4"):
        judge_study(twice, store, quick=True)


def test_a_size_that_is_no_number_and_a_quantity_that_is_a_field_are_refused(store):
    words = study(ladder=[{"bandwidth": 0.1, "manifold": "circle"}], quick=1, claims=[claim(size="manifold")])
    run_study(words, store, quick=True)
    with pytest.raises(ConfigError, match="no number"):
        judge_study(words, store, quick=True)
    with pytest.raises(ConfigError, match="not one number per seed"):
        judge_study(study(ladder=words.ladder, quick=1, claims=[claim(quantity="field")]), store, quick=True)


def test_records_of_other_code_are_noticed(store, monkeypatch):
    run_study(study(), store, quick=True)
    assert runner.different_code(read_records(study(), store, quick=True)) is None
    monkeypatch.setattr(runner, "code_digest", lambda: "newer")
    run_study(study(quick=4), store, quick=True)
    warning = runner.different_code(read_records(study(quick=4), store, quick=True))
    assert "3 of 4 records" in warning
    assert "2 versions" in warning


FILE = """
import dataclasses
import numpy as np
from attnflow.lab.study import Study

@dataclasses.dataclass
class Helper:
    factor: float = 2.0

def measure(case, keys):
    return {"error": np.full(len(keys), Helper().factor * case["n"])}

study = Study(name="NAME", measure=measure, ladder=[{"n": 1.5}, {"n": 2.5}], quick=1, claims=[])
"""


def test_a_study_is_loaded_from_a_file_in_a_folder_with_spaces_and_accents(tmp_path, store):
    path = tmp_path / "é tude" / "one.py"
    path.parent.mkdir()
    path.write_text(FILE.replace("NAME", "one"), encoding="utf-8")
    loaded = load_study(path)
    run_study(loaded, store, quick=False)
    assert [record.arrays["error"].tolist() for record in read_records(loaded, store, quick=False)] == [[3.0], [5.0]]


def test_edited_code_never_meets_stale_records_but_edited_words_do(tmp_path, store):
    path = tmp_path / "one.py"
    path.write_text(FILE.replace("NAME", "one"))
    run_study(load_study(path), store, quick=False)
    path.write_text("# a comment\n" + FILE.replace("NAME", "one"))
    assert run_study(load_study(path), store, quick=False).computed == 0
    path.write_text(FILE.replace("NAME", "one").replace("2.0", "3.0"))
    assert run_study(load_study(path), store, quick=False).computed == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study = 3", "defines no `study`"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("def measure(:", "SyntaxError"),
        (FILE.replace("NAME", "../up"), "may hold only a-z"),
        (FILE.replace("NAME", "one").replace("1.5", "float('nan')"), "`n` in a case of study 'one'"),
        (FILE.replace("NAME", "one").replace("1.5", "2.5"), "twice"),
        (FILE.replace("NAME", "one").replace("quick=1", "quik=1"), "quik"),
    ],
    ids=["no study", "import", "syntax", "path", "nan", "twice", "misspelt"],
)
def test_a_file_that_is_no_working_study_is_named_with_its_cause(tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken.py.*" + message):
        load_study(path)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing.py: No such file"):
        load_study(tmp_path / "missing.py")
    with pytest.raises(ConfigError, match="no study in"):
        find_studies(tmp_path)


def test_the_studies_of_a_folder_have_different_names(tmp_path):
    for name in ("one.py", "two.py", "_shared.py"):
        (tmp_path / name).write_text(FILE.replace("NAME", name[:3]))
    assert [study.name for study in find_studies(tmp_path)] == ["one", "two"]
    (tmp_path / "three.py").write_text(FILE.replace("NAME", "one"))
    with pytest.raises(ConfigError, match="2 studies with the name 'one'"):
        find_studies(tmp_path)
