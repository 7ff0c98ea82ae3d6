"""The command line: what is printed, what is written, and the exit codes."""

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from attnflow.cli import main
from attnflow.errors import ConfigError
from attnflow.judge.verdicts import verdict_from_row
from attnflow.lab import loading, provenance

ROOT = Path(__file__).resolve().parents[1]

TOY = """
import jax
import numpy as np
from attnflow.judge.claims import Claim
from attnflow.lab.study import Study

def measure(case, keys):
    h = case["bandwidth"]
    noise = [np.random.default_rng(np.asarray(jax.random.key_data(key))).normal() for key in keys]
    error = case["factor"] * h * (1 + h) * (1 + 0.05 * (1 + h) * np.array(noise))
    return {"error": error, "field": np.outer(error, [1.0, 2.0])}

def claim(id, predicted, control_of=None):
    return Claim(
        id=id, source="RZ", statement="errors are of order eps", kind="exponent", quantity="error", size="bandwidth",
        hypotheses="none", predicted=predicted, control_of=control_of,
    )

study = Study(
    name="toy", measure=measure, ladder=[{"bandwidth": 0.4 / 2**i, "factor": 1.5} for i in range(10)], quick=8,
    claims=[claim("toy/rate", 1.0), claim("toy/half", 0.5, "toy/rate")], seeds=40, quick_seeds=32,
)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one study, in which the commands run."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "toy.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def edit(folder, old, new):
    assert old in TOY
    (folder / "studies" / "toy.py").write_text(TOY.replace(old, new))


def test_verify_runs_what_is_missing_and_prints_the_verdicts(folder, capsys):
    assert main(["verify"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "claim", "verdict", "measured", "predicted", "interval", "margin", "levels", "seconds"
    ]  # fmt: skip
    assert lines[1].split()[:2] == ["toy/rate", "supported"]
    assert lines[2].endswith("supported within 0.05; the interval excludes 1 exactly")  # by what the ladder leaves out
    assert lines[3].split()[:3] == ["toy/half", "refuted", "(control)"]
    assert lines[4] == "1 of 1 claim supported; 1 of 1 control refuted. Exit 0: all as expected."
    assert len(list((folder / ".attnflow").glob("records/toy/*.h5"))) == 8


def test_verify_full_reuses_the_quick_records(folder, capsys):
    main(["verify"])
    capsys.readouterr()
    assert main(["verify", "--full"]) == 0
    assert len(capsys.readouterr().err.splitlines()) == 12  # the ten cases' further seeds, two cases' first ones


def test_json_holds_one_row_per_claim_from_which_its_verdict_follows(folder):
    main(["verify", "--json", "rows.json"])
    rows = json.loads((folder / "rows.json").read_text())
    assert [row["id"] for row in rows] == ["toy/rate", "toy/half"]
    assert set(rows[0]) == {
        "id", "source", "kind", "control", "control_of", "verdict", "predicted", "measured", "low", "high", "margin",
        "levels", "dropped", "seconds", "reason", "measures", "derivation", "truth", "truth_margin", "gap",
        "missing", "remark",
    }  # fmt: skip
    assert [verdict_from_row(row) for row in rows] == [row["verdict"] for row in rows] == ["supported", "refuted"]


def test_the_same_seed_gives_the_same_rows_and_another_one_does_not(folder):
    def numbers(*words):
        main(["verify", "--json", "rows.json", *words])
        return [(row["measured"], row["low"]) for row in json.loads((folder / "rows.json").read_text())]

    first = numbers("--out", "a")
    assert numbers("--out", "b") == first
    assert numbers("--out", "a", "--seed", "7") != first


def test_a_claim_is_chosen_by_its_id_or_by_its_family_and_with_its_control(folder, capsys):
    main(["verify", "toy/half"])
    assert "toy/rate" not in capsys.readouterr().out
    for words in ("toy/rate", "toy"):
        main(["verify", words])
        out = capsys.readouterr().out
        assert "toy/rate" in out
        assert "toy/half" in out


def test_a_refuted_claim_exits_1(folder, capsys):
    edit(folder, 'claim("toy/rate", 1.0)', 'claim("toy/rate", 1.3)')
    assert main(["verify"]) == 1
    assert "Exit 1: a claim is refuted" in capsys.readouterr().out


def test_a_control_that_passes_fails_the_whole_report(folder, capsys):
    edit(folder, 'claim("toy/half", 0.5, "toy/rate")', 'claim("toy/half", 1.0, "toy/rate")')
    assert main(["verify"]) == 1
    assert "1 of 1 claim supported; 0 of 1 control refuted, 1 supported. Exit 1" in capsys.readouterr().out


def test_a_ladder_of_three_levels_is_invalid_and_exits_1(folder, capsys):
    edit(folder, "quick=8", "quick=3")
    assert main(["verify"]) == 1
    assert "0 of 1 claim supported, 1 invalid; 0 of 1 control refuted, 1 invalid. Exit 1" in capsys.readouterr().out


def test_a_failed_case_exits_3_and_is_tried_again(folder, capsys, tmp_path):
    edit(
        folder,
        '    h = case["bandwidth"]',
        f'    h = case["bandwidth"]\n    __import__("os").stat({str(tmp_path / "need")!r})',
    )
    assert main(["verify"]) == 3
    out, err = capsys.readouterr()
    assert "Exit 3: partial" in out
    assert err.count("FileNotFoundError") == 8
    assert "Traceback" not in err
    assert main(["run", "studies/toy.py", "--quick"]) == 3
    (tmp_path / "need").touch()
    assert main(["verify"]) == 0


def test_list_shows_what_is_done_and_the_last_verdicts(folder, capsys):
    assert main(["list"]) == 0
    assert "toy: 0 of 20 records, no run complete" in capsys.readouterr().out
    assert not (folder / ".attnflow").exists()
    main(["verify"])
    capsys.readouterr()
    main(["list"])
    out = capsys.readouterr().out
    assert "toy: 8 of 20 records, quick run complete" in out
    assert "toy/rate (exponent): supported" in out
    assert "toy/half (exponent, control of toy/rate): refuted" in out


def test_run_resumes_by_itself(folder, capsys):
    assert main(["run", "studies/toy.py", "--quick"]) == 0
    assert "8 records computed, 0 reused, 0 failed" in capsys.readouterr().out
    assert main(["run", "studies/toy.py"]) == 0
    assert "12 records computed, 8 reused, 0 failed" in capsys.readouterr().out


def test_set_overrides_a_parameter_in_every_case(folder, capsys):
    main(["run", "studies/toy.py", "--quick", "--set", "factor=3"])
    capsys.readouterr()
    main(["run", "studies/toy.py", "--quick"])
    assert "8 records computed" in capsys.readouterr().out  # the others answer other cases


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["verfy"], "Did you mean 'verify'"),
        (["verify", "--quik"], "Did you mean '--quick'"),
        (["verify", "toy/rat"], "Did you mean 'toy/rate'"),
        (["verify", "--seed", "x"], "invalid int value: 'x'"),
        (["verify", "--seed", "-1"], "at least 0, got -1"),
        (["verify", "--quick", "--full"], "not allowed with"),
        (["verify", "--json", "no/rows.json"], "its folder does not exist"),
        (["verify", "--studies", "nowhere"], "no study in nowhere"),
        (["verify", "--out", "no/where"], "no is not a folder"),
        (["run"], "FILE"),
        (["run", "nothing.py"], "nothing.py: No such file"),
        (["run", "studies/toy.py", "more"], "'more' is one word too many"),
        (["run", "studies/toy.py", "--set", "factr=3"], "Did you mean 'factor'"),
        (["run", "studies/toy.py", "--set", "factor"], "takes key=value"),
        (["run", "studies/toy.py", "--set", "factor=[1,2]"], "must be a finite number"),
        (["plot"], "pass `--all`"),
        (["plot", "toy", "--all"], "not both"),
        (["plot", "toy", "--format", "gif"], "invalid choice: 'gif'"),
        (["plot", "tpy"], "Did you mean 'toy'"),
        (["export", "tpy"], "Did you mean 'toy'"),
        (["export", "toy"], "no record to export. Run the study first: `attnflow run toy`"),
        (["export", "toy", "-o", "toy.pkl"], "must end in .h5 or .csv"),
        ([], "required"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_exits_2_with_one_message_and_no_traceback(folder, capsys, monkeypatch, words, message):
    monkeypatch.setitem(sys.modules, "attnflow.lab.plots.drawing", types.SimpleNamespace(draw_study=None))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith("attnflow: ")
    assert "Traceback" not in err
    assert not (folder / ".attnflow" / "records" / "toy").exists()  # nothing was computed


def test_debug_lets_the_traceback_through(folder):
    with pytest.raises(ValueError, match="Did you mean 'toy/rate'"):
        main(["verify", "toy/rat", "--debug"])


def test_an_unexpected_error_is_one_message_that_names_debug(folder, capsys, monkeypatch):
    monkeypatch.setattr(loading, "find_studies", lambda folder, subject: 1 / 0)
    assert main(["show", "toy"]) == 2
    err = capsys.readouterr().err
    assert "unexpected ZeroDivisionError" in err
    assert "--debug" in err


def test_records_of_other_code_warn_and_with_strict_fail(folder, capsys, monkeypatch):
    main(["verify"])
    monkeypatch.setattr(provenance, "code_digest", lambda: "newer")
    assert main(["verify"]) == 0
    assert "warning: 8 of 8 records were computed by another version" in capsys.readouterr().err
    assert main(["verify", "--strict"]) == 2
    assert main(["verify", "--strict", "--out", "fresh"]) == 0


def test_a_damaged_record_is_set_aside_computed_again_and_told(folder, capsys):
    main(["verify", "--json", "before.json"])
    path = next((folder / ".attnflow").glob("records/toy/*.h5"))
    data = bytearray(path.read_bytes())
    data[2000] ^= 4
    path.write_bytes(data)
    capsys.readouterr()
    assert main(["verify", "--json", "after.json"]) == 0
    assert f"set aside as {path.with_suffix('.bad').relative_to(folder)}" in capsys.readouterr().err
    before, after = (json.loads(Path(name).read_text()) for name in ("before.json", "after.json"))
    assert [row["measured"] for row in before] == [row["measured"] for row in after]


def test_an_interrupt_before_the_run_exits_130(folder, capsys, monkeypatch):
    def interrupted(folder, subject):
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "find_studies", interrupted)
    assert main(["verify"]) == 130
    assert "resume" in capsys.readouterr().err


def test_plot_hands_the_newest_complete_run_to_the_figures(folder, capsys, monkeypatch):
    calls = []

    def draw_study(run, directory, formats):
        calls.append((run.study.name, len(run.records), [verdict.id for verdict in run.verdicts], directory, formats))
        return [directory / "toy.svg"]

    monkeypatch.setitem(sys.modules, "attnflow.lab.plots.drawing", types.SimpleNamespace(draw_study=draw_study))
    assert main(["plot", "--all"]) == 0
    assert main(["plot", "toy"]) == 2  # it was named, has not been run, and nothing is drawn
    assert calls == []
    assert "toy has not been run, left out; run it first: `attnflow run toy`" in capsys.readouterr().err
    main(["run", "studies/toy.py", "--quick"])
    assert main(["plot", "toy", "-o", "drawn"]) == 0
    assert main(["plot", "toy", "--format", "pdf", "--format", "svg"]) == 0
    ids = ["toy/rate", "toy/half"]
    assert calls == [
        ("toy", 8, ids, Path("drawn"), ("svg",)),
        ("toy", 8, ids, Path("figures"), ("pdf", "svg")),
    ]


def test_report_writes_the_page_and_check_exits_1_if_the_table_differs(folder, capsys, monkeypatch):
    fake = types.SimpleNamespace(
        write=lambda studies, store, path, master_seed, **also: [path],
        check=lambda studies, store, master_seed: [Path("README.md")],
        subjects_with_records=lambda folder, store: [],
    )
    monkeypatch.setitem(sys.modules, "attnflow.lab.report.files", fake)
    assert main(["report"]) == 0
    assert "report.html" in capsys.readouterr().out
    assert main(["report", "--check"]) == 1
    assert "README.md differs from the records" in capsys.readouterr().out
    fake.check = lambda studies, store, master_seed: []
    assert main(["report", "--check"]) == 0
    assert "agree with the records" in capsys.readouterr().out


@pytest.mark.parametrize("code", ["0", "None", "'done'", "3"])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_study_that_ends_python_does_not_end_the_run_as_if_all_were_well(folder, capsys, code, debug):
    edit(folder, "import jax\n", f"import jax, sys\nsys.exit({code})\n")
    for words in (["verify"], ["list"], ["run", "studies/toy.py"], ["plot", "--all"], ["report"]):
        if debug:
            with pytest.raises(ConfigError, match=r"toy.py is no working study: it calls sys\.exit"):
                main([*words, *debug])
        else:
            assert main(words) == 2
            assert "toy.py is no working study: it calls sys.exit" in capsys.readouterr().err


@pytest.mark.parametrize("statement", ["sys.exit(0)", "raise SystemExit", "quit(0)"])
def test_a_measurement_that_ends_python_has_failed(folder, capsys, statement):
    edit(folder, "    h = case", f"    import sys\n    if case['bandwidth'] < 0.01: {statement}\n    h = case")
    assert main(["verify"]) == 3
    shown = capsys.readouterr()
    assert "failed: toy bandwidth=0.00625 factor=1.5 seeds 0-31: SystemExit" in shown.err
    assert shown.out.splitlines()[-1].startswith(
        "0 of 1 claim supported, 1 invalid; 0 of 1 control refuted, 1 invalid. Exit 3"
    )
    with pytest.raises(ConfigError, match=r"a study called sys\.exit"):
        main(["verify", "--debug"])


def test_a_figure_that_ends_python_is_told(folder, capsys, monkeypatch):
    def draw_study(run, directory, formats):
        sys.exit(0)

    monkeypatch.setitem(sys.modules, "attnflow.lab.plots.drawing", types.SimpleNamespace(draw_study=draw_study))
    main(["run", "studies/toy.py", "--quick"])
    assert main(["plot", "--all"]) == 2
    assert "a study called sys.exit(0), which would end the whole command" in capsys.readouterr().err


def test_check_names_the_claims_whose_verdict_turned(folder, capsys):
    (folder / "README.md").write_text("<!-- claims -->\n<!-- /claims -->", encoding="utf-8")
    main(["verify"])
    assert (main(["report"]), main(["report", "--check"])) == (0, 0)
    path = folder / "docs" / "claims.md"
    path.write_text(path.read_text(encoding="utf-8").replace("● supported", "○ invalid"), encoding="utf-8")
    capsys.readouterr()
    assert main(["report", "--check"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[1:] == ["    toy/rate was invalid, and is supported"]
    assert "claims.md differs from the records" in shown[0]


def test_a_module_beside_a_study_is_found_by_every_command(folder, capsys):
    (folder / "studies" / "noises.py").write_text("factor = 1.5")
    edit(folder, '"factor": 1.5}', '"factor": noises.factor}')
    text = (folder / "studies" / "toy.py").read_text()
    (folder / "studies" / "toy.py").write_text(text.replace("import jax\n", "import jax\nimport noises\n"))
    assert (main(["verify"]), main(["list"])) == (0, 0)
    assert "records, quick run complete" in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "module://no_such_backend", "none"])
def test_the_backend_of_a_notebook_does_not_stop_figures(folder, backend):
    (folder / "studies" / "toy.py").write_text("import jax\nfrom attnflow.lab import plots\n" + TOY)
    main(["run", "studies/toy.py", "--quick"])
    done = subprocess.run(
        [sys.executable, "-m", "attnflow", "plot", "toy"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": backend}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "figures" / "toy" / "toy-rate.svg").exists()


def test_that_there_are_no_studies_is_told_before_jax_is_loaded(tmp_path):
    commands = ["list", "verify", "verify toy --full", "plot --all", "show toy", "export toy", "run toy"]
    code = (
        "import sys; from attnflow.cli import main\n"
        f"print([main(words.split()) for words in {commands}], 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.stdout == f"{[2] * len(commands)} False\n", done.stderr
    assert [line[:31] for line in done.stderr.splitlines()] == ["attnflow: no study in studies. "] * len(commands)


def test_help_imports_nothing_that_draws_or_stores():
    code = (
        "import sys; from attnflow.cli import main\n"
        "try: main(['verify', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(sorted({'matplotlib', 'h5py', 'jinja2', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "exit codes" in done.stdout


def test_studies_without_claims_have_an_empty_table(folder, capsys):
    edit(folder, 'claims=[claim("toy/rate", 1.0), claim("toy/half", 0.5, "toy/rate")]', "claims=[]")
    assert main(["verify"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no claims. Exit 0: nothing was judged."
