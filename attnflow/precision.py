"""Double precision: attnflow computes in float64 by contract, and JAX must be told so once."""

from __future__ import annotations

import jax

from attnflow.errors import PrecisionError


def enable_x64() -> None:
    """Switch JAX to 64-bit floating point, process-wide.

    Importing attnflow changes no global state, so a program calls this once, before it computes.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
    """
    jax.config.update("jax_enable_x64", True)


def require_x64() -> None:
    """Raise PrecisionError unless JAX computes in float64; never a silent downcast."""
    if not jax.config.read("jax_enable_x64"):
        raise PrecisionError(
            "float64 is asked but JAX computes in float32 (`jax_enable_x64` is off). "
            "Call attnflow.enable_x64() once at the top of the program."
        )
