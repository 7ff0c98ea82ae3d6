"""The command line: imports, calls and prints. Imports stand inside functions so that --help is quick."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnflow._checks import check_choice
from attnflow._commands import bench, check_folder, check_studies, doctor, new, probe, terminal_width
from attnflow._interrupts import INTERRUPTED, raise_again
from attnflow._parsing import Setting, parse
from attnflow.errors import AttnflowError, ConfigError, ResultFileError, WorkerError

if TYPE_CHECKING:
    from argparse import Namespace

    from attnflow.lab.launchers import Part
    from attnflow.lab.measuring import Way
    from attnflow.lab.running import RunSummary
    from attnflow.lab.store import Record, Store
    from attnflow.lab.study import Study

FIGURES = Path("figures")  # where `plot` puts them unless told


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the words after `attnflow`; those of the process unless given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    os.environ["MPLBACKEND"] = "agg"  # figures go into files; the backend of a notebook is not to be had here
    try:
        try:
            return _obey(parse(words))
        finally:
            sys.stdout.flush()  # what cannot be written is known here, and not when the interpreter ends
    except KeyboardInterrupt:
        print("attnflow: interrupted; repeat the command to resume", file=sys.stderr)
        return INTERRUPTED
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
        return 3 if isinstance(error, WorkerError) else 2  # those who measured are gone, and a rerun resumes


def _obey(arguments: Namespace) -> int:
    """Run the command; what a study's code ends by sys.exit has not come to its end."""
    from attnflow.lab.programs import compile_quickly, keep_programs

    keep_programs()
    if arguments.command in ("run", "verify"):  # the bench measures what a program of one's own gets
        compile_quickly()
    collects = gc.isenabled()
    try:
        if arguments.command in ("list", "show"):  # nearly all that they do is to import, which leaves no garbage
            gc.disable()
        return int(COMMANDS[arguments.command](arguments))
    except SystemExit as error:
        raise ConfigError(
            f"a study called sys.exit({error.code!r}), which would end the whole command. Take that out."
        ) from error
    finally:
        if collects:
            gc.enable()


def _list(arguments: Namespace) -> int:
    from attnflow.lab.finding import SEPARATE, found_files, separate_subjects
    from attnflow.lab.listing import listing

    def describe(path: Path) -> dict[str, Any]:  # only where something is new, as it needs JAX
        from attnflow.lab.loading import load_study
        from attnflow.lab.runs import read_run
        from attnflow.lab.tables import lines_of

        run = read_run(load_study(path), _store(arguments), master_seed=arguments.seed)
        ids = [claim.id for claim in run.study.all_claims]
        return {"name": run.study.name, "claims": ids, "lines": lines_of(run)}

    files = found_files(arguments.studies, subject=arguments.subject)
    seed = arguments.seed
    print(*listing(files, arguments.studies, arguments.out, master_seed=seed, describe=describe), sep="\n")
    for subject in separate_subjects(arguments.studies) if arguments.subject is None else ():
        print(f"{SEPARATE[subject].title}: left out, see `attnflow list --subject {subject}`")
    return 0


def _show(arguments: Namespace) -> int:
    check_studies(arguments)
    from attnflow.lab.naming import claims_named
    from attnflow.lab.report.showing import show_run
    from attnflow.lab.settings import other_settings, read_setting, words_of

    studies, store, parameters = _studies_with([arguments.name], arguments), _store(arguments), _parameters(arguments)
    ids = claims_named([arguments.name], studies)
    shown = []
    for study in studies:
        if study.name == arguments.name or any(claim.id in ids for claim in study.all_claims):
            run = read_setting(study, store, parameters, master_seed=arguments.seed)
            text = show_run(run, ids=ids, figures=_folder(FIGURES, parameters), width=terminal_width(80))
            heading = (
                f"With {words_of(parameters)}. The predictions are for other parameters.\n\n" if parameters else ""
            )
            others = [] if parameters else other_settings(study, store, master_seed=arguments.seed)
            ways = [f"\n\nrun as well: attnflow show {arguments.name} {words_of(other)}" for other in others]
            shown.append(heading + text + "".join(ways))
    print("\n\n\n".join(shown))
    return 0


