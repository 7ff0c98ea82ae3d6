"""Is a row of softmax the law of largest entropy at its energy?

Of all laws nu on the keys the row a_i of softmax is the one with the largest sum of expected logit and entropy, and
that sum is the log normaliser [V]:

    G_i(nu) = sum_j nu_j l_ij - sum_j nu_j log nu_j  <=  log sum_j e^{l_ij} = G_i(a_i),

with the deficit G_i(a_i) - G_i(nu) = sum_j nu_j log(nu_j / a_ij), the divergence of nu from the row.

Measured with N points on the plane, one of them the origin, dot products at the bandwidth 1/2: rows are one layer on
the identity matrix. V-gibbs/value is the largest |G_i(a_i) - log Z_i|; V-gibbs/deficit is the largest distance of the
deficit from the divergence, of a random law for each row. In the control the entropy is left out, at the origin, whose
logits vanish: what is missing is log N.
"""

from typing import Any

import jax
import numpy as np

import attnflow as af

BANDWIDTH = 0.5
COUNTS = (8, 16, 32, 64)


def points_of(count: int) -> np.ndarray:
    """Return points (N, 2), the first in the origin."""
    points = np.random.default_rng(count).normal(size=(count, 2))
    points[0] = 0.0
    return points


def entropy(laws: np.ndarray) -> np.ndarray:
    """Return - sum_j nu_j log nu_j of laws (N, N), by rows."""
    return -np.sum(laws * np.log(laws), axis=1)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what G misses of the log normaliser, with and without the entropy, and of the divergence."""
    points = points_of(case["points"])
    logits = points @ points.T / BANDWIDTH
    softmax = af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=BANDWIDTH), points)
    rows, normalizers = softmax.layer(np.eye(len(points))), softmax.log_normalizer()
    others = np.random.default_rng(1).dirichlet(np.ones(len(points)), size=len(points))
    energy, other_energy = np.sum(rows * logits, axis=1), np.sum(others * logits, axis=1)
    deficit = normalizers - other_energy - entropy(others)
    divergence = np.sum(others * np.log(others / rows), axis=1)
    return {
        "value": np.abs(energy + entropy(rows) - normalizers).max(),
        "energy": np.abs(energy - normalizers)[0],
        "deficit": np.abs(deficit - divergence).max(),
    }


COMMON: dict[str, Any] = dict(
    source="V", size="points", predicted=0.0, margin=1e-11, measures=("empirical",),
    hypotheses=r"softmax of $2 \langle x, y\rangle$ over $N$ points on the plane, one of them the origin",
)  # fmt: skip
value = af.Claim(
    id="V-gibbs/value", kind="identity", quantity="value",
    statement="expected logit and entropy of a row of softmax sum to its log normaliser", **COMMON,
)  # fmt: skip
study = af.Study(
    name="gibbs",
    measure=measure,
    ladder=[{"points": count} for count in COUNTS],
    quick=len(COUNTS),
    claims=af.covered([
        value,
        value.control(
            statement="the expected logit of a row of softmax is its log normaliser, without the entropy",
            quantity="energy",
            truth=float(np.log(COUNTS[-1])),
            truth_margin=1e-11,
        ),
        af.Claim(
            id="V-gibbs/deficit", kind="identity", quantity="deficit",
            statement="what another law misses of the log normaliser is its divergence from the row", **COMMON,
        ),
    ], by="V-gibbs-control/value"),
    labels={
        "value": r"$|G_i(a_i) - \log Z_i|$",
        "energy": r"$\log Z_i$ less the expected logit",
        "deficit": "distance of the deficit from the divergence",
    },
)  # fmt: skip
