"""What `attnflow report` writes: a page, its badge, and for each table a summary in the README and a page of claims."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from attnflow.errors import ConfigError
from attnflow.lab.bundle import write_bundle
from attnflow.lab.imports import text_of
from attnflow.lab.loading import separate_subjects, study_files
from attnflow.lab.plots.drawing import README
from attnflow.lab.report import badge
from attnflow.lab.report.markdown import claims_markdown, summary_markdown, without_measured
from attnflow.lab.report.page import CLAIMS as CLAIM_PAGES
from attnflow.lab.report.page import Report
from attnflow.lab.report.table import Table
from attnflow.lab.runs import read_run
from attnflow.lab.store import Store, write_file
from attnflow.lab.study import Study

START, END = "<!-- claims -->", "<!-- /claims -->"  # in the README; those of a separate subject have its name in them
CLAIMS = Path("docs", "claims.md")  # beside the README; of a separate subject docs/claims_<subject>.md
Studies = Mapping[str | None, Sequence[Study]]  # by their subject, None for the main ones


def write(
    studies: Studies,
    store: Store,
    path: Path | str,
    *,
    master_seed: int = 0,
    readme: Path = README,
    bundle: Path | None = None,
    pages: Path | None = None,
) -> list[Path]:
    """Write the page with its badge, and of each table for which the README has a place a summary and a page of claims.

    Args:
        studies: of each table that the page is about; nothing is said of one of which nothing has been run.
        store: where their records are.
        path: of the page.
        master_seed: of the runs.
        readme: the file that may hold the lines `<!-- claims -->` and `<!-- /claims -->`, or `<!-- claims SUBJECT -->`
            and `<!-- /claims SUBJECT -->`.
        bundle: where an archive of the page and its records is written as well, see `write_bundle`.
        pages: a folder into which the report is written as well, as an index with a page for each claim.

    Returns:
        The files that were written, the page first.

    Raises:
        ConfigError: there is no folder for the page, or nothing has been run.
        ResultFileError: a file cannot be written.
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"`-o` is {path}, but its folder does not exist. Create it first.")
    tables = _tables(studies, store, master_seed=master_seed)
    report = Report(tuple(tables), tuple(store.bad_files()), master_seed)
    texts = {
        path: report.page(),
        path.with_name(badge.NAME): badge.badge(tables[0].verdicts),
    }
    if pages:
        texts |= {pages / name: text for name, text in report.pages().items()}
    placed = [table for table in tables if _has_place(readme, table.subject)]
    texts |= _committed(placed, master_seed=master_seed, readme=readme)
    for file, text in texts.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, text.encode())
    if bundle:
        runs = [run for table in tables for run in table.runs]
        write_bundle(bundle, runs, store, page=texts[path], master_seed=master_seed)
    single = [file for file in texts if not pages or file.parent != pages / CLAIM_PAGES]  # one line for all of them
    return [*single, *([bundle] if bundle else [])]


def check(studies: Studies, store: Store, *, master_seed: int = 0, readme: Path = README) -> list[Path]:
    """Return those of the README and the pages of claims that say something else than what follows from the records.

    Measured numbers may differ: other processors round otherwise. Claims, predictions and verdicts may not.

    Raises:
        ConfigError: the README has no place for the claims, or nothing has been run.
    """
    for subject in studies:
        if not _has_place(readme, subject):
            start, end = _marks(subject)
            raise ConfigError(f"{readme} holds no lines {start} and {end}. Put them where the claims are to stand.")
    tables = _tables(studies, store, master_seed=master_seed)
    texts = _committed(tables, master_seed=master_seed, readme=readme)
    return [file for file, text in texts.items() if without_measured(_read(file)) != without_measured(text)]


def subjects_with_records(folder: Path | str, store: Store) -> list[str]:
    """Return the separate subjects of which there are records, by the names in their files: none of them is loaded."""
    recorded = {path.name for path in store.folder.glob("records/*")}
    return [
        subject
        for subject in separate_subjects(folder)
        if any(
            recorded & set(re.findall(r"""\bname\s*=\s*["']([a-z0-9_-]+)["']""", text_of(path)))
            for path in study_files(folder, subject=subject)
        )
    ]


def _tables(studies: Studies, store: Store, *, master_seed: int) -> list[Table]:
    tables = [
        Table(tuple(read_run(study, store, master_seed=master_seed) for study in each), subject)
        for subject, each in studies.items()
    ]
    if not any(table.has_been_run for table in tables):
        raise ConfigError(
            f"no study has been run in {store.folder} with master seed {master_seed}. Run `attnflow verify` first."
        )
    return [table for table in tables if table.has_been_run]


def _committed(tables: Sequence[Table], *, master_seed: int, readme: Path) -> dict[Path, str]:
    """Return what the README and the pages of claims are to hold."""
    texts = {readme: _read(readme)} if tables else {}
    for table in tables:
        claims = CLAIMS.with_stem(f"{CLAIMS.stem}_{table.subject}") if table.subject else CLAIMS
        start, end = _marks(table.subject)
        before, rest = texts[readme].split(start, 1)
        summary = summary_markdown(table, claims=claims, master_seed=master_seed)
        texts[readme] = f"{before}{start}\n{summary}\n{end}{rest.split(end, 1)[1]}"
        texts[readme.parent / claims] = claims_markdown(table, master_seed=master_seed)
    return texts


def _marks(subject: str | None) -> tuple[str, str]:
    """Return the lines between which the README has the summary of a table."""
    words = f"claims {subject}" if subject else "claims"
    return START.replace("claims", words), END.replace("claims", words)


def _has_place(readme: Path, subject: str | None) -> bool:
    start, end = map(_read(readme).find, _marks(subject))
    return -1 < start < end


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""
