"""What law has the gap of two eigenvalues of sampled attention that lie no farther apart than they fluctuate?

On the circle l_1 is double if p is uniform. With p = (1 + (2/N)^{1/2} s cos 2t) / 2 pi it is split by 2 sigma s /
N^{1/2}, s fixed, as much as N independent keys shake it. To first order the two levels are those of sigma N^{-1/2}

    ( s + a    b   )
    (   b   -s - a )        a, b independent standard normal,   sigma = a_1 (1 - a_2) / (2^{1/2} eps),

see `multiple_eigenvalue`: apart by 2 sigma r / N^{1/2}, where r = |(s + a, b)| has the law of Rice, r exp(-(r^2 +
s^2)/2) I_0(r s), Rayleigh's at s = 0. Its density is ~ r near zero whatever s: levels repel one another, split or not,

    E e^{-k r^2 / 2} = (1 + k)^{-1} exp(-k s^2 / 2(1 + k)),   E r^2 = 2 + s^2 .

Given a and b the second order of the noise has mean zero, and the third moments of cos 2t and sin 2t vanish: what is
added to the means is of order 1/N.

Measured, softmax at eps = 1/2, N from 64 to 400: the mean of e^{-2 r^2} for s = 0 and s = 1 against 1/5 and e^{-.4}/5;
the root mean square of r for s = 1 over 3^{1/2}; and at 64 points, s = 1, the exponent in 1 + k of the root of E e^{-k
r^2 / 2}, -1/2: that of a density ~ r^beta is -(1 + beta)/4, and the exponential in s is what one term of correction
fits.

The control of each are levels that cross freely: the quotients <y, (I - A) y / eps> / <y, y> of the two coordinates,
eigenfunctions without noise, of the same keys. To first order they are the diagonal, apart by |s + a|: the means are
(1 + k)^{-1/2} in place of (1 + k)^{-1}, the root mean square (1 + s^2)^{1/2}, the exponent -1/4.

Of 2048 draws at eight N a mean of e^{-2 r^2} has an interval of +- .015, a root mean square one of +- .025, and of 8192
draws at 64 points an exponent one of +- .055: the margins are .03, .05 and .12.
"""

import functools
from typing import Any

import jax
import multiple_eigenvalue
import numpy as np
from matplotlib.figure import Figure
from scipy.special import ive

import attnflow as af
from attnflow.lab import plots

BANDWIDTH = 0.5
SHARP = 4.0  # k
DRAWS, FEW, MANY = 4, 64, 16  # of a seed; points and draws of a seed for the exponent
MEAN, ROOT, EXPONENT = 0.03, 0.05, 0.12  # margins
LADDER: list[dict[str, Any]] = [
    *({"points": count} for count in (64, 83, 108, 140, 182, 237, 308, 400)),
    *({"sharpness": size} for size in (2.0, 2.7, 3.6, 4.9, 6.6, 8.8, 11.9, 16.0)),  # 1 + k
]


@functools.cache
def unit() -> float:
    """Return the gap over r / N^{1/2}: 2 sigma of this file, 2^{1/2} sigma of a matrix without trace."""
    return float(np.sqrt(2) * multiple_eigenvalue.scale(1, bandwidth=BANDWIDTH, normalization="softmax"))


def sample(count: int, key: jax.Array, *, shift: float, draws: int) -> np.ndarray:
    """Return draws of points with the density 1 + (2/N)^{1/2} s cos 2t, (draws, N, 2).

    An angle is kept with the probability (1 + d cos 2t)/2 and else turned by a quarter, where cos 2t is the opposite.
    """
    angles, chance = np.asarray(jax.random.uniform(key, (2, draws, count)))
    angles = 2 * np.pi * angles
    angles += np.pi / 2 * (2 * chance > 1 + np.sqrt(2 / count) * shift * np.cos(2 * angles))
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def gaps(count: int, key: jax.Array, *, shift: float, draws: int) -> np.ndarray:
    """Return r of the levels, and of those that cross, (2, draws)."""
    found = [
        multiple_eigenvalue.levels(points, bandwidth=BANDWIDTH, normalization="softmax")
        for points in sample(count, key, shift=shift, draws=draws)
    ]
    return np.abs(np.diff(np.array(found), axis=2)[..., 0]).T * np.sqrt(count) / unit()


