"""What does it look like when attention tends to a drift-diffusion?

The same attention is run on N particles, with infinitely many, and in its continuum limit, from the same initial
function:

    A_N^n f,    A^n f,    e^{tL} f,    t = n eps,    L f = 1/2 Lap f + <grad log p, grad f>                      [RZ].

On the circle with p ~ exp(.8 cos(t - t0)), t0 = arctan 2, f = sin t + cos(3t)/2, N = 2000 and eps = .025, at five
times; on S^2 with p ~ exp(z/2 + 3xy/10), f = exp(z + x/2) + x, N = 4000 and eps = .05, at three times. The maximum
principle holds for all three: no value leaves the range of f. It is checked at every point and time. The control takes
the way to t = 1 in one step, f + (A f - f) / eps, which is no average.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

CIRCLE_TIMES = (0.0, 0.1, 0.25, 0.5, 1.0)
SPHERE_TIMES = (0.0, 0.25, 0.5)
SPHERE_ROWS = 40
CAPTION: dict[str, Any] = {"x": 0.01, "ha": "left", "fontsize": 7.5}
SOLVER_ERROR = 1e-7  # declared: 1e-8 of the largest value, about 4


def circle_function(x: jax.Array) -> jax.Array:
    return x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2


def sphere_log_weight(x: jax.Array) -> jax.Array:
    return 0.5 * x[2] + 0.3 * x[0] * x[1]


def sphere_function(x: jax.Array) -> jax.Array:
    return jnp.exp(x[2] + x[0] / 2) + x[0]


@functools.cache
def densities() -> tuple[af.Density, af.Density]:
    tilted = af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.8)
    return tilted, af.LogDensity(af.Sphere(2), sphere_log_weight)


def excess(values: np.ndarray) -> float:
    """How far values (T, Q) leave the range that they have at time zero."""
    return float(max(values.max() - values[0].max(), values[0].min() - values.min()))


def measure_circle(n: int, key: jax.Array) -> dict[str, np.ndarray]:
    density = densities()[0]
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.025)
    angles = np.linspace(0, 2 * np.pi, 257)
    grid = np.column_stack([np.cos(angles), np.sin(angles)])
    points = density.sample(n, key=key)
    points = points[np.argsort(np.mod(np.arctan2(points[:, 1], points[:, 0]), 2 * np.pi))]
    particles = af.EmpiricalAttention(attention, points).evolve(circle_function, times=CIRCLE_TIMES)
    operator = af.PopulationAttention(attention, density)
    population = operator.evolve(circle_function, times=CIRCLE_TIMES, at=grid)
    one_step = population.values[0] + operator.generator(circle_function, at=grid)
    continuum = af.DriftDiffusion(attention, density).evolve(circle_function, times=CIRCLE_TIMES, at=grid)
    return {
        "circle.particle_angles": np.mod(np.arctan2(points[:, 1], points[:, 0]), 2 * np.pi),
        "circle.particles": particles.values,
        "circle.angles": angles,
        "circle.population": population.values,
        "circle.continuum": continuum.values,
        "circle.excess": np.array(max(excess(life.values) for life in (particles, population, continuum))),
        "circle.one_step_excess": np.array(excess(np.stack([population.values[0], one_step]))),
    }


def measure_sphere(n: int, key: jax.Array) -> dict[str, np.ndarray]:
    density = densities()[1]
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    _, _, grid = plots.sphere_grid(rows=SPHERE_ROWS)
    points = density.sample(n, key=key)
    particles = af.EmpiricalAttention(attention, points).evolve(sphere_function, times=SPHERE_TIMES, at=grid)
    continuum = af.DriftDiffusion(attention, density).evolve(sphere_function, times=SPHERE_TIMES, at=grid)
    return {
        "sphere.particles": particles.values,
        "sphere.continuum": continuum.values,
        "sphere.excess": np.array(max(excess(particles.values), excess(continuum.values))),
    }


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
    measure_one = {"circle": measure_circle, "sphere": measure_sphere}[case["manifold"]]
    rows = [measure_one(case["points"], key) for key in keys]
    return {quantity: np.stack([row[quantity] for row in rows]) for quantity in rows[0]}


def arrays_on(manifold: str, records: list) -> dict[str, np.ndarray]:
    (arrays,) = (arrays for case, arrays in records if case["manifold"] == manifold)
    return {name: array[0] for name, array in arrays.items()}


def circle(records: list) -> Figure:
    """Particles, population and continuum over each other."""
    a = arrays_on("circle", records)
    drawn = plots.figure(width=6.4, height=3.7)
    drawn.suptitle("circle, p ∝ exp(0.8 cos(θ − θ₀)), f = sin θ + cos(3θ)/2, ε = 0.025, t = nε", **CAPTION)
    plots.overlay(
        drawn.subplots(),
        times=CIRCLE_TIMES,
        particles=(a["circle.particle_angles"], a["circle.particles"]),
        population=(a["circle.angles"], a["circle.population"]),
        continuum=(a["circle.angles"], a["circle.continuum"]),
    )
    return drawn


def sphere(records: list) -> Figure:
    """Continuum, particles and their difference as maps."""
    a = arrays_on("sphere", records)
    drawn = plots.figure(width=7.2, height=3.6)
    drawn.suptitle(
        "S², p ∝ exp(z/2 + 3xy/10), f = exp(z + x/2) + x, N = 4000, ε = 0.05, t = nε; north is up", **CAPTION
    )
    continuum, particles = a["sphere.continuum"][1:], a["sphere.particles"][1:]  # at time zero both are f
    plots.sphere_maps(drawn, times=SPHERE_TIMES[1:], continuum=continuum, empirical=particles)
    return drawn


common: dict[str, Any] = dict(source="derived", kind="identity", size="points", predicted=0.0, margin=SOLVER_ERROR)
study = af.Study(
    name="three_lives",
    measure=measure,
    ladder=[{"manifold": "circle", "points": 2000}, {"manifold": "sphere", "points": 4000}],
    quick=2,
    claims=[
        *(
            af.Claim(
                id=f"maximum-principle/{manifold}", quantity=f"{manifold}.excess",
                statement="particles, population and continuum stay within the range of f",
                hypotheses=f"{manifold}, p > 0 smooth, points frozen", **common,
            )
            for manifold in ("circle", "sphere")
        ),
        af.Claim(
            id="maximum-principle-control/circle", quantity="circle.one_step_excess",
            statement="one step of length one, f + (A f - f) / eps, stays within the range of f",
            hypotheses="circle, p > 0 smooth, infinitely many points", control_of="maximum-principle/circle", **common,
        ),
    ],
    figures=[circle, sphere],
    labels={
        "circle.excess": "excess over the range of f",
        "sphere.excess": "excess over the range of f",
        "circle.one_step_excess": "excess over the range of f",
    },
)  # fmt: skip
