"""What `attnflow probe` reads, prints and writes."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

import attnflow
from attnflow._optional import optional
from attnflow.errors import AttnflowError, ConfigError, DataError
from attnflow.lab.probe.controls import controls
from attnflow.lab.probe.probing import probe
from attnflow.lab.probe.reading import HeadArrays, HeadFile, read_file
from attnflow.lab.probe.report import Report
from attnflow.lab.probe.results import HeadProbe, Probe
from attnflow.lab.probe.rows import as_json
from attnflow.lab.probe.text import as_text, printable
from attnflow.lab.store import write_file

_LISTED = 8  # arrays that were not read, in a note


def probe_file(
    path: Path,
    *,
    chosen: Mapping[str, str] | None = None,
    layer: int | None = None,
    head: int | None = None,
    bandwidth: float | None = None,
    json: Path | None = None,
    html: Path | None = None,
) -> int:
    """Print what the heads or the points in a file look like, and return the exit code.

    Args:
        path: of the file.
        chosen: which array is what, see `read_file`.
        layer: only heads of this layer.
        head: only heads of this number.
        bandwidth: eps, or None for what `probe` takes.
        json: where the report goes as JSON, if anywhere.
        html: where it goes as a page with figures, if anywhere.

    Returns:
        0, or 1 where a control is not told for what it is.

    Raises:
        ConfigError: an option does not fit the file.
        DataError: the file cannot be read, or what it holds cannot be probed.
        ResultFileError: a file cannot be written.
    """
    heads = read_file(path, chosen=chosen, layer=layer, head=head)
    report = report_on(heads, bandwidth=bandwidth)
    width = shutil.get_terminal_size(fallback=(100, 24)).columns
    print(*printable(as_text(report, width=width)), sep="\n", flush=True)
    if json:
        write_file(json, as_json(report))
    if html:
        drawn: Any = optional("attnflow.lab.probe.page")  # matplotlib takes seconds to import
        if drawn is None:
            raise ConfigError("`--html` needs matplotlib, which cannot be imported. Run pip install attnflow.")
        write_file(html, drawn.page(report).encode())
    return 0 if report.holds else 1


def report_on(heads: HeadFile, *, bandwidth: float | None = None) -> Report:
    """Probe every head of a file, one after the other; a bar counts them on a terminal.

    Raises:
        ConfigError: the file holds points of several layers and nothing else.
    """
    tokens, name = heads.tokens, heads.file.path.name
    found: list[Probe] = []
    sources: list[str] = []
    for place in tqdm(heads.places, leave=False, unit="head", disable=not sys.stderr.isatty() or len(heads.places) < 2):
        arrays = heads.read(place)
        found.append(_probed(arrays, tokens=tokens, bandwidth=bandwidth, where=f"{name}, {arrays.name}"))
        sources += arrays.sources
    whole = found[0] if len(found) == 1 else _together(found, name=name)
    whole = dataclasses.replace(whole, tokens=tokens, notes=(*whole.notes, *_notes(heads, whole)))
    return Report(name, whole, controls(), f"From {', '.join(dict.fromkeys(sources))}.")


def _probed(arrays: HeadArrays, *, tokens: tuple[str, ...] | None, bandwidth: float | None, where: str) -> Probe:
    is_head = arrays.queries is not None or arrays.logits is not None
    if not is_head:
        attnflow.enable_x64()  # for the error that is predicted of points; heads do without JAX
    try:
        return probe(
            arrays.points, queries=arrays.queries, keys=arrays.keys, logits=arrays.logits,
            values=arrays.values if is_head else None, bandwidth=bandwidth, tokens=tokens,
            names=[arrays.name] if is_head else None,
        )  # fmt: skip
    except AttnflowError as error:
        raise type(error)(f"{where}: {error}") from error


def _together(found: list[Probe], *, name: str) -> Probe:
    """Return the probe of all heads."""
    if any(each.cloud for each in found):
        raise ConfigError(f"{name} holds points of {len(found)} layers and no heads. Choose one by `--layer`.")
    counts = {each.count for each in found}
    if len(counts) > 1:
        raise DataError(f"{name}: heads have {min(counts)} to {max(counts)} tokens. Choose one by `--layer`, `--head`.")
    heads: tuple[HeadProbe, ...] = tuple(head for each in found for head in each.heads)
    return Probe(found[0].count, heads, None, notes=tuple(dict.fromkeys(note for each in found for note in each.notes)))


def _notes(heads: HeadFile, whole: Probe) -> list[str]:
    """Return what was left out, and what a reader must know of how logits were made."""
    notes = [f"logits are {scale}, softmax over all keys, no mask" for scale in {head.scale for head in whole.heads}]
    unread = heads.naming.unread
    if unread:
        listed = ", ".join(unread[:_LISTED]) + (f" and {len(unread) - _LISTED} more" if len(unread) > _LISTED else "")
        notes.append(f"not read, as the names say nothing here: {listed}")
    return notes
