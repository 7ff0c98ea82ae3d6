"""The commands that read no records: `new`, `bench`, `probe`, `doctor`. Imports stand inside functions: see cli.py."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from attnflow._checks import check_choice
from attnflow._parsing import ARRAYS, STUDIES
from attnflow.errors import ConfigError

if TYPE_CHECKING:
    from argparse import Namespace


def new(arguments: Namespace) -> int:
    """Write a study to start from, and return the exit code."""
    from attnflow.lab.starting import start_study

    print(f"{start_study(arguments.name, arguments.studies)} is a study to start from. Go on with")
    place = "" if arguments.studies == STUDIES else f" --studies {shlex.quote(str(arguments.studies))}"
    for command in ("verify", "show", "plot"):
        print(f"    attnflow {command} {arguments.name}{place}")
    return 0


def bench(arguments: Namespace) -> int:
    """Time this machine, and return the exit code."""
    from attnflow.lab.bench.command import bench as measure
    from attnflow.precision import enable_x64

    enable_x64()
    check_folder(arguments.json, "--json")
    check_folder(arguments.figure, "--figure")
    special = [name for name in ("tokens", "planner", "growth") if getattr(arguments, name)]
    if arguments.figure:
        check_choice(arguments.figure.suffix, "--figure", ["", ".png", ".pdf"])
        if special:
            raise ConfigError(f"`--{special[0]}` draws no `--figure`. Leave one of them out.")
    figure = arguments.figure or arguments.out / "bench.png"
    measure(tables=special or ["methods", "tokens"], quick=arguments.quick, figure=figure, json=arguments.json)
    return 0


def probe(arguments: Namespace) -> int:
    """Say what points or heads look like, and return the exit code."""
    from attnflow.lab.probe.command import probe_file

    check_folder(arguments.json, "--json")
    check_folder(arguments.html, "--html")
    given = vars(arguments)
    chosen = {role: given[role] for role in ARRAYS if given[role]}
    options = {name: given[name] for name in ("layer", "head", "bandwidth", "json", "html")}
    return probe_file(arguments.file, chosen=chosen, **options)


def doctor(arguments: Namespace) -> int:
    """Say what the machine has and what makes it slow, and return the exit code."""
    from attnflow.lab.doctor import examine, report, slow
    from attnflow.lab.store import write_file

    check_folder(arguments.json, "--json")
    facts = examine(arguments.out)
    print(report(facts, width=terminal_width()))
    if arguments.json:
        write_file(arguments.json, (json.dumps({**facts, "slow": slow(facts)}, indent=2) + "\n").encode())
    return 0


def terminal_width(most: int | None = None) -> int:
    """Return how wide the terminal is, in characters, or at most so many."""
    columns = shutil.get_terminal_size(fallback=(100, 24)).columns
    return columns if most is None else min(columns, most)


def check_studies(arguments: Namespace) -> None:
    """Raise ConfigError if there are no studies, which is known a second before JAX is loaded."""
    from attnflow.lab.finding import needed_files

    needed_files(arguments.studies, subject=arguments.subject)


def check_folder(file: Path | None, option: str) -> None:
    """Raise ConfigError if a file is to be written into a folder that is not there."""
    if file and not file.absolute().parent.is_dir():
        raise ConfigError(f"`{option}` is {file}, but its folder does not exist. Create it first.")
