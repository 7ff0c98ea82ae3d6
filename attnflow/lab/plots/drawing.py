"""All figures of a study: one for each claim with its controls, and those that the study draws itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from attnflow.errors import ConfigError
from attnflow.judge.claims import KINDS, Claim
from attnflow.judge.verdicts import Judgement
from attnflow.lab.plots.claims import claim_figure
from attnflow.lab.plots.style import DPI, MARK, image, stamp, style
from attnflow.lab.runs import Run
from attnflow.lab.store import Record, write_file
from attnflow.lab.study import Case, Study, canonical_json

README = Path("README.md")


def draw_study(run: Run, directory: Path, *, formats: Sequence[str] = ("svg",), readme: Path = README) -> list[Path]:
    """Write every figure of a study, each stamped with the digest of its records.

    A figure that the README shows as PNG is also written as PNG. Other figures in the study's folder, of claims that
    have gone or of formats that are not asked for, are removed if they are files of attnflow's: .svg, .pdf or .png with
    the mark that `image` gives them.

    Args:
        run: a complete run of the study.
        directory: created if its parent exists.
        formats: "svg", "pdf", "png".
        readme: a Markdown file, which need not exist.

    Returns:
        The files: `<directory>/<study>/<claim or function>.<format>`.

    Raises:
        ConfigError: the parent of the directory is missing, nothing can be written there, or two figures would have one
            name.
        ResultFileError: a file cannot be written.
    """
    folder = _made(Path(directory), run.study.name)
    shown = _shown(readme)
    paths = []
    for name, drawn in study_figures(run).items():
        png = folder / f"{name}.png"
        for format in [*formats, *(["png"] if "png" not in formats and png.resolve() in shown else [])]:
            paths.append(folder / f"{name}.{format}")
            write_file(paths[-1], image(drawn, format))
    for path in set(folder.iterdir()) - set(paths):
        if path.suffix.removeprefix(".") in DPI and path.is_file() and MARK.encode() in path.read_bytes():
            path.unlink()
    return paths


def study_figures(run: Run) -> dict[str, Figure]:
    """Return every figure of a study by name: those that it draws itself, then one for each claim with numbers."""
    study = run.study
    text = f"attnflow · study {study.name} · records {records_digest(run.records)[:16]}"
    figures: dict[str, Figure] = {}

    def add(name: str, drawn: Figure) -> None:
        if name in figures:
            raise ConfigError(f"two figures of study {study.name!r} would be named {name!r}. Rename one.")
        figures[name] = stamp(drawn, text)

    with style():
        for function in study.figures:
            drawn = _drawn_by(function, run.records, study=study)
            if drawn is not None:
                add(function.__name__, drawn)
        for judgement, controls in with_controls(run.judgements):
            add(figure_name(judgement.claim), claim_figure(judgement, controls=controls, labels=study.labels))
    return figures


def with_controls(judgements: Sequence[Judgement]) -> Iterator[tuple[Judgement, list[Judgement]]]:
    """Yield what can be drawn: each claim with the controls that its figure shows, and other controls by themselves."""
    figures = {
        judgement.claim.id: KINDS[judgement.claim.kind].figure
        for judgement in judgements
        if any(level.failed is None for level in judgement.levels)
    }
    drawn = [judgement for judgement in judgements if figures.get(judgement.claim.id)]

    def is_in_figure_of(control: Claim, id: str | None) -> bool:
        return id is not None and control.control_of == id and figures[control.id] == figures.get(id)

    for judgement in drawn:
        claim = judgement.claim
        if not is_in_figure_of(claim, claim.control_of):
            yield judgement, [control for control in drawn if is_in_figure_of(control.claim, claim.id)]


def _made(directory: Path, name: str) -> Path:
    """Make the folder of a study's figures and return it."""
    if not directory.absolute().parent.is_dir():
        raise ConfigError(f"`-o` is {directory}, but its parent is not a folder. Create it first.")
    try:
        (directory / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"`-o` is {directory}, where nothing can be written: {error.strerror or error}. Pass a folder that is "
            "writable."
        ) from error
    return directory / name


def _shown(readme: Path) -> set[Path]:
    """Return the PNG files that a Markdown file shows."""
    text = readme.read_text(encoding="utf-8") if readme.is_file() else ""
    return {(readme.parent / link).resolve() for link in re.findall(r"""[("']([^()"'\s]+\.png)[)"']""", text)}


def _drawn_by(function: Callable[..., Figure], records: Sequence[Record], *, study: Study) -> Figure | None:
    """Return a figure of the study's own; None if it cannot be drawn because a case has failed."""
    try:
        return function(measured_cases(records))
    except Exception as error:
        if any(record.failed for record in records):
            return None
        raise ConfigError(
            f"the figure {function.__name__!r} of study {study.name!r} failed: {type(error).__name__}: {error}"
        ) from error


def figure_name(claim: Claim) -> str:
    """Return the id of a claim as part of a file name."""
    return re.sub(r"[^\w.-]+", "-", claim.id)


def measured_cases(records: Sequence[Record]) -> list[tuple[Case, dict[str, np.ndarray]]]:
    """Return for each case that was measured its arrays, the rows of all its records one after another."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.failed is None:
            groups.setdefault(canonical_json(dict(record.task.case)), []).append(record)
    return [
        (group[0].task.case, {name: np.concatenate([r.arrays[name] for r in group]) for name in group[0].arrays})
        for group in groups.values()
    ]


def records_digest(records: Sequence[Record]) -> str:
    """Return the sha256 of what the records answer and of what they hold, whatever their order."""
    lines = sorted(f"{record.task.digest} {record.payload_sha256} {record.failed or ''}\n" for record in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
