"""A separate subject has a section of the page, a place in the README and a page of claims, all of its own."""

import contextlib
import shutil
from pathlib import Path

import pytest
from reported_study import SOURCE, words_of

from attnflow.cli import main
from attnflow.lab.plots.drawing import README
from attnflow.lab.report.files import CLAIMS, subjects_with_records
from attnflow.lab.store import Store

TRAINED, CLAIMS_LEARNED = Path("studies/learned/trained.py"), Path("docs/claims_learned.md")
PLACES = (
    "# Before\n\n<!-- claims -->\n<!-- /claims -->\n\nBetween\n\n<!-- claims learned -->\n<!-- /claims learned -->\n"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a main study and a separate one, both run, and a README with a place for each table."""
    made = tmp_path_factory.mktemp("prepared")
    text = SOURCE.replace('name="toy"', 'name="trained"').replace('"toy/', '"trained/').replace("a toy's", "training's")
    with contextlib.chdir(made):
        TRAINED.parent.mkdir(parents=True)
        Path("studies/toy.py").write_text(SOURCE, encoding="utf-8")
        TRAINED.write_text(text, encoding="utf-8")
        README.write_text(PLACES, encoding="utf-8")
        main(["verify"])
        main(["verify", "--subject", "learned"])
    return made


@pytest.fixture
def ran(prepared, folder, no_figures, capsys):
    """A copy of it, in which the commands run."""
    shutil.copytree(prepared, folder, dirs_exist_ok=True)
    capsys.readouterr()
    return folder


def block(subject):
    """What the README has between the marks of a table."""
    return README.read_text(encoding="utf-8").split(f"<!-- {subject} -->\n")[1].split(f"\n<!-- /{subject} -->")[0]


def test_report_writes_one_table_for_each(ran, capsys):
    assert main(["report"]) == 0
    assert capsys.readouterr().out.split() == [
        "report.html",
        "badge.svg",
        "README.md",
        "docs/claims.md",
        "docs/claims_learned.md",
    ]
    assert "[toy](docs/claims.md#toy)" in block("claims")
    assert "trained" not in block("claims")
    assert "[trained](docs/claims_learned.md#trained)" in block("claims learned")
    assert "toy" not in block("claims learned").replace("toy's", "")
    assert block("claims learned").startswith("Quick run, master seed 0. 3 claims measured")
    page = CLAIMS_LEARNED.read_text(encoding="utf-8")
    assert page.startswith("# Learned metrics: every claim\n\n")
    assert "[trained/rate](../figures/trained/trained-rate.svg)" in page
    assert "trained" not in CLAIMS.read_text(encoding="utf-8")


def test_the_page_has_one_section_for_each_and_counts_them_apart(ran):
    main(["report"])
    html = Path("report.html").read_text(encoding="utf-8")
    shown = words_of(html)
    assert shown.count("3 claims measured: 3 supported") == 2
    places = ["The claims", "Study toy", "Learned metrics: the claims", "Study trained"]
    assert sorted(places, key=shown.index) == places
    assert shown.index("Learned metrics: the studies") < shown.index("How small is training's error?")
    anchors = [part.split('"')[0] for part in html.split(' id="')[1:]]
    assert len(anchors) == len(set(anchors))
    assert {"toy/rate", "trained/rate", "study/toy", "study/trained"} <= set(anchors)
    assert "attnflow verify --quick && attnflow verify --quick --subject learned && attnflow report" in shown


def test_check_compares_a_separate_table_only_where_it_is_named(ran, capsys):
    main(["report"])
    for path, words, other in (
        (CLAIMS_LEARNED, ["report", "--check", "--subject", "learned"], ["report", "--check"]),
        (CLAIMS, ["report", "--check"], ["report", "--check", "--subject", "learned"]),
    ):
        assert (main(words), main(other)) == (0, 0)
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("● supported", "○ invalid", 1), encoding="utf-8")
        capsys.readouterr()
        assert (main(other), main(words)) == (0, 1)
        assert f"{path} differs from the records" in capsys.readouterr().out
        path.write_text(text, encoding="utf-8")


def test_check_needs_neither_records_nor_packages_of_a_separate_subject(ran):
    main(["report"])
    TRAINED.write_text("import no_package_of_this_name\nname = 'trained'", encoding="utf-8")
    assert main(["report", "--check"]) == 0
    assert main(["report"]) == 2  # its records are there and cannot be judged


def test_one_subject_alone_is_reported_alone(ran, capsys):
    assert main(["report", "--subject", "learned"]) == 0
    assert capsys.readouterr().out.split() == ["report.html", "badge.svg", "README.md", "docs/claims_learned.md"]
    assert "Study toy" not in words_of(Path("report.html").read_text(encoding="utf-8"))
    assert "<!-- claims -->\n<!-- /claims -->" in README.read_text(encoding="utf-8")


def test_a_folder_that_is_part_of_a_table_has_no_report_of_its_own(ran, capsys):
    Path("studies/noise").mkdir()
    Path("studies/toy.py").rename("studies/noise/toy.py")
    assert main(["report", "--subject", "noise"]) == 2
    assert "`--subject` must be one of 'learned', 'questions', got 'noise'" in capsys.readouterr().err


def test_a_subject_that_has_not_been_run_is_left_out(ran, capsys):
    main(["report"])
    before = README.read_text(encoding="utf-8"), CLAIMS_LEARNED.read_text(encoding="utf-8")
    TRAINED.write_text(TRAINED.read_text(encoding="utf-8").replace("0.01 * noise", "0.02 * noise"), encoding="utf-8")
    capsys.readouterr()
    assert main(["report"]) == 0  # of what is there now nothing has been run
    assert capsys.readouterr().out.split() == ["report.html", "badge.svg", "README.md", "docs/claims.md"]
    assert (README.read_text(encoding="utf-8"), CLAIMS_LEARNED.read_text(encoding="utf-8")) == before
    assert main(["report", "--check", "--subject", "learned"]) == 2
    assert "no study has been run" in capsys.readouterr().err


def test_without_a_place_in_the_readme_a_table_is_on_the_page_alone(ran, capsys):
    README.write_text(PLACES.split("Between")[0], encoding="utf-8")
    assert main(["report"]) == 0
    assert capsys.readouterr().out.split() == ["report.html", "badge.svg", "README.md", "docs/claims.md"]
    assert "Study trained" in words_of(Path("report.html").read_text(encoding="utf-8"))
    assert main(["report", "--check", "--subject", "learned"]) == 2
    assert "README.md holds no lines <!-- claims learned --> and <!-- /claims learned -->" in capsys.readouterr().err


def test_subjects_are_told_by_the_names_in_their_files(ran):
    assert subjects_with_records("studies", Store(".attnflow")) == ["learned"]
    assert subjects_with_records("studies", Store("empty")) == []
    TRAINED.write_text("study = Study(\n    name='other', ...)", encoding="utf-8")
    assert subjects_with_records("studies", Store(".attnflow")) == []
