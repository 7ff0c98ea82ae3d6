"""A run as it is read: which setting is complete, the levels of each claim, and the judgements."""

import numpy as np
import pytest
from toy_study import LADDER, claim, measure, study

from attnflow.errors import ConfigError
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run


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
