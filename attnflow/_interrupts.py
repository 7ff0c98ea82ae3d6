"""Ctrl-C while modules are loaded: it ends the process at once, as an exception that is raised there breaks them.

Extension modules turn a KeyboardInterrupt into other errors or crash, and what a class does while it is made is retold
as if that had failed. Nothing has been begun then that would have to be finished.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

INTERRUPTED = 130  # 128 and the number of the signal, as shells count


def stop_at_once() -> None:
    """Let Ctrl-C end the process, with one line and the exit code 130, until `raise_again`."""
    signal.signal(signal.SIGINT, _stop)


def raise_again() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, for what must be finished; another handler stays."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _stop(number: int, frame: FrameType | None) -> None:
    os.write(2, b"attnflow: interrupted; repeat the command to resume\n")
    os._exit(INTERRUPTED)
