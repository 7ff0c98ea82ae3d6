"""The command line: parses, then imports, calls and prints. Imports stand inside functions so that --help is quick."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from attnflow._checks import check_choice, check_integer
from attnflow.errors import AttnflowError, ConfigError, ResultFileError

if TYPE_CHECKING:
    from attnflow.judge.claims import Claim
    from attnflow.lab.running import RunSummary
    from attnflow.lab.store import Record, Store
    from attnflow.lab.study import Study

ARRAYS = ("points", "queries", "keys", "values", "logits", "tokens")  # that `probe` may be told the names of
EPILOG = """exit codes: 0 all as expected; 1 a claim refuted or invalid, or a control not refuted by its gap; 2 bad
input; 3 partial, some cases failed; 130 or 143 interrupted. Every command resumes when it is repeated."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the words after `attnflow`; those of the process unless given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    os.environ["MPLBACKEND"] = "agg"  # figures go into files; the backend of a notebook is not to be had here
    try:
        arguments = _parse(words)
        return _obey(arguments)
    except KeyboardInterrupt:
        print("attnflow: interrupted; repeat the command to resume", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `attnflow list | head`; devnull keeps the interpreter's last flush quiet
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if "--debug" in words:
            raise
        ours = isinstance(error, AttnflowError)
        print(f"attnflow: {error if ours else f'unexpected {type(error).__name__}: {error}'}", file=sys.stderr)
        if not ours:
            print("Repeat the command with --debug for the traceback.", file=sys.stderr)
        return 2


def _obey(arguments: argparse.Namespace) -> int:
    """Run the command; what a study's code ends by sys.exit has not come to its end."""
    from attnflow.lab.programs import compile_quickly, keep_programs

    keep_programs()
    if arguments.command in (_run, _verify):  # the bench measures what a program of one's own gets
        compile_quickly()
    try:
        return int(arguments.command(arguments))
    except SystemExit as error:
        raise ConfigError(
            f"a study called sys.exit({error.code!r}), which would end the whole command. Take that out."
        ) from error


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ours."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See `{self.prog} --help`.")


