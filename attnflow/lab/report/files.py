"""What `attnflow report` writes: the page, the summary of claims in the README, and docs/claims.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attnflow.errors import ConfigError
from attnflow.lab.plots.drawing import README
from attnflow.lab.report.markdown import claims_markdown, summary_markdown, without_measured
from attnflow.lab.report.page import page
from attnflow.lab.runs import Run, read_run
from attnflow.lab.store import Store, write_file
from attnflow.lab.study import Study

START, END = "<!-- claims -->", "<!-- /claims -->"
CLAIMS = Path("docs", "claims.md")  # beside the README


def write(
    studies: Sequence[Study], store: Store, path: Path | str, *, master_seed: int = 0, readme: Path = README
) -> list[Path]:
    """Write the page and, if the README has a place for claims, their summary there and docs/claims.md beside it.

    Args:
        studies: all that the page is about.
        store: where their records are.
        path: of the page.
        master_seed: of the runs.
        readme: the file that may hold the lines `<!-- claims -->` and `<!-- /claims -->`.

    Returns:
        The files that were written, the page first.

    Raises:
        ConfigError: there is no folder for the page, or nothing has been run.
        ResultFileError: a file cannot be written.
    """
    path = Path(path)
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"`-o` is {path}, but its folder does not exist. Create it first.")
    runs = _runs(studies, store, master_seed=master_seed)
    texts = {path: page(runs, bad_files=store.bad_files(), master_seed=master_seed)}
    if _has_place(readme):
        texts |= _committed(runs, master_seed=master_seed, readme=readme)
    for file, text in texts.items():
        file.parent.mkdir(exist_ok=True)
        write_file(file, text.encode())
    return list(texts)


def check(studies: Sequence[Study], store: Store, *, master_seed: int = 0, readme: Path = README) -> list[Path]:
    """Return those of the README and docs/claims.md that say something else than what follows from the records.

    Measured numbers may differ: other processors round otherwise. Claims, predictions and verdicts may not.

    Raises:
        ConfigError: the README has no place for claims, or nothing has been run.
    """
    if not _has_place(readme):
        raise ConfigError(f"{readme} holds no lines {START} and {END}. Put them where the claims are to stand.")
    texts = _committed(_runs(studies, store, master_seed=master_seed), master_seed=master_seed, readme=readme)
    return [file for file, text in texts.items() if without_measured(_read(file)) != without_measured(text)]


def _runs(studies: Sequence[Study], store: Store, *, master_seed: int) -> list[Run]:
    runs = [read_run(study, store, master_seed=master_seed) for study in studies]
    if all(run.setting is None for run in runs):
        raise ConfigError(
            f"no study has been run in {store.folder} with master seed {master_seed}. Run `attnflow verify` first."
        )
    return runs


def _committed(runs: Sequence[Run], *, master_seed: int, readme: Path) -> dict[Path, str]:
    """Return what the README and docs/claims.md are to hold."""
    before, rest = _read(readme).split(START, 1)
    summary = summary_markdown(runs, master_seed=master_seed)
    return {
        readme: f"{before}{START}\n{summary}\n{END}{rest.split(END, 1)[1]}",
        readme.parent / CLAIMS: claims_markdown(runs, master_seed=master_seed),
    }


def _has_place(readme: Path) -> bool:
    text = _read(readme)
    return -1 < text.find(START) < text.find(END)


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.is_file() else ""
