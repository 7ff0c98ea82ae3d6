"""Tests compute in float64; attnflow never switches it on by itself."""

import threading

import jax
import pytest

import attnflow as af

af.enable_x64()


class CompilationCounter:
    """Counts the programs that XLA compiles while it is open."""

    _EVENT = "/jax/core/compile/backend_compile_duration"

    def __init__(self):
        self.count = 0
        self._open = False
        self._lock = threading.Lock()
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event, duration, **_):
        if event == self._EVENT and self._open:
            with self._lock:
                self.count += 1

    def __enter__(self):
        self.count, self._open = 0, True
        return self

    def __exit__(self, *_):
        self._open = False


@pytest.fixture(scope="session")
def compilations():
    return CompilationCounter()
