"""Exported files: every number is there once, and the file alone says what it is, to h5py, xarray and pandas."""

import json
import sys

import h5py
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError
from attnflow.lab.export import export, to_xarray
from attnflow.lab.runs import Run
from attnflow.lab.store import Record

SOURCE = "'''How large is the error?\n\nIt is n^-1.\n'''\nmeasure = dict\n"
LADDER = [{"n": 8, "place": "line"}, {"n": 16, "place": "circle"}, {"n": 32, "place": None, "tilt": 0.5}]
CLAIM = af.Claim(
    id="size/rate", source="RZ", statement=r"the error is of order $n^{-1}$", kind="constant", quantity="error",
    size="n", hypotheses="none", predicted=0.0, margin=1.0,
)  # fmt: skip


def measured(case, seeds):
    """Numbers of all types: one per seed, a field whose length the case gives, a quantity of one case only."""
    rows = np.arange(seeds.start, seeds.stop)
    arrays = {
        "error": 1 / case["n"] + rows, "error.ess": rows + 3.0, "count": rows * case["n"], "holds": rows % 2 == 0,
        "field": np.outer(rows + 1.0, np.arange(case["n"] / 8)), "moments": np.ones((len(rows), 2, 3)),
    }  # fmt: skip
    return arrays | ({"late": rows + 0.5} if case["n"] == 32 else {})


@pytest.fixture
def run():
    study = af.Study(
        name="sizes", measure=dict, ladder=LADDER, quick=3, claims=[CLAIM], seeds=40, quick_seeds=4, source=SOURCE,
        labels={"error": "$|e_n|$"},
    )  # fmt: skip
    provenance = {"seconds": 1.0, "code": "abc", "versions": {"jax": "1"}, "finished": "2030-01-01"}
    records = [
        Record(task=task, arrays=measured(task.case, task.seeds), provenance=provenance)
        for task in study.tasks(quick=False)
    ]
    return Run.of(study, records, settings=("full",))


def test_a_file_says_what_it_holds(run, tmp_path):
    export(run, tmp_path / "sizes.h5")
    with h5py.File(tmp_path / "sizes.h5") as file:
        assert file.attrs["title"] == "How large is the error?"
        assert file.attrs["description"].endswith("It is n^-1.")
        assert (file.attrs["study"], file.attrs["run"], file.attrs["master_seed"]) == ("sizes", "full", 0)
        assert file.attrs["study_source_sha256"] == run.study.digest
        assert (file.attrs["code_sha256"], json.loads(file.attrs["versions"])) == ("abc", [{"jax": "1"}])
        (claim,) = json.loads(file.attrs["claims"])
        assert claim["statement"] == CLAIM.statement
        assert (claim["predicted"], claim["verdict"]) == (0.0, run.verdicts[0].verdict)
        assert file["error"].attrs["long_name"] == "$|e_n|$"
        assert file["error.ess"].attrs["long_name"] == "effective number of neighbours of $|e_n|$"
        assert file["error"].attrs["units"] == "1"


def test_dimensions_have_names_and_coordinates(run, tmp_path):
    export(run, tmp_path / "sizes.h5")
    with h5py.File(tmp_path / "sizes.h5") as file:
        assert [dimension.label for dimension in file["field"].dims] == ["case", "seed", "field_0"]
        assert [list(dimension) for dimension in file["moments"].dims] == [
            ["case"],
            ["seed"],
            ["moments_0"],
            ["moments_1"],
        ]
        assert file["n"][()].tolist() == [8, 16, 32]
        assert file["place"].asstr()[()].tolist() == ["line", "circle", ""]
        np.testing.assert_array_equal(file["tilt"], [np.nan, np.nan, 0.5])
        assert file["error"].attrs["coordinates"] == "n place tilt"
        assert file["seed"][()].tolist() == list(range(40))


def test_every_number_is_there_and_what_was_not_measured_is_nan(run, tmp_path):
    export(run, tmp_path / "sizes.h5")
    with h5py.File(tmp_path / "sizes.h5") as file:
        for index, case in enumerate(LADDER):
            for name, array in measured(case, range(40)).items():
                there = file[name][index][tuple(slice(length) for length in array.shape)]
                np.testing.assert_array_equal(there, array)
        assert np.isnan(file["late"][:2]).all()
        assert np.isnan(file["field"][0, :, 1:]).all()
        assert (file["count"].dtype, file["holds"].attrs["dtype"]) == (np.int64, "bool")


def test_a_run_is_a_dataset(run):
    dataset = run.to_xarray()
    assert dict(dataset.sizes) == {"case": 3, "seed": 40, "field_0": 4, "moments_0": 2, "moments_1": 3}
    assert set(dataset.error.coords) == {"case", "seed", "n", "place", "tilt"}
    assert dataset.error.where(dataset.n == 16, drop=True).mean().item() == pytest.approx(1 / 16 + 19.5)
    assert dataset.holds.dtype == bool
    assert dataset.attrs["title"] == "How large is the error?"


