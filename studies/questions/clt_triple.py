"""What law have the three levels into which keys on a sphere split the first eigenvalue of sampled attention?

On S^2, p uniform, l_1 is triple. Its levels for N independent keys are to first order those of a Gaussian 3 x 3 matrix
without trace whose law is invariant under rotations (see `multiple_eigenvalue`). Then, with

    sigma^2 = 6/5 (a_1 (1 - a_2) / eps)^2,   over (1 + a_2)^2 for Sinkhorn,

N/sigma^2 times the sum of their squares about their mean is q, chi^2 of 5 degrees of freedom, E e^{-q/2} = 2^{-5/2},
and independently of it the smaller of the two spacings over the larger, r, has the law of the orthogonal ensemble
[Atas2013],

    (27/4) (r + r^2) / (1 + r + r^2)^{5/2} on [0, 1],   E r = 4 - 2 3^{1/2} = .5359 .

Both are even in the matrix, so that what the second order of the noise adds is of order 1/N, though third moments of
harmonics of degree 2 do not vanish.

Measured at eps = 1/2, N from 64 to 400: the means of e^{-q/2} and r, for softmax and for Sinkhorn.

The controls: levels that cross freely, the quotients <y, (I - A) y / eps> / <y, y> of the three coordinates, which are
eigenfunctions without noise. To first order they are three independent Gaussian variables less their mean, so that q is
chi^2 of 2, E e^{-q/2} = 1/2, and the direction of the point in the plane uniform: r has the density

    (3 3^{1/2} / pi) / (1 + r + r^2),   E r = (3 3^{1/2} / 2 pi) log 3 - 1/2 = .4085,

no repulsion at r = 0; and for Sinkhorn the sigma of softmax, with which E e^{-q/2} is (1 + (1 + a_2)^{-2})^{-5/2}.

Of 1024 seeds at eight N a mean of e^{-q/2} has an interval of +- .013 and one of r of +- .019: the margins are .03 and
.04.
"""

import functools

import jax
import multiple_eigenvalue
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

BANDWIDTH = 0.5
KINDS = ("softmax", "sinkhorn")
SUM, RATIO = 0.03, 0.04  # margins
REPELLED, FREE = 4 - 2 * np.sqrt(3), 3 * np.sqrt(3) / (2 * np.pi) * np.log(3) - 0.5  # E r


@functools.cache
def sigma(kind: str) -> float:
    """Return the scale of the matrix."""
    return multiple_eigenvalue.scale(2, bandwidth=BANDWIDTH, normalization=kind)


def sum_of_squares(levels: np.ndarray, count: int, *, kind: str) -> float:
    """Return q."""
    return float(count * ((levels - levels.mean()) ** 2).sum() / sigma(kind) ** 2)


