"""A study: what is measured, over which ladder of cases and seeds, and which claims the numbers are to decide."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np

from attnflow._checks import check_choice, check_integer
from attnflow.errors import ConfigError, DataError
from attnflow.judge.claims import KINDS, Claim
from attnflow.lab.sources import reads_a_study, source_digest

Scalar = bool | int | float | str | None
Case = Mapping[str, Scalar]
Measure = Callable[[dict[str, Any], list[jax.Array]], Mapping[str, np.ndarray]]

SEEDS_PER_RECORD = 32  # small enough to lose little when killed, large enough to batch inside one compiled call


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """A measurement repeated over a ladder of cases, and the claims it decides.

    `measure(case, keys)` answers one case for several seeds at once: it returns arrays by quantity, each with one row
    per key. A claim uses exactly the cases that return its `quantity`. Quantities may bring companions, named
    `<quantity>.ess` and `<quantity>.solver_error`, or `ess`, `solver_error` and `failed` for all of them.

    Args:
        name: of the study and of its folder of records; letters a-z, digits, `_` and `-`.
        measure: (case, keys) -> {quantity: array (len(keys), ...)}.
        ladder: the cases, coarse to fine; each a dict of JSON scalars.
        quick: the cases of the quick run, a prefix of the ladder; or how many of its first cases they are.
        claims: what is to be decided.
        full_claims: what only the full run decides, because the quick one lacks their cases.
        seeds: seeds of a full run; 1 means that the study is deterministic.
        quick_seeds: seeds of the quick run, the first of those of the full one; all of them unless given.
        figures: what `attnflow plot` draws besides the ladders of the claims.
        labels: what the axes of figures call the quantities of the claims, and their sizes; their names unless given.
        source: text of the file that defines the study, filled in by `load_study`.
        helpers: texts of the modules beside it that it imports, filled in by `load_study`.
        path: of that file, filled in by `load_study`.

    Raises:
        ConfigError: a name that is no plain folder name, duplicate cases or claims, a `quick` outside the ladder, a
            claim whose `size` is no parameter of any case, a label of something that no claim uses.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab.study import Study
        >>> def measure(case, keys):
        ...     return {"error": np.full(len(keys), case["bandwidth"])}
        >>> ladder = [{"bandwidth": 0.4 / 2**i} for i in range(8)]
        >>> study = Study(name="toy", measure=measure, ladder=ladder, quick=6, claims=[])
        >>> len(study.cases(quick=True)), study.batches(quick=True)
        (6, [range(0, 1)])
    """

    name: str
    measure: Measure
    ladder: Sequence[Case]
    quick: int | Sequence[Case]
    claims: Sequence[Claim]
    full_claims: Sequence[Claim] = ()
    seeds: int = 1
    quick_seeds: int | None = None
    figures: Sequence[Any] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    helpers: tuple[str, ...] = ()
    path: Path | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9_-]+", self.name):
            raise ConfigError(
                f"`name` of a study may hold only a-z, 0-9, _ and -, got {self.name!r}. It names a folder of records."
            )
        if not callable(self.measure):
            raise ConfigError(f"`measure` of study {self.name!r} must be callable, got {self.measure!r}.")
        seeds = check_integer(self.seeds, "seeds", minimum=1)
        quick_seeds = seeds if self.quick_seeds is None else check_integer(self.quick_seeds, "quick_seeds", minimum=1)
        if quick_seeds > seeds:
            raise ConfigError(
                f"`quick_seeds` of study {self.name!r} must be at most `seeds` = {seeds}, got {quick_seeds}. "
                "The quick run is a prefix of the full one."
            )
        ladder = tuple(_plain_case(case, study=self.name) for case in self.ladder)
        repeated = [case for index, case in enumerate(ladder) if case in ladder[:index]]  # 1 and 1.0 are one size
        if repeated:
            raise ConfigError(
                f"`ladder` of study {self.name!r} holds the case {canonical_json(repeated[0])} twice. Remove one."
            )
        is_list = isinstance(self.quick, list | tuple)
        quick = _prefix_length(self.quick, ladder, study=self.name) if is_list else self.quick  # type: ignore[arg-type]
        if check_integer(quick, "quick", minimum=1) > len(ladder):
            raise ConfigError(
                f"`quick` of study {self.name!r} must be at most the {len(ladder)} cases of its ladder, "
                f"got {quick}. The quick run is a prefix of the ladder."
            )
        claims, full_claims = tuple(self.claims), tuple(self.full_claims)
        _check_claims(claims + full_claims, ladder=ladder, study=self.name)
        for name in self.labels:
            check_choice(
                name, "labels", [word for claim in claims + full_claims for word in (claim.quantity, claim.size)]
            )
        plain: dict[str, Any] = {"ladder": ladder, "quick": quick, "quick_seeds": quick_seeds}
        plain |= {"claims": claims, "full_claims": full_claims}
        for name, value in (plain | {"figures": tuple(self.figures)}).items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        seeds = "deterministic" if self.deterministic else f"{self.seeds} seeds"
        return f"Study({self.name!r}, {len(self.ladder)} cases, {seeds}, {len(self.all_claims)} claims)"

    @property
    def deterministic(self) -> bool:
        """Whether nothing in the study is random: it has one seed."""
        return self.seeds == 1

    @property
    def room(self) -> str:
        """Name of the folder that holds the file, under which reports list the study; empty without a file."""
        return self.path.resolve().parent.name if self.path else ""

    @property
    def quick_is_full(self) -> bool:
        """Whether the study is so small that its two runs are one."""
        return self.quick == len(self.ladder) and self.quick_seeds == self.seeds

    @property
    def all_claims(self) -> tuple[Claim, ...]:
        """What the full run decides."""
        return (*self.claims, *self.full_claims)

    def cases(self, *, quick: bool) -> tuple[Case, ...]:
        """Return the cases of the quick or of the full run, coarse to fine."""
        assert isinstance(self.quick, int)
        return tuple(self.ladder[: self.quick if quick else None])

    def batches(self, *, quick: bool) -> list[range]:
        """Return the seeds of the quick or of the full run in ranges of one record each, quick's first."""
        assert self.quick_seeds is not None
        cuts = [*range(0, self.quick_seeds, SEEDS_PER_RECORD), *range(self.quick_seeds, self.seeds, SEEDS_PER_RECORD)]
        batches = [range(start, stop) for start, stop in zip(cuts, [*cuts[1:], self.seeds], strict=True)]
        return [batch for batch in batches if not quick or batch.stop <= self.quick_seeds]

    def tasks(self, *, quick: bool, master_seed: int = 0) -> list[Task]:
        """Return what the quick or the full run consists of: every case with every range of seeds, case by case."""
        return [
            Task(study=self.name, case=case, seeds=seeds, master_seed=master_seed, source=self.digest)
            for case in self.cases(quick=quick)
            for seeds in self.batches(quick=quick)
        ]

    def with_parameters(self, parameters: Case) -> Study:
        """Return the study with some parameters overridden in every case that has them, without its claims.

        Cases that become equal are one.

        Raises:
            ConfigError: a parameter that no case has.
        """
        known = {name: None for case in self.ladder for name in case}
        for name in parameters:
            check_choice(name, "parameters", known)
        ladder = [{name: parameters.get(name, value) for name, value in case.items()} for case in self.ladder]
        distinct = [case for index, case in enumerate(ladder) if case not in ladder[:index]]
        assert isinstance(self.quick, int)
        quick = sum(case in ladder[: self.quick] for case in distinct)
        return Study(
            name=self.name, measure=self.measure, ladder=distinct, quick=quick, claims=(),
            seeds=self.seeds, quick_seeds=self.quick_seeds, source=self.source, helpers=self.helpers,
            path=self.path,
        )  # fmt: skip

    @cached_property
    def digest(self) -> str:
        """sha256 of what the study computes, see `source_digest`, and of what it imports from its folder."""
        if self.helpers:
            read = any(map(reads_a_study, [self.source, *self.helpers]))
            helpers = [source_digest(text, whole=True, declaration=read) for text in self.helpers]
            digests = [source_digest(self.source), *helpers]
            return hashlib.sha256(canonical_json(digests).encode()).hexdigest()
        if self.source:
            return source_digest(self.source)
        code = getattr(inspect.unwrap(self.measure), "__code__", None)
        if code is None or not Path(code.co_filename).is_file():
            raise ConfigError(f"`measure` of study {self.name!r} has no source file. Write the study into a file.")
        return source_digest(Path(code.co_filename).read_text(encoding="utf-8"))


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one record answers: a case of a study for a range of seeds.

    Args:
        study: name of the study.
        case: its parameters.
        seeds: the range of seeds.
        master_seed: from which all seeds are folded.
        source: digest of the study's source.
    """

    study: str
    case: Case
    seeds: range
    master_seed: int
    source: str

    @cached_property
    def identity(self) -> str:
        """All of the task as one canonical line of JSON."""
        return canonical_json(
            {
                "study": self.study,
                "case": dict(self.case),
                "seeds": [self.seeds.start, self.seeds.stop],
                "master_seed": self.master_seed,
                "source": self.source,
            }
        )

    @cached_property
    def digest(self) -> str:
        """sha256 of the identity: it names the record."""
        return hashlib.sha256(self.identity.encode()).hexdigest()

    def seed_keys(self) -> list[jax.Array]:
        """Return one JAX key per seed, folded from (master seed, study, seed) only.

        The case stays out, so that the levels of a ladder are prefixes of one draw and a new case changes no other.
        """
        words = [
            hashlib.sha256(canonical_json([self.master_seed, self.study, seed]).encode()).digest()[:8]
            for seed in self.seeds
        ]
        data = np.frombuffer(b"".join(words), dtype=">u4").astype(np.uint32).reshape(-1, 2)
        # NumPy rows, because a jnp.asarray would compile once more
        return [jax.random.wrap_key_data(row, impl="threefry2x32") for row in data]  # type: ignore[arg-type]


def per_seed(measure_one: Callable[[dict[str, Any], jax.Array], Mapping[str, Any]]) -> Measure:
    """Return the `measure` of a study that measures one seed at a time.

    Args:
        measure_one: (case, key) -> {quantity: number or array}; one call for each seed. A deterministic study, which
            has one seed, leaves the key unused.

    Raises:
        DataError: raised by the returned function if two seeds give different quantities.

    Example:
        >>> import attnflow as af, jax
        >>> @af.per_seed
        ... def measure(case, key):
        ...     return {"mean": jax.random.normal(key, (case["points"],)).mean()}
        >>> measure({"points": 100}, list(jax.random.split(jax.random.key(0), 3)))["mean"].shape
        (3,)
    """

    @functools.wraps(measure_one)
    def measure(case: dict[str, Any], keys: list[jax.Array]) -> dict[str, np.ndarray]:
        rows = [measure_one(case, key) for key in keys]
        for row in rows:
            if row.keys() != rows[0].keys():
                one, other = (", ".join(sorted(each)) for each in (rows[0], row))
                raise DataError(
                    f"`measure` gave {one} for one seed and {other} for another. Return the same for every seed."
                )
        return {quantity: np.array([row[quantity] for row in rows]) for quantity in rows[0]}

    return measure


def canonical_json(value: object) -> str:
    """Return JSON with sorted names and no spaces, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _prefix_length(quick: Sequence[Case], ladder: tuple[Case, ...], *, study: str) -> int:
    cases = tuple(_plain_case(case, study=study) for case in quick)
    if cases != ladder[: len(cases)]:
        raise ConfigError(f"`quick` of study {study!r} must be the first cases of its ladder, in their order.")
    return len(cases)


