"""What becomes of the noise of an eigenvalue as the bandwidth vanishes?

`clt_spectrum` measures N Var(l_N) against a formula that holds at any bandwidth. As eps -> 0 the formula tends to

    V = int p^3 (|grad u|^2 - 2 l u^2)^2 dvol,   int p^2 u^2 dvol = 1,       softmax,
    1/4 int p (|grad u|^2 - 2 l u^2)^2 dvol,     int p u^2 dvol = 1,         Sinkhorn,

l and u those of the drift-diffusion, of p^2 and of p. Key weights q^{-alpha} leave (1 - alpha)^2 of it: nothing at
alpha = 1, where what is left is of order eps^2. Eigenvalues of diffusion maps without drift are then sampled the more
precisely the smaller the bandwidth is, until the second order of the noise takes over.

Measured by quadrature on the circle, log p = .8 cos 2t + .3 cos t + .2 sin t + const.: the variance of l_2 for softmax
and of l_1 for Sinkhorn over V, u found by Fourier modes; the exponent of the standard deviation of l_1 with weights
q^{-1}. One formula is held against another. The controls: V without the term -2 l u^2, and softmax, whose standard
deviation has a limit.
"""

import functools
from typing import Any

import eigenvalue_noise
import jax
import numpy as np

import attnflow as af

COUNT = 511  # odd, so that no wave alternates from node to node
NODES = 2 * np.pi * np.arange(COUNT) / COUNT
CIRCLE = np.column_stack([np.cos(NODES), np.sin(NODES)])
LOG_WEIGHT = 0.8 * np.cos(2 * NODES) + 0.3 * CIRCLE[:, 0] + 0.2 * CIRCLE[:, 1]
MASSES = np.exp(LOG_WEIGHT) / np.exp(LOG_WEIGHT).sum()
DENSITY = MASSES * COUNT / (2 * np.pi)
POWERS = {"softmax": 2, "sinkhorn": 1}  # of p in the stationary law
MODES = {"softmax": 2, "sinkhorn": 1}


@functools.cache
def limits(kind: str) -> tuple[float, float]:
    """Return V, with and without the term -2 l u^2."""
    power, mode = POWERS[kind], MODES[kind]
    weight = DENSITY**power
    derivatives = np.stack([eigenvalue_noise.derivative(row) for row in np.eye(COUNT)], axis=1)
    form = derivatives.T @ (weight[:, None] * derivatives) / 2
    roots = np.sqrt(weight)
    values, vectors = np.linalg.eigh(form / roots / roots[:, None])
    u = vectors[:, mode] / roots
    u /= np.sqrt(u**2 @ weight * 2 * np.pi / COUNT)
    slopes = eigenvalue_noise.derivative(u) ** 2
    found = []
    for term in (2 * values[mode] * u**2, 0.0):
        response = DENSITY ** (power - 1) * (slopes - term) * power / 2
        found.append(float((response - response @ MASSES) ** 2 @ MASSES))
    return found[0], found[1]


def variance(kind: str, bandwidth: float, mode: int) -> float:
    """Return N Var of an eigenvalue at a bandwidth."""
    found = eigenvalue_noise.modes(CIRCLE, MASSES, bandwidth=bandwidth, normalization=kind, count=mode)
    return eigenvalue_noise.variance(found[mode - 1].response, MASSES)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return variances over their limits, and standard deviations."""
    eps = case["bandwidth"]
    softmax, sinkhorn = variance("softmax", eps, 2), variance("sinkhorn", eps, 1)
    return {
        "softmax": softmax / limits("softmax")[0],
        "without": softmax / limits("softmax")[1],
        "sinkhorn": sinkhorn / limits("sinkhorn")[0],
        "weights": np.sqrt(variance("alpha", eps, 1)),
        "unweighted": np.sqrt(softmax),
    }


common: dict[str, Any] = dict(
    source="derived", size="bandwidth", measures=(),
    hypotheses=r"circle, $\log p = .8 \cos 2t + .3 \cos t + .2 \sin t + c$, $D = |x - y|^2$, $N \to \infty$",
)  # fmt: skip
softmax = af.Claim(
    id="clt-spectrum-limit/softmax", kind="constant", quantity="softmax", predicted=1.0,
    statement=r"$N$ Var$(\lambda_2)$ tends to $\int p^3 (|\nabla u|^2 - 2\lambda u^2)^2$ as $\varepsilon \to 0$",
    **common,
)  # fmt: skip
weights = af.Claim(
    id="clt-spectrum-limit/weights", kind="exponent", quantity="weights", predicted=1.0,
    statement=r"with keys weighted by $q^{-1}$ the standard deviation of $\lambda_1$ is of order $\varepsilon$",
    **common,
)  # fmt: skip
study = af.Study(
    name="clt_spectrum_limit",
    measure=measure,
    ladder=[{"bandwidth": 0.02 * 2 ** (-k / 2)} for k in range(9)],
    quick=9,
    claims=af.covered([
        softmax,
        softmax.control(
            statement=r"$N$ Var$(\lambda_2)$ tends to $\int p^3 |\nabla u|^4$ less the square of its mean",
            quantity="without",
            truth=limits("softmax")[0] / limits("softmax")[1],
            truth_margin=0.1,
        ),
        af.Claim(
            id="clt-spectrum-limit/sinkhorn", kind="constant", quantity="sinkhorn", predicted=1.0,
            statement=r"for Sinkhorn $N$ Var$(\lambda_1)$ tends to $\int p (|\nabla u|^2 - 2\lambda u^2)^2 / 4$",
            **common,
        ),
        weights,
        weights.control(
            statement="so it is without weights",
            quantity="unweighted",
            truth=0.0,
        ),
    ], by={"clt-spectrum-limit/sinkhorn": "clt-spectrum-limit-control/softmax"}),
    labels={
        "softmax": "variance over its limit, softmax",
        "without": r"variance over the limit without $-2\lambda u^2$",
        "sinkhorn": "variance over its limit, Sinkhorn",
        "weights": r"standard deviation, weights $q^{-1}$",
        "unweighted": "standard deviation, softmax",
    },
)  # fmt: skip
