"""Is it heat that spreads tokens on a sphere?

On S^2, as on the circle, infinitely many tokens that move away from what they attend to by softmax with the logit
beta <x, y>, V = -I, obey in s = t / beta

    d_s mu = Lap mu + O(1/beta)                                                                        [B]:

their velocity A_mu id is x (1 - 1/beta) + grad log mu / beta, of which only the tangent part moves.

Measured from mu_0 = (1 + .4 z + .4 xy + .3 (z^2 - 1/3) + .08 y (5 z^2 - 1)) / 4 pi at s = .1, where every harmonic of
degree l is e^{-l(l+1) s} times what it was: the root mean square difference at 144 places, over the largest density.
The control compares with half of the diffusivity: in truth that distance has the exponent zero.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

TIME = 0.1  # s
AT = af.Sphere(2).quadrature(15)


def harmonics(x: jax.Array) -> list[jax.Array]:
    """Return the parts of 4 pi mu_0 of the degrees 1, 2 and 3."""
    second = 0.4 * x[0] * x[1] + 0.3 * (x[2] ** 2 - 1 / 3)
    return [0.4 * x[2], second, 0.08 * x[1] * (5 * x[2] ** 2 - 1)]


@functools.cache
def density() -> af.LogDensity:
    """Return mu_0."""
    return af.LogDensity(af.Sphere(2), lambda x: jnp.log(1 + sum(harmonics(x))))


def heated(s: float) -> np.ndarray:
    """Return e^{s Lap} mu_0 at the places."""
    parts = harmonics(AT.points.T)  # type: ignore[arg-type]
    return np.asarray(1 + sum(np.exp(-l * (l + 1) * s) * part for l, part in enumerate(parts, 1))) / (4 * np.pi)  # noqa: E741


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of the mean field from heat, with its diffusivity and with half of it."""
    eps = case["bandwidth"]
    flow = af.MeanFieldFlow(af.Attention(af.DotProduct(), bandwidth=eps), density(), value=-1.0, rtol=1e-4)
    found = flow.evolve(times=TIME / eps, at=AT)
    largest = heated(0.0).max()
    own, half = (np.sqrt(np.mean((found.values[0] - heated(s)) ** 2)) / largest for s in (TIME, TIME / 2))
    return {"heat": own, "half": half, "solver_error": found.solver_error / largest}


rate = af.Claim(
    id="B-heat/sphere", source="B", kind="exponent", quantity="heat", size="bandwidth", predicted=1.0,
    statement=r"with $V = -I$ and $s = t/\beta$ the distance of $\mu$ from $\partial_s\mu = \Delta\mu$ is of order "
    r"$1/\beta$",
    hypotheses=r"$S^2$, softmax, $1/\beta = \varepsilon$, $s = 0.1$; infinitely many tokens",
    measures=("mean_field",),
)  # fmt: skip
study = af.Study(
    name="heat_sphere",
    measure=measure,
    ladder=[{"bandwidth": 0.1 * 2 ** (-k / 2)} for k in range(9)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement="the distance from the flow with half of the diffusivity is of order " + r"$1/\beta$",
            quantity="half",
            truth=0.0,
        ),
    ],
    labels={"heat": "distance from heat", "half": "distance from heat at half the speed"},
)
