"""The page says what was claimed, run and seen, escapes everything, and points nowhere outside itself."""

import re
from html import unescape

import numpy as np
import pytest

from attnflow.errors import ConfigError
from attnflow.judge.verdicts import Verdict
from attnflow.lab.loading import load_study
from attnflow.lab.plots.drawing import records_digest
from attnflow.lab.report.page import END, README, START, check, claims_markdown, write
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run
from attnflow.lab.store import Store

SOURCE = '''"""How small is a toy's error? <script>alert("title")</script>

For eps -> 0 the error of the toy,

    A_N f(x) = int k^2 f p / int k p + O(eps),                                   [RZ, Theorem 3]

falls. <script>alert("docstring")</script>
"""
import attnflow.judge.claims
import jax
import numpy as np
from attnflow.lab import plots
from attnflow.judge.claims import Claim
from attnflow.lab.study import Study


def measure(case, keys):
    if case["bandwidth"] < FAILS_UNDER:
        raise ArithmeticError("<script>alert('failure')</script>")
    noise = np.array([np.random.default_rng(np.asarray(jax.random.key_data(key))).normal() for key in keys])
    eps = case["bandwidth"]
    return {"error": eps * (1 + eps) * np.exp(0.01 * noise), "holds": noise < 100}


def figure_of_its_own(cases):
    drawn = plots.figure(width=3, height=2)
    ax = drawn.subplots()
    ax.plot([case["bandwidth"] for case, _ in cases], [arrays["error"].mean() for _, arrays in cases])
    ax.set_title("<script>alert('figure')</script>")
    return drawn


FAILS_UNDER = 0.0
common = dict(source="RZ", quantity="error", size="bandwidth", hypotheses="p > 0 <script>alert('hypotheses')</script>")
study = Study(
    name="toy", measure=measure, ladder=[{"bandwidth": 0.4 / 2**k, "kind": "plain"} for k in range(9)], quick=8,
    seeds=16, quick_seeds=8, figures=[figure_of_its_own],
    claims=[
        Claim(id="toy/rate", statement="of order eps <script>alert('statement')</script>", kind="exponent",
              predicted=1.0, **common),
        Claim(id="toy/<script>alert('id')</script>", statement="of order eps^2", kind="exponent", predicted=2.0,
              control_of="toy/rate", **common),
        Claim(id="toy/limit|zero", statement="tends to 0", kind="constant", predicted=0.0, margin=0.1, **common),
        Claim(id="toy/holds", statement="holds", kind="flag", predicted=True, **{**common, "quantity": "holds"}),
    ],
)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = tmp_path / "dossier d'été"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


@pytest.fixture
def no_figures(monkeypatch):
    """Drawing takes a second, and what these tests are about is text."""
    monkeypatch.setattr("attnflow.lab.report.page.study_figures", lambda *arguments: {})


def ran(source=SOURCE, *, quick=True, master_seed=0):
    """A study, loaded from a file and run in the current folder, with its store."""
    with open("toy.py", "w", encoding="utf-8") as file:
        file.write(source)
    study, store = load_study("toy.py"), Store("out")
    store.prepare()
    run_study(study, store, quick=quick, master_seed=master_seed)
    return study, store


def written(study, store, **options):
    path = write([study], store, "page.html", **options)
    return path.read_text(encoding="utf-8")


def words_of(html):
    """What a reader reads: the text without tags and figures, spaces collapsed."""
    body = re.sub(r"<style.*?</style>|<svg.*?</svg>", "", html, flags=re.DOTALL)
    body = re.sub(r"</(?:dt|dd|td|th|p|h\d)>", " ", body)
    return " ".join(unescape(re.sub(r"<[^>]+>", "", body)).split())


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
    assert "Control of toy/rate" in shown
    assert records_digest(read_run(study, store, setting="quick").records) in shown
    assert study.digest in shown
    assert f"numpy {np.__version__}" in shown
    assert "Claims: 3 supported, 0 refuted, 0 inconclusive, 0 invalid." in shown
    assert "Negative controls refuted, as they must be: 1 of 1. All is as expected." in shown


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
    shown = words_of(write([study, load_study("other.py")], store, "page.html").read_text(encoding="utf-8"))
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


def test_the_table_says_what_the_verdicts_say():
    fields = {
        "source": "RZ", "kind": "exponent", "control_of": None, "predicted": 1.0, "margin": 0.05, "dropped": 0,
        "levels": 9, "seconds": 1.0, "reason": "none",
    }  # fmt: skip
    verdicts = [
        Verdict(id="a", control=False, verdict="supported", measured=1.00321, low=0.98, high=1.02, **fields),
        Verdict(id="b|c", control=True, verdict="refuted", measured=0.1, low=0.09, high=0.11, **fields),
        Verdict(id="d", control=False, verdict="invalid", measured=None, low=None, high=None, **fields),
        Verdict(
            id="e", control=False, verdict="supported", measured=1.0, low=1.0, high=1.0, **{**fields, "kind": "flag"}
        ),
        Verdict(
            id="f", control=False, verdict="inconclusive", measured=1.1, low=None, high=None, **{**fields, "dropped": 2}
        ),
        Verdict(id="g", control=False, verdict="supported", measured=1.0, low=1 - 3e-8, high=1 + 3e-8, **fields),
    ]  # fmt: skip
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in claims_markdown(verdicts).splitlines()
    ]
    assert rows[2:] == [
        ["a", "RZ", "1 ± 0.05", "1.0032 [0.9800, 1.0200]", "9", "● supported"],
        ["b\\|c", "RZ", "1 ± 0.05", "0.1000 [0.0900, 0.1100]", "9", "✕ refuted (control)"],
        ["d", "RZ", "1 ± 0.05", "–", "9", "○ invalid"],
        ["e", "RZ", "true", "true", "9", "● supported"],
        ["f", "RZ", "1 ± 0.05", "1.1", "9 (2 dropped)", "◐ inconclusive"],
        ["g", "RZ", "1 ± 0.05", "1.0000 ± 3·10⁻⁸", "9", "● supported"],
    ]


def test_the_readme_gets_the_table_and_an_edited_one_is_detected(folder, no_figures):
    study, store = ran()
    README.write_text(f"# Before\n\n{START}\nold\n{END}\n\nAfter\n", encoding="utf-8")
    assert not check([study], store)
    written(study, store)
    text = README.read_text(encoding="utf-8")
    assert text.startswith(f"# Before\n\n{START}\nQuick run, master seed 0.")
    assert text.endswith(f"{END}\n\nAfter\n")
    assert claims_markdown(read_run(study, store, setting="quick").verdicts) in text
    assert check([study], store)
    README.write_text(text.replace("| ● supported |", "| ✕ refuted |", 1), encoding="utf-8")
    assert not check([study], store)


def test_text_around_the_table_is_free(folder, no_figures):
    study, store = ran()
    README.write_text(f"{START}\n{END}", encoding="utf-8")
    written(study, store)
    README.write_text("A new line.\n" + README.read_text(encoding="utf-8") + "\nAnother.", encoding="utf-8")
    assert check([study], store)


def test_a_readme_without_a_place_for_the_table_is_left_alone(folder, no_figures):
    study, store = ran()
    README.write_text("no place here", encoding="utf-8")
    written(study, store)
    assert README.read_text(encoding="utf-8") == "no place here"
    with pytest.raises(ConfigError, match="<!-- claims -->"):
        check([study], store)


def test_a_report_on_nothing_is_refused(folder):
    study, _ = ran()
    with pytest.raises(ConfigError, match="attnflow verify"):
        write([study], Store("empty"), "page.html")
    with pytest.raises(ConfigError, match="folder does not exist"):
        write([study], Store("out"), "no/page.html")
