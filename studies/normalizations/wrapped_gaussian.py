"""Is there an attention whose layers follow their limit to second order?

On flat tori the kernel of the squared geodesic distance is a Gaussian wrapped around, up to e^{-pi^2/2eps}: the heat
kernel itself. With Sinkhorn's weights a layer is e^{eps L} up to O(eps^3), so that many layers at t = n eps have [WR]

    A^n f = e^{tL} f + O(eps^2),    L f = 1/2 f'' + 1/2 (log p)' f',

where all others are of the order eps: softmax of the same kernel, whose layers are no symmetric splitting of the flow,
and Sinkhorn of the chordal distance, whose kernel is none of heat.

Measured on the flat torus of one angle, p ~ exp(.7 cos t + .3 sin 2t), f = sin t + cos(3t)/2, at t = 1/2: the maximum
over 160 nodes of A^n f - e^{tL} f, A with the nodes as weighed points (the trapezoidal rule is exact to rounding for
all these kernels), e^{tL} the matrix exponential of L on waves; and the first eigenvalue l of -L as -log(lambda)/eps,
lambda that of A. The control of the one is the chordal distance, that of the other softmax, both with the exponent -1
in truth.
"""

import functools
from typing import Any

import jax
import numpy as np
from scipy.linalg import expm

import attnflow as af

TIME = 0.5
NODES = 160
ANGLES = 2 * np.pi * np.arange(NODES) / NODES
POINTS = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
VALUES = np.sin(ANGLES) + np.cos(3 * ANGLES) / 2
WRAPPED = af.SquaredGeodesicDistance(af.FlatTorus(1))
ATTENTIONS = {  # with the power of p that the limit sees
    "wrapped": (WRAPPED, "sinkhorn", 0.5),
    "softmax": (WRAPPED, "softmax", 1.0),
    "chordal": (af.SquaredDistance(), "sinkhorn", 0.5),
}


@functools.cache
def limit(power: float) -> tuple[np.ndarray, float]:
    """Return e^{tL} f at the nodes and the first eigenvalue of -L f = -1/2 f'' - power (log p)' f', with waves."""
    waves = np.fft.fftfreq(NODES, 1 / NODES) * (np.arange(NODES) != NODES // 2)
    derivative = np.fft.ifft(1j * waves[:, None] * np.fft.fft(np.eye(NODES), axis=0), axis=0).real
    slope = -0.7 * np.sin(ANGLES) + 0.6 * np.cos(2 * ANGLES)  # of log p
    generator = derivative @ derivative / 2 + power * slope[:, None] * derivative
    slow = np.sort(np.abs(np.linalg.eigvals(generator)))
    return expm(TIME * generator) @ VALUES, float(slow[slow > 1e-6][0])  # constants, and the wave left out, have none


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of n layers from their limits."""
    masses = np.exp(0.7 * np.cos(ANGLES) + 0.3 * np.sin(2 * ANGLES))
    row: dict[str, float] = {}
    for name, (cost, normalization, power) in ATTENTIONS.items():
        attention = af.Attention(cost, bandwidth=TIME / case["layers"], normalization=normalization)
        life = af.EmpiricalAttention(attention, af.DiscreteMeasure(POINTS, masses), rtol=1e-10)
        layers, spectrum = life.evolve(VALUES, times=TIME), life.spectrum(2)
        flow, slowest = limit(power)
        eigenvalue = 1 - attention.bandwidth * spectrum.eigenvalues[1]
        row |= {
            name: np.abs(layers.values[0] - flow).max(),
            f"{name}.solver_error": layers.solver_error,
            f"{name}_eigenvalue": abs(-np.log(eigenvalue) / (attention.bandwidth * slowest) - 1),
            f"{name}_eigenvalue.solver_error": spectrum.solver_error / (eigenvalue * slowest),
        }
    return row


FROZEN = r"flat torus of one angle, $p > 0$ and $f$ smooth, points frozen, those of a quadrature, $t = 1/2$"
LAYERS = r"$A^n f - e^{tL} f$ at $t = n\varepsilon$ is of order $\varepsilon^2 = (t/n)^2$"
EIGENVALUE = r"$-\log(\lambda_1(A))/\varepsilon$ is off by the order $\varepsilon^2 = (t/n)^2$ from the limit"
common: dict[str, Any] = dict(
    source="WR", kind="exponent", size="layers", predicted=-2.0, measures=("empirical",), hypotheses=FROZEN
)
layers = af.Claim(
    id="WR/layers", statement=f"wrapped Gaussian with Sinkhorn's weights: {LAYERS}", quantity="wrapped", **common
)
eigenvalue = af.Claim(
    id="WR/eigenvalue", statement=f"wrapped Gaussian with Sinkhorn's weights: {EIGENVALUE}",
    quantity="wrapped_eigenvalue", **common,
)  # fmt: skip
study = af.Study(
    name="wrapped_gaussian",
    measure=measure,
    ladder=[{"layers": round(5 * 2 ** (k / 2))} for k in range(10)],
    quick=8,
    claims=[
        layers,
        layers.control(statement=f"chordal distance with Sinkhorn's weights: {LAYERS}", quantity="chordal", truth=-1.0),
        eigenvalue,
        eigenvalue.control(
            statement=f"wrapped Gaussian with softmax: {EIGENVALUE}", quantity="softmax_eigenvalue", truth=-1.0
        ),
    ],
    labels={
        "wrapped": r"$\max |A^n f - e^{tL} f|$",
        "chordal": r"$\max |A^n f - e^{tL} f|$, chordal distance",
        "wrapped_eigenvalue": r"$|-\log(\lambda_1(A))/(\varepsilon\lambda_1) - 1|$",
        "softmax_eigenvalue": r"$|-\log(\lambda_1(A))/(\varepsilon\lambda_1) - 1|$, softmax",
    },
)
