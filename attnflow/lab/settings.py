"""A study at other parameters than its own, as `attnflow run NAME --set KEY=VALUE` runs it, and which of them were run.

Its claims come along, so that its numbers are shown and drawn as they always are. But what they predict was fixed for
the study's own parameters, and nothing that is shown of another setting counts as a verdict in any table.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import h5py

from attnflow.errors import ConfigError
from attnflow.lab.runs import SETTINGS, Run, read_run
from attnflow.lab.store import Store, is_whole
from attnflow.lab.study import Case, Scalar, Study, canonical_json


def at_parameters(study: Study, parameters: Case) -> Study:
    """Return the study with some parameters overridden, with its claims, labels and figures; itself without any.

    Raises:
        ConfigError: a parameter that no case has, or one with which the claims make no sense.
    """
    if not parameters:
        return study
    return replace(
        study.with_parameters(parameters),
        claims=study.claims, full_claims=study.full_claims, labels=study.labels, figures=study.figures,
    )  # fmt: skip


def read_setting(study: Study, store: Store, parameters: Case, *, master_seed: int = 0) -> Run:
    """Read the run of a study with some parameters overridden, as `read_run` does; its own without any.

    Raises:
        ConfigError: it has not been run with these parameters, with those with which it has been.
    """
    run = read_run(at_parameters(study, parameters), store, master_seed=master_seed)
    if parameters and run.setting is None:
        others = [words_of(each) for each in other_settings(study, store, master_seed=master_seed)]
        known = f"It has been run with {'; '.join(others)}. " if others else ""
        words = words_of(parameters)
        raise ConfigError(
            f"study {study.name!r} has not been run with {words}. {known}Run `attnflow run {study.name} {words}` first."
        )
    return run


def other_settings(study: Study, store: Store, *, master_seed: int = 0) -> list[dict[str, Scalar]]:
    """Return with which parameters overridden a study has been run to the end, besides with its own.

    They are told from the records: from a case of the ladder that of a record differs by these parameters alone.
    """
    folder = store.folder / "records" / study.name
    there = {path.stem for path in folder.glob("*.h5")}
    own = {store.path(task).stem for task in study.tasks(quick=False, master_seed=master_seed)}
    found: dict[str, dict[str, Scalar]] = {}
    for name in sorted(there - own):
        data = (folder / f"{name}.h5").read_bytes()
        if is_whole(data):
            changed = _changed(study, _identity(data), master_seed=master_seed)
            if changed:
                found[canonical_json(changed)] = changed
    return [changed for _, changed in sorted(found.items()) if _is_complete(study, changed, there, store, master_seed)]


def words_of(parameters: Mapping[str, Scalar]) -> str:
    """Return the options that name some parameters on the command line.

    Example:
        >>> from attnflow.lab.settings import words_of
        >>> words_of({"points": 100, "place": "circle"})
        '--set points=100 --set place=circle'
    """
    return " ".join(f"--set {name}={_word(value)}" for name, value in parameters.items())


def file_name_of(parameters: Mapping[str, Scalar]) -> str:
    """Return parameters as part of a file's name.

    Example:
        >>> from attnflow.lab.settings import file_name_of
        >>> file_name_of({"points": 100, "place": "a/b"})
        'points=100,place=a-b'
    """
    return re.sub(r"[^\w.,=+-]+", "-", ",".join(f"{name}={_word(value)}" for name, value in parameters.items()))


def _word(value: Scalar) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _identity(data: bytes) -> dict[str, Any]:
    with h5py.File(io.BytesIO(data), "r") as file:
        return dict(json.loads(file.attrs["identity"]))


def _changed(study: Study, identity: Mapping[str, Any], *, master_seed: int) -> dict[str, Scalar]:
    """Return the fewest parameters by which the case of a record differs from one of the ladder; none if it is no such.

    Records of other code or of another master seed are none.
    """
    if (identity["source"], identity["master_seed"]) != (study.digest, master_seed):
        return {}
    case = identity["case"]
    differing = [
        {name: value for name, value in case.items() if own[name] != value}
        for own in study.ladder
        if own.keys() == case.keys()
    ]
    return min(differing, key=len, default={})


def _is_complete(study: Study, parameters: Case, there: set[str], store: Store, master_seed: int) -> bool:
    other = study.with_parameters(parameters)
    return any(
        {store.path(task).stem for task in other.tasks(quick=size == "quick", master_seed=master_seed)} <= there
        for size in SETTINGS
    )
