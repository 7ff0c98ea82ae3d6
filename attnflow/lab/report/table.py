"""A table of claims: studies that are read together, the main ones or those of a separate subject."""

from __future__ import annotations

from dataclasses import dataclass

from attnflow.judge.verdicts import Verdict
from attnflow.lab.loading import SEPARATE
from attnflow.lab.runs import Run


@dataclass(frozen=True)
class Table:
    """Runs whose verdicts are read together, with a family of intervals of their own.

    Args:
        runs: one of each study.
        subject: the separate subject of the studies, None for the main ones.
    """

    runs: tuple[Run, ...]
    subject: str | None = None

    @property
    def title(self) -> str:
        """What the table is called; empty for the main one."""
        return SEPARATE[self.subject].title if self.subject else ""

    @property
    def verdicts(self) -> list[Verdict]:
        """The verdicts of all runs."""
        return [verdict for run in self.runs for verdict in run.verdicts]

    @property
    def has_been_run(self) -> bool:
        """Whether a run of one of the studies is complete."""
        return any(run.setting for run in self.runs)
