"""All figures of a study: one for each claim, and those that the study draws itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from attnflow.errors import ConfigError
from attnflow.judge.claims import KINDS, Claim
from attnflow.judge.verdicts import Verdict
from attnflow.lab.plots.ladders import claim_figure
from attnflow.lab.plots.style import image, stamp, style
from attnflow.lab.runs import claim_levels
from attnflow.lab.store import Record, write_file
from attnflow.lab.study import Case, Study, canonical_json

FORMATS = ("pdf", "png")


def draw_study(study: Study, records: Sequence[Record], verdicts: Sequence[Verdict], directory: Path) -> list[Path]:
    """Write every figure of a study as PDF and PNG, each stamped with the digest of its records.

    Args:
        study: what was run.
        records: of one run of the study.
        verdicts: on its claims, from the same records.
        directory: created if its parent exists.

    Returns:
        The files: `<directory>/<study>/<claim or function>.pdf` and `.png`.

    Raises:
        ConfigError: the parent of the directory is missing, nothing can be written there, or two figures would have one
            name.
        ResultFileError: a file cannot be written.
    """
    directory = Path(directory)
    if not directory.absolute().parent.is_dir():
        raise ConfigError(f"`-o` is {directory}, but its parent is not a folder. Create it first.")
    folder = directory / study.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"`-o` is {directory}, where nothing can be written: {error.strerror or error}. Pass a folder that is "
            "writable."
        ) from error
    paths = []
    for name, drawn in study_figures(study, records, verdicts).items():
        for format in FORMATS:
            paths.append(folder / f"{name}.{format}")
            write_file(paths[-1], image(drawn, format))
    return paths


def study_figures(study: Study, records: Sequence[Record], verdicts: Sequence[Verdict]) -> dict[str, Figure]:
    """Every figure of a study by name: those that the study draws itself, then one for each claim with numbers."""
    text = f"attnflow · study {study.name} · records {records_digest(records)[:16]}"
    by_id = {verdict.id: verdict for verdict in verdicts}
    figures: dict[str, Figure] = {}

    def add(name: str, drawn: Figure) -> None:
        if name in figures:
            raise ConfigError(f"two figures of study {study.name!r} would be named {name!r}. Rename one.")
        figures[name] = stamp(drawn, text)

    with style():
        for function in study.figures:
            drawn = _drawn_by(function, records, study=study)
            if drawn is not None:
                add(function.__name__, drawn)
        for claim in study.claims:
            if claim.id in by_id and KINDS[claim.kind].figure is not None:
                levels = claim_levels(claim, records, study=study)
                label = study.labels.get(claim.quantity)
                if any(level.failed is None for level in levels):
                    add(figure_name(claim), claim_figure(claim, levels, by_id[claim.id], label=label))
    return figures


def _drawn_by(function: Callable[..., Figure], records: Sequence[Record], *, study: Study) -> Figure | None:
    """A figure of the study's own; None if it cannot be drawn because a case has failed."""
    try:
        return function(measured_cases(records))
    except Exception as error:
        if any(record.failed for record in records):
            return None
        raise ConfigError(
            f"the figure {function.__name__!r} of study {study.name!r} failed: {type(error).__name__}: {error}"
        ) from error


def figure_name(claim: Claim) -> str:
    """The id of a claim as part of a file name."""
    return re.sub(r"[^\w.-]+", "-", claim.id)


def measured_cases(records: Sequence[Record]) -> list[tuple[Case, dict[str, np.ndarray]]]:
    """For each case that was measured its arrays, the rows of all its records one after another."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.failed is None:
            groups.setdefault(canonical_json(dict(record.task.case)), []).append(record)
    return [
        (group[0].task.case, {name: np.concatenate([r.arrays[name] for r in group]) for name in group[0].arrays})
        for group in groups.values()
    ]


def records_digest(records: Sequence[Record]) -> str:
    """sha256 of what the records answer and of what they hold, whatever their order."""
    lines = sorted(f"{record.task.digest} {record.payload_sha256} {record.failed or ''}\n" for record in records)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
