"""Running what is missing of a study, and judging what is there."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import signal
import sys
import threading
import time
import types
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from attnflow._checks import check_choice
from attnflow.errors import AttnflowError, ConfigError
from attnflow.judge.claims import KINDS, Claim
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import Verdict, judge
from attnflow.lab.store import Record, Store, check_arrays
from attnflow.lab.study import Study, Task, canonical_json
from attnflow.precision import require_x64

# What is in these rooms changes no record, but for the two files that say what a record is.
READERS, WRITERS = ("cli.py", "__main__.py", "judge/", "lab/"), ("lab/study.py", "lab/store.py")
PACKAGES = ("attnflow", "numpy", "scipy", "jax", "jaxlib", "h5py")


@dataclass(frozen=True)
class RunSummary:
    """What a run did: records computed and reused, cases that failed, the signal that stopped it."""

    computed: int = 0
    reused: int = 0
    failures: tuple[str, ...] = ()
    signal: int | None = None

    def __add__(self, other: RunSummary) -> RunSummary:
        return RunSummary(
            self.computed + other.computed,
            self.reused + other.reused,
            self.failures + other.failures,
            self.signal or other.signal,
        )


def load_study(path: Path | str) -> Study:
    """The `study` that a file defines.

    Raises:
        ConfigError: the file cannot be read or run, or defines no study.
    """
    path = Path(path)
    module = types.ModuleType(f"study_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickles look their module up by name
    try:
        source = path.read_text(encoding="utf-8")
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except OSError as error:
        raise ConfigError(
            f"could not read the study {path}: {error.strerror or error}. Pass a file such as studies/depth/depth.py."
        ) from error
    except Exception as error:
        raise ConfigError(f"{path} is no working study: {type(error).__name__}: {error}") from error
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise ConfigError(f"{path} defines no `study`. End it with `study = af.Study(...)`.")
    object.__setattr__(study, "source", source)
    return study


def find_studies(folder: Path | str) -> list[Study]:
    """Return the studies in a folder and below it, by path; what begins with `_` or `.` is left out.

    Raises:
        ConfigError: no such folder, no study in it, or two studies or claims of one name.
    """
    folder = Path(folder)
    paths = sorted(
        path for path in folder.rglob("*.py") if not any(part[0] in "._" for part in path.relative_to(folder).parts)
    )
    if not paths:
        raise ConfigError(f"no study in {folder}. Pass the folder of the studies with `--studies`.")
    studies = [load_study(path) for path in paths]
    names = [study.name for study in studies]
    ids = [claim.id for study in studies for claim in study.claims]
    for kind, words in (("studies", names), ("claims", ids)):
        for word, count in Counter(words).items():
            if count > 1:
                raise ConfigError(f"{folder} holds {count} {kind} with the name {word!r}. Rename one.")
    return studies


def run_study(study: Study, store: Store, *, quick: bool, master_seed: int = 0, debug: bool = False) -> RunSummary:
    """Measure what is missing of a study, record by record; what is on the disk already is reused.

    An exception in one case becomes a failed record and the run goes on; a rerun tries it again. The first Ctrl-C or
    SIGTERM finishes the record at work, the second ends the process at once.

    Args:
        study: what to measure.
        store: where the records go; `store.prepare()` has been called.
        quick: only the quick cases and seeds.
        master_seed: from which all seeds are folded.
        debug: let exceptions through.

    Raises:
        PrecisionError: float64 is off.
        ResultFileError: a record cannot be written.
    """
    require_x64()
    tasks = study.tasks(quick=quick, master_seed=master_seed)
    missing = [task for task in tasks if not _is_done(store.find(task))]
    failures: list[str] = []
    computed = 0
    terminal = sys.stderr.isatty()
    with (
        threadpool_limits(limits=1),
        _first_signal() as received,
        tqdm(total=len(missing), desc=study.name, unit="record", disable=not terminal) as bar,
    ):
        for task in missing:
            if received:
                break
            record = store.find(task)  # another launcher may have measured it meanwhile
            if not _is_done(record):
                record = _measure(study, task, debug=debug)
                store.save(record)
            assert record is not None
            computed += 1
            line = f"{study.name} {computed}/{len(missing)} {_label(task)}: {record.provenance['seconds']:.1f} s"
            if record.failed:
                failures.append(f"{study.name} {_label(task)}: {record.failed}")
                line += ", failed"
            bar.update()
            if not terminal:
                print(line, file=sys.stderr, flush=True)
    return RunSummary(computed, len(tasks) - len(missing), tuple(failures), received[0] if received else None)


def read_records(study: Study, store: Store, *, quick: bool, master_seed: int = 0) -> list[Record]:
    """All records of the quick or of the full run, in the order of its tasks.

    Raises:
        ConfigError: some have not been computed yet.
    """
    tasks = study.tasks(quick=quick, master_seed=master_seed)
    records = [record for task in tasks if (record := store.find(task)) is not None]
    if len(records) < len(tasks):
        raise ConfigError(
            f"{len(tasks) - len(records)} of {len(tasks)} records of study {study.name!r} are missing in "
            f"{store.folder}. Run `attnflow verify {'--quick' if quick else '--full'}` first."
        )
    return records


def latest_run(study: Study, store: Store, *, master_seed: int = 0) -> str | None:
    """The largest run that is complete on the disk: "full", "quick" or None."""
    for name, quick in (("full", False), ("quick", True)):
        if all(store.find(task) for task in study.tasks(quick=quick, master_seed=master_seed)):
            return name
    return None


def judge_study(study: Study, store: Store, *, quick: bool, master_seed: int = 0) -> list[Verdict]:
    """The verdict on each claim of a study, from its records.

    Raises:
        ConfigError: records are missing, or a claim names a quantity that no case measures.
    """
    records = read_records(study, store, quick=quick, master_seed=master_seed)
    return [judge(claim, claim_levels(claim, records, study=study)) for claim in study.claims]


def claim_levels(claim: Claim, records: Sequence[Record], *, study: Study) -> list[Level]:
    """The levels that decide a claim: the cases that measured its quantity, all their seeds together.

    A failed case counts as a failed level of every claim whose size it has: what it would have measured is unknown.

    Raises:
        ConfigError: no case measures the quantity, a size is no number, two cases of a ladder have one size.
    """
    cases: dict[str, list[Record]] = {}
    for record in records:
        cases.setdefault(canonical_json(dict(record.task.case)), []).append(record)
    levels = [
        _level(claim, batches, deterministic=study.deterministic)
        for batches in cases.values()
        if claim.size in batches[0].task.case
        and any(record.failed or claim.quantity in record.arrays for record in batches)
    ]
    if not levels:
        check_choice(claim.quantity, f"quantity of claim {claim.id}", {name for r in records for name in r.arrays})
    for size, count in Counter(level.size for level in levels).items():
        if count > 1 and KINDS[claim.kind].is_ladder:
            raise ConfigError(f"claim {claim.id!r} has {count} cases with {claim.size} = {size}. Each level needs one.")
    return levels


def different_code(records: Sequence[Record]) -> str | None:
    """A warning if some records were computed by another version of attnflow's code than this one, or None."""
    versions = Counter(str(record.provenance.get("code")) for record in records)
    others = sum(versions.values()) - versions[code_digest()]
    if not others:
        return None
    return (
        f"{others} of {len(records)} records were computed by another version of attnflow's code, "
        f"{len(versions | {code_digest(): 1})} versions in all. Pass a fresh `--out` to compute them all with this one."
    )