def _parse(words: Sequence[str]) -> argparse.Namespace:
    shared = _Parser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="show tracebacks")
    common = _Parser(add_help=False, parents=[shared])
    common.add_argument("--studies", type=Path, default=Path("studies"), metavar="DIR", help="default ./studies")
    common.add_argument(
        "--subject", metavar="NAME", help="only studies in this folder of DIR; `learned` is left out unless it is named"
    )
    common.add_argument("--out", type=Path, default=Path(".attnflow"), metavar="DIR", help="default ./.attnflow")
    common.add_argument("--seed", type=int, default=0, metavar="S", help="master seed, default 0")
    common.add_argument("--strict", action="store_true", help="records of other code are an error, not a warning")

    parser = _Parser(prog="attnflow", description="A laboratory for the continuum limits of attention.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"attnflow {version('attnflow')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    parsers = {}

    def command(name: str, function: Any, help: str, parent: _Parser = common) -> argparse.ArgumentParser:
        parsers[name] = commands.add_parser(
            name, help=help, description=help, parents=[parent], epilog=EPILOG, allow_abbrev=False
        )
        parsers[name].set_defaults(command=function)
        return parsers[name]

    command("list", _list, "the studies, their claims, what has been run and the last verdicts")
    run = command("run", _run, "run what is missing of one study")
    run.add_argument("file", type=Path, metavar="FILE", help="a study, such as studies/depth/depth.py")
    run.add_argument("--quick", action="store_true", help="only the quick cases and seeds")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a parameter")
    verify = command("verify", _verify, "run what is missing, then print a table of verdicts")
    verify.add_argument("claims", nargs="*", metavar="CLAIM", help="an id, or the part before its `/`; default all")
    size = verify.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="the quick cases and seeds (the default)")
    size.add_argument("--full", action="store_true", help="all cases and seeds")
    verify.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    verify.add_argument("--jobs", type=int, metavar="J", help="run in so many processes; default the cores")
    verify.add_argument("--launcher", type=int, default=0, help=argparse.SUPPRESS)  # what `--jobs` starts
    plot = command("plot", _plot, "draw the figures of studies that have been run")
    plot.add_argument("names", nargs="*", metavar="STUDY", help="a name that `attnflow list` shows")
    plot.add_argument("--all", action="store_true", help="all studies that have been run")
    plot.add_argument(
        "--format", action="append", choices=("svg", "pdf", "png"), help="default svg; repeat it for several formats"
    )
    plot.add_argument("-o", type=Path, default=Path("figures"), metavar="DIR", help="default ./figures")
    report = command("report", _report, "write one HTML page of all claims, figures and provenance")
    report.add_argument("-o", type=Path, default=Path("report.html"), metavar="FILE", help="default ./report.html")
    report.add_argument(
        "--check", action="store_true", help="only compare the README and the claims in docs with the records"
    )
    export = command("export", _export, "gather the records of a study into one file")
    export.add_argument("name", metavar="STUDY", help="a name that `attnflow list` shows")
    export.add_argument("-o", type=Path, metavar="FILE", help="ends in .h5 or .csv; default STUDY.h5")
    bench = command("bench", _bench, "time every kernel sum on this machine, beside NumPy, KeOps and torch")
    bench.add_argument("--quick", action="store_true", help="a first look at few points, in seconds")
    bench.add_argument("--tokens", action="store_true", help="only layers and gradients of 64 coordinates and channels")
    bench.add_argument("--planner", action="store_true", help="only check the planner's choices, on 60 problems")
    bench.add_argument("--growth", action="store_true", help="only fit how the time grows with N")
    bench.add_argument("--figure", type=Path, metavar="FILE", help="PNG and PDF; default OUT/bench.png")
    bench.add_argument("--json", type=Path, metavar="FILE", help="also write the rows as JSON")
    looks = "say what trained heads, or points, look like: probe heads.npz --html out.html"
    probe = command("probe", _probe, looks, parent=shared)
    probe.add_argument("file", type=Path, metavar="FILE", help=".npy, .npz, .csv, .h5 or .safetensors")
    for role in ARRAYS:
        probe.add_argument(f"--{role}", metavar="NAME", help=f"the array of {role}, where its name does not say it")
    for number in ("layer", "head"):
        probe.add_argument(f"--{number}", type=int, metavar=number[0], help=f"only this {number}")
    probe.add_argument("--bandwidth", type=float, metavar="B", help="logits are Q K'/B; default sqrt(d)")
    for option, content in (("--json", "the report as JSON"), ("--html", "a page with figures")):
        probe.add_argument(option, type=Path, metavar="FILE", help=f"also write {content}")

    if words and not words[0].startswith("-"):
        check_choice(words[0], "command", parsers)
    arguments, unknown = parser.parse_known_args(words)
    if unknown and unknown[0].startswith("-"):
        options = [option for action in parsers[words[0]]._actions for option in action.option_strings]
        check_choice(unknown[0].split("=")[0], "option", options)
    if unknown:
        raise ConfigError(f"{unknown[0]!r} is one word too many. See `attnflow {words[0]} --help`.")
    check_integer(getattr(arguments, "seed", 0), "--seed", minimum=0)
    if getattr(arguments, "jobs", None) is not None:
        check_integer(arguments.jobs, "--jobs", minimum=1)
    return arguments


def _list(arguments: argparse.Namespace) -> int:
    from attnflow.lab.loading import SEPARATE, find_studies, separate_subjects
    from attnflow.lab.runs import read_run

    store = _store(arguments)
    for study in find_studies(arguments.studies, subject=arguments.subject):
        run = read_run(study, store, master_seed=arguments.seed)
        done = sum(record.failed is None for record in run.found)
        print(f"{study.name}: {done} of {len(study.tasks(quick=False))} records, {run.setting or 'no'} run complete")
        words = {verdict.id: verdict.verdict for verdict in run.verdicts}
        for claim in study.all_claims:
            control = f", control of {claim.control_of}" if claim.control_of else ""
            derived = ", derivation" if claim.derivation else ""
            print(f"    {claim.id} ({claim.kind}{derived}{control}): {words.get(claim.id, 'not yet')}")
    for subject in separate_subjects(arguments.studies) if arguments.subject is None else ():
        print(f"{SEPARATE[subject].title}: left out, see `attnflow list --subject {subject}`")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from attnflow.lab.loading import load_study
    from attnflow.precision import enable_x64

    enable_x64()
    study = load_study(arguments.file)
    if arguments.set:
        study = study.with_parameters(dict(map(_parameter, arguments.set)))
    store = _store(arguments)
    store.prepare()
    (summary,) = _run_all([study], store, arguments, quick=arguments.quick)
    print(f"{summary.computed} records computed, {summary.reused} reused, {len(summary.failures)} failed.")
    return 128 + summary.signal if summary.signal else 3 if summary.failures else 0


def _verify(arguments: argparse.Namespace) -> int:
    from attnflow.judge.verdicts import exit_code
    from attnflow.lab.launchers import PATIENCE, default_jobs, in_order_of, launchers
    from attnflow.lab.loading import find_named
    from attnflow.lab.store import write_file
    from attnflow.lab.tables import last_line, verdict_table
    from attnflow.precision import enable_x64

    enable_x64()
    _check_folder(arguments.json, "--json")
    studies = find_named(arguments.studies, arguments.claims, subject=arguments.subject, names=_claim_words)
    chosen = _choose(arguments.claims, [claim for study in studies for claim in study.all_claims])
    studies = [study for study in studies if any(claim.id in chosen for claim in study.all_claims)]
    store = _store(arguments)
    store.prepare()
    if arguments.launcher:
        _run_all(in_order_of(arguments.launcher, studies), store, arguments, quick=not arguments.full)
        return 0
    words = ["verify", *arguments.claims, "--full" if arguments.full else "--quick", "--seed", str(arguments.seed)]
    words += ["--studies", str(arguments.studies), "--out", str(arguments.out)]
    words += ["--subject", arguments.subject] if arguments.subject else []
    jobs, after = (arguments.jobs, 0.0) if arguments.jobs else (default_jobs(), PATIENCE)
    with launchers(jobs - 1, words, after=after):
        summaries = _run_all(studies, store, arguments, quick=not arguments.full)
    for summary in summaries:
        if summary.signal:
            return 128 + summary.signal
    runs = [summary.run for summary in summaries]
    _warn_of_other_code([record for run in runs for record in run.records], strict=arguments.strict)
    verdicts = [verdict for run in runs for verdict in run.verdicts if verdict.id in chosen]
    failures = sum(len(summary.failures) for summary in summaries)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size(fallback=(100, 24)).columns
    print(verdict_table(verdicts, width=width, colour=colour))
    print(last_line(verdicts, failures=failures))
    if arguments.json:
        rows = [verdict.row() for verdict in verdicts]
        write_file(arguments.json, (json.dumps(rows, indent=2, allow_nan=False) + "\n").encode())
    return 3 if failures else exit_code(verdicts)


def _plot(arguments: argparse.Namespace) -> int:
    from attnflow.lab.plots.drawing import draw_study
    from attnflow.lab.runs import read_run

    studies = _studies_by_name(arguments, arguments.names)
    for name in arguments.names:
        check_choice(name, "STUDY", studies)
    if bool(arguments.names) == arguments.all:
        raise ConfigError("name the studies to plot, or pass `--all`, not both.")
    store = _store(arguments)
    for study in [studies[name] for name in arguments.names] or studies.values():
        run = read_run(study, store, master_seed=arguments.seed)
        if run.setting is None:
            print(f"attnflow: {study.name} has not been run, left out", file=sys.stderr)
            continue
        for path in draw_study(run, arguments.o, formats=tuple(dict.fromkeys(arguments.format or ("svg",)))):
            print(path)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from attnflow.lab.loading import SEPARATE, find_studies
    from attnflow.lab.report.files import check, subjects_with_records, write
    from attnflow.lab.report.markdown import turned
    from attnflow.lab.runs import read_run

    store, master_seed = _store(arguments), arguments.seed
    subjects = [arguments.subject]
    if arguments.subject is None and not arguments.check:
        subjects += subjects_with_records(arguments.studies, store)
    elif arguments.subject is not None:
        check_choice(arguments.subject, "--subject", SEPARATE)  # the others are parts of one table
    studies = {subject: find_studies(arguments.studies, subject=subject) for subject in subjects}
    if not arguments.check:
        print(*write(studies, store, arguments.o, master_seed=master_seed), sep="\n")
        return 0
    differing = check(studies, store, master_seed=master_seed)
    found = [study for each in studies.values() for study in each if differing]
    verdicts = [verdict for study in found for verdict in read_run(study, store, master_seed=master_seed).verdicts]
    for path in differing:
        print(f"{path} differs from the records; `attnflow report` writes it anew")
        committed = path.read_text(encoding="utf-8") if path.is_file() else ""
        print(*(f"    {sentence}\n" for sentence in turned(committed, verdicts)), sep="", end="")
    if not differing:
        print("the README and the claims in docs agree with the records")
    return 1 if differing else 0


def _export(arguments: argparse.Namespace) -> int:
    from attnflow.lab.export import export
    from attnflow.lab.runs import read_run

    studies = _studies_by_name(arguments, [arguments.name])
    study = studies[check_choice(arguments.name, "STUDY", studies)]
    path = arguments.o or Path(f"{study.name}.h5")
    export(read_run(study, _store(arguments), master_seed=arguments.seed).found, path)
    print(path)
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    from attnflow.lab.bench.command import bench
    from attnflow.precision import enable_x64

    enable_x64()
    _check_folder(arguments.json, "--json")
    _check_folder(arguments.figure, "--figure")
    special = [name for name in ("tokens", "planner", "growth") if getattr(arguments, name)]
    if arguments.figure:
        check_choice(arguments.figure.suffix, "--figure", ["", ".png", ".pdf"])
        if special:
            raise ConfigError(f"`--{special[0]}` draws no `--figure`. Leave one of them out.")
    figure = arguments.figure or arguments.out / "bench.png"
    bench(tables=special or ["methods", "tokens"], quick=arguments.quick, figure=figure, json=arguments.json)
    return 0


def _probe(arguments: argparse.Namespace) -> int:
    from attnflow.lab.probe.command import probe_file

    _check_folder(arguments.json, "--json")
    _check_folder(arguments.html, "--html")
    given = vars(arguments)
    chosen = {role: given[role] for role in ARRAYS if given[role]}
    options = {name: given[name] for name in ("layer", "head", "bandwidth", "json", "html")}
    return probe_file(arguments.file, chosen=chosen, **options)


def _store(arguments: argparse.Namespace) -> Store:
    from attnflow.lab.store import Store

    return Store(arguments.out)


def _studies_by_name(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Study]:
    """Return the studies among which names are to be found."""
    from attnflow.lab.loading import find_named

    found = find_named(arguments.studies, names, subject=arguments.subject, names=lambda study: [study.name])
    return {study.name: study for study in found}


def _run_all(studies: Iterable[Study], store: Store, arguments: argparse.Namespace, *, quick: bool) -> list[RunSummary]:
    """Run studies until a signal stops one; tell failures and files that were set aside on stderr."""
    from attnflow.lab.running import run_study

    known = set(store.bad_files())
    summaries: list[RunSummary] = []
    for study in studies:
        launcher = getattr(arguments, "launcher", 0)
        summaries.append(
            run_study(study, store, quick=quick, master_seed=arguments.seed, debug=arguments.debug, launcher=launcher)
        )
        if summaries[-1].signal:
            break
    for path in sorted(set(store.bad_files()) - known):
        print(f"attnflow: a damaged record was set aside as {path} and is computed again", file=sys.stderr)
    for failure in (failure for summary in summaries for failure in summary.failures):
        print(f"attnflow: failed: {failure}", file=sys.stderr)
    if any(summary.signal for summary in summaries):
        print("attnflow: interrupted; repeat the command to resume", file=sys.stderr)
    return summaries


def _warn_of_other_code(records: Sequence[Record], *, strict: bool) -> None:
    from attnflow.lab.provenance import different_code

    warning = different_code(records)
    if warning and strict:
        raise ResultFileError(warning)
    if warning:
        print(f"attnflow: warning: {warning}", file=sys.stderr)


def _claim_words(study: Study) -> list[str]:
    """Return all by which claims of a study are named: their ids, and the parts before the slash."""
    return [word for claim in study.all_claims for word in (claim.id, claim.id.split("/")[0])]


def _choose(words: Sequence[str], claims: Sequence[Claim]) -> set[str]:
    """Return the ids that the words name, in full or by the part before the slash, and those of their controls."""
    ids = [claim.id for claim in claims]
    families = {id.split("/")[0] for id in ids}
    for word in words:
        check_choice(word, "CLAIM", [*ids, *sorted(families - set(ids))])
    named = {id for id in ids if not words or id in words or id.split("/")[0] in words}
    return named | {claim.id for claim in claims if claim.control_of in named}


def _check_folder(file: Path | None, option: str) -> None:
    if file and not file.absolute().parent.is_dir():
        raise ConfigError(f"`{option}` is {file}, but its folder does not exist. Create it first.")


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"\w+", name):
        raise ConfigError(f"`--set` takes key=value, got {text!r}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value  # a word
