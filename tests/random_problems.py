"""Random drift-diffusions whose declared errors are compared with true ones: python tests/random_problems.py 0 0 200.

A problem is a place, a density, a function or an initial density, times, points and a tolerance. Parameters are data of
functions that are compiled once per place. The truth is the answer to a far smaller tolerance, of the spectral method
where finite elements or volumes are asked.
"""

from __future__ import annotations

import collections
import sys
import time
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from embeddings import knot, pear
from jax.tree_util import Partial
from surfaces import lopsided

import attnflow as af
from attnflow._lifting import evaluate
from attnflow.errors import AttnflowError

ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
CLOSER = (10.0, 3.0)  # times smaller than the declared error, the truth is asked, until it is answered
FLOOR = 2e-13  # of the size: no smaller error is declared
# How often, the exponents of tolerances that are within reach and not for minutes, and how it is solved.
WAYS: dict[str, tuple[int, int, int, Any]] = {
    "circle": (4, 3, 9, "auto"),
    "interval": (4, 3, 9, "auto"),
    "knot": (3, 3, 8, "auto"),
    **dict.fromkeys(["T2", "S2", "ring", "ellipsoid", "star"], (2, 3, 7, "auto")),
    "cylinder": (1, 2, 5, "auto"),
    "circle by volumes": (2, 2, 6, af.FiniteVolume()),
    "T2 by volumes": (1, 2, 3, af.FiniteVolume()),
    "S2 by elements": (1, 2, 3, af.FiniteElements(degree=2)),
    "ellipsoid by elements": (1, 1, 2, af.FiniteElements(degree=2)),
    "mesh": (1, 1, 2, af.FiniteElements(degree=2)),
}


def places() -> dict[str, Any]:
    """The manifolds by the first word of a way; made when asked for, in float64."""
    return {
        "circle": af.Circle(),
        "interval": af.Interval(-1.0, 1.5),
        "T2": af.FlatTorus(2),
        "S2": af.Sphere(2),
        "ring": af.TorusOfRevolution(1.0, 0.5),
        "ellipsoid": af.Ellipsoid((1.0, 1.3, 0.7)),
        "knot": af.ClosedCurve(knot),
        "star": af.StarSurface(pear),
        "cylinder": af.Product(af.Circle(), af.Interval(0.0, 2.0)),
        "mesh": lopsided(),
    }


def wave(weights, x):
    """A linear, a quadratic and a trigonometric part with weights (3, 8)."""
    return (
        weights[0] @ jnp.resize(x, 8)
        + weights[1] @ jnp.resize(jnp.outer(x, x), 8)
        + weights[2] @ jnp.sin(2 * jnp.resize(x, 8))
    )


def positive(weights, x):
    return jnp.exp(wave(weights, x) / 3)


class Problem(NamedTuple):
    """What is asked of `evolve`, or of `adjoint_evolve`."""

    way: str
    density: Any
    function: Any
    times: list
    points: np.ndarray
    rtol: float
    adjoint: bool

    def solve(self, rtol, discretization):
        solver = af.DriftDiffusion(ATTENTION, self.density, rtol=rtol, discretization=discretization)
        evolve = solver.adjoint_evolve if self.adjoint else solver.evolve
        return evolve(self.function, times=self.times, at=self.points)

    def __str__(self):
        return f"{self.way}, {'density' if self.adjoint else 'f'} at {self.times[-1]:.3g}, rtol {self.rtol:.0e}"


class Outcome(NamedTuple):
    """How an answer compares with the truth.

    Attributes:
        kind: "answered", "refused" (no answer was given) or "unknown" (the truth was not found).
        true: the largest true error at the points asked.
        declared: the error declared.
        doubt: that of the truth.
        size: the largest value, of the start on the whole place or later at the points.
    """

    kind: str
    true: float = np.nan
    declared: float = np.nan
    doubt: float = np.nan
    size: float = np.nan

    @property
    def is_honest(self):
        """Whether the true error is below three times the declared one, as far as the truth is known."""
        return self.true <= 3 * self.declared + self.doubt

    def keeps(self, rtol):
        """Whether the error asked is kept."""
        return self.true <= rtol * self.size + self.doubt


def draw(generator, known, way=None):
    """A random problem."""
    often = np.array([often for often, *_ in WAYS.values()])
    way = way or str(generator.choice(list(WAYS), p=often / often.sum()))
    _, least, most, _ = WAYS[way]
    manifold = known[way.split()[0]]
    height, roughness = 10 ** generator.uniform(-1, 0.1), generator.uniform(0, 2)
    density = af.LogDensity(manifold, Partial(wave, jnp.asarray(height / 2 * generator.normal(size=(3, 8)))))
    weights = jnp.asarray(generator.normal(size=(3, 8)) * np.array([[1.0], [1.0], [roughness]]))
    adjoint = bool(generator.integers(2))
    last = 10 ** generator.uniform(-2.5, 0.7)
    return Problem(
        way,
        density,
        Partial(positive if adjoint else wave, weights),
        [last / 7, last],
        manifold.sample_uniform(24, generator),
        10.0 ** -generator.integers(least, most + 1),
        adjoint,
    )


def judge(problem):
    """Solve a problem as asked, and for the truth."""
    discretization = WAYS[problem.way][3]
    try:
        answer = problem.solve(problem.rtol, discretization)
    except AttnflowError:
        return Outcome("refused")
    nodes = problem.density.manifold.spread(2000)
    size = float(max(np.abs(answer.values).max(), np.abs(evaluate(problem.function, nodes)).max()))
    best = discretization if problem.way == "mesh" else "auto"
    for closer in CLOSER[-1:] if problem.way == "mesh" else CLOSER:
        try:
            truth = problem.solve(max(answer.solver_error / (closer * size), FLOOR), best)
        except AttnflowError:
            continue
        true = float(np.abs(answer.values - truth.values).max())
        return Outcome("answered", true, answer.solver_error, truth.solver_error, size)
    return Outcome("unknown", declared=answer.solver_error, size=size)


def main(seed, first, last):
    """Judge some of the problems of a seed, print those whose error is above the declared one, and a summary."""
    af.enable_x64()
    known, generator = places(), np.random.default_rng(seed)
    kinds: collections.Counter = collections.Counter()
    ratios, began = [], time.process_time()
    problems = [draw(generator, known) for _ in range(last)]
    for number, problem in enumerate(problems[first:], first):
        outcome = judge(problem)
        kinds[outcome.kind] += 1
        if outcome.kind != "answered":
            print(f"{number:4d} {outcome.kind}: {problem}", flush=True)
            continue
        ratios.append(max(outcome.true - outcome.doubt, 0.0) / outcome.declared)
        kinds["dishonest"] += not outcome.is_honest
        kinds["above the tolerance"] += not outcome.keeps(problem.rtol)
        if ratios[-1] > 1 or not outcome.keeps(problem.rtol):
            print(f"{number:4d} {outcome}: {problem}", flush=True)
        if len(ratios) % 10 == 0:
            print(f"{number - first + 1} problems, {time.process_time() - began:.0f} s: {dict(kinds)}", flush=True)
    print(f"{time.process_time() - began:.0f} s: {dict(kinds)}")
    print(f"true over declared error: median {np.median(ratios):.2g}, largest {max(ratios):.2g}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
