"""A run of a study as the disk holds it: its records, read once, and what they say about its claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from attnflow._checks import check_choice
from attnflow.errors import ConfigError
from attnflow.judge.claims import KINDS, Claim
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import Judgement, Verdict, examine
from attnflow.lab.export import to_xarray
from attnflow.lab.store import Record, Store
from attnflow.lab.study import Study, canonical_json

SETTINGS = ("full", "quick")  # the larger one first


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """The records of one run of a study and the judgements that follow from them; made by `read_run` or `run_study`.

    Args:
        study: what was run.
        setting: "quick" or "full": the run that is complete; None if none is.
        master_seed: from which all seeds were folded.
        records: of this setting, in the order of its tasks; empty without a setting.
        found: all that were looked for and found, also those of a run that is not complete.
    """

    study: Study
    setting: str | None
    master_seed: int
    records: tuple[Record, ...]
    found: tuple[Record, ...]

    @classmethod
    def of(cls, study: Study, found: Sequence[Record], *, settings: Sequence[str], master_seed: int = 0) -> Run:
        """Return the first of these settings of which all records are among the found ones, or a run without one."""
        by_digest = {record.task.digest: record for record in found}
        for setting in settings:
            digests = [task.digest for task in study.tasks(quick=setting == "quick", master_seed=master_seed)]
            if by_digest.keys() >= set(digests):
                records = tuple(by_digest[digest] for digest in digests)
                return cls(study=study, setting=setting, master_seed=master_seed, records=records, found=tuple(found))
        return cls(study=study, setting=None, master_seed=master_seed, records=(), found=tuple(found))

    @cached_property
    def judgements(self) -> tuple[Judgement, ...]:
        """One for each claim that this run decides, in their order; none without a setting.

        Raises:
            ConfigError: a claim that no case decides, see `levels`.
        """
        if self.setting is None:
            return ()
        claims = self.study.claims if self.setting == "quick" else self.study.all_claims
        return tuple(examine(claim, self.levels(claim)) for claim in claims)

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdicts of the judgements."""
        return [judgement.verdict for judgement in self.judgements]

    def judgement(self, claim_id: str) -> Judgement:
        """Return the judgement on the claim with this id.

        Raises:
            ConfigError: the study has no such claim, or has not been run.
        """
        by_id = {judgement.claim.id: judgement for judgement in self.judgements}
        return by_id[check_choice(claim_id, "claim_id", by_id)]

    def to_xarray(self) -> Any:
        """Return what was measured as an `xarray.Dataset` over `case` and `seed`, as `attnflow export` writes it.

        Raises:
            ConfigError: xarray is not installed, or nothing was measured.
        """
        return to_xarray(self)

    def levels(self, claim: Claim) -> list[Level]:
        """Return the levels that decide a claim, see `claim_levels`."""
        return claim_levels(claim, self.records, study=self.study)


def read_run(study: Study, store: Store, *, setting: str | None = None, master_seed: int = 0) -> Run:
    """Read a run of a study, each of its records once.

    Args:
        study: what was run.
        store: where its records are.
        setting: "quick" or "full"; unless given, the larger one that is complete, or None if neither is.
        master_seed: from which all seeds were folded.

    Raises:
        ConfigError: some records of the setting that was asked for have not been computed yet.
        ResultFileError: a record cannot be read, see `Store.find`.

    Example:
        >>> import attnflow as af
        >>> from attnflow.lab.runs import read_run
        >>> from attnflow.lab.store import Store
        >>> ladder = [{"n": 2**k} for k in range(8)]
        >>> study = af.Study(name="toy", measure=dict, ladder=ladder, quick=6, claims=[], source="measure = dict")
        >>> read_run(study, Store("nowhere")).setting is None
        True
    """
    settings = SETTINGS if setting is None else (check_choice(setting, "setting", SETTINGS),)
    tasks = study.tasks(quick=setting == "quick", master_seed=master_seed)  # the full run holds the quick one
    found = [record for task in tasks if (record := store.find(task)) is not None]
    run = Run.of(study, found, settings=settings, master_seed=master_seed)
    if setting is not None and run.setting is None:
        raise ConfigError(
            f"{len(tasks) - len(found)} of {len(tasks)} records of study {study.name!r} are missing in "
            f"{store.folder}. Run `attnflow verify --{setting}` first."
        )
    return run


def claim_levels(claim: Claim, records: Sequence[Record], *, study: Study) -> list[Level]:
    """Return the levels that decide a claim: the cases that measured its quantity, all their seeds together.

    A failed case counts as a failed level of every claim whose size it has: what it would have measured is unknown.

    Args:
        claim: of the study.
        records: of one run, in the order of its tasks.
        study: what was run.

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
    """Return a companion of the claim's quantity over all seeds: its own one first, then the one for all quantities."""
    found = [
        record.arrays[key]
        for record in batches
        for key in [f"{claim.quantity}.{name}" if f"{claim.quantity}.{name}" in record.arrays else name]
        if key in record.arrays
    ]
    return np.concatenate([array.ravel() for array in found]) if found else None
