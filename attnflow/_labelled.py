"""Results as arrays whose axes have names, of the library xarray, for those who have it."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from attnflow._optional import optional
from attnflow.errors import ConfigError


def labelled(
    values: np.ndarray, dims: tuple[str, ...], *, name: str, coordinates: Mapping[str, tuple[str, np.ndarray]],
    facts: Mapping[str, object],
) -> Any:  # fmt: skip
    """Return an xarray.DataArray.

    Args:
        values: the numbers.
        dims: the names of their axes.
        name: what they are.
        coordinates: by name the axis along which each runs, and its numbers.
        facts: the attributes, words and numbers.

    Raises:
        ConfigError: if xarray is not installed.
    """
    return needed_xarray().DataArray(
        np.array(values), dims=dims, name=name, coords=dict(coordinates), attrs=dict(facts)
    )


def needed_xarray() -> ModuleType:
    """Return xarray, or raise ConfigError with the extra that brings it."""
    xarray = optional("xarray")
    if xarray is None:
        raise ConfigError("`to_xarray` needs xarray, which is not installed. Run pip install 'attnflow[tables]'.")
    return xarray


def places(points: np.ndarray, dim: str = "point") -> dict[str, tuple[str, np.ndarray]]:
    """Return the coordinates x_1, ..., x_D of points (Q, D) along an axis."""
    return {f"x_{number}": (dim, column) for number, column in enumerate(np.asarray(points).T, start=1)}
