"""How fast this machine sums: constants measured once and kept in the user's cache folder.

They are seconds of a processor, not of a clock, so that what else the machine does hardly moves them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import finufft
import jax
import numpy as np
import platformdirs

from attnflow.attention import Attention
from attnflow.pseudometrics.plain import SquaredDistance
from attnflow.sums.kernel_sums.cutoff import KEY_TILE, CutoffSum
from attnflow.sums.kernel_sums.dense import DenseSum
from attnflow.sums.kernel_sums.gpu import GpuSum, has_gpu
from attnflow.sums.kernel_sums.neighbours import spatial_order

# Nanoseconds per point of a non-uniform transform in d dimensions, base + growth (digits)^2, measured from 3 to 12.
SPREADING = {1: (18.0, 0.15), 2: (45.0, 0.75), 3: (150.0, 6.5)}
FORMAT = 3  # of the file; raised when a constant changes its meaning


@dataclass(frozen=True)
class Machine:
    """Return seconds of one core, in nanoseconds: the defaults were measured on a server core with 512-bit vectors.

    Args:
        pair64, pair32: one pair of points with three coordinates and up to three channels, in float64 and float32.
        candidate: one candidate pair of a cutoff sum, relative to a pair of the dense sum.
        row: one row of a sum by a fast method, besides: gathering, checking.
        sort: one point, sorted into tiles, per level of the tree.
        search: one pair of tiles that may be near.
        spread: of a non-uniform transform, per point, relative to what was measured on that core.
        scatter: one point, prepared for it.
        grid: one point of its refined grid.
        gpu64, gpu32: one pair on a GPU, three coordinates and two columns; the defaults were measured on an H100.
        cores: how many there are.
    """

    pair64: float = 0.95
    pair32: float = 0.42
    candidate: float = 1.6
    row: float = 300.0
    sort: float = 100.0
    search: float = 1000.0
    spread: float = 1.0
    scatter: float = 60.0
    grid: float = 40.0
    gpu64: float = 2.1e-3
    gpu32: float = 4.6e-4
    cores: int = dataclasses.field(default_factory=lambda: os.cpu_count() or 1)

    def pair(self, dtype: np.dtype) -> float:
        """Return the seconds that one core takes for a pair."""
        return 1e-9 * (self.pair64 if dtype == np.float64 else self.pair32)


READINGS, SPREAD = 3, 0.25  # a core that two threads share is slower by more


class Calibration(NamedTuple):
    """Measured constants, and whether repeated readings agreed, so that they are worth keeping."""

    machine: Machine
    steady: bool


class _Clock:
    """Takes times, each the shortest of several, and notes whether they agree.

    Attributes:
        steady: whether no second-shortest time was longer than the shortest by more than SPREAD.
    """

    def __init__(self) -> None:
        self.steady = True

    def seconds(self, run: Callable[[], object], *, of: Callable[[], float] = time.process_time) -> float:
        """Return the shortest of some runs after one that compiles: seconds of all cores together, or `of` a clock."""
        run()
        times = []
        for _ in range(READINGS):
            start = of()
            run()
            times.append(of() - start)
        least, second = sorted(times)[:2]
        self.steady &= second <= (1 + SPREAD) * least
        return least


@functools.cache
def typical_machine() -> Machine:
    """Return the constants of the server core: what takes milliseconds is planned with them."""
    return Machine()


@functools.cache
def this_machine() -> Machine:
    """Return the constants of this machine: from the cache folder, measured and put there where it has none.

    Those of a machine on which readings disagree serve this process alone.
    """
    known = known_machine()
    if known is not None:
        return known
    machine, steady = calibrate()
    if not steady:
        return machine
    path = cache_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps({**dataclasses.asdict(machine), "signature": _signature()}), encoding="utf-8")
        partial.replace(path)
    except OSError:
        pass  # a cache folder that cannot be written costs a second in the next process, nothing else
    return machine


def known_machine() -> Machine | None:
    """Return the constants of this machine from the cache folder, or None where they have yet to be measured."""
    try:
        known = json.loads(cache_file().read_text(encoding="utf-8"))
        return Machine(**known) if known.pop("signature") == _signature() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # no file, or one that another version wrote


def cache_file() -> Path:
    """Return where the constants are kept."""
    return Path(platformdirs.user_cache_dir("attnflow")) / "machine.json"


def _signature() -> list:
    """Return what the constants depend on; a home folder may be shared by several machines."""
    kinds = sorted({device.device_kind for device in jax.devices()})
    return [FORMAT, platform.machine(), platform.node(), os.cpu_count(), kinds, jax.__version__, finufft.__version__]


def calibrate() -> Calibration:
    """Measure the constants, on sums that take some hundredths of a second each."""
    rng, machine, clock = np.random.default_rng(0), Machine(), _Clock()
    points = rng.standard_normal((16384, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    values = points[:, :1]
    attention = Attention(SquaredDistance(), bandwidth=1e-2)
    given: dict[str, Any] = dict(points=points, log_weights=np.zeros(len(points)))
    half = len(points) // 2

    def dense_pair(dtype: type) -> float:
        some: dict[str, Any] = {name: array[:half] for name, array in given.items()}
        kernel_sum = DenseSum(attention, dtype=np.dtype(dtype), **some)
        return 1e9 * clock.seconds(lambda: kernel_sum(values[:half])) / half**2

    near = CutoffSum(attention, dtype=np.dtype(np.float64), rtol=1e-4, **given)
    pair = dense_pair(np.float64)
    candidate = 1e9 * clock.seconds(lambda: near(values)) / near.candidates
    levels = math.log2(len(points) / KEY_TILE)
    angles, modes = list(np.ascontiguousarray(points.T)), (64, 64, 64)

    def transform(count: int) -> float:
        plan = finufft.Plan(1, modes, eps=1e-6, nthreads=1)
        plan.setpts(*(angle[:count] for angle in angles))
        strengths = np.ones(count, np.complex128)
        return 1e9 * clock.seconds(lambda: plan.execute(strengths))

    few, many = transform(16), transform(len(points))
    base, growth = SPREADING[3]
    measured = dataclasses.replace(
        machine,
        pair64=pair,
        pair32=dense_pair(np.float32),
        candidate=candidate / pair,
        sort=1e9 * clock.seconds(lambda: spatial_order(points, KEY_TILE)) / len(points) / levels,
        gpu64=_gpu_pair(clock, attention, np.dtype(np.float64)),
        gpu32=_gpu_pair(clock, attention, np.dtype(np.float32)),
        spread=max((many - few) / len(points), 1.0) / (base + growth * 6**2),
    )
    return Calibration(measured, clock.steady)


def _gpu_pair(clock: _Clock, attention: Attention, dtype: np.dtype) -> float:
    """Nanoseconds of a pair on the GPU, where there is one."""
    if not has_gpu():
        return Machine().gpu64 if dtype == np.float64 else Machine().gpu32
    points = np.random.default_rng(0).standard_normal((131072, 3))
    kernel_sum = GpuSum(attention, points=points, log_weights=np.zeros(len(points)), dtype=dtype)
    return 1e9 * clock.seconds(lambda: kernel_sum(points[:, :1]), of=time.perf_counter) / len(points) ** 2
