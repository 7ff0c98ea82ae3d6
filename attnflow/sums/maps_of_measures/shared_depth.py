"""Layers that share their weights, without residual connections: where they settle, and how fast."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

from attnflow._checks import check_integer, check_points, check_tolerance
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.measures import DiscreteMeasure
from attnflow.sums.maps_of_measures.jacobians import LayerMap, held_jacobian, layer_map, pushed_forward
from attnflow.sums.tokens import TokenFlow

FAR = 1e6  # times the size at the start: contracting layers never get there
WINDOW = 12  # successive differences, over which the rate is an average: modes that turn make single ratios waver
FLOOR = 1e-12  # relative to the tokens: smaller differences are rounding and say nothing of the rate


class FixedPoint(NamedTuple):
    """Tokens that a layer with its input leaves where they are.

    Args:
        points: x (N, D), x = V A_mu id (x) + input.
        layers: how many were applied.
        rate: by which successive differences shrink per layer in the end, measured on the way.
        spectral_radius: the largest |eigenvalue| of the Jacobian at x, to which the rate tends from all but few starts.
        solver_error: bound on the distance of any token from the fixed point, if it contracts at the larger of both.
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
        rtol: on the distance from the fixed point, relative to the largest coordinate.
        layers: how many at most.

    Raises:
        ConfigError: if the flow is centred or has a manifold, or JAX cannot trace its attention.
        DataError: if the tokens or inputs do not fit.
        ConvergenceError: if layers diverge, or are too few; the tokens of the last layer that were in bounds are its
            attribute `points`.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1.0), value=0.5)
        >>> settled = af.fixed_point(flow, np.zeros((2, 1)), inputs=[[0.1], [0.0]])
        >>> bool(abs(settled.rate - settled.spectral_radius) < 1e-3 and settled.points[0] > 0.1)
        True
    """
    layer = layer_map(flow, tokens)
    if flow.centred or flow.manifold is not None:
        raise ConfigError(
            f"layers that share weights go to V A_mu id, in space and not centred, got {flow!r}. Make the flow without "
            "`manifold` and `centred`."
        )
    rtol, layers = check_tolerance(rtol, "rtol"), check_integer(layers, "layers", minimum=1)
    points, masses, added = np.array(layer.points), layer.masses, _inputs(inputs, layer)
    bound = FAR * max(np.abs(points).max(), np.abs(added).max(), np.finfo(float).tiny)
    differences: list[float] = []
    for number in range(1, layers + 1):
        moved = flow.velocity(DiscreteMeasure(points, masses)) + added
        if not np.abs(moved).max() <= bound:
            raise _stopped(
                points, f"layer {number} has carried tokens to {np.abs(moved).max():.3g}, {FAR:g} times as far out as "
                f"they were: shared weights diverge. Pass a smaller `value`, whose norm is {_size(flow.value):.3g}."
            )  # fmt: skip
        differences.append(float(np.abs(moved - points).max()))
        points, size = moved, float(np.abs(moved).max())
        rate = _rate(differences, floor=FLOOR * size)
        if differences[-1] == 0.0 or (rate < 1 and differences[-1] * rate / (1 - rate) <= rtol * size):
            break
    else:
        raise _stopped(
            points, f"{layers} layers do not settle to `rtol` = {rtol:g}: the last one moved a token by "
            f"{differences[-1]:.3g}, and differences shrink by {rate:.6g} per layer. Pass more `layers`."
        )  # fmt: skip
    radius = _spectral_radius(layer._replace(points=points))
    slower = max(rate, radius)
    error = differences[-1] * slower / (1 - slower) if slower < 1 else np.inf
    return FixedPoint(points, number, rate, radius, error + FLOOR * size)


def _inputs(inputs: object, layer: LayerMap) -> np.ndarray:
    if inputs is None:
        return np.zeros_like(layer.points)
    added = check_points(inputs, "inputs")
    if added.shape != layer.points.shape:
        raise DataError(f"`inputs` must have shape {layer.points.shape}, one row per token, got {added.shape}.")
    return added


def _stopped(points: np.ndarray, words: str) -> ConvergenceError:
    error: Any = ConvergenceError(words)
    error.points = points
    return error


def _size(value: np.ndarray) -> float:
    return float(np.abs(value)) if value.ndim == 0 else float(np.linalg.norm(value, 2))


def _rate(differences: list[float], *, floor: float) -> float:
    """Return the factor by which differences shrink per layer, over the last of them that are no rounding."""
    usable = [each for each in differences if each > floor][-WINDOW - 1 :]
    if len(usable) < 2:
        return 0.0 if len(differences) > len(usable) else 1.0
    return float((usable[-1] / usable[0]) ** (1 / (len(usable) - 1)))


def _spectral_radius(layer: LayerMap) -> float:
    """Return the largest |eigenvalue| of the Jacobian."""
    held = held_jacobian(layer)
    if held is not None:
        return float(np.abs(np.linalg.eigvals(held)).max())
    shape, size = layer.points.shape, layer.points.size

    def product(vector: np.ndarray) -> np.ndarray:
        tangent = vector.reshape(shape)
        return np.asarray(pushed_forward(*layer[:4], tangent, centred=False, rtol=layer.rtol)).ravel()

    start = np.random.default_rng(0).standard_normal(size)
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        return float(np.abs(eigs(operator, k=1, v0=start, return_eigenvectors=False)[0]))
    except ArpackNoConvergence as error:
        raise ConvergenceError(f"no eigenvalue of the Jacobian is found: {error}.") from error
