"""The page says what was claimed, run and seen, escapes everything, and points nowhere outside itself."""

import itertools
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import numpy as np
from reported_study import SOURCE, ran, words_of, written

from attnflow.lab.loading import find_studies, load_study
from attnflow.lab.plots.drawing import figure_name, records_digest
from attnflow.lab.report import front
from attnflow.lab.report.files import write
from attnflow.lab.report.front import Picture
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
    references = set(re.findall(r"url\(#([^)]+)\)", html)) | {
        unquote(end) for end in re.findall(r'href="#([^"]+)"', html)
    }
    assert references
    assert references <= set(map(unescape, ids))
    assert html.count("<svg") == html.count("</svg>")
    assert html.count('aria-label="toy-') == 2  # of a claim with its control, and of a limit
    assert html.count('aria-label="figure_of_its_own"') == 1
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


def rows_of(html):
    """The rows of claims: their filters and their texts."""
    found = re.findall(r'<tr class="claim (\w+)">(.*?)</tr>', html, flags=re.DOTALL)
    return {words_of(row).split()[0]: sort for sort, row in found}


def test_every_claim_has_a_row_and_its_control_is_folded_into_it(folder, no_figures):
    html = written(*ran())
    assert rows_of(html) == {"toy/rate": "supported", "toy/limit|zero": "supported", "toy/holds": "supported"}
    assert len(re.findall(r'<g class="mark control pale">', html)) == 1
    assert re.search(r'<details class="of-claim"><summary><h5>Control: toy/', html)
    assert '<article id="toy/rate" class="supported bare">' in html


def test_a_claim_is_filtered_by_the_worst_of_itself_and_its_controls(folder, no_figures):
    inside, undecided = 'kind="constant", predicted=0.0, margin=0.1', 'kind="constant", predicted=0.0, margin=0.0119'
    html = written(*ran(SOURCE.replace("predicted=2.0", "predicted=1.0").replace(inside, undecided)))
    assert rows_of(html) == {"toy/rate": "refuted", "toy/limit|zero": "undecided", "toy/holds": "supported"}
    assert '<section class="study supported undecided refuted">' in html
    for sort in ("supported", "undecided", "refuted"):
        assert f'id="show/{sort}"' in html
        assert f"body:has(#show\\/{sort}:checked)" in html


def test_all_but_the_contents_and_the_forest_is_folded(folder, no_figures):
    html = written(*ran())
    folded = re.sub(r"<details.*</details>", "", html, flags=re.DOTALL)
    assert "Hypotheses" not in folded
    assert "<details open" not in html
    assert html.count("<details") == html.count("</details>")


def test_the_page_says_how_to_repeat_it(folder, no_figures, monkeypatch):
    monkeypatch.setattr("attnflow.lab.report.describing.git_revision", lambda: "1234abcd")
    shown = words_of(written(*ran(master_seed=3), master_seed=3))
    assert "Reproduce attnflow verify --quick --seed 3 && attnflow report --seed 3" in shown
    assert "Revision 1234abcd" in shown
    assert re.search(r"8 records in \d+\.\d s", shown)
    assert "Reproduce attnflow verify --full && " in words_of(written(*ran(quick=False)))


def test_the_page_says_the_same_size_where_it_tells_what_was_run_and_how_to_repeat_it(folder, no_figures):
    one_size = SOURCE.replace("quick=8", "quick=9").replace("quick_seeds=8", "quick_seeds=16")
    for quick, source in itertools.product((True, False), (SOURCE, one_size)):
        study, store = ran(source, quick=quick)
        assert study.quick_is_full == (source == one_size)
        shown = words_of(written(study, store))
        size = "quick" if quick and source == SOURCE else "full"
        assert f"attnflow verify --{size} &&" in shown
        assert f"{size.capitalize()} run" in shown


def test_the_main_theorem_and_pictures_come_first_where_they_are_among_the_studies(folder, monkeypatch):
    study, store = ran()
    assert "The main theorem" not in words_of(written(study, store))
    monkeypatch.setattr("attnflow.lab.report.front.MAIN", ("toy/rate", "no/such"))
    pictures = (("toy", "figure_of_its_own", "Falls <b>"), ("toy", "toy-rate", "As well"), ("toy", "none", "Lost"))
    monkeypatch.setattr("attnflow.lab.report.front.PICTURES", tuple(Picture(*each) for each in pictures))
    html = written(study, store)
    shown = words_of(html)
    assert shown.index("The main theorem") < shown.index("toy/rate") < shown.index("Falls <b>") < shown.index("As well")
    assert "Lost" not in shown
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_what_the_page_begins_with_is_among_our_studies():
    studies = {study.name: study for study in find_studies(Path(__file__).parents[3] / "studies")}
    assert set(front.MAIN) <= {claim.id for study in studies.values() for claim in study.all_claims}
    for picture in front.PICTURES:
        study = studies[picture.study]
        names = [figure_name(claim) for claim in study.claims] + [figure.__name__ for figure in study.figures]
        assert picture.figure in names
