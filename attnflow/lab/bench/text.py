"""The tables as text, as wide as the terminal."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from attnflow.lab.bench.measuring import Measurement
from attnflow.lab.bench.motion import MotionRow
from attnflow.lab.bench.tables import BUDGET, Choice, Growth
from attnflow.lab.bench.tokens import TokenRow

NEAR, FAR = 1.3, 3.0  # times the best method


def aligned(rows: Sequence[dict[str, str]], *, width: int) -> list[str]:
    """Return one line per row under a line of names; columns are dropped from the right until the table fits."""
    names = list(rows[0])
    widths = {name: max([len(name), *(len(row[name]) for row in rows)]) for name in names}
    while sum(widths[name] + 2 for name in names) - 2 > width and len(names) > 3:
        names.pop()
    cells = [{name: name for name in names}, *rows]
    return ["  ".join(row[name].ljust(widths[name]) for name in names).rstrip() for row in cells]


def wrapped(lines: Iterable[str], *, width: int) -> list[str]:
    """Return sentences broken where they are longer than the terminal is wide."""
    return [part for line in lines for part in textwrap.wrap(line, width=width, subsequent_indent="    ")]


def step_text(rows: Sequence[Measurement], missing: Sequence[str], *, width: int) -> list[str]:
    """Return the table of one step; `missing` names what is not installed."""
    numpy = next(row.seconds for row in rows if row.engine == "NumPy")
    cells = [
        {
            "method": row.engine,
            "dtype": row.dtype,
            "seconds": _number(row.seconds),
            "CPU": _number(row.cpu),
            "of NumPy": "-" if not row.seconds or not numpy else f"{row.seconds / numpy:.3f}",
            "error": _error(row.error),
            "declared": _error(row.declared),
            "row sums": _error(row.row_sum_error),
            "MB": _megabytes(row.memory),
            "Gpairs/core-s": "-" if row.rate is None else f"{row.rate / 1e9:.3f}",
            "next layer": _number(row.next_seconds),
        }
        for row in rows
    ]
    title = f"One layer on the sphere in R^3: N = {rows[0].points}, eps = {rows[0].bandwidth:g}, one channel"
    dense, gradient = (next(row for row in rows if row.engine == name) for name in ("dense", "gradient"))
    notes = []
    if dense.seconds and gradient.seconds:
        ratio = gradient.seconds / dense.seconds
        notes.append(f"gradient: of the sum of a dense layer by its points, {ratio:.1f} times the layer")
    notes += [f"{row.engine} {row.dtype} was not measured: {row.note}" for row in rows if row.note]
    notes += [f"{name}: not installed" for name in missing]
    return [*wrapped([title], width=width), *aligned(cells, width=width), *wrapped(notes, width=width)]


def sizes_text(rows: Sequence[Measurement], *, width: int) -> list[str]:
    """Return seconds by size and bandwidth, one column per engine, then what the planner's choice delivered."""
    engines = list(dict.fromkeys(row.engine for row in rows))
    cells = []
    for bandwidth, points in dict.fromkeys((row.bandwidth, row.points) for row in rows):
        here = {row.engine: row for row in rows if (row.bandwidth, row.points) == (bandwidth, points)}
        auto = here["auto"]
        cells.append(
            {"eps": f"{bandwidth:g}", "N": str(points)}
            | {name: _seconds(here[name]) for name in engines if name != "auto"}
            | {
                "auto": _seconds(auto),
                "choice": auto.method or "-",
                "error": _error(auto.error),
                "declared": _error(auto.declared),
                "MB": _megabytes(auto.memory),
                "next layer": _number(auto.next_seconds),
            }
        )
    title = f"Seconds of a first layer on the sphere in R^3, rtol = {rows[0].rtol:g}"
    legend = f"~ predicted, not run (above {BUDGET:g} s); - refused"
    return [*wrapped([title], width=width), *aligned(cells, width=width), *wrapped([legend], width=width)]


