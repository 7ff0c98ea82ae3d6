"""How far are layers whose weights are frozen from layers whose weights are computed anew?

A layer without residual takes tokens x to A(x) x. With the weights of the first layer kept, n layers are A(x_0)^n x_0;
computed anew they are x_{k+1} = A(x_k) x_k. A layer moves tokens by O(eps), and so

    one layer     the two agree,
    n layers      they are O(n^2 eps^2) apart, n eps small: in layer k the weights are k layers old.

Equally spaced tokens on a circle show it in numbers: a layer shrinks the radius R by I_1/I_0(R^2/eps), about
1 - eps / 2R^2; the frozen factor is that of R = 1, and the ratio of the radii after n layers is 1 + n(n-1) eps^2 / 4.

The control keeps weights too, but only those of the layer before: x_{k+1} = A(x_{k-1}) x_k. It is one layer late in
every layer, and off by O(n eps^2), the first power of n, which would be said of frozen weights if the tokens that they
were taken from were forgotten.

Measured with 896 tokens on a closed curve in the plane that is no circle, unevenly spaced: the root mean square of the
distances between the tokens.
"""

import functools

import numpy as np

import attnflow as af

ANGLES = 2 * np.pi * np.arange(896) / 896
SPACED = ANGLES + 0.05 * np.sin(ANGLES + 0.5)
START = np.column_stack([np.cos(SPACED), 0.95 * np.sin(SPACED) + 0.02 * np.cos(2 * SPACED)])
DEPTH, LAYERS_BANDWIDTH = 4, 3e-4
LAYERS = (6, 8, 10, 12, 14, 17, 20, 24)
BANDWIDTHS = tuple(0.004 * 2 ** (-k / 2) for k in range(8))


def attention(eps: float) -> af.Attention:
    """Return softmax of -|x - y|^2 / 2eps."""
    return af.Attention(af.SquaredDistance(), bandwidth=eps)


def anew(eps: float, counts: list[int]) -> np.ndarray:
    """Return the tokens after n layers whose weights are computed anew: with dt = 1 the residual takes x away."""
    flow = af.TokenFlow(attention(eps), centred=True)
    return flow.evolve(START, times=[float(n) for n in counts], integrator=af.Layer(1.0)).points


def frozen(eps: float, counts: list[int]) -> np.ndarray:
    """Return them after n layers with the weights of the first."""
    layers = af.EmpiricalAttention(attention(eps), START, rtol=1e-11)
    return layers.evolve(START, times=[n * eps for n in counts]).values


def late(eps: float, counts: list[int]) -> np.ndarray:
    """Return them after n layers, each with the weights of the layer before, the first with its own."""
    flow = af.TokenFlow(attention(eps))
    before, now = START, flow.velocity(START)
    found = {1: now}
    for n in range(2, max(counts) + 1):
        layer = af.EmpiricalAttention(attention(eps), before, rtol=1e-11)
        before, now = now, layer.layer(now)
        found[n] = now
    return np.stack([found[n] for n in counts])


@functools.cache
def depth_run() -> dict[str, np.ndarray]:
    """Return the distances after all numbers of layers, at one bandwidth."""
    counts = list(LAYERS)
    right = anew(LAYERS_BANDWIDTH, counts)
    ways = {"frozen": frozen, "late": late}
    return {name: distances(way(LAYERS_BANDWIDTH, counts) - right) for name, way in ways.items()}


def distances(difference: np.ndarray) -> np.ndarray:
    """Return the root mean squares of |difference| over tokens, (T,)."""
    return np.sqrt((difference**2).sum(axis=2).mean(axis=1))


@af.per_seed
def measure(case: dict, key: object) -> dict[str, float]:
    """Return what frozen weights are off by, of one depth at a bandwidth or of one bandwidth at a depth."""
    if "layers" in case:
        place = LAYERS.index(case["layers"])
        return {f"depth.{name}": float(found[place]) for name, found in depth_run().items()}
    eps = case["bandwidth"]
    one, few = distances(frozen(eps, [1, DEPTH]) - anew(eps, [1, DEPTH]))
    return {"bandwidth.frozen": float(few), "bandwidth.one": float(one / eps**2)}


curve = "896 tokens on a closed curve in the plane, unevenly spaced"
depth = af.Claim(
    id="frozen/depth", source="derived",
    statement=r"after $n$ layers frozen weights are off by the order of $n^2$, $n \varepsilon$ small",
    kind="exponent", quantity="depth.frozen", size="layers", predicted=2.0,
    hypotheses=rf"{curve}; $\varepsilon = 3 \cdot 10^{{-4}}$", measures=("tokens", "empirical"),
)  # fmt: skip
study = af.Study(
    name="frozen",
    measure=measure,
    ladder=[{"layers": n} for n in LAYERS] + [{"bandwidth": eps} for eps in BANDWIDTHS],
    quick=16,
    claims=af.covered([
        depth,
        depth.control(
            statement=r"after $n$ layers weights of one layer before are off by the order of $n^2$",
            quantity="depth.late",
            truth=1.0,
            truth_margin=0.15,  # n eps is not that small
        ),
        af.Claim(
            id="frozen/bandwidth", source="derived",
            statement=r"after four layers frozen weights are off by the order of $\varepsilon^2$",
            kind="exponent", quantity="bandwidth.frozen", size="bandwidth", predicted=2.0, hypotheses=curve,
            measures=("tokens", "empirical"),
        ),
        af.Claim(
            id="frozen/one", source="derived",
            statement=r"one layer is the same with frozen weights, to $10^{-6} \varepsilon^2$",
            kind="identity", quantity="bandwidth.one", size="bandwidth", predicted=0.0, margin=1e-6, hypotheses=curve,
            measures=("tokens", "empirical"),
        ),
    ], by="frozen-control/depth"),
    labels={
        "depth.frozen": "distance of tokens from those with frozen weights",
        "depth.late": "distance of tokens from those with weights one layer late",
        "bandwidth.frozen": "distance of tokens from those with frozen weights",
        "bandwidth.one": r"distance after one layer, over $\varepsilon^2$",
    },
)  # fmt: skip
