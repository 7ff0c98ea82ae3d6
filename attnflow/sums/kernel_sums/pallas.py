"""The inner loops of the GPU sums in Pallas: queries stay in registers, keys are read one after another."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from attnflow._optional import optional
from attnflow.errors import ConfigError

# By the bytes of a number. Queries of a program, for the 128 threads of a warpgroup: four each in float32, one in
# float64; and keys that are unrolled. Measured on an H100 at three coordinates and two columns, the best of
# 128 to 1024 queries by 2 to 16 keys: 2.2e12 and 4.8e11 pairs a second.
MOSAIC_QUERIES = {4: 512, 8: 128}
KEYS_AT_ONCE = {4: 16, 8: 8}
TRITON_QUERIES, TRITON_KEYS = {4: 256, 8: 128}, 4
FLUSH = 1024  # keys: partial sums are added to the total, so that long sums keep their digits in float32


def mosaic_program(
    kind: str, queries: jax.Array, coefficients: jax.Array | None, keys: jax.Array, columns: jax.Array, *,
    interpret: Any = None,
) -> jax.Array:  # fmt: skip
    """Return the sums or the moments by Mosaic, which contracts multiply-adds by itself and needs no shared memory.

    Args:
        kind: "sums" for sum_j p_ij F_cj, (C, Q); "moments" for sum_j p_ij (sum_c A_ci F_cj) (x_i - y_j), (D, Q).
        queries: x, shape (D, Q), Q a multiple of 512.
        coefficients: A, shape (C, Q); None for sums.
        keys: y, shape (D, N), N a multiple of FLUSH.
        columns: F, shape (C, N).
        interpret: parameters of Pallas' interpreter, to run without a GPU.
    """
    plgpu = optional("jax.experimental.pallas.mosaic_gpu")
    pl = optional("jax.experimental.pallas")
    if plgpu is None or pl is None:
        raise ConfigError("Pallas for Mosaic needs the package absl-py. Install attnflow[cuda13].")
    (dim, count), channels = queries.shape, len(columns)
    inputs = [*queries, *(() if coefficients is None else coefficients), *keys, *columns]
    rows, block = channels if kind == "sums" else dim, MOSAIC_QUERIES[queries.dtype.itemsize]

    def body(*refs: Any) -> None:
        given, outs = refs[: len(inputs)], refs[len(inputs) :]
        own = pl.ds(lax.axis_index("queries") * block, block)
        fixed = len(inputs) - dim - channels
        at_query = [ref[own] for ref in given[:fixed]]
        y, f = given[fixed : fixed + dim], given[fixed + dim :]

        def key(k: jax.Array) -> tuple[list, list]:
            return [ref[k] for ref in y], [ref[k] for ref in f]

        start = tuple(jnp.zeros((block,), queries.dtype) for _ in range(rows))
        totals = _over_keys(kind, at_query, dim, key, keys.shape[1], start)
        for out, total in zip(outs, totals, strict=True):
            out[own] = total

    run = plgpu.kernel(
        body,
        out_type=[jax.ShapeDtypeStruct((count,), queries.dtype)] * rows,
        grid=(count // block,),
        grid_names=("queries",),
        compiler_params=plgpu.CompilerParams(
            lowering_semantics=plgpu.LoweringSemantics.Warpgroup, approx_math=queries.dtype == jnp.float32
        ),
        **({} if interpret is None else {"interpret": interpret}),
    )
    return jnp.stack(run(*inputs))


def _over_keys(
    kind: str, at_query: Sequence[jax.Array], dim: int, key: Callable, count: int, start: tuple
) -> tuple[jax.Array, ...]:
    """Fold over all keys, KEYS_AT_ONCE unrolled, in partial sums of FLUSH keys."""
    x, coefficients = at_query[:dim], at_query[dim:]
    at_once = KEYS_AT_ONCE[x[0].dtype.itemsize]

    def add(step: jax.Array, sums: tuple, first: jax.Array) -> tuple:
        for u in range(at_once):
            y, f = key(first + step * at_once + u)
            sums = _pair(kind, x, coefficients, y, f, sums)
        return sums

    def block(b: jax.Array, totals: tuple) -> tuple:
        partial = lax.fori_loop(0, FLUSH // at_once, functools.partial(add, first=b * FLUSH), start)
        return tuple(total + part for total, part in zip(totals, partial, strict=True))

    return lax.fori_loop(0, count // FLUSH, block, start)


def _pair(kind: str, x: Sequence, coefficients: Sequence, y: Sequence, f: Sequence, sums: tuple) -> tuple:
    """Add one key (scalars) to the sums of the queries (vectors)."""
    differences = [a - b for a, b in zip(x, y, strict=True)]
    exponent = -(differences[0] * differences[0])
    for d in differences[1:]:
        exponent = exponent - d * d
    p = jnp.exp2(exponent)
    if kind == "sums":
        return tuple(total + p * value for total, value in zip(sums, f, strict=True))
    weight = sum(a * value for a, value in zip(coefficients, f, strict=True)) * p
    return tuple(total + weight * d for total, d in zip(sums, differences, strict=True))


def triton_program(
    kind: str, queries: jax.Array, coefficients: jax.Array | None, keys: jax.Array, columns: jax.Array, *,
    interpret: bool = False,
) -> jax.Array:  # fmt: skip
    """Return the same by Triton, in tiles (keys, queries): the other way round each key costs a thousand shuffles.

    Arguments as in `mosaic_program`.
    """
    pl = optional("jax.experimental.pallas")
    plt = optional("jax.experimental.pallas.triton")
    if pl is None or plt is None:
        raise ConfigError("this JAX has no Pallas for Triton. Install attnflow[cuda13].")
    (dim, count), channels = queries.shape, len(columns)
    at_query = [*queries, *(() if coefficients is None else coefficients)]
    at_key = [*keys, *columns]
    rows, block = channels if kind == "sums" else dim, TRITON_QUERIES[queries.dtype.itemsize]

    def body(*refs: Any) -> None:
        query_refs, key_refs, outs = refs[: len(at_query)], refs[len(at_query) : -rows], refs[-rows:]
        given = [ref[...][None, :] for ref in query_refs]

        def step(j: jax.Array, sums: tuple) -> tuple:
            some = pl.ds(j * TRITON_KEYS, TRITON_KEYS)
            values = [ref[some][:, None] for ref in key_refs]
            return _pair(kind, given[:dim], given[dim:], values[:dim], values[dim:], sums)

        start = tuple(jnp.zeros((TRITON_KEYS, block), queries.dtype) for _ in range(rows))

        def flush(b: jax.Array, totals: tuple) -> tuple:
            steps = FLUSH // TRITON_KEYS
            partial = lax.fori_loop(b * steps, (b + 1) * steps, step, start)
            return tuple(total + part for total, part in zip(totals, partial, strict=True))

        for out, total in zip(outs, lax.fori_loop(0, keys.shape[1] // FLUSH, flush, start), strict=True):
            out[...] = total.sum(axis=0)

    own = pl.BlockSpec((block,), lambda i: (i,))
    whole = pl.BlockSpec((keys.shape[1],), lambda i: (0,))
    run = pl.pallas_call(
        body,
        grid=(count // block,),
        in_specs=[own] * len(at_query) + [whole] * len(at_key),
        out_specs=[own] * rows,
        out_shape=[jax.ShapeDtypeStruct((count,), queries.dtype)] * rows,
        compiler_params=plt.CompilerParams(num_warps=4),
        interpret=interpret,
    )
    return jnp.stack(run(*at_query, *at_key))
