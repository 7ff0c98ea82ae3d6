"""Studies: what may be declared, how a run is cut into records, and what makes two records the same."""

import dataclasses
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from attnflow.errors import ConfigError, DataError
from attnflow.judge.claims import Claim
from attnflow.lab.sources import source_digest
from attnflow.lab.study import Study, Task, per_seed

LADDER = [{"bandwidth": 0.4 / 2**level, "manifold": "circle"} for level in range(8)]


def measure(case, keys):
    return {"error": np.full(len(keys), case["bandwidth"])}


def claim(**changes):
    fields = {
        "id": "toy", "source": "RZ", "statement": "errors are of order eps", "kind": "exponent", "quantity": "error",
        "size": "bandwidth", "hypotheses": "none", "predicted": 1.0,
    }  # fmt: skip
    return Claim(**{**fields, **changes})


def study(**changes):
    return Study(**{"name": "toy", "measure": measure, "ladder": LADDER, "quick": 6, "claims": [claim()], **changes})


@pytest.mark.parametrize("name", ["../escape", "/etc/passwd", "a b", "Toy", "toy.py", "", "..", "tôy", "toy\n", 3])
def test_a_study_name_that_could_leave_its_folder_is_refused(name):
    with pytest.raises(ConfigError, match="may hold only a-z"):
        study(name=name)


def test_duplicate_cases_are_refused():
    with pytest.raises(ConfigError, match=r'"bandwidth":0.2.*twice'):
        study(ladder=[*LADDER, dict(LADDER[1])])


def test_one_size_written_twice_is_one_case():
    with pytest.raises(ConfigError, match="twice"):
        study(ladder=[{"n": 8}, {"n": 16}, {"n": 8.0}], quick=3, claims=[])


def test_the_order_of_parameters_makes_no_other_case():
    reordered = dict(reversed(LADDER[0].items()))
    with pytest.raises(ConfigError, match="twice"):
        study(ladder=[*LADDER, reordered])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, 2], np.ones(2), {"a": 1}, 1j])
def test_a_parameter_that_json_cannot_hold_is_named(value):
    with pytest.raises(ConfigError, match="`bandwidth` in a case of study 'toy'"):
        study(ladder=[{"bandwidth": value}])


def test_numpy_scalars_become_python_numbers():
    plain = study(ladder=[{"bandwidth": np.float64(0.1), "points": np.int64(7)}], quick=1).ladder[0]
    assert {name: type(value) for name, value in plain.items()} == {"bandwidth": float, "points": int}


def test_a_misspelt_size_is_told_the_nearest_parameter():
    with pytest.raises(ConfigError, match=r"^`size of claim toy` must .* Did you mean 'bandwidth'"):
        study(claims=[claim(size="bandwith")])


def test_a_control_of_an_unknown_claim_is_told_the_nearest_one():
    with pytest.raises(ConfigError, match=r"^`control_of of claim control` must .* Did you mean 'toy'"):
        study(claims=[claim(), claim(id="control", control_of="tov")])


def test_two_claims_of_one_id_are_refused():
    with pytest.raises(ConfigError, match=r"^study 'toy' has two claims with the id 'toy'"):
        study(claims=[claim(), claim(predicted=2.0)])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quick": 0}, "`quick` must be an integer of at least 1, got 0"),
        ({"quick": 9}, "`quick` of study 'toy' must be at most the 8 cases of its ladder, got 9"),
        ({"quick": 2.5}, "`quick` must be an integer of at least 1, got 2.5"),
        ({"seeds": 0}, "`seeds` must be an integer of at least 1, got 0"),
        ({"quick_seeds": 0}, "`quick_seeds` must be an integer of at least 1, got 0"),
        ({"seeds": 2, "quick_seeds": 3}, "`quick_seeds` of study 'toy' must be at most `seeds` = 2, got 3"),
        ({"measure": 1}, "`measure` of study 'toy' must be callable, got 1"),
    ],
    ids=str,
)
def test_a_quick_run_that_is_no_prefix_or_a_wrong_type_is_refused_by_name(changes, words):
    with pytest.raises(ConfigError, match=f"^{re.escape(words)}"):
        study(**changes)


@pytest.mark.parametrize("case", [{1: 0.4}, [("bandwidth", 0.4)], "bandwidth", 3], ids=repr)
def test_a_case_that_is_no_dict_with_words_for_keys_is_shown(case):
    words = f"^each case of study 'toy' must be a dict with string keys, got {re.escape(repr(case))}"
    with pytest.raises(ConfigError, match=words):
        study(ladder=[*LADDER, case])


