"""Is attention a heat flow under a new metric?

The limit L f = 1/2 Lap f + <grad log p, grad f> has a drift. On a manifold of dimension m, other than two, a metric
takes it up [RZ, Theorem 4]: with h = p^{4/(m-2)} g and the specific heat c = p^{-4/(m-2)},

    2 L f = (1/c) Lap_h f,

a heat equation whose clock depends on the place. In two dimensions none does: its second derivatives force a metric
F g, and then F Lap_{Fg} = Lap_g, whatever F; what is left of L is 1/2 Lap, without the drift.

Measured: on the circle, p ~ exp(.7 cos t), and on S^3, p ~ exp(.8 b.x), the root mean square distance of one layer,
(A f - f)/eps, from the generator of that heat flow; on the circle also that of many layers from the flow at t = 1/2,
and the largest relative error of five eigenvalues. The controls leave the specific heat out. On S^2, p ~ exp(.8 b.x),
one layer is compared with F Lap_{Fg} / 2 for F = p: the distance tends to the root mean square of <grad log p, grad f>,
known by hand. The control says that of S^3, where the distance vanishes.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

TIME = 0.5
N_MODES = 6
SPHERES = {"circle": 1, "sphere": 2, "three-sphere": 3}
CONCENTRATIONS = {"circle": 0.7, "sphere": 0.8, "three-sphere": 0.8}


def poles(m: int) -> tuple[np.ndarray, np.ndarray]:
    """Return b, |b| = 1, and a on S^m."""
    b = np.array([1.0, 0.0]) if m == 1 else np.arange(1.0, m + 2)
    return b / np.linalg.norm(b), np.cos(np.arange(m + 1))


@functools.cache
def density(name: str) -> af.VonMisesFisher:
    """Return p."""
    m = SPHERES[name]
    return af.VonMisesFisher(af.Sphere(m), mean_direction=poles(m)[0], concentration=CONCENTRATIONS[name])


@functools.cache
def function_on(name: str) -> Callable:
    """Return f = a.x + (b.x)^2, on the circle sin t + cos(3t)/2."""
    b, a = (jnp.asarray(pole) for pole in poles(SPHERES[name]))
    if name == "circle":
        return lambda x: x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2
    return lambda x: a @ x + (b @ x) ** 2


@functools.cache
def queries(name: str) -> np.ndarray:
    """Return 128 points."""
    return af.Sphere(SPHERES[name]).sample_uniform(128, np.random.default_rng(20241218))


def attention(eps: float) -> af.Attention:
    """Return the attention."""
    return af.Attention(af.SquaredDistance(), bandwidth=eps)


def law_on_sphere(x: jax.Array) -> jax.Array:
    """Return p on S^2."""
    return jnp.exp(density("sphere").log_density(x))


@functools.cache
def flows(name: str) -> list:
    """Return the heat flow with its specific heat and without, on the clock of attention."""
    if name == "sphere":
        flow = af.heat_flow(af.Sphere(2), law_on_sphere, specific_heat=lambda x: 1 / law_on_sphere(x), conductivity=0.5)
        return [flow]
    equation = af.DriftDiffusion(attention(1.0), density(name)).as_heat_flow()
    factor = equation.metric_factor  # over the induced metric, which is that of the sphere
    return [
        af.heat_flow(af.Sphere(SPHERES[name]), factor, specific_heat=heat, conductivity=0.5, rtol=1e-9)
        for heat in (equation.specific_heat, 1.0)
    ]


def size(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


@functools.cache
def generators(name: str) -> list[np.ndarray]:
    """Return what the flows do to f."""
    return [flow.generator(function_on(name), at=queries(name)) for flow in flows(name)]


@functools.cache
def solutions() -> list:
    """Return the flows on the circle at t = 1/2."""
    return [flow.evolve(function_on("circle"), times=TIME, at=queries("circle")) for flow in flows("circle")]


@functools.cache
def spectra() -> list:
    """Return the spectra of the flows on the circle."""
    return [flow.spectrum(N_MODES) for flow in flows("circle")]


def of_one_layer(eps: float) -> dict[str, float]:
    """Return the distances of one layer and of eigenvalues."""
    measured: dict[str, float] = {}
    for name in SPHERES:
        quotient = af.PopulationAttention(attention(eps), density(name)).generator(function_on(name), at=queries(name))
        for label, generator in zip(("distance", "without_heat"), generators(name), strict=False):
            measured[f"{name}.{label}"] = size(quotient - generator)
    found = af.PopulationAttention(attention(eps), density("circle")).spectrum(N_MODES)
    for label, spectrum in zip(("eigenvalues", "eigenvalues_without_heat"), spectra(), strict=True):
        measured[label] = float(np.abs(found.eigenvalues[1:] / spectrum.eigenvalues[1:] - 1).max())
    return measured


def of_many_layers(layers: int) -> dict[str, float]:
    """Return the distances of many layers on the circle."""
    run = af.PopulationAttention(attention(TIME / layers), density("circle")).evolve(
        function_on("circle"), times=TIME, at=queries("circle")
    )
    right, wrong = solutions()
    return {
        "depth": size(run.values - right.values),
        "depth.solver_error": run.solver_error + right.solver_error,
        "depth_without_heat": size(run.values - wrong.values),
    }


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what one layer or many are apart from the heat flows."""
    return of_many_layers(case["layers"]) if "layers" in case else of_one_layer(case["bandwidth"])


