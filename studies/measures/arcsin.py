"""Do tokens under random value matrices meet, or end opposite one another?

Layers whose value matrices are independent and centred, x <- (x + sqrt(dt) V A x) / |x + sqrt(dt) V A x| with entries
of V from N(0, 1), move two tokens on the circle at random. Their angle phi is a martingale whatever the attention:
V A x is as likely to turn a token left as right. It stops at 0 or pi alone, so that the overlap u = cos(phi) ends at 1
or -1, and the mean of phi is kept:

    P(u = 1 in the end) = 1 - phi_0 / pi = 1/2 + arcsin(u_0) / pi.

Where a token sees itself alone, and in any dimension, the overlap follows du = -u (1 - u^2) dt + sqrt(2) (1 - u^2) dB,
whose scale function is arcsin u: the same number.

Measured with softmax of beta <x, y> at beta = 2 from u_0 = .9: the mean of (1 + u) / 2 in the end, u > .99995 or the
time 12, in steps of dt = 1/10; all pairs of all seeds are one set of tokens, each pair attending within itself. Steps
and stopping make it too large by .005 or so. In the control the matrices have the mean I, per unit of time:
tokens attract one another, and phi has the drift -2 p sin(phi) and the variance 2 sin^2(phi) (1 - 2 p (1 - p)), p the
weight of the other token, from which its scale function gives the share that meets.
"""

import jax
import numpy as np
import scipy.sparse
from scipy.integrate import cumulative_simpson

import attnflow as af

OVERLAP, BETA = 0.9, 2.0  # u_0
PAIRS, OF_CONTROL = 256, 64  # of each seed
STEP, LAYERS = 0.1, 120
MET = 0.99995  # u at which a pair has met; opposite one another tokens have to stay by themselves


def within_pairs(count: int) -> af.Adjacency:
    """Return the mask under which tokens 2 i and 2 i + 1 attend to themselves and to one another."""
    blocks = scipy.sparse.kron(scipy.sparse.identity(count), np.ones((2, 2)))
    return af.Adjacency(blocks.tocsr())


def moved(pairs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return pairs (P, 2, 2) after a layer with value matrices (P, 2, 2)."""
    attention = af.Attention(af.DotProduct(), bandwidth=1 / BETA, mask=within_pairs(len(pairs) + 1))
    tokens = np.concatenate([pairs.reshape(-1, 2), np.eye(2)])  # a pair at a right angle: rows never are all alike
    averages = af.TokenFlow(attention).velocity(tokens)[:-2].reshape(pairs.shape)
    found = pairs + np.einsum("pij,pkj->pki", values, averages)
    return found / np.linalg.norm(found, axis=2, keepdims=True)


def overlaps(pairs: np.ndarray) -> np.ndarray:
    """Return <x_1, x_2> of each pair."""
    return np.einsum("pi,pi->p", pairs[:, 0], pairs[:, 1])


def ends(keys: list[jax.Array], *, pairs_each: int, mean: float) -> np.ndarray:
    """Return the mean of (1 + u) / 2 in the end for each seed, of value matrices with the mean I or zero."""
    streams = [np.random.default_rng(np.asarray(jax.random.key_data(key))) for key in keys]
    other = np.array([OVERLAP, np.sqrt(1 - OVERLAP**2)])
    pairs = np.tile(np.stack([[1.0, 0.0], other]), (len(keys) * pairs_each, 1, 1))
    for _ in range(LAYERS):
        left = overlaps(pairs) < MET
        drawn = np.concatenate([stream.standard_normal((pairs_each, 2, 2)) for stream in streams])
        if left.any():
            pairs[left] = moved(pairs[left], np.sqrt(STEP) * drawn[left] + STEP * mean * np.eye(2))
    return (1 + overlaps(pairs)).reshape(len(keys), pairs_each).mean(axis=1) / 2


def share_with_mean() -> float:
    """Return the share of pairs that meet where the matrices have the mean I, from the scale function of phi."""
    angles = np.linspace(0, np.pi, 40002)[1:-1]
    other = 1 / (1 + np.exp(BETA * (1 - np.cos(angles))))
    slope = cumulative_simpson(2 * other / (np.sin(angles) * (1 - 2 * other * (1 - other))), x=angles, initial=0)
    scale = cumulative_simpson(np.exp(slope), x=angles, initial=0)
    return float(1 - np.interp(np.arccos(OVERLAP), angles, scale) / scale[-1])


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return the share of pairs that meet, of centred value matrices and of those with a mean."""
    return {
        "centred": ends(keys, pairs_each=PAIRS, mean=0.0),
        "with_mean": ends(keys, pairs_each=OF_CONTROL, mean=1.0),
    }


meeting = af.Claim(
    id="arcsin/circle", source="derived",
    statement=r"two tokens meet with the probability $1/2 + \arcsin(u_0)/\pi$",
    kind="constant", quantity="centred", size="layers", predicted=0.5 + np.arcsin(OVERLAP) / np.pi,
    hypotheses=r"circle, softmax of $2 \langle x, y\rangle$, independent Gaussian value matrices, $u_0 = 0.9$, "
    r"steps of length $1/10$",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="arcsin",
    measure=measure,
    ladder=[{"layers": LAYERS}],
    quick=1,
    seeds=32,
    claims=[
        meeting,
        meeting.control(
            statement=r"where the matrices have the mean $I$ two tokens meet with the probability "
            r"$1/2 + \arcsin(u_0)/\pi$",
            quantity="with_mean",
            truth=share_with_mean(),
        ),
    ],
    labels={
        "centred": r"mean of $(1 + u)/2$ in the end",
        "with_mean": r"mean of $(1 + u)/2$ in the end, $V$ of mean $I$",
    },
)
