"""How far are many layers of entmax from the heat flow, at the depth and the reach that it chooses by itself?

With alpha = 1 + 1/n at a fixed bandwidth a row of entmax reaches as far as its tokens let it, an effective bandwidth
eps_eff ~ N^{-2/(m + 2n)} (see `entmax`). L layers with L eps_eff = t then approach e^{tL}, L half the Laplacian where
tokens are uniform. `entmax_noise` derives by how much they miss it, f = e^{ix} on the circle:

    N E |A_N^L f - e^{-t/2} f|^2 = sum_q c(q)^2 + N mean^2,   mean = bias + slow-down = O(eps_eff + 1/nb),

nb ~ N^{2n/(m + 2n)} the number of neighbours. The noise tends to a constant, at t = 1/2 on the circle

    sum_q c(q)^2 -> 4.159 sparsemax, 3.918 1.5-entmax, 3.596 at a reach that does not answer to the tokens.

For sparsemax bias and slow-down are both of order N^{-2/3}, and N mean^2 ~ N^{-1/3} is an eighth of it all at N = 500:
so slowly is the order N^{-1/2} of the error reached. For 1.5-entmax the bias is of order N^{-2/5}, and the error as
well, but only at some N = 10^18 is it as large as the noise.

Measured on the circle at t near 1/2: N |A_N^L f - e^{-L eps_eff / 2} f|^2 in the mean over tokens, over that sum, for
sparsemax at N = 508 and 1.5-entmax at N = 1016; what is left is of the order 1/nb, one or two percent.
Eight N up to 512 are drawn beside them. On S^2, f = y, for 1.5-entmax as N grows: the same but for its best linear
function of y, over the noise of degrees other than one; what is linear in y is a change of speed, whose second order is
not derived there. The layer is a matrix, whose powers are taken.

The powers N |phat(q)|^2 of the tokens have most of the scatter on the circle: their part is taken from many clouds of
64 points, and what attention adds to it from the tokens, as in `depth_noise`. No mean is put in.

The controls: noise, bias and slow-down at a fixed reach, rows of the same profile that are divided by their sums, in
truth the quotient of the two, near 4.159/3.596 and 3.918/3.596; on S^2 the noise of sparsemax at its own depth.
"""

import entmax_noise
import jax
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

KINDS = {"sparsemax": 1, "three_halves": 2}  # n
LABELS = {"sparsemax": "sparsemax", "three_halves": "1.5-entmax"}
STEP = 128  # columns are filled up to a multiple of it: few shapes to compile
CLOUDS, POINTS, WAVES = 128, 64, 64  # of the powers
SPHERE_CLOUDS = 3
SIZES = {"sparsemax": ("tokens", 508), "three_halves": ("many", 1016)}  # a level of their own
MARGINS = {"sparsemax": 0.06, "three_halves": 0.05, "sphere": 0.1}


def matrix(n: int, points: np.ndarray) -> np.ndarray:
    """Return the layer A_N of entmax, (N, N), of points (N, D)."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=entmax_noise.BANDWIDTH, normalization=af.Entmax(1 + 1 / n))
    columns = STEP * -(-len(points) // STEP)
    layer = af.EmpiricalAttention(attention, points).layer(np.eye(len(points), columns))
    return layer[:, : len(points)]


def error_of_layers(n: int, m: int, points: np.ndarray) -> np.ndarray:
    """Return A_N^L y - e^{-m L eps_eff / 2} y, (N, m + 1), L eps_eff near 1/2."""
    layer, values, count = matrix(n, points), points, len(points)
    for _ in range(entmax_noise.depth(n, m, count)):
        values = layer @ values
    return values - entmax_noise.target(n, m, count) * points


def powers(clouds: np.ndarray) -> np.ndarray:
    """Return N |phat(q)|^2, q = 1, ..., 64, of clouds (..., N, 2), shape (64, ...)."""
    steps = clouds[..., 0] - 1j * clouds[..., 1]
    waves = np.cumprod(np.broadcast_to(steps, (WAVES, *steps.shape)), axis=0)
    return np.abs(waves.sum(axis=-1)) ** 2 / clouds.shape[-2]


def weights(n: int, count: int) -> np.ndarray:
    """Return c(q)^2 + c(-q)^2, q = 1, ..., 64, or as many as there are."""
    squares = entmax_noise.fluctuation(entmax_noise.circle(n, count), entmax_noise.depth(n, 1, count))
    middle = len(squares) // 2
    return (squares[middle + 1 :] + squares[middle - 1 :: -1])[:WAVES]


def over_derived(name: str, points: np.ndarray, others: np.ndarray) -> dict[str, float]:
    """Return the squared error on the circle over its derived value, and over that at a fixed reach."""
    n, count = KINDS[name], len(points)
    response = weights(n, count)
    spread = (powers(others).mean(axis=1) - powers(points))[: len(response)]
    error = np.sum(error_of_layers(n, 1, points) ** 2) + response @ spread
    return {
        name: float(error / entmax_noise.squared_error(n, count)),
        f"{name}.fixed": float(error / entmax_noise.squared_error(n, count, fixed=True)),
    }


def beside_speed(points: np.ndarray) -> float:
    """Return N times the mean square of the error on the sphere but for its best linear function, 1.5-entmax."""
    error = error_of_layers(2, 2, points)
    return float(np.sum((error - points @ np.linalg.lstsq(points, error)[0]) ** 2))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return squared errors of many layers over what is derived of them."""
    if "spherical" in case:
        count = case["spherical"]
        clouds = af.Uniform(af.Sphere(2)).sample(SPHERE_CLOUDS * count, key=key).reshape(SPHERE_CLOUDS, count, 3)
        noise = np.mean([beside_speed(points) for points in clouds])
        derived = {"sphere": 2, "sphere.sparsemax": 1}
        return {name: float(noise / entmax_noise.noise_on_sphere(n, count)) for name, n in derived.items()}
    names = {"tokens": ["sparsemax"], "many": ["three_halves"], "points": list(KINDS)}
    (size, count), circle = next(iter(case.items())), af.Uniform(af.Circle())
    points = circle.sample(count, key=key)
    others = circle.sample(CLOUDS * POINTS, key=jax.random.fold_in(key, 1)).reshape(CLOUDS, POINTS, 2)
    row: dict[str, float] = {}
    for name in names[size]:
        row |= over_derived(name, points, others)
    return row


