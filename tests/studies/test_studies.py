"""The project's own studies: the whole quick run, once, and what must hold of it."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import attnflow as af
from attnflow.errors import ConfigError
from attnflow.judge.verdicts import ROWS_READ_TOGETHER
from attnflow.lab.loading import find_studies, load_study, separate_subjects, study_files

ROOT = Path(__file__).parents[2]
STUDIES = sorted(  # the other files are modules beside them
    path for path in (ROOT / "studies").rglob("*.py") if "\nstudy = " in path.read_text(encoding="utf-8")
)
TABLES = [None, *separate_subjects(ROOT / "studies")]  # each is read together: the main one, and each separate subject
# Of the short studies, 23 for the five manifolds of `generator`: most of a first run's wait. One is the optimised
# program of the coefficients, for very many rows.
MAXIMUM_COMPILATIONS = 57

# Four fifths of the time of a quick run: the main job `make verify` runs them, and its exit code says that all is well.
LONG = (
    "breakdown",
    "curved",
    "depth_noise",
    "depth_sphere",
    "error_plane",
    "generator_schedule",
    "suggested_bandwidth",
    "noise",
    "noise_three",
)
LONG += ("budget", "second_order")  # which extrapolate populations, and compile high derivatives
LONG += ("particles", "sampled_spectrum", "stationary")
LONG += ("boundary", "clusters", "curved", "new_metric")  # which compile for many manifolds
LONG += ("graph_attention", "kernel_norms", "local_units", "pullbacks", "self_tuned")  # and for many costs
LONG += ("next_term", "query_key", "several_minimizers")  # and for many costs
LONG += ("mesh", "profile_constant", "random_features", "signed_kernel")  # or for the kernels of profiles
LONG += ("causal", "equiangular", "frozen", "layers", "metastable", "norm_schemes", "renyi_count")  # of tokens
LONG += ("heads", "sinkhorn", "sinkhorn_boundary", "wrapped_gaussian")  # which compile their own kernels
# Mean fields compile their own kernels and densities.
LONG += (
    "diffusivity",
    "fokker_sign",
    "gumbel",
    "heat_sphere",
    "independent",
    "mean_field",
    "modes",
    "ott_antonsen",
    "sinkhorn_flow",
)
LONG += ("collapse", "gaussian", "gaussian_sinkhorn", "mean_shift")  # and layers of tokens that move
LONG += ("arcsin", "deep", "dot_product_ball", "gibbs", "lipschitz", "measure")  # or derivatives by tokens
LONG += ("arrows", "braids", "fan", "moving", "phases", "staircase", "steps")  # which move tokens for their figures

RUN = """
import sys
import jax
compiled = []
def listen(event, duration, **_):
    if event == "/jax/core/compile/backend_compile_duration":
        compiled.append(duration)
