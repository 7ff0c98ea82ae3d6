"""Is a trained layer the attention that the instrument takes it for, and is it a diffusion?

Moons: 160 tokens for training and 40 for testing, noise .2, standardised; one block of width 16 without residual, 400
steps of Adam at the rate .01, the dot product (self) and the learned metric. A trained layer is handed to the
instrument, as an attention over the tokens that enter it:

- its weights by EmpiricalAttention against those of the network itself, in float64, and in the float32 it was trained
  in; the control is the layer before training;
- its induced metric against J'J, J the Jacobian of phi after the first linear map; the control leaves the first map's
  training out.

Whether it is a diffusion: from f the coordinates of the tokens, does f + eps L f come nearer to A f than f itself? L is
that of the attention over the plane, for a density of six Gaussians fitted to the tokens. The advantage is the share of
tokens at which it does not, less that of those at which it does. Dot products in the plane have no L: their cost
decreases without end. The control is plain attention at the bandwidth .03 among 1200 such tokens, a diffusion up to
noise. Recorded beside it are effective neighbours, locality and jump (see Regime), and the number of clusters.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from comparisons import network_of
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

KINDS = ("self", "metric")
WIDTH, TRAINED, TESTED, NOISE = 16, 160, 40, 0.2
STEPS, EVERY, RATE, DECAY = 400, 50, 0.01, 5e-4
BANDWIDTH, MANY = 0.03, 1200  # of the control: some 20 neighbours
SLOW, SHOWN = 12, 48  # eigenvalues that are recorded, columns of grids
RAYS, LENGTHS = 40, np.arange(0, 2.1, 0.5)  # of geodesics that are drawn


def own_weights(network: Any, tokens: np.ndarray, dtype: Any) -> np.ndarray:
    """Return the weights of the network's only head among its tokens, in its own arithmetic."""
    cast = jax.tree.map(lambda leaf: leaf.astype(dtype) if eqx.is_inexact_array(leaf) else leaf, network)
    entering = cast.embed(jnp.asarray(tokens, dtype))[0]
    return np.asarray(cast.blocks[0].heads.weights(entering, entering)[0])


def pulled_back(first: Any, maps: Any, points: np.ndarray) -> np.ndarray:
    """Return J'J of phi after the first linear map, (Q, 2, 2), by the chain rule written out."""
    matrix, bias = np.asarray(first.weight, dtype=float), np.asarray(first.bias, dtype=float)
    inner, outer = np.asarray(maps.inner[0], dtype=float), np.asarray(maps.outer[0], dtype=float)
    hidden = np.tanh((points @ matrix.T + bias) @ inner.T + np.asarray(maps.inner_bias[0], dtype=float))
    jacobians = np.einsum("kj,qj,jd,de->qke", outer, 1 - hidden**2, inner, matrix)
    return np.einsum("qki,qkj->qij", jacobians, jacobians)


def plain_advantage(key: jax.Array) -> float:
    """Return the advantage of staying where one is under plain attention of a small bandwidth among many tokens."""
    tokens = af.learn.moons(key=key, count=MANY, test=1, noise=NOISE).standardized().tokens[0]
    layer = af.learn.TrainedLayer(
        attention=af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH), points=tokens, values=np.eye(2),
        inputs=tokens, embedding=jax.tree_util.Partial(jnp.asarray),
    )  # fmt: skip
    return 1 - 2 * layer.diffusion().nearer


def seen(layer: Any, name: str) -> dict[str, Any]:
    """Return what a layer is among its tokens."""
    regime = layer.regime()
    found = {
        "neighbours": regime.neighbours, "own_key": regime.own_key, "locality": regime.locality, "jump": regime.jump,
        "circulation": regime.circulation, "clusters": np.sum(layer.spectrum(len(layer.points)) > 0.5),
    }  # fmt: skip
    return {f"{name}_{quantity}": value for quantity, value in found.items()}


