"""One kernel sum that picks its method: the fastest that keeps the promise, and others for the rows it cannot sum."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import numpy as np
import psutil
from scipy.spatial import cKDTree

from attnflow.attention import Attention
from attnflow.errors import ConfigError, DegenerateKernelError, ResourceError
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.cutoff import CutoffSum
from attnflow.sums.kernel_sums.dense import DenseSum
from attnflow.sums.kernel_sums.devices import DevicesSum
from attnflow.sums.kernel_sums.fourier import MAX_DIM, FourierSum
from attnflow.sums.kernel_sums.gpu import GpuSum, has_gpu
from attnflow.sums.kernel_sums.gpu_products import MOST_BY_PAIRS, GpuProductSum
from attnflow.sums.kernel_sums.large_logits import LargeLogitSum
from attnflow.sums.kernel_sums.mapped import MOST_SPAN, MappedKeys, MappedSum
from attnflow.sums.kernel_sums.products import LEAST_DIM, ProductSum
from attnflow.sums.kernel_sums.rounding import least_total
from attnflow.sums.planning import costs
from attnflow.sums.planning.costs import Cost, Workload
from attnflow.sums.planning.machine import this_machine, typical_machine
from attnflow.sums.planning.samples import Sample

METHODS = ("dense", "cutoff", "fourier", "gpu")
ROUNDED_UP = 1.01  # what is said to work is said in three digits
PLANNED_PAIRS = 2**23  # fewer are summed densely within milliseconds, less than a plan takes
ALWAYS_FREE = 2**20  # bytes
NOTICED_PAIRS = 2**20  # more are not summed once more in double precision without a word
HELD_POINTS, HELD_LAYERS = 2048, 4  # a matrix of up to 34 MB: it is made like two sums, and serves in a quarter of one
CALIBRATED_PAIRS = 2**31  # more take seconds: then this machine's own constants are worth the second they cost


class Plan(NamedTuple):
    """What was chosen and why.

    Args:
        method: "dense", "cutoff", "fourier" or "gpu".
        costs: of every method that can do it, by name.
    """

    method: str
    costs: dict[str, Cost]


class PlannedSum(KernelSum):
    """The sums by whichever method is predicted to be the fastest; rows that miss `rtol` go on to another.

    Args:
        attention: the cost and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic.
        rtol: tolerance on max |error| / max |values| of the averages.
        method: "auto" or the name of one.
        devices: spread the keys of dense sums over these; only dense sums then.

    Raises:
        ConfigError: if the named method cannot sum this cost in this dimension.
        ResourceError: if the named method needs more memory than is free.

    A call raises DegenerateKernelError if a row has no key with mass at a finite cost, and DataError if a cost is NaN
    or minus infinity. It warns of many rows at which float32 does not reach `rtol`, and sums them in float64. A row
    keeps an error above `rtol` only where rounding allows no better.
    """

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype, rtol: float,
        method: str = "auto", devices: Sequence[jax.Device] | None = None,
    ) -> None:  # fmt: skip
        self.attention = attention
        self.points = points
        # What rounding in single precision does to weights is known of exponentials only.
        self.dtype = dtype if attention.profile.is_exponential else np.dtype(np.float64)
        self._doubles = False  # whether single precision has been seen not to do
        self._layers = 1  # how many sums on the own points are expected: a search or a plan is paid for once
        self.log_weights = log_weights
        self._rtol = rtol
        if devices is not None and method not in ("auto", "dense"):
            raise ConfigError(f'`devices` spread dense sums only, got `method` = "{method}". Pass method="dense".')
        self._devices = devices
        self._asked = method if devices is None else "dense"
        self._sums: dict[tuple[str, np.dtype], KernelSum] = {}
        self._own_plans: dict[tuple, Plan] = {}
        self._thin: dict[tuple[str, bool], tuple[np.ndarray, Rows]] = {}
        if method != "auto":
            self._sum(method, self.dtype)  # refuses what it cannot do before any work

    @property
    def method(self) -> str:
        """The method for one layer of one channel on the own points."""
        return self.plan(self.points, columns=2).method

    def plan(self, queries: np.ndarray, *, columns: int, methods: tuple[str, ...] | None = None) -> Plan:
        """Return the method for the sums of some columns (the channels and the total) at the queries.

        Args:
            queries: x_i, shape (Q, D).
            columns: how many sums a row has.
            methods: to choose from; None for those that were asked for.

        Raises:
            ResourceError: if every one needs more memory than is free.
        """
        own = queries is self.points
        key = (columns, self._layers, methods)
        if own and key in self._own_plans:
            return self._own_plans[key]
        allowed = methods or (METHODS if self._asked == "auto" else (self._asked,))
        predicted = self._costs(queries, columns, allowed)
        free = _free_memory(max(cost.memory for cost in predicted.values()))
        fitting = {method: cost for method, cost in predicted.items() if cost.memory <= free}
        if not fitting:
            raise _too_large(predicted, self._costs(queries, 1, allowed), free, channels=columns - 1)
        repeats = self._layers - 1 if own else 0
        chosen = min(fitting, key=lambda method: fitting[method].first + repeats * fitting[method].next)
        plan = Plan(chosen, predicted)
        if own:
            self._own_plans[key] = plan
        return plan

    @contextlib.contextmanager
    def expecting(self, layers: int) -> Iterator[None]:
        """Plan for so many sums on the own points, for the time of a `with` block."""
        self._layers = max(1, layers)
        try:
            yield
        finally:
            self._layers = 1

    def held(self, *, exclude_self: bool) -> RowSums | None:
        """Return the sums of the values v = I on the own points, weighted (N, N), for many layers.

        None where there are too many points for that, few layers are expected, a row misses `rtol`, or another method
        or precision is asked for.
        """
        few = len(self.points) <= HELD_POINTS and self._layers >= HELD_LAYERS
        plain = self._asked in ("auto", "dense") and self._devices is None and self.dtype == np.float64
        if not (few and plain):
            return None
        dense = self._sum("dense", self.dtype)
        assert isinstance(dense, DenseSum | MappedSum)
        sums = dense.matrix(Rows(self.points, self._own_places if exclude_self else None))
        return sums if (sums.error <= self._rtol).all() else None

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        methods, some, sums, pending = None, rows, None, np.arange(len(rows.points))
        dtype = np.dtype(np.float64) if self._doubles else self.dtype
        while True:
            method = self.plan(some.points, columns=1 + values.shape[1], methods=methods).method
            part = self._in_parts(self._sum(method, dtype), values, some)
            sums = part if sums is None else sums.put(pending, part)
            pending = np.flatnonzero(~(sums.error <= self._rtol))
            if not len(pending) or method == "dense":
                break
            if self._asked == "cutoff" and np.isinf(sums.error).any():
                raise self._isolated(rows, np.flatnonzero(np.isinf(sums.error)))
            methods = ("dense",) if method == "cutoff" else ("cutoff", "dense")
            some = self._take(method, rows, pending)
        if len(pending) and dtype == np.float32:
            self._doubles = len(pending) > len(rows.points) / 2
            if len(pending) * len(self.points) >= NOTICED_PAIRS:
                self._say_imprecise(sums.error)
            double = self._sum("dense", np.dtype(np.float64))
            sums = sums.put(pending, self._in_parts(double, values, self._take("single", rows, pending)))
            pending = np.flatnonzero(~(sums.error <= self._rtol))
        if len(pending):
            sums = sums.put(pending, self._careful.of_rows(values, self._take("dense", rows, pending)))
        return sums

    def _say_imprecise(self, errors: np.ndarray) -> None:
        share, worst = np.mean(~(errors <= self._rtol)), errors.max()
        remedy = f" or rtol={2 * worst:.1g}" if worst < 1e-2 else ""
        warnings.warn(
            f"float32 is uncertain by {worst:.2g} of the largest value, above `rtol` = {self._rtol:g}: {share:.0%} of "
            f'the rows are summed in float64 instead. Pass dtype="float64"{remedy}.',
            RuntimeWarning,
            stacklevel=7,
        )

    @cached_property
    def _careful(self) -> KernelSum:
        return self._seen("dense", lambda attention, **given: LargeLogitSum(attention, **given))

    def _take(self, method: str, rows: Rows, pending: np.ndarray) -> Rows:
        """Return the rows that a method could not sum: one object for all layers, so that plans for them are kept."""
        if rows.points is not self.points:
            return rows.take(pending)
        key = method, rows.own is None
        if key not in self._thin or not np.array_equal(self._thin[key][0], pending):
            self._thin[key] = pending, rows.take(pending)
        return self._thin[key][1]

    def _costs(self, queries: np.ndarray, columns: int, methods: tuple[str, ...]) -> dict[str, Cost]:
        pairs = len(self.points) * len(queries)
        machine = this_machine() if pairs >= CALIBRATED_PAIRS and len(methods) > 1 else typical_machine()
        metric, mapped = self.attention.pseudometric, self._mapped_for("dense")
        work = Workload(
            keys=len(self.points), queries=len(queries), dim=(mapped or self).points.shape[1], columns=columns,
            dtype=self.dtype, own=queries is self.points, passes=1 if metric.vanishes_on_diagonal else 2,
            products=self._has_products,
        )  # fmt: skip
        predicted = {"dense": costs.dense_cost(work, machine)} if "dense" in methods else {}
        if pairs < PLANNED_PAIRS and "dense" in methods:
            return predicted
        has_gpu_products = "gpu" in methods and self._has_gpu_products
        if has_gpu_products and (len(methods) == 1 or has_gpu()):
            predicted["gpu"] = costs.gpu_cost(work._replace(products=True), machine)
        mapped = self._mapped_for("cutoff")
        if (mapped or self).attention.is_gaussian and (mapped is None or mapped.fits):
            weights, images = np.exp((mapped or self).log_weights), mapped.of(queries) if mapped else queries
            work = work._replace(dim=images.shape[1])
            sample = Sample.draw(images, (mapped or self).points, weights, bandwidth=self.attention.bandwidth)
            given: dict[str, Any] = dict(sample=sample, bandwidth=self.attention.bandwidth, rtol=self._rtol)
            if "cutoff" in methods:
                predicted["cutoff"] = costs.cutoff_cost(work, machine, **given)
            if "gpu" in methods and not has_gpu_products and (len(methods) == 1 or has_gpu()):
                predicted["gpu"] = costs.gpu_cost(work, machine)
            if "fourier" in methods and work.dim <= MAX_DIM:
                predicted["fourier"] = costs.fourier_cost(work, machine, width=self._width, **given)
        return predicted

    @cached_property
    def _has_products(self) -> bool:
        seen = self._mapped_for("dense") or self
        return self._devices is None and seen.points.shape[1] >= LEAST_DIM and seen.attention.factors(1.0) is not None

    @cached_property
    def _has_gpu_products(self) -> bool:
        """Whether logits are products of matrices on a GPU: of few coordinates pairs one by one are faster there."""
        seen = self._mapped_for("dense") or self
        return seen.points.shape[1] > MOST_BY_PAIRS and seen.attention.factors(1.0) is not None

    @cached_property
    def _width(self) -> np.ndarray:
        return np.ptp((self._mapped_for("fourier") or self).points, axis=0)

    @cached_property
    def _has_potentials(self) -> bool | None:
        """Whether the cost is one of mapped points with potentials or without; None if it is none."""
        found = None if self.attention.is_gaussian else self.attention.mapped(self.points[0])
        return None if found is None else found[1].has_potentials

    @cached_property
    def _mapped(self) -> MappedKeys:
        return MappedKeys(self.attention, points=self.points, log_weights=self.log_weights)

    def _mapped_for(self, method: str) -> MappedKeys | None:
        """Return the mapped keys that a method sums over, None for the points themselves.

        Potentials make large logits of small ones: sums over all pairs take the cost itself.
        """
        as_they_are = method == "dense" or (method == "gpu" and self._has_gpu_products)
        if self._has_potentials is None or (as_they_are and self._has_potentials):
            return None
        return self._mapped

    def _seen(self, method: str, make: Callable[..., KernelSum]) -> KernelSum:
        """Return a kernel sum over what a method sees."""
        mapped = self._mapped_for(method)
        seen = mapped or self
        made = make(seen.attention, points=seen.points, log_weights=seen.log_weights)
        return made if mapped is None else MappedSum(mapped, made, points=self.points)

    def _sum(self, method: str, dtype: np.dtype) -> KernelSum:
        if (method, dtype) not in self._sums:
            mapped = self._mapped_for(method)
            if method != "dense" and mapped is not None and not mapped.fits:
                raise ConfigError(
                    f'`method` = "{method}" takes {type(self.attention.pseudometric).__name__} for a squared distance '
                    f"with key weights, and at bandwidth {self.attention.bandwidth:g} these differ by more than "
                    f'e^{MOST_SPAN:g}. Pass method="dense".'
                )
            self._sums[method, dtype] = self._seen(method, partial(self._make, method, dtype))
        return self._sums[method, dtype]

    def _make(self, method: str, dtype: np.dtype, attention: Attention, **given: Any) -> KernelSum:
        given |= dict(dtype=dtype)
        if method == "dense" and self._devices is not None:
            return DevicesSum(attention, devices=self._devices, **given)
        if method == "dense" and self._has_products:
            return ProductSum(attention, rtol=self._rtol, **given)
        if method == "dense":
            return DenseSum(attention, **given)
        if method == "cutoff":
            return CutoffSum(attention, rtol=self._rtol, **given)
        if method == "gpu" and self._has_gpu_products:
            return GpuProductSum(attention, rtol=self._rtol, **given)
        if method == "gpu":
            return GpuSum(attention, **given)
        return FourierSum(attention, rtol=self._rtol, **given)

    def _in_parts(self, kernel_sum: KernelSum, values: np.ndarray, rows: Rows) -> RowSums:
        """Return the sums of a method; where memory runs out, of half the rows at a time, a quarter, an eighth."""
        for parts in (1, 2, 4, 8):
            try:
                if parts == 1:
                    return kernel_sum.of_rows(values, rows)
                some = np.array_split(np.arange(len(rows.points)), parts)
                done = [kernel_sum.of_rows(values, rows.take(part)) for part in some if len(part)]
                return RowSums(*map(np.concatenate, zip(*done, strict=True)))
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
                    raise
        raise ResourceError(
            f"memory ran out in a {kernel_sum.method} sum of {len(rows.points)} rows over {len(self.points)} points "
            f"with {values.shape[1]} channels, even for an eighth of the rows at a time. Pass fewer channels at once."
        )

    def _isolated(self, rows: Rows, bad: np.ndarray) -> DegenerateKernelError:
        massive, mapped = np.flatnonzero(self.log_weights > -np.inf), self._mapped_for("cutoff")
        images = mapped.of(rows.points) if mapped else rows.points
        found = cKDTree((mapped or self).points[massive]).query(images[bad], k=min(2, len(massive)))
        distances, nearest = (np.asarray(part).reshape(len(bad), -1) for part in found)
        if rows.own is not None:
            distances[massive[nearest] == rows.own[bad, None]] = np.inf
        gaps = distances.min(axis=1)
        worst = int(np.argmax(gaps))
        workable = -(gaps[worst] ** 2) / (2 * np.log(least_total(self.dtype)))
        return DegenerateKernelError(
            f"row {bad[worst]}, query {rows.points[bad[worst]].tolist()}, and {len(bad) - 1} more have no neighbour: "
            f"the nearest key of this row is at a distance of {gaps[worst]:.4g}, out of reach for `bandwidth` = "
            f"{self.attention.bandwidth:g} in {self.dtype}. The smallest workable bandwidth is "
            f'{ROUNDED_UP * workable:.3g}; or pass method="auto".'
        )


def _free_memory(wanted: float) -> float:
    """Return how many bytes are free; little is always to be had, and asking takes a tenth of a short sum's time."""
    return math.inf if wanted <= ALWAYS_FREE else float(psutil.virtual_memory().available)


def _too_large(predicted: dict[str, Cost], bare: dict[str, Cost], free: float, *, channels: int) -> ResourceError:
    """Return the refusal of a sum; `bare` are the costs without channels."""
    method = min(predicted, key=lambda name: predicted[name].memory)
    need, least = predicted[method].memory, bare[method].memory
    fit = int(channels * (free - least) / (need - least)) if free > least else 0
    remedy = f"Pass at most {fit} of the {channels} channels at a time." if fit else "Use fewer points."
    return ResourceError(
        f"a {method} sum needs {need / 1e9:.3g} GB of memory and {free / 1e9:.3g} GB are free. {remedy}"
    )