jax.monitoring.register_event_duration_secs_listener(listen)
from attnflow.cli import main
code = main(sys.argv[1:])
print("compilations:", len(compiled))
sys.exit(code)
"""


@functools.cache
def studies_of(table):
    return find_studies(ROOT / "studies", subject=table)


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """Exit code, output and rows of `attnflow verify --quick` in a fresh process with an empty store, LONG left out.

    Where ATTNFLOW_TESTS_OUT names a store, empty as well, its records are put there and need not be measured again.
    """
    folder = tmp_path_factory.mktemp("verify")
    (folder / "studies").mkdir()
    for path in study_files(ROOT / "studies"):
        if path.stem not in LONG:
            shutil.copy(path, folder / "studies")
    words = [
        "verify",
        "--quick",
        "--jobs",
        "1",
        "--studies",
        folder / "studies",
        "--out",
        os.environ.get("ATTNFLOW_TESTS_OUT", folder / "store"),
        "--json",
        folder / "rows.json",
    ]
    done = subprocess.run([sys.executable, "-c", RUN, *map(str, words)], capture_output=True, text=True, check=False)
    assert (folder / "rows.json").exists(), done.stdout + done.stderr
    return done.returncode, done.stdout, json.loads((folder / "rows.json").read_text())


def test_the_quick_run_ends_as_expected(quick_run):
    code, output, rows = quick_run
    surprises = [
        (row["id"], row["verdict"], row["reason"])
        for row in rows
        if row["verdict"] not in (("refuted",) if row["control"] else ("supported", "inconclusive"))
    ]
    assert surprises == []
    assert code == 0, output


def test_every_claim_has_a_row_and_ids_are_unique(quick_run):
    _, _, rows = quick_run
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))
    found = [claim.id for study in studies_of(None) if study.name not in LONG for claim in study.claims]
    assert sorted(ids) == sorted(found)


def test_every_verdict_follows_from_its_row(quick_run):
    _, _, rows = quick_run
    assert {row["id"]: af.verdict_from_row(row) for row in rows} == {row["id"]: row["verdict"] for row in rows}


@pytest.mark.parametrize("place", ["circle", "torus", "sphere", "three-sphere", "line"])
def test_the_generator_theorem_is_supported_and_its_control_refuted(quick_run, place):
    rows = {row["id"]: row for row in quick_run[2]}
    assert rows[f"RZ3/{place}"]["verdict"] == "supported"
    assert rows[f"bias/{place}"]["verdict"] == "supported"
    assert rows[f"RZ3-control/{place}"]["verdict"] == "refuted"


def test_every_control_is_refuted_by_its_gap(quick_run):
    _, _, rows = quick_run
    controls = [row for row in rows if row["control"]]
    assert [(row["id"], row["measured"], row["truth"]) for row in controls if row["gap"] != "supported"] == []


@pytest.mark.parametrize("table", TABLES)
def test_rows_of_a_table_are_at_most_as_many_as_intervals_are_planned_for(table):
    assert sum(len(study.claims) for study in studies_of(table)) <= ROWS_READ_TOGETHER


def test_no_study_and_no_claim_has_the_name_of_another_in_any_table():
    studies = [study for table in TABLES for study in studies_of(table)]
    for names in ([study.name for study in studies], [claim.id for study in studies for claim in study.claims]):
        assert len(names) == len(set(names))


def test_the_controls_miss_by_the_predicted_gap(quick_run):
    gaps = [row for row in quick_run[2] if row["id"].startswith("RZ3-gap/")]
    assert [row["verdict"] for row in gaps] == ["supported"] * 7
    for row in gaps:
        assert abs(row["measured"] - row["predicted"]) < 0.03 * row["predicted"]
    circle = sorted(row["predicted"] for row in gaps if "circle" in row["id"])
    assert circle == pytest.approx([0.175, 0.537, 0.875], rel=0.005)  # known beforehand [RZ], to three digits


@pytest.mark.parametrize("table", TABLES)
def test_every_claim_family_has_a_control(table):
    claims = [claim for study in studies_of(table) for claim in study.claims]
    controlled = {claim.control_of for claim in claims if claim.control_of}
    assert controlled <= {claim.id for claim in claims}
    families = {claim.id.split("/")[0] for claim in claims if claim.control_of is None}
    gaps = {family for family in families if family.endswith("-gap")}  # they measure what the controls miss by
    assert families - gaps - {"maximum-principle"} <= {name.split("/")[0] for name in controlled}


# What is measured of them no control measures: the sums are those of the population, whose control covers them.
BY_OTHER_LIVES = {"maximum-principle/sphere", "clusters/particles"}
BY_OTHER_LIVES |= {"noisy-order/rest"}  # a mean field at rest, beside the formula for it, which the control is about


@pytest.mark.parametrize("table", TABLES)
def test_every_claim_has_a_control_or_names_one_that_covers_it(table):
    claims = [claim for study in studies_of(table) for claim in study.all_claims]
    controls = {claim.id: claim for claim in claims if claim.control_of}
    controlled = {control.control_of for control in controls.values()}
    bare = [claim for claim in claims if claim.control_of is None and claim.id not in controlled]
    assert [claim.id for claim in bare if claim.covered_by not in controls] == []
    # What leads a life astray shows in a control that measures it too.
    other = {claim.id for claim in bare if not set(claim.measures) <= set(controls[claim.covered_by].measures)}
    assert other <= BY_OTHER_LIVES


def test_the_quick_run_stays_within_its_budget_of_compilations(quick_run):
    (line,) = [line for line in quick_run[1].splitlines() if line.startswith("compilations:")]
    assert int(line.split()[1]) <= MAXIMUM_COMPILATIONS


def test_a_study_that_trains_says_what_it_needs_before_it_is_run(monkeypatch):
    monkeypatch.delattr(af, "learn", raising=False)
    monkeypatch.delitem(sys.modules, "attnflow.learn", raising=False)
    monkeypatch.setitem(sys.modules, "equinox", None)  # as if it were not installed
    for path in STUDIES:
        if "af.learn." in path.read_text(encoding="utf-8"):
            with pytest.raises(ConfigError, match=r"attnflow\.learn needs equinox"):
                load_study(path)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_states_its_question_and_full_contains_quick(path):
    study = load_study(path)
    assert study.name == path.stem
    assert path.read_text(encoding="utf-8").startswith('"""')
    assert path.read_text(encoding="utf-8").split("\n")[0].endswith("?")
    quick, full = ({task.digest for task in study.tasks(quick=size)} for size in (True, False))
    assert quick <= full
