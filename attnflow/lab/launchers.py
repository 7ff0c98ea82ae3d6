"""Several processes that run the same studies: they share the store, and each goes its own way through the records.

A record is written whole by whoever measures it, and nobody measures one that is there already. So launchers need no
other agreement: one goes forwards, one backwards until they meet, further ones in an order of their own.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def in_order_of(launcher: int, items: Sequence[T]) -> list[T]:
    """Return the items as a launcher takes them: forwards, backwards, or shuffled in its own way from the third on.

    Example:
        >>> in_order_of(0, "abc"), in_order_of(1, "abc")
        (['a', 'b', 'c'], ['c', 'b', 'a'])
    """
    if launcher < 2:
        return list(reversed(items)) if launcher else list(items)
    return random.Random(launcher).sample(items, len(items))


@contextmanager
def launchers(count: int, words: Sequence[str]) -> Iterator[None]:
    """Run a command in so many further processes, for the time of a `with` block.

    They are told to stop as soon as it ends: each finishes its record at hand. What one of them does not do, because it
    died, is left to this process, so they are silent.

    Args:
        count: how many.
        words: the command line after `attnflow`.
    """
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "attnflow", *words, "--launcher", str(launcher)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for launcher in range(1, count + 1)
    ]  # fmt: skip
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
