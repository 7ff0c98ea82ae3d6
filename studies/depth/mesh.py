"""Do many layers on a triangulated surface solve a heat equation with drift?

On flat triangles in R^3, with bandwidths whose roots are well above the edges, the attention of infinitely many points
of law p with the cost |x - y|^2 satisfies, for n layers with t = n eps,

    A^n f = e^{tL} f + O(eps),    L f = 1/2 Lap f + <grad log p, grad f>,

with the Laplacian of the triangles: e^{tL} comes from finite elements on the same mesh, not from the smooth surface.

Measured at t = 1/4 on a mesh of the ellipsoid with half axes 1, 1.3, .7, 2048 triangles with edges of some .1, for 4 to
9 layers, of bandwidths whose roots go from .25 to .17, and at full size for up to 15, .13: the root mean square over
the middles of 128 triangles of A^n f - e^{tL} f. The control takes half the time.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

AXES = np.array([1.0, 1.3, 0.7])
TIME = 0.25
RTOL = 3e-5  # of both sides: a twentieth of what they differ by


@functools.cache
def surface() -> af.TriangulatedSurface:
    """Return an octahedron whose triangles are cut into four again and again, put on the ellipsoid."""
    corners = np.concatenate([np.eye(3), -np.eye(3)])
    faces = [[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]]
    mesh = af.TriangulatedSurface(corners, faces)
    for _ in range(4):
        finer = mesh.refined()
        lengths = np.linalg.norm(finer.vertices, axis=1, keepdims=True)
        mesh = af.TriangulatedSurface(finer.vertices / lengths, finer.faces)
    return af.TriangulatedSurface(AXES * mesh.vertices, mesh.faces)


@functools.cache
def density() -> af.Density:
    """Return p ~ exp(z/2 + 3xy/10) on the mesh."""
    return af.LogDensity(surface(), lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1])


def f(x: jax.Array) -> jax.Array:
    """Return f, without a symmetry."""
    return jnp.exp(x[2] + x[0] / 2) + x[0]


@functools.cache
def middles() -> np.ndarray:
    """Return the middles of every sixteenth triangle."""
    mesh = surface()
    return mesh.vertices[mesh.faces[::16]].mean(axis=1)


@functools.cache
def limit() -> af.Trajectory:
    """Return e^{tL} f and e^{tL/2} f."""
    unit = af.Attention(af.SquaredDistance(), bandwidth=1.0)  # a drift-diffusion does not depend on it
    solver = af.DriftDiffusion(unit, density(), rtol=RTOL, discretization=af.FiniteElements(degree=2))
    return solver.evolve(f, times=[TIME, TIME / 2], at=middles())


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of many layers from both limits."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=TIME / case["layers"])
    run = af.PopulationAttention(attention, density(), rtol=RTOL).evolve(f, times=TIME, at=middles())
    flow = limit()
    distance, slow = (float(np.sqrt(np.mean((run.values - values) ** 2))) for values in flow.values)
    return {"distance": distance, "slow_clock": slow, "solver_error": run.solver_error + flow.solver_error}


common: dict[str, Any] = dict(
    source="derived", size="layers", measures=("population", "limit"),
    hypotheses="a mesh of an ellipsoid, $p > 0$ and $f$ smooth, $D = |x - y|^2$, infinitely many points",
)  # fmt: skip
rate = af.Claim(
    id="depth/mesh", statement=r"$A^n f - e^{tL} f$ at $t = n\varepsilon$ is of order $\varepsilon = t/n$",
    kind="exponent", quantity="distance", predicted=-1.0, **common,
)  # fmt: skip
study = af.Study(
    name="mesh",
    measure=measure,
    ladder=[{"layers": n} for n in (4, 5, 6, 7, 8, 9, 10, 11, 13, 15)],
    quick=6,
    claims=[
        rate,
        rate.control(
            statement=r"$A^n f - e^{tL/2} f$, half the clock, at $t = n\varepsilon$ is of order $\varepsilon = t/n$",
            quantity="slow_clock",
            truth=0.0,
        ),
    ],
    labels={"distance": r"RMS of $A^n f - e^{tL} f$", "slow_clock": r"RMS of $A^n f - e^{tL/2} f$"},
)
