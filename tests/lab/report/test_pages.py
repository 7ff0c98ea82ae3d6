"""A report in pages: an index, and for each claim one page, each found where the others look for it."""

import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from reported_study import SOURCE, ran, words_of

from attnflow.errors import ConfigError
from attnflow.lab.report.files import write


@pytest.fixture
def site(folder, no_figures):
    """The folder of a report in pages."""
    study, store = ran()
    made = write({None: [study]}, store, "page.html", pages=Path("site"))
    assert made == [Path("page.html"), Path("badge.svg"), Path("site/index.html")]  # the others are in a folder beside
    return folder / "site"


def test_there_is_a_page_for_each_claim_with_its_control(site):
    assert sorted(path.name for path in site.rglob("*.html")) == [
        "index.html", "toy-holds.html", "toy-limit-zero.html", "toy-rate.html",
    ]  # fmt: skip
    shown = words_of((site / "claims" / "toy-rate.html").read_text(encoding="utf-8"))
    for words in (
        "toy/rate",
        "Control: toy/<script>alert('id')</script>",
        "How small is a toy's error?",
        "8 of 9 cases",
    ):
        assert words in shown
    assert "toy/holds" not in shown


def test_every_link_leads_to_an_id_that_is_there(site):
    texts = {path.resolve(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    leading = 0
    for path, text in texts.items():
        assert "<script" not in text
        for link in re.findall(r' href="([^"]+)"', text):
            file, _, end = unescape(link).partition("#")
            target = (path.parent / unquote(file)).resolve() if file else path
            assert target in texts
            ids = set(map(unescape, re.findall(r' id="([^"]+)"', texts[target])))
            assert not end or unquote(end) in ids
            leading += bool(file)
    assert leading > 8


def test_the_index_has_filters_and_none_of_what_stands_on_the_pages(site):
    index = (site / "index.html").read_text(encoding="utf-8")
    assert 'id="show/undecided"' in index
    assert '<tr class="claim supported"><td class="id"><a href="claims/toy-rate.html#toy/rate">' in index
    assert "Hypotheses" not in words_of(index)


def test_two_claims_of_one_file_are_refused(folder, no_figures):
    study, store = ran(SOURCE.replace('id="toy/limit|zero"', 'id="toy-holds"'))
    with pytest.raises(ConfigError, match="toy-holds"):
        write({None: [study]}, store, "page.html", pages=Path("site"))
