"""What has the sampled spectrum of entmax, and which of the schedules is best for its first eigenvalues?

On the circle with the uniform density the first two eigenvalues of (I - A_N) / eps_eff, both 1/2 in the limit, are
those of infinitely many tokens, (1 - kappa(1)) / eps_eff = 1/2 + O(eps_eff), but for two things that `entmax_noise`
derives:

    a gap of 2 |phat(2) b(-2)| / eps_eff -> (3 + rho) |phat(2)|,   N E |phat(2)|^2 = 1,   rho = (2n + 3)/(2n + 1),
    a slow-down of their mean, sum_q [single(q) + repeated(q)] / (N eps_eff), of order 1/nb ~ N^{-2n/(1 + 2n)} of 1/2.

Of a reach that does not answer to the tokens the gap is 4 |phat(2)|, as for softmax. Single eigenvalues so have a noise
of N^{-1/2} on every schedule: its square is not of the order 1 / (N eps^{m/2}), for which 1.5-entmax would have chosen
the best bandwidth. The bias is smaller at a smaller eps, the slow-down at a larger one; they balance at eps ~
N^{-2/(m+2)}, which is sparsemax's, and the mean of a pair is off by N^{-2/3} there and by N^{-2/5} for 1.5-entmax.

Measured at N = 512 for sparsemax and 1.5-entmax: N times the square of the gap over the mean of the pair, over its
derived value 4 [b(-2) / (1 - kappa(1))]^2; and for sparsemax the rise of the mean eigenvalue of A_N above kappa(1) over
its derived value. What is left is of order 1/nb; eight N are drawn. As in `entmax_depth` the part of the powers
N |phat(q)|^2 is taken from many clouds, of 8 points. The layer of entmax has no kernel that is symmetric; its
eigenvalues are those of its matrix.

The controls: both at a fixed reach, rows of the same profile that are divided by their sums.
"""

from typing import Any

import entmax_noise
import jax
import numpy as np
from entmax_depth import KINDS, LABELS, matrix
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.sparse import csc_array
from scipy.sparse.linalg import eigs

import attnflow as af
from attnflow.lab import plots

CLOUDS, POINTS = 256, 8  # of the powers
ABOVE = 1e-4  # of one, where eigenvalues are looked for
COUNT = 512  # tokens where claims are judged
GAP, RISE = 0.12, 0.1  # margins: what is left is some .05 there, and the seeds leave .08 and .03


def first_pair(layer: np.ndarray) -> np.ndarray:
    """Return the two largest eigenvalues of a layer but for 1, falling; of a complex pair the real part, twice."""
    start = np.cos(np.arange(len(layer)))
    found = eigs(csc_array(layer), k=3, sigma=1 + ABOVE, v0=start, return_eigenvectors=False)
    return np.sort(found.real)[-2::-1]


def powers(clouds: np.ndarray, top: int) -> np.ndarray:
    """Return N |phat(q)|^2, q = 1, ..., top, of clouds (..., N, 2), shape (top, ...)."""
    steps = clouds[..., 0] - 1j * clouds[..., 1]
    waves = np.cumprod(np.broadcast_to(steps, (top, *steps.shape)), axis=0)
    return np.abs(waves.sum(axis=-1)) ** 2 / clouds.shape[-2]


