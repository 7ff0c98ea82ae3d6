"""The report as JSON: one object, null where a number has no meaning."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from attnflow.lab.probe.definitions import DEFINITIONS, NULLS
from attnflow.lab.probe.report import Report
from attnflow.lab.probe.results import HeadProbe, Number, ReversibleSpectrum

_DIGITS = 8  # of a number


def as_json(report: Report) -> bytes:
    """Return the report: its heads or its points, the controls, and what every number means and cannot say."""
    probe, cloud = report.probe, report.probe.cloud
    used = {name for head in probe.heads for name in head.numbers} | set(cloud.numbers if cloud else ())
    content = {
        "file": report.title,
        "count": probe.count,
        "tokens": probe.tokens,
        "notes": probe.notes,
        "heads": [_head(head) for head in probe.heads],
        "points": cloud and {
            "bandwidth": cloud.bandwidth,
            "chosen_by": cloud.chosen_by,
            "numbers": _numbers(cloud.numbers),
            "bandwidths": cloud.bandwidths,
            "dimensions": cloud.dimensions,
            "log_density": cloud.log_density,
            "spectrum": _spectrum(cloud.spectrum),
        },
        "controls": [
            {
                "name": control.name,
                "what": control.words,
                "expected": control.expected,
                "holds": control.holds,
                **_head(control.head, rows=False),
            }
            for control in report.controls
        ],
        "definitions": {
            name: {**definition._asdict(), "least": None, "most": None}
            | {bound: number for bound in ("least", "most") if math.isfinite(number := getattr(definition, bound))}
            for name, definition in DEFINITIONS.items()
            if name in used
        },
        "nulls": NULLS,
    }  # fmt: skip
    return (json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _head(head: HeadProbe, *, rows: bool = True) -> dict[str, Any]:
    reading = head.reading
    found = {
        "name": head.name,
        "scale": head.scale,
        "verdict": asdict(reading),
        "numbers": _numbers(head.numbers),
        "spectrum": _spectrum(head.spectrum),
    }
    if rows:
        found["rows"] = vars(head.rows)
    return found


def _numbers(numbers: Mapping[str, Number]) -> dict[str, Any]:
    return {
        name: {"value": number.value, "low": number.low, "high": number.high, "reason": number.reason or None}
        | {"nulls": [asdict(null) for null in number.nulls]}
        for name, number in numbers.items()
    }


def _spectrum(found: ReversibleSpectrum | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "eigenvalues": found.eigenvalues,
        "null": {"name": found.null_name, "tokens": found.null_tokens, "eigenvalues": found.null_eigenvalues},
        "modes": [{"eigenvalue": m.eigenvalue, "label": m.label, "explained": m.explained} for m in found.modes],
    }


def _plain(content: Any) -> Any:
    """Return the same of lists, dicts, words and finite numbers."""
    match content:
        case dict():
            return {name: _plain(part) for name, part in content.items()}
        case list() | tuple():
            return [_plain(part) for part in content]
        case np.ndarray():
            return _plain(content.tolist())
        case bool() | np.bool_():
            return bool(content)
        case float() | np.floating():
            return float(f"{content:.{_DIGITS}g}") if math.isfinite(content) else None
    return content
