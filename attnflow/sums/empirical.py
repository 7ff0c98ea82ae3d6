"""The empirical life of an attention: N points, bandwidth eps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import DTypeLike

from attnflow._checkpoints import Checkpoint
from attnflow._checks import check_choice, check_finite, check_tolerance
from attnflow._lifting import evaluate
from attnflow._tracing import is_traced
from attnflow.attention import Attending, check_attention
from attnflow.errors import ConfigError, DataError, PrecisionError
from attnflow.measures import DiscreteMeasure, as_measure, as_measures
from attnflow.precision import require_device, require_x64
from attnflow.sums.kernel_sums.devices import choose_devices
from attnflow.sums.operators.stacked import operator_over
from attnflow.sums.planning.planner import METHODS
from attnflow.trajectories import Spectrum, Trajectory, count_layers

Function = Callable | np.ndarray
MAX_LAYERS = 10_000_000  # of a few points these take a quarter of an hour
BEST_RTOL = {"float64": 1e-12, "float32": 1e-4}


class EmpiricalAttention:
    """Attention over N points, the operator of one frozen layer [RZ].

        A_N f(x) = sum_j w_j e^{u_j} k(x, X_j) f(X_j) / sum_j w_j e^{u_j} k(x, X_j),   k = exp(-D / 2eps)

    with the log key weights u of the attention's normalisation on these points, u = 0 for softmax.

    "dense" sums all pairs, streamed: memory grows like N, time like N^2. From eight coordinates on it takes logits of
    SquaredDistance, DotProduct and QueryKey as products of matrices, rounded relative to the squared radius over eps.
    For squared distances, of the points themselves or of mapped ones (`PseudoMetric.mapped`), "cutoff" sums the
    neighbours within a few sqrt(eps), and "fourier", in at most three coordinates, is the fast Gauss transform, in time
    like N at a fixed bandwidth. "cutoff" bounds what it leaves out, "fourier"
    estimates it from exact sums at some rows, as "dense" does in float32; rows for which that exceeds `rtol` are summed
    again; "auto" takes what is predicted to be the fastest. It knows no manifold.

    Under a mask ("masked") only tiles are visited that hold a key, or lists of keys are gathered; RandomFeatures
    ("features") take time like N R. Neither is traced by JAX.

    No method forms an N x N array, with one exception: `evolve` over 10 layers or more of at most 2048 points holds the
    normalised matrix, of up to 34 MB.

    `layer`, `generator` and `log_normalizer` can be differentiated by points, masses, values, bandwidth and queries,
    without an N x N array. Sums over all pairs, of any cost, admit every transformation of JAX, any number of times.
    The other methods admit one grad, vjp or jvp; under jit and vmap "auto" sums all pairs.

    A head of a trained model has keys K (N, d), values V (N, c) and queries Q (M, d): softmax(Q K' / sqrt(d)) V is
    `EmpiricalAttention(Attention(DotProduct(), math.sqrt(d)), K).layer(V, at=Q)`, and of several heads K (H, N, d),
    V (H, N, c) and Q (H, M, d) it is the same line. Heads are taken one after another. Keys that only fill up have mass
    0. A mask of positions takes as many queries as keys: the i-th query is at the place of the i-th key.

    Args:
        attention: the cost, the bandwidth and what is done with rows; or several heads, a MultiHead.
        points: the tokens X_j, shape (N, D), all with mass 1, or a DiscreteMeasure; of heads with keys of their own
            (H, N, D), or a list of measures of as many points. What follows then has a leading axis of heads as well,
            and `evolve`, `spectrum` and `stationary` are refused.
        rtol: tolerance on max |error| / max |values|; a dtype that cannot promise it is refused.
        method: "auto", "dense", "cutoff", "fourier" or "gpu".
        include_self: whether a token attends to itself; without it only its own points can be asked for: a query
            elsewhere is no token, and one that coincides with a key need not be it. A token given once with mass 2 is
            then left out with both its copies.
        dtype: "float64" (None) or, for speed, "float32"; a warning tells where that does not reach `rtol`, and
            float64 is taken.
        devices: how many of JAX's devices, or which, share a dense sum; None for all cores of this processor.

    Raises:
        ConfigError: if an option is unknown, `attention` is no Attention, fewer than two points are given, or the
            method cannot sum this cost in this dimension.
        ResourceError: if the method needs more memory than is free.
        DataError: if the points are not finite or have the wrong shape.
        PrecisionError: if JAX computes in float32 and float64 is asked, or `rtol` is below what the dtype can do.

    Example:
        >>> import jax, attnflow as af
        >>> af.enable_x64()
        >>> points = af.Uniform(af.Circle()).sample(500, key=jax.random.key(0))
        >>> layer = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.1), points)
        >>> layer.layer(lambda x: x[0]).shape
        (500,)
        >>> layer.solver_error < 1e-8
        True
        >>> Q, K, V = np.random.default_rng(0).normal(size=(3, 12, 100, 64))  # twelve heads
        >>> af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=8.0), K).layer(V, at=Q).shape
        (12, 100, 64)
    """

    def __init__(
        self,
        attention: Attending,
        points: object,
        *,
        rtol: float = 1e-8,
        method: str = "auto",
        include_self: bool = True,
        dtype: DTypeLike | None = None,
        devices: int | Sequence[jax.Device] | None = None,
    ) -> None:
        method = check_choice(method, "method", ("auto", *METHODS))
        dtype = _dtype_name(dtype)
        require_device()
        if dtype == "float64":
            require_x64()
        if check_tolerance(rtol, "rtol") < BEST_RTOL[dtype]:
            raise PrecisionError(f"{dtype} cannot promise `rtol` = {rtol:g}. Pass rtol={BEST_RTOL[dtype]:g} or more.")
        measure = as_measures(points, "points")
        if len(measure) < 2:
            raise ConfigError(f"`points` must hold at least 2 points, got {len(measure)}.")
        if not isinstance(points, DiscreteMeasure) and len(measure) <= 8 and measure.ambient_dim >= 32:
            raise DataError(
                f"`points` must have shape (N, D), got {measure.points.shape}. Transpose it: rows are points. "
                f"If {len(measure)} points of {measure.ambient_dim} coordinates are meant, pass a DiscreteMeasure."
            )
        self.attention = check_attention(attention)
        self.measure = measure
        self.include_self = bool(include_self)
        self._summed = functools.partial(
            EmpiricalAttention, rtol=rtol, method=method, include_self=include_self, dtype=dtype, devices=devices
        )
        self._operator = operator_over(
            attention, measure, include_self=self.include_self, dtype=dtype, method=method, rtol=rtol,
            promise=rtol, devices=None if devices is None else choose_devices(devices),
        )  # fmt: skip

    def __repr__(self) -> str:
        *heads, count, dim = self.measure.points.shape
        of_heads = "".join(f"{number} heads, " for number in heads)
        return f"EmpiricalAttention({self.attention!r}, {of_heads}N={count}, D={dim})"

    def at_bandwidth(self, bandwidth: float) -> EmpiricalAttention:
        """Return the same attention over the same points at another bandwidth."""
        return self._summed(self.attention.at_bandwidth(bandwidth), self.measure)

    @property
    def method(self) -> str:
        """How a layer on the own points is summed."""
        return self._operator.method

    @property
    def solver_error(self) -> float:
        """The declared error: a bound on max |error| / max |f| of every layer so far that JAX did not trace.

        0 before the first. That of "fourier" is estimated from sums at some rows, with a factor of safety.
        """
        return self._operator.worst_error

    def layer(self, f: Function, at: object = None) -> np.ndarray:
        """Return one layer, A_N f; `solver_error` then bounds its error.

        Args:
            f: a function of one ambient point, compiled once: what it reads from outside must not change; or its values
                at the own points, shape (N,) or (N, c).
            at: where to evaluate, shape (Q, D); None for the own points.

        Returns:
            (Q,) or (Q, c).

        Raises:
            ConfigError: if `at` is given without self-attention.
            DataError: if values or queries do not fit the points, or have other heads.
        """
        queries = self._queries(at)  # what is cheap to refuse comes first: f compiles
        return self._operator(self._own_values(f), queries)

    def generator(self, f: Function, at: object = None) -> np.ndarray:
        """Return the difference quotient (A_N f - f) / eps.

        Args:
            f: a function of one ambient point, or, at the own points only, its values (N,) or (N, c).
            at: where to evaluate, shape (Q, D); None for the own points.

        Returns:
            (Q,) or (Q, c).

        Raises:
            ConfigError: if `at` is given without self-attention, or with values in place of a function: what is to be
                subtracted are the values at the queries, which those at the own points do not tell.
        """
        queries = self._queries(at)
        values = self._own_values(f)
        now = self._values_at(f, values, queries)
        return (self._operator(values, queries) - now) / self.attention.bandwidth

    def evolve(
        self, f: Function, times: object, at: object = None, *, checkpoint: Path | str | None = None
    ) -> Trajectory:
        """Return the iterates A_N^n f at the times n eps, the points frozen.

        Args:
            f: as in `generator`.
            times: one or several nonnegative whole numbers of layers, in units of time; 0 gives f.
            at: where to record, points (Q, D) or a DiscreteMeasure, whose weights the trajectory then carries; None
                for the own points. At other points the last layer is evaluated on the previous one at its own points.
            checkpoint: a folder in which the layers so far are kept, every half minute. The same call goes on from
                there if it was killed, and ends with the same bytes; then the file is removed. It costs one more layer
                at the start, by which the file is known. In a study `af.scratch_folder()`; of several processes a
                folder that all of them share.

        Returns:
            A Trajectory whose times are the realised n eps.

        Raises:
            ConfigError: if a time is not a whole number of layers (the two nearest are named), or there are more than
                ten million, or several heads, or the folder does not exist; else as `generator`.
            ResultFileError: if a checkpoint cannot be written.
        """
        if not isinstance(self.measure, DiscreteMeasure):
            raise ConfigError(
                f"`evolve` of {len(self.measure.parts)} heads is no single trajectory. Make an EmpiricalAttention of "
                "the keys of each head."
            )
        if is_traced(self.attention, self.measure.points, self.measure.masses, f, getattr(at, "points", at)):
            raise ConfigError("`evolve` cannot be traced by JAX. Apply `layer` as often as needed under jit or grad.")
        counts = count_layers(times, self.attention.bandwidth)
        if counts.max() > MAX_LAYERS:
            raise ConfigError(
                f"`times` asks for {counts.max():.3g} layers; at most {MAX_LAYERS:.0e} are taken. For long times use "
                "`spectrum` or DriftDiffusion."
            )
        measure = self.measure if at is None else as_measure(at, "at", ambient_dim=self.measure.ambient_dim)
        queries = self._queries(at)
        own = self._own_values(f)
        start = self._values_at(f, own, queries) if 0 in counts else None
        kept = Checkpoint(checkpoint, lambda: self._determining(own, counts, queries))
        values = self._operator.iterate(own, counts=counts.tolist(), at=queries, at_zero=start, kept=kept)
        kept.remove()
        return Trajectory(
            times=counts * self.attention.bandwidth,
            points=measure.points,
            values=values,
            weights=measure.masses,
            solver_error=float(self._operator.last_error * np.abs(own).max()),
            method=f"{self.method} sums over {len(self.measure)} points",
        )

    def _determining(self, own: np.ndarray, counts: np.ndarray, queries: np.ndarray | None) -> list:
        """Return what an evolution depends on; one layer of it tells costs apart that have one name."""
        moved = self._operator(own, None)
        return [
            repr(self),
            repr(self._summed.keywords),
            self.attention,
            self.measure.points,
            self.measure.masses,
            own,
            moved,
            counts,
            queries,
        ]

    def log_normalizer(self, at: object = None) -> np.ndarray:
        """Return log sum_j w_j e^{u_j - D(x, X_j) / 2eps} at the points (Q, D), shape (Q,); u = 0 for softmax."""
        return self._operator.log_normalizer(self._queries(at))

    def effective_sample_size(self, at: object = None) -> np.ndarray:
        """Return 1 / sum_j a_j^2 for the attention weights a_j of each point (Q, D), shape (Q,), between 1 and N.

        Near 1 the bandwidth is too small for these points: attention copies the nearest token.
        """
        return self._operator.effective_sample_size(self._queries(at))

    def stationary(self) -> np.ndarray:
        """Return the stationary law pi_i ~ v_i sum_j v_j k(X_i, X_j), v = w e^u, shape (N,); it sums to 1.

        Raises:
            ConfigError: if the cost is not symmetric.
        """
        return self._operator.stationary()

    def spectrum(self, k: int) -> Spectrum:
        """Return the k smallest eigenvalues of (I - A_N) / eps, for a symmetric cost.

        Eigenfunctions have unit norm in the stationary law; one layer extends them to other points, u = A_N u / lambda.
        Up to 4096 points the eigenvalues of A_N are those of a matrix, to rounding; of more points they are found by
        block Lanczos, without a matrix, to `rtol`, copies of multiple ones included.

        Args:
            k: how many, at most N.

        Raises:
            ConfigError: if the cost is not symmetric.
            ResourceError: above 4096 points, if more eigenvectors are asked than a basis of one gigabyte finds.
            ConvergenceError: above 4096 points, if the eigenvalues do not settle.
        """
        return self._operator.spectrum(self._operator.eigenpairs(k))

    def _queries(self, at: object) -> np.ndarray | None:
        if at is None:
            return None
        if not self.include_self:
            raise ConfigError(
                "`at` needs `include_self=True`: a query elsewhere is no token, even where it coincides with a key, "
                "and has no self-term to leave out. Drop `at`. Queries and keys of the same tokens side by side, "
                "np.hstack([Q, K]), are points of the cost QueryKey(np.eye(d, 2 * d), np.eye(d, 2 * d, k=d))."
            )
        queries: Any = as_measures(at, "at", ambient_dim=self.measure.ambient_dim).points
        heads = self._shape[:-1]
        if queries.shape[:-2] != heads:
            dim = queries.shape[-1]
            wanted, remedy = f"(Q, {dim})", "Keys of several heads have the shape (H, N, D)."
            if heads:
                wanted = f"({heads[0]}, Q, {dim})"
                remedy = f"Pass queries for each of the {heads[0]} heads of the points."
            raise DataError(f"`at` must have shape {wanted}, got {queries.shape}. {remedy}")
        return queries

    @property
    def _shape(self) -> tuple[int, ...]:
        """The leading axes of values at the own points: (N,), or (H, N) of several heads."""
        return self.measure.points.shape[:-1]

    def _own_values(self, f: Function) -> np.ndarray:
        if callable(f):
            return _evaluated(f, self.measure.points)
        values, shape = f if is_traced(f) else check_finite(f, "f"), self._shape
        if values.ndim not in (len(shape), len(shape) + 1) or values.shape[: len(shape)] != shape:
            words = ", ".join(map(str, shape))
            scalar = f"({words})" if len(shape) > 1 else f"({words},)"
            raise DataError(f"`f` must have shape {scalar} or ({words}, c), got {values.shape}.")
        return values

    def _values_at(self, f: Function, own: np.ndarray, queries: np.ndarray | None) -> np.ndarray:
        if queries is None:
            return own
        if not callable(f):
            raise ConfigError(
                "`f` must be a function where its values at `at` are needed, got an array of those at the own points. "
                "Pass a function; or, of values v at `at`, compute (life.layer(f, at=at) - v) / bandwidth."
            )
        return _evaluated(f, queries)


def _evaluated(f: Callable, points: Any) -> np.ndarray:
    """Return f at points (..., D), shape (...) or (..., c)."""
    found = evaluate(f, points.reshape(-1, points.shape[-1]))
    return found.reshape(*points.shape[:-1], *found.shape[1:])


def _dtype_name(dtype: DTypeLike | None) -> str:
    """Return the name of a dtype that attention can be computed in; raise ConfigError for another."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    return check_choice(name, "dtype", BEST_RTOL)
