"""Which time does attention keep whose weights fall otherwise than a Gaussian?

With the weights h(|x - y|^2 / eps) and infinitely many points of law p, in m dimensions,

    (A f - f) / eps = c L f + O(eps),   c = mu_2 / (m mu_0),   mu_j = int |z|^j h(|z|^2) dz,

L f = 1/2 Lap f + <grad log p, grad f> the limit of the Gaussian weights e^{-s/2}: c = 1/2 for e^{-s}, m + 1 for
e^{-sqrt s}, 1/(m + 4) for max(1 - s, 0) and nu / (nu - 2) for Student's (1 + s/nu)^{-(nu + m)/2}.

Measured on the circle and on S^2 for f = a.x and p ~ exp(b.x), of which L f = -(m/2) a.x + a.b - (a.x)(b.x) is known
by hand: the factor c(eps) that brings c L f nearest to (A f - f)/eps over all queries, relative to the predicted one.
Each control takes the factor of another profile: in truth its number is the ratio of the two.

The weights of Student fall so slowly that keys far away are felt: the error is of the order eps^{min(1, nu/2 - 1)}
(profile-student). It is measured on the circle as the root mean square over the queries, at nu = 3 and 6; the controls
take the limit of the Gaussian weights, from which the distance in truth has the exponent zero.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

DIMS = {"circle": 1, "sphere": 2}
ALONG, TILT = np.array([0.6, -0.7, 0.4]), np.array([0.5, 0.3, -0.6])  # a and b
DEGREES = {"slow": 3.0, "fast": 6.0}  # nu


def profiles(m: int) -> dict[str, tuple[af.Profile, float]]:
    """Return the profiles by name, each with its factor in m dimensions."""
    return {
        "exponential": (af.Exponential(), 1 / 2),
        "root": (af.Root(), m + 1.0),
        "compact": (af.Compact(), 1 / (m + 4)),
        "student": (af.StudentT(6.0, dim=m), 6 / 4),
    }


OTHER = {"exponential": "compact", "root": "student", "compact": "exponential", "student": "root"}


@functools.cache
def density(place: str) -> af.VonMisesFisher:
    """Return p ~ exp(b.x)."""
    m = DIMS[place]
    b = TILT[: m + 1]
    return af.VonMisesFisher(af.Sphere(m), mean_direction=b, concentration=float(np.linalg.norm(b)))


@functools.cache
def queries(place: str) -> np.ndarray:
    """Return points all over the place, (Q, m + 1)."""
    rng = np.random.default_rng(1)
    points = rng.standard_normal((64, DIMS[place] + 1))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def linear(x: jax.Array) -> jax.Array:
    """Return f = a.x."""
    return x @ ALONG[: x.size]


@functools.cache
def limit(place: str) -> np.ndarray:
    """Return L f at the queries, by hand."""
    m, x = DIMS[place], queries(place)
    a, b = ALONG[: m + 1], TILT[: m + 1]
    return -m / 2 * x @ a + a @ b - (x @ a) * (x @ b)


def quotient(place: str, profile: af.Profile, eps: float) -> tuple[np.ndarray, float]:
    """Return (A f - f)/eps at the queries, and its solver error."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps, profile=profile)
    flow = af.PopulationAttention(attention, density(place)).evolve(linear, times=[0, eps], at=queries(place))
    return (flow.values[1] - flow.values[0]) / eps, flow.solver_error / eps


