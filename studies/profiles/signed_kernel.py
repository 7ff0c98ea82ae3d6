"""Which limit has attention whose kernel is negative in places?

For a kernel kappa((x - y) / sqrt eps) with the spectral density s, s(0) > 0, and infinitely many points of law p,

    (A f - f) / eps = 1/2 M : Hess f + <M grad log p, grad f> + O(eps),   M = -Hess log s(0)                        [S],

also where kappa is negative. Here kappa(z) = (1 - |z|^2/5) e^{-|z|^2/2}, negative for |z|^2 > 5: restricted to a
tangent space of m dimensions s(w) ~ (1 - m/5 + |w|^2/5) e^{-|w|^2/2}, so that M = (3 - m)/(5 - m) on curves and
surfaces, m = 1 and 2, and for m = 3 there is none.

The kernel is the difference of two that are not negative, e^{-s/2} and s e^{-s/2} at s = |x - y|^2 / eps, and so are
its sums: with A_1, A_2 the averages of both and T_1, T_2 their totals

    A f = (T_1 A_1 f - T_2 A_2 f / 5) / (T_1 - T_2 / 5).

Measured on the circle and on S^2 for f = a.x and p ~ exp(b.x): the distance of (A f - f)/eps from the limit that the
density s gives, and the factor over the limit of Gaussian weights, which is M. The controls take M = 1, the kernel
without its negative part but for the constant: the distance then tends to 1 - M of the size of L f.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

DIMS = {"circle": 1, "sphere": 2}
ALONG, TILT = np.array([0.6, -0.7, 0.4]), np.array([0.5, 0.3, -0.6])  # a and b
SHARE = 0.2  # of |z|^2 in kappa


class Risen(af.Profile):
    """The weights s e^{-s/2}: none at the query itself."""

    def log_weight(self, s: Any) -> Any:
        """Return log h(s)."""
        library = jnp if isinstance(s, jax.Array) else np
        present = s > 0
        return library.where(present, library.log(library.where(present, s, 1.0)) - s / 2, -library.inf)


class SignedSpectrum(af.FrequencySpectrum):
    """The frequencies of kappa, known by their density on tangent spaces."""

    def sample(self, key: jax.Array, count: int, dim: int) -> jax.Array:
        """Draw nothing: only the limit is asked."""
        raise NotImplementedError

    def log_density(self, frequency: jax.Array) -> jax.Array:
        """Return log s(w)."""
        square = jnp.sum(frequency**2)
        return jnp.log(1 - SHARE * frequency.size + SHARE * square) - square / 2


def predicted(m: int) -> float:
    """Return M = (1 - (m + 2)/5) / (1 - m/5)."""
    return (1 - SHARE * (m + 2)) / (1 - SHARE * m)


@functools.cache
def density(place: str) -> af.VonMisesFisher:
    """Return p ~ exp(b.x)."""
    m = DIMS[place]
    b = TILT[: m + 1]
    return af.VonMisesFisher(af.Sphere(m), mean_direction=b, concentration=float(np.linalg.norm(b)))


@functools.cache
def queries(place: str) -> np.ndarray:
    """Return points all over the place, (Q, m + 1)."""
    points = np.random.default_rng(1).standard_normal((64, DIMS[place] + 1))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def linear(x: jax.Array) -> jax.Array:
    """Return f = a.x."""
    return x @ ALONG[: x.size]


@functools.cache
def limits(place: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the limits at the queries of kappa, from its spectral density, and of Gaussian weights."""
    signed = af.RandomFeatures(SignedSpectrum(), 1, key=jax.random.key(0))
    own, gaussian = (
        af.LaplaceExpansion(af.Attention(cost, bandwidth=1.0), density(place)).generator(linear, at=queries(place))
        for cost in (signed, af.SquaredDistance())
    )
    return own, gaussian