def test_the_quick_run_may_be_given_by_its_cases():
    assert study(quick=LADDER[:4]).tasks(quick=True) == study(quick=4).tasks(quick=True)
    with pytest.raises(ConfigError, match=r"^`quick` of study 'toy' must be the first cases of its ladder"):
        study(quick=LADDER[1:4])
    with pytest.raises(ConfigError, match=r"^`bandwidth` in a case of study 'toy'"):
        study(quick=[{"bandwidth": float("nan")}])


@pytest.mark.parametrize(
    ("changes", "is_full"),
    [
        ({"quick": 8, "seeds": 5}, True),
        ({"quick": 8, "seeds": 5, "quick_seeds": 5}, True),
        ({"quick": 7, "seeds": 5}, False),
        ({"quick": 8, "seeds": 5, "quick_seeds": 4}, False),
    ],
    ids=str,
)
def test_the_quick_run_is_the_full_one_if_it_has_all_cases_and_all_seeds(changes, is_full):
    each = study(**changes)
    assert each.quick_is_full == is_full == (each.tasks(quick=True) == each.tasks(quick=False))


@pytest.mark.parametrize(("seeds", "quick_seeds"), [(1, None), (100, 16), (400, 32), (40, 40), (70, 33), (5, 1)])
def test_the_records_of_the_quick_run_are_among_those_of_the_full_one(seeds, quick_seeds):
    both = study(seeds=seeds, quick_seeds=quick_seeds)
    quick = [task.digest for task in both.tasks(quick=True)]
    full = [task.digest for task in both.tasks(quick=False)]
    assert set(quick) <= set(full)
    assert len(set(full)) == len(full)


@pytest.mark.parametrize(("seeds", "quick_seeds"), [(1, None), (100, 16), (400, 32), (40, 40), (70, 33), (5, 1)])
def test_every_seed_is_in_exactly_one_batch(seeds, quick_seeds):
    both = study(seeds=seeds, quick_seeds=quick_seeds)
    assert [seed for batch in both.batches(quick=False) for seed in batch] == list(range(seeds))
    assert [seed for batch in both.batches(quick=True) for seed in batch] == list(range(quick_seeds or seeds))


def task(**changes):
    fields = {"study": "toy", "case": LADDER[0], "seeds": range(3), "master_seed": 0, "source": "abc"}
    return Task(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [{"study": "other"}, {"case": LADDER[1]}, {"seeds": range(4)}, {"master_seed": 1}, {"source": "abd"}],
    ids=lambda changes: next(iter(changes)),
)
def test_each_part_of_a_task_changes_the_name_of_its_record(changes):
    assert task(**changes).digest != task().digest


def key_words(task):
    return np.array([jax.random.key_data(key) for key in task.seed_keys()])


def test_keys_depend_on_the_seed_the_study_and_the_master_seed_but_not_on_the_case():
    words = key_words(task())
    np.testing.assert_array_equal(key_words(task(case=LADDER[1], source="new code")), words)
    np.testing.assert_array_equal(key_words(task(seeds=range(1, 5)))[:2], words[1:])
    assert not np.isin(key_words(task(master_seed=1)), words).any()
    assert not np.isin(key_words(task(study="other")), words).any()
    assert len(np.unique(key_words(task(seeds=range(400))), axis=0)) == 400


def test_keys_work_alone_and_stacked_in_compiled_code():
    keys = task().seed_keys()
    alone = [jax.random.normal(key, (4,)) for key in keys]
    stacked = jax.jit(jax.vmap(lambda key: jax.random.normal(key, (4,))))(jax.numpy.stack(keys))
    np.testing.assert_array_equal(stacked, alone)


def test_overriding_a_parameter_changes_every_case_that_has_it():
    changed = study().with_parameters({"manifold": "sphere"})
    assert [case["manifold"] for case in changed.ladder] == ["sphere"] * 8
    assert [case["bandwidth"] for case in changed.ladder] == [case["bandwidth"] for case in LADDER]
    assert {task.digest for task in changed.tasks(quick=False)}.isdisjoint(
        task.digest for task in study().tasks(quick=False)
    )


