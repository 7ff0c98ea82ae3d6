"""The page says what was claimed, run and seen, escapes everything, and points nowhere outside itself."""

import re

import numpy as np
from reported_study import SOURCE, ran, words_of, written

from attnflow.lab.loading import load_study
from attnflow.lab.plots.drawing import records_digest
from attnflow.lab.report.files import write
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run


def test_nothing_that_a_study_says_becomes_markup(folder):
    html = written(*ran(SOURCE.replace("FAILS_UNDER = 0.0", "FAILS_UNDER = 0.004")))
    assert "<script" not in html.lower()
    shown = words_of(html)
    for place in ("title", "docstring"):
        assert f'<script>alert("{place}")</script>' in shown
    for place in ("hypotheses", "statement", "id", "failure"):
        assert f"<script>alert('{place}')</script>" in shown
    assert "&lt;script&gt;alert('figure')" in html


def test_the_page_is_complete_in_itself_and_its_ids_are_unique(folder):
    html = written(*ran())
    assert "http" not in html
    assert not re.search(r"\bsrc=|@import|<link|<iframe|\bon\w+=", html)
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    references = set(re.findall(r'(?:url\(#|href="#)([^")]+)', html))
    assert references
    assert references <= set(ids)
    assert (
        html.count("<svg") == html.count("</svg>") == 3
    )  # of a claim with its control, of a limit, and one of its own
    assert len(html) < 5e6


def test_the_page_says_what_was_claimed_run_and_seen(folder):
    study, store = ran()
    shown = words_of(written(study, store))
    verdicts = read_run(study, store, setting="quick").verdicts
    for verdict in verdicts:
        assert verdict.id in shown
        assert verdict.reason in shown
    assert "Quick run · master seed 0" in shown
    assert "8 of 9 cases" in shown
    assert "bandwidth = 0.4, 0.2, 0.1, 0.05" in shown
    assert "kind = plain" in shown
    assert "8 of 16 seeds each" in shown
    assert "Control: toy/<script>alert('id')</script>" in shown
    assert records_digest(read_run(study, store, setting="quick").records) in shown
    assert study.digest in shown
    assert f"numpy {np.__version__}" in shown
    assert "3 claims measured: 3 supported, 0 refuted, 0 inconclusive, 0 invalid." in shown
    assert "Negative controls refuted, as they must be: 1 of 1. In short: all as expected." in shown


def test_equations_of_a_docstring_stand_apart_with_their_citation(folder, no_figures):
    html = written(*ran())
    assert '<span class="cite">[RZ, Theorem 3]</span>' in html
    assert "A<sub>N</sub> f(x) = ∫ k<sup>2</sup> f p / ∫ k p + O(ε)," in html
    assert "<p>For ε → 0 the error of the toy,</p>" in html


def test_a_control_that_passes_is_named_at_the_top(folder, no_figures):
    shown = words_of(written(*ran(SOURCE.replace("predicted=2.0", "predicted=1.0"))))
    assert "as they must be: 0 of 1. Not as expected: toy/<script>alert('id')</script>." in shown
    assert "control supported, not refuted" in shown


def test_the_full_run_and_another_master_seed_are_stated(folder, no_figures):
    shown = words_of(written(*ran(quick=False, master_seed=7), master_seed=7))
    assert "Full run · master seed 7" in shown
    assert "9 of 9 cases" in shown


def test_a_study_that_has_not_been_run_is_listed_as_such(folder, no_figures):
    study, store = ran()
    with open("other.py", "w", encoding="utf-8") as file:
        file.write(SOURCE.replace('name="toy"', 'name="other"').replace('"toy/', '"other/'))
    shown = words_of(write({None: [study, load_study("other.py")]}, store, "page.html")[0].read_text(encoding="utf-8"))
    assert "Quick run: toy; Not run: other" in shown
    assert "This study has not been run." in shown
    assert "other/rate" in shown


def test_files_that_were_set_aside_are_listed(folder, no_figures):
    study, store = ran()
    task = study.tasks(quick=True)[3]
    store.path(task).write_bytes(b"foreign")
    run_study(study, store, quick=True)
    (bad,) = store.bad_files()
    assert f"Set aside as damaged, and computed again: {bad.name}." in words_of(written(study, store))


def test_records_of_other_code_are_told(folder, no_figures, monkeypatch):
    study, store = ran()
    monkeypatch.setattr("attnflow.lab.provenance.code_digest", lambda: "another")
    assert "computed by another version of attnflow's code" in words_of(written(study, store))
