"""What records say about how they were made."""

import jax
from toy_study import study

from attnflow.lab import provenance
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run


def test_a_record_says_what_it_was_computed_with(store):
    run_study(study(), store, quick=True)
    told = read_run(study(), store, setting="quick").records[0].provenance
    assert told["versions"]["jax"] == jax.__version__
    assert told["code"] == provenance.code_digest()
    assert told["device"] == jax.devices()[0].device_kind
    assert told["blas_threads"] == 1
    assert told["seconds"] >= 0


def test_records_of_other_code_are_noticed(store, monkeypatch):
    run_study(study(), store, quick=True)
    assert provenance.different_code(read_run(study(), store, setting="quick").records) is None
    monkeypatch.setattr(provenance, "code_digest", lambda: "newer")
    run_study(study(quick=4), store, quick=True)
    warning = provenance.different_code(read_run(study(quick=4), store, setting="quick").records)
    assert "3 of 4 records" in warning
    assert "2 versions" in warning
