"""Packages that attnflow can use but does not need."""

from __future__ import annotations

import contextlib
import importlib
import sys
from types import ModuleType


def optional(name: str) -> ModuleType | None:
    """Return the module of that name, or None where it is not installed; what it prints on import goes to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return importlib.import_module(name)
    except ImportError:
        return None
