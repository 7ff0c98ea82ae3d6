"""Of which order is the bias of many layers where the density is rough?

The orders in the study `minimax_depth` are the minimax ones for densities of smoothness 2k - 1, k the order of the bias
for a smooth density. Is that the least smoothness that gives it? Let log p = h + const. on the circle, h a series of
random phases and of amplitudes a q^{-s-1/2}, of smoothness s. To first order in h the error of n layers is, wave for
wave, the answer of the noise in `minimax_depth` less that of the limit. Of a wave q large against that of f it is

    2i h_q u' / q  [1 - g(eps q^2 / 2)],    g(v) = v / (e^v - 1) = 1 - v/2 + v^2/12 - ...,

for Richardson's layers with twice g at eps/2 less g at eps. Layers do not see the waves beyond eps^{-1/2}, the limit
does, and squares summed over q are of order eps^{2k} or eps^{s+1}, whichever is larger: the order of the bias is
min(k, (s+1)/2), for k = 1 that of a smooth density from s = 1 on, for k = 2 from s = 3 on, just there with a
logarithm.

To second order a wave and its opposite act on f together: waves that are not seen are traps, in which the limit is
slowed by the factor 1 - 4 E h^2 and layers are not. The rate of a slow wave is missed by the part

    8 sum_q |h_q|^2 [1 - (eps q^2 / 4) coth(eps q^2 / 4) e^{-eps q^2 / 2}],    Richardson's likewise,

of itself, of order eps^s. For s > 1 that is less than the first order. For s < 1 it is more: a density rougher than
differentiable leaves a bias of order eps^s, which extrapolation from eps and eps/2 does not raise. The orders in N
follow: for a bias of order eps^b the best error is of order N^{-2b/(4b + m - 2)}, b = (s+1)/2 for 1 <= s <= 2k - 1,
which is minimax for smoothness s; for s < 1 the slow-down, of order eps^{-m/2} / N, limits it to N^{-2s/(2s + m)}.

Measured, for f = (cos x, sin x) and densities drawn anew for every level: layers of the density, as sums over nodes
whose error is far below the measured ones, less the limit. s = 2: plain layers are of order 1, Richardson's of order
3/2; the control keeps the waves up to 3, in truth of order 2. s = 1/2: what Richardson's layers miss of the slow wave
itself is of order 1/2; the control takes the other waves of a density whose amplitude is a fiftieth, to which the
second order is nothing: in truth 3/4. The next terms are of relative order eps, of the fourth order in h of relative
order a^2 eps^{1/2}.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

import attnflow as af
from attnflow.lab import plots

TIME = 0.5
SMOOTH, ROUGH = 2.0, 0.5  # s
AMPLITUDES = {SMOOTH: 0.3, ROUGH: 0.2}  # a
WEAK = 0.004
WAVES = {SMOOTH: 128, ROUGH: 768}  # that are kept; the largest (eps/2)^{-1/2} is 27 and 19
NODES = {SMOOTH: 512, ROUGH: 2048}  # their sums are exact to 1e-7: waves of e^h that alias are smoothed away
SEEN = 128  # waves of a first order at s = 1/2: what it has beyond is 1e-3 of it
FEW = 3
QUERIES = 512  # of them, at which errors are compared
TOLERANCES = {SMOOTH: 1e-7, ROUGH: 1.5e-4}  # of the limit


def log_weight(series: jax.Array, x: jax.Array) -> jax.Array:
    """Return h = 2 Re sum_q h_q e^{iqx}, the highest wave first."""
    return 2 * jnp.real(jnp.polyval(series, x[0] + 1j * x[1]))


def drawn(key: jax.Array, s: float, *, waves: int, amplitude: float) -> np.ndarray:
    """Return h_1, h_2, ... of smoothness s."""
    phases = np.asarray(jax.random.uniform(key, (WAVES[ROUGH],)))[:waves]
    return amplitude * np.arange(1, waves + 1) ** (-s - 0.5) * np.exp(2j * np.pi * phases)


class Errors(NamedTuple):
    """Errors of n plain and of Richardson's layers at places, as complex numbers, and e^{ix} there."""

    plain: np.ndarray
    richardson: np.ndarray
    slow: np.ndarray
    solver_error: float


