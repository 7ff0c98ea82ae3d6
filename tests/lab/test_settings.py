"""Runs with other parameters: found again, shown, drawn and exported apart from the study's own."""

import json

import h5py
import pytest

import attnflow as af
from attnflow.cli import main
from attnflow.errors import ConfigError
from attnflow.lab.loading import load_study
from attnflow.lab.runs import read_run
from attnflow.lab.settings import at_parameters, file_name_of, other_settings, read_setting
from attnflow.lab.store import Store

STUDY = """
'''How does the error fall?'''
import numpy as np
import attnflow as af

def measure(case, keys):
    return {"error": np.full(len(keys), case["factor"] / case["n"])}

claim = af.Claim(
    id="fall/rate", source="derived", statement="of order 1/n", kind="exponent", quantity="error", size="n",
    hypotheses="none", predicted=-1.0)
study = af.Study(
    name="fall", measure=measure, ladder=[{"n": 8 * 2**i, "factor": 1.5} for i in range(8)], quick=6, claims=[claim],
    labels={"error": "$e_n$"})
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with one study, run with its own parameters at quick size and with another one in full."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "fall.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "fall", "--quick"]) == 0
    assert main(["run", "fall", "--set", "factor=3"]) == 0
    return tmp_path


@pytest.fixture
def study(folder):
    return load_study(folder / "studies" / "fall.py")


def test_a_run_with_other_parameters_is_found_again(study):
    store = Store(".attnflow")
    run = read_setting(study, store, {"factor": 3})
    assert (run.setting, len(run.records)) == ("full", 8)
    assert {record.task.case["factor"] for record in run.records} == {3}
    assert read_setting(study, store, {}).setting == "quick"
    assert read_run(study, store).setting == "quick"


def test_what_was_run_besides_is_told_from_the_records(study):
    assert other_settings(study, Store(".attnflow")) == [{"factor": 3}]
    assert other_settings(study, Store(".attnflow"), master_seed=1) == []
    assert other_settings(study, Store("nowhere")) == []
    main(["run", "fall", "--quick", "--set", "factor=2"])
    assert other_settings(study, Store(".attnflow")) == [{"factor": 2}, {"factor": 3}]


def test_a_run_that_was_not_finished_and_damaged_records_are_no_settings(study, folder):
    store = Store(".attnflow")
    (record, *_) = read_setting(study, store, {"factor": 3}).records
    path = store.path(record.task)
    path.write_bytes(path.read_bytes()[:-1])
    assert other_settings(study, store) == [{"factor": 3}]  # the others tell, and `show` says what to run
    for record in read_setting(study, Store(".attnflow"), {}).records:
        store.path(record.task).unlink()
    path.unlink(missing_ok=True)
    assert other_settings(study, store) == []


def test_one_that_was_not_run_is_told_with_those_that_were(study):
    with pytest.raises(
        ConfigError, match=r"not been run with --set factor=4\. It has been run with --set factor=3\. Run"
    ):
        read_setting(study, Store(".attnflow"), {"factor": 4})
    with pytest.raises(ConfigError, match="Did you mean 'factor'"):
        at_parameters(study, {"factr": 4})


def test_show_says_that_the_predictions_are_for_other_parameters(folder, capsys):
    capsys.readouterr()
    assert main(["show", "fall"]) == 0
    own = capsys.readouterr().out
    assert own.endswith("run as well: attnflow show fall --set factor=3\n")
    assert main(["show", "fall/rate", "--set", "factor=3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("With --set factor=3. The predictions are for other parameters.\n\nfall: 8 of 8 records")
    assert "full run" in shown
    assert main(["show", "fall", "--set", "factor=4"]) == 2
    assert "has not been run with --set factor=4" in capsys.readouterr().err


def test_figures_of_other_parameters_leave_those_of_the_study_alone(folder, capsys):
    assert main(["plot", "fall"]) == 0
    before = (folder / "figures" / "fall" / "fall-rate.svg").read_bytes()
    assert main(["plot", "fall", "--set", "factor=3"]) == 0
    assert (folder / "figures" / "fall" / "fall-rate.svg").read_bytes() == before
    assert (folder / "figures" / "factor=3" / "fall" / "fall-rate.svg").read_bytes() != before
    capsys.readouterr()
    main(["show", "fall", "--set", "factor=3"])
    assert "figures/factor=3/fall/fall-rate.svg" in capsys.readouterr().out


def test_an_exported_file_says_what_was_overridden(folder, capsys):
    assert main(["export", "fall", "--set", "factor=3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "fall-factor=3.h5"
    with h5py.File(folder / "fall-factor=3.h5") as file:
        assert json.loads(file.attrs["overridden"]) == {"factor": 3}
        assert set(file["factor"][()]) == {3}
        assert "other parameters" in file.attrs["verdicts"]
    assert main(["export", "fall"]) == 0
    with h5py.File(folder / "fall.h5") as file:
        assert "overridden" not in file.attrs
        assert set(file["factor"][()]) == {1.5}


def test_names_of_files_hold_no_separators():
    assert file_name_of({"place": "../a b", "on": True}) == "place=..-a-b,on=true"


def test_a_study_without_other_parameters_is_itself():
    study = af.Study(name="toy", measure=dict, ladder=[{"n": 1}], quick=1, claims=[], source="x = 1")
    assert at_parameters(study, {}) is study