def _plain_case(case: Case, *, study: str) -> dict[str, Scalar]:
    if not isinstance(case, Mapping) or not all(isinstance(name, str) for name in case):
        raise ConfigError(f"each case of study {study!r} must be a dict with string keys, got {case!r}.")
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in case.items()}
    for name, value in plain.items():
        if not isinstance(value, Scalar) or (isinstance(value, float) and not math.isfinite(value)):
            raise ConfigError(
                f"`{name}` in a case of study {study!r} must be a finite number, a string, a bool or None, "
                f"got {value!r}. Build arrays and objects inside `measure`."
            )
    return plain


def _check_claims(claims: Sequence[Claim], *, ladder: Sequence[Case], study: str) -> None:
    ids = [claim.id for claim in claims]
    repeated = [id for id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise ConfigError(f"study {study!r} has two claims with the id {repeated[0]!r}. Rename one.")
    parameters = {name: None for case in ladder for name in case}
    for claim in claims:
        check_choice(claim.size, f"size of claim {claim.id}", parameters)
        sizes = [case[claim.size] for case in ladder if claim.size in case]
        for size in sizes if KINDS[claim.kind].takes_logarithms else []:
            if isinstance(size, int | float) and size <= 0:
                raise ConfigError(
                    f"`{claim.size}` in the ladder of study {study!r} must be positive, got {size!r}: "
                    f"claim {claim.id!r} takes its logarithm."
                )
        if claim.control_of is not None:
            check_choice(claim.control_of, f"control_of of claim {claim.id}", ids)