@functools.cache
def code_digest() -> str:
    """sha256 of the source of attnflow, without the rooms that only read records."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name in WRITERS or not name.startswith(READERS):
            digest.update(f"{name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _is_done(record: Record | None) -> bool:
    return record is not None and record.failed is None


def _measure(study: Study, task: Task, *, debug: bool) -> Record:
    start = time.perf_counter()
    arrays: dict[str, np.ndarray] = {}
    failed = None
    try:
        arrays = check_arrays(study.measure(dict(task.case), task.seed_keys()), rows=len(task.seeds))
    except Exception as error:  # a measurement that fails is data, and the sweep goes on
        if debug:
            raise
        name = "" if isinstance(error, AttnflowError) else f"{type(error).__name__}: "
        failed = f"{name}{error}"
    return Record(task=task, arrays=arrays, provenance=_provenance(time.perf_counter() - start), failed=failed)


def _provenance(seconds: float) -> dict[str, Any]:
    return {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "code": code_digest(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "blas_threads": 1,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # run from a source folder


def _level(claim: Claim, batches: Sequence[Record], *, deterministic: bool) -> Level:
    size = batches[0].task.case[claim.size]
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise ConfigError(f"`size` of claim {claim.id!r} is {claim.size!r}, which is {size!r} in one case: no number.")
    failed = next((record.failed for record in batches if record.failed), None)
    rows_failed = _companion(claim, batches, "failed")
    if failed is None and rows_failed is not None and rows_failed.any():
        failed = f"{int(rows_failed.astype(bool).sum())} seeds failed"
    ess = _companion(claim, batches, "ess")
    solver_error = _companion(claim, batches, "solver_error")
    values = [record.arrays[claim.quantity] for record in batches if claim.quantity in record.arrays]
    if any(array.ndim != 1 for array in values):
        raise ConfigError(f"`quantity` of claim {claim.id!r} is {claim.quantity!r}, which is not one number per seed.")
    return Level(
        size=float(size),
        values=np.concatenate([*values, np.empty(0)]),
        deterministic=deterministic,
        seconds=sum(record.provenance["seconds"] for record in batches),
        ess=None if ess is None else float(ess.min()),
        solver_error=None if solver_error is None else float(solver_error.max()),
        failed=failed,
    )


def _companion(claim: Claim, batches: Sequence[Record], name: str) -> np.ndarray | None:
    """A companion of the claim's quantity over all seeds: its own one first, then the one for all quantities."""
    found = [
        record.arrays[key]
        for record in batches
        for key in [f"{claim.quantity}.{name}" if f"{claim.quantity}.{name}" in record.arrays else name]
        if key in record.arrays
    ]
    return np.concatenate([array.ravel() for array in found]) if found else None


def _label(task: Task) -> str:
    case = " ".join(f"{name}={value}" for name, value in task.case.items())
    return case if task.seeds == range(1) else f"{case} seeds {task.seeds.start}-{task.seeds.stop - 1}"


@contextmanager
def _first_signal() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM; a second one takes its ordinary course and ends the process at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # Python delivers signals to the main thread only
        return

    def note(number: int, frame: object) -> None:
        received.append(number)
        for each in previous:
            signal.signal(each, signal.SIG_DFL)
        os.write(2, b"\nfinishing this record; once more to stop at once\n")  # print may be at work already

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