def quotient(place: str, eps: float) -> tuple[np.ndarray, float]:
    """Return (A f - f)/eps at the queries, and its solver error."""
    at, parts, error = queries(place), [], 0.0
    for sign, profile in ((1.0, "gaussian"), (-SHARE, Risen())):
        attention = af.Attention(af.SquaredDistance(), bandwidth=eps, profile=profile)
        life = af.PopulationAttention(attention, density(place))
        flow = life.evolve(linear, times=[0, eps], at=at)
        total = sign * np.exp(life.log_normalizer(at=at))
        parts.append((total, flow.values[1] - flow.values[0]))
        error += flow.solver_error * float(np.abs(total).max())
    whole = sum(total for total, _ in parts)
    return sum(total * moved for total, moved in parts) / whole / eps, error / float(whole.min()) / eps


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances from both limits, and the factor relative to M and to one."""
    eps = case["bandwidth"]
    row: dict[str, float] = {}
    for place, m in DIMS.items():
        found, error = quotient(place, eps)
        own, gaussian = limits(place)
        factor = float(found @ gaussian / (gaussian @ gaussian))
        row |= {
            f"{place}.distance": np.sqrt(np.mean((found - own) ** 2)),
            f"{place}.gaussian": np.sqrt(np.mean((found - gaussian) ** 2)),
            f"{place}.factor": factor / predicted(m),
            f"{place}.unsigned": factor,
        }
        size = float(np.sqrt(np.mean(gaussian**2)))
        row |= {f"{place}.{quantity}.solver_error": error for quantity in ("distance", "gaussian")}
        row |= {f"{place}.factor.solver_error": error / size / predicted(m)}
        row |= {f"{place}.unsigned.solver_error": error / size}
    return row


def claims_of(place: str) -> list[af.Claim]:
    """Return the claims at one place."""
    m = DIMS[place]
    where = "circle" if place == "circle" else "$S^2$"
    hypotheses = (
        rf"{where}, $m = {m}$, $\kappa(z) = (1 - |z|^2/5)\, e^{{-|z|^2/2}}$, $p \propto e^{{b \cdot x}}$, "
        r"$f = a \cdot x$; infinitely many points"
    )
    rate = af.Claim(
        id=f"S-kernel/{place}", source="S", kind="exponent", quantity=f"{place}.distance", size="bandwidth",
        statement=(
            r"the distance of $(A - I) f / \varepsilon$ from $M (\frac{1}{2}\Delta f + \langle\nabla\log p, "
            r"\nabla f\rangle)$, $M = -\nabla^2\log s(0)$, is of order $\varepsilon$"
        ),
        predicted=1.0, hypotheses=hypotheses, measures=("population", "expansion"),
    )  # fmt: skip
    constant = af.Claim(
        id=f"S-kernel-constant/{place}", source="S", kind="constant", quantity=f"{place}.factor", size="bandwidth",
        statement=r"the factor over the limit of Gaussian weights is $M = (3 - m)/(5 - m)$: their ratio is one",
        predicted=1.0, hypotheses=hypotheses, measures=("population", "expansion"),
    )  # fmt: skip
    return [
        rate,
        rate.control(
            statement=r"the distance from $\frac{1}{2}\Delta f + \langle\nabla\log p, \nabla f\rangle$, as if $M = 1$, "
            r"is of order $\varepsilon$",
            quantity=f"{place}.gaussian", truth=0.0,
        ),
        constant,
        constant.control(
            statement="the factor over the limit of Gaussian weights is one",
            quantity=f"{place}.unsigned", truth=predicted(m),
        ),
    ]  # fmt: skip


study = af.Study(
    name="signed_kernel",
    measure=measure,
    ladder=[{"bandwidth": 0.02 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[claim for place in DIMS for claim in claims_of(place)],
    labels={
        f"{place}.{quantity}": label
        for place in DIMS
        for quantity, label in {
            "distance": r"distance of $(A - I) f / \varepsilon$ from its limit",
            "gaussian": r"distance from the limit of Gaussian weights",
            "factor": r"factor relative to $M$",
            "unsigned": r"factor relative to one",
        }.items()
    },
)
