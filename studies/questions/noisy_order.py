"""Do noisy tokens order all at once or little by little?

Tokens dx = P int e^{beta <x, y>} y mu(dy) dt + sqrt(2 kappa) dB on S^{d-1}, rows not divided, are spread evenly while
kappa > kappa# = a_1 / d (`ordered_branch` has the notation); in units of dx = K grad ... dt + dB that is

    K# = beta^{d/2} / (2^{d/2} Gamma(d/2) I_{d/2}(beta)).

Below kappa# they order along an axis. By a series in the order r = |int x mu(dx)| the branch of ordered laws leaves
kappa# towards less noise if beta < beta*, and order is continuous there; towards more if beta > beta*, and then both
laws are stable between kappa# and the largest kappa of the branch, and which one is seen depends on the past. Beta* is
where

    I_{d/2+1}(beta*) / I_{d/2}(beta*) = 1/d:   2.446918 on the circle, 1.816155 on S^2.

The series says nothing of laws far from even ones. Measured: the branch up to r = .97, laws at rest found by Newton's
method and certified by the velocities of a mean field, v - kappa grad log mu = 0. Quantities: the ratio of Bessel
functions at the beta at which the branch crosses kappa# with the order r, as r -> 0; whether kappa falls along all of
the branch, at eight beta below beta*; the width of the hysteresis, the largest kappa over kappa# less one, which for a
branch kappa/kappa# = 1 + c (beta - beta*) r^2 - e r^4 is of order (beta - beta*)^2.

The controls: 1/2 in place of 1/d = 1/3 on S^2; whether kappa falls at four beta above; the width from the
beta at which the ratio is 1/2 on S^2, 3.103, which is not small.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ordered_branch
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import ive

import attnflow as af
from attnflow.lab import plots

SMALL = np.array([0.01, 0.03])
SIZES = np.concatenate([SMALL, np.arange(0.05, 0.98, 0.02)])  # of r
PLACES = {"circle": 1, "sphere": 2}
BELOW = {"circle": (0.3, 0.6, 1.0, 1.4, 1.7, 2.0, 2.2, 2.4), "sphere": (0.3, 0.6, 0.9, 1.1, 1.3, 1.5, 1.65, 1.78)}
ABOVE = {"circle": (2.5, 3.0, 4.0, 6.0), "sphere": (1.9, 2.4, 3.2, 4.0)}

BETAS: list[dict[str, Any]] = [{"place": name, "beta": beta} for name in PLACES for beta in BELOW[name] + ABOVE[name]]


def ratio(dim: int, beta: float) -> float:
    """Return I_{d/2+1}(beta) / I_{d/2}(beta)."""
    order = (dim + 1) / 2
    return float(ive(order + 1, beta) / ive(order, beta))


def beta_of(dim: int, value: float) -> float:
    """Return where that ratio has a value."""
    return float(brentq(lambda beta: ratio(dim, beta) - value, 0.01, 20.0, xtol=1e-14))


def crossing(dim: int, size: float) -> float:
    """Return the beta at which the branch crosses kappa# with the order r."""
    sizes = np.append(np.arange(0.05, size, 0.05), size)

    def excess(beta: float) -> float:
        found = ordered_branch.branch(dim, beta, sizes)[-1].noise
        return found / ordered_branch.critical_noise(dim, beta) - 1

    return float(brentq(excess, 1.2, 4.0, xtol=1e-13))


def noises(dim: int, beta: float, sizes: np.ndarray = SIZES) -> np.ndarray:
    """Return kappa over kappa# along the branch."""
    found = [law.noise for law in ordered_branch.branch(dim, beta, sizes)]
    return np.array(found) / ordered_branch.critical_noise(dim, beta)


def width(dim: int, beta: float) -> float:
    """Return the largest kappa of the branch over kappa#, less one, by a parabola in r^2 through three orders."""
    best = int(np.argmax(noises(dim, beta)))
    middle = SIZES[max(best, 1)]
    for spread in (0.02, 0.005, 0.001):
        near = middle + spread * middle * np.array([-1, 0, 1])
        values = noises(dim, beta, np.concatenate([SIZES[near[0] > SIZES], near]))[-3:]
        coefficients = np.polyfit(near**2, values - 1, 2)
        middle = np.sqrt(max(-coefficients[1] / (2 * coefficients[0]), 1e-4))
    return float(noises(dim, beta, np.append(SIZES[middle > SIZES], middle))[-1] - 1)


