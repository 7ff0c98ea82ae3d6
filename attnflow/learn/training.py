"""Training of many seeds at once: one compilation, losses that are watched, checkpoints."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from attnflow._checks import check_choice, check_integer, check_positive, check_real
from attnflow._compiling import LIGHT, compile_roughly
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.learn.checkpoints import Checkpoints, Progress

T = TypeVar("T")
Loss = Callable[[Any, Any, jax.Array], jax.Array]
Measurement = Callable[[Any, Any], Mapping[str, jax.Array]]
DTYPES = ("float32", "float64")


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """Models of several seeds after training.

    Args:
        models: one pytree, every array with one leading axis over seeds.
        losses: before each step, (seeds, steps).
        times: the steps after which something was measured, (T,), the first 0.
        history: by name, what was measured, (seeds, T, ...).
    """

    models: Any
    losses: np.ndarray
    times: np.ndarray
    history: dict[str, np.ndarray]

    def __repr__(self) -> str:
        seeds, steps = self.losses.shape
        last = [f"{name} {values[:, -1].mean():.3g}" for name, values in self.history.items() if values.ndim == 2]
        end = f", loss {self.losses[:, -1].mean():.3g}" if steps else ""
        return f"Trained({seeds} seeds, {steps} steps{end}{''.join(f', {each}' for each in last)})"

    @property
    def seeds(self) -> int:
        """How many models there are."""
        return len(self.losses)

    def model(self, seed: int) -> Any:
        """Return the model of one seed.

        Raises:
            ConfigError: if there is no such seed.
        """
        if not 0 <= check_integer(seed, "seed", minimum=0) < self.seeds:
            raise ConfigError(f"`seed` must be one of 0 to {self.seeds - 1}, got {seed}.")
        return jax.tree.map(lambda leaf: leaf[seed] if eqx.is_array(leaf) else leaf, self.models)


def train(
    make: Callable[[jax.Array], Any],
    loss: Loss,
    data: Any,
    *,
    keys: Sequence[jax.Array] | jax.Array,
    steps: int,
    learning_rate: float = 0.01,
    weight_decay: float = 5e-4,
    measure: Measurement | None = None,
    every: int = 100,
    data_axis: int | None = 0,
    dtype: str = "float32",
    checkpoint: Path | str | None = None,
    bar: bool = True,
) -> Trained:
    """Minimise a loss by Adam with decoupled weight decay, for all seeds at once.

    Seed s starts from make(key_s); step n draws what it draws from the key fold_in(key_s, n), so that a run which is
    resumed, or split otherwise, goes through the same numbers.

    Args:
        make: key -> a model, any pytree; its arrays of real numbers are trained.
        loss: (model, data of one seed, key) -> a number. A function of a module is compiled once for all calls.
        data: a pytree of arrays with one leading axis over seeds, or, if `data_axis` is None, the same for all seeds.
        keys: one for each seed.
        steps: how many.
        learning_rate: of Adam.
        weight_decay: of all parameters, times the learning rate.
        measure: (model, data of one seed) -> {name: number or array}, what is measured before the first step, and after
            every `every` steps.
        every: steps between two measurements and checkpoints.
        data_axis: 0 or None, see `data`.
        dtype: "float32" or "float64", of parameters and data.
        checkpoint: a folder that exists, in which the state is kept after each `every` steps, whole or not at all. The
            same call finds it there and goes on; another call has a file of its own.
        bar: whether to show how far it is, on a terminal.

    Returns:
        A Trained.

    Raises:
        ConvergenceError: a loss is not finite; names the step and the seed. Its attribute `trained` is the Trained up
            to there, each seed in its last good state.
        ConfigError: a size, a rate or the type is none, or the data have not one row for each seed.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, attnflow as af
        >>> def make(key):
        ...     return jax.random.normal(key, (2,))
        >>> def loss(model, data, key):
        ...     return jnp.sum((model - data) ** 2)
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> trained = af.learn.train(make, loss, np.ones((3, 2)), keys=keys, steps=1000, weight_decay=0.0)
        >>> bool(np.abs(trained.models - 1).max() < 1e-2), trained.model(0).shape
        (True, (2,))
    """
    steps = check_integer(steps, "steps", minimum=0)
    every = check_integer(every, "every", minimum=1)
    rates = (check_positive(learning_rate, "learning_rate"), check_real(weight_decay, "weight_decay"))
    keys = _checked_keys(keys)
    data = _checked_data(data, axis=data_axis, seeds=len(keys), dtype=check_choice(dtype, "dtype", DTYPES))
    parameters, rest = eqx.partition(_made(make, keys), eqx.is_inexact_array)
    parameters = _cast(parameters, dtype)
    parts = _Parts(loss, measure, rest, rates, data_axis)
    checkpoints = Checkpoints(
        checkpoint,
        Progress(
            state=_State(parameters, _started(rates, parameters), np.full(len(keys), -1)),
            losses=np.empty((len(keys), 0)),
            times=np.zeros(1, dtype=int),
            history={name: np.asarray(x)[:, None] for name, x in _measured(parts, parameters, data).items()},
        ),
        given=(jax.random.key_data(keys), data, rest),
        named=[] if checkpoint is None else [_programs_of(parts, parameters, data, keys), steps, every, *rates],
    )
    progress = checkpoints.load()
    with tqdm(total=steps, initial=progress.steps, unit="step", disable=not (bar and sys.stderr.isatty())) as shown:
        while progress.steps < steps:
            count = min(every, steps - progress.steps)
            state, losses = _advance(parts, progress.state, data, keys, jnp.asarray(progress.steps), count)
            progress = progress.after(state, losses, _measured(parts, state.parameters, data))
            _check_losses(progress, rest)
            checkpoints.save(progress)
            shown.update(count)
    return _trained(progress, rest)


def _programs_of(parts: _Parts, parameters: Any, data: Any, keys: jax.Array) -> str:
    """Return the programs of loss and measurement as text: two functions are the same if they compute the same."""

    def of_seed(parameters: Any, data: Any, key: jax.Array) -> Any:
        model = eqx.combine(parameters, jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, parts.rest))
        return parts.loss(model, data, key), {} if parts.measure is None else dict(parts.measure(model, data))

    first = [parameters, data if parts.data_axis == 0 else None, keys]
    parameters, row, key = jax.tree.map(lambda leaf: leaf[0], first)
    return str(jax.make_jaxpr(of_seed)(parameters, data if row is None else row, key))


def _made(make: Callable[[jax.Array], Any], keys: jax.Array) -> Any:
    """Return the models of all seeds in one pytree.

    Drawing numbers makes long programs that run once: a transformer took 10 s to draw each array by itself, and 2 s
    this way.
    """
    rest = []

    @compile_roughly
    def arrays_of(keys: jax.Array) -> Any:
        arrays, others = eqx.partition(eqx.filter_vmap(make)(keys), eqx.is_array)
        rest.append(others)
        return arrays

    return eqx.combine(arrays_of(keys), rest[0])


def _trained(progress: Progress, rest: Any) -> Trained:
    return Trained(
        models=eqx.combine(progress.state.parameters, rest),
        losses=progress.losses, times=progress.times, history=progress.history,
    )  # fmt: skip


def _check_losses(progress: Progress, rest: Any) -> None:
    """Raise ConvergenceError if the loss of a seed was not finite, with what was reached."""
    failed = np.asarray(progress.state.failed)
    if (failed < 0).all():
        return
    seeds = np.flatnonzero(failed >= 0)
    first = seeds[np.argmin(failed[seeds])]
    step = int(failed[first])
    error = ConvergenceError(
        f"the loss of seed {first} is {progress.losses[first, step]} at step {step}"
        + (f", and that of {len(seeds) - 1} more seeds later" if len(seeds) > 1 else "")
        + ". The error's `trained` holds the last good state of each seed. Lower `learning_rate`, or look for data "
        "that are too large."
    )
    error.trained = _trained(progress, rest)  # type: ignore[attr-defined]
    raise error


def _checked_keys(keys: Sequence[jax.Array] | jax.Array) -> jax.Array:
    """Return the keys in one array; raise ConfigError if there are none."""
    stacked = keys if isinstance(keys, jax.Array) else jnp.stack(list(keys)) if len(keys) else None
    if stacked is None or stacked.ndim != 1 or not jnp.issubdtype(stacked.dtype, jax.dtypes.prng_key):
        raise ConfigError("`keys` must be keys of JAX, one for each seed. Pass jax.random.split(key, 10).")
    return stacked


def _checked_data(data: Any, *, axis: int | None, seeds: int, dtype: str) -> Any:
    """Return the data with real numbers of one type; raise ConfigError unless there is one row for each seed."""
    if axis not in (0, None):
        raise ConfigError(f"`data_axis` must be 0, or None if all seeds share the data, got {axis!r}.")
    for leaf in jax.tree.leaves(data) if axis == 0 else ():
        if np.ndim(leaf) == 0 or len(leaf) != seeds:
            raise ConfigError(
                f"`data` must have one row for each of {seeds} seeds, got shape {np.shape(leaf)}. Stack one draw for "
                "each seed, or pass `data_axis=None` if all seeds share the data."
            )
    return _cast(jax.tree.map(jnp.asarray, data), dtype)


def _cast(arrays: Any, dtype: str) -> Any:
    return jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, arrays)


class _State(eqx.Module):
    """What a step changes: parameters, the optimizer's state, and the step whose loss was not finite, or -1."""

    parameters: Any
    optimizer: Any
    failed: Any