@functools.cache
def of_few(words: bytes) -> np.ndarray:
    """Return `gaps` of few points from the words of a key: all k take the same draws."""
    key = jax.random.wrap_key_data(np.frombuffer(words, dtype=np.uint32), impl="threefry2x32")  # type: ignore[arg-type]
    return gaps(FEW, jax.random.fold_in(key, 0), shift=1.0, draws=MANY)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return means over the draws of a seed of what depends on the gap, and the gaps."""
    if "sharpness" in case:
        near = np.exp(-(case["sharpness"] - 1) * of_few(np.asarray(jax.random.key_data(key)).tobytes()) ** 2 / 2)
        return dict(zip(("near", "near_crossing"), np.sqrt(near.mean(axis=1)), strict=True))
    keys = jax.random.split(jax.random.fold_in(key, case["points"]))  # levels of a ladder that share no draw
    double, split = (
        gaps(case["points"], each, shift=shift, draws=DRAWS) for each, shift in zip(keys, (0.0, 1.0), strict=True)
    )
    roots = np.sqrt((split**2).mean(axis=1) / 3)
    close = {name: np.exp(-SHARP * r**2 / 2).mean(axis=1) for name, r in (("double", double), ("split", split))}
    return {
        **{name: values[0] for name, values in close.items()},
        **{f"{name}_crossing": values[1] for name, values in close.items()},
        "root": roots[0],
        "root_crossing": roots[1],
        "gaps": np.stack([double, split]),
    }


def rice(r: np.ndarray, s: float) -> np.ndarray:
    """Return the density of |(s + a, b)|."""
    return np.asarray(r * np.exp(-((r - s) ** 2) / 2) * ive(0, r * s))


def folded(r: np.ndarray, s: float) -> np.ndarray:
    """Return the density of |s + a|."""
    return np.asarray((np.exp(-((r - s) ** 2) / 2) + np.exp(-((r + s) ** 2) / 2)) / np.sqrt(2 * np.pi))


def histograms(records: list) -> Figure:
    """Draw the gaps of all N, of levels and of those that cross, with the densities of the limit."""
    found = np.concatenate([a["gaps"] for case, a in records if "points" in case])  # (seeds, s, crossing, draws)
    fine = np.linspace(0, 4.5, 200)
    drawn = plots.figure(width=7.0, height=3.0)
    for ax, row, s in zip(drawn.subplots(1, 2, sharey=True), (0, 1), (0.0, 1.0), strict=True):
        for column, density, name in ((0, rice, "eigenvalues"), (1, folded, "levels that cross")):
            ax.hist(
                found[:, row, column].ravel(), np.linspace(0, 4.5, 46), density=True, histtype="stepfilled",
                alpha=0.35, color=f"C{column}", label=name,
            )  # fmt: skip
            ax.plot(fine, density(fine, s), color=f"C{column}", lw=1.1)
        ax.set(xlabel="gap over its scale, $r$", title=f"$s = {s:.0f}$", xlim=(0, 4.5))
    drawn.axes[0].set_ylabel("density")
    drawn.axes[0].legend(fontsize=7, frameon=False)
    return drawn


common: dict[str, Any] = dict(source="derived", measures=("empirical",))
CIRCLE = r"circle, $D = |x - y|^2$, $\varepsilon = 1/2$, softmax, "
SPLIT = CIRCLE + r"$p = (1 + \sqrt{2/N}\, s \cos 2t)/2\pi$, $s = 1$"
double = af.Claim(
    id="clt-pair/double", quantity="double", kind="constant", size="points", predicted=1 / (1 + SHARP), margin=MEAN,
    statement="the gap of a double eigenvalue, over its scale, has Rayleigh's law: E $e^{-2r^2} = 1/5$",
    hypotheses=CIRCLE + "$p$ uniform", **common,
)  # fmt: skip
split = af.Claim(
    id="clt-pair/split", quantity="split", kind="constant", size="points",
    predicted=np.exp(-SHARP / (2 * (1 + SHARP))) / (1 + SHARP), margin=MEAN,
    statement="split as much as it fluctuates, it has Rice's law: E $e^{-2r^2} = e^{-2/5}/5$", hypotheses=SPLIT,
    **common,
)  # fmt: skip
root = af.Claim(
    id="clt-pair/root", quantity="root", kind="constant", size="points", predicted=1.0, margin=ROOT, statistic="rms",
    statement="noise adds 2 to the mean square of a gap over its scale: $r$ over $(2 + s^2)^{1/2}$ tends to 1",
    hypotheses=SPLIT, **common,
)  # fmt: skip
repulsion = af.Claim(
    id="clt-pair/repulsion", quantity="near", kind="exponent", size="sharpness", predicted=-0.5, margin=EXPONENT,
    statement="split or not, the two repel with a density of order $r$: (E $e^{-kr^2/2})^{1/2}$ is of order "
    "$(1 + k)^{-1/2}$", hypotheses=SPLIT + ", $N = 64$", **common,
)  # fmt: skip
study = af.Study(
    name="clt_pair",
    measure=measure,
    ladder=LADDER,
    quick=1,
    seeds=512,
    quick_seeds=96,
    claims=[
        double,
        double.control(
            statement="so has that of two levels that cross",
            quantity="double_crossing",
            truth=(1 + SHARP) ** -0.5,
            truth_margin=0.05,
        ),
        split,
        split.control(
            statement="split, two levels that cross have Rice's law",
            quantity="split_crossing",
            truth=np.exp(-SHARP / (2 * (1 + SHARP))) / np.sqrt(1 + SHARP),
            truth_margin=0.05,
        ),
    ],
    full_claims=[
        root,
        root.control(
            statement="noise adds as much for two levels that cross",
            quantity="root_crossing",
            truth=np.sqrt(2 / 3),
            truth_margin=ROOT,
        ),
        repulsion,
        repulsion.control(
            statement="two levels that cross repel with a density of order $r$",
            quantity="near_crossing",
            truth=-0.25,
            truth_margin=EXPONENT,
        ),
    ],
    figures=[histograms],
    labels={
        "double": r"$e^{-2r^2}$ of the gap of a double eigenvalue",
        "double_crossing": r"$e^{-2r^2}$ of two levels that cross",
        "split": r"$e^{-2r^2}$ of the gap of a split pair",
        "split_crossing": r"$e^{-2r^2}$ of two split levels that cross",
        "root": r"RMS of $r / \sqrt{3}$",
        "root_crossing": r"RMS of $r / \sqrt{3}$, levels that cross",
        "near": r"(E $e^{-kr^2/2})^{1/2}$",
        "near_crossing": r"(E $e^{-kr^2/2})^{1/2}$, levels that cross",
    },
)  # fmt: skip