def _run(arguments: Namespace) -> int:
    path = Path(arguments.name)
    is_file = path.suffix == ".py" or path.is_file()
    if not is_file:
        check_studies(arguments)
    from attnflow.lab.launchers import Part
    from attnflow.lab.loading import load_study
    from attnflow.precision import enable_x64

    enable_x64()
    studies = [load_study(path)] if is_file else _studies_named([arguments.name], arguments)
    if arguments.set:
        studies = [study.with_parameters(_parameters(arguments)) for study in studies]
    part = Part.read(arguments.part) if arguments.part else None
    store = _prepared_store(arguments)
    with _way(arguments) as way:
        summaries = _run_all(studies, store, arguments, quick=arguments.quick, part=part, way=way)
    computed, reused = (sum(getattr(summary, count) for summary in summaries) for count in ("computed", "reused"))
    failed = sum(len(summary.failures) for summary in summaries)
    print(f"{computed} {'record' if computed == 1 else 'records'} computed, {reused} reused, {failed} failed.")
    signal = summaries[-1].signal
    return 128 + signal if signal else 3 if failed else 0


def _way(arguments: Namespace) -> AbstractContextManager[Way | None]:
    """Return how records are measured, for the time of a `with` block: on workers, if some are asked for."""
    if arguments.workers is None and arguments.scheduler is None:
        return nullcontext()
    from attnflow.lab.sweeps import sweep

    return sweep(workers=arguments.workers, scheduler=arguments.scheduler)


def _verify(arguments: Namespace) -> int:
    if not arguments.bundle:
        check_studies(arguments)
    from attnflow.judge.verdicts import exit_code
    from attnflow.lab.launchers import PATIENCE, default_jobs, in_order_of, launchers
    from attnflow.lab.naming import claims_named
    from attnflow.lab.store import write_file
    from attnflow.lab.tables import last_line, verdict_table
    from attnflow.precision import enable_x64

    enable_x64()
    check_folder(arguments.json, "--json")
    if arguments.bundle:
        return _verify_bundle(arguments)
    studies = _studies_with(arguments.names, arguments)
    chosen = claims_named(arguments.names, studies)
    studies = [study for study in studies if any(claim.id in chosen for claim in study.all_claims)]
    store = _prepared_store(arguments)
    if arguments.launcher:
        _run_all(in_order_of(arguments.launcher, studies), store, arguments, quick=not arguments.full)
        return 0
    words = ["verify", *arguments.names, "--full" if arguments.full else "--quick", "--seed", str(arguments.seed)]
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
    print(verdict_table(verdicts, width=terminal_width(), colour=_in_colour()))
    undecided = {verdict.id for verdict in verdicts if verdict.missing}
    larger = any(
        not run.study.quick_is_full and undecided & {claim.id for claim in run.study.all_claims} for run in runs
    )
    left = len(chosen - {verdict.id for verdict in verdicts})
    print(last_line(verdicts, failures=failures, left=left, larger=larger and not arguments.full))
    if arguments.json:
        rows = [verdict.row() for verdict in verdicts]
        write_file(arguments.json, (json.dumps(rows, indent=2, allow_nan=False) + "\n").encode())
    return 3 if failures else exit_code(verdicts)


def _verify_bundle(arguments: Namespace) -> int:
    from attnflow.judge.verdicts import exit_code
    from attnflow.lab.bundle import read_bundle
    from attnflow.lab.tables import last_line, verdict_table

    if arguments.names or arguments.full or arguments.quick or arguments.jobs or arguments.json:
        raise ConfigError("`--bundle` judges all that the archive holds. Leave the names and the other options out.")
    bundle = read_bundle(arguments.bundle)
    print(verdict_table(bundle.verdicts, width=terminal_width(), colour=_in_colour()))
    print(
        f"{bundle.files} files as they were written, of revision {bundle.revision}, master seed {bundle.master_seed}."
    )
    print(*bundle.differing or ["All verdicts of the manifest follow from the records."], sep="\n")
    print(last_line(bundle.verdicts))
    return 1 if bundle.differing else exit_code(bundle.verdicts)