def ratio(levels: np.ndarray) -> float:
    """Return the smaller spacing over the larger one."""
    spacings = np.diff(np.sort(levels))
    return float(spacings.min() / spacings.max())


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what depends on the levels, and on those that cross."""
    count, found = case["points"], {}
    points = af.Uniform(af.Sphere(2)).sample(count, key=jax.random.fold_in(key, count))  # levels that share no draw
    for kind in KINDS:
        pair = multiple_eigenvalue.levels(points, bandwidth=BANDWIDTH, normalization=kind)
        for name, levels in zip((kind, f"{kind}_crossing"), pair, strict=True):
            found[f"{name}_sum"] = np.exp(-sum_of_squares(levels, count, kind=kind) / 2)
            found[f"{name}_ratio"] = ratio(levels)
        found[f"{kind}_of_softmax"] = np.exp(-sum_of_squares(pair[0], count, kind="softmax") / 2)
    return found


def repelled(r: np.ndarray) -> np.ndarray:
    """Return the density of r in the orthogonal ensemble."""
    return np.asarray(27 / 4 * (r + r**2) / (1 + r + r**2) ** 2.5)


def free(r: np.ndarray) -> np.ndarray:
    """Return that of three independent Gaussian levels."""
    return np.asarray(3 * np.sqrt(3) / np.pi / (1 + r + r**2))


def histograms(records: list) -> Figure:
    """Draw the ratios of spacings of all N, of levels and of those that cross, with the densities of the limit."""
    fine, bins = np.linspace(0, 1, 200), np.linspace(0, 1, 26)
    drawn = plots.figure(width=7.0, height=3.0)
    for ax, kind, title in zip(drawn.subplots(1, 2, sharey=True), KINDS, ("softmax", "Sinkhorn"), strict=True):
        for colour, name, density, label in (
            ("C0", kind, repelled, "eigenvalues"),
            ("C1", f"{kind}_crossing", free, "levels that cross"),
        ):
            found = np.concatenate([a[f"{name}_ratio"] for _, a in records])
            ax.hist(found, bins, density=True, histtype="stepfilled", alpha=0.35, color=colour, label=label)
            ax.plot(fine, density(fine), color=colour, lw=1.1)
        ax.set(xlabel="smaller spacing over the larger one, $r$", title=title, xlim=(0, 1))
    drawn.axes[0].set_ylabel("density")
    drawn.axes[0].legend(fontsize=7, frameon=False)
    return drawn


def claim_of(name: str, quantity: str, statement: str, *, predicted: float, margin: float) -> af.Claim:
    """Return a claim about a mean."""
    return af.Claim(
        id=f"clt-triple/{name}", source="derived", kind="constant", quantity=quantity, size="points",
        measures=("empirical",), predicted=predicted, margin=margin, statement=statement,
        hypotheses=r"$S^2$, $p$ uniform, $D = |x - y|^2$, $\varepsilon = 1/2$, "
        + ("Sinkhorn" if "sinkhorn" in quantity else "softmax"),
    )  # fmt: skip


SQUARES = r"$N/\sigma^2$ times the squares of a triple eigenvalue's levels about their mean"
SPACINGS = "the smaller spacing over the larger one has the mean of the orthogonal ensemble"
softmax_sum = claim_of(
    "sum", "softmax_sum", rf"{SQUARES} is $q \sim \chi^2_5$: E $e^{{-q/2}} = 2^{{-5/2}}$",
    predicted=2**-2.5, margin=SUM,
)  # fmt: skip
softmax_ratio = claim_of(
    "ratio", "softmax_ratio", SPACINGS + r", $4 - 2\sqrt{3}$", predicted=REPELLED, margin=RATIO
)  # fmt: skip
sinkhorn_sum = claim_of(
    "sinkhorn-sum", "sinkhorn_sum", rf"{SQUARES}, Sinkhorn, is $q \sim \chi^2_5$: E $e^{{-q/2}} = 2^{{-5/2}}$",
    predicted=2**-2.5, margin=SUM,
)  # fmt: skip
sinkhorn_ratio = claim_of(
    "sinkhorn-ratio", "sinkhorn_ratio", SPACINGS + r", Sinkhorn, $4 - 2\sqrt{3}$", predicted=REPELLED, margin=RATIO
)  # fmt: skip
study = af.Study(
    name="clt_triple",
    measure=measure,
    ladder=[{"points": count} for count in (64, 83, 108, 140, 182, 237, 308, 400)],
    quick=1,
    seeds=1024,
    quick_seeds=96,
    claims=[
        softmax_sum,
        softmax_sum.control(
            statement=r"so are those of three levels that cross",
            quantity="softmax_crossing_sum",
            truth=0.5,
            truth_margin=SUM,
        ),
    ],
    full_claims=[
        softmax_ratio,
        softmax_ratio.control(
            statement="three levels that cross have it too",
            quantity="softmax_crossing_ratio",
            truth=FREE,
            truth_margin=RATIO,
        ),
        sinkhorn_sum,
        sinkhorn_sum.control(
            statement=r"so they are, Sinkhorn, with the $\sigma$ of softmax",
            quantity="sinkhorn_of_softmax",
            truth=(1 + (sigma("sinkhorn") / sigma("softmax")) ** 2) ** -2.5,
            truth_margin=SUM,
        ),
        sinkhorn_ratio,
        sinkhorn_ratio.control(
            statement="three levels that cross, Sinkhorn, have it too",
            quantity="sinkhorn_crossing_ratio",
            truth=FREE,
            truth_margin=RATIO,
        ),
    ],
    figures=[histograms],
    labels={
        "softmax_sum": r"$e^{-q/2}$ of three levels",
        "softmax_crossing_sum": r"$e^{-q/2}$ of three that cross",
        "softmax_ratio": "ratio of spacings",
        "softmax_crossing_ratio": "ratio of spacings, levels that cross",
        "sinkhorn_sum": r"$e^{-q/2}$ of three levels, Sinkhorn",
        "sinkhorn_of_softmax": r"$e^{-q/2}$ with the $\sigma$ of softmax, Sinkhorn",
        "sinkhorn_ratio": "ratio of spacings, Sinkhorn",
        "sinkhorn_crossing_ratio": "ratio of spacings, levels that cross, Sinkhorn",
    },
)  # fmt: skip