def test_overriding_an_unknown_parameter_is_told_the_nearest_one():
    with pytest.raises(ConfigError, match=r"^`parameters` must .* Did you mean 'manifold'"):
        study().with_parameters({"manifolds": "sphere"})


def test_overriding_a_parameter_keeps_the_seeds_and_the_source_and_drops_the_claims():
    whole = study(seeds=40, quick_seeds=7, source="x = 1", helpers=("y = 2",), path=Path("toys", "one.py"))
    changed = whole.with_parameters({"manifold": "sphere"})
    assert (changed.seeds, changed.quick_seeds, changed.quick, changed.claims) == (40, 7, 6, ())
    assert (changed.source, changed.helpers, changed.room) == ("x = 1", ("y = 2",), "toys")
    assert changed.digest == whole.digest != study(source="x = 1").digest


def test_overriding_what_tells_the_cases_apart_leaves_one():
    one = study().with_parameters({"bandwidth": 0.1})
    assert [case["bandwidth"] for case in one.ladder] == [0.1]
    assert one.cases(quick=True) == one.cases(quick=False)


def test_sizes_and_quantities_can_have_labels_and_nothing_else():
    assert study(labels={"bandwidth": "scale", "error": "distance"}).labels["bandwidth"] == "scale"
    with pytest.raises(ConfigError, match=r"^`labels` must .* Did you mean 'error'"):
        study(labels={"eror": "error"})


def test_a_study_without_a_source_file_says_so():
    namespace = {}
    exec(compile("def measure(case, keys): ...", "<stdin>", "exec"), namespace)
    with pytest.raises(ConfigError, match="Write the study into a file"):
        study(measure=namespace["measure"]).tasks(quick=True)


def test_a_study_cannot_be_changed_and_its_identity_is_plain_json():
    with pytest.raises(dataclasses.FrozenInstanceError):
        study().name = "other"
    assert json.loads(task().identity)["case"] == LADDER[0]


@pytest.mark.parametrize("size", [0, -0.5])
def test_an_exponent_needs_positive_sizes_and_other_kinds_do_not(size):
    ladder = [*LADDER, {"bandwidth": size, "manifold": "circle"}]
    with pytest.raises(ConfigError, match=f"must be positive, got {size}: claim 'toy' takes its logarithm"):
        study(ladder=ladder)
    for changes in ({"kind": "constant"}, {"kind": "identity", "margin": 1e-9}, {"kind": "flag"}):
        study(ladder=ladder, claims=[claim(**changes)])


# One seed at a time


@per_seed
def measure_one(case, key):
    """A number, a vector and a truth value from one draw."""
    draw = jax.random.normal(key, (4,)) * case["bandwidth"]
    return {"error": draw[0], "field": draw, "positive": bool(draw[0] > 0)}


def test_per_seed_gives_one_row_for_each_key_in_their_order():
    keys = task(seeds=range(5)).seed_keys()
    arrays = measure_one({"bandwidth": 0.5}, keys)
    assert {name: array.shape for name, array in arrays.items()} == {"error": (5,), "field": (5, 4), "positive": (5,)}
    assert arrays["positive"].dtype == bool
    for index, key in enumerate(keys):
        np.testing.assert_array_equal(arrays["field"][index], 0.5 * jax.random.normal(key, (4,)))
    np.testing.assert_array_equal(arrays["error"], arrays["field"][:, 0])


def test_per_seed_keeps_the_name_the_words_and_the_source_of_what_it_wraps():
    assert measure_one.__name__ == "measure_one"
    assert measure_one.__doc__ == "A number, a vector and a truth value from one draw."
    digest = source_digest(Path(__file__).read_text(encoding="utf-8"))
    assert study(measure=measure_one).digest == digest  # not that of the file that defines `per_seed`


def test_seeds_that_measure_different_quantities_are_refused():
    @per_seed
    def uneven(case, key):
        return {"error": 1.0} if case.pop("first", False) else {"error": 1.0, "ess": 2.0}

    with pytest.raises(DataError, match="gave error for one seed and error, ess for another"):
        uneven({"first": True}, [None, None])


def test_a_deterministic_study_measures_one_seed():
    calls = []
    plain = study(measure=per_seed(lambda case, key: calls.append(case) or {"error": case["bandwidth"]}))
    (first, *_) = plain.tasks(quick=True)
    assert plain.measure(dict(first.case), first.seed_keys())["error"].tolist() == [0.4]
    assert len(calls) == 1
