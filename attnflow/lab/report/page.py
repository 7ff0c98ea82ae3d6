"""The report: one page that says what was claimed, what was run, what was seen and what follows from it."""

from __future__ import annotations

import ast
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from attnflow.errors import ConfigError
from attnflow.judge.claims import Claim
from attnflow.judge.rates import MINIMUM_LEVELS
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, Verdict, is_expected
from attnflow.lab.plots.drawing import figure_name, records_digest, study_figures
from attnflow.lab.plots.style import SYMBOLS, image
from attnflow.lab.provenance import different_code
from attnflow.lab.report.formulas import ascii_mathematics, tex
from attnflow.lab.runs import Run, read_run
from attnflow.lab.store import Store, write_file
from attnflow.lab.study import Scalar, Study

START, END = "<!-- claims -->", "<!-- /claims -->"
README, REFERENCES = Path("README.md"), Path("REFERENCES.bib")


def write(
    studies: Sequence[Study], store: Store, path: Path | str, *, master_seed: int = 0, readme: Path = README
) -> Path:
    """Write the page, and the table of claims into the README if that has a place for it.

    Args:
        studies: all that the page is about.
        store: where their records are.
        path: of the page.
        master_seed: of the runs.
        readme: the file that may hold the lines `<!-- claims -->` and `<!-- /claims -->`.

    Returns:
        The path of the page.

    Raises:
        ConfigError: there is no folder for the page, or nothing has been run.
        ResultFileError: a file cannot be written.
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"`-o` is {path}, but its folder does not exist. Create it first.")
    runs = _runs(studies, store, master_seed=master_seed)
    write_file(path, page(runs, bad_files=store.bad_files(), master_seed=master_seed).encode())
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if _place(text):
        write_file(readme, _inserted(text, _table(runs, master_seed=master_seed)).encode())
    return path


def check(studies: Sequence[Study], store: Store, *, master_seed: int = 0, readme: Path = README) -> bool:
    """Whether the table of claims in the README is the one that follows from the records.

    Raises:
        ConfigError: the README has no place for the table, or nothing has been run.
    """
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    if not _place(text):
        raise ConfigError(f"{readme} holds no lines {START} and {END}. Put them where the table of claims is to stand.")
    return text == _inserted(text, _table(_runs(studies, store, master_seed=master_seed), master_seed=master_seed))


def claims_markdown(verdicts: Sequence[Verdict]) -> str:
    """The table of claims in Markdown, one line per verdict.

    Example:
        >>> from attnflow.lab.report.page import claims_markdown
        >>> print(claims_markdown([]).splitlines()[0])
        | claim | source | predicted | measured | levels | verdict |
    """
    lines = ["| claim | source | predicted | measured | levels | verdict |", "|---|---|---|---|---|---|"]
    for verdict in verdicts:
        words = f"{SYMBOLS[verdict.verdict]} {verdict.verdict}" + (" (control)" if verdict.control else "")
        cells = [
            verdict.id,
            verdict.source,
            verdict.predicted_in_words,
            verdict.measured_in_words,
            _levels(verdict),
            words,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines)


def page(runs: Sequence[Run], *, bad_files: Sequence[Path], master_seed: int) -> str:
    """The page as HTML: self-contained, without scripts, with everything escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"math": ascii_mathematics, "tex": tex, "levels": _levels}
    environment.filters |= {"words": _words, "tone": _tone, "breakable": _breakable}
    verdicts = [verdict for run in runs for verdict in run.verdicts]
    return environment.get_template("page.html.jinja").render(
        summary=_summary(verdicts),
        settings=_settings(runs),
        master_seed=master_seed,
        confidence=f"{100 * FAMILY_CONFIDENCE:g} %",
        minimum_levels=MINIMUM_LEVELS,
        symbols=SYMBOLS,
        verdicts=verdicts,
        anchors={verdict.id: f"claim-{number}" for number, verdict in enumerate(verdicts)},
        sections=[_section(run, prefix=f"s{number}") for number, run in enumerate(runs)],
        bad_files=[path.name for path in bad_files],
        references=_references({verdict.source for verdict in verdicts}),
    )


