"""`attnflow probe FILE` from the file to what is printed and written."""

import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from attnflow.cli import main
from attnflow.errors import ConfigError, DataError
from attnflow.lab.probe import command
from attnflow.lab.probe.command import probe_file, report_on
from attnflow.lab.probe.controls import controls
from attnflow.lab.probe.definitions import DEFINITIONS
from attnflow.lab.probe.page import page
from attnflow.lab.probe.reading import read_file
from attnflow.lab.probe.report import COLUMNS, Report
from attnflow.lab.probe.rows import as_json
from attnflow.lab.probe.text import as_text, printable

HEADS = Path(__file__).parents[2] / "data" / "antiberty_trastuzumab.npz"
BOMB = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def trained():
    """The report on five trained heads."""
    return report_on(read_file(HEADS))


@pytest.fixture(scope="module")
def one():
    """The report on one of them."""
    return report_on(read_file(HEADS, layer=7, head=3))


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    """The report on points alone, whose file has names that would do harm."""
    path = tmp_path_factory.mktemp("cloud") / "points.npz"
    points = np.random.default_rng(3).normal(size=(80, 3))
    np.savez(path, X=points, tokens=np.array([BOMB, "\x1b[31mred", "$x$"] + ["a"] * 77), **{BOMB: points})
    return report_on(read_file(path))


@pytest.fixture(scope="module")
def pages(trained, one, cloud):
    """The pages of two of the heads, of one and of the points."""
    two = dataclasses.replace(trained, probe=dataclasses.replace(trained.probe, heads=trained.probe.heads[::4]))
    return {"many": page(two), "one": page(one), "points": page(cloud)}


