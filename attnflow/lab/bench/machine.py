"""What a table must say of the machine and the libraries it was measured on."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import finufft
import jax
import numpy as np
import psutil
from threadpoolctl import threadpool_info

from attnflow._optional import optional
from attnflow.sums.kernel_sums.tiles import compile_tiles

BUSY = 0.2  # cores; more is felt in the tables


def machine() -> dict[str, Any]:
    """Return cores, threads, flags and versions."""
    pools = threadpool_info()
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "devices": [str(device) for device in jax.devices()],
        "blas_threads": max((pool["num_threads"] for pool in pools if pool["user_api"] == "blas"), default=None),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "tile_options": compile_tiles.keywords["compiler_options"],
        "versions": {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "numpy": np.__version__,
            "finufft": finufft.__version__,
            **{
                name: getattr(module, "__version__", "unknown")
                for name in ("pykeops", "torch")
                if (module := optional(name)) is not None
            },
        },
    }


def head(facts: dict[str, Any]) -> list[str]:
    """Return the lines above a table."""
    threads = facts["blas_threads"]
    warning = "" if threads in (None, 1) else " (set OPENBLAS_NUM_THREADS=1: the tables are meant for one)"
    options = ", ".join(f"{name}={value}" for name, value in facts["tile_options"].items())
    return [
        f"{facts['cores']} cores, {facts['architecture']}, {', '.join(facts['devices'])}",
        f"BLAS threads: {'unknown' if threads is None else threads}{warning}",
        f"XLA_FLAGS: {facts['xla_flags'] or 'none'}; tiles are compiled with {options}",
        ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    ]


class OtherLoad:
    """How much of the machine other processes take, from when this is made."""

    def __init__(self) -> None:
        self._start = self._now()

    def cores(self) -> float:
        """Return how many cores were busy with something else, on average."""
        seconds, others = (now - then for now, then in zip(self._now(), self._start, strict=True))
        return max(0.0, others / seconds)

    @staticmethod
    def _now() -> tuple[float, float]:
        everyone, own = psutil.cpu_times(), psutil.Process().cpu_times()
        return time.perf_counter(), everyone.user + everyone.system + everyone.nice - own.user - own.system


def load_line(cores: float) -> str:
    """Say what the load of other processes means for the tables."""
    advice = ": seconds are too long, run it again when the machine is quiet" if cores > BUSY else ""
    return f"other processes kept {cores:.1f} cores busy meanwhile{advice}"
