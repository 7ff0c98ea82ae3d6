"""How far are the eigenvalues of N points from those of infinitely many?

At fixed bandwidth the eigenvalues of (I - A_N)/eps, A_N the N x N attention matrix of independent points, fluctuate
about those of the population operator (I - A)/eps at order N^{-1/2} in root mean square [CL, Si]. The study `long_run`
has the other half of the way to the drift-diffusion, N infinite and eps -> 0.

Eigenvalues that lie closer than they fluctuate repel one another instead: for p ~ exp(.7 cos t), where l_1 and l_2 are
7 percent apart, the errors fall like N^{-.56} from 10 to 640 points. So p is concentrated, p ~ exp(3 cos t), eps = .5:
there l_1, ..., l_4 = 1.22, 1.63, 1.81, 1.85, and N^{1/2} times the error below is .50 to .53 at all sizes.

Measured: the root mean square relative error of l_1, ..., l_4. A seed leaves .42 of scatter in the exponent, so 736 of
them an interval of .057. The control compares with the population at half of eps: that distance tends to the one
between the populations, so in truth its exponent is zero.
"""

import functools

import jax
import numpy as np

import attnflow as af

BANDWIDTH = 0.5
N_MODES = 5
MARGIN = 0.1  # twice the default: every seed is an N x N eigenproblem


@functools.cache
def density() -> af.VonMisesFisher:
    """Return p."""
    return af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=3.0)


@functools.cache
def attention(bandwidth: float) -> af.Attention:
    """Return the attention of both operators."""
    return af.Attention(af.SquaredDistance(), bandwidth=bandwidth)


@functools.cache
def population_eigenvalues(bandwidth: float) -> np.ndarray:
    """Return l_0, ..., l_4 of the population operator."""
    return af.PopulationAttention(attention(bandwidth), density()).spectrum(N_MODES).eigenvalues


def distance(sampled: np.ndarray, exact: np.ndarray) -> float:
    """Return the root mean square relative distance of l_1, ..., l_4."""
    return float(np.sqrt(np.mean((sampled[1:] / exact[1:] - 1) ** 2)))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances from the population at the same bandwidth and at half of it."""
    points = density().sample(case["points"], key=key)
    sampled = af.EmpiricalAttention(attention(BANDWIDTH), points).spectrum(N_MODES).eigenvalues
    return {
        "error": distance(sampled, population_eigenvalues(BANDWIDTH)),
        "error_at_half": distance(sampled, population_eigenvalues(BANDWIDTH / 2)),
    }


rate = af.Claim(
    id="spectrum-N/circle", source="CL", measures=("empirical", "population"),
    statement=r"the eigenvalues of $A_N$ tend to those of $A$ at order $N^{-1/2}$",
    kind="exponent", quantity="error", size="points", predicted=-0.5, margin=MARGIN,
    hypotheses=r"circle, $p$ von Mises-Fisher, $D = |x - y|^2$, $\varepsilon = 0.5$",
)  # fmt: skip
study = af.Study(
    name="sampled_spectrum",
    measure=measure,
    ladder=[{"points": n} for n in (20, 32, 52, 84, 136, 222, 360, 584, 948)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement=r"the eigenvalues of $A_N$ tend to those of $A$ at half of its $\varepsilon$ at order $N^{-1/2}$",
            quantity="error_at_half",
            truth=0.0,
            truth_margin=MARGIN,
        ),
    ],
    seeds=736,
    labels={
        "error": "RMS relative error of four eigenvalues",
        "error_at_half": r"RMS relative distance of four eigenvalues from those at half of $\varepsilon$",
    },
)