def errors(series: np.ndarray, n: int, *, count: int, tolerance: float) -> Errors:
    """Return the errors of f = e^{ix} where log p is a series, of layers over so many nodes."""
    angles = 2 * np.pi * np.arange(count) / count
    nodes = np.column_stack([np.cos(angles), np.sin(angles)])
    queries = nodes[:: count // QUERIES]
    spectrum = np.zeros(count // 2 + 1, dtype=complex)
    spectrum[1 : len(series) + 1] = series
    measure = af.DiscreteMeasure(nodes, np.exp(np.fft.irfft(spectrum * count, count)))
    attention = af.Attention(af.SquaredDistance(), bandwidth=TIME / n)
    p = af.LogDensity(af.Circle(), Partial(log_weight, jnp.array([*series[::-1], 0.0])))
    limit = af.DriftDiffusion(attention, p, rtol=tolerance, discretization=af.FiniteVolume())
    end = limit.evolve(lambda x: x, times=TIME, at=queries)
    once, twice = (
        af.EmpiricalAttention(attention.at_bandwidth(TIME / k), measure).evolve(nodes, times=TIME).values[0]
        for k in (n, 2 * n)
    )
    step = count // QUERIES
    found = [values[::step] - end.values[0] for values in (once, 2 * twice - once)]
    plain, richardson, slow = (pair @ np.array([1, 1j]) for pair in (*found, queries))
    return Errors(plain, richardson, slow, end.solver_error)


def size(error: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.abs(error) ** 2)))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the errors of plain and of Richardson's layers, or of the latter in the slow wave and in the others."""
    n, s = case["layers"], case["smoothness"]
    series = drawn(key, s, waves=WAVES[s], amplitude=AMPLITUDES[s])
    rough = errors(series, n, count=NODES[s], tolerance=TOLERANCES[s])
    if s == SMOOTH:
        few = errors(series[:FEW], n, count=NODES[s], tolerance=TOLERANCES[s])
        return {
            "plain": size(rough.plain),
            "plain.solver_error": rough.solver_error,
            "richardson": size(rough.richardson),
            "richardson.solver_error": rough.solver_error,
            "smooth": size(few.richardson),
            "smooth.solver_error": few.solver_error,
        }
    weak = errors(drawn(key, s, waves=SEEN, amplitude=WEAK), n, count=NODES[SMOOTH], tolerance=TOLERANCES[SMOOTH])
    missed, other = (np.mean(error.richardson * error.slow.conj()) for error in (rough, weak))
    return {
        "slow": float(abs(missed)),
        "slow.solver_error": rough.solver_error,
        "others": size(weak.richardson - other * weak.slow),
        "others.solver_error": weak.solver_error,
    }


def orders(records: list) -> Figure:
    """Draw the errors over the bandwidth for the smoothnesses that were measured, with the orders."""
    panels = {
        SMOOTH: (("plain", "plain", 1), ("richardson", "Richardson", 1.5), ("smooth", "Richardson, three waves", 2)),
        ROUGH: (("slow", "Richardson, the slow wave", 0.5), ("others", "weak density, other waves", 0.75)),
    }
    measured = {case["smoothness"] for case, _ in records}
    panels = {s: series for s, series in panels.items() if s in measured}
    drawn = plots.figure(width=3.5 * len(panels), height=3.1)
    for ax, (s, series) in zip(drawn.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for index, (quantity, label, order) in enumerate(series):
            rows = sorted((TIME / case["layers"], a[quantity]) for case, a in records if case["smoothness"] == s)
            eps = np.array([row[0] for row in rows])
            found = np.array([np.sqrt(np.mean(np.square(row[1]))) for row in rows])
            ax.loglog(eps, found, "o", ms=3.5, color=f"C{index}", label=f"{label}: {order:g}")
            ax.loglog(eps, found[0] * (eps / eps[0]) ** order, color=f"C{index}", lw=0.9)
        ax.set(xlabel=r"bandwidth $\varepsilon$", ylabel=r"RMS of $A^n f - e^{tL} f$", title=f"smoothness $s = {s:g}$")
        ax.xaxis.set_minor_formatter(NullFormatter())  # less than two decades: the numbers between would overlap
        ax.legend(fontsize=7, frameon=False)
    return drawn


WHERE = r"circle, $\log p = h + c$ with random phases and amplitudes $q^{-s-1/2}$, "
common: dict[str, Any] = dict(
    source="derived", kind="exponent", size="layers", measures=("empirical", "limit"),
)  # fmt: skip
plain = af.Claim(
    id="minimax-rough/plain", quantity="plain", predicted=-1.0,
    statement=r"the bias of plain layers is of order $\varepsilon$ where $s \geq 1$",
    hypotheses=rf"{WHERE}$s = 2$, $t = 1/2$, $N \to \infty$", **common,
)  # fmt: skip
richardson = af.Claim(
    id="minimax-rough/richardson", quantity="richardson", predicted=-1.5,
    statement=r"the bias of Richardson's layers is of order $\varepsilon^{(s+1)/2}$ where $1 \leq s \leq 3$",
    hypotheses=rf"{WHERE}$s = 2$, $t = 1/2$, $N \to \infty$", **common,
)  # fmt: skip
slow = af.Claim(
    id="minimax-rough/slow-wave", quantity="slow", predicted=-0.5,
    statement=r"what Richardson's layers miss of the slow wave is of order $\varepsilon^s$ where $s \leq 1$",
    hypotheses=rf"{WHERE}$s = 1/2$, $t = 1/2$, $N \to \infty$", **common,
)  # fmt: skip
quick: list[dict[str, Any]] = [{"smoothness": SMOOTH, "layers": n} for n in (16, 23, 32, 45, 64, 91, 128, 181)]
study = af.Study(
    name="minimax_rough",
    measure=measure,
    ladder=[*quick, *({"smoothness": ROUGH, "layers": n} for n in (8, 11, 16, 23, 32, 45, 64, 91))],
    quick=quick,
    claims=af.covered([
        plain,
        richardson,
        richardson.control(
            statement="so it is where there are waves up to 3 alone",
            quantity="smooth",
            truth=-2.0,
        ),
    ], by={"minimax-rough/plain": "minimax-rough-control/richardson"}),
    full_claims=[
        slow,
        slow.control(
            statement="of a density with a fiftieth of the amplitude they miss the other waves by that order",
            quantity="others",
            truth=-0.75,
        ),
    ],
    seeds=32,
    quick_seeds=2,
    figures=[orders],
    labels={
        "plain": "error of plain layers",
        "richardson": "error of Richardson's layers",
        "smooth": "error of Richardson's layers, three waves",
        "slow": "error of the slow wave",
        "others": "error of the other waves, weak density",
    },
)  # fmt: skip
