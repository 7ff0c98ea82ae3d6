"""Lipschitz constants of attention as a map of measures, searched from below and bounded from above."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from attnflow._checks import check_integer, check_positive
from attnflow._compiling import compile_roughly
from attnflow.densities.sampling import generator_of
from attnflow.errors import ConfigError
from attnflow.heads import MultiHead
from attnflow.measures import DiscreteMeasure
from attnflow.normalizations.softmax import Softmax
from attnflow.pseudometrics.linear import QueryKey
from attnflow.pseudometrics.plain import DotProduct
from attnflow.sums.maps_of_measures.jacobians import check_flow, is_uncoupled, jacobian_rows, layer_map
from attnflow.sums.tokens import TokenFlow

LEAST_MASS = 1e-9  # of an atom in a search over all measures; the first atom of order 1 stands for a moving grain
STEPS = 400  # of L-BFGS from each start; in a ball with logits up to 256 half of them leave a hundredth to be found
TINY = 1e-150  # under a square root, whose slope at zero is not a number


class LipschitzEstimate(NamedTuple):
    """How much attention stretches a distance of measures, as found by a search: a lower bound of its constant.

    Args:
        constant: the largest ratio W_p(T mu, T nu) / W_p(mu, nu) that was found, of nu near mu.
        measure: mu, where it was found.
        direction: u (n, D), along which the atoms of mu move to those of nu.
    """

    constant: float
    measure: DiscreteMeasure
    direction: np.ndarray


def wasserstein_lipschitz(
    flow: TokenFlow, *, radius: float, dim: int, key: jax.Array, order: int = 1, tokens: int | None = None,
    atoms: int = 4, starts: int = 12,
) -> LipschitzEstimate:  # fmt: skip
    """Search for the Lipschitz constant of attention as a map of measures on a ball, in the Wasserstein distance W_p.

        T mu = (V A_mu id)# mu,    sup over mu, nu in |x| <= R of W_p(T mu, T nu) / W_p(mu, nu)
                                =  sup over mu, u of |J u|_{L^p(mu)} / |u|_{L^p(mu)},    J of `jacobian_norm`.

    Measures on a ball are joined by shortest paths, so that the largest ratio is that of neighbours, mu and its atoms
    moved by a little u. It is sought by L-BFGS over the places, the masses and the moves of a few atoms, from designed
    and from random starts; of order 1 a single atom moves, which is the worst by convexity. **A lower bound**: what was
    found is attained, and something larger may exist.

    Args:
        flow: the attention and V; manifold and integrators have no part.
        radius: R.
        dim: D.
        key: a JAX key, of the random starts.
        order: p, 1 or 2.
        tokens: N, so that the masses are multiples of 1/N, and the constant of order 2 is that of N tokens as a vector
            of N D numbers [CAP]; None for all measures.
        atoms: how many places are sought at once.
        starts: how many searches: three designs, then these less and less as designed.

    Raises:
        ConfigError: if the key weights of the attention depend on the tokens, or JAX cannot trace it, a number is out
            of range, or `key` is not one random key.
        DataError: if V does not act on D coordinates.

    Example:
        >>> import jax, attnflow as af
        >>> af.enable_x64()
        >>> flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1.0))
        >>> found = af.wasserstein_lipschitz(flow, radius=0.5**0.5, dim=1, key=jax.random.key(0))
        >>> round(found.constant, 3), round(af.wasserstein_lipschitz_bound(flow, radius=0.5**0.5), 3)
        (1.405, 5.937)
    """
    radius, dim = check_positive(radius, "radius"), check_integer(dim, "dim", minimum=1)
    atoms, starts = check_integer(atoms, "atoms", minimum=2), check_integer(starts, "starts", minimum=1)
    if order not in (1, 2):
        raise ConfigError(f"`order` must be 1 or 2, got {order!r}.")
    if tokens is not None and check_integer(tokens, "tokens", minimum=2) < atoms:
        atoms = tokens
    layer = layer_map(flow, np.zeros((atoms, dim)))
    if not is_uncoupled(flow.attention):
        raise ConfigError(
            "the search is for attention whose key weights are fixed, as those of softmax, got "
            f"{flow.attention!r}. Use `jacobian_norm` at tokens of your own."
        )
    how: dict[str, Any] = dict(radius=radius, least=LEAST_MASS if tokens is None else 1 / tokens, order=order)
    slope = functools.partial(_negative_log_ratio, layer.attention, layer.value, **how, centred=flow.centred)
    searched = [_minimum(slope, start) for start in _starts(key, atoms=atoms, dim=dim, count=starts)]
    value, best = min(searched, key=lambda found: found[0])
    if not np.isfinite(value):
        raise ConfigError(f"no search came to a number: logits overflow in a ball of `radius` = {radius:g}.")
    points, masses, direction = map(np.asarray, _unpacked(best, **how))
    if tokens is not None:
        masses = _multiples(masses, tokens)
    ratio = _stretch(layer.attention, layer.value, points, masses, direction, order=order, centred=flow.centred)
    return LipschitzEstimate(float(ratio), DiscreteMeasure(points, masses), direction)


def _minimum(slope: Callable[[np.ndarray], tuple[Any, Any]], start: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the least value that L-BFGS finds, infinity where it comes to none, and the parameters."""

    def flat(given: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = slope(given.reshape(start.shape))
        return float(value), np.asarray(gradient).ravel()

    options: Any = {"maxiter": STEPS}
    found = scipy.optimize.minimize(flat, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return float(found.fun) if np.isfinite(found.fun) else np.inf, found.x.reshape(start.shape)


def wasserstein_lipschitz_bound(flow: TokenFlow, *, radius: float) -> float:
    """Return the bound on the Lipschitz constant of softmax of bilinear logits in W_1 on a ball that is known [V].

        |V| ( a R^2 + (1 + 2 a R^2) e^{2 a R^2} ),    logits x'M y, a = |M|, norms of operators.

    A query that moves changes an average by at most a times the variance of its keys, R^2; a key that moves has a share
    of at most e^{2 a R^2} times its mass in every average, and changes it by the move and by what its weight changes.
    Where |V| times this is less than one, layers contract.

    Args:
        flow: softmax with DotProduct or QueryKey costs.
        radius: R.

    Raises:
        ConfigError: for any other attention, or if the flow is centred.

    Example:
        >>> import attnflow as af
        >>> flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=0.5), value=0.2)
        >>> round(af.wasserstein_lipschitz_bound(flow, radius=0.25), 4)
        0.346
    """
    radius = check_positive(radius, "radius")
    attention = check_flow(flow).attention
    is_bilinear = not isinstance(attention, MultiHead) and isinstance(attention.pseudometric, DotProduct | QueryKey)
    if not is_bilinear or attention.normalization != Softmax() or attention.mask is not None or flow.centred:
        raise ConfigError(
            f"the bound is for softmax of bilinear logits and a flow that is not centred, got {flow!r}. Search from "
            "below with `wasserstein_lipschitz`."
        )
    origin = np.zeros(attention.pseudometric.ambient_dim or 1)
    matrix = jax.jacfwd(jax.grad(attention.logit), argnums=1)(origin, origin)
    size = float(np.linalg.norm(matrix, 2)) * radius**2
    value = float(np.abs(flow.value)) if flow.value.ndim == 0 else float(np.linalg.norm(flow.value, 2))
    with np.errstate(over="ignore"):  # infinity is a bound
        return float(value * (size + (1 + 2 * size) * np.exp(2 * size)))


def _starts(key: jax.Array, *, atoms: int, dim: int, count: int) -> np.ndarray:
    """Return parameters (count, atoms, 2 D + 1): places as fractions of R, log masses and moves.

    Designed are a key that few see from the other side of the ball; two keys far apart that all others see alike, from
    between them [CAP]; and one token amid others at both sides [K]. These come in turn: first nearly as designed, to
    break symmetries, then farther and farther from it, so that the last are random.
    """
    rng = generator_of(key)
    first, last = np.eye(dim)[0], np.eye(dim)[-1]
    designs = np.zeros((3, atoms, 2 * dim + 1))
    designs[0, :, :dim] = [-first, first, *[-first] * (atoms - 2)]
    designs[0, :, dim] = [-4.0, 0.0, *[-2.0] * (atoms - 2)]
    designs[1, :, :dim] = [(first + last) / 2**0.5, (first - last) / 2**0.5, *[0.45 * first] * (atoms - 2)]
    designs[1, :, dim] = [-8.0, -8.0, *[0.0] * (atoms - 2)]
    designs[2, :, :dim] = [0 * first, *[(-1) ** j * first for j in range(atoms - 1)]]
    designs[:, :, :dim] *= np.pi / 2  # the sphere, see `_unpacked`
    designs[:, :, dim + 1] = 1.0
    turns = np.arange(count) // 3
    noise = 10.0 ** np.minimum(turns - 3, 0)  # a thousandth, a hundredth, a tenth, one
    return designs[np.arange(count) % 3] + noise[:, None, None] * rng.standard_normal((count, *designs.shape[1:]))


@functools.partial(jax.jit, static_argnames="order")
def _unpacked(given: Any, *, radius: Any, least: Any, order: int) -> tuple[Any, Any, Any]:
    """Return places (n, D) in the ball, masses (n,) of at least `least`, and moves (n, D)."""
    dim = (given.shape[1] - 1) // 2
    places, moves = given[:, :dim], given[:, dim + 1 :]
    lengths = jnp.sqrt(jnp.sum(places**2, axis=1, keepdims=True) + TINY)
    points = radius * jnp.sin(lengths) * places / lengths  # the sphere is attained, at length pi/2
    masses = least + (1 - len(given) * least) * jax.nn.softmax(given[:, dim])
    return points, masses, moves if order == 2 else moves.at[1:].set(0.0)


@functools.partial(compile_roughly, static_argnames=("order", "centred"))
@functools.partial(jax.value_and_grad, argnums=2)
def _negative_log_ratio(
    attention: Any, value: Any, given: Any, *, radius: Any, least: Any, order: int, centred: bool
) -> jax.Array:
    points, masses, direction = _unpacked(given, radius=radius, least=least, order=order)
    return -jnp.log(_ratio(attention, value, points, masses, direction, order=order, centred=centred))


def _ratio(
    attention: Any, value: Any, points: Any, masses: Any, direction: Any, *, order: int, centred: bool
) -> jax.Array:
    rows = jacobian_rows(attention, value, points, masses, jnp.arange(len(points)), centred=centred)
    return _norm(jnp.einsum("ijcd,jd->ic", rows, direction), masses, order) / _norm(direction, masses, order)


_stretch = functools.partial(compile_roughly, static_argnames=("order", "centred"))(_ratio)


def _norm(vectors: Any, masses: Any, order: int) -> jax.Array:
    """Return the norm of vectors (n, D) in L^p of masses (n,)."""
    squares = jnp.sum(vectors**2, axis=1)
    return jnp.sqrt(masses @ squares) if order == 2 else masses @ jnp.sqrt(squares + TINY)


def _multiples(masses: np.ndarray, count: int) -> np.ndarray:
    """Return the nearest masses that are positive multiples of 1/count and sum to one."""
    numbers = np.maximum(np.floor(masses * count), 1)
    while numbers.sum() != count:
        step = np.sign(count - numbers.sum())
        off = np.where((step > 0) | (numbers > 1), step * (masses * count - numbers), -np.inf)
        numbers[np.argmax(off)] += step
    return numbers / count