def planner_text(choices: Sequence[Choice], *, width: int) -> list[str]:
    """Return the planner's choice for every problem, each method's measured and predicted seconds, and the verdict."""
    methods = list(dict.fromkeys(name for choice in choices for name in choice.predicted))
    cells = [
        {
            "points": choice.cloud,
            "eps": f"{choice.bandwidth:g}",
            "N": str(choice.points),
            "rtol": f"{choice.rtol:g}",
            "choice": choice.method,
            "ratio": f"{choice.ratio:.2f}",
            "CPU": f"{choice.cpu_ratio:.2f}",
            "best": choice.best,
        }
        | {name: _both(choice.seconds.get(name), choice.predicted.get(name)) for name in methods}
        for choice in choices
    ]
    near, cpu_near = (sum(getattr(c, name) <= NEAR for c in choices) for name in ("ratio", "cpu_ratio"))
    worst = max(choices, key=lambda choice: choice.ratio)
    title = "The planner's choice against the fastest method: seconds of a first layer, predicted ones in brackets"
    verdict = (
        f"within {NEAR:g}x of the best: {near} of {len(choices)} ({near / len(choices):.0%}), in seconds of all cores "
        f"{cpu_near}; the worst "
        f"{worst.ratio:.2f}x ({worst.method} for {worst.best}: {worst.cloud}, eps = {worst.bandwidth:g}, "
        f"N = {worst.points}, rtol = {worst.rtol:g}); above {FAR:g}x: {sum(c.ratio > FAR for c in choices)}"
    )
    return [*wrapped([title], width=width), *aligned(cells, width=width), *wrapped([verdict], width=width)]


def tokens_text(rows: Sequence[TokenRow], missing: Sequence[str], *, width: int) -> list[str]:
    """Return the layers and gradients at the size of tokens, beside torch where it is installed."""
    cells = [
        {
            "cost": row.cost,
            "dtype": row.dtype,
            "N": str(row.points),
            "pass": row.direction,
            "CPU": _number(row.cpu),
            "of torch": "-" if row.ratio is None else f"{row.ratio:.2f}",
            "seconds": _number(row.seconds),
            "torch CPU": _number(row.torch_cpu),
            "torch seconds": _number(row.torch_seconds),
            "first call CPU": _number(row.first),
            "error": _error(row.error),
            "torch error": _error(row.torch_error),
        }
        for row in rows
    ]
    title = (
        f"Attention of {rows[0].dim} coordinates and channels: seconds of all cores (CPU) and by the clock, beside "
        "torch's scaled_dot_product_attention and its backward pass"
    )
    notes = [f"{name}: not installed" for name in missing if name == "torch"]
    return [*wrapped([title], width=width), *aligned(cells, width=width), *wrapped(notes, width=width)]


def motion_text(rows: Sequence[MotionRow], *, width: int) -> list[str]:
    """Return what tokens that move take, beside what all pairs would."""
    cells = [
        {
            "place": row.place,
            "N": str(row.points),
            "layers": str(row.layers),
            "seconds": _number(row.seconds),
            "CPU": _number(row.cpu),
            "of all pairs": f"{row.of_all_pairs:.2g}",
            "us per token and layer": _number(1e6 * row.per_token),
            "choice": row.method,
            "declared": _error(row.declared),
        }
        for row in rows
    ]
    title = (
        f"Tokens that move: softmax <x, y>/eps, eps = {rows[0].bandwidth:g}, rtol = {rows[0].rtol:g}; seconds of all "
        "layers by the clock and of all cores (CPU), and these relative to sums over all pairs"
    )
    return [*wrapped([title], width=width), *aligned(cells, width=width)]


def growth_text(growths: Sequence[Growth], *, width: int) -> list[str]:
    """Return the exponents, with the seconds they were fitted to."""
    cells = [
        {
            "method": each.engine,
            "points": each.cloud,
            "fixed": each.held,
            "exponent": f"{each.exponent:.3f}",
            "next layer": f"{each.next_exponent:.3f}",
            "N": f"{each.points[0]} to {each.points[-1]}",
            "seconds": " ".join(map(_number, each.seconds)),
            "of a next layer": " ".join(map(_number, each.next_seconds)),
        }
        for each in growths
    ]
    title = "Growth of the time with N: slope of log seconds over log N, least squares over the levels"
    return [*wrapped([title], width=width), *aligned(cells, width=width)]


def as_json(tables: Mapping[str, Any]) -> bytes:
    """Return the tables as JSON: rows with all their fields and properties, null where nothing was measured."""

    def plain(value: Any) -> Any:
        if is_dataclass(value) and not isinstance(value, type):
            derived = [name for name, member in vars(type(value)).items() if isinstance(member, property)]
            value = {**asdict(value), **{name: getattr(value, name) for name in derived}}
        if isinstance(value, Mapping):
            return {name: plain(item) for name, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return (json.dumps(plain(tables), indent=2, allow_nan=False) + "\n").encode()


def _seconds(row: Measurement) -> str:
    if row.seconds is None and not row.note and row.predicted is not None:
        return f"~{_number(row.predicted)}"
    return _number(row.seconds)


def _both(measured: float | None, predicted: float | None) -> str:
    if predicted is None:
        return "-"
    return f"{'' if measured is None else _number(measured) + ' '}({_number(predicted)})"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _error(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _megabytes(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:.0f}"