def factor(place: str, found: np.ndarray) -> float:
    """Return the factor that brings L f nearest to what is found."""
    return float(found @ limit(place) / (limit(place) @ limit(place)))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the factors of all profiles relative to their own and to another's, and the distances for Student's."""
    eps = case["bandwidth"]
    row: dict[str, float] = {}
    for place, m in DIMS.items():
        known = profiles(m)
        for name, (profile, own) in known.items():
            found, error = quotient(place, profile, eps)
            measured, size = factor(place, found), float(np.linalg.norm(limit(place)))
            row[f"{name}.{place}.own"] = measured / own
            row[f"{name}.{place}.other"] = measured / known[OTHER[name]][1]
            for quantity, divisor in (("own", own), ("other", known[OTHER[name]][1])):
                row[f"{name}.{place}.{quantity}.solver_error"] = error * np.sqrt(64) / size / divisor
    for name, nu in DEGREES.items():
        profile = af.StudentT(nu, dim=1)
        found, error = quotient("circle", profile, eps)
        attention = af.Attention(af.SquaredDistance(), bandwidth=1.0, profile=profile)
        tended = af.LaplaceExpansion(attention, density("circle")).generator(linear, at=queries("circle"))
        row[f"{name}.distance"] = np.sqrt(np.mean((found - tended) ** 2))
        row[f"{name}.gaussian"] = np.sqrt(np.mean((found - limit("circle")) ** 2))
        row |= {f"{name}.{quantity}.solver_error": error for quantity in ("distance", "gaussian")}
    return row


WEIGHTS = {
    "exponential": r"e^{-s}", "root": r"e^{-\sqrt{s}}", "compact": r"\max(1 - s, 0)",
    "student": r"(1 + s/6)^{-(6 + m)/2}",
}  # fmt: skip
FACTORS = {"exponential": "1/2", "root": "m + 1", "compact": "1/(m + 4)", "student": "3/2"}


def claims_of(name: str, place: str) -> list[af.Claim]:
    """Return the claim about one profile at one place, and its control."""
    m, other = DIMS[place], OTHER[name]
    known = profiles(m)
    where = "circle" if place == "circle" else "$S^2$"
    claim = af.Claim(
        id=f"profile-{name}/{place}", source="CL",
        statement=(
            f"the weights ${WEIGHTS[name]}$ give $(A f - f)/\\varepsilon$ the factor ${FACTORS[name]}$ over that of "
            "Gaussian weights: their ratio is one"
        ),
        kind="constant", quantity=f"{name}.{place}.own", size="bandwidth", predicted=1.0, measures=("population",),
        hypotheses=rf"{where}, $m = {m}$, $p \propto e^{{b \cdot x}}$, $f = a \cdot x$; infinitely many points",
    )  # fmt: skip
    return [
        claim,
        claim.control(
            statement=f"the weights ${WEIGHTS[name]}$ give it the factor ${FACTORS[other]}$ of ${WEIGHTS[other]}$",
            quantity=f"{name}.{place}.other", truth=known[name][1] / known[other][1],
        ),
    ]  # fmt: skip


def student(name: str, nu: float) -> list[af.Claim]:
    """Return the claim about the error of Student's weights, and its control."""
    power = min(1.0, nu / 2 - 1)
    common: dict[str, Any] = dict(
        source="derived", size="bandwidth", correction_power=min(0.5, power) if power < 1 else 1.0,
        hypotheses=rf"circle, $p \propto e^{{b \cdot x}}$, $\nu = {nu:g}$, $f = a \cdot x$; infinitely many points",
    )  # fmt: skip
    claim = af.Claim(
        id=f"profile-student/{name}",
        statement=(
            r"with Student's weights the distance of $(A f - f)/\varepsilon$ from $\nu/(\nu - 2)\, L f$ is of order "
            r"$\varepsilon^{\min(1, \nu/2 - 1)}$"
        ),
        kind="exponent", quantity=f"{name}.distance", predicted=power, measures=("population", "expansion"), **common,
    )  # fmt: skip
    return [
        claim,
        claim.control(
            statement=r"the distance from $L f$, the limit of Gaussian weights, is of that order",
            quantity=f"{name}.gaussian", truth=0.0, measures=("population",),
        ),
    ]  # fmt: skip


study = af.Study(
    name="profile_constant",
    measure=measure,
    ladder=[{"bandwidth": 0.02 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        *(claim for name in WEIGHTS for place in DIMS for claim in claims_of(name, place)),
        *(claim for name, nu in DEGREES.items() for claim in student(name, nu)),
    ],
    labels={
        **{f"{name}.{place}.own": r"factor relative to its own" for name in WEIGHTS for place in DIMS},
        **{f"{name}.{place}.other": r"factor relative to another's" for name in WEIGHTS for place in DIMS},
        **{f"{name}.distance": r"distance from $\nu/(\nu - 2)\, L f$" for name in DEGREES},
        **{f"{name}.gaussian": r"distance from $L f$" for name in DEGREES},
    },
)
