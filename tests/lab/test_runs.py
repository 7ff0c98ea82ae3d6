"""A run as it is read: which setting is complete, the levels of each claim, and the judgements."""

import numpy as np
import pytest
from toy_study import LADDER, claim, measure, noise, study

from attnflow.errors import ConfigError
from attnflow.judge.rates import fit_rate
from attnflow.judge.verdicts import FAMILY_CONFIDENCE
from attnflow.lab.running import run_study
from attnflow.lab.runs import Run, read_run


def test_seeds_of_all_batches_come_together_in_order(store):
    run_study(study(), store, quick=False)
    levels = read_run(study(), store).levels(claim())
    keys = [key for task in study().tasks(quick=False)[:3] for key in task.seed_keys()]
    assert [level.size for level in levels] == [case["bandwidth"] for case in LADDER]
    assert len(levels[0].values) == 40
    np.testing.assert_array_equal(levels[0].values, measure(LADDER[0], keys)["error"])


def test_verdicts_follow_the_records(store):
    claims = [claim(), claim(id="control", predicted=0.5, control_of="toy")]
    judged = study(claims=claims)
    run_study(judged, store, quick=False)
    assert [verdict.verdict for verdict in read_run(judged, store, setting="full").verdicts] == ["supported", "refuted"]


def test_a_ladder_of_three_levels_is_invalid_and_gets_no_slope(store):
    run_study(study(), store, quick=True)
    verdict = read_run(study(), store, setting="quick").verdicts[0]
    assert (verdict.verdict, verdict.measured) == ("invalid", None)


def test_judging_what_was_not_run_says_how_to_run_it(store):
    with pytest.raises(ConfigError, match=r"24 of 24 records .* are missing.*verify --full"):
        read_run(study(), store, setting="full")


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
    bias, noise = (read_run(both, store).levels(claim(quantity=name)) for name in ("bias", "noise"))
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
        read_run(misspelt, store).judgement("toy")


def test_two_cases_of_one_size_in_a_ladder_are_refused(store):
    twice = study(ladder=[*LADDER[:3], {"bandwidth": 0.4, "manifold": "sphere"}], quick=4)
    run_study(twice, store, quick=True)
    with pytest.raises(ConfigError, match=r"2 cases with bandwidth = 0.4"):
        read_run(twice, store).judgement("toy")


def test_two_cases_of_one_size_may_obey_one_identity(store):
    same = claim(kind="identity", predicted=0.0, margin=10.0)
    twice = study(ladder=[*LADDER[:3], {"bandwidth": 0.4, "manifold": "sphere"}], quick=4, claims=[same])
    run_study(twice, store, quick=True)
    assert (read_run(twice, store).verdicts[0].verdict, len(read_run(twice, store).levels(same))) == ("supported", 4)


def test_a_size_that_is_no_number_and_a_quantity_that_is_a_field_are_refused(store):
    words = study(ladder=[{"bandwidth": 0.1, "manifold": "circle"}], quick=1, claims=[claim(size="manifold")])
    run_study(words, store, quick=True)
    with pytest.raises(ConfigError, match="no number"):
        read_run(words, store).judgement("toy")
    fields = study(ladder=words.ladder, quick=1, claims=[claim(quantity="field")])
    with pytest.raises(ConfigError, match="not one number per seed"):
        read_run(fields, store).judgement("toy")


def test_the_larger_complete_run_is_read_unless_another_is_asked_for(store):
    assert read_run(study(), store).setting is None
    run_study(study(), store, quick=True)
    assert (read_run(study(), store).setting, len(read_run(study(), store).records)) == ("quick", 3)
    run_study(study(), store, quick=False)
    assert (read_run(study(), store).setting, len(read_run(study(), store).records)) == ("full", 8 * 3)
    quick = read_run(study(), store, setting="quick")
    assert [record.task.seeds for record in quick.records] == [range(6)] * 3


def test_a_run_that_is_not_complete_keeps_what_was_found_and_judges_nothing(store):
    run_study(study(), store, quick=True)
    store.path(study().tasks(quick=True)[0]).unlink()
    run = read_run(study(), store)
    assert (run.setting, run.records, run.judgements, len(run.found)) == (None, (), (), 2)
    with pytest.raises(ConfigError, match=r"1 of 3 records .* are missing.*verify --quick"):
        read_run(study(), store, setting="quick")


