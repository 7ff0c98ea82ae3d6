"""Does Sinkhorn cure what attention does where the tokens end?

On an interval the limit of attention has reflecting ends, but plain attention tends to it at the order eps^{1/2} alone:
near an end the keys are all on one side. Doubly stochastic attention leaves p itself invariant, ends included, and its
eigenvalues exp(-eps l(eps)) have [Sk, CL]

    l(eps) = l (1 + O(eps^{3/2})),   l those of -L with L f = 1/2 f'' + 1/2 (log p)' f'.

Measured on [0, pi], p ~ e^{x/2}, the first eigenvalue: -log(lambda)/eps, lambda that of A. That of -L is known: for
p ~ e^{cx} the eigenfunction of the density p^a is e^{-a c x} (cos x + a c sin x), with l = (1 + (a c)^2) / 2, a = 1/2
for Sinkhorn and 1 for softmax. The control is softmax, whose exponent is in truth one half.
"""

import jax
import numpy as np

import attnflow as af

TILT = 0.5  # c
POWERS = {"sinkhorn": 0.5, "softmax": 1.0}  # a


def log_weight(x: jax.Array) -> jax.Array:
    """Return log p up to a constant."""
    return TILT * x[0]


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return by how much the first eigenvalue is off, relative to what it tends to."""
    eps, density = case["bandwidth"], af.LogDensity(af.Interval(0.0, np.pi), log_weight)
    row: dict[str, float] = {}
    for name, power in POWERS.items():
        attention = af.Attention(af.SquaredDistance(), bandwidth=eps, normalization=name)
        spectrum = af.PopulationAttention(attention, density, rtol=1e-10).spectrum(2)
        eigenvalue = 1 - eps * spectrum.eigenvalues[1]
        limit = (1 + (power * TILT) ** 2) / 2
        row |= {
            name: abs(-np.log(eigenvalue) / (eps * limit) - 1),
            f"{name}.solver_error": spectrum.solver_error / (eigenvalue * limit),
        }
    return row


rate = af.Claim(
    id="boundary-Sk", source="Sk",
    statement=r"on an interval $-\log(\lambda)/\varepsilon$, $\lambda$ the first eigenvalue of attention with "
    r"Sinkhorn's weights, is off by the order $\varepsilon^{3/2}$ from that of $-L$",
    kind="exponent", quantity="sinkhorn", size="bandwidth", predicted=1.5, measures=("population",),
    hypotheses=r"$[0, \pi]$, $p \propto e^{x/2}$, $D = |x - y|^2$, infinitely many points",
)  # fmt: skip
study = af.Study(
    name="sinkhorn_boundary",
    measure=measure,
    ladder=[{"bandwidth": 0.02 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement=r"on an interval $-\log(\lambda)/\varepsilon$, $\lambda$ the first eigenvalue of plain "
            r"attention, is off by the order $\varepsilon^{3/2}$ from that of $-L$",
            quantity="softmax",
            truth=0.5,
        ),
    ],
    labels={
        "sinkhorn": r"$|-\log(\lambda)/(\varepsilon\lambda_1) - 1|$",
        "softmax": r"$|-\log(\lambda)/(\varepsilon\lambda_1) - 1|$, softmax",
    },
)
