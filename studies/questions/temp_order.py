"""How far from the random energy model is the temperature curve of attention among n random keys?

Of n independent uniform keys on S^{d-1} the mean inverse participation E Y, Y = sum_j w_j^2, is an exact integral (see
the study `temp_curve`), and for many dimensions and keys nearly 1 - beta_c/beta. To see how nearly, let r* be the
product beyond which there is one key, n P(t > r*) = 1, and beta* = -d log P(t > r)/dr there, which differs from beta_c
by logarithms of log n and d. Were the logarithm of the intensity of products a line, E Y would be 1 - beta*/beta for
every beta > beta*, since a shift of all logits changes no weight. In units of 1/beta* it is a line but for a curvature
of the order 1/min(d, log n). So

    E Y - (1 - beta*/beta) = O(1 / min(d, log n)),

and at a fixed d it tends to a constant, that of Poisson points in d - 1 dimensions: there is one critical temperature
for all d and n, and this is how sharp it is.

Measured: nothing, the integral is checked against the formula (a derivation), at beta = 2 beta* and d = 8 log n, as
log n grows. The control has d = 8 whatever n.
"""

import jax
import numpy as np
from scipy.special import betaln
from temp_curve import participation, squared_sine

import attnflow as af


def refined(log_n: float, d: int) -> float:
    """Return beta* = -d log P(t > r)/dr where n P(t > r) = 1."""
    rest = squared_sine(-log_n, d)
    return float(np.exp(log_n + (d - 3) / 2 * np.log(rest) - betaln((d - 1) / 2, 0.5)))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return how far the exact integral is from 1 - beta*/beta, for d = 8 log n and for d = 8."""
    log_n = case["log_keys"]
    dims = {"growing": 8 * round(log_n), "eight": 8}
    return {name: abs(participation(log_n, d, 2 * refined(log_n, d)) - 0.5) for name, d in dims.items()}


order = af.Claim(
    id="temp-curve-order/growing", source="derived",
    statement=r"the mean of $\sum_j w_j^2$ at $\beta = 2 \beta^*$ less $1 - \beta^*/\beta$ is of order $1/\log n$",
    kind="exponent", quantity="growing", size="log_keys", predicted=-1.0, measures=(),
    hypotheses=r"independent uniform keys on the unit sphere of $R^d$, $d = 8 \log n$",
)  # fmt: skip
study = af.Study(
    name="temp_order",
    measure=measure,
    ladder=[{"log_keys": 4.0 * k} for k in (1, 1.5, 2, 3, 4, 6, 8, 10, 12)],
    quick=8,
    claims=[
        order,
        order.control(
            statement=r"it is of order $1/\log n$ at $d = 8$ as well",
            quantity="eight",
            truth=0.0,
            truth_margin=0.2,  # it tends to its constant like n^{-2/7}, which no power of log n fits
        ),
    ],
    labels={
        "log_keys": r"$\log n$",
        **dict.fromkeys(("growing", "eight"), r"mean of $\sum_j w_j^2$ less $1 - \beta^*/\beta$"),
    },
)
