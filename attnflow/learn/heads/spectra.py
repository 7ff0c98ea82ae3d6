"""Spectra that are learned: frequencies as images of normal numbers, for several heads at once."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp

from attnflow.learn.heads.maps import uniform


class LearnedSpectrum(eqx.Module):
    """The frequencies w_hr = (z_hr + B_h tanh(A_h z_hr + a_h) + b_h) / sqrt 2 of H heads, z_hr normal  [S].

    B and b start at zero: the kernel E cos <w, x - y> is then e^{-|x - y|^2/4}, whose square is the Gaussian one. The
    numbers z are drawn once, and no training changes them: a head is one function and not a random one.

    Args:
        features: k, of a frequency.
        hidden: width of the hidden layer.
        count: R, of each head.
        heads: H.
        key: of JAX, from which A, a and z are drawn.

    Example:
        >>> import jax
        >>> from attnflow.learn.heads.spectra import LearnedSpectrum
        >>> LearnedSpectrum(2, 8, count=64, heads=3, key=jax.random.key(0)).frequencies().shape
        (3, 64, 2)
    """

    draws: jax.Array  # the bits of z in single precision: integers, which no optimizer moves
    inner: jax.Array
    inner_bias: jax.Array
    outer: jax.Array
    outer_bias: jax.Array

    def __init__(self, features: int, hidden: int, *, count: int, heads: int, key: jax.Array) -> None:
        for_draws, for_inner, for_bias = jax.random.split(key, 3)
        self.draws = normal_bits(for_draws, (heads, count, features))
        self.inner = uniform(for_inner, (heads, hidden, features), fan_in=features)
        self.inner_bias = uniform(for_bias, (heads, hidden), fan_in=features)
        self.outer = jnp.zeros((heads, features, hidden))
        self.outer_bias = jnp.zeros((heads, features))

    def frequencies(self, draws: jax.Array | None = None) -> jax.Array:
        """Return w (H, R, k), the same in every call; or those of other normal numbers z (H, R', k)."""
        draws = numbers_of(self.draws, self.inner.dtype) if draws is None else draws
        hidden = jnp.tanh(jnp.einsum("hrk,hjk->hrj", draws, self.inner) + self.inner_bias[:, None])
        moved = draws + jnp.einsum("hrj,hkj->hrk", hidden, self.outer) + self.outer_bias[:, None]
        return moved / math.sqrt(2)


class SharedFactor(eqx.Module):
    """A factor of frequencies that all heads have in common, 1 + B tanh(A z_r + a), z_r normal; B starts at zero.

    Args:
        features: k, of a frequency.
        hidden: width of the hidden layer.
        count: R.
        key: of JAX, from which A, a and z are drawn.
    """

    draws: jax.Array
    inner: jax.Array
    inner_bias: jax.Array
    outer: jax.Array

    def __init__(self, features: int, hidden: int, *, count: int, key: jax.Array) -> None:
        for_draws, for_inner, for_bias = jax.random.split(key, 3)
        self.draws = normal_bits(for_draws, (count, features))
        self.inner = uniform(for_inner, (hidden, features), fan_in=features)
        self.inner_bias = uniform(for_bias, (hidden,), fan_in=features)
        self.outer = jnp.zeros((features, hidden))

    def factors(self) -> jax.Array:
        """Return the factors (R, k), the same in every call."""
        draws = numbers_of(self.draws, self.inner.dtype)
        return 1 + jnp.tanh(draws @ self.inner.T + self.inner_bias) @ self.outer.T


def normal_bits(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return the bits of standard normal numbers in single precision."""
    return jax.lax.bitcast_convert_type(jax.random.normal(key, shape, jnp.float32), jnp.int32)


def numbers_of(bits: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Return the numbers that have these bits in single precision, in another type."""
    return jax.lax.bitcast_convert_type(bits, jnp.float32).astype(dtype)