def _runs(studies: Sequence[Study], store: Store, *, master_seed: int) -> list[Run]:
    runs = [read_run(study, store, master_seed=master_seed) for study in studies]
    if all(run.setting is None for run in runs):
        raise ConfigError(f"no study has been run in {store.folder} with master seed {master_seed}. "
                          "Run `attnflow verify` first.")  # fmt: skip
    return runs


def _table(runs: Sequence[Run], *, master_seed: int) -> str:
    """The sums, and the rows folded away: they are many."""
    verdicts = [verdict for run in runs for verdict in run.verdicts]
    rows = f"<details>\n<summary>Every claim and its control</summary>\n\n{claims_markdown(verdicts)}\n\n</details>"
    return f"{_settings(runs)}, master seed {master_seed}. {_summary(verdicts)}\n\n{rows}"


def _place(text: str) -> bool:
    return -1 < text.find(START) < text.find(END)


def _inserted(text: str, table: str) -> str:
    before, rest = text.split(START, 1)
    return f"{before}{START}\n{table}\n{END}{rest.split(END, 1)[1]}"


def _settings(runs: Sequence[Run]) -> str:
    """Which runs the verdicts come from: "Full run", or each setting with its studies."""
    names = {"full": "Full run", "quick": "Quick run", None: "Not run"}
    telling = [run for run in runs if run.setting != "full" or not run.study.quick_is_full] or runs
    groups = {setting: [run.study.name for run in telling if run.setting == setting] for setting in names}
    found = [setting for setting in names if groups[setting]]
    if len(found) == 1:
        return names[found[0]]
    return "; ".join(f"{names[setting]}: {', '.join(groups[setting])}" for setting in found)


def _summary(verdicts: Sequence[Verdict]) -> str:
    claims = Counter(verdict.verdict for verdict in verdicts if not verdict.control)
    controls = [verdict for verdict in verdicts if verdict.control]
    kept = sum(map(is_expected, controls))
    counts = ", ".join(f"{claims[word]} {word}" for word in SYMBOLS)
    text = f"Claims: {counts}. "
    if controls:
        text += f"Negative controls refuted, as they must be: {kept} of {len(controls)}. "
    odd = [verdict.id for verdict in verdicts if not is_expected(verdict)]
    return text + (f"Not as expected: {', '.join(odd)}." if odd else "All is as expected.")


def _section(run: Run, *, prefix: str) -> dict[str, Any]:
    """What the page says about one study."""
    title, *blocks = _docstring_blocks(run.study.source)
    drawn = study_figures(run) if run.setting else {}
    figures = {
        name: _inline_svg(figure, prefix=f"{prefix}-{number}-", title=name)
        for number, (name, figure) in enumerate(drawn.items())
    }
    by_id = {verdict.id: verdict for verdict in run.verdicts}
    claims: list[tuple[Claim, Verdict | None, Markup | None]] = [
        (claim, by_id.get(claim.id), figures.pop(figure_name(claim), None)) for claim in run.study.claims
    ]
    return {
        "study": run.study,
        "setting": run.setting,
        "anchor": prefix,
        "title": title[1],
        "blocks": blocks,
        "run": _what_was_run(run) if run.setting else [],
        "failures": sorted({record.failed for record in run.records if record.failed}),
        "figures": list(figures.values()),
        "claims": claims,
        "provenance": _provenance(run) if run.setting else [],
        "warning": different_code(run.records) if run.setting else None,
    }


def _docstring_blocks(source: str) -> list[tuple[str, str, str]]:
    """The docstring of a study as (kind, text, citation): its title, paragraphs, and lines of equations."""
    text = ast.get_docstring(ast.parse(source)) if source else None
    blocks: list[tuple[str, str, str]] = []
    for block in re.split(r"\n\s*\n", text or "Untitled"):
        lines = block.splitlines()
        if all(line.startswith(" ") for line in lines):
            for line in textwrap.dedent(block).splitlines():
                equation, citation = re.fullmatch(r"(.*?)(?:\s{3,}(\[[^\]]+\]\S?))?", line).groups("")  # type: ignore[union-attr]
                blocks.append(("equation", equation, citation))
        else:
            blocks.append(("paragraph", " ".join(line.strip() for line in lines), ""))
    return blocks


