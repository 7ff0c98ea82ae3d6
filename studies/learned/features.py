"""How far is a kernel of R frequencies from that of the whole spectrum that was learned?

Frequencies w_r are images of normal numbers under a perceptron that is trained, see `LearnedSpectrum`, and

    kappa_R(z) = (1/R) sum_r cos <w_r, z>

is off from kappa(z) = E cos <w, z> by R^{-1/2}, whatever the spectrum [S]. One kernel learns numbers from their
neighbours, see `kernel_tasks`, with 64 frequencies in two coordinates. Then others are drawn, R of them, for each seed
anew, and kappa_R - kappa is measured as the root mean square over 40 differences z of queries and keys. The reference
kappa is the rule of equal weights at 240 x 240 nodes in (-8, 8), whose error falls exponentially for an analytic map;
it is taken from that of 160 x 160. The control compares with the kernel of the spectrum before training,
e^{-|z|^2/4}: that distance tends to one that is not zero.
"""

import functools
from typing import Any

import jax
import numpy as np
from kernel_tasks import left_out

import attnflow as af

NODES, FEWER, REACH = 240, 160, 8.0
DRAWN = 2**16  # numbers at once, whatever R: they are mapped by one program


def start(key: jax.Array) -> "af.learn.Heads":
    """Return the kernel before training."""
    return af.learn.ImplicitKernel(2, frequencies=64, hidden=8, key=key)


@functools.cache
def learned() -> tuple:
    """Return the spectrum that was learned, differences (40, 2), and kappa there by two rules."""
    key = jax.random.key(3)
    draw = af.learn.regression("periodic", key=key, count=160).standardized()
    data = af.learn.stack([draw])
    trained = af.learn.train(start, left_out, data, keys=[key], steps=300, every=300, dtype="float64", bar=False)
    heads = trained.model(0)
    queries, keys = (np.asarray(maps.weight[0]) for maps in (heads.queries, heads.keys))
    differences = (draw.inputs[:4, None] @ queries.T - draw.inputs[10:20] @ keys.T).reshape(-1, 2) / 2**0.25
    return heads.spectra[0], differences, *(_expected(heads.spectra[0], differences, nodes) for nodes in (NODES, FEWER))


def _expected(spectrum: Any, differences: np.ndarray, nodes: int) -> np.ndarray:
    """Return E cos <w, z> by a rule of equal weights in each coordinate of the normal numbers."""
    places = np.linspace(-REACH, REACH, nodes)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    weights = np.exp(-np.sum(grid**2, axis=1) / 2)
    return np.cos(differences @ _images(spectrum, grid).T) @ (weights / weights.sum())


def _images(spectrum: Any, draws: np.ndarray) -> np.ndarray:
    """Return the frequencies (R, 2) of normal numbers (R, 2)."""
    padded = np.zeros((1, DRAWN, 2))
    padded[0, : len(draws)] = draws
    return np.asarray(spectrum.frequencies(padded))[0, : len(draws)]


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return the distances of kappa_R from the kernel of its spectrum, and from that before training."""
    spectrum, differences, expected, fewer = learned()
    generators = [np.random.default_rng(np.asarray(jax.random.key_data(key))) for key in keys]
    draws = np.concatenate([each.normal(size=(case["features"], 2)) for each in generators])
    frequencies = _images(spectrum, draws).reshape(len(keys), -1, 2)
    found = np.stack([np.cos(differences @ each.T).mean(axis=1) for each in frequencies])
    before = np.exp(-np.sum(differences**2, axis=1) / 4)
    return {
        "distance": np.sqrt(np.mean((found - expected) ** 2, axis=1)),
        "distance.solver_error": np.full(len(keys), np.abs(expected - fewer).max()),
        "control": np.sqrt(np.mean((found - before) ** 2, axis=1)),
    }


rate = af.Claim(
    id="S-learned-features", source="S", kind="exponent", quantity="distance", size="features",
    statement=r"$\kappa_R$, of $R$ frequencies of a learned spectrum, is off from $\kappa$ by the order $R^{-1/2}$",
    hypotheses="one kernel that was trained, 40 differences of queries and keys",
    predicted=-0.5, measures=(),
)  # fmt: skip
study = af.Study(
    name="features",
    measure=measure,
    ladder=[{"features": 16 * 2**k} for k in range(8)],
    quick=8,
    seeds=960,
    quick_seeds=480,
    claims=[
        rate,
        rate.control(
            statement=r"it is off by the order $R^{-1/2}$ from the kernel before training", quantity="control",
            truth=0.0, truth_margin=0.2,
        ),
    ],
    labels={
        "distance": r"distance of $\kappa_R$ from $\kappa$",
        "control": r"distance of $\kappa_R$ from the kernel before training",
    },
)  # fmt: skip
