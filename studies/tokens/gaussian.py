"""Do tokens of a Gaussian law keep to the closed equations of their mean and covariance?

Tokens move by dx/dt = V A_mu x, mu their law. If mu is Gaussian and the logit quadratic, A_mu x is affine in x, and mu
stays Gaussian: with A = K'Q [C]

    softmax of <Qx, Ky>         m' = V (I + S A) m,       S' = V S A S + (V S A S)',
    softmax of -|Qx - Ky|^2     m' = V (I + 2 S K'K)^{-1} (I + 2 S A) m,
                                S' = 2 V S (I + 2 K'K S)^{-1} A S + (.)'.

In the first with V = I and Q = K = I the largest variance s is s0 / (1 - 2 s0 t): it blows up at T = 1 / (2 s0). In
the second, s' = 4 s^2 / (1 + 2 s), it does not.

Measured with 256 tokens in the plane that carry the weights of a Gauss-Hermite rule: of all laws of 256 points they
are the most like a Gaussian one, and as they move affinely they remain so. Their distance from the closure is that of
means and covariances, W_2 of the Gaussian laws that have them. In the control tokens start from a uniform law on a
parallelogram, by a Gauss-Legendre rule, with the same mean and covariance. That they are .02532 and .03137 off at t = 1
was computed beforehand, by Runge-Kutta steps of 1/200 in NumPy alone.

The time of the blow-up is read off the tokens at pairs of times, as the one at which 1/s would vanish, were it linear.
In the control keys are chosen by distance, and s(t) solves (1/s0 - 1/s)/4 + log(s/s0)/2 = t: the same rule then tells
later and later times, the first of them 1.624.
"""

import functools

import jax
import numpy as np
from scipy.optimize import brentq

import attnflow as af

Q, K = np.array([[0.7, -0.4], [0.2, 0.6]]), np.array([[0.6, 0.3], [-0.5, 0.7]])
V = np.array([[0.4, -0.6], [0.5, 0.3]])
MEAN, COVARIANCE = np.array([0.4, -0.3]), np.array([[1.0, 0.3], [0.3, 0.6]])
TIMES = (0.25, 0.5, 0.75, 1.0)
VARIANCE = 0.25  # s0
END = 1 / (2 * VARIANCE)  # T
RULES = {"gauss": (np.polynomial.hermite_e.hermegauss, 1.0), "uniform": (np.polynomial.legendre.leggauss, 3**0.5)}
ELAPSED = (0.0, 0.3, 0.5, 0.65, 0.75)  # of T


def attention(name: str, queries: np.ndarray, keys: np.ndarray) -> af.Attention:
    """Return softmax of <Qx, Ky> or of -|Qx - Ky|^2."""
    if name == "dot":
        return af.Attention(af.QueryKey(queries, keys), bandwidth=1.0)
    return af.Attention(af.QueryKeyDistance(queries, keys), bandwidth=0.5)


def tokens(rule: str, mean: np.ndarray, covariance: np.ndarray) -> af.DiscreteMeasure:
    """Return 16 x 16 nodes of a rule, with a mean and a covariance."""
    find, scale = RULES[rule]
    nodes, weights = find(16)
    grid = scale * np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    return af.DiscreteMeasure(mean + grid @ np.linalg.cholesky(covariance).T, np.outer(weights, weights).ravel())


@functools.cache
def law(name: str) -> af.GaussianTrajectory:
    """Return the closure at the times."""
    return af.GaussianClosure(attention(name, Q, K), V).evolve(mean=MEAN, covariance=COVARIANCE, times=TIMES)


@functools.cache
def distances(name: str, rule: str) -> dict[float, tuple[float, float]]:
    """Return the distance of tokens from the closure at each time, and how far both may be off."""
    flow = af.TokenFlow(attention(name, Q, K), V)
    moved = flow.evolve(tokens(rule, MEAN, COVARIANCE), times=TIMES, integrator=af.Adaptive(rtol=1e-7))
    off = moved.solver_error + law(name).solver_error
    return {t: (d, off) for t, d in zip(TIMES, af.compare(moved, law(name)), strict=True)}


