"""What a worker of a sweep does: it loads the study from its file, measures one record, and sends it back whole."""

from __future__ import annotations

import functools
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import jax
from threadpoolctl import threadpool_limits

from attnflow.errors import ConfigError
from attnflow.lab.loading import load_study
from attnflow.lab.measuring import measure_record
from attnflow.lab.programs import FOLDER, compile_quickly, keep_programs
from attnflow.lab.provenance import code_digest, versions
from attnflow.lab.scratch import keeping_scratch
from attnflow.lab.store import Store, to_bytes
from attnflow.lab.study import Study, Task
from attnflow.precision import enable_x64

_ONE_AT_A_TIME = threading.Lock()  # what a study imports, and the threads of BLAS, belong to the whole process


@dataclass(frozen=True)
class Order:
    """What is to be measured, and by which code.

    Args:
        task: whose record is wanted.
        path: of the file of the study, where the worker sees it.
        out: the folder of the store; a worker that sees it keeps the scratch of its measurement there.
        code: `code_digest` of whoever asks.
        versions: of the packages there.
        debug: let the exceptions of a measurement through.
    """

    task: Task
    path: str
    out: str
    code: str
    versions: dict[str, str]
    debug: bool = False


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C, which a terminal sends to all of its processes, to the one that started the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def measure_order(order: Order) -> bytes:
    """Return the bytes of the record of a task, as the store would write them.

    Raises:
        ConfigError: the study is not here, or it, attnflow or a package is of another version than where it was asked.
    """
    with _ONE_AT_A_TIME:
        _check_versions(order)
        _prepare()
        study = _study(order.path, order.task.source)
        with threadpool_limits(limits=1):
            if not Path(order.out).is_dir():
                return to_bytes(measure_record(study, order.task, debug=order.debug))
            with keeping_scratch(Store(order.out), order.task):
                return to_bytes(measure_record(study, order.task, debug=order.debug))


def _check_versions(order: Order) -> None:
    here, there = versions(), order.versions
    differing = [f"{name} {here[name]} instead of {there[name]}" for name in here if here[name] != there[name]]
    if not differing and code_digest() != order.code:
        differing = ["another source of attnflow under the same version"]
    if differing:
        raise ConfigError(
            f"a worker has {', '.join(differing)}: its records would not be those of this process. Start the workers "
            "from the same environment."
        )


def _prepare() -> None:
    """Do what a command does before it computes; a worker that the command has started has most of it already."""
    compile_quickly()
    keep_programs()
    jax.config.update("jax_compilation_cache_dir", os.environ.get(FOLDER))
    enable_x64()


@functools.lru_cache(maxsize=4)
def _study(path: str, source: str) -> Study:
    """Return the study of a file, loaded once, so that what it compiles serves all of its records."""
    if not Path(path).is_file():
        raise ConfigError(
            f"a worker sees no {path}. Start the workers where the folder of the studies has the same path, such as "
            "on a file system that is shared."
        )
    study = load_study(path)
    if study.digest != source:
        raise ConfigError(
            f"{path} is another one where a worker sees it, or has been edited meanwhile. Repeat the command, and "
            "start the workers where the folder of the studies is the same."
        )
    return study