def log_weight(sizes: jax.Array, x: jax.Array, *, dim: int) -> jax.Array:
    """Return log mu up to a constant, sum_l c_l P_l(<x, e>), e the last axis."""
    p = [jnp.ones(()), x[-1]]
    for l in range(1, len(sizes)):  # noqa: E741
        a, b = (2.0, 1.0) if dim == 1 else ((2 * l + 1) / (l + 1), l / (l + 1))
        p.append(a * x[-1] * p[-1] - b * p[-2])
    return sizes @ jnp.stack(p[1:])


@functools.cache
def weights_of(dim: int) -> Any:
    """Return the log weight as a function of an array and a point."""
    return functools.partial(log_weight, dim=dim)


def unrest(dim: int, beta: float, size: float) -> float:
    """Return the largest |v - kappa grad log mu| over the largest |v|, by the velocities of a mean field."""
    law = ordered_branch.branch(dim, beta, np.append(SIZES[size > SIZES], size))[-1]
    log_density = jax.tree_util.Partial(weights_of(dim), law.potential)
    density = af.LogDensity(af.Sphere(dim), log_density)
    attention = af.Attention(af.DotProduct(), bandwidth=1 / beta, normalization="unnormalized")
    angles = np.linspace(0.1, 3.0, 24)
    rest = np.zeros((len(angles), dim - 1))
    points = np.column_stack([np.sin(angles), rest, np.cos(angles)])
    along = np.column_stack([np.cos(angles), rest, -np.sin(angles)])
    v = np.einsum("qd,qd->q", af.MeanFieldFlow(attention, density).velocity(points), along)
    slope = np.einsum("qd,qd->q", np.asarray(jax.vmap(jax.grad(log_density))(points)), along)
    return float(np.abs(v - law.noise * slope).max() / np.abs(v).max())


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return what the branch is like at one order, one beta, or one distance from beta*."""
    row: dict[str, Any] = {}
    if "order" in case:
        for name, dim in PLACES.items():
            row[f"ratio-{name}"] = ratio(dim, crossing(dim, case["order"]))
        return row
    if "distance" in case:
        for name, dim in PLACES.items():
            row[f"width-{name}"] = width(dim, beta_of(dim, 1 / (dim + 1)) + case["distance"])
        return row | {"width-elsewhere": width(2, beta_of(2, 0.5) + case["distance"])}
    name, beta = case["place"], case["beta"]
    along = noises(PLACES[name], beta)
    side = "falls" if beta in BELOW[name] else "falls_above"
    row = {f"{side}-{name}": bool((np.diff(np.append(1.0, along)) < 0).all()), "branch": along}
    if beta == ABOVE[name][2]:
        row["unrest"] = max(unrest(PLACES[name], beta, size) for size in (0.11, 0.61))
    return row


def branches(records: list) -> Figure:
    """Draw the order along the branch over the noise, for every beta."""
    drawn = plots.figure(width=6.0, height=2.8)
    for axes, name in zip(drawn.subplots(1, 2, sharey=True), PLACES, strict=True):
        rows = sorted((case["beta"], a["branch"][0]) for case, a in records if case.get("place") == name)
        for place, (beta, along) in enumerate(rows):
            colour = f"C{int(beta in ABOVE[name])}"
            axes.plot(along, SIZES, color=colour, linewidth=0.9, alpha=0.35 + 0.65 * place / len(rows))
        axes.axvline(1, color="black", linewidth=0.6)
        axes.set(xlabel=r"$\kappa / \kappa^\#$", xlim=(0.6, 1.3), title=WORDS[name])
        first, last, above = BELOW[name][0], BELOW[name][-1], ABOVE[name]
        axes.plot([], [], color="C0", label=rf"$\beta = {first:g}, \ldots, {last:g}$")
        axes.plot([], [], color="C1", label=rf"$\beta = {above[0]:g}, \ldots, {above[-1]:g}$")
        axes.legend(fontsize=6, loc="lower left")
    drawn.axes[0].set_ylabel(r"order $r = |\int x\,d\mu|$")
    return drawn


common: dict[str, Any] = dict(
    source="derived", measures=(),
    hypotheses=r"$V = I$, kernel $e^{\beta\langle x, y\rangle}$, rows not divided; laws at rest about an axis",
)  # fmt: skip
WORDS = {"circle": "the circle", "sphere": "$S^2$"}
ratios = {
    name: af.Claim(
        id=f"noisy-order/{name}", kind="constant", quantity=f"ratio-{name}", size="order", predicted=1 / (dim + 1),
        margin=0.002, correction_power=2,
        statement=rf"on {WORDS[name]} $I_{{d/2+1}}(\beta^*)/I_{{d/2}}(\beta^*) = 1/{dim + 1}$ where order changes its "
        "kind", **common,
    )
    for name, dim in PLACES.items()
}  # fmt: skip
continuous = {
    name: af.Claim(
        id=f"noisy-order/continuous-{name}", kind="flag", quantity=f"falls-{name}", size="beta", predicted=True,
        statement=rf"on {WORDS[name]} the noise falls along the branch of ordered laws if $\beta < \beta^*$", **common,
    )
    for name in PLACES
}  # fmt: skip
widths = {
    name: af.Claim(
        id=f"noisy-order/width-{name}", kind="exponent", quantity=f"width-{name}", size="distance", predicted=2.0,
        statement=rf"on {WORDS[name]} the hysteresis is of order $(\beta - \beta^*)^2$ wide above $\beta^*$", **common,
    )
    for name in PLACES
}  # fmt: skip
study = af.Study(
    name="noisy_order",
    measure=measure,
    ladder=[
        *BETAS,
        *({"order": 0.4 * 2 ** (-k / 2)} for k in range(8)),
        *({"distance": 0.4 * 2 ** (-k / 2)} for k in range(8)),
    ],
    quick=40,
    claims=af.covered([
        *ratios.values(),
        ratios["circle"].control(
            statement=r"on $S^2$ $I_{d/2+1}(\beta^*)/I_{d/2}(\beta^*) = 1/2$ as well",
            quantity="ratio-sphere",
            truth=1 / 3,
            truth_margin=0.002,
        ),
        *continuous.values(),
        *(
            continuous[name].control(
                statement=rf"on {WORDS[name]} it does so above $\beta^*$", quantity=f"falls_above-{name}", truth=False
            )
            for name in PLACES
        ),
        *widths.values(),
        widths["sphere"].control(
            statement=r"on $S^2$ it is so wide from where the ratio is $1/2$ on", quantity="width-elsewhere", truth=0.0,
            truth_margin=0.4,
        ),
        af.Claim(
            id="noisy-order/rest", kind="identity", quantity="unrest", size="beta", predicted=0.0, margin=1e-7,
            statement=r"a mean field is at rest there: $v = \kappa \nabla \log \mu$",
            **(common | {"measures": ("mean_field",)}),
        ),
    ], by={
            "noisy-order/sphere": "noisy-order-control/circle",
            "noisy-order/width-circle": "noisy-order-control/width-sphere",
            "noisy-order/rest": "noisy-order-control/circle",
        }),
    figures=[branches],
    labels={
        "order": "order $r$",
        "beta": r"inverse temperature $\beta$",
        "distance": r"$\beta - \beta^*$",
        "ratio-circle": "ratio at the crossing, circle",
        "ratio-sphere": "ratio at the crossing, $S^2$",
        "falls-circle": r"$\kappa$ falls, circle, $\beta < \beta^*$",
        "falls-sphere": r"$\kappa$ falls, $S^2$, $\beta < \beta^*$",
        "falls_above-circle": r"$\kappa$ falls, circle, $\beta > \beta^*$",
        "falls_above-sphere": r"$\kappa$ falls, $S^2$, $\beta > \beta^*$",
        "width-circle": "width of the hysteresis, circle",
        "width-sphere": "width of the hysteresis, $S^2$",
        "width-elsewhere": "width of the hysteresis, $S^2$, from elsewhere",
        "unrest": r"largest $|v - \kappa\nabla \log\mu|$ over the largest $|v|$",
    },
)  # fmt: skip
