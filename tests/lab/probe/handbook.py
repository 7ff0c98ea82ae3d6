"""The parts of docs/probe.md that are written by the code: `python tests/lab/probe/handbook.py` writes them anew."""

import re
from pathlib import Path

from attnflow.lab.probe.command import report_on
from attnflow.lab.probe.controls import controls
from attnflow.lab.probe.definitions import DEFINITIONS, NULLS
from attnflow.lab.probe.reading import read_file
from attnflow.lab.probe.report import KIND_NAMES, grouped
from attnflow.lab.probe.results import Number
from attnflow.lab.probe.text import as_text
from attnflow.lab.probe.verdicts import read

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "probe.md"
HEADS = ROOT / "tests" / "data" / "antiberty_trastuzumab.npz"

# Numbers of heads that are of one kind by far, the others missing.
PLAIN = {
    "diffusion": {
        "ess": 50.0, "split_half": 1.0, "typicality": 1.0, "locality": 0.0, "jump": 0.0, "negative_cost": 0.0,
        "tv_without_circulation": 0.0,
    },
    "jump": {"locality": 0.0, "jump": 9.0},
    "window": {"leak": 0.0, "window_skill": 1.0},
    "sink": {"share_potential": 1.0, "column_imbalance": 1.0},
    "averaging": {"ess_share": 1.0},
}  # fmt: skip


def escaped(text):
    """Text in which Markdown sees no tag."""
    return text.replace("<", "&lt;")


def numbers():
    """The numbers, a table under each heading."""
    lines = []
    for group, members in grouped(Number(name, None) for name in DEFINITIONS).items():
        lines += [
            "",
            f"### {group[0].upper()}{group[1:]}",
            "",
            "| number | says | cannot say | null |",
            "|---|---|---|---|",
        ]
        for number in members:
            found = number.definition
            title = f"**{escaped(found.title)}**<br>`{found.formula}`".replace("|", "\\|")
            lines.append(f"| {title} | {escaped(found.meaning)} | {escaped(found.cannot_say)} | {found.null} |")
    lines += ["", *(f"- *{name}*: {words}." for name, words in NULLS.items())]
    return "\n".join(lines).strip()


def verdicts():
    """The rules in the order in which they are tried."""
    lines = ["| verdict | rule |", "|---|---|"]
    readings = {}
    for kind, values in PLAIN.items():
        readings[kind] = read({name: Number(name, values.get(name)) for name in DEFINITIONS})
        assert readings[kind].kind == kind
    nothing = next(control.head.reading for control in controls() if control.name == "random")
    other = read({name: Number(name, None) for name in DEFINITIONS})
    diffusion = readings.pop("diffusion")
    for reading in (diffusion, nothing, *readings.values(), other):
        lines.append(f"| {KIND_NAMES[reading.kind]} | {escaped(reading.rule)} |")
    return "\n".join(lines)


def heads():
    """The table of the trained heads, as printed."""
    lines = as_text(report_on(read_file(HEADS)), width=100)
    last = next(place for place, line in enumerate(lines) if line.startswith("keys: "))
    return "\n".join(["```", "$ attnflow probe tests/data/antiberty_trastuzumab.npz", *lines[:last], "...", "```"])


def head():
    """The beginning of what is printed of one of them."""
    lines = as_text(report_on(read_file(HEADS, layer=7, head=0)), width=72)
    last = next(place for place, line in enumerate(lines) if line.startswith("PARTS"))
    command = "$ attnflow probe tests/data/antiberty_trastuzumab.npz --layer 7 --head 0"
    return "\n".join(["```", command, *lines[:last], "...", "```"])


PARTS = {"numbers": numbers, "verdicts": verdicts, "heads": heads, "head": head}


def part(name, text):
    """What stands between the marks of a part."""
    return re.search(rf"<!-- {name} -->\n(.*?)\n<!-- end -->", text, re.DOTALL)[1]


def write():
    """Write every part anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, make in PARTS.items():
        text = text.replace(f"<!-- {name} -->\n{part(name, text)}\n", f"<!-- {name} -->\n{make()}\n")
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
