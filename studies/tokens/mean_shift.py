"""How fast do tokens draw together that move to the mean of their neighbours?

Tokens on the line move by dx/dt = A_mu x - x, the mean of all tokens weighed by exp(-(x - y)^2/2h), less x: the mean
shift of clustering, in continuous time, the tokens themselves being the data. Where their law is Gaussian
with mean m and variance s, A_mu x = m + s (x - m)/(s + h), so that s' = -2 h s/(s + h) and

    s = h W( (s0/h) e^{s0/h - 2t} ),

W the function of Lambert, W e^W = z: linear in time while the tokens are apart, exponential once s is below h.

Measured with 48 tokens that carry the weights of a Gauss-Hermite rule, s0 = 2 and h = .6: how far the logarithm of
their variance is from that of the formula, and the same of the closure. In the control of tokens the formula lacks the
factor 2 of t, the equation of a standard deviation in the place of that of a variance; in that of the closure it is the
one of the population that stays where it is, s = s0 e^{-2 h t/(s0 + h)}.
"""

import functools

import jax
import numpy as np
from scipy.special import lambertw

import attnflow as af

START, WIDTH, MEAN = 2.0, 0.6, 0.7  # s0, h
TIMES = (0.5, 1.0, 2.0, 3.0)


def attention() -> af.Attention:
    """Return the attention with the kernel exp(-(x - y)^2/2h)."""
    return af.Attention(af.SquaredDistance(), bandwidth=WIDTH)


def variance(t: float, *, factor: float = 2.0) -> float:
    """Return h W((s0/h) e^{s0/h - 2t})."""
    return float(WIDTH * lambertw(START / WIDTH * np.exp(START / WIDTH - factor * t)).real)


def frozen(t: float) -> float:
    """Return the variance of tokens that move to the means of a law which stays as it was."""
    return START * np.exp(-2 * WIDTH * t / (START + WIDTH))


@functools.cache
def of_tokens() -> tuple[np.ndarray, float]:
    """Return the variances of tokens at the times, and how far standard deviations may be off."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(48)
    start = af.DiscreteMeasure(MEAN + START**0.5 * nodes[:, None], weights)
    flow = af.TokenFlow(attention(), centred=True)
    moved = flow.evolve(start, times=TIMES, integrator=af.Adaptive(rtol=1e-7))
    return (moved.points[:, :, 0] - MEAN) ** 2 @ start.masses / start.mass, moved.solver_error


@functools.cache
def of_closure() -> tuple[np.ndarray, float]:
    """Return the variances of the closure at the times, and how far they may be off."""
    law = af.GaussianClosure(attention(), centred=True).evolve(mean=MEAN, covariance=START, times=TIMES)
    return law.covariances[:, 0, 0], law.solver_error


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return logarithms of variances less those of formulas."""
    t = case["time"]
    k = TIMES.index(t)
    (tokens, off), (closed, closed_off) = of_tokens(), of_closure()
    errors = {"tokens": 2 * off / tokens[k] ** 0.5, "closure": closed_off / closed[k]}
    values = {
        "tokens": np.log(tokens[k] / variance(t)),
        "tokens.slow": np.log(tokens[k] / variance(t, factor=1.0)),
        "closure": np.log(closed[k] / variance(t)),
        "closure.frozen": np.log(closed[k] / frozen(t)),
    }
    return values | {f"{name}.solver_error": errors[name.split(".")[0]] for name in values}


LINE = r"line, $A x - x$ with $h = 0.6$, Gaussian data with $s_0 = 2$"
FORMULA = r"$h W((s_0 / h) e^{s_0 / h - 2 t})$"
tokens = af.Claim(
    id="mean-shift/tokens", source="derived", kind="identity", quantity="tokens", size="time", predicted=0.0,
    margin=1e-5, measures=("tokens",), hypotheses=f"{LINE}, by 48 tokens with the weights of a Gauss-Hermite rule",
    statement=f"the logarithm of the variance of tokens is that of {FORMULA}",
)  # fmt: skip
closure = af.Claim(
    id="mean-shift/closure", source="derived", kind="identity", quantity="closure", size="time", predicted=0.0,
    margin=1e-8, measures=("closure",), hypotheses=LINE,
    statement=f"the logarithm of the variance of the closure is that of {FORMULA}",
)  # fmt: skip
study = af.Study(
    name="mean_shift",
    measure=measure,
    ladder=[{"time": t} for t in TIMES],
    quick=len(TIMES),
    claims=[
        tokens,
        tokens.control(
            statement=r"the logarithm of the variance of tokens is that of $h W((s_0 / h) e^{s_0 / h - t})$",
            quantity="tokens.slow",
            truth=float(np.log(variance(TIMES[-1]) / variance(TIMES[-1], factor=1.0))),
            truth_margin=1e-3,
        ),
        closure,
        closure.control(
            statement=r"the logarithm of the variance of the closure is that of $s_0 e^{-2 h t / (s_0 + h)}$",
            quantity="closure.frozen",
            truth=float(np.log(variance(TIMES[-1]) / frozen(TIMES[-1]))),
            truth_margin=1e-3,
        ),
    ],
    labels={
        "tokens": r"$\log s$ of tokens less that of the formula",
        "tokens.slow": r"$\log s$ of tokens less that without the factor 2",
        "closure": r"$\log s$ of the closure less that of the formula",
        "closure.frozen": r"$\log s$ of the closure less that of a population at rest",
    },
)