class _Parts(eqx.Module):
    """What a step is made of and does not change."""

    loss: Loss = eqx.field(static=True)
    measure: Measurement | None = eqx.field(static=True)
    rest: Any
    rates: tuple[float, float] = eqx.field(static=True)
    data_axis: int | None = eqx.field(static=True)


def _started(rates: tuple[float, float], parameters: Any) -> Any:
    """Return the state of Adam before the first step: zeros."""
    shapes = jax.eval_shape(jax.vmap(_adam(rates).init), parameters)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)


def _compiled(function: Callable[..., T]) -> Callable[..., T]:
    """Return a function that is compiled for the arrays among its arguments."""
    return eqx.filter_jit(function, compiler_options=LIGHT)  # type: ignore[call-overload]


def _adam(rates: tuple[float, float]) -> optax.GradientTransformation:
    learning_rate, weight_decay = rates
    return optax.adamw(learning_rate, weight_decay=weight_decay)


@_compiled
def _advance(
    parts: _Parts, state: _State, data: Any, keys: jax.Array, start: jax.Array, count: int
) -> tuple[_State, jax.Array]:
    """Return the state of all seeds after so many steps, and their losses (seeds, count)."""
    optimizer = _adam(parts.rates)

    def of_seed(state: _State, rest: Any, data: Any, key: jax.Array) -> tuple[_State, jax.Array]:
        def loss_of(parameters: Any, key: jax.Array) -> jax.Array:
            return parts.loss(eqx.combine(parameters, rest), data, key)

        def step(state: _State, number: jax.Array) -> tuple[_State, jax.Array]:
            value, gradient = jax.value_and_grad(loss_of)(state.parameters, jax.random.fold_in(key, number))
            updates, moments = optimizer.update(gradient, state.optimizer, state.parameters)
            moved = optax.apply_updates(state.parameters, updates)
            finite = jnp.isfinite(value) & (state.failed < 0)
            kept = jax.tree.map(
                lambda new, old: jnp.where(finite, new, old),
                (moved, moments), (state.parameters, state.optimizer),
            )  # fmt: skip
            failed = jnp.where((state.failed < 0) & ~finite, number, state.failed)
            return _State(kept[0], kept[1], failed), value

        return jax.lax.scan(step, state, start + jnp.arange(count))

    axes = jax.tree.map(lambda leaf: 0 if eqx.is_array(leaf) else None, parts.rest)
    return eqx.filter_vmap(of_seed, in_axes=(eqx.if_array(0), axes, parts.data_axis, 0))(state, parts.rest, data, keys)


@_compiled
def _measured(parts: _Parts, parameters: Any, data: Any) -> dict[str, jax.Array]:
    """Return what is measured of all seeds, {name: (seeds, ...)}."""
    if parts.measure is None:
        return {}
    measure = parts.measure

    def of_seed(parameters: Any, rest: Any, data: Any) -> dict[str, jax.Array]:
        return {name: jnp.asarray(x) for name, x in measure(eqx.combine(parameters, rest), data).items()}

    axes = jax.tree.map(lambda leaf: 0 if eqx.is_array(leaf) else None, parts.rest)
    return eqx.filter_vmap(of_seed, in_axes=(0, axes, parts.data_axis))(parameters, parts.rest, data)