def answer(kind: str, networks: list[Any], tokens: np.ndarray) -> dict[str, Any]:
    """Return what is measured of one seed of one kind, from its networks at the start and at the end."""
    start, end = networks[0], networks[-1]
    layer = af.learn.layer_of(end, tokens)
    found = seen(layer, kind)
    exact, rounded = (own_weights(end, tokens, dtype) for dtype in (np.float64, np.float32))
    found |= {
        f"{kind}_weights": np.abs(layer.matrix - exact).max(), f"{kind}_rounded": np.abs(layer.matrix - rounded).max(),
        f"{kind}_untrained": np.abs(layer.matrix - own_weights(start, tokens, np.float64)).max(),
    }  # fmt: skip
    if kind == "metric":
        metric, maps = layer.metric(), end.blocks[0].heads.maps
        size = np.abs(metric).max()
        found["metric_error"] = np.abs(metric - pulled_back(end.first, maps, tokens)).max() / size
        found["metric_of_start"] = np.abs(metric - pulled_back(start.first, maps, tokens)).max() / size
        found["behind"] = 1 - 2 * layer.diffusion().nearer
    return found


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return what trained layers are, one row for each seed."""
    draws = [af.learn.moons(key=key, count=case["tokens"], test=TESTED, noise=NOISE).standardized() for key in keys]
    data, seeds = af.learn.stack(draws), jnp.stack(keys)
    rows: list[dict[str, Any]] = [{} for _ in keys]
    for kind in KINDS:
        trained = af.learn.train(
            network_of(kind, inputs=2, width=WIDTH, outputs=2), af.learn.TokenLoss(), data,
            keys=seeds, steps=STEPS, learning_rate=RATE,
            weight_decay=DECAY, every=EVERY, measure=af.learn.keep_parameters, checkpoint=af.scratch_folder(),
        )  # fmt: skip
        for seed, row in enumerate(rows):
            networks, tokens = af.learn.snapshots(trained, seed), draws[seed].tokens[0]
            row |= answer(kind, networks, tokens)
            if kind == "metric":
                row["plain_behind"] = plain_advantage(keys[seed])
                row["rays"] = rays(networks[-1], draws[seed]) if seed == 0 else np.full((RAYS, len(LENGTHS), 2), np.nan)
            row[f"{kind}_course"] = course(networks, tokens) if seed == 0 else np.zeros((len(networks), SLOW))
            row[f"{kind}_chances"], row[f"{kind}_metrics"] = shown(networks[-1], tokens)
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    found |= {"tokens": data.tokens[:, 0], "labels": data.labels[:, 0], "train": data.train[:, 0]}
    return found


def course(networks: list[Any], tokens: np.ndarray) -> np.ndarray:
    """Return the largest eigenvalues of the layer over the steps of training."""
    return np.stack([af.learn.layer_of(network, tokens).spectrum(SLOW) for network in networks])


def shown(network: Any, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return chances of the second class and metrics on grids around the tokens."""
    _, _, points = plots.plane_grid(np.array([[-2.2, -2.2], [2.2, 2.2]]), count=SHOWN, room=0.0)
    chances = jax.nn.softmax(af.learn.respond(network, tokens, points))[:, 1]
    return np.asarray(chances, dtype=np.float32), af.learn.layer_of(network, tokens).metric(places())


def rays(network: Any, draw: "af.learn.TokenSets") -> np.ndarray:
    """Return geodesics of the learned metric from the middle of the first class, at equal angles of it."""
    layer = af.learn.layer_of(network, draw.tokens[0])
    start = draw.tokens[0][draw.labels[0] == 0].mean(axis=0)
    turns = 2 * np.pi * np.arange(RAYS) / RAYS
    ways = np.linalg.solve(np.linalg.cholesky(layer.metric(start[None])[0]).T, [np.cos(turns), np.sin(turns)]).T
    try:
        return layer.geodesics(start, ways, lengths=LENGTHS)
    except af.AttnflowError:  # one of them runs where the map is saturated, and the metric is none
        return np.full((RAYS, len(LENGTHS), 2), np.nan)


def places() -> np.ndarray:
    """Return where ellipses are drawn."""
    return plots.plane_grid(np.array([[-2.0, -2.0], [2.0, 2.0]]), count=12, room=0.0)[2]


