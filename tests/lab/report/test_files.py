"""`attnflow report` writes the page, the README's summary and docs/claims.md, and sees where they were edited."""

import re

import pytest
from reported_study import SOURCE, ran, words_of, written

from attnflow.errors import ConfigError
from attnflow.lab.loading import load_study
from attnflow.lab.plots.drawing import README
from attnflow.lab.report.files import CLAIMS, END, START, check, write
from attnflow.lab.report.markdown import turned, without_measured
from attnflow.lab.report.words import levels_in_words
from attnflow.lab.runs import read_run
from attnflow.lab.store import Store


def rows_of(markdown):
    """The cells of all tables, without their heads."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [row for row in cells if row[0] not in ("---", "claim", "study")]


@pytest.fixture
def place(folder):
    """A README with a place for claims."""
    README.write_text(f"# Before\n\n{START}\nold\n{END}\n\nAfter\n", encoding="utf-8")
    return README


def test_every_claim_stands_in_docs_with_its_statement_in_tex_and_its_numbers(place, no_figures):
    study, store = ran()
    assert write({None: [study]}, store, "page.html")[2:] == [README, CLAIMS]
    rate, limit, holds = rows_of(CLAIMS.read_text(encoding="utf-8"))
    first, second, *_ = read_run(study, store, setting="quick").verdicts
    assert rate == [
        "[toy/rate](../figures/toy/toy-rate.svg)",
        r"of order $`\varepsilon`$ &lt;script>alert('statement')&lt;/script>",
        "RZ", "1 ± 0.05", f"{first.measured_in_words}; {first.remark}<br>control: {second.measured_in_words}",
        "● supported", "toy/&lt;script>alert('id')&lt;/script>, ✕ refuted (control): of order eps^2; 2 ± 0.05",
    ]  # fmt: skip
    assert limit[0] == "[toy/limit\\|zero](../figures/toy/toy-limit-zero.svg)"
    assert holds == ["toy/holds", "holds", "RZ", "true", "true", "● supported", "–"]  # a flag has no figure


def test_a_study_leads_to_its_code_and_a_claim_to_the_control_that_covers_it(place, no_figures):
    study, store = ran(SOURCE.replace('statement="holds"', 'statement="holds", covered_by="toy/other-control"'))
    write({None: [study]}, store, "page.html")
    text = CLAIMS.read_text(encoding="utf-8")
    assert "([toy.py](../toy.py))" in text
    assert rows_of(text)[-1][-1] == "covered by toy/other-control"


def test_the_readme_gets_the_sums_and_one_line_for_each_study(place, no_figures):
    study, store = ran()
    with open("other.py", "w", encoding="utf-8") as file:
        file.write(SOURCE.replace('name="toy"', 'name="other"').replace('"toy/', '"other/'))
    write({None: [study, load_study("other.py")]}, store, "page.html")
    text = README.read_text(encoding="utf-8")
    assert text.startswith(f"# Before\n\n{START}\nQuick run: toy; Not run: other, master seed 0. 3 claims measured: 3")
    assert text.endswith(f"{END}\n\nAfter\n")
    question = 'How small is a toy\'s error? &lt;script>alert("title")&lt;/script>'
    assert rows_of(text) == [
        [
            "[toy](docs/claims.md#toy)",
            question,
            "[figure](figures/toy/figure_of_its_own.svg)",
            "● 3 supported",
            "1 of 1",
        ],
        ["[other](docs/claims.md#other)", question, "–", "not run", "–"],
    ]
    page = CLAIMS.read_text(encoding="utf-8")
    assert page.startswith("# Every claim\n\n")
    toy, other = re.split("^## ", page, flags=re.MULTILINE)[1:]  # both stand there, in order
    assert toy.startswith(f"toy\n\n{question} ([toy.py](../toy.py))\n\n| claim |")
    assert other == f"other\n\n{question} ([other.py](../other.py))\n\nNot run.\n"


def test_the_readme_and_the_claims_name_the_master_seed_of_the_run(place, no_figures):
    study, store = ran(master_seed=7)
    written(study, store, master_seed=7)
    for file in (README, CLAIMS):
        assert "Quick run, master seed 7. " in file.read_text(encoding="utf-8")
    assert check({None: [study]}, store, master_seed=7) == []


def test_an_edited_readme_and_edited_claims_are_detected(place, no_figures):
    study, store = ran()
    assert check({None: [study]}, store) == [README, CLAIMS]
    written(study, store)
    assert check({None: [study]}, store) == []
    for file, old, new in ((README, "● 3 supported", "● 4 supported"), (CLAIMS, "● supported", "✕ refuted")):
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8")
        assert check({None: [study]}, store) == [file]
        file.write_text(text, encoding="utf-8")
    CLAIMS.unlink()
    assert check({None: [study]}, store) == [CLAIMS]


def test_a_measured_number_may_differ_and_a_predicted_one_may_not(place, no_figures):
    study, store = ran()
    written(study, store)
    text = CLAIMS.read_text(encoding="utf-8")
    predicted, measured = next(line for line in text.splitlines() if "toy/rate" in line).split(" | ")[3:5]
    for number, differing in ((measured, []), (predicted, [CLAIMS])):
        CLAIMS.write_text(text.replace(f" {number} ", " 7 ", 1), encoding="utf-8")
        assert f" {number} " in text
        assert check({None: [study]}, store) == differing


@pytest.mark.parametrize("cells", [1, 5, 6, 7, 8])
def test_only_the_fifth_of_seven_cells_is_a_measured_number(cells):
    def page(differing=None):
        row = [f"{'new' if cell == differing else 'old'} {cell}" for cell in range(cells)]
        return f"# Head\n\n| {' | '.join(row)} |\n"

    free = [cell for cell in range(cells) if without_measured(page(cell)) == without_measured(page())]
    assert free == ([4] if cells == 7 else [])


def test_claims_whose_verdict_turned_are_named(place, no_figures):
    study, store = ran()
    written(study, store)
    verdicts, text = read_run(study, store).verdicts, CLAIMS.read_text(encoding="utf-8")

    def when(old, new):
        assert old in text
        return turned(text.replace(old, new, 1), verdicts)

    assert turned(text, verdicts) == turned(README.read_text(encoding="utf-8"), verdicts) == []
    assert when("● supported", "◐ inconclusive") == ["toy/rate was inconclusive, and is supported"]
    control = "toy/&lt;script>alert('id')&lt;/script> was supported (control), and is refuted (control)"
    assert when("✕ refuted (control)", "● supported (control)") == [control]
    assert when("toy/holds", "toy/held") == ["toy/held was supported, and is gone"]
    assert when("toy/limit", "toy/other") == ["toy/other\\|zero was supported, and is gone"]  # a bar, in a link


def test_text_around_the_summary_is_free(folder, no_figures):
    study, store = ran()
    README.write_text(f"{START}\n{END}", encoding="utf-8")
    written(study, store)
    README.write_text("A new line.\n" + README.read_text(encoding="utf-8") + "\nAnother.", encoding="utf-8")
    assert check({None: [study]}, store) == []


def test_only_the_first_place_holds_the_summary(folder, no_figures):
    study, store = ran()
    after = f"\nThe lines {START} and {END} mark it, {START} the first of them, {END} the last."
    README.write_text(f"Before.\n{START}\nold\n{END}{after}", encoding="utf-8")
    written(study, store)
    text = README.read_text(encoding="utf-8")
    assert text.startswith(f"Before.\n{START}\nQuick run")
    assert text.endswith(f"|\n\n</details>\n{END}{after}")
    assert "\nold\n" not in text
    assert check({None: [study]}, store) == []


@pytest.mark.parametrize(
    "text",
    ["no place here", f"old\n{END}\n", f"{START}\nold\n", f"{END}\n{START}\nold\n", f"{END}\n{START}\nold\n{END}\n"],
    ids=["neither", "only the end", "only the start", "end before start", "an end before both"],
)
def test_a_readme_without_a_place_for_claims_is_left_alone(folder, no_figures, text):
    study, store = ran()
    README.write_text(text, encoding="utf-8")
    written(study, store)
    assert README.read_text(encoding="utf-8") == text
    assert not CLAIMS.exists()
    with pytest.raises(ConfigError, match="<!-- claims -->"):
        check({None: [study]}, store)


def test_derivations_are_counted_apart_and_controls_say_their_gap(place, no_figures):
    derived = SOURCE.replace('statement="tends to 0"', 'statement="tends to 0", measures=()').replace(
        'control_of="toy/rate",', 'control_of="toy/rate", truth=1.0,'
    )
    study, store = ran(derived)
    write({None: [study]}, store, "page.html")
    summary = README.read_text(encoding="utf-8")
    assert "2 claims measured: 2 supported, 0 refuted, 0 inconclusive, 0 invalid. 1 derivation," in summary
    assert "Negative controls refuted, as they must be: 1 of 1, by the predicted gap 1 of 1." in summary
    assert rows_of(summary)[0][3] == "● 2 supported, ● 1 derivation supported"
    rate, limit, _ = rows_of(CLAIMS.read_text(encoding="utf-8"))
    assert rate[-1].endswith(", ✕ refuted (control): of order eps^2; 2 ± 0.05, in truth 1 ± 0.05")
    assert limit[-2] == "● supported (derivation)"


@pytest.mark.parametrize(("truth", "sort"), [(1.0, "control"), (0.5, "control, gap missed")])
def test_a_control_that_is_refuted_by_another_gap_is_not_as_expected(place, no_figures, truth, sort):
    study, store = ran(SOURCE.replace('control_of="toy/rate",', f'control_of="toy/rate", truth={truth},'))
    write({None: [study]}, store, "page.html")
    rate, *_ = rows_of(CLAIMS.read_text(encoding="utf-8"))
    assert f", ✕ refuted ({sort}): of order eps^2;" in rate[-1]
    assert ("Not as expected: toy/&lt;script>" in README.read_text(encoding="utf-8")) == (truth != 1.0)
    page = words_of((place.parent / "page.html").read_text(encoding="utf-8"))
    assert ("refuted, by another gap" in page) == (truth != 1.0)
    assert f"In truth {truth:g} ± 0.05" in page


def test_dropped_levels_are_told(folder):
    study, store = ran(SOURCE.replace('statement="of order eps^2"', 'statement="of order", floor=0.005'))
    _, control, *_ = read_run(study, store, setting="quick").verdicts
    assert levels_in_words(control) == f"{control.levels} ({control.dropped} dropped)" == "8 (1 dropped)"


def test_a_report_on_nothing_is_refused(folder):
    study, _ = ran()
    with pytest.raises(ConfigError, match="attnflow verify"):
        write({None: [study]}, Store("empty"), "page.html")
    with pytest.raises(ConfigError, match="folder does not exist"):
        write({None: [study]}, Store("out"), "no/page.html")
