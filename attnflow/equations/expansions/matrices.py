"""Inverse and volume of symmetric matrices, with derivatives by hand.

Through their axes they compile in a fifth of the time of LU, and so do the derivatives, by one more inverse; those of
the axes themselves would not exist where two eigenvalues are equal.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp


@jax.custom_jvp
def inverse(matrix: jax.Array) -> jax.Array:
    """Return the inverse of a symmetric matrix (m, m)."""
    values, axes = jnp.linalg.eigh(matrix)
    return (axes / values[None]) @ axes.T


@inverse.defjvp
def _change_of_inverse(given: tuple[jax.Array], change: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    inverted = inverse(*given)
    return inverted, -inverted @ change[0] @ inverted


@jax.custom_jvp
def log_volume(matrix: jax.Array) -> jax.Array:
    """Return log sqrt |det| of a symmetric matrix (m, m)."""
    return 0.5 * jnp.sum(jnp.log(jnp.abs(jnp.linalg.eigvalsh(matrix))))


@log_volume.defjvp
def _change_of_volume(given: tuple[jax.Array], change: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    return log_volume(*given), 0.5 * jnp.sum(inverse(*given) * change[0])
