"""What trained networks withstand: noise, attacks along the gradient, and how much they stretch small changes.

All of it is traced by JAX: under `eqx.filter_vmap` it runs for all seeds at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from attnflow._checks import check_choice, check_integer
from attnflow._words import briefly
from attnflow.errors import ConfigError

Network = Callable[[jax.Array], jax.Array]
NORMS = ("linf", "l2")
REACH = 2.5  # how many radii the steps of an attack are long together: it gets from one end of a ball to the other


class LocalLipschitz(NamedTuple):
    """How much a network stretches small changes of its tokens.

    Args:
        own: the largest singular value of d output_i / d token_i, for each token asked for, (Q,).
        whole: the largest singular value of d outputs / d tokens, all together; a lower bound, which power iteration
            approaches from below.
    """

    own: jax.Array
    whole: jax.Array

    def __repr__(self) -> str:
        return briefly(self)


def accuracy(network: Network, tokens: jax.Array, labels: jax.Array, *, where: jax.Array | None = None) -> jax.Array:
    """Return the share of tokens (N, D) whose largest output (N, C) is that of their label (N,), among those `where`.

    Example:
        >>> import numpy as np, attnflow as af
        >>> outputs = np.array([[1.0, 0.0], [0.2, 0.8], [0.6, 0.4]])
        >>> float(af.learn.accuracy(lambda tokens: tokens, outputs, np.array([0, 1, 1]), where=np.array([1, 0, 1])))
        0.5
    """
    right = jnp.argmax(network(tokens), axis=-1) == labels
    counted = jnp.ones(labels.shape, dtype=bool) if where is None else jnp.asarray(where, dtype=bool)
    return jnp.sum(right & counted) / jnp.sum(counted)


def noise_accuracy(
    network: Network, tokens: jax.Array, labels: jax.Array, *, sigma: float, key: jax.Array, draws: int = 8,
    where: jax.Array | None = None,
) -> jax.Array:  # fmt: skip
    """Return the accuracy of tokens to which Gaussian noise was added, the mean of several draws.

    Args:
        network: tokens (N, D) -> outputs (N, C).
        tokens: (N, D).
        labels: (N,).
        sigma: standard deviation of the noise of each coordinate.
        key: of JAX.
        draws: how many.
        where: (N,), which tokens are disturbed and counted; all of them unless given. The others are as they were.

    Raises:
        ConfigError: if `draws` is not a positive integer.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> tokens, labels = np.eye(2)[[0, 1, 0]], np.array([0, 1, 0])
        >>> key = jax.random.key(0)
        >>> float(af.learn.noise_accuracy(lambda x: x, tokens, labels, sigma=0.01, key=key))
        1.0
    """
    touched = _touched(tokens, where)

    def of_draw(key: jax.Array) -> jax.Array:
        noise = sigma * jax.random.normal(key, tokens.shape, tokens.dtype)
        return accuracy(network, tokens + touched * noise, labels, where=where)

    return jnp.mean(jax.vmap(of_draw)(jax.random.split(key, check_integer(draws, "draws", minimum=1))))


def pgd(
    network: Network, loss: Callable[[jax.Array], jax.Array], tokens: jax.Array, *, radius: float, steps: int = 10,
    norm: str = "linf", where: jax.Array | None = None,
) -> jax.Array:  # fmt: skip
    """Return tokens near the given ones at which the loss is large, by projected gradient ascent.

        x <- P(x + s g(x)),   g the sign of the gradient ("linf") or, token by token, its direction ("l2"),

    P the projection of every token on the ball around where it was. Steps are 2.5 radius / steps long. The best of all
    iterates is returned, the tokens themselves among them, so that the loss never falls. It is an attack, not a bound:
    a stronger one may exist.

    Args:
        network: tokens (N, D) -> outputs (N, C).
        loss: outputs (N, C) -> a number, which the attack makes large.
        tokens: (N, D).
        radius: of the balls, in the norm.
        steps: how many.
        norm: "linf" (the largest coordinate of a token) or "l2" (its length).
        where: (N,), which tokens are moved; all of them unless given.

    Raises:
        ConfigError: if the norm is another, or `steps` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> def identity(tokens):
        ...     return tokens
        >>> def first(outputs):
        ...     return jnp.sum(outputs[:, 0])
        >>> np.asarray(af.learn.pgd(identity, first, jnp.zeros((1, 2)), radius=0.5)).tolist()
        [[0.5, 0.0]]
    """
    step = REACH * radius / check_integer(steps, "steps", minimum=1)
    check_choice(norm, "norm", NORMS)
    touched = _touched(tokens, where)

    def value_of(moved: jax.Array) -> jax.Array:
        return loss(network(moved))

    def advance(state: tuple, _: None) -> tuple[tuple, None]:
        shift, best, best_loss = state
        value, gradient = jax.value_and_grad(value_of)(tokens + shift)
        best, best_loss = _better((shift, value), (best, best_loss))
        shift = _projected(shift + step * touched * _direction(gradient, norm), radius, norm)
        return (shift, best, best_loss), None

    still = jnp.zeros_like(tokens)
    start = (still, still, jnp.array(-jnp.inf, dtype=jax.eval_shape(value_of, tokens).dtype))
    (shift, best, best_loss), _ = jax.lax.scan(advance, start, length=steps)
    best, _ = _better((shift, value_of(tokens + shift)), (best, best_loss))
    return tokens + best


def local_lipschitz(
    network: Network, tokens: jax.Array, *, key: jax.Array, at: jax.Array | None = None, steps: int = 30
) -> LocalLipschitz:
    """Return the local Lipschitz constants of a network, token by token and as a whole.

    Args:
        network: tokens (N, D) -> outputs (N, C).
        tokens: (N, D).
        key: of JAX, from which the first direction of power iteration is drawn.
        at: numbers of the tokens whose own constants are asked for, (Q,); all of them unless given.
        steps: of power iteration on J'J.

    Raises:
        ConfigError: if there is no token to ask for, or `steps` is not a positive integer.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, attnflow as af
        >>> def stretch(tokens):
        ...     return tokens @ jnp.diag(jnp.array([3.0, 0.5]))
        >>> found = af.learn.local_lipschitz(stretch, jnp.ones((4, 2)), key=jax.random.key(0))
        >>> np.round(np.asarray(found.own), 5).tolist(), round(float(found.whole), 5)
        ([3.0, 3.0, 3.0, 3.0], 3.0)
    """
    count, dim = tokens.shape
    asked = jnp.arange(count) if at is None else jnp.asarray(at)
    if asked.ndim != 1 or not len(asked):
        raise ConfigError(f"`at` must be numbers of tokens, shape (Q,), got {asked.shape}. Leave it out for all.")
    tokens = jnp.asarray(tokens)

    def own(index: jax.Array) -> jax.Array:
        def column(direction: jax.Array) -> jax.Array:
            tangent = jnp.zeros_like(tokens).at[index].set(direction)
            return jax.jvp(network, (tokens,), (tangent,))[1][index]

        return jnp.linalg.norm(jax.vmap(column)(jnp.eye(dim, dtype=tokens.dtype)), ord=2)

    _, push = jax.linearize(network, tokens)
    pull = jax.linear_transpose(push, tokens)

    def power(direction: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        image = push(direction)
        (back,) = pull(image)
        return back / jnp.maximum(jnp.linalg.norm(back), jnp.finfo(back.dtype).tiny), jnp.linalg.norm(image)

    start = jax.random.normal(key, tokens.shape, tokens.dtype)
    check_integer(steps, "steps", minimum=1)
    _, sizes = jax.lax.scan(power, start / jnp.linalg.norm(start), length=steps)
    return LocalLipschitz(own=jax.lax.map(own, asked), whole=sizes[-1])


def _touched(tokens: jax.Array, where: jax.Array | None) -> jax.Array:
    """Return (N, 1) numbers, one for the tokens that are disturbed and zero for the others."""
    chosen = jnp.ones(len(tokens)) if where is None else jnp.asarray(where)
    return chosen.astype(tokens.dtype)[:, None]


def _direction(gradient: jax.Array, norm: str) -> jax.Array:
    if norm == "linf":
        return jnp.sign(gradient)
    # Squares of a gradient under 1e-19 underflow in float32; without a barrier XLA squares before it divides.
    largest = jnp.max(jnp.abs(gradient), axis=-1, keepdims=True)
    scaled = jax.lax.optimization_barrier(gradient / jnp.where(largest > 0, largest, 1))
    return scaled / jnp.maximum(jnp.linalg.norm(scaled, axis=-1, keepdims=True), 1)


def _projected(shift: jax.Array, radius: float, norm: str) -> jax.Array:
    if norm == "linf":
        return jnp.clip(shift, -radius, radius)
    lengths = jnp.linalg.norm(shift, axis=-1, keepdims=True)
    return shift * jnp.minimum(1, radius / jnp.maximum(lengths, jnp.finfo(shift.dtype).tiny))


def _better(new: tuple[jax.Array, jax.Array], old: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return the shift whose loss is larger; one that is no number never is."""
    larger = new[1] > old[1]
    return jnp.where(larger, new[0], old[0]), jnp.where(larger, new[1], old[1])
