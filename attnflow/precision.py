"""Double precision: attnflow computes in float64 by contract, and JAX must be told so once."""

from __future__ import annotations

import jax

from attnflow.errors import ConfigError, PrecisionError


def enable_x64() -> None:
    """Switch JAX to 64-bit floating point, process-wide.

    Importing attnflow changes no global state, so a program calls this once, before it computes.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
    """
    jax.config.update("jax_enable_x64", True)


def require_x64() -> None:
    """Raise PrecisionError unless JAX computes in float64; never a silent downcast.

    Raises:
        ConfigError: if the device that is asked for is not there.
    """
    require_device()
    if not jax.config.read("jax_enable_x64"):
        raise PrecisionError(
            "points and functions are computed in float64, also where sums are asked for in float32, but JAX's "
            "`jax_enable_x64` is off. Call attnflow.enable_x64() once at the top of the program."
        )


def require_device() -> None:
    """Raise ConfigError if the device asked for by `JAX_PLATFORMS` is not there; never a silent run on another one."""
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where it knows the name but not the device
        raise ConfigError(
            f"`JAX_PLATFORMS` asks for {jax.config.jax_platforms!r}, but JAX finds no such device here. "  # type: ignore[attr-defined]
            "Unset it to compute on what there is, or install the extra for this device, such as attnflow[cuda12]."
        ) from error
