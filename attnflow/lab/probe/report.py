"""What a report of a probe holds, and how its numbers are written."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from attnflow.lab.probe.controls import Control
from attnflow.lab.probe.results import CloudProbe, HeadProbe, Null, Number, Probe

_DECIMALS = 2  # in a table at most
# What a table of many heads shows, the most telling first: the name of each number and a short one for its column.
COLUMNS = {
    "ess": "keys", "split_half": "halves", "typicality": "typical", "share_cost": "D", "share_potential": "b",
    "share_circulation": "W", "negative_cost": "D < 0", "locality": "local", "jump": "jump", "leak": "leak",
    "slow_modes": "slow", "contraction": "left",
}  # fmt: skip
KIND_NAMES = {
    "diffusion": "diffusion", "window": "window with leak", "jump": "jump", "sink": "key sink",
    "averaging": "averaging", "nothing": "nothing to see", "other": "none of these",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Report:
    """A probe with what is said beside it.

    Args:
        title: of what, such as the name of the file.
        probe: what was found.
        controls: heads whose kind is known.
        sources: the names of the arrays that were read, in words.
    """

    title: str
    probe: Probe
    controls: tuple[Control, ...]
    sources: str

    @property
    def holds(self) -> bool:
        """Whether every control was told for what it is."""
        return all(control.holds for control in self.controls)


def verdict_of_all(heads: Iterable[HeadProbe]) -> str:
    """Return how many heads are of which kind."""
    kinds = Counter(KIND_NAMES[head.reading.kind] for head in heads)
    count = kinds.total()
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    none = "" if kinds["diffusion"] else " None is a diffusion."
    return f"{count} heads: {told}.{none}"


def verdict_of_cloud(cloud: CloudProbe) -> str:
    """Return what points alone look like."""
    return f"Points alone: dimension {written(cloud['dimension'])}, suggested bandwidth {written(cloud['bandwidth'])}."


def controls_in_words(report: Report) -> str:
    """Return how many controls were told for what they are."""
    held = sum(control.holds for control in report.controls)
    wrong = "" if report.holds else " Do not trust this report."
    return f"{held} of {len(report.controls)} controls are told for what they are.{wrong}"


def grouped(numbers: Iterable[Number]) -> dict[str, list[Number]]:
    """Return numbers under the headings of their definitions."""
    found: dict[str, list[Number]] = {}
    for number in numbers:
        found.setdefault(number.definition.group, []).append(number)
    return found


def written(value: float | None) -> str:
    """Return three digits of a number, or a dash.

    Example:
        >>> from attnflow.lab.probe.report import written
        >>> written(0.12345), written(1234.5), written(1.2e-5), written(None)
        ('0.123', '1234', '1.2e-05', '-')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def interval(number: Number) -> str:
    """Return the interval of a number in brackets, or nothing."""
    return "" if number.low is None or number.high is None else f"[{written(number.low)}, {written(number.high)}]"


def in_short(number: Number) -> str:
    """Return a number for a narrow column, and after a sign half of its interval's width, to whose digit it is rounded.

    Example:
        >>> from attnflow.lab.probe.report import in_short
        >>> from attnflow.lab.probe.results import Number
        >>> [in_short(Number("leak", 0.392, *ends)) for ends in ((0.352, 0.443), ())], in_short(Number("leak", None))
        (['.39±.05', '.39'], '-')
    """
    if number.value is None or number.low is None or number.high is None:
        return short(number.value)
    half = (number.high - number.low) / 2
    decimals = min(_DECIMALS, max(0, -math.floor(math.log10(half)))) if half > 0 else _DECIMALS
    return f"{_rounded(number.value, decimals)}±{_rounded(half, decimals)}"


def short(value: float | None) -> str:
    """Return two digits of a number and two decimals at most, or a dash."""
    if value is None:
        return "-"
    return _rounded(value, min(_DECIMALS, max(0, 1 - math.floor(math.log10(abs(value)))))) if value else "0"


def _rounded(value: float, decimals: int) -> str:
    """Return a number without a nought before its point, or all of them where it is nothing but noughts."""
    digits = f"{value:.{decimals}f}"
    if float(digits) == 0:
        return "0"
    return digits.replace("0.", ".", 1) if abs(float(digits)) < 1 else digits


def null_in_words(null: Null) -> str:
    """Return what a number is where there is nothing to find, with the range of the draws."""
    return f"{null.name} {written(null.value)} ({written(null.low)} to {written(null.high)})"