def test_another_master_seed_is_another_run(store):
    run_study(study(), store, quick=True, master_seed=4)
    assert read_run(study(), store).found == ()
    other = read_run(study(), store, master_seed=4)
    assert (other.setting, other.master_seed) == ("quick", 4)


def test_a_misspelt_setting_is_told_the_nearest_one(store):
    with pytest.raises(ConfigError, match="Did you mean 'quick'"):
        read_run(study(), store, setting="quik")


def test_a_judgement_is_found_by_the_id_of_its_claim_with_the_levels_it_was_read_off(store):
    judged = study(claims=[claim(), claim(id="control", predicted=0.5, control_of="toy")])
    run_study(judged, store, quick=False)
    run = read_run(judged, store)
    judgement = run.judgement("control")
    assert (judgement.claim, judgement.verdict) == (judged.claims[1], run.verdicts[1])
    for given, level in zip(judgement.levels, run.levels(judged.claims[1]), strict=True):
        np.testing.assert_array_equal(given.values, level.values)
    assert judgement.fit.rate == judgement.verdict.measured
    with pytest.raises(ConfigError, match="Did you mean 'control'"):
        run.judgement("contrl")


def test_what_running_hands_over_is_what_the_disk_holds(store):
    handed = run_study(study(), store, quick=False).run
    read = read_run(study(), store, setting="full")
    assert (handed.setting, handed.master_seed) == (read.setting, read.master_seed)
    assert handed.verdicts == read.verdicts
    for one, other in zip(handed.records, read.records, strict=True):
        assert (one.task, one.payload_sha256, one.failed) == (other.task, other.payload_sha256, other.failed)
        assert dict(one.provenance) == dict(other.provenance)


# What records make of a level


def spread(draws):
    """Numbers between 1 and 2 whose extremes over the seeds lie in the record in the middle."""
    return 1.0 + 7.0 * (np.abs(draws) + 1.0) % 1.0


def varying(case, keys):
    """Values and companions that differ from seed to seed, in three records for a case."""
    draws, eps = spread(noise(keys)), case["bandwidth"]
    return {
        "error": eps * draws, "ess": 10.0 * draws, "solver_error": 1e-3 * eps * draws,
        "other": eps * draws**2, "other.ess": 5.0 * draws, "other.solver_error": 1e-4 * eps * draws,
    }  # fmt: skip


def levels_of(quantity, store, *, seeds=40, quick_seeds=6, run=True, **changes):
    claimed = claim(quantity=quantity, **changes)
    made = study(measure=varying, claims=[claimed], seeds=seeds, quick_seeds=quick_seeds)
    if run:
        run_study(made, store, quick=False)
    return read_run(made, store, setting="full").levels(claimed), made


def noise_of(made):
    """The noise of all seeds: three records for the first case."""
    return noise([key for task in made.tasks(quick=False)[:3] for key in task.seed_keys()])


@pytest.mark.parametrize(("quantity", "ess", "error"), [("error", 10.0, 1e-3), ("other", 5.0, 1e-4)])
def test_a_level_has_the_fewest_neighbours_and_the_largest_solver_error_of_its_seeds(store, quantity, ess, error):
    levels, made = levels_of(quantity, store)
    draws = spread(noise_of(made))
    assert {*range(6, 38)} >= {draws.argmin(), draws.argmax()}
    for level in levels:
        assert level.ess == pytest.approx(ess * draws.min(), rel=1e-15)
        assert level.solver_error == pytest.approx(error * level.size * draws.max(), rel=1e-15)


def test_a_level_takes_the_time_of_all_its_records(store):
    levels, made = levels_of("error", store)
    records = read_run(made, store, setting="full").records
    for level in levels:
        of_case = [r.provenance["seconds"] for r in records if r.task.case["bandwidth"] == level.size]
        assert (len(of_case), level.seconds) == (3, sum(of_case))


@pytest.mark.parametrize(("seeds", "deterministic"), [(1, True), (40, False)])
def test_only_a_study_of_one_seed_is_deterministic(store, seeds, deterministic):
    made = study(seeds=seeds, quick_seeds=1)
    run_study(made, store, quick=False)
    run = read_run(made, store, setting="full")
    assert {level.deterministic for level in run.levels(claim())} == {deterministic}
    assert run.verdicts[0].reason.startswith(f"slope of 8 levels, {'deterministic' if deterministic else '40 seeds'}")


