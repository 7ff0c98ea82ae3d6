"""A bundle: the report, the records that it follows from, and what is needed to judge them again, in one archive.

To judge a bundle runs no code of it. Its claims are data, its studies are read as text for the digest that the records
answer, and the records hold numbers alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import attnflow
from attnflow.errors import AttnflowError, ResultFileError
from attnflow.judge.claims import Claim
from attnflow.judge.verdicts import Verdict
from attnflow.lab.archive import read_archive, write_archive
from attnflow.lab.revision import git_revision
from attnflow.lab.runs import SETTINGS, Run
from attnflow.lab.store import Record, Store, from_bytes, is_whole
from attnflow.lab.study import Study

PAGE = "report.html"
DECIDED = ("verdict", "gap")  # of a row; measured numbers may differ in their last digits between machines


@dataclass(frozen=True)
class Bundle:
    """What a bundle says, and what follows from its records now.

    Args:
        files: how many files it holds, the manifest apart.
        master_seed: of its runs.
        revision: of the code that wrote it.
        verdicts: that follow from its records now.
        differing: one sentence for each row that has come out otherwise than the manifest says.
    """

    files: int
    master_seed: int
    revision: str
    verdicts: tuple[Verdict, ...]
    differing: tuple[str, ...]


def write_bundle(path: Path, runs: Iterable[Run], store: Store, *, page: str, master_seed: int) -> None:
    """Write the page, the records of complete runs, the sources of their studies and a manifest into one archive.

    Args:
        path: of the archive.
        runs: of all studies that the page is about.
        store: where their records are.
        page: the report.
        master_seed: of the runs.

    Raises:
        ResultFileError: a record cannot be read, or the archive not be written.
    """
    complete = [run for run in runs if run.setting]
    files = {PAGE: page.encode()}
    for run in complete:
        files |= {name: text.encode() for name, text in _sources(run.study).items()}
        files |= {_record_name(record, store): store.path(record.task).read_bytes() for record in run.records}
    manifest = {
        "attnflow": attnflow.__version__,
        "master_seed": master_seed,
        "revision": git_revision() or "unknown",
        "studies": [_described(run) for run in complete],
        "verdicts": [verdict.row() for run in complete for verdict in run.verdicts],
    }
    write_archive(path, files, manifest=manifest)


def read_bundle(path: Path) -> Bundle:
    """Read a bundle, each file of which must be as it was written, and judge its claims by its records again.

    Raises:
        ResultFileError: something in it is altered or missing, see `read_archive`, or its records are not those of the
            studies that it names.
    """
    manifest, files = read_archive(path)
    try:
        runs = [_run(each, files, path=path, master_seed=manifest["master_seed"]) for each in manifest["studies"]]
        verdicts = tuple(verdict for run in runs for verdict in run.verdicts)
        differing = tuple(_differing(manifest["verdicts"], verdicts))
        seed, revision = int(manifest["master_seed"]), str(manifest["revision"])
    except ResultFileError:
        raise
    except (AttnflowError, KeyError, TypeError, ValueError, SyntaxError) as error:
        raise ResultFileError(
            f"{path}: manifest.json does not describe studies that this attnflow can judge: {error}. Ask for a bundle "
            "of this version."
        ) from error
    return Bundle(len(files), seed, revision, verdicts, differing)


def _described(run: Run) -> dict[str, Any]:
    """Return of a study all that its verdicts need besides the records, as JSON values."""
    study = run.study
    return {
        "name": study.name,
        "setting": run.setting,
        "ladder": [dict(case) for case in study.ladder],
        "quick": study.quick,
        "seeds": study.seeds,
        "quick_seeds": study.quick_seeds,
        "sources": list(_sources(study)),
        "claims": [asdict(claim) for claim in study.claims],
        "full_claims": [asdict(claim) for claim in study.full_claims],
    }


def _run(described: Mapping[str, Any], files: Mapping[str, bytes], *, path: Path, master_seed: int) -> Run:
    """Return the run of a study as its records in a bundle have it."""
    source, *helpers = (files[name].decode() for name in described["sources"])
    study = Study(
        name=described["name"],
        measure=_measure,
        ladder=described["ladder"],
        quick=described["quick"],
        seeds=described["seeds"],
        quick_seeds=described["quick_seeds"],
        claims=[Claim(**fields) for fields in described["claims"]],
        full_claims=[Claim(**fields) for fields in described["full_claims"]],
        source=source,
        helpers=tuple(helpers),
    )
    setting = described["setting"]
    found = [_record(files, name, path=path) for name in files if name.startswith(f"records/{study.name}/")]
    run = Run.of(study, found, settings=[setting] if setting in SETTINGS else (), master_seed=master_seed)
    if run.setting is None:
        raise ResultFileError(
            f"{path}: the records of study {study.name!r} are not those of its {setting} run. Ask for the bundle again."
        )
    return run


def _measure(case: object, keys: object) -> dict[str, Any]:
    """Refuse: what a bundle holds is judged, and none of it is run."""
    raise ResultFileError("a study of a bundle is not run. Run its source, which is in the archive, by itself.")


def _record(files: Mapping[str, bytes], name: str, *, path: Path) -> Record:
    if not is_whole(files[name]):
        raise ResultFileError(f"{path}: {name} is no record of attnflow. Ask for the bundle again.")
    return from_bytes(files[name], path=path / name)


def _sources(study: Study) -> dict[str, str]:
    """Return the text of a study and of what it imports from its folder, by their names in a bundle."""
    texts = {f"studies/{study.name}/study.py": study.source}
    return texts | {f"studies/{study.name}/beside_{number}.py": text for number, text in enumerate(study.helpers)}


def _record_name(record: Record, store: Store) -> str:
    return f"records/{record.task.study}/{store.path(record.task).name}"


def _differing(rows: Sequence[Mapping[str, Any]], verdicts: Sequence[Verdict]) -> Iterable[str]:
    """Yield one sentence for each row of a manifest that is not what the records say."""
    now = {verdict.id: verdict.row() for verdict in verdicts}
    before = {str(row["id"]): row for row in rows}
    for id in now.keys() | before.keys():
        told, found = (
            [row.get(name) for name in DECIDED] if row else ["absent"] for row in (before.get(id), now.get(id))
        )
        if told != found:
            yield f"{id}: the manifest says {_words(told)}, and from the records follows {_words(found)}"


def _words(decided: Sequence[object]) -> str:
    return " with the gap ".join(str(word) for word in decided if word is not None)