def _in_colour() -> bool:
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _plot(arguments: Namespace) -> int:
    check_studies(arguments)
    from tqdm import tqdm

    from attnflow.lab.plots.drawing import draw_study
    from attnflow.lab.settings import read_setting

    if bool(arguments.names) == arguments.all:
        raise ConfigError("name the studies to plot, or pass `--all`, not both.")
    store, parameters = _store(arguments), _parameters(arguments)
    folder, formats = _folder(arguments.o, parameters), tuple(dict.fromkeys(arguments.format or ("svg",)))
    studies = tqdm(_studies_named(arguments.names, arguments), unit="study", disable=not sys.stderr.isatty())
    drawn = 0
    for study in studies:
        studies.set_description(study.name)
        run = read_setting(study, store, parameters, master_seed=arguments.seed)
        if run.setting is None:
            told = f"attnflow: {study.name} has not been run, left out; run it first: `attnflow run {study.name}`"
            tqdm.write(told, file=sys.stderr)
            continue
        if parameters and arguments.o.absolute().parent.is_dir():
            arguments.o.mkdir(exist_ok=True)
        for path in draw_study(run, folder, formats=formats):
            tqdm.write(str(path))
        drawn += 1
    return 0 if drawn or arguments.all else 2


def _report(arguments: Namespace) -> int:
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
        also = {"bundle": arguments.bundle, "pages": arguments.pages}
        for name, path in also.items():
            check_folder(path, f"--{name}")
        print(*write(studies, store, arguments.o, master_seed=master_seed, **also), sep="\n")
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


def _export(arguments: Namespace) -> int:
    check_studies(arguments)
    from attnflow.lab.export import export
    from attnflow.lab.settings import file_name_of, read_setting

    study, *others = _studies_named([arguments.name], arguments)
    if others:
        names = ", ".join(other.name for other in (study, *others))
        raise ConfigError(f"`NAME` must be of one study, got {arguments.name!r}, of {names}. Name one of these.")
    parameters = _parameters(arguments)
    path = arguments.o or Path(f"{'-'.join(filter(None, [study.name, file_name_of(parameters)]))}.h5")
    run = read_setting(study, _store(arguments), parameters, master_seed=arguments.seed)
    print(*export(run, path, parameters=parameters), sep="\n")
    return 0


def _store(arguments: Namespace) -> Store:
    from attnflow.lab.store import Store

    return Store(arguments.out)


def _prepared_store(arguments: Namespace) -> Store:
    """Return the store, ready for a run: from now on an interrupt is for the run to finish what it is at."""
    import attnflow.lab.running  # noqa: F401

    store = _store(arguments)
    raise_again()
    store.prepare()
    return store


def _studies_named(words: Sequence[str], arguments: Namespace) -> list[Study]:
    """Return the studies that the words name, all without words."""
    from attnflow.lab.naming import studies_named

    found = _studies_with(words, arguments)
    return studies_named(words, found) if words else found


def _studies_with(words: Sequence[str], arguments: Namespace) -> list[Study]:
    """Return all studies among which the words are to be found."""
    from attnflow.lab.loading import find_named
    from attnflow.lab.naming import words_of

    return find_named(arguments.studies, words, subject=arguments.subject, names=words_of)


def _folder(folder: Path, parameters: dict[str, Any]) -> Path:
    """Return where the figures of a run with other parameters are, apart from those of the study."""
    from attnflow.lab.settings import file_name_of

    return folder / file_name_of(parameters) if parameters else folder


def _run_all(
    studies: Iterable[Study], store: Store, arguments: Namespace, *, quick: bool, part: Part | None = None,
    way: Way | None = None,
) -> list[RunSummary]:  # fmt: skip
    """Run studies until a signal stops one; tell failures and files that were set aside on stderr."""
    from attnflow.lab.running import run_study

    known = set(store.bad_files())
    summaries: list[RunSummary] = []
    for study in studies:
        launcher = getattr(arguments, "launcher", 0)
        summaries.append(
            run_study(
                study, store, quick=quick, master_seed=arguments.seed, debug=arguments.debug, launcher=launcher,
                part=part, way=way,
            )
        )  # fmt: skip
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


def _parameters(arguments: Namespace) -> dict[str, Any]:
    """Return the parameters that `--set` overrides."""
    return dict(map(Setting.parse, arguments.set))


COMMANDS = {
    "new": new,
    "list": _list,
    "show": _show,
    "run": _run,
    "verify": _verify,
    "plot": _plot,
    "report": _report,
    "export": _export,
    "bench": bench,
    "probe": probe,
    "doctor": doctor,
}