def test_xarray_reads_the_file_as_the_dataset_that_the_run_is(run, tmp_path):
    pytest.importorskip("h5netcdf")
    xarray = pytest.importorskip("xarray")
    export(run, tmp_path / "sizes.h5")
    with xarray.open_dataset(tmp_path / "sizes.h5", engine="h5netcdf") as read:
        xarray.testing.assert_equal(read, run.to_xarray())
        assert read.error.attrs["long_name"] == "$|e_n|$"


def test_a_table_has_one_line_for_each_number(run, tmp_path):
    pandas = pytest.importorskip("pandas")
    export(run, tmp_path / "sizes.csv")
    table = pandas.read_csv(tmp_path / "sizes.csv")
    assert list(table) == [
        "study", "n", "place", "tilt", "seed", "quantity", "index_0", "index_1", "value", "label",
    ]  # fmt: skip
    assert len(table) == sum(array.size for case in LADDER for array in measured(case, range(40)).values())
    error = table[table.quantity == "error"]
    assert set(error.label) == {"$|e_n|$"}
    assert error.groupby("n").value.mean().to_dict() == pytest.approx({n: 1 / n + 19.5 for n in (8, 16, 32)}, abs=1e-12)
    assert error.index_0.isna().all()
    last = table[(table.quantity == "field") & (table.n == 32) & (table.seed == 5)]
    assert last.value.tolist() == [0.0, 6.0, 12.0, 18.0]
    assert last.index_0.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("parameters", [None, {"n": 3}])
def test_beside_a_table_stands_what_an_hdf5_file_says_of_itself(run, tmp_path, parameters):
    path = tmp_path / "sizes.csv"
    assert export(run, path, parameters=parameters) == [path, tmp_path / "sizes.csv-metadata.json"]
    beside = json.loads((tmp_path / "sizes.csv-metadata.json").read_text(encoding="utf-8"))
    assert (beside["url"], beside["dc:title"]) == ("sizes.csv", "How large is the error?")
    columns = [column["titles"] for column in beside["tableSchema"]["columns"]]
    assert columns == path.read_text(encoding="utf-8").splitlines()[0].split(",")
    (about,) = beside["notes"]
    assert (about["versions"], about["claims"][0]["statement"]) == ([{"jax": "1"}], CLAIM.statement)
    assert about.get("overridden") == parameters
    assert export(run, tmp_path / "sizes.h5", parameters=parameters) == [tmp_path / "sizes.h5"]
    with h5py.File(tmp_path / "sizes.h5") as file:
        said = dict(file.attrs)
    for name, fact in about.items():
        assert said.pop(name) == (fact if isinstance(fact, str | int) else json.dumps(fact, ensure_ascii=False))
    assert not said


def test_a_run_that_is_not_complete_leaves_seeds_out(run):
    part = Run.of(run.study, [run.records[0], run.records[-1]], settings=("full",))
    dataset = part.to_xarray()
    assert dataset.attrs["run"] == "not complete"
    assert dataset.seed.values.tolist() == [0, 1, 2, 3, 36, 37, 38, 39]
    assert int(np.isfinite(dataset.error).sum()) == sum(len(record.task.seeds) for record in part.found)


def test_names_that_meet_are_told_apart(tmp_path):
    study = af.Study(
        name="toy", measure=dict, ladder=[{"error": 1, "case": 2, "seed": 3}], quick=1, claims=[], source=SOURCE
    )
    (task,) = study.tasks(quick=True)
    run = Run.of(study, [Record(task=task, arrays={"error": np.ones(1)})], settings=("full",))
    dataset = to_xarray(run)
    assert {"error_of_case", "case_of_case", "seed_of_case"} <= set(dataset.coords)
    export(run, tmp_path / "toy 1.csv")
    beside = json.loads((tmp_path / "toy 1.csv-metadata.json").read_text(encoding="utf-8"))
    assert beside["url"] == "toy%201.csv"  # a reference, not a name
    first, line = (tmp_path / "toy 1.csv").read_text(encoding="utf-8").splitlines()
    assert first == "study,error,case,seed,seed,quantity,value,label"
    assert line == "toy,1,2,3,0,error,1.0,error"


def test_a_quantity_of_two_shapes_is_two():
    study = af.Study(name="toy", measure=dict, ladder=[{"n": 1}, {"n": 2}], quick=2, claims=[], source=SOURCE)
    first, second = study.tasks(quick=True)
    records = [Record(task=first, arrays={"x": np.ones(1)}), Record(task=second, arrays={"x": np.ones((1, 4))})]
    dataset = to_xarray(Run.of(study, records, settings=("full",)))
    assert dataset["x.0d"].dims == ("case", "seed")
    assert dataset["x.1d"].dims == ("case", "seed", "x.1d_0")


def test_bad_places_and_nothing_to_export_are_told(run, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.h5 or \.csv"):
        export(run, tmp_path / "sizes.pkl")
    with pytest.raises(ConfigError, match="is not a folder"):
        export(run, tmp_path / "no" / "sizes.h5")
    with pytest.raises(ConfigError, match="no record to export"):
        export(Run.of(run.study, [], settings=("full",)), tmp_path / "sizes.h5")


def test_without_xarray_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ConfigError, match=r"attnflow\[tables\]"):
        run.to_xarray()
