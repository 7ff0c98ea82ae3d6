"""What a table must say of the machine and the libraries it was measured on."""

from __future__ import annotations

import os
import platform
from typing import Any

import finufft
import jax
import numpy as np
from threadpoolctl import threadpool_info

from attnflow._optional import optional
from attnflow.kernel_sums.tiles import compile_tiles


def machine() -> dict[str, Any]:
    """Cores, threads, flags and versions."""
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
    """The lines above a table."""
    threads = facts["blas_threads"]
    warning = "" if threads in (None, 1) else " (set OPENBLAS_NUM_THREADS=1: the tables are meant for one)"
    options = ", ".join(f"{name}={value}" for name, value in facts["tile_options"].items())
    return [
        f"{facts['cores']} cores, {facts['architecture']}, {', '.join(facts['devices'])}",
        f"BLAS threads: {'unknown' if threads is None else threads}{warning}",
        f"XLA_FLAGS: {facts['xla_flags'] or 'none'}; tiles are compiled with {options}",
        ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
    ]
