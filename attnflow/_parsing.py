"""What the words after `attnflow` ask for: commands, their options, and errors that name the nearest one."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple, NoReturn

from attnflow._checks import check_choice, check_integer
from attnflow.errors import ConfigError

ARRAYS = ("points", "queries", "keys", "values", "logits", "tokens")  # that `probe` may be told the names of
EPILOG = """exit codes: 0 all as expected; 1 a claim refuted or invalid, or a control not refuted by its gap; 2 bad
input; 3 partial, some cases failed; 130 or 143 interrupted. Every command resumes when it is repeated."""
STUDIES = Path("studies")
A_NAME = "a study, a claim, or the part of a claim's id before its `/`"


class Setting(NamedTuple):
    """A parameter of a study and the value it is given."""

    name: str
    value: object

    @classmethod
    def parse(cls, text: str) -> Setting:
        """Return what KEY=VALUE says; the value is JSON, or else a word.

        Raises:
            ConfigError: it is not of that form.
        """
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"\w+", name):
            raise ConfigError(f"`--set` takes key=value, got {text!r}.")
        try:
            return cls(name, json.loads(value))
        except json.JSONDecodeError:
            return cls(name, value)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See `{self.prog} --help`.")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the command that the words name, as `command`, and its options.

    Args:
        words: those after `attnflow`.

    Raises:
        ConfigError: an unknown command or option, with the nearest that there is, or a value that is none.
    """
    parser = _Parser(prog="attnflow", description="A laboratory for the continuum limits of attention.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"attnflow {version('attnflow')}")
    parsers = _add_commands(parser)
    if words and not words[0].startswith("-"):
        check_choice(words[0], "command", parsers)
    arguments, unknown = parser.parse_known_args(words)
    if unknown and unknown[0].startswith("-"):
        of = parsers.get(words[0], parser)  # an option before the command is none of the command's
        options = [option for action in of._actions for option in action.option_strings]
        check_choice(unknown[0].split("=")[0], "option", options)
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is one word too many. See `attnflow {words[0]} --help`.")
    check_integer(getattr(arguments, "seed", 0), "--seed", minimum=0)
    if getattr(arguments, "jobs", None) is not None:
        check_integer(arguments.jobs, "--jobs", minimum=1)
    if getattr(arguments, "workers", None) is not None:
        check_integer(arguments.workers, "--workers", minimum=1)
    return arguments


def _add_commands(parser: _Parser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of each command, with the options that it uses and no others."""
    shared, studies, subject, store, seed, setting = (_Parser(add_help=False) for _ in range(6))
    shared.add_argument("--debug", action="store_true", help="show tracebacks")
    studies.add_argument("--studies", type=Path, default=STUDIES, metavar="DIR", help="default ./studies")
    subject.add_argument(
        "--subject",
        metavar="NAME",
        help="only studies in this folder of DIR; `learned` and `questions` are left out unless named",
    )
    store.add_argument("--out", type=Path, default=Path(".attnflow"), metavar="DIR", help="default ./.attnflow")
    seed.add_argument("--seed", type=int, default=0, metavar="S", help="master seed, default 0")
    overridden = "override a parameter of the study; repeat it for several"
    setting.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help=overridden)
    records = (studies, subject, store, seed)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parsers: dict[str, argparse.ArgumentParser] = {}

    def command(name: str, help: str, *parents: _Parser) -> argparse.ArgumentParser:
        parsers[name] = commands.add_parser(
            name, help=help, description=help, parents=[shared, *parents], epilog=EPILOG, allow_abbrev=False
        )
        parsers[name].set_defaults(command=name)
        return parsers[name]

    new = command("new", "write a study to start from, into a file of its own", studies)
    new.add_argument("name", metavar="NAME", help="of the study; letters a-z, digits, `_` and `-`")
    command("list", "the studies, their claims, what has been run and the last verdicts", *records)
    about = (
        "all there is about a study or a claim: what it says, from where, and its numbers; with --set those of a run"
    )
    show = command("show", f"{about} with other parameters", *records, setting)
    show.add_argument("name", metavar="NAME", help=A_NAME)
    run = command("run", "run what is missing of one study, with its own parameters or others", *records, setting)
    run.add_argument("name", metavar="FILE|NAME", help=f"a file such as studies/depth/depth.py; {A_NAME}")
    run.add_argument("--quick", action="store_true", help="only the quick cases and seeds")
    _add_sweep_options(run)
    _add_verify_options(command("verify", "run what is missing, then print a table of verdicts", *records))
    plot = command("plot", "draw the figures of studies that have been run", *records, setting)
    plot.add_argument("names", nargs="*", metavar="NAME", help=A_NAME)
    plot.add_argument("--all", action="store_true", help="all studies that have been run")
    plot.add_argument(
        "--format", action="append", choices=("svg", "pdf", "png"), help="default svg; repeat it for several formats"
    )
    plot.add_argument(
        "-o", type=Path, default=Path("figures"), metavar="DIR", help="default ./figures; with --set in a folder of it"
    )
    report = command("report", "write one HTML page of all claims, figures and provenance", *records)
    report.add_argument("-o", type=Path, default=Path("report.html"), metavar="FILE", help="default ./report.html")
    report.add_argument(
        "--check", action="store_true", help="only compare the README and the claims in docs with the records"
    )
    report.add_argument("--pages", type=Path, metavar="DIR", help="also write an index with a page for each claim")
    report.add_argument(
        "--bundle", type=Path, metavar="FILE", help="also write an archive of the page, its records and their digests"
    )
    gather = "gather the records of a study into one file: .h5 for xarray (engine h5netcdf) and h5py, .csv for pandas"
    export = command("export", gather, *records, setting)
    export.add_argument("name", metavar="NAME", help=A_NAME)
    export.add_argument(
        "-o",
        type=Path,
        metavar="FILE",
        help="ends in .h5 (arrays over cases and seeds) or .csv (a line for each number); default STUDY.h5",
    )
    _add_bench_options(command("bench", "time every kernel sum on this machine, beside NumPy, KeOps and torch", store))
    looks = "say what trained heads, or points, look like: probe heads.npz --html out.html"
    _add_probe_options(command("probe", looks))
    doctor = command("doctor", "what attnflow finds on this machine, what makes it slow there, and why", store)
    doctor.add_argument("--json", type=Path, metavar="FILE", help="also write what was found as JSON")
    return parsers


def _add_sweep_options(run: argparse.ArgumentParser) -> None:
    run.add_argument("--part", metavar="I/N", help="only part I of N, of which no two share a record")
    run.add_argument("--workers", type=int, metavar="N", help="measure in N further processes (extra `dask`)")
    run.add_argument(
        "--scheduler", metavar="ADDRESS", help="measure on the workers of a Dask scheduler: tcp://host:port"
    )


def _add_verify_options(verify: argparse.ArgumentParser) -> None:
    verify.add_argument("names", nargs="*", metavar="NAME", help=f"{A_NAME}; default all")
    size = verify.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="the quick cases and seeds (the default)")
    size.add_argument("--full", action="store_true", help="all cases and seeds")
    verify.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    verify.add_argument("--jobs", type=int, metavar="J", help="run in so many processes; default the cores")
    verify.add_argument("--strict", action="store_true", help="records of other code are an error, not a warning")
    verify.add_argument(
        "--bundle", type=Path, metavar="FILE", help="run nothing: check the archive of a report and judge its records"
    )
    verify.add_argument("--launcher", type=int, default=0, help=argparse.SUPPRESS)  # what `--jobs` starts


def _add_bench_options(bench: argparse.ArgumentParser) -> None:
    bench.add_argument("--quick", action="store_true", help="a first look at few points, in seconds")
    bench.add_argument("--tokens", action="store_true", help="only layers and gradients of 64 coordinates and channels")
    bench.add_argument("--planner", action="store_true", help="only check the planner's choices, on 60 problems")
    bench.add_argument("--growth", action="store_true", help="only fit how the time grows with N")
    bench.add_argument("--figure", type=Path, metavar="FILE", help="PNG and PDF; default OUT/bench.png")
    bench.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")


def _add_probe_options(probe: argparse.ArgumentParser) -> None:
    probe.add_argument("file", type=Path, metavar="FILE", help=".npy, .npz, .csv, .h5 or .safetensors")
    for role in ARRAYS:
        probe.add_argument(f"--{role}", metavar="NAME", help=f"the array of {role}, where its name does not say it")
    for number in ("layer", "head"):
        probe.add_argument(f"--{number}", type=int, metavar=number[0], help=f"only this {number}")
    probe.add_argument("--bandwidth", type=float, metavar="B", help="logits are Q K'/B; default sqrt(d)")
    for option, content in (("--json", "the report as JSON"), ("--html", "a page with figures")):
        probe.add_argument(option, type=Path, metavar="FILE", help=f"also write {content}")
