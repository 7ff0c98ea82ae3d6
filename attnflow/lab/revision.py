"""Which revision of a repository a folder holds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PATIENCE = 10.0  # seconds


def git_revision(folder: Path | str = ".") -> str | None:
    """Return the commit that is checked out, with "-dirty" if tracked files were changed; None where git knows none.

    Args:
        folder: in the repository.

    Example:
        >>> import tempfile
        >>> from attnflow.lab.revision import git_revision
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(git_revision(folder))
        None
    """
    words = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # to look writes nothing
    try:
        answer = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
