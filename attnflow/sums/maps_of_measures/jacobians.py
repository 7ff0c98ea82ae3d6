"""The Jacobian of attention as a map of its tokens, and its norms."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from attnflow._checks import check_tolerance
from attnflow._compiling import compile_promptly, compile_roughly
from attnflow._lifting import map_blocks
from attnflow.attention import Attending, Attention
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.heads import MultiHead
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.normalizations.softmax import Softmax
from attnflow.normalizations.unnormalized import Sigmoid, Unnormalized
from attnflow.sums.operators.kinds import operator_of
from attnflow.sums.token_velocities import output
from attnflow.sums.tokens import TokenFlow

HELD_ROWS = 512  # N D up to which a Jacobian is held: 2 MB, whose singular values take 60 ms
COUPLED_ROWS = 64  # the same where each row is a backward layer
BLOCK_ENTRIES = 1 << 20  # of a Jacobian, 8 MB, that are computed at once
ROUNDING = 4 * np.finfo(np.float64).eps  # per row, relative to the norm
UNCOUPLED = (Softmax, Unnormalized, Sigmoid)  # a key's weight does not depend on where the tokens are


class Norm(float):
    """A norm of a Jacobian: a float that knows its error.

    Attributes:
        solver_error: declared bound on its distance from a norm, or of order 2 from a singular value.
    """

    solver_error: float

    def __new__(cls, number: float, solver_error: float) -> Norm:
        """Return the number with its error."""
        made = super().__new__(cls, number)
        made.solver_error = float(solver_error)
        return made

    def __repr__(self) -> str:
        return f"{float(self):.10g} (+- {self.solver_error:.1g})"

    __str__ = __repr__

    def __reduce__(self) -> tuple:
        """Give pickle both numbers."""
        return Norm, (float(self), self.solver_error)


class LayerMap(NamedTuple):
    """A layer of attention as a map of tokens x (N, D) to V (A_mu id)(x_i), mu = sum_j w_j delta_{x_j}.

    Args:
        attention: one or several heads.
        value: V, a number or (D, D).
        points: x, of tokens that have mass.
        masses: w, whose sum is one.
        centred: whether it is V (A_mu id - x_i).
        rtol: of one layer.
    """

    attention: Attending
    value: np.ndarray
    points: np.ndarray
    masses: np.ndarray
    centred: bool
    rtol: float


def jacobian_norm(flow: TokenFlow, tokens: object, *, order: float = 2, rtol: float = 1e-10) -> Norm:
    """Return the norm of the Jacobian of one layer of attention by its tokens, its local Lipschitz constant [K, CAP].

        F(x)_i = V (A_mu id)(x_i),  mu = sum_j w_j delta_{x_j};   J_ij = dF_i / dx_j, shape (D, D),
        |J|_2 = max |J u| / |u| over u (N, D),   |J|_inf = max over i, c of sum over j, d of |J_ij,cd|.

    F is the velocity before it is projected on the flow's manifold, V (A_mu id - x) if the flow is centred; there is no
    residual connection. Tokens are one vector of N D numbers, as in the sources, with its Euclidean norm or its largest
    number. Of weighted tokens the norms are those in L^2(mu) and L^inf(mu): a token of mass 2 is two that move
    together, so that a measure has the norm of the samples that it stands for among such moves.

    No array of N^2 D^2 numbers is formed beyond a few hundred rows. Order 2 takes Lanczos steps on products J'J u, in
    the time of a few layers over all pairs each; order inf takes blocks of rows, in time N^2 D^2, or, where key weights
    depend on all tokens as Sinkhorn's do, N D backward layers.

    Args:
        flow: the attention and V.
        tokens: (N, D), or a DiscreteMeasure; tokens without mass have no part.
        order: 2 or np.inf.
        rtol: of Lanczos, relative.

    Returns:
        A float. Its `solver_error` bounds how far it is from a singular value of J; that no other is larger rests on
        the start, a random direction.

    Raises:
        ConfigError: if `order` is another one, or JAX cannot trace the attention, as under a mask.
        DataError: if the tokens do not fit V.
        ConvergenceError: if Lanczos does not settle, or the Jacobian is not finite.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1.0), value=0.5)
        >>> round(af.jacobian_norm(flow, np.zeros((3, 2))), 6)  # half of the mean of three
        0.5
    """
    if order not in (2, np.inf):
        raise ConfigError(f"`order` must be 2 or np.inf, got {order!r}.")
    layer = layer_map(flow, tokens)
    if order == np.inf:
        largest = float(_numbers(_row_sums(layer)).max())
        return Norm(largest, _uncertainty(layer) * largest)
    held = held_jacobian(layer)
    if held is None:
        return _largest_singular_value(layer, rtol=check_tolerance(rtol, "rtol"))
    sizes = np.sqrt(np.repeat(layer.masses, layer.points.shape[1]))
    largest = float(np.linalg.norm(held * sizes[:, None] / sizes, 2))
    return Norm(largest, _uncertainty(layer) * largest)


def check_flow(flow: object) -> TokenFlow:
    """Return a TokenFlow; raise ConfigError for all else, such as an attention."""
    if not isinstance(flow, TokenFlow):
        raise ConfigError(f"`flow` must be a TokenFlow, got {type(flow).__name__}. Pass af.TokenFlow(attention).")
    return flow


def layer_map(flow: object, tokens: object) -> LayerMap:
    """Return the map of tokens that a flow follows; raise what `jacobian_norm` does."""
    flow = check_flow(flow)
    for head in flow.attention.heads:
        if head.mask is not None or head.pseudometric.is_kernel or head.rows == "threshold":
            raise ConfigError(
                f"{head!r} cannot be differentiated by JAX: it has a mask, random features or a threshold. Take "
                "differences of `flow.velocity`."
            )
    measure = as_measure(tokens, "tokens")
    dim = flow.attention.channels if isinstance(flow.attention, MultiHead) else measure.ambient_dim
    dim = len(flow.value) if flow.value.ndim else dim
    if dim != measure.ambient_dim:
        raise DataError(
            f"`flow` acts on {dim} coordinates, got tokens of {measure.ambient_dim}. Pass tokens (N, {dim}), or a flow "
            "of another `value` or other heads."
        )
    massive = measure.masses > 0
    masses = measure.masses[massive] / measure.mass
    return LayerMap(flow.attention, flow.value, measure.points[massive], masses, flow.centred, flow.rtol)


def is_uncoupled(attention: Attending) -> bool:
    """Return whether a row depends on its query and on sums over keys that have fixed weights."""
    return all(isinstance(head.normalization, UNCOUPLED) for head in attention.heads)


def held_jacobian(layer: LayerMap) -> np.ndarray | None:
    """Return J as a matrix (N D, N D), or None where it has too many rows."""
    count, dim = layer.points.shape
    if is_uncoupled(layer.attention) and count * dim <= HELD_ROWS:
        rows = np.asarray(_compiled_rows(*layer[:4], np.arange(count), centred=layer.centred))
        return _numbers(rows.transpose(0, 2, 1, 3).reshape(count * dim, count * dim))
    return _numbers(np.stack(list(_rows_backward(layer)))) if count * dim <= COUPLED_ROWS else None


def _numbers(found: np.ndarray) -> np.ndarray:
    if not np.isfinite(found).all():
        raise ConvergenceError(
            "the Jacobian is not finite: key weights do not settle, or the rows of the kernel overflow. Pass a larger "
            "`bandwidth`, or more `max_sweeps`."
        )
    return found


def jacobian_rows(
    attention: Attending, value: Any, points: Any, masses: Any, rows: Any, *, centred: bool = False
) -> jax.Array:
    """Return the blocks J_ij of some rows i, shape (b, N, D, D), of attention whose keys are not coupled.

        J_ij = V [ p_ij (I + (x_j - m_i) (dl_ij / dx_j)') + delta_ij sum_k p_ik (x_k - m_i) (dl_ik / dx_i)' ],

    l the logits, p_ij = w_j e^{l_ij}, m = 0; where rows are divided p_ij is divided by sum_k p_ik, and
    m_i = sum_k p_ik x_k.

    Args:
        attention: one or several heads.
        value: V, a number or (D, D).
        points: x, (N, D).
        masses: w, (N,), whose sum is one.
        rows: i, (b,).
        centred: whether V is subtracted from J_ii.
    """
    eye = jnp.eye(points.shape[1])
    matrix = value * eye if jnp.ndim(value) == 0 else value
    outputs = attention.output if isinstance(attention, MultiHead) else (eye,)
    found: Any = sum(
        jnp.einsum("ec,ijcd->ijed", matrix @ jnp.asarray(output).T, _rows_of_head(head, points, masses, rows))
        for head, output in zip(attention.heads, outputs, strict=True)
    )
    return found.at[jnp.arange(len(rows)), rows].add(-matrix) if centred else found


def _rows_of_head(head: Attention, points: Any, masses: Any, rows: Any) -> jax.Array:
    kernel = operator_of(head, DiscreteMeasure(points, masses), rtol=1e-10).attention  # that of sigmoids is another
    slopes = jax.value_and_grad(kernel.logit, argnums=(0, 1))
    logits, (by_query, by_key) = jax.vmap(jax.vmap(slopes, (None, 0)), (0, None))(points[rows], points)
    logits = logits + jnp.log(masses)
    if head.rows == "divided":
        weights = jax.nn.softmax(logits, axis=1)
        apart = points - (weights @ points)[:, None]
    else:
        weights, apart = jnp.exp(logits), jnp.broadcast_to(points, (len(rows), *points.shape))
    seen = (weights > 0)[:, :, None]  # where a logit is minus infinity its slope is no number
    by_query, by_key = jnp.where(seen, by_query, 0.0), jnp.where(seen, by_key, 0.0)
    of_keys = weights[:, :, None, None] * (jnp.eye(points.shape[1]) + apart[:, :, :, None] * by_key[:, :, None, :])
    of_queries = jnp.einsum("ij,ijc,ijd->icd", weights, apart, by_query)
    return of_keys.at[jnp.arange(len(rows)), rows].add(of_queries)


_compiled_rows = functools.partial(compile_roughly, static_argnames="centred")(jacobian_rows)


@functools.partial(compile_promptly, static_argnames="centred")
def _sums_of_rows(attention: Attending, value: Any, points: Any, masses: Any, rows: Any, *, centred: bool) -> jax.Array:
    found = jacobian_rows(attention, value, points, masses, rows, centred=centred)
    return jnp.abs(found).sum(axis=(1, 3))


def _row_sums(layer: LayerMap) -> np.ndarray:
    """Return sum over j, d of |J_ij,cd|, shape (N, D)."""
    count, dim = layer.points.shape
    if is_uncoupled(layer.attention):
        block = int(np.clip(BLOCK_ENTRIES // (count * dim**2), 1, count))
        sums = functools.partial(_sums_of_rows, *layer[:4], centred=layer.centred)
        return map_blocks(sums, np.arange(count), block=block)
    return np.array([np.abs(row).sum() for row in _rows_backward(layer)]).reshape(count, dim)


def _rows_backward(layer: LayerMap) -> Iterator[np.ndarray]:
    """Return the rows (N D,) of J one after another, each by a backward layer."""
    shape, size = layer.points.shape, layer.points.size
    for row in range(size):
        cotangent = (np.arange(size) == row).reshape(shape).astype(np.float64)
        found = _pulled_back(*layer[:4], cotangent, centred=layer.centred, rtol=layer.rtol)
        yield np.asarray(found).ravel()


def image(attention: Attending, value: Any, points: Any, masses: Any, *, centred: bool, rtol: float) -> jax.Array:
    """Return F(x), where JAX traces."""
    return output(
        operator_of(attention, DiscreteMeasure(points, masses), rtol=rtol), points, value, None, centred=centred
    )


@functools.partial(compile_promptly, static_argnames=("centred", "rtol"))
def _pulled_back(
    attention: Attending, value: Any, points: Any, masses: Any, cotangent: Any, *, centred: bool, rtol: float
) -> jax.Array:
    """Return J'u for u (N, D)."""
    return jax.vjp(lambda x: image(attention, value, x, masses, centred=centred, rtol=rtol), points)[1](cotangent)[0]


@functools.partial(compile_promptly, static_argnames=("centred", "rtol"))
def _normal_product(
    attention: Attending, value: Any, points: Any, masses: Any, tangent: Any, *, centred: bool, rtol: float
) -> jax.Array:
    """Return J'W J u for u (N, D), W the masses."""
    push = jax.linearize(lambda x: image(attention, value, x, masses, centred=centred, rtol=rtol), points)[1]
    return jax.linear_transpose(push, points)(masses[:, None] * push(tangent))[0]


def _largest_singular_value(layer: LayerMap, *, rtol: float) -> Norm:
    """Return the largest singular value of W^(1/2) J W^(-1/2) by Lanczos, W the masses."""
    shape, sizes = layer.points.shape, np.sqrt(layer.masses)[:, None]
    how: dict[str, Any] = dict(centred=layer.centred, rtol=layer.rtol)

    def product(vector: np.ndarray) -> np.ndarray:
        pulled = _normal_product(*layer[:4], vector.reshape(shape) / sizes, **how)
        return _numbers(np.asarray(pulled / sizes).ravel())

    size = layer.points.size
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    if not product(start).any():  # J is zero, of which ARPACK makes an error
        return Norm(0.0, 0.0)
    try:
        squares, vectors = eigsh(operator, k=1, v0=start, tol=rtol)
    except ArpackNoConvergence as error:
        raise ConvergenceError(
            f"Lanczos does not find the norm of the Jacobian of {len(sizes)} tokens to `rtol` = {rtol:g}: {error}. "
            "Pass a larger `rtol`."
        ) from error
    largest = float(np.sqrt(max(squares[0], 0.0)))
    residual = float(np.linalg.norm(product(vectors[:, 0]) - squares[0] * vectors[:, 0]))
    # |s^2 - t^2| <= residual for a singular value t, and s + t >= s.
    return Norm(largest, residual / largest + _uncertainty(layer) * largest if largest else np.sqrt(residual))


def _uncertainty(layer: LayerMap) -> float:
    """Return the relative error of a Jacobian: of rounding, and of key weights where they are sought."""
    return ROUNDING * layer.points.size + (0.0 if is_uncoupled(layer.attention) else layer.rtol)