def regions(cases: list[tuple[dict, dict[str, np.ndarray]]]) -> Figure:
    """Draw what the first seed decides, its metric, and its spectrum over training."""
    _, found = cases[0]
    x, y, _ = plots.plane_grid(np.array([[-2.2, -2.2], [2.2, 2.2]]), count=SHOWN, room=0.0)
    drawn = plots.figure(width=6.4, height=5.2)
    for (left, right), kind in zip(drawn.subplots(2, 2), KINDS, strict=True):
        plots.decision_regions(
            left, x=x, y=y, chances=found[f"{kind}_chances"][0].reshape(SHOWN, SHOWN), tokens=found["tokens"][0],
            labels=found["labels"][0], train=found["train"][0],
        )  # fmt: skip
        plots.learned_ellipses(left, places(), found[f"{kind}_metrics"][0])
        left.set_title({"self": "self-attention", "metric": "metric-attention"}[kind])
        plots.spectrum_over_training(right, steps=range(0, STEPS + 1, EVERY), eigenvalues=found[f"{kind}_course"][0])
    return drawn


def geodesics(cases: list[tuple[dict, dict[str, np.ndarray]]]) -> Figure:
    """Draw geodesics of the metric that a seed learned, with points of equal length joined, over its tokens."""
    found = next(arrays for _, arrays in cases)
    drawn = plots.figure(width=4.4, height=4.0)
    ax = drawn.add_subplot()
    resolved = np.flatnonzero(np.isfinite(found["rays"]).all(axis=(1, 2, 3)))
    row = resolved[0] if len(resolved) else 0
    for label, colour in enumerate(("#0072B2", "#D55E00")):
        chosen = found["tokens"][row][found["labels"][row] == label]
        ax.plot(*chosen.T, linestyle="none", marker=".", color=colour, alpha=0.5)
    if len(resolved):
        plots.geodesics(ax, found["rays"][row])
    ax.set_title("geodesics of the learned metric, fronts .5 apart" if len(resolved) else "geodesics are not resolved")
    return drawn


common: dict[str, Any] = dict(
    size="tokens", measures=("empirical",),
    hypotheses="moons, 160 + 40 tokens, one block of width 16, 400 steps of Adam at the rate .01",
)  # fmt: skip
same = [
    af.Claim(
        id=f"L-bridge/{kind}", source="derived", kind="identity", quantity=f"{kind}_weights", predicted=0.0,
        margin=1e-10, statement=f"the instrument sums a trained layer of {words} with its own weights", **common,
    )
    for kind, words in (("self", "self-attention"), ("metric", "metric-attention"))
]  # fmt: skip
pulled = af.Claim(
    id="L-bridge-metric/moons", source="RZ", kind="identity", quantity="metric_error", predicted=0.0, margin=1e-10,
    statement=r"the induced metric of trained metric-attention is $J'J$, $J$ the Jacobian of $\varphi$ after the first "
    "map", size="tokens", measures=("expansion",), hypotheses=common["hypotheses"],
)  # fmt: skip
behind = af.Claim(
    id="L-diffusion/metric", source="RZ", kind="ordering", quantity="behind", predicted=1.0,
    statement=r"at half of the tokens or more $f + \varepsilon L f$ is no nearer to what trained metric-attention does "
    "than $f$", size="tokens", measures=("empirical", "expansion"), hypotheses=common["hypotheses"],
)  # fmt: skip
study = af.Study(
    name="bridge",
    measure=measure,
    ladder=[{"tokens": TRAINED}],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=af.covered(
        [
            *same,
            same[1].control(
                statement="the instrument sums a trained layer of metric-attention with the weights before training",
                quantity="metric_untrained",
                truth=0.5,
                truth_margin=0.499,
            ),
            pulled,
            pulled.control(
                statement="the induced metric is that of the trained map after the first map before training",
                quantity="metric_of_start",
                truth=5.0,
                truth_margin=4.999,
            ),
            behind,
            behind.control(
                statement=r"at half of the tokens or more $f + \varepsilon L f$ is no nearer to what "
                "plain attention of the bandwidth .03 does among 1200 tokens than $f$",
                quantity="plain_behind",
                truth=-0.4,
                truth_margin=0.35,
            ),
        ],
        by="L-bridge-control/metric",
    ),
    figures=[regions, geodesics],
    labels={
        "self_weights": "largest difference of weights, self-attention",
        "metric_weights": "largest difference of weights, metric-attention",
        "metric_untrained": "largest difference of weights from those before training",
        "metric_error": r"largest difference of $G$ from $J'J$, relative",
        "metric_of_start": r"largest difference of $G$ from $J'J$ before training, relative",
        "behind": r"tokens at which $f$ is nearer, less those at which $f + \varepsilon L f$ is",
        "plain_behind": r"tokens at which $f$ is nearer, less those at which $f + \varepsilon L f$ is",
    },
)