def halved(values: np.ndarray) -> np.ndarray:
    """Return v(q) + v(-q), q = 1, ..., Q, of values at -Q, ..., Q."""
    middle = len(values) // 2
    return values[middle + 1 :] + values[middle - 1 :: -1]


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return squares of gaps and rises of means over what is derived of them."""
    (count,), uniform = case.values(), af.Uniform(af.Circle())
    points = uniform.sample(count, key=key)
    others = uniform.sample(CLOUDS * POINTS, key=jax.random.fold_in(key, 1)).reshape(CLOUDS, POINTS, 2)
    top = len(entmax_noise.circle(1, count).waves) // 2
    spread = powers(others, top).mean(axis=1) - powers(points, top)
    row: dict[str, float] = {}
    for name, n in KINDS.items():
        own, fixed = (entmax_noise.circle(n, count, fixed=fixed) for fixed in (False, True))
        upper, lower = first_pair(matrix(n, points))
        mean = (upper + lower) / 2
        gap = count * ((upper - lower) / (1 - mean)) ** 2
        of_power = relative_gap(own)
        row[f"{name}.gap"] = float(gap / of_power + spread[1])
        row[f"{name}.gap.fixed"] = row[f"{name}.gap"] * of_power / relative_gap(fixed)
        if n == 1:
            response = halved(entmax_noise.rise(own))
            rise = float(count * (mean - own.symbol) + response @ spread[: len(response)])
            row["rise"] = rise / response.sum()
            row["rise.fixed"] = rise / entmax_noise.rise(fixed).sum()
    return row


def relative_gap(found: entmax_noise.Circle) -> float:
    """Return N times the square of the gap over 1 - kappa(1), the mean over tokens to first order."""
    return float((2 * found.change[found.waves == -2].item() / (1 - found.symbol)) ** 2)


def pairs(records: list) -> Figure:
    """Draw gaps and rises over their derived values over N."""
    rows = sorted(((next(iter(case.values())), a) for case, a in records), key=lambda row: row[0])
    sizes = [size for size, _ in rows]
    drawn = plots.figure(width=7.0, height=3.1)
    left, right = drawn.subplots(1, 2, sharey=True)
    for index, name in enumerate(KINDS):
        for quantity, marker, what in ((f"{name}.gap", "o", ""), (f"{name}.gap.fixed", "x", ", at a fixed reach")):
            plots_of(left, sizes, [a[quantity] for _, a in rows], f"C{index}{marker}", LABELS[name] + what)
    for quantity, marker, what in (("rise", "o", ""), ("rise.fixed", "x", ", at a fixed reach")):
        plots_of(right, sizes, [a[quantity] for _, a in rows], f"C0{marker}", LABELS["sparsemax"] + what)
    left.set(title="squared gap of the first pair", ylabel="over its derived value", ylim=(0, 1.9))
    right.set(title="slow-down of their mean")
    for ax in (left, right):
        ax.axhline(1, color="k", lw=0.7, ls=":")
        ax.set_xticks(marks := (128, 256, 512), labels=list(map(str, marks)))
        ax.set_xticks((), minor=True)
        ax.set(xlabel="number of points $N$")
        ax.legend(fontsize=7, frameon=False, loc="lower right")
    return drawn


def plots_of(ax: Axes, sizes: list[int], values: list[np.ndarray], style: str, label: str) -> None:
    """Draw means over seeds with their standard errors on a logarithmic axis of sizes."""
    means, errors = [np.mean(v) for v in values], [np.std(v) / np.sqrt(len(v)) for v in values]
    ax.set_xscale("log")
    ax.errorbar(sizes, means, errors, fmt=style[2:], color=style[:2], ms=3.5, lw=0.9, label=label)


common: dict[str, Any] = dict(
    source="derived", kind="constant", size="tokens", predicted=1.0, measures=("empirical",),
    hypotheses=rf"circle, uniform density, $\varepsilon = 1/2$, $N = {COUNT}$",
)  # fmt: skip


def gap_of(name: str) -> af.Claim:
    """Return what is claimed of the gap of one entmax."""
    return af.Claim(
        id=f"entmax-spectrum/gap-{name}", quantity=f"{name}.gap", margin=GAP,
        statement=r"$N$ E $(\lambda_2 - \lambda_1)^2 / \overline{\lambda}^2$ over its derived value, "
        rf"{LABELS[name]}, is 1", **common,
    )  # fmt: skip


own, fixed = (entmax_noise.circle(1, COUNT, fixed=fixed) for fixed in (False, True))
gap = gap_of("sparsemax")
rise = af.Claim(
    id="entmax-spectrum/slow-down", quantity="rise", margin=RISE,
    statement=r"the slow-down of $(\lambda_1 + \lambda_2)/2$ over its derived value, sparsemax, is 1", **common,
)  # fmt: skip
study = af.Study(
    name="entmax_spectrum",
    measure=measure,
    ladder=[
        {"tokens": COUNT},
        *({"points": round(128 * 2 ** (2 * k / 7))} for k in range(7)),
    ],
    quick=1,
    claims=[],  # the controls take the seeds of the full run
    full_claims=af.covered([
        gap,
        gap.control(
            statement=r"$N$ E $(\lambda_2 - \lambda_1)^2 / \overline{\lambda}^2$ over its value at a fixed reach, "
            "sparsemax, is 1",
            quantity="sparsemax.gap.fixed", truth=relative_gap(own) / relative_gap(fixed), truth_margin=GAP,
        ),
        gap_of("three_halves"),
        rise,
        rise.control(
            statement=r"the slow-down of $(\lambda_1 + \lambda_2)/2$ over its value at a fixed reach, sparsemax, is 1",
            quantity="rise.fixed",
            truth=float(entmax_noise.rise(own).sum() / entmax_noise.rise(fixed).sum()), truth_margin=RISE - 0.01,
        ),
    ], by={"entmax-spectrum/gap-three_halves": "entmax-spectrum-control/gap-sparsemax"}),
    seeds=256,
    quick_seeds=24,
    figures=[pairs],
    labels={
        **{f"{name}.gap": "squared gap over its derived value" for name in KINDS},
        "sparsemax.gap.fixed": "squared gap over its value at a fixed reach",
        "rise": "slow-down over its derived value",
        "rise.fixed": "slow-down over its value at a fixed reach",
    },
)  # fmt: skip
