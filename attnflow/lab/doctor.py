"""What attnflow finds where it runs, and what makes it slow there: nothing is measured, so the answer comes at once."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import psutil
from threadpoolctl import threadpool_info

from attnflow._xla import is_known
from attnflow.lab.launchers import MEMORY
from attnflow.lab.programs import FOLDER
from attnflow.lab.provenance import code_digest, versions
from attnflow.precision import require_device
from attnflow.sums.planning.machine import known_machine

ROOT = Path(__file__).parents[2]  # of a source folder, or where packages are installed
LITTLE_DISK = 1e9  # bytes; the records of all studies at full size are about as many


def examine(out: Path) -> dict[str, Any]:
    """Return what there is: versions, devices, threads, memory, disk, caches, extras, revision.

    Args:
        out: the folder of records, which need not exist.

    Raises:
        ConfigError: if the device that `JAX_PLATFORMS` asks for is not there.

    Example:
        >>> from pathlib import Path
        >>> from attnflow.lab.doctor import examine, slow
        >>> facts = examine(Path(".attnflow"))
        >>> facts["cores"]["seen"] >= 1
        True
        >>> slow({**facts, "blas": {"libraries": ["openblas"], "threads": 2}})[0]
        'BLAS uses 2 threads, which wait for one another on a busy machine. Set OPENBLAS_NUM_THREADS=1.'
    """
    require_device()
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    load, memory = os.getloadavg()[0], psutil.virtual_memory()
    constants = known_machine()
    return {
        "versions": versions(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "revision": _revision(),
        "code": code_digest(),
        "devices": [device.device_kind for device in jax.devices()],
        "has_nvidia_driver": Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None,
        "x64": bool(jax.config.read("jax_enable_x64")),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "compiles_quickly": is_known(),
        "cores": {"seen": os.cpu_count() or 1, "usable": _usable_cores(), "load": round(load, 2)},
        "blas": {
            "libraries": sorted({pool["internal_api"] for pool in pools}),
            "threads": max((pool["num_threads"] for pool in pools), default=None),
        },
        "memory": {"total": memory.total, "free": memory.available},
        "records": {"folder": str(out.absolute()), "free": shutil.disk_usage(_existing(out.absolute())).free},
        "programs": _programs(os.environ.get(FOLDER, "")),
        "calibration": None if constants is None else asdict(constants),
        "extras": _extras(),
    }


def slow(facts: Mapping[str, Any]) -> list[str]:
    """Return one line for each thing that makes runs slow or ends them early, with a remedy."""
    return list(_slow(facts))


def _slow(facts: Mapping[str, Any]) -> Iterator[str]:
    cores, threads, programs = facts["cores"], facts["blas"]["threads"], facts["programs"]
    if threads not in (None, 1):
        yield (
            f"BLAS uses {threads} threads, which wait for one another on a busy machine. Set OPENBLAS_NUM_THREADS=1."
        )
    if cores["load"] > 0.5 * cores["usable"]:
        yield f"{cores['load']:.1f} processes want {cores['usable']} cores. Wait, or trust processor seconds only."
    if cores["usable"] < cores["seen"]:
        yield f"this process may use {cores['usable']} of {cores['seen']} cores. Pass --jobs {cores['usable']}."
    if facts["memory"]["free"] < MEMORY:
        yield f"{_size(facts['memory']['free'])} of memory is free, a run may come to need 2 GB. Pass --jobs 1."
    if facts["records"]["free"] < LITTLE_DISK:
        yield f"{_size(facts['records']['free'])} of disk is free for records. Pass --out on another disk."
    if not programs["writable"]:
        place = programs["folder"] or "no folder"
        yield f"compiled programs are kept in {place}, so every command compiles anew. Set {FOLDER} to a writable one."
    if not facts["compiles_quickly"]:
        yield f"jaxlib {facts['versions']['jaxlib']} compiles in twice the time. Install 0.10."
    if facts["has_nvidia_driver"] and not any("cpu" not in device.lower() for device in facts["devices"]):
        yield "there is an NVIDIA driver, but JAX sees no GPU. Install attnflow[cuda13]."
    if facts["calibration"] is None:
        yield "the constants of this machine are not measured yet. The first large sum takes about 2 s longer, once."


def report(facts: Mapping[str, Any], *, width: int) -> str:
    """Return the facts and what is slow as lines of text.

    Args:
        facts: of `examine`.
        width: of a line, in characters.
    """
    cores, programs, records = facts["cores"], facts["programs"], facts["records"]
    known, blas = facts["calibration"], facts["blas"]
    extras = facts["extras"] or {}
    lines = {
        "versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items()),
        "system": facts["system"],
        "revision": facts["revision"] or "none, this is an installed package",
        "devices": ", ".join(facts["devices"]),
        "float64": "on" if facts["x64"] else "off here; commands switch it on, programs call enable_x64()",
        "XLA_FLAGS": facts["xla_flags"] or "none",
        "cores": f"{cores['usable']} of {cores['seen']}, load {cores['load']:.1f}",
        "BLAS": f"{', '.join(blas['libraries']) or 'unknown'}, threads: {blas['threads'] or 'unknown'}",
        "memory": f"{_size(facts['memory']['free'])} free of {_size(facts['memory']['total'])}",
        "records": f"{records['folder']}, {_size(records['free'])} free",
        "programs": f"{programs['folder'] or 'not kept'}, {_size(programs['bytes'])} in {programs['files']} files",
        "calibration": "not yet" if known is None else f"{known['pair64']:.2g} ns a pair in float64, "
        f"{known['pair32']:.2g} in float32",
        "extras": ", ".join(name for name, missing in extras.items() if not missing) or "none",
        "without": "; ".join(f"{name} ({', '.join(missing)})" for name, missing in extras.items() if missing) or "none",
    }  # fmt: skip
    wide = max(map(len, lines)) + 2
    text = [_hanging(f"{name:<{wide}}", value, width) for name, value in lines.items()]
    found = slow(facts)
    text += ["", "what is slow, and why" if found else "nothing here makes it slow"]
    return "\n".join(text + [_hanging("  ", sentence, width) for sentence in found])


def _hanging(head: str, text: str, width: int) -> str:
    return textwrap.fill(
        text, max(width, 40), initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False,
        break_long_words=False,
    )  # fmt: skip


def _revision() -> str | None:
    """Return the commit of a source folder, and whether something differs from it; None of an installed package."""
    if not (ROOT / ".git").exists():
        return None
    git = ["git", "-C", str(ROOT)]
    try:
        words = [*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _usable_cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _programs(folder: str) -> dict[str, Any]:
    """Return where compiled programs are kept, in how many files and bytes, and whether more can be."""
    sizes = []
    if folder and Path(folder).is_dir():
        sizes = [entry.stat().st_size for entry in os.scandir(folder) if entry.is_file()]
    place = _existing(Path(folder).absolute())
    writable = bool(folder) and place.is_dir() and os.access(place, os.W_OK)
    return {"folder": folder or None, "files": len(sizes), "bytes": sum(sizes), "writable": writable}


def _extras() -> dict[str, list[str]] | None:
    """Return for each extra which of its packages are missing; None if attnflow is not installed."""
    try:
        extras = importlib.metadata.metadata("attnflow").get_all("Provides-Extra", [])
    except importlib.metadata.PackageNotFoundError:
        return None
    return {extra: sorted(_missing("attnflow", extra)) for extra in extras}


def _missing(package: str, extra: str) -> set[str]:
    """Return which packages an extra of an installed package lacks, those of `other[extra]` included."""
    missing: set[str] = set()
    for requirement in importlib.metadata.requires(package) or []:
        wanted = re.match(r"([\w.-]+)(?:\[([\w, -]+)\])?", requirement)
        if wanted and re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", requirement):
            name, more = wanted[1], wanted[2].split(",") if wanted[2] else []
            missing |= set().union(*(_missing(name, each.strip()) for each in more)) if _has(name) else {name}
    return missing


def _has(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