def test_the_interval_of_random_levels_comes_from_their_seeds(store):
    made = study()
    run_study(made, store, quick=False)
    judged = read_run(made, store, setting="full").judgements[0]
    table = np.stack([level.values for level in judged.levels])
    fit = fit_rate([case["bandwidth"] for case in LADDER], table, confidence=FAMILY_CONFIDENCE)
    assert (judged.verdict.low, judged.verdict.high) == (fit.low, fit.high)


def undefined_in_one_seed(case, keys):
    error = measure(case, keys)["error"]
    if case["bandwidth"] == LADDER[4]["bandwidth"] and len(keys) == 2:  # the last record of that case
        error[1] = np.nan
    return {"error": error}


@pytest.mark.parametrize("kind", ["exponent", "constant", "identity", "flag"])
def test_a_value_that_is_not_a_number_makes_a_claim_invalid_and_is_not_dropped(store, kind):
    judged = study(
        measure=undefined_in_one_seed, claims=[claim(kind=kind, margin={"identity": 10.0}.get(kind))]
    )  # fmt: skip
    run_study(judged, store, quick=False)
    run = read_run(judged, store, setting="full")
    assert [len(level.values) for level in run.judgements[0].levels] == [40] * 8
    assert run.verdicts[0].verdict == "invalid"
    assert run.verdicts[0].reason == "1 of 40 values are NaN or Inf at bandwidth = 0.025"


def failing_seeds(case, keys):
    draws = noise(keys)
    return {"error": measure(case, keys)["error"], "failed": draws > 1.0, "other": draws, "other.failed": draws > 9.0}


def test_seeds_that_failed_make_their_level_fail_and_a_companion_of_ones_own_counts_first(store):
    judged = study(measure=failing_seeds, claims=[claim()])
    run_study(judged, store, quick=False)
    run = read_run(judged, store, setting="full")
    failed = int((noise_of(judged) > 1.0).sum())
    assert failed > 1
    assert {level.failed for level in run.levels(claim())} == {f"{failed} seeds failed"}
    assert {level.failed for level in run.levels(claim(quantity="other"))} == {None}
    assert run.verdicts[0].verdict == "invalid"


def raising_in(records):
    """A measurement that fails in the records of so many seeds of one case."""

    def raising(case, keys):
        if case["bandwidth"] == LADDER[2]["bandwidth"] and len(keys) in records:
            raise ArithmeticError("no answer")
        return measure(case, keys)

    return raising


@pytest.mark.parametrize("records", [[32], [6, 32, 2]], ids=["one of three", "all three"])
def test_records_that_failed_make_their_level_fail_and_no_level_is_left_out(store, records):
    judged = study(measure=raising_in(records), claims=[claim()])
    run_study(judged, store, quick=False)
    run = read_run(judged, store, setting="full")
    levels = run.levels(claim())
    assert [level.failed is None for level in levels] == [True, True, False] + [True] * 5
    assert "ArithmeticError: no answer" in levels[2].failed
    assert run.verdicts[0].verdict == "invalid"


def test_a_run_keeps_what_was_found_and_its_seed_whether_it_is_complete_or_not(store):
    assert Run.of(study(), [], settings=("full",)).master_seed == 0
    run_study(study(), store, quick=True, master_seed=5)
    whole, part = (read_run(study(), store, setting=name, master_seed=5) for name in ("quick", None))
    assert (whole.found, len(whole.found), part.setting) == (whole.records, 3, "quick")
    store.path(study().tasks(quick=True, master_seed=5)[1]).unlink()
    part = read_run(study(), store, master_seed=5)
    assert (part.setting, part.master_seed, len(part.found)) == (None, 5, 2)


def counted(case, keys):
    return {"error": np.full(len(keys), case["bandwidth"]), "failed": 3 * (np.arange(len(keys)) > 1)}


def test_a_seed_failed_if_its_number_is_not_zero_and_names_are_told_in_full(store):
    made = study(measure=counted, quick_seeds=5)
    run_study(made, store, quick=True)
    run = read_run(made, store, setting="quick")
    assert {level.failed for level in run.levels(claim())} == {"3 seeds failed"}
    with pytest.raises(ConfigError, match=r"^`claim_id` must be one of"):
        run.judgement("tox")
    with pytest.raises(ConfigError, match=r"^`setting` must be one of"):
        read_run(made, store, setting="quik")
    with pytest.raises(ConfigError, match=r"^`quantity of claim toy` must be one of"):
        run.levels(claim(quantity="eror"))
