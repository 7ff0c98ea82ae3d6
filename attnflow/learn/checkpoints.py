"""What training has reached, on the disk: whole or absent, found again by the same call only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from attnflow.errors import ConfigError
from attnflow.lab.store import Record, Store
from attnflow.lab.study import Task, canonical_json


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far training has come.

    Args:
        state: a pytree.
        losses: (seeds, steps so far).
        times, history: as in Trained.
    """

    state: Any
    losses: np.ndarray
    times: np.ndarray
    history: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """How many steps have been made."""
        return self.losses.shape[1]

    def after(self, state: Any, losses: Any, measured: dict[str, Any]) -> Progress:
        """Return the progress after some more steps, with what was measured at their end."""
        losses = np.concatenate([self.losses, np.asarray(losses)], axis=1)
        history = {
            name: np.concatenate([values, np.asarray(measured[name])[:, None]], axis=1)
            for name, values in self.history.items()
        }
        times = np.append(self.times, losses.shape[1])
        return Progress(state=state, losses=losses, times=times, history=history)


class Checkpoints:
    """One file in a folder, named by what is trained: by the numbers it starts from and how it goes on.

    Args:
        folder: that exists; None keeps nothing.
        start: the progress before the first step.
        given: pytrees of arrays that training depends on.
        named: words and numbers that it depends on, such as the programs that are run.

    Raises:
        ConfigError: if the folder is none.
    """

    def __init__(self, folder: Path | str | None, start: Progress, *, given: Any, named: list[Any]) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise ConfigError(f"`checkpoint` must be a folder that exists, got {str(folder)!r}. Create it first.")
        self.store = None if folder is None else Store(folder)
        self.start = start
        if self.store is not None:
            self.store.prepare()
            digest = hashlib.sha256(canonical_json(named).encode())
            for leaf in jax.tree.leaves(eqx.filter((start.state, given), eqx.is_array_like)):
                array = np.asarray(leaf)
                digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
            seeds = range(len(start.losses))
            self.task = Task(study="training", case={}, seeds=seeds, master_seed=0, source=digest.hexdigest())

    def load(self) -> Progress:
        """Return the progress that was saved last, or the start; a file that is damaged is set aside."""
        record = None if self.store is None else self.store.find(self.task)
        if record is None:
            return self.start
        leaves, structure = jax.tree.flatten(self.start.state)
        return Progress(
            state=jax.tree.unflatten(structure, [record.arrays[f"state.{index}"] for index in range(len(leaves))]),
            losses=record.arrays["losses"],
            times=record.arrays["times"],
            history={name: record.arrays[f"history.{name}"] for name in self.start.history},
        )

    def save(self, progress: Progress) -> None:
        """Write the progress in the place of the last.

        Raises:
            ResultFileError: if the disk is full or refuses; the last one is untouched.
        """
        if self.store is None:
            return
        arrays = {f"state.{index}": np.asarray(leaf) for index, leaf in enumerate(jax.tree.leaves(progress.state))}
        arrays |= {f"history.{name}": values for name, values in progress.history.items()}
        arrays |= {"losses": progress.losses, "times": progress.times}
        self.store.save(Record(task=self.task, arrays=arrays))
