"""What the documents show runs as it stands, and says what they print; the site has a place for every page."""

import doctest
import importlib
import re
import shlex
from pathlib import Path

import jax
import pytest
from markdown.extensions.toc import slugify
from mkdocs.config import load_config
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import get_files
from mkdocs.structure.nav import get_navigation

from attnflow._parsing import parse
from attnflow.errors import ConfigError

ROOT = Path(__file__).parents[1]
DOCUMENTS = ROOT / "docs"
PAGES = sorted(DOCUMENTS.rglob("*.md"))
SITE = ("places", "links", "docstrings", "pages", "offline")


def name_of(page):
    return page.relative_to(DOCUMENTS).as_posix()


@pytest.fixture
def plain_errors():
    """JAX appends a note on its own frames to errors, which no document shows."""
    filtering = jax.config.jax_traceback_filtering
    jax.config.update("jax_traceback_filtering", "off")
    yield
    jax.config.update("jax_traceback_filtering", filtering)


@pytest.fixture
def site(monkeypatch):
    """The modules that write the site, by name."""
    monkeypatch.syspath_prepend(str(DOCUMENTS / "site"))
    return {name: importlib.import_module(name) for name in SITE}


@pytest.mark.parametrize("page", [page for page in PAGES if ">>>" in page.read_text(encoding="utf-8")], ids=name_of)
def test_the_examples_of_a_document_print_what_it_says(page, plain_errors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # figures and films go there
    # Of a number that no machine can know it says "...", as of the frames of an error.
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert tried > 2
    assert failed == 0


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_in_a_document_is_an_example_that_runs(page):
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    for language, block in blocks:
        assert language != "python", block  # pycon, and the answers with it
        assert (language == "pycon") == block.startswith(">>>"), block
        assert language != "pycon" or block.endswith("\n\n"), "the empty line ends the answer"


def commands_of(text):
    """What stands after `attnflow` where a document shows commands, in fences for shells or four spaces in."""
    shown = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)) + re.sub(r"```.*?```", "", text, flags=re.S)
    lines = re.findall(r"^(?: {4}(?:exec )?)?attnflow ([a-z].*)$", shown, re.M)
    return [shlex.split(line, comments=True) for line in lines]


@pytest.mark.parametrize("page", [page for page in PAGES if commands_of(page.read_text(encoding="utf-8"))], ids=name_of)
def test_commands_in_a_document_are_understood(page):
    for words in commands_of(page.read_text(encoding="utf-8")):
        known = [re.sub(r"\$\w+(?:/\$\w+)?", "1/16", word) for word in words]  # a queue fills these in
        assert parse(known).command == words[0]


def test_the_table_of_commands_has_every_command():
    table = re.search(
        r"^## Commands\n\n```\n(.*?)```", (DOCUMENTS / "studies.md").read_text(encoding="utf-8"), re.M | re.S
    )
    told = set(re.findall(r"^attnflow (\w+)", table[1], re.M))
    with pytest.raises(ConfigError) as refused:
        parse(["nothing"])
    assert told == set(re.findall(r"'(\w+)'", str(refused.value))) - {"nothing"}


def anchors_of(text):
    headings = re.findall(r"^#+ (.*?)(?: \{.*\})?$", text, re.M)
    return {slugify(re.sub(r"[`*]|\]\(.*?\)|\[", "", heading), "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_of_a_document_lead_to_files_and_headings_that_are_there(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for path, anchor in re.findall(r"\]\(([^)\s#:]*)#?([^)\s]*)\)", text):
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), path
        if anchor and target.suffix == ".md":
            assert anchor in anchors_of(target.read_text(encoding="utf-8")), f"{path}#{anchor}"


@pytest.fixture
def built(site):
    """The configuration of the site, all of its files and its navigation, without a page being rendered."""
    config = load_config(str(ROOT / "mkdocs.yml"))
    files = config.plugins.on_files(get_files(config), config=config)
    return config, files, get_navigation(files, config)


def test_every_page_of_the_site_is_reached_from_its_navigation_and_none_is_missing(built):
    _, files, navigation = built
    reached = [page.file.src_uri for page in navigation.pages]
    assert len(reached) == len(set(reached))
    assert set(reached) == {file.src_uri for file in files.documentation_pages()}
    assert {"index.md", "references.md", "gallery/tokens.md", "source/studies/depth/depth.md"} <= set(reached)


def test_every_public_name_has_a_place_in_the_reference(built):
    _, files, _ = built
    text = "\n".join(file.content_string for file in files if file.src_uri.startswith("api/"))
    for package in ("attnflow", "attnflow/learn"):
        stub = (ROOT / package / "__init__.pyi").read_text(encoding="utf-8")
        for module, name in re.findall(r"^from (attnflow\S*) import (\w+) as", stub, re.M):
            assert f"::: {module}.{name}\n" in text


def test_the_parts_of_the_site_do_what_their_examples_say(site):
    tried = 0
    for module in site.values():
        result = doctest.testmod(module)
        assert result.failed == 0
        tried += result.attempted
    assert tried >= 4


class Shown:
    """A page as a hook gets it."""

    def __init__(self, name):
        self.file = self
        self.src_uri = name


def test_links_out_of_the_documents_lead_to_where_the_site_shows_the_file(site):
    rendered = site["links"].on_page_markdown
    shown = (
        "[a](../../figures/depth/depth-circle.svg) [b](../../README.md) [c](../claims.md#depth) `[d](../../LICENSE)`"
    )
    assert rendered(shown, page=Shown("questions/x.md")) == (
        "[a](../figures/depth/depth-circle.svg) [b](../index.md) [c](../claims.md#depth) `[d](../../LICENSE)`"
    )
    assert rendered("[e](docs/tour.md)", page=Shown("index.md")) == "[e](tour.md)"
    assert rendered("[f](nowhere.md)", page=Shown("tour.md")) == "[f](nowhere.md)"  # the strict build names it


def test_sources_lead_to_their_entries_and_bars_in_the_code_of_a_table_stand_alone(site):
    rendered = site["links"].on_page_markdown
    assert rendered("as in [CL], `[CL]`", page=Shown("tour.md")) == r"as in [\[CL\]][cite-CL], `[CL]`"
    table = "| a |\n|---|\n| `\\|x\\|` |\n\n`\\|`"
    assert rendered(table, page=Shown("tour.md")) == "| a |\n|---|\n| `|x|` |\n\n`\\|`"


def test_formulas_become_mathml_and_no_character_of_theirs_is_taken_for_markdown(site):
    links = site["links"]
    shown = links.on_page_markdown("$`a * b * c_i`$ and `$x$`", page=Shown("tour.md"))
    assert "*" not in shown
    content = links.on_page_content(shown)
    assert content.startswith("<math>")
    assert content.endswith("</math> and `$x$`")


def test_a_page_shows_the_rows_of_the_claims_that_it_names(site):
    rendered = site["links"].on_page_markdown
    shown = rendered("<!-- claims depth/circle -->", page=Shown("questions/x.md"))
    heading, _, row = shown.splitlines()
    assert heading.startswith("| claim |")
    assert "(../figures/depth/depth-circle.svg)" in row
    with pytest.raises(PluginError, match="no page of claims has no-such/claim"):
        rendered("<!-- claims no-such/claim -->", page=Shown("questions/x.md"))
    for page in DOCUMENTS.glob("questions/*.md"):
        text = rendered(page.read_text(encoding="utf-8"), page=Shown(f"questions/{page.name}"))
        assert "| claim |" in text, page.name
