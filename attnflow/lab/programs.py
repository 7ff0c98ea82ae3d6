"""How commands wait less for XLA: programs are kept for later ones and other processes, and compiled more quickly."""

from __future__ import annotations

import hashlib
import os
import platform
import warnings
from pathlib import Path

import platformdirs

from attnflow._xla import PROMPT, is_known

FOLDER, SECONDS = "JAX_COMPILATION_CACHE_DIR", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
WORTH_A_FILE = "0.1"  # seconds of compilation; reading takes some milliseconds
MOST_BYTES = 2**29  # that are kept: a quick run compiles 40 MB, all tests some hundreds


def compile_quickly() -> None:
    """Tell XLA, before it is loaded, to spend less time on compiling; what `XLA_FLAGS` says already stays."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    given = {flag.split("=")[0] for flag in flags}
    quick = {f"--{name}": str(choice).lower() for name, choice in PROMPT.items()}
    if is_known():
        os.environ["XLA_FLAGS"] = " ".join(
            [*flags, *(f"{name}={choice}" for name, choice in quick.items() if name not in given)]
        )


def keep_programs() -> None:
    """Tell JAX, before it is imported, to keep compiled programs in the user's cache folder.

    Where `JAX_COMPILATION_CACHE_DIR` is set it stays as it is, "" for no folder. One that cannot be written, or a file
    in it that cannot be read, costs the time to compile, nothing else.
    """
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")
    if FOLDER in os.environ:
        return
    folder = default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        make_room(folder)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ[FOLDER] = str(folder)
        os.environ.setdefault(SECONDS, WORTH_A_FILE)


def default_folder() -> Path:
    """Return the folder for this machine: a home may be shared by several, and a program uses what one can do."""
    machine = hashlib.sha256(f"{platform.node()} {platform.machine()} {instructions()}".encode()).hexdigest()
    return Path(platformdirs.user_cache_dir("attnflow")) / "programs" / machine[:16]


def instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return what this processor says it can do, where the system tells it, else its name."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def make_room(folder: Path) -> None:
    """Remove the oldest files until half of what may be kept is left, where there is more than that."""
    files = sorted((path for path in folder.iterdir() if path.is_file()), key=lambda path: path.stat().st_mtime)
    sizes = [path.stat().st_size for path in files]
    kept = sum(sizes)
    if kept > MOST_BYTES:
        for path, size in zip(files, sizes, strict=True):
            if kept <= MOST_BYTES / 2:
                break
            path.unlink(missing_ok=True)
            kept -= size