@functools.cache
def ends(name: str) -> dict[float, tuple[float, float]]:
    """Return where 1/s would vanish, by each share of T and the one before, and how far that may be off."""
    flow = af.TokenFlow(attention(name, np.eye(2), np.eye(2)), np.eye(2))
    start = tokens("gauss", np.zeros(2), np.diag([VARIANCE, VARIANCE / 2]))
    times = END * np.array(ELAPSED)
    moved = flow.evolve(start, times=times, integrator=af.Adaptive(rtol=1e-7))
    variances = moved.points[:, :, 0] ** 2 @ start.masses / start.mass
    return dict(zip(ELAPSED[1:], [(end, 10 * moved.solver_error) for end in crossings(times, variances)], strict=True))


def crossings(times: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return where lines through consecutive points (t, 1/s) cross zero."""
    inverse = 1 / variances
    return times[1:] - inverse[1:] * np.diff(times) / np.diff(inverse)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return distances from the closure at a time, or when blow-ups are expected."""
    known = (
        {f"{name}.{rule}": distances(name, rule)[case["time"]] for name in ("dot", "distance") for rule in RULES}
        if "time" in case
        else {f"end.{name}": ends(name)[case["elapsed"]] for name in ("dot", "distance")}
    )
    values = {name: value for name, (value, _) in known.items()}
    return values | {f"{name}.solver_error": off for name, (_, off) in known.items()}


def earliest_end() -> float:
    """Return what the first pair of times, which is farthest off, tells of keys that are chosen by distance."""

    def variance(t: float) -> float:
        return brentq(lambda s: (1 / VARIANCE - 1 / s) / 4 + np.log(s / VARIANCE) / 2 - t, VARIANCE, 100.0)

    times = END * np.array(ELAPSED)
    return float(crossings(times, np.array([variance(t) for t in times]))[0])


def closure(id: str, name: str, logit: str) -> af.Claim:
    """Return the claim that tokens keep to the closure."""
    return af.Claim(
        id=id, source="C", kind="identity", quantity=f"{name}.gauss", size="time", predicted=0.0, margin=1e-6,
        statement=rf"tokens moved by softmax of {logit} keep the mean and the covariance of the closed equations",
        hypotheses="plane; Gaussian data, by 256 tokens with the weights of a Gauss-Hermite rule",
        measures=("tokens", "closure"),
    )  # fmt: skip


soft = closure("C-soft/plane", "dot", r"$\langle Q x, K y\rangle$")
distant = closure("C-L2/plane", "distance", r"$-|Q x - K y|^2$")
uniform = "tokens of a uniform law of the same mean and covariance keep those of the closed equations"
blow_up = af.Claim(
    id="C-blow-up/plane", source="C", kind="identity", quantity="end.dot", size="elapsed",
    predicted=END, margin=0.002,
    statement=r"the largest variance of tokens blows up at $1 / 2 s_0$",
    hypotheses=r"plane; softmax of $\langle x, y\rangle$, $V = I$, Gaussian data, by 256 tokens with the weights of a "
    r"Gauss-Hermite rule",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="gaussian",
    measure=measure,
    ladder=[*({"time": t} for t in TIMES), *({"elapsed": share} for share in ELAPSED[1:])],
    quick=len(TIMES) + len(ELAPSED) - 1,
    claims=[
        soft,
        soft.control(statement=uniform, quantity="dot.uniform", truth=0.02532, truth_margin=2e-4),
        distant,
        distant.control(statement=uniform, quantity="distance.uniform", truth=0.03137, truth_margin=2e-4),
        blow_up,
        blow_up.control(
            statement=r"the largest variance of tokens that choose keys by distance blows up at $1 / 2 s_0$",
            quantity="end.distance",
            truth=earliest_end(),
            truth_margin=0.002,
        ),
    ],
    labels={
        "dot.gauss": "distance of tokens from the closure, softmax of dot products",
        "dot.uniform": "distance of tokens from the closure, uniform law",
        "distance.gauss": "distance of tokens from the closure, softmax of distances",
        "distance.uniform": "distance of tokens from the closure, uniform law",
        "end.dot": "expected time of the blow-up",
        "end.distance": "expected time of a blow-up, distances",
    },
)
