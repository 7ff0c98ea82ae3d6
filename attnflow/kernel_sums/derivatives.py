"""Softmax averages in JAX with derivatives by hand, tile by tile: forward and reverse mode in the memory of a layer.

Automatic differentiation of the loop over tiles would store every tile.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero, linear_call

from attnflow.attention import Attention
from attnflow.kernel_sums.tiles import (
    LOG2E,
    QUERY_TILE,
    Coordinates,
    compile_tiles,
    exp2,
    log2_kernel,
    tile,
    without_self,
)
from attnflow.pseudometrics import SquaredDistance

KEY_TILE = 512


class Inputs(NamedTuple):
    """What an average depends on, in whole tiles; also its tangent and its cotangent.

    Args:
        attention: the cost and the bandwidth.
        queries, keys: coordinate arrays, D of (Q,) and D of (N,).
        log_weights: log w_j, (N,); minus infinity for padding.
        values: v_j, (N, C).
    """

    attention: Attention
    queries: Coordinates
    keys: Coordinates
    log_weights: jax.Array
    values: jax.Array


class Outputs(NamedTuple):
    """Averages (Q, C) and log-normalisers (Q,); also their tangent and their cotangent."""

    average: jax.Array
    log_normalizer: jax.Array


def softmax_average(
    attention: Attention, queries: jax.Array, keys: jax.Array, log_weights: jax.Array, values: jax.Array, *,
    own: jax.Array | None = None,
) -> Outputs:  # fmt: skip
    """sum_j p_ij v_j and log sum_j w_j exp(logit_ij), p_ij = w_j exp(logit_ij) / sum, logit = -D / (2 eps).

    With y = sum_j p v the rules are, forwards and backwards,

        ydot_i = sum_j p_ij [vdot_j + (logitdot_ij + log(w)dot_j)(v_j - y_i)],
        logitbar_ij = p_ij [ybar_i . (v_j - y_i) + logZbar_i],   vbar_j = sum_i p_ij ybar_i,

    and the logits of a tile are differentiated by JAX; those of a squared distance in closed form, which takes three
    thin matrix products.

    Args:
        attention: the cost and the bandwidth.
        queries: x_i, shape (Q, D).
        keys: y_j, shape (N, D).
        log_weights: log w_j, shape (N,).
        values: v_j, shape (N, C).
        own: of each query, the place of the key that is left out, shape (Q,); None leaves none out.
    """
    count = len(queries)
    # A token that attends to itself has the largest logit there is: no pass to look for it.
    largest_known = queries is keys and own is None and attention.pseudometric.vanishes_on_diagonal
    inputs = Inputs(
        jax.tree.map(lambda leaf: jnp.asarray(leaf, keys.dtype), attention),
        tuple(_whole_tiles(c, QUERY_TILE) for c in queries.T),
        tuple(_whole_tiles(c, KEY_TILE) for c in keys.T),
        _whole_tiles(log_weights, KEY_TILE, fill=-np.inf),
        _whole_tiles(values, KEY_TILE, fill=0.0),
    )
    places = None if own is None else _whole_tiles(own, QUERY_TILE)
    average, log_normalizer = _average(largest_known, inputs, places)
    return Outputs(average[:count], log_normalizer[:count])


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _average(largest_known: bool, inputs: Inputs, own: jax.Array | None) -> Outputs:
    # Options of the compiler are for the outermost call only.
    traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((inputs, own)))
    return (_forward if traced else _forward_compiled)(largest_known, inputs, own)


@functools.partial(_average.defjvp, symbolic_zeros=True)
def _average_jvp(largest_known: bool, primals: tuple, tangents: tuple) -> tuple[Outputs, Outputs]:
    inputs, own = primals
    outputs = _average(largest_known, inputs, own)
    # A linear call is transposed in all its arguments or in none: only what varies may be among them.
    changes, structure = jax.tree.flatten(tangents[0], is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))
    varying = [n for n, change in enumerate(changes) if not isinstance(change, SymbolicZero)]

    def tangent(residuals: tuple, varied: list) -> Outputs:
        leaves = [jnp.zeros_like(leaf) for leaf in jax.tree.leaves(residuals[0])]
        for n, change in zip(varying, varied, strict=True):
            leaves[n] = change
        return _tangent(residuals, jax.tree.unflatten(structure, leaves))

    def transpose(residuals: tuple, change: Outputs) -> list:
        leaves = jax.tree.leaves(_transpose(residuals, change))
        return [leaves[n] for n in varying]

    return outputs, linear_call(tangent, transpose, (inputs, own, outputs), [changes[n] for n in varying])


def _forward(largest_known: bool, inputs: Inputs, own: jax.Array | None) -> Outputs:
    if largest_known:
        shift = jnp.full_like(inputs.queries[0], inputs.log_weights.max() * LOG2E)
    else:

        def larger(largest: jax.Array, along: tuple, at: _Tile) -> tuple[jax.Array, tuple]:
            return jnp.maximum(largest, at.exponents(inputs, own).max(axis=1)), along

        shift, _ = _over_tiles(inputs, jnp.full_like(inputs.queries[0][:QUERY_TILE], -np.inf), (), larger)

    def add(sums: jax.Array, along: tuple, at: _Tile) -> tuple[jax.Array, tuple]:
        kernel = exp2(at.exponents(inputs, own) - at.query(shift)[:, None])
        return sums + _product(kernel, jnp.insert(at.key(inputs.values), 0, 1.0, axis=1)), along

    start = jnp.zeros((QUERY_TILE, inputs.values.shape[1] + 1), inputs.values.dtype)
    sums, _ = _over_tiles(inputs, start, (), add)
    return Outputs(sums[:, 1:] / sums[:, :1], (shift + jnp.log2(sums[:, 0])) / LOG2E)


_forward_compiled = functools.partial(compile_tiles, static_argnums=0)(_forward)


@jax.jit  # traced once: the rules themselves are traced at every call
def _tangent(residuals: tuple[Inputs, jax.Array | None, Outputs], change: Inputs) -> Outputs:
    inputs, own, outputs = residuals

    def add(sums: jax.Array, along: tuple, at: _Tile) -> tuple[jax.Array, tuple]:
        p = at.probabilities(inputs, own, outputs)
        _, logits = jax.jvp(log2_kernel, at.operands(inputs), at.operands(change))
        rates = p * (logits / LOG2E + at.key(change.log_weights))
        columns = jnp.insert(at.key(inputs.values), 0, 1.0, axis=1)
        moved = jnp.pad(_product(p, at.key(change.values)), ((0, 0), (1, 0)))
        return sums + _product(rates, columns) + moved, along

    sums, _ = _over_tiles(inputs, jnp.zeros((QUERY_TILE, inputs.values.shape[1] + 1), inputs.values.dtype), (), add)
    return Outputs(sums[:, 1:] - outputs.average * sums[:, :1], sums[:, 0])


@jax.jit
def _transpose(residuals: tuple[Inputs, jax.Array | None, Outputs], change: Outputs) -> Inputs:
    inputs, own, outputs = residuals
    offset = change.log_normalizer - (change.average * outputs.average).sum(axis=1)
    pull = _pull_distances if type(inputs.attention.pseudometric) is SquaredDistance else _pull_logits

    def add(queries: Coordinates, along: tuple, at: _Tile) -> tuple[Coordinates, tuple]:
        attention, keys, log_weights, values = along
        p, rise = at.probabilities(inputs, own, outputs), at.query(change.average)
        logits = p * (_product(rise, at.key(inputs.values).T) + at.query(offset)[:, None])
        for_attention, for_queries, for_keys = pull(at, inputs, logits)
        return (
            jax.tree.map(jnp.add, queries, for_queries),
            (
                jax.tree.map(jnp.add, attention, for_attention),
                jax.tree.map(at.add_to_keys, keys, for_keys),
                at.add_to_keys(log_weights, logits.sum(axis=0)),
                at.add_to_keys(values, _product(p.T, rise)),
            ),
        )

    nothing = jax.tree.map(jnp.zeros_like, inputs)
    start = tuple(c[:QUERY_TILE] for c in nothing.queries)
    along = nothing.attention, nothing.keys, nothing.log_weights, nothing.values
    queries, (attention, keys, log_weights, values) = _over_tiles(inputs, start, along, add)
    return Inputs(attention, queries, keys, log_weights, values)


def _pull_logits(at: _Tile, inputs: Inputs, logits: jax.Array) -> tuple[Attention, Coordinates, Coordinates]:
    """The cotangents of the attention, the queries and the keys of a tile, from that of its logits (q, k)."""
    _, pull = jax.vjp(log2_kernel, *at.operands(inputs))
    return pull(logits / LOG2E)


def _pull_distances(at: _Tile, inputs: Inputs, logits: jax.Array) -> tuple[Attention, Coordinates, Coordinates]:
    """The same for logits -|x - y|^2 / 2eps: centred on the tile of queries, against cancellation."""
    attention, queries, keys = at.operands(inputs)
    center = jnp.stack([c.mean() for c in queries])
    x, y = (jnp.stack(side, axis=1) - center for side in (queries, keys))
    ones_x, ones_y = jnp.ones((len(x), 1), x.dtype), jnp.ones((len(y), 1), y.dtype)
    rows, columns = _product(logits, jnp.hstack([ones_y, y])), _product(logits.T, jnp.hstack([ones_x, x]))
    pull_x, pull_y = (rows[:, 1:] - x * rows[:, :1]), (columns[:, 1:] - y * columns[:, :1])
    # sum g |x - y|^2 = sum_i x_i . (x_i rows - sum_j g y_j) + sum_j y_j . (...) = - sum x . pull_x - sum y . pull_y
    squares = -(x * pull_x).sum() - (y * pull_y).sum()
    eps = attention.bandwidth
    return (
        jax.tree.map(lambda _: squares / (2 * eps**2), attention),  # its one parameter is the bandwidth
        tuple(c / eps for c in pull_x.T),
        tuple(c / eps for c in pull_y.T),
    )


class _Tile(NamedTuple):
    """The i-th tile of queries and the j-th tile of keys."""

    i: jax.Array
    j: jax.Array

    def query(self, array: jax.Array) -> jax.Array:
        return tile(array, self.i, QUERY_TILE)

    def key(self, array: jax.Array) -> jax.Array:
        return tile(array, self.j, KEY_TILE)

    def add_to_keys(self, whole: jax.Array, part: jax.Array) -> jax.Array:
        return jax.lax.dynamic_update_slice_in_dim(whole, self.key(whole) + part, self.j * KEY_TILE, 0)

    def operands(self, inputs: Inputs) -> tuple[Attention, Coordinates, Coordinates]:
        return inputs.attention, tuple(map(self.query, inputs.queries)), tuple(map(self.key, inputs.keys))

    def exponents(self, inputs: Inputs, own: jax.Array | None) -> jax.Array:
        """log2 of w_j exp(logit_ij), (q, k)."""
        exponents = log2_kernel(*self.operands(inputs)) + self.key(inputs.log_weights) * LOG2E
        return without_self(exponents, None if own is None else self.query(own), self.j)

    def probabilities(self, inputs: Inputs, own: jax.Array | None, outputs: Outputs) -> jax.Array:
        """p_ij, (q, k)."""
        return exp2(self.exponents(inputs, own) - self.query(outputs.log_normalizer * LOG2E)[:, None])


def _over_tiles(inputs: Inputs, start: Any, along: Any, visit: Callable) -> tuple[Any, Any]:
    """Fold `visit(sums, along, tile)` over all tiles: sums (q, ...) for each tile of queries, and sums along keys."""
    counts = len(inputs.queries[0]) // QUERY_TILE, len(inputs.keys[0]) // KEY_TILE

    def query_tile(i: jax.Array, carry: tuple) -> tuple:
        whole, along = carry
        sums, along = jax.lax.fori_loop(0, counts[1], lambda j, state: visit(*state, _Tile(i, j)), (start, along))
        return jax.tree.map(
            lambda out, part: jax.lax.dynamic_update_slice_in_dim(out, part, i * QUERY_TILE, 0), whole, sums
        ), along

    whole = jax.tree.map(lambda part: jnp.zeros((counts[0] * QUERY_TILE, *part.shape[1:]), part.dtype), start)
    return jax.lax.fori_loop(0, counts[0], query_tile, (whole, along))


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.dot(a, b, precision="highest")


def _whole_tiles(array: jax.Array, size: int, fill: float | None = None) -> jax.Array:
    """Filled up to whole tiles, by the last entry or by `fill`."""
    widths = ((0, -len(array) % size), *[(0, 0)] * (array.ndim - 1))
    if fill is None:
        return jnp.pad(array, widths, mode="edge")
    return jnp.pad(array, widths, constant_values=fill)
