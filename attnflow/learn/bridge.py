"""From a trained layer to the instrument: what its learned diffusion does, and whether it is one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from sklearn.cluster import KMeans

from attnflow._checks import check_integer, check_points, check_tolerance
from attnflow._words import briefly
from attnflow.attention import Attention
from attnflow.equations.expansions.geodesics import check_rays, shoot
from attnflow.errors import ConfigError, DataError
from attnflow.learn.blocks import PropagationBlock
from attnflow.learn.diffusion import DiffusionFit, compare_with_diffusion
from attnflow.learn.regime import Regime, regime_of
from attnflow.manifolds.euclidean import EuclideanSpace
from attnflow.precision import require_x64
from attnflow.pseudometrics.custom import CustomPseudoMetric
from attnflow.sums.empirical import EmpiricalAttention
from attnflow.sums.maps_of_measures.jacobians import Norm, jacobian_norm
from attnflow.sums.tokens import TokenFlow

SLOW = 0.5  # modulus of an eigenvalue of A above which its mode is a cluster: half of it is left after one layer


class Clusters(NamedTuple):
    """What a layer keeps apart.

    Args:
        number: of eigenvalues of A of modulus above 1/2, at least one.
        labels: of the tokens, (N,), from 0 to number - 1: groups on which the slow right eigenvectors are about
            constant, as k-means finds them.
    """

    number: int
    labels: np.ndarray

    def __repr__(self) -> str:
        return briefly(self)


@dataclass(frozen=True, eq=False)
class TrainedLayer:
    """One head of one block of a trained network, with the tokens that enter it: made by `layer_of`.

    Args:
        attention: the head, as an attention among the tokens that enter the block.
        points: these tokens, (N, width).
        values: W, (width, width): the head adds W (A id)(x) to what leaves the block.
        inputs: the tokens as they enter the network, (N, D).
        embedding: x (D,) -> what enters the block of an input x that attends to the given tokens and is attended to by
            none; linear before the first block.
    """

    attention: Attention
    points: np.ndarray
    values: np.ndarray
    inputs: np.ndarray
    embedding: Partial

    def __repr__(self) -> str:
        count, width = self.points.shape
        return f"TrainedLayer({type(self.attention.pseudometric).__name__}, N={count}, width={width})"

    @functools.cached_property
    def matrix(self) -> np.ndarray:
        """The weights A (N, N) among the tokens, as the instrument sums them."""
        return EmpiricalAttention(self.attention, self.points, method="dense").layer(np.eye(len(self.points)))

    @functools.cached_property
    def placed(self) -> Attention:
        """The attention as one among inputs, D(e(x), e(y)) with e the embedding."""
        cost = self.attention.pseudometric
        return self.attention.replace(
            pseudometric=CustomPseudoMetric(
                Partial(_through, cost, self.embedding),
                vanishes_on_diagonal=cost.vanishes_on_diagonal, is_symmetric=cost.is_symmetric,
            )
        )  # fmt: skip

    def metric(self, at: object = None) -> np.ndarray:
        """Return the induced metric G (Q, D, D) of inputs, pulled back through all that comes before the block.

            G = -1/2 sym d_x d_y D(e(x), e(y)) at y = x,

        which is J'J for D = |phi - phi|^2, J the Jacobian of phi o e, and half the Hessian in y of every cost that is
        least, and zero, at y = x. Of other costs it is that of D(x, y) + D(y, x) - D(x, x) - D(y, y) over two: the
        logits are the same but for a potential of the keys and a circulation, see Regime. It need not be positive then.

        Args:
            at: inputs (Q, D); those of the layer unless given.
        """
        where = self.inputs if at is None else check_points(at, "at", ambient_dim=self.inputs.shape[1])
        return np.asarray(_metrics(self.placed.pseudometric, where))

    def geodesics(self, x: object, directions: object, *, lengths: object, rtol: float = 1e-4) -> np.ndarray:
        """Return points (K, S, D) of geodesics of that metric among inputs.

        Args:
            x: where they start, (K, D), or one point (D,) for all.
            directions: along which they start, (K, D), of any length.
            lengths: at which points are returned, in G, (S,), not negative.
            rtol: error <= rtol times the longest way.

        Raises:
            ConfigError: if the cost is not least at y = x, as of dot products, or a length is negative.
            DataError: if a direction is zero, or the shapes do not fit.
            ConvergenceError: if the steps would be too many.
        """
        cost = self.placed.pseudometric
        if not cost.vanishes_on_diagonal:
            name = type(self.attention.pseudometric).__name__
            raise ConfigError(f"geodesics need a metric, and {name} has none. Train MetricAttention or L2Attention.")
        space = EuclideanSpace(self.inputs.shape[1])
        starts, ways, reach = check_rays(x, directions, lengths, manifold=space)
        return shoot(cost, space, starts=starts, directions=ways, lengths=reach, rtol=check_tolerance(rtol, "rtol"))

    def spectrum(self, k: int) -> np.ndarray:
        """Return the moduli of the k largest eigenvalues of A, falling, (k,); the first is 1.

        Raises:
            ConfigError: if k is not between 1 and the number of tokens.
        """
        if check_integer(k, "k", minimum=1) > len(self.points):
            raise ConfigError(f"`k` must be at most the number of tokens, {len(self.points)}, got {k}.")
        return self._modes[0][:k]

    def clusters(self) -> Clusters:
        """Return how many clusters there are, and of which each token is.

        Example:
            >>> import jax, numpy as np, attnflow as af
            >>> af.enable_x64()
            >>> def block(width, key):
            ...     return af.learn.PropagationBlock(width, af.learn.L2Attention(width, key=key), key=key)
            >>> network = af.learn.InformationPropagationNetwork(1, 2, 2, block=block, key=jax.random.key(0))
            >>> near_and_far = np.array([[-20.0], [-20.1], [20.0], [20.1], [20.2]])
            >>> clusters = af.learn.layer_of(network, near_and_far).clusters()
            >>> clusters.number, len(set(clusters.labels[:2])), len(set(clusters.labels[2:]))
            (2, 1, 1)
        """
        moduli, vectors = self._modes
        count = max(int(np.sum(moduli > SLOW)), 1)
        slow = np.concatenate([vectors[:, :count].real, vectors[:, :count].imag], axis=1)
        distinct = len(np.unique(np.round(slow, 9), axis=0))
        found = KMeans(min(count, distinct), n_init=4, random_state=0).fit(slow)
        return Clusters(count, np.asarray(found.labels_))

    def lipschitz(self) -> Norm:
        """Return the Lipschitz constant of X -> A(X) X W' at these tokens, in the l2 norm of all of them together.

        It is without the residual, and without what comes before the block, see `af.jacobian_norm`.

        Raises:
            ConfigError: if JAX cannot trace the attention.
        """  # fmt: skip
        return jacobian_norm(TokenFlow(self.attention, value=self.values), self.points)

    def regime(self) -> Regime:
        """Return whether the layer is a diffusion among these tokens, in numbers."""
        return regime_of(np.asarray(_logits(self.attention, self.points)), self.inputs)

    def diffusion(self, *, components: int = 6) -> DiffusionFit:
        """Return how far the drift-diffusion of the attention says what the layer does to the inputs.

        Args:
            components: how many Gaussians are mixed to the density of the inputs.
        """
        return compare_with_diffusion(self.placed, self.inputs, self.matrix @ self.inputs, components=components)

    @functools.cached_property
    def _modes(self) -> tuple[np.ndarray, np.ndarray]:
        eigenvalues, vectors = np.linalg.eig(self.matrix)
        order = np.argsort(-np.abs(eigenvalues), kind="stable")
        return np.abs(eigenvalues)[order], vectors[:, order]


def layer_of(network: Any, tokens: object, *, block: int = 0, head: int = 0) -> TrainedLayer:
    """Return one head of a network of blocks as an attention, with the tokens that enter its block, in float64.

    Args:
        network: an InformationPropagationNetwork.
        tokens: that enter it, (N, D).
        block: the number of the block.
        head: the number of the head.

    Raises:
        ConfigError: if there is no such block or head, the block has no attention, or its heads are no attention.
        DataError: if the tokens do not fit the network.
        PrecisionError: unless JAX computes in float64.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> def block(width, key):
        ...     return af.learn.PropagationBlock(width, af.learn.MetricAttention(width, key=key), key=key)
        >>> network = af.learn.InformationPropagationNetwork(2, 8, 2, block=block, key=jax.random.key(0))
        >>> layer = af.learn.layer_of(network, np.random.default_rng(0).normal(size=(50, 2)))
        >>> layer, layer.metric().shape
        (TrainedLayer(LearnedMap, N=50, width=8), (50, 2, 2))
    """
    require_x64()
    if not 0 <= check_integer(block, "block", minimum=0) < len(network.blocks):
        raise ConfigError(f"`block` must be one of 0 to {len(network.blocks) - 1}, got {block}.")
    if not isinstance(network.blocks[block], PropagationBlock):
        raise ConfigError(f"block {block} is a {type(network.blocks[block]).__name__}, in which no token attends.")
    inputs = _fitting(network, tokens, "tokens")
    exact = _in_float64(network)
    states = _entering(exact, inputs)[: block + 1]
    chosen = exact.blocks[block]
    embedding = Partial(_embedded, exact.first, list(zip(exact.blocks[:block], states[:block], strict=True)))
    return TrainedLayer(
        attention=chosen.heads.attention(head), points=np.asarray(states[block]),
        values=np.asarray(chosen.values.weight[head]), inputs=inputs, embedding=embedding,
    )  # fmt: skip


def respond(network: Any, tokens: object, at: object) -> np.ndarray:
    """Return the outputs (Q, outputs) of a network at new inputs that attend to its tokens and are attended to by none.

    At the tokens themselves these are the outputs of the network. It is what a decision region shows.

    Args:
        network: an InformationPropagationNetwork.
        tokens: that enter it, (N, D).
        at: new inputs, (Q, D).

    Raises:
        DataError: if tokens or inputs do not fit the network.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> def block(width, key):
        ...     return af.learn.PropagationBlock(width, af.learn.SelfAttention(width, key=key), key=key)
        >>> network = af.learn.InformationPropagationNetwork(2, 4, 3, block=block, key=jax.random.key(0))
        >>> tokens = np.random.default_rng(0).normal(size=(20, 2))
        >>> bool(np.allclose(af.learn.respond(network, tokens, tokens[:4]), network(tokens)[:4], atol=1e-5))
        True
    """
    return np.asarray(_responses(network, _fitting(network, tokens, "tokens"), _fitting(network, at, "at")))


def keep_parameters(model: Any, data: Any) -> dict[str, jax.Array]:
    """Return all trained arrays of a model by number: a measurement of `train`, from which `snapshots` are made."""
    return {f"parameter.{i}": leaf for i, leaf in enumerate(jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))}


def snapshots(trained: Any, seed: int) -> list[Any]:
    """Return the models of one seed at all steps after which it was measured, in the order of `trained.times`.

    Args:
        trained: a Trained whose `measure` returned what `keep_parameters` does.
        seed: its number.

    Raises:
        ConfigError: if there is no such seed, or the parameters were not kept.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np, attnflow as af
        >>> def loss(model, data, key):
        ...     return jnp.sum((model - data) ** 2)
        >>> trained = af.learn.train(
        ...     lambda key: jnp.zeros(2), loss, np.ones((1, 2)), keys=jax.random.split(jax.random.key(0), 1), steps=4,
        ...     every=2, measure=af.learn.keep_parameters)
        >>> len(af.learn.snapshots(trained, 0)), trained.times.tolist()
        (3, [0, 2, 4])
    """
    last, rest = eqx.partition(trained.model(seed), eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(last)
    kept = [trained.history.get(f"parameter.{i}") for i in range(len(leaves))]
    if any(each is None for each in kept):
        raise ConfigError("`trained` has not kept its parameters. Pass `measure=af.learn.keep_parameters` to `train`.")
    return [
        eqx.combine(jax.tree.unflatten(structure, [np.asarray(each)[seed, time] for each in kept]), rest)
        for time in range(len(trained.times))
    ]


def _fitting(network: Any, points: object, name: str) -> np.ndarray:
    array = check_points(points, name)
    if array.shape[1] != network.first.in_features:
        raise DataError(
            f"`{name}` have {array.shape[1]} coordinates, and the network takes {network.first.in_features}."
        )
    return array


def _in_float64(network: Any) -> Any:
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float64) if eqx.is_inexact_array_like(leaf) and eqx.is_array(leaf) else leaf,
        network,
    )


@eqx.filter_jit
def _entering(network: Any, tokens: Any) -> list[jax.Array]:
    return network.embed(tokens)


@eqx.filter_jit
def _responses(network: Any, tokens: Any, at: Any) -> jax.Array:
    passed = list(zip(network.blocks, network.embed(tokens)[:-1], strict=True))
    return jax.vmap(network.last)(_followed(network.first, passed, at))


def _followed(first: Any, passed: list[tuple[Any, jax.Array]], queries: jax.Array) -> jax.Array:
    """Return what blocks make of inputs (Q, D) that attend in each of them to the tokens that entered it."""
    at = jax.vmap(first)(queries)
    for block, keys in passed:
        if isinstance(block, PropagationBlock):
            mixed = block.heads.mix(at, keys, block.values(keys)).sum(axis=0) + block.bias
            at = at + mixed if block.residual else mixed
        else:
            at = block(at)
    return at


def _embedded(first: Any, passed: list[tuple[Any, jax.Array]], point: jax.Array) -> jax.Array:
    return _followed(first, passed, point[None])[0]


def _through(cost: Any, embedding: Partial, x: jax.Array, y: jax.Array) -> jax.Array:
    return cost(embedding(x), embedding(y))


@jax.jit
def _metrics(cost: Any, points: Any) -> jax.Array:
    def metric(x: jax.Array) -> jax.Array:
        mixed = jax.jacfwd(jax.grad(cost, argnums=0), argnums=1)(x, x)
        return -(mixed + mixed.T) / 4

    return jax.vmap(metric)(points)


@jax.jit
def _logits(attention: Attention, points: Any) -> jax.Array:
    return jax.vmap(lambda x: jax.vmap(lambda y: attention.logit(x, y))(points))(points)