def drift_on_sphere() -> float:
    """Return the root mean square of <grad log p, grad f> on S^2, from derivatives by hand."""
    (b, a), x = poles(2), queries("sphere")
    drift, slope = 0.8 * b, a + 2 * np.outer(x @ b, b)
    return size(slope @ drift - (x @ drift) * np.sum(slope * x, axis=1))


QUOTIENT = r"$(A - I) f / \varepsilon$"
FLOW = r"$\mathrm{Lap}_h f / 2c$, $h = p^{4/(m-2)} g$, $c = p^{-4/(m-2)}$"
PLACE = {"circle": "circle, $m = 1$", "three-sphere": "$S^3$, $m = 3$"}


def claims_on(name: str) -> list[af.Claim]:
    """Return that one layer tends to the heat flow, and its control."""
    rate = af.Claim(
        id=f"RZ4/{name}", source="RZ", kind="exponent", quantity=f"{name}.distance", size="bandwidth", predicted=1.0,
        statement=f"the distance of {QUOTIENT} from {FLOW}, is of order $\\varepsilon$",
        hypotheses=f"{PLACE[name]}, $p > 0$ smooth, $D = |x - y|^2$, infinitely many points",
        measures=("population", "limit"),
    )  # fmt: skip
    return [
        rate,
        rate.control(
            statement=rf"the distance of {QUOTIENT} from $\mathrm{{Lap}}_h f / 2$, without the specific heat, is of "
            r"order $\varepsilon$",
            quantity=f"{name}.without_heat",
            truth=0.0,
        ),
    ]


common: dict[str, Any] = dict(
    source="RZ", measures=("population", "limit"),
    hypotheses="circle, $m = 1$, $p > 0$ smooth, $D = |x - y|^2$, infinitely many points",
)  # fmt: skip
depth = af.Claim(
    id="RZ4/depth", kind="exponent", quantity="depth", size="layers", predicted=-1.0,
    statement=rf"$A^n f$ at $t = n\varepsilon$ is within order $\varepsilon$ of the heat flow of {FLOW}", **common,
)  # fmt: skip
eigenvalues = af.Claim(
    id="RZ4/spectrum", kind="exponent", quantity="eigenvalues", size="bandwidth", predicted=1.0,
    statement=rf"the eigenvalues of $(I - A)/\varepsilon$ are within order $\varepsilon$ of those of {FLOW}", **common,
)  # fmt: skip
GAP = drift_on_sphere()
surface = af.Claim(
    id="RZ4-m2/sphere", source="RZ", kind="constant", quantity="sphere.distance", size="bandwidth", predicted=GAP,
    statement=rf"the distance of {QUOTIENT} from $F \, \mathrm{{Lap}}_{{Fg}} f / 2$, $F = p$, tends to that of "
    r"$\langle \nabla \log p, \nabla f \rangle$ from zero",
    hypotheses="$S^2$, $m = 2$, $p > 0$ smooth, $D = |x - y|^2$, infinitely many points",
    measures=("population", "limit"),
)  # fmt: skip
study = af.Study(
    name="new_metric",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(8)]
    + [{"layers": n} for n in (10, 14, 20, 28, 40, 56, 80, 112)],
    quick=16,
    claims=[
        *claims_on("circle"),
        *claims_on("three-sphere"),
        depth,
        depth.control(
            statement=r"$A^n f$ at $t = n\varepsilon$ is within order $\varepsilon$ of the heat flow of "
            r"$\mathrm{Lap}_h f / 2$, without the specific heat",
            quantity="depth_without_heat",
            truth=0.0,
        ),
        eigenvalues,
        eigenvalues.control(
            statement=r"the eigenvalues of $(I - A)/\varepsilon$ are within order $\varepsilon$ of those of "
            r"$\mathrm{Lap}_h / 2$, without the specific heat",
            quantity="eigenvalues_without_heat",
            truth=0.0,
        ),
        surface,
        surface.control(
            statement=rf"the distance of {QUOTIENT} from {FLOW}, tends to that of "
            r"$\langle \nabla \log p, \nabla f \rangle$ on $S^2$ from zero",
            quantity="three-sphere.distance",
            hypotheses="$S^3$, $m = 3$, $p > 0$ smooth, $D = |x - y|^2$, infinitely many points",
            truth=0.0,
            truth_margin=0.02,
        ),
    ],
    labels={
        **dict.fromkeys(["circle.distance", "three-sphere.distance"], f"RMS distance of {QUOTIENT} from {FLOW}"),
        **dict.fromkeys(
            ["circle.without_heat", "three-sphere.without_heat"],
            rf"RMS distance of {QUOTIENT} from $\mathrm{{Lap}}_h f / 2$",
        ),
        "sphere.distance": rf"RMS distance of {QUOTIENT} from $F \, \mathrm{{Lap}}_{{Fg}} f / 2$",
        "depth": "RMS distance of $A^n f$ from the heat flow",
        "depth_without_heat": "RMS distance of $A^n f$ from the flow without specific heat",
        "eigenvalues": "largest relative distance of eigenvalues",
        "eigenvalues_without_heat": "largest relative distance of eigenvalues, without specific heat",
    },
)
