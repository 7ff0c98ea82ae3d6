"""Is the error of N points against the limit what its parts make?

In one layer attention over N points is off from the drift-diffusion by

    (A_N f - f) / eps - L f  =  fluctuation + slow-down + bias + error of the solver,

and of these only the fluctuation differs from sample to sample: the mean square is

    fluctuation^2 + (slow-down + bias + error of the solver)^2.

On the circle, S^2 and T^2 with uniform density and f of degree one, where A f = kappa f and L f = -lambda f, all parts
but the fluctuation are multiples of f. The bias is b f, b = (kappa - 1) / eps + lambda, kappa a ratio of Bessel
functions [DLMF]. A solver error as large is planted: the limit of the cost c D is solved in the place of that of D,
which is L / c, with c = lambda / (lambda + b) such that it is off by b f. The slow-down has the sign of -f: under k^2
keys are nearer than under k.

Measured: the square of the error of each sample against that limit, over the square that the parts make: the exact
fluctuation and slow-down of independent points, the bias of the population against the limit extrapolated from it, and
what was planted. The bandwidth is wide, so that the fluctuation is under a third of the error. The control leaves the
solver's error out of the parts: with more points the square is then (2b)^2 / b^2 = 4 times what they make.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import ive

import attnflow as af

BANDWIDTH = 0.8
QUERIES = 24
FEWEST = 8  # samples that a total is taken from
MANIFOLDS: dict[str, Any] = {"circle": af.Circle(), "sphere": af.Sphere(2), "torus": af.FlatTorus(2)}
EIGENVALUE = {"circle": 0.5, "sphere": 1.0, "torus": 0.5}  # lambda, of degree one
ORDER = {"circle": 0.0, "sphere": 0.5, "torus": 0.0}  # of the Bessel functions


class Problem(NamedTuple):
    """Queries, and there the root mean square of f; b; and the limit with the planted error."""

    density: af.Density
    queries: np.ndarray
    size: float
    bias: float
    limit: af.DriftDiffusion


def test_function(x: Any) -> Any:
    """Return f of degree one at a point (D,)."""
    return x[0] - 0.5 * x[-1]


def bias_of(name: str) -> float:
    """Return b = (kappa - 1) / eps + lambda."""
    kappa = ive(ORDER[name] + 1, 1 / BANDWIDTH) / ive(ORDER[name], 1 / BANDWIDTH)
    return float((kappa - 1) / BANDWIDTH + EIGENVALUE[name])


@functools.cache
def problem(name: str) -> Problem:
    """Return what does not depend on the points."""
    manifold, bias = MANIFOLDS[name], bias_of(name)
    density = af.Uniform(manifold)
    queries = manifold.sample_uniform(QUERIES, np.random.default_rng(5))
    slower = EIGENVALUE[name] / (EIGENVALUE[name] + bias) * af.SquaredDistance()
    limit = af.DriftDiffusion(af.Attention(slower, bandwidth=BANDWIDTH), density)
    return Problem(density, queries, float(np.sqrt(np.mean(test_function(queries.T) ** 2))), bias, limit)


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return the squares of the errors over what the parts make, with the solver's error and without."""
    measured: dict[str, np.ndarray] = {}
    attention = af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH)
    totals = [*keys, *jax.random.split(jax.random.fold_in(keys[0], 2), max(0, FEWEST - len(keys)))]
    halves = [*(jax.random.fold_in(key, 1) for key in totals), *totals]  # the second half makes the total
    for name in MANIFOLDS:
        p = problem(name)
        budget = af.error_budget(
            attention, p.density, test_function, n=case["points"], at=p.queries, keys=halves, limit=p.limit
        )
        fluctuation, slow_down = (budget[part].expected for part in ("fluctuation", "slow-down"))
        bias = np.sign(p.bias) * budget["bias"].value
        squares = budget.squares[: len(keys)]
        measured |= {
            f"{name}.ratio": squares / (fluctuation**2 + (bias + p.bias * p.size - slow_down) ** 2),
            f"{name}.without_solver": squares / (fluctuation**2 + (bias - slow_down) ** 2),
        }
    return measured


SOLVER_LEFT_OUT = 4.0  # (b + b)^2 / b^2


def claims_on(name: str) -> list[af.Claim]:
    """Return what is claimed on one manifold."""
    where = {"circle": "circle", "sphere": "$S^2$", "torus": "$T^2$"}[name]
    closes = af.Claim(
        id=f"budget-closes/{name}", source="Si", measures=("empirical", "population", "limit"),
        statement=r"the squared error over $\mathrm{fluctuation}^2 + (\mathrm{slow\,down} + \mathrm{bias} + "
        r"\mathrm{solver})^2$ tends to 1",
        kind="constant", quantity=f"{name}.ratio", size="points", predicted=1.0, margin=0.1,
        hypotheses=rf"{where}, uniform density, $f$ of degree one, $\varepsilon = {BANDWIDTH}$, one layer",
    )  # fmt: skip
    return [
        closes,
        closes.control(
            statement=r"the squared error over $\mathrm{fluctuation}^2 + (\mathrm{slow\,down} + \mathrm{bias})^2$ "
            "tends to 1",
            quantity=f"{name}.without_solver",
            truth=SOLVER_LEFT_OUT,
            truth_margin=0.2 * SOLVER_LEFT_OUT,  # it is reached like 1/N
        ),
    ]


def labels_on(name: str) -> dict[str, str]:
    """Return what figures call the quantities of one manifold."""
    return {
        f"{name}.ratio": "squared error over what all parts make",
        f"{name}.without_solver": "squared error over what the parts but the solver make",
    }


study = af.Study(
    name="budget",
    measure=measure,
    ladder=[{"points": n} for n in (4000, 8000, 16_000, 32_000, 64_000)],
    quick=4,
    claims=[claim for name in MANIFOLDS for claim in claims_on(name)],
    seeds=96,
    quick_seeds=16,
    labels=labels_on("circle") | labels_on("sphere") | labels_on("torus"),
)