def _inline_svg(drawn: Figure, *, prefix: str, title: str) -> Markup:
    """The figure as an <svg> element, with ids of its own and nothing that points outside the page."""
    svg = image(drawn, "svg").decode()
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"\n\s*", "\n", svg)
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{prefix}", svg)
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(?:width|height|version|xmlns(?::\w+)?)="[^"]*"', "", head)
    width = round(96 * float(drawn.get_figwidth()))
    return Markup(f'{head} role="img" aria-label="{escape(title)}" style="max-width: {width}px">{rest.strip()}')


def _references(keys: set[str]) -> list[tuple[str, str]]:
    """Author, year and title of the keys that REFERENCES.bib has."""
    text = REFERENCES.read_text(encoding="utf-8") if REFERENCES.is_file() else ""
    found = []
    for key, entry in re.findall(r"@\w+\{(\w+),\n(.*?)\n\}", text, flags=re.DOTALL):
        fields = dict(re.findall(r"(\w+) = \{(.*)\}", entry))
        if key in keys:
            authors = [author.split(",")[0] for author in fields["author"].split(" and ")]
            found.append((key, f"{' and '.join(authors)} ({fields['year']}), {re.sub('[{}]', '', fields['title'])}"))
    return found


def _what_was_run(run: Run) -> list[str]:
    cases = run.study.cases(quick=run.setting == "quick")
    seeds = sum(len(batch) for batch in run.study.batches(quick=run.setting == "quick"))
    values: dict[str, dict[Scalar, None]] = {}
    for case in cases:
        for name, value in case.items():
            values.setdefault(name, {})[value] = None
    lines = [f"{len(cases)} of {len(run.study.ladder)} cases"]
    lines += [f"{name} = {', '.join(map(_short, found))}" for name, found in values.items()]
    lines.append("one seed" if run.study.deterministic else f"{seeds} of {run.study.seeds} seeds each")
    return lines


def _provenance(run: Run) -> list[tuple[str, str]]:
    found: list[Mapping[str, Any]] = [record.provenance for record in run.records]
    versions = [f"{name} {version}" for each in found for name, version in each.get("versions", {}).items()]
    finished = sorted(str(each["finished"]) for each in found if "finished" in each)
    rows = [
        ("Records", f"{len(run.records)}, sha256 {records_digest(run.records)}"),
        ("Study", f"{run.study.name}, sha256 {run.study.digest}"),
        ("Code", "sha256 " + _distinct(each.get("code") for each in found)),
        ("Versions", _distinct(versions)),
        ("Device", _distinct(each.get("device") for each in found)),
        ("System", _distinct(each.get("system") for each in found)),
        ("BLAS threads", _distinct(each.get("blas_threads") for each in found)),
        ("XLA flags", _distinct(each.get("xla_flags") or "none" for each in found)),
        ("Computing time", f"{sum(each.get('seconds', 0.0) for each in found):.1f} s"),
        ("Finished", " to ".join(dict.fromkeys(finished[:1] + finished[-1:])) or "unknown"),
    ]
    return rows


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))


def _words(verdict: Verdict) -> str:
    """The verdict as a reader should take it: of a control, refuted is what it must be."""
    if not verdict.control:
        return verdict.verdict
    return "refuted, as a control must be" if is_expected(verdict) else f"control {verdict.verdict}, not refuted"


def _breakable(id: str) -> Markup:
    """An id that a narrow column may break after a slash."""
    return Markup("/<wbr>").join(id.split("/"))


def _tone(verdict: Verdict) -> str:
    """How the page paints a verdict, besides its symbol and its words."""
    if not is_expected(verdict):
        return "bad"
    return "open" if verdict.verdict == "inconclusive" else "control" if verdict.control else "good"


def _levels(verdict: Verdict) -> str:
    return str(verdict.levels) + (f" ({verdict.dropped} dropped)" if verdict.dropped else "")


def _short(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
