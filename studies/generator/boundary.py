"""What does attention do where the tokens end?

On an interval the keys of a query near an end are all on one side. With the cost |x - y|^2 the limit of attention is
still L f = 1/2 f'' + (log p)' f', with ends that reflect, but the way there is another than on a closed manifold [CL]:
within sqrt(eps) of an end the mean of the keys is off by some sqrt(eps), so that there

    (A f - f) / eps - L f = O(1) if f' = 0 at the end, O(eps^{-1/2}) otherwise.

That is its maximum; in L^2 and L^1 it is less by eps^{1/4} and eps^{1/2}. Many layers see the ends from everywhere:
A^n f - e^{tL} f at t = n eps is of order eps^{1/2}, whatever f, and not near the ends alone. To that order attention
slows down at an end as if it held (eps / 2 pi)^{1/2} p^2 less of the mass: with int p^2 u^2 = 1 an eigenvalue is

    l (1 + (eps / 2 pi)^{1/2} sum_ends p^2 u^2 + O(eps)).

Measured on [0, pi]: with p ~ exp(cos(x)/2), the norms for f = cos x + cos(2x)/2 and f = sin(x + .3), and many layers
for both, at t = 1/2; with p ~ e^{x/2}, the first eigenvalue, where the eigenfunction e^{-x/2} (cos x + sin(x)/2) gives
the sum 16 / (5 pi). The controls take the interval for half of a circle, f and p for even functions there: that has no
end and the same limit, and the exponents are those of closed manifolds, the sum is zero.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

TIME = 0.5
INTERVAL = af.Interval(0.0, np.pi)
SUM_OVER_ENDS = 16 / (5 * np.pi)
FUNCTIONS = {
    "neumann": lambda x: jnp.cos(x[0]) + jnp.cos(2 * x[0]) / 2,
    "other": lambda x: jnp.sin(x[0] + 0.3),
}


def graded() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes (Q, 1) and weights (Q,) of a rule on [0, pi] whose panels halve towards the ends, ends included."""
    edges = np.append(0.0, 0.5 ** np.arange(14, 0, -1))
    edges = np.pi * np.concatenate([edges, 1 - edges[-2::-1]])
    nodes, weights = np.polynomial.legendre.leggauss(8)
    middles, halves = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    inner = (middles[:, None] + halves[:, None] * nodes).ravel()
    volumes = np.outer(halves, weights).ravel()
    return np.concatenate([[0.0], inner, [np.pi]])[:, None], np.concatenate([[0.0], volumes, [0.0]])


@functools.cache
def densities() -> dict[str, af.Density]:
    """Return p on the interval, twice, and on the circle."""
    return {
        "even": af.LogDensity(INTERVAL, lambda x: jnp.cos(x[0]) / 2),
        "tilted": af.LogDensity(INTERVAL, lambda x: x[0] / 2),
        "circle": af.LogDensity(af.Circle(), lambda x: x[0] / 2),
    }


def on_circle(x: np.ndarray) -> np.ndarray:
    """Return the points of the circle at angles (Q, 1)."""
    return np.column_stack([np.cos(x[:, 0]), np.sin(x[:, 0])])


def folded(x: jax.Array) -> jax.Array:
    """Return cos t + cos(2t)/2 on the circle."""
    return x[0] + (2 * x[0] ** 2 - 1) / 2