class Page(HTMLParser):
    """What a page holds: its tags, and its text without that of figures and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag in ("svg", "style"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        self.text += "" if self.open else data


def squeezed(text):
    return " ".join(text.split())


def test_the_command_prints_and_writes_what_it_found(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    files = {name: tmp_path / f"report.{name}" for name in ("json", "html")}
    words = ["probe", str(HEADS), "--layer", "7", "--head", "3"]
    assert main([*words, *(part for name, path in files.items() for part in (f"--{name}", str(path)))]) == 0
    printed = capsys.readouterr().out
    assert "7.3: a key sink" in printed
    assert max(map(len, printed.splitlines())) <= 60
    (head,) = json.loads(files["json"].read_text())["heads"]
    assert head["verdict"]["kind"] == "sink"
    assert "7.3: a key sink" in squeezed(Page(files["html"].read_text()).text)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["missing.npz"], "`FILE` must be a file, but missing.npz is not there"),
        ([str(HEADS), "--layer", "9"], "has no head with `--layer` 9"),
        ([str(HEADS), "--queries", "Q"], "`--queries` must name an array of"),
        ([str(HEADS), "--layer", "7", "--head", "3", "--bandwidth", "-1"], "7.3: `bandwidth` must be positive"),
        ([str(HEADS), "--html", "nowhere/a.html"], "`--html` is nowhere/a.html, but its folder does not exist"),
        ([str(HEADS), "--point", "X_0"], "Did you mean '--points'?"),
    ],
)
def test_bad_input_ends_with_exit_code_2_and_says_what(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["probe", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(trained, one, cloud, width):
    for report in (trained, one, cloud):
        assert max(map(len, as_text(report, width=width))) <= width


def test_the_verdict_comes_first_and_effective_keys_before_the_rest(one):
    lines = [line.strip() for line in as_text(one, width=80)]
    order = ["7.3: a key sink", "rule: ", "IS A DENSITY", "effective keys", "agreement of", "THE TOKEN", "PARTS OF"]
    places = [max(place for place, line in enumerate(lines) if line.startswith(words)) for words in order]
    assert places == sorted(places)


def test_every_number_has_its_interval_its_null_and_what_it_cannot_say(one, pages):
    written = [squeezed("\n".join(as_text(one, width=80))), squeezed(Page(pages["one"]).text)]
    for name, number in one.probe.heads[0].numbers.items():
        for text in written:
            assert number.definition.title in text, name
            assert squeezed(number.definition.cannot_say) in text, name
            if number.value is not None and number.low is not None:
                assert re.search(r"\[-?[\d.e-]+, -?[\d.e-]+\]", text[text.index(number.definition.title) :])
            assert not number.null or f"{number.null.name} " in text


def test_a_table_of_heads_has_a_line_for_each_and_one_for_its_nulls(trained):
    lines = as_text(trained, width=150)
    first = next(place for place, line in enumerate(lines) if line.startswith("head "))
    table = lines[first : first + 11]
    assert [line.split()[0] for line in table[1::2]] == [head.name for head in trained.probe.heads]
    assert all(line.split()[0] == "null" for line in table[2::2])
    assert all(short in table[0] for short in COLUMNS.values())


@pytest.mark.parametrize("width", [60, 100, 150])
def test_a_column_has_its_meaning_where_it_is_shown_and_is_named_where_it_is_not(trained, width):
    lines = as_text(trained, width=width)
    head = next(line for line in lines if line.startswith("head "))
    shown = [short for short in COLUMNS.values() if f"  {short}  " in f"{head}  "]
    left = [short for short in COLUMNS.values() if short not in shown]
    assert bool(left) == (width < 150)
    assert [short for short in COLUMNS.values() if any(line.startswith(f"{short}: ") for line in lines)] == shown
    text = squeezed(" ".join(lines))
    assert ("Left out for want of room" in text) == bool(left)
    if left:
        whole = int(re.search(r"shown where COLUMNS=(\d+) and by --html: " + ", ".join(left), text)[1])
        for room in (whole - 1, whole):
            assert ("Left out" in " ".join(as_text(trained, width=room))) == (room < whole)


def test_none_of_the_trained_heads_is_called_a_diffusion(trained, pages):
    text = "\n".join(as_text(trained, width=100))
    assert "5 heads: " in text
    assert "None is a diffusion." in text
    assert "None is a diffusion." in Page(pages["many"]).text


def test_the_json_is_one_object_with_nulls_where_numbers_mean_nothing(trained, cloud):
    found = json.loads(as_json(trained), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert [head["name"] for head in found["heads"]] == ["0.4", "1.2", "4.3", "7.0", "7.3"]
    assert found["points"] is None
    assert found["tokens"][:2] == ["[CLS]", "E"]
    for head, entry in zip(trained.probe.heads, found["heads"], strict=True):
        assert entry["numbers"]["intrinsic_dimension"]["value"] is None
        assert "1000" in entry["numbers"]["intrinsic_dimension"]["reason"]
        assert entry["numbers"]["ess"]["value"] == pytest.approx(head["ess"], rel=1e-7)  # of the digits written
        assert len(entry["rows"]["typicality"]) == trained.probe.count
        for name in entry["numbers"]:
            assert found["definitions"][name]["cannot_say"] == DEFINITIONS[name].cannot_say
    assert all(control["holds"] for control in found["controls"])
    alone = json.loads(as_json(cloud))
    assert alone["heads"] == []
    assert len(alone["points"]["dimensions"]) == len(alone["points"]["bandwidths"])


def test_nothing_in_a_file_becomes_part_of_the_page(pages):
    text = pages["points"]
    found = Page(text)
    assert "script" not in found.tags
    assert BOMB in found.text
    assert "<script" not in text
    assert not [name for name, _ in found.attributes if name.startswith("on")]


@pytest.mark.parametrize("which", ["many", "one", "points"])
def test_the_page_loads_nothing_from_elsewhere(pages, which):
    found = Page(pages[which])
    assert not {"script", "link", "iframe", "object"} & set(found.tags)
    sources = [value for name, value in found.attributes if name.endswith(("href", "src"))]
    assert all(value.startswith(("#", "data:image/png;base64,")) for value in sources)
    ids = [value for name, value in found.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_the_page_has_the_figures_of_many_heads_of_one_and_of_points(pages):
    labels = {
        name: [value for attribute, value in Page(text).attributes if attribute == "aria-label"]
        for name, text in pages.items()
    }
    assert len(labels["many"]) == 4 + 3 * 2
    assert labels["one"][:2] == ["parts of 7.3", "typicality of 7.3"]
    assert len(labels["one"]) == 3
    assert len(labels["points"]) == 2


def test_what_would_steer_a_terminal_is_not_printed(cloud):
    assert printable(["a\x1b[31mb\tc"]) == ["a?[31mb?c"]
    assert "\x1b" not in "".join(printable(as_text(cloud, width=80)))


def test_a_control_that_is_not_told_for_what_it_is_fails_the_report(monkeypatch, capsys, cloud):
    wrong = tuple(dataclasses.replace(control, holds=False) for control in controls()[:1]) + controls()[1:]
    monkeypatch.setattr(command, "controls", lambda: wrong)
    assert probe_file(HEADS, layer=7, head=3) == 1
    printed = capsys.readouterr().out
    assert "4 of 5 controls are told for what they are. Do not trust this report." in printed
    assert "NOT AS EXPECTED" in printed
    assert "Do not trust this report." in page(dataclasses.replace(cloud, controls=wrong))


def test_controls_are_what_they_are_made_to_be():
    found = {control.name: control.head for control in controls()}
    assert all(control.holds for control in controls())
    assert found["sphere"]["locality"] == pytest.approx(0.09, abs=0.01)  # theory at N = 400, to its two digits
    assert found["sphere"]["jump"] == pytest.approx(0.05, abs=0.01)
    assert found["sphere"]["jump"] < found["turned by 5"]["jump"] < found["turned by 30"]["jump"]
    assert found["negated"]["negative_cost"] == 1.0
    assert found["turned by 30"]["share_circulation"] > 0.1


def test_what_is_wrong_with_one_head_is_said_with_its_name(tmp_path):
    points = np.random.default_rng(0).normal(size=(60, 4))
    points[:, 2] = 1.0
    path = tmp_path / "a.npz"
    np.savez(path, X_3=points, Q_3_1=points, K_3_1=points)
    with pytest.raises(DataError, match=r"a.npz, 3.1: `points` must vary in every column, got 1 constant of 4: 2"):
        probe_file(path)


@pytest.mark.parametrize("count", [49, 20])
def test_too_few_points_are_refused(tmp_path, count):
    np.save(tmp_path / "X.npy", np.random.default_rng(0).normal(size=(count, 2)))
    with pytest.raises(DataError, match="at least 50"):
        probe_file(tmp_path / "X.npy")


def test_points_of_several_layers_are_asked_for_one_by_one(tmp_path):
    points = np.random.default_rng(0).normal(size=(60, 3))
    np.savez(tmp_path / "a.npz", X_0=points, X_1=points)
    with pytest.raises(ConfigError, match=r"holds points of 2 layers and no heads. Choose one by `--layer`"):
        report_on(read_file(tmp_path / "a.npz"))


def test_heads_of_different_numbers_of_tokens_are_not_one_table(tmp_path):
    x, y = (np.random.default_rng(0).normal(size=(count, 3)) for count in (60, 70))
    np.savez(tmp_path / "a.npz", Q_0_0=x, K_0_0=x, Q_1_0=y, K_1_0=y)
    with pytest.raises(DataError, match=r"heads have 60 to 70 tokens. Choose one"):
        report_on(read_file(tmp_path / "a.npz"))


def test_logits_alone_are_enough(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    np.save(tmp_path / "logits.npy", x @ x.T)
    report = report_on(read_file(tmp_path / "logits.npy"))
    assert report.probe.heads[0].numbers["locality"].value is None
    assert "there are no coordinates" in "\n".join(as_text(report, width=100))


def test_the_report_says_what_was_read_and_what_was_not(trained):
    assert trained.sources.startswith("From X_0, Q_0_4, K_0_4, V_0_4, ")
    assert any("heads" in note for note in trained.probe.notes)
    assert isinstance(trained, Report)
