"""Layers that share their weights, without residual connections: where they settle, and how fast."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

from attnflow._checks import check_integer, check_points, check_tolerance
from attnflow._compiling import compile_promptly
from attnflow.attention import Attending
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.sums.maps_of_measures.jacobians import LayerMap, held_jacobian, image, layer_map
from attnflow.sums.tokens import TokenFlow
from attnflow.trajectories import TokenTrajectory

FAR = 1e6  # times the size at the start: contracting layers never get there
WINDOW = 12  # successive differences, over which the rate is an average: modes that turn make single ratios waver
STANDING = 1 - 1e-6  # differences that shrink by more than this do not shrink
FLOOR = 1e-12  # relative to the tokens: smaller differences are rounding and say nothing of the rate


class FixedPoint(NamedTuple):
    """Tokens that a layer with its input leaves where they are.

    Args:
        points: x (N, D), x = V A_mu id (x) + input.
        layers: how many were applied.
        rate: by which successive differences shrink per layer in the end, measured on the way.
        spectral_radius: the largest |eigenvalue| of the Jacobian at x, to which the rate tends from all but few starts.
        solver_error: bound on how far any coordinate is from the fixed point, where layers go on to shrink differences
            at the larger of both rates.
    """

    points: np.ndarray
    layers: int
    rate: float
    spectral_radius: float
    solver_error: float


def fixed_point(
    flow: TokenFlow, tokens: object, *, inputs: object = None, rtol: float = 1e-10, layers: int = 10_000
) -> FixedPoint:
    """Return where layers that share their weights settle, x <- V (A_mu id)(x_i) + b_i, mu the law of x [V].

    Where |V| times the Lipschitz constant of attention is less than one on a ball that layers do not leave, as on
    |x| <= max |b| / (1 - |V|), the fixed point is unique, layers come nearer to it by that factor, and it does not
    depend on where they start. Without input it is the origin, to which V draws all tokens. With an input b for each
    token it is another one, at which tokens differ. Where |V| exceeds one nothing keeps them from infinity.

    Args:
        flow: the attention and V; not centred, without a manifold.
        tokens: where it starts, (N, D), or a DiscreteMeasure.
        inputs: b, (N, D), given to every layer; None for none.
        rtol: on the distance from the fixed point, relative to the largest input, or without input to where it starts.
        layers: how many at most.

    Raises:
        ConfigError: if the flow is centred or has a manifold, or JAX cannot trace its attention.
        DataError: if the tokens or inputs do not fit.
        ConvergenceError: if layers diverge, or are too few; its attribute `trajectory` has the last tokens in bounds.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1.0), value=0.5)
        >>> settled = af.fixed_point(flow, np.zeros((2, 1)), inputs=[[0.1], [0.0]])
        >>> bool(abs(settled.rate - settled.spectral_radius) < 1e-3 and settled.points[0] > 0.1)
        True
    """
    layer = layer_map(flow, tokens)
    if len(layer.points) < len(as_measure(tokens, "tokens")):
        raise DataError("`tokens` has some without mass, which no other token sees. Leave them out.")
    if flow.centred or flow.manifold is not None:
        raise ConfigError(
            f"layers that share weights go to V A_mu id, in space and not centred, got {flow!r}. Make the flow without "
            "`manifold` and `centred`."
        )
    rtol, layers = check_tolerance(rtol, "rtol"), check_integer(layers, "layers", minimum=1)
    points, masses, added = np.array(layer.points), layer.masses, _inputs(inputs, layer)
    size = float(np.abs(added).max() or np.abs(points).max())
    bound = FAR * max(size, np.abs(points).max(), np.finfo(float).tiny)
    differences: list[float] = []
    for number in range(1, layers + 1):
        moved = flow.velocity(DiscreteMeasure(points, masses)) + added
        if not np.abs(moved).max() <= bound:
            raise _stopped(
                points, masses, number - 1, f"layer {number} has carried tokens to {np.abs(moved).max():.3g}, {FAR:g} "
                "times as far out as they were: shared weights diverge. Pass a smaller `value`, whose norm is "
                f"{_size(flow.value):.3g}."
            )  # fmt: skip
        differences.append(float(np.abs(moved - points).max()))
        points, rate = moved, _rate(differences, floor=FLOOR * size)
        if _ahead(differences, rate) <= rtol * size:
            break
    else:
        remedy = "Pass a smaller `value`" if rate > STANDING else "Pass more `layers`"
        raise _stopped(
            points, masses, layers, f"{layers} layers do not settle to `rtol` = {rtol:g}: the last one moved a token "
            f"by {differences[-1]:.3g}, and differences shrink by {rate:.6g} per layer. {remedy}."
        )  # fmt: skip
    radius = _spectral_radius(layer._replace(points=points))
    return FixedPoint(points, number, rate, radius, _ahead(differences, max(rate, radius)) + FLOOR * size)


def _ahead(differences: list[float], rate: float) -> float:
    """Return how far it still is where differences shrink at a rate: a geometric series.

    Where modes turn, the last difference may be small by chance: the largest of the window counts, carried on.
    """
    if rate >= 1:
        return np.inf
    last = max(each * rate**age for age, each in enumerate(differences[: -WINDOW - 1 : -1]))
    return last * rate / (1 - rate)


def _inputs(inputs: object, layer: LayerMap) -> np.ndarray:
    if inputs is None:
        return np.zeros_like(layer.points)
    added = check_points(inputs, "inputs")
    if added.shape != layer.points.shape:
        raise DataError(f"`inputs` must have shape {layer.points.shape}, one row per token, got {added.shape}.")
    return added


def _stopped(points: np.ndarray, masses: np.ndarray, layers: int, words: str) -> ConvergenceError:
    """Return an error that has the tokens after so many layers, which are the unit of time, as its `trajectory`."""
    error: Any = ConvergenceError(words)
    error.trajectory = TokenTrajectory(times=np.array([float(layers)]), points=points[None], weights=masses)
    return error


def _size(value: np.ndarray) -> float:
    return float(np.abs(value)) if value.ndim == 0 else float(np.linalg.norm(value, 2))


def _rate(differences: list[float], *, floor: float) -> float:
    """Return the factor by which differences shrink per layer, over the last of them that are no rounding."""
    usable = [each for each in differences if each > floor][-WINDOW - 1 :]
    if len(usable) < 2:
        return 0.0 if differences[-1] <= floor else 1.0
    return float((usable[-1] / usable[0]) ** (1 / (len(usable) - 1)))


@functools.partial(compile_promptly, static_argnames="rtol")
def _pushed_forward(
    attention: Attending, value: Any, points: Any, masses: Any, tangent: Any, *, rtol: float
) -> jax.Array:  # fmt: skip
    """Return J u for u (N, D)."""
    moved = functools.partial(image, attention, value, masses=masses, centred=False, rtol=rtol)
    return jax.jvp(moved, (points,), (tangent,))[1]


def _spectral_radius(layer: LayerMap) -> float:
    """Return the largest |eigenvalue| of the Jacobian."""
    held = held_jacobian(layer)
    if held is not None:
        return float(np.abs(np.linalg.eigvals(held)).max())
    shape, size = layer.points.shape, layer.points.size

    def product(vector: np.ndarray) -> np.ndarray:
        return np.asarray(_pushed_forward(*layer[:4], vector.reshape(shape), rtol=layer.rtol)).ravel()

    start = np.random.default_rng(0).standard_normal(size)
    if not product(start).any():  # J is zero, of which ARPACK makes an error
        return 0.0
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        return float(np.abs(eigs(operator, k=1, v0=start, return_eigenvectors=False)[0]))
    except ArpackNoConvergence as error:
        raise ConvergenceError(f"no eigenvalue of the Jacobian is found: {error}.") from error
