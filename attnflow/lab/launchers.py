"""Several processes that run the same studies: they share the store, and each goes its own way through the records.

A record is written whole by whoever measures it, and nobody measures one that is there already. So launchers need no
other agreement: one goes forwards, one backwards until they meet, further ones in an order of their own.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import psutil

from attnflow.errors import ConfigError

T = TypeVar("T")
MEMORY = 2e9  # bytes that a process of a quick run may come to need
PATIENCE = 5.0  # seconds that a run goes on alone, unless it is told in how many processes


def in_order_of(launcher: int, items: Sequence[T]) -> list[T]:
    """Return the items as a launcher takes them: forwards, backwards, or shuffled in its own way from the third on.

    Example:
        >>> in_order_of(0, "abc"), in_order_of(1, "abc")
        (['a', 'b', 'c'], ['c', 'b', 'a'])
    """
    if launcher < 2:
        return list(reversed(items)) if launcher else list(items)
    return random.Random(launcher).sample(items, len(items))


@dataclass(frozen=True)
class Part:
    """One of several parts into which the records of a study are dealt out, like cards: a ladder grows towards its end.

    Args:
        index: of the part, from 1.
        count: of parts.

    Example:
        >>> Part(1, 3).of("abcdefg"), Part(2, 3).of("abcdefg"), Part(3, 3).of("abcdefg")
        (['a', 'd', 'g'], ['b', 'e'], ['c', 'f'])
    """

    index: int
    count: int

    @classmethod
    def read(cls, text: str) -> Part:
        """Return the part that is written "I/N"; raise ConfigError if there is none.

        Example:
            >>> Part.read("3/16")
            Part(index=3, count=16)
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise ConfigError(f"`--part` must be I/N with I from 1 to N, got {text!r}. Pass 1/4, 2/4, 3/4 and 4/4.")
        return cls(int(index), int(count))

    def of(self, items: Sequence[T]) -> list[T]:
        """Return those of the items that belong to the part, in their order."""
        return list(items[self.index - 1 :: self.count])


def default_jobs() -> int:
    """Return in how many processes a run is done: one per core, as far as memory allows."""
    return max(1, min(os.cpu_count() or 1, int(psutil.virtual_memory().available / MEMORY)))


@contextmanager
def launchers(count: int, words: Sequence[str], *, after: float = 0.0) -> Iterator[None]:
    """Run a command in so many further processes, for the time of a `with` block.

    They are told to stop as soon as it ends: each finishes its record at hand. What one of them does not do, because it
    died, is left to this process, so they are silent.

    Args:
        count: how many.
        words: the command line after `attnflow`.
        after: seconds after which they start: what ends sooner needs no help, and each takes seconds to begin.
    """
    processes: list[subprocess.Popen] = []

    def start() -> None:
        processes.extend(
            subprocess.Popen(
                [sys.executable, "-m", "attnflow", *words, "--launcher", str(launcher)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for launcher in range(1, count + 1)
        )  # fmt: skip

    timer = threading.Timer(after, start)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
