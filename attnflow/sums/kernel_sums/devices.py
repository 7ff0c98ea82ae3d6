"""Dense kernel sums over several devices, in one process or in several."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from attnflow._checks import check_integer
from attnflow.attention import Attention
from attnflow.errors import ConfigError, PrecisionError
from attnflow.sums.kernel_sums.base import Rows
from attnflow.sums.kernel_sums.blocks import ceil_div, coordinates, pack_columns, pad
from attnflow.sums.kernel_sums.dense import KEY_TILE, QUERY_BLOCK, TERM_ROUNDING, DenseSum
from attnflow.sums.kernel_sums.rounding import column_scales
from attnflow.sums.kernel_sums.tiles import QUERY_TILE, Coordinates, Schedule, compile_tiles, max_tiles, sum_tiles

AXIS = "keys"


def choose_devices(devices: int | Sequence[jax.Device]) -> list[jax.Device]:
    """Return the first so many devices, or those that are named; raise ConfigError if there are fewer."""
    if not isinstance(devices, Iterable):
        seen = len(jax.devices())
        if check_integer(devices, "devices", minimum=1) > seen:
            raise ConfigError(
                f"`devices` must be at most the {seen} that JAX sees, got {devices}. To simulate more on a processor "
                f"start with XLA_FLAGS=--xla_force_host_platform_device_count={devices}."
            )
        return jax.devices()[:devices]
    chosen = list(devices)
    if not chosen or not all(isinstance(device, jax.Device) for device in chosen) or len(set(chosen)) < len(chosen):
        raise ConfigError(
            "`devices` must be a number of devices or a list of different JAX devices, such as jax.devices()."
        )
    return chosen


class DevicesSum(DenseSum):
    """The sums of DenseSum with the keys spread over devices: each sums its own, and the sums are added up.

    Every process of a run over several must make the same calls.

    Args:
        attention: the cost and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic.
        devices: where, see `choose_devices`.
    """

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype,
        devices: Sequence[jax.Device],
    ) -> None:  # fmt: skip
        super().__init__(attention, points=points, log_weights=log_weights, dtype=dtype)
        # axis_types: the default of newer versions would want every sharding written out.
        self._mesh = Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))
        self._share = ceil_div(ceil_div(len(self._massive), len(devices)), KEY_TILE) * KEY_TILE
        self._term_rounding = TERM_ROUNDING + self._share // KEY_TILE + len(devices)  # of all tiles, one after another
        self._spread_keys = self._spread(
            coordinates(points[self._massive] - self._center, self._share * len(devices), dtype)
        )

    def _sums(self, rows: Rows, columns: np.ndarray, shift: np.ndarray) -> np.ndarray:
        scales = column_scales(columns)
        packed = self._spread(pack_columns(columns[self._massive] / scales, self._size, self.dtype))
        sums = np.empty((len(rows.points), columns.shape[1]))
        for block, queries, own in self._query_blocks(rows):
            part = _spread_sums(self._mesh)(
                self.attention, queries, own, self._spread_keys, packed, pad(shift[block], QUERY_BLOCK, 0.0, self.dtype)
            )
            sums[block] = self._local(part)[: block.stop - block.start, : len(scales)]
        return sums * scales

    def _largest(self, rows: Rows) -> np.ndarray:
        largest = np.empty(len(rows.points))
        weights = self._spread(pad(self._log_weights[self._massive], self._size, -np.inf, self.dtype))
        for block, queries, own in self._query_blocks(rows):
            part = _spread_max(self._mesh)(self.attention, queries, own, self._spread_keys, weights)
            largest[block] = self._local(part)[: block.stop - block.start]
        return largest

    @property
    def _size(self) -> int:
        return self._share * self._mesh.size

    def _query_blocks(self, rows: Rows) -> list[tuple[slice, Coordinates, np.ndarray | None]]:
        blocks: list[tuple[slice, Coordinates, np.ndarray | None]] = []
        for start in range(0, len(rows.points), QUERY_BLOCK):
            block = slice(start, min(start + QUERY_BLOCK, len(rows.points)))
            own = None if rows.own is None else pad(self._place[rows.own[block]], QUERY_BLOCK, -1, np.dtype(np.int32))
            blocks.append((block, coordinates(rows.points[block] - self._center, QUERY_BLOCK, self.dtype), own))
        return blocks

    def _spread(self, arrays: np.ndarray | Coordinates) -> jax.Array | Coordinates:
        return jax.device_put(arrays, NamedSharding(self._mesh, PartitionSpec(AXIS)))

    def _local(self, result: jax.Array) -> np.ndarray:
        """Return the result, of which every device has a copy, as this process sees it."""
        if result.dtype != self.dtype:
            raise PrecisionError(f"{self.dtype} is asked but JAX computed in {result.dtype}. Call enable_x64() once.")
        return np.asarray(result.addressable_data(0))


# Without options of the compiler, which are for the outermost function only.
_sum, _max = inspect.unwrap(sum_tiles), inspect.unwrap(max_tiles)


@functools.cache
def _spread_sums(mesh: Mesh) -> Callable:
    def local(
        attention: Attention, queries: Coordinates, own: jax.Array | None, keys: Coordinates, columns: jax.Array,
        shift: jax.Array,
    ) -> jax.Array:  # fmt: skip
        schedule, own = _everything(len(shift), len(keys[0])), _own_here(own, len(keys[0]))
        part = _sum(attention, schedule, queries, own, keys, columns, shift, key_tile=KEY_TILE)
        return jax.lax.psum(part, AXIS)

    return _over_devices(local, mesh, spread=(False, False, False, True, True, False))


@functools.cache
def _spread_max(mesh: Mesh) -> Callable:
    def local(
        attention: Attention, queries: Coordinates, own: jax.Array | None, keys: Coordinates, log_weights: jax.Array
    ) -> jax.Array:
        schedule, own = _everything(len(queries[0]), len(keys[0])), _own_here(own, len(keys[0]))
        part = _max(attention, schedule, queries, own, keys, log_weights, key_tile=KEY_TILE)
        return jax.lax.pmax(part, AXIS)

    return _over_devices(local, mesh, spread=(False, False, False, True, True))


def _over_devices(local: Callable, mesh: Mesh, *, spread: Sequence[bool]) -> Callable:
    specs = tuple(PartitionSpec(AXIS) if s else PartitionSpec() for s in spread)
    return compile_tiles(jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False))


def _everything(queries: int, keys: int) -> Schedule:
    tiles = queries // QUERY_TILE
    return Schedule(jnp.zeros(tiles, jnp.int32), jnp.full(tiles, keys // KEY_TILE, jnp.int32), None)


def _own_here(own: jax.Array | None, share: int) -> jax.Array | None:
    """Return the places of self-terms counted from the first key of this device; outside 0..share they meet no key."""
    return None if own is None else own - jax.lax.axis_index(AXIS) * share