def norms(values: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    """Return three norms."""
    return {
        "sup": np.abs(values).max(),
        "L2": np.sqrt(weights @ values**2),
        "L1": weights @ np.abs(values),
    }


@functools.cache
def eigenvalue(name: str) -> float:
    """Return the first eigenvalue of -L."""
    return float(af.DriftDiffusion(attention(1.0), densities()[name]).spectrum(2).eigenvalues[1])


def attention(eps: float) -> af.Attention:
    """Return the attention."""
    return af.Attention(af.SquaredDistance(), bandwidth=eps)


def of_one_layer(eps: float) -> dict[str, float]:
    """Return the norms of what one layer misses, and the sums over the ends from eigenvalues."""
    at, weights = graded()
    p = densities()
    measured: dict[str, float] = {}
    for name, f, density, places in (
        ("neumann", FUNCTIONS["neumann"], p["even"], at),
        ("other", FUNCTIONS["other"], p["even"], at),
        ("circle", folded, p["circle"], on_circle(at)),
    ):
        missed = af.PopulationAttention(attention(eps), density).generator(f, at=places)
        missed -= af.LaplaceExpansion(attention(eps), density).generator(f, at=places)
        measured |= {f"{name}.{norm}": value for norm, value in norms(missed, weights).items()}
    for name, of in (("ends", "tilted"), ("no_ends", "circle")):
        found = af.PopulationAttention(attention(eps), p[of]).spectrum(2).eigenvalues[1]
        measured[name] = (found / eigenvalue(of) - 1) * np.sqrt(2 * np.pi / eps)
    return measured


def of_many_layers(layers: int) -> dict[str, float]:
    """Return how far many layers are from the semigroup."""
    eps, p = TIME / layers, densities()
    at = np.pi * (np.arange(65) / 64)[:, None]
    measured: dict[str, float] = {}
    for name, f, density, places in (
        ("neumann", FUNCTIONS["neumann"], p["even"], at),
        ("other", FUNCTIONS["other"], p["even"], at),
        ("circle", folded, p["circle"], on_circle(at)),
    ):
        run = af.PopulationAttention(attention(eps), density).evolve(f, times=TIME, at=places)
        limit = af.DriftDiffusion(attention(eps), density).evolve(f, times=TIME, at=places)
        apart = np.abs(run.values[0] - limit.values[0])
        measured[f"{name}.depth"] = apart.max()
        measured[f"{name}.depth.solver_error"] = run.solver_error + limit.solver_error
        measured[f"{name}.middle"] = apart[24:41].max()  # between 3 pi / 8 and 5 pi / 8
    return measured


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what one layer misses, or many do."""
    return of_many_layers(case["layers"]) if "layers" in case else of_one_layer(case["bandwidth"])


NORMS = {"sup": "the maximum", "L2": "$L^2$", "L1": "$L^1$"}
QUOTIENT = r"$(A f - f)/\varepsilon - L f$"
PLACE = r"$[0, \pi]$, $p > 0$ smooth, $D = |x - y|^2$, infinitely many points"
HALF_CIRCLE = "circle, $p$ and $f$ even, $D = |x - y|^2$, infinitely many points"


def in_norm(norm: str, *, name: str, of: str, condition: str, predicted: float) -> af.Claim:
    """Return the exponent of what one layer misses in one norm."""
    return af.Claim(
        id=f"{name}/{norm}", source="CL", kind="exponent", quantity=f"{of}.{norm}", size="bandwidth",
        statement=rf"on an interval {QUOTIENT} is of order $\varepsilon^{{{predicted:g}}}$ in {NORMS[norm]}",
        hypotheses=f"{PLACE}, {condition}", predicted=predicted, correction_power=0.5,
        measures=("population", "expansion"),
    )  # fmt: skip


def of_depth(name: str, quantity: str, where: str) -> af.Claim:
    """Return the exponent of many layers."""
    return af.Claim(
        id=f"boundary-depth/{name}", source="CL", kind="exponent", quantity=quantity, size="layers",
        statement=r"on an interval $A^n f - e^{tL} f$ at $t = n\varepsilon$ is of order $\varepsilon^{1/2}$" + where,
        hypotheses=f"{PLACE}, points frozen, $t = 1/2$, reflecting ends", predicted=-0.5, correction_power=0.5,
        measures=("population", "limit"),
    )  # fmt: skip


flat = {
    norm: in_norm(norm, name="boundary", of="neumann", condition="$f' = 0$ at the ends", predicted=predicted)
    for norm, predicted in {"sup": 0.0, "L2": 0.25, "L1": 0.5}.items()
}
steep = [
    in_norm(norm, name="boundary/steep", of="other", condition=r"$f' \neq 0$ at the ends", predicted=predicted)
    for norm, predicted in {"sup": -0.5, "L2": -0.25, "L1": 0.0}.items()
]
deep = of_depth("neumann", "neumann.depth", ", $f' = 0$ at the ends")
slow = af.Claim(
    id="boundary-eigenvalue", source="CL", kind="constant", quantity="ends", size="bandwidth",
    statement=r"the first eigenvalue of $(I - A)/\varepsilon$ is $\lambda_1 (1 + (\varepsilon/2\pi)^{1/2} s + "
    r"O(\varepsilon))$, $s$ the sum of $p^2 u^2$ over the ends, $\int p^2 u^2 = 1$",
    hypotheses=r"$[0, \pi]$, $p \propto e^{x/2}$, $D = |x - y|^2$, infinitely many points",
    predicted=SUM_OVER_ENDS, correction_power=0.5, measures=("population", "limit"),
)  # fmt: skip
study = af.Study(
    name="boundary",
    measure=measure,
    ladder=[{"bandwidth": 0.008 * 2**-k} for k in range(8)] + [{"layers": round(16 * 2 ** (k / 2))} for k in range(9)],
    quick=17,
    claims=af.covered(
        [
            *flat.values(),
            flat["L1"].control(
                statement=rf"on a circle {QUOTIENT} is of order $\varepsilon^{{0.5}}$ in $L^1$",
                hypotheses=HALF_CIRCLE,
                quantity="circle.L1",
                truth=1.0,
            ),
            *steep,
            deep,
            deep.control(
                statement=r"on a circle $A^n f - e^{tL} f$ at $t = n\varepsilon$ is of order $\varepsilon^{1/2}$",
                hypotheses=f"{HALF_CIRCLE}, points frozen, $t = 1/2$",
                quantity="circle.depth",
                truth=-1.0,
            ),
            of_depth("other", "other.depth", r", $f' \neq 0$ at the ends"),
            of_depth("middle", "other.middle", " in the middle too"),
            slow,
            slow.control(
                statement=rf"on a circle, with $s = {SUM_OVER_ENDS:.4f}$: " + slow.statement,
                hypotheses=HALF_CIRCLE,
                quantity="no_ends",
                truth=0.0,
                truth_margin=0.02,
            ),
        ],
        by={
            "boundary/sup": "boundary-control/L1",
            "boundary/L2": "boundary-control/L1",
            "boundary/steep/sup": "boundary-control/L1",
            "boundary/steep/L2": "boundary-control/L1",
            "boundary/steep/L1": "boundary-control/L1",
            "boundary-depth/other": "boundary-depth-control/neumann",
            "boundary-depth/middle": "boundary-depth-control/neumann",
        },
    ),
    labels={
        **{f"{of}.{norm}": f"{QUOTIENT} in {words}" for norm, words in NORMS.items() for of in ("neumann", "other")},
        "circle.L1": f"{QUOTIENT} in $L^1$",
        **dict.fromkeys(["neumann.depth", "other.depth", "circle.depth"], r"$\max |A^n f - e^{tL} f|$"),
        "other.middle": r"$\max |A^n f - e^{tL} f|$ in the middle",
        **dict.fromkeys(["ends", "no_ends"], r"$(\lambda_1(\varepsilon)/\lambda_1 - 1)(2\pi/\varepsilon)^{1/2}$"),
    },
)
