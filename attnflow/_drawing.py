"""How results are drawn: by functions of `attnflow.lab.plots`, loaded for those who draw."""

from __future__ import annotations

from typing import Any

from attnflow._optional import optional
from attnflow.errors import ConfigError


def drawing(name: str) -> Any:
    """Return the module of that name in `attnflow.lab.plots`; matplotlib takes a second to import, and a result none.

    Raises:
        ConfigError: if figures cannot be drawn here.
    """
    module = optional(f"attnflow.lab.plots.{name}")
    if module is None:
        raise ConfigError("figures need matplotlib, which cannot be imported. Run pip install matplotlib.")
    return module