def errors(records: list) -> Figure:
    """Draw N times the squared error over N, with what is derived, the noise alone and its limit."""
    rows = sorted(((case["points"], a) for case, a in records if "points" in case), key=lambda row: row[0])
    drawn = plots.figure(width=7.0, height=3.1)
    fine = np.unique(np.geomspace(rows[0][0], 64 * rows[-1][0], 40).astype(int)).tolist()
    for ax, (name, n) in zip(drawn.subplots(1, 2, sharey=True), KINDS.items(), strict=True):
        measured = [np.mean(a[name]) * entmax_noise.squared_error(n, count) for count, a in rows]
        ax.semilogx([count for count, _ in rows], measured, "o", ms=3.5, color="C0", label="measured")
        ax.semilogx(fine, [entmax_noise.squared_error(n, c) for c in fine], color="C0", label="derived")
        noise = [entmax_noise.fluctuation(entmax_noise.circle(n, c), entmax_noise.depth(n, 1, c)).sum() for c in fine]
        ax.semilogx(fine, noise, "--", color="C0", lw=0.9, label="noise alone")
        fixed = [entmax_noise.squared_error(n, c, fixed=True) for c in fine]
        ax.semilogx(fine, fixed, color="C1", label="derived at a fixed reach")
        ax.axhline(entmax_noise.limit_of_noise(rho(n)), color="k", lw=0.7, ls=":", label="limit")
        ax.set(title=LABELS[name], xlabel="number of points $N$")
    drawn.axes[0].set(ylabel=r"$N$ E $|A_N^L f - e^{-t/2} f|^2$", ylim=(0, None))
    drawn.axes[1].legend(fontsize=7, frameon=False, loc="lower right")
    return drawn


def rho(n: int) -> float:
    """Return (2n + 3)/(2n + 1), that of the circle."""
    return (2 * n + 3) / (2 * n + 1)


def claims_of(name: str) -> list[af.Claim]:
    """Return what is claimed of one entmax on the circle, with its control."""
    (size, count), n = SIZES[name], KINDS[name]
    claim = af.Claim(
        id=f"entmax-depth/{name}-circle", source="derived", kind="constant", quantity=name, size=size,
        statement=rf"$N$ E $|A_N^L f - e^{{-t/2}} f|^2$ over its derived value, {LABELS[name]}, is 1",
        hypotheses=rf"circle, uniform density, $f = e^{{ix}}$, $t = L \varepsilon_{{eff}}$ near $1/2$, $N = {count}$",
        predicted=1.0, margin=MARGINS[name], measures=("empirical",),
    )  # fmt: skip
    truth = entmax_noise.squared_error(n, count) / entmax_noise.squared_error(n, count, fixed=True)
    return [
        claim,
        claim.control(
            statement=rf"$N$ E $|A_N^L f - e^{{-t/2}} f|^2$ over its value at a fixed reach, {LABELS[name]}, is 1",
            quantity=f"{name}.fixed", truth=truth, truth_margin=MARGINS[name],
        ),
    ]  # fmt: skip


LAST = 512  # tokens on the last level: both noises grow like log N, their quotient moves by .02 on the ladder
sphere = af.Claim(
    id="entmax-depth/three_halves-sphere", source="derived", kind="constant", quantity="sphere", size="spherical",
    statement=r"$N$ E $|A_N^L y - e^{-t} y|^2$ but for what is linear in $y$ over its derived value, 1.5-entmax, "
    "tends to 1",
    hypotheses=r"$S^2$, uniform density, $t = L \varepsilon_{eff}$ near $1/2$, $\varepsilon = 1/2$",
    predicted=1.0, margin=MARGINS["sphere"], measures=("empirical",), correction_power=2 / 3,
)  # fmt: skip
study = af.Study(
    name="entmax_depth",
    measure=measure,
    ladder=[
        {"tokens": 508},
        {"many": 1016},
        *({"points": round(128 * 2 ** (2 * k / 7))} for k in range(8)),
        *({"spherical": round(128 * 2 ** (2 * k / 7))} for k in range(8)),
    ],
    quick=1,
    claims=claims_of("sparsemax"),
    full_claims=[
        *claims_of("three_halves"),
        sphere,
        sphere.control(
            statement=r"$N$ E $|A_N^L y - e^{-t} y|^2$ but for what is linear in $y$ over the value of sparsemax, "
            "1.5-entmax, tends to 1",
            quantity="sphere.sparsemax",
            truth=entmax_noise.noise_on_sphere(2, LAST) / entmax_noise.noise_on_sphere(1, LAST),
            truth_margin=0.1,
        ),
    ],
    seeds=256,
    quick_seeds=96,
    figures=[errors],
    labels={
        "spherical": "number of points $N$",
        "many": "number of tokens $N$",
        **dict.fromkeys(KINDS, "squared error over its derived value"),
        **{f"{name}.fixed": "squared error over its value at a fixed reach" for name in KINDS},
        "sphere": "squared noise over its derived value",
        "sphere.sparsemax": "squared noise over that of sparsemax",
    },
)
