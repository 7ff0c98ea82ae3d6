"""What law have the eigenvalues of sampled attention, and what has a pair of them?

N^{1/2} (l_N - l) of a simple eigenvalue l of (I - A)/eps, N independent keys, tends to a Gaussian law whose variance
`eigenvalue_noise` derives at any bandwidth; as eps -> 0, for softmax, it tends to

    int p^3 (|grad u|^2 - 2 l u^2)^2 dvol,   int p^2 u^2 dvol = 1,

which `clt_spectrum_limit` follows. The term -2 l u^2 comes from the totals by which rows are divided.

For a double eigenvalue the matrix of responses is a random symmetric one. On the circle, p uniform, its entries are
sigma (a, b; b, -a) with a, b independent standard normal, from the one wave e^{2it} of the keys: the pair is apart by
2 sigma r / N^{1/2}, r of Rayleigh's law. Its members repel one another as those of a Gaussian 2 x 2 matrix do, density
~ r, and the lower one, -sigma r, is not Gaussian: E cos r = 1 - sqrt 2 D(1/sqrt 2), D of Dawson.

Measured at eps = .2 on the circle, log p = .8 cos 2t + .3 cos t + .2 sin t + const., l_1, l_2, l_3 = .150, 1.424, 2.08:
the deviation from the population over its predicted standard deviation, whose root mean square tends to one: of l_2
with softmax, of l_1 with Sinkhorn and with key weights q^{-1}; the mean of its cosine for l_1 with softmax, e^{-1/2} of
a standard normal; and E e^{-N g^2 / 8 sigma^2}, g the gap of the pair, 1/2. Bias and the second order of the noise add
O(1/N). Of 2560 seeds a mean square has a standard error of .028, which the extrapolation about doubles: the margins
are .12 for a root mean square, .06 for a cosine and .035 for the pair.

The controls: the standard deviation without the term -2 l u^2; the cosine for the lower one of the pair; l_2 - l_1 of
the simple ones in place of a gap, which is Gaussian and does not repel: 1/sqrt 3.
"""

import functools
from typing import Any

import eigenvalue_noise
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import dawsn

import attnflow as af

BANDWIDTH = 0.2
NODES = 2 * np.pi * np.arange(256) / 256
CIRCLE = np.column_stack([np.cos(NODES), np.sin(NODES)])
KINDS: dict[str, Any] = {"softmax": "softmax", "alpha": af.AlphaNormalization(1.0), "sinkhorn": "sinkhorn"}
ROOT, COSINE, PAIR = 0.12, 0.06, 0.035  # margins


def log_weight(x: jax.Array) -> jax.Array:
    """Return log p but for a constant."""
    return 0.8 * (x[0] ** 2 - x[1] ** 2) + 0.3 * x[0] + 0.2 * x[1]


@functools.cache
def densities() -> dict[str, Any]:
    """Return p, and the uniform density."""
    return {"wells": af.LogDensity(af.Circle(), log_weight), "uniform": af.Uniform(af.Circle())}


@functools.cache
def masses(place: str) -> np.ndarray:
    """Return the masses of the nodes."""
    if place == "uniform":
        return np.full(len(NODES), 1 / len(NODES))
    found = np.exp(np.asarray(jax.vmap(log_weight)(jnp.asarray(CIRCLE))))
    return np.asarray(found / found.sum())


@functools.cache
def modes(kind: str, place: str = "wells") -> tuple[eigenvalue_noise.Mode, ...]:
    """Return l_1 and l_2 with what they answer to."""
    return eigenvalue_noise.modes(CIRCLE, masses(place), bandwidth=BANDWIDTH, normalization=kind, count=2)


def deviation(kind: str, mode: int, place: str = "wells", *, without_mass: bool = False) -> float:
    """Return the predicted standard deviation of N^{1/2} l_N."""
    found = modes(kind, place)[mode - 1]
    response = found.without_mass if without_mass else found.response
    return float(np.sqrt(eigenvalue_noise.variance(response, masses(place))))


def sampled(kind: str, points: np.ndarray) -> np.ndarray:
    """Return l_1 and l_2 of the empirical attention."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH, normalization=KINDS[kind])
    return af.EmpiricalAttention(attention, points).spectrum(3).eigenvalues[1:]


@functools.cache
def of_difference() -> float:
    """Return the predicted variance of N^{1/2} (l_2 - l_1)."""
    first, second = modes("softmax")
    return eigenvalue_noise.variance(second.response - first.response, masses("wells"))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return deviations over their predicted standard deviations, and what pairs make of them."""
    count = case["points"]
    keys = jax.random.split(key)
    points = densities()["wells"].sample(count, key=keys[0])
    errors = {
        kind: np.sqrt(count) * (sampled(kind, points) - [mode.eigenvalue for mode in modes(kind)]) for kind in KINDS
    }
    double, sigma = modes("softmax", "uniform")[0].eigenvalue, deviation("softmax", 1, "uniform")
    pair = sampled("softmax", densities()["uniform"].sample(count, key=keys[1]))
    return {
        "second": errors["softmax"][1] / deviation("softmax", 2),
        "second_without": errors["softmax"][1] / deviation("softmax", 2, without_mass=True),
        "sinkhorn": errors["sinkhorn"][0] / deviation("sinkhorn", 1),
        "sinkhorn_without": errors["sinkhorn"][0] / deviation("sinkhorn", 1, without_mass=True),
        "weights": errors["alpha"][0] / deviation("alpha", 1),
        "cosine": np.cos(errors["softmax"][0] / deviation("softmax", 1)),
        "lower": np.cos(np.sqrt(count) * (pair[0] - double) / sigma),
        "pair": np.exp(-count * (pair[1] - pair[0]) ** 2 / (8 * sigma**2)),
        "apart": np.exp(-((errors["softmax"][1] - errors["softmax"][0]) ** 2) / of_difference()),
    }


def of_one(name: str, quantity: str, what: str) -> af.Claim:
    """Return the claim about the variance of one eigenvalue."""
    return af.Claim(
        id=f"clt-spectrum/{name}", quantity=quantity, kind="constant", predicted=1.0, margin=ROOT, statistic="rms",
        statement=rf"$N$ Var of {what} tends to that of its first-order response to the keys", **common,
    )  # fmt: skip


common: dict[str, Any] = dict(
    source="derived", size="points", measures=("empirical",),
    hypotheses=r"circle, $\log p = .8 \cos 2t + .3 \cos t + .2 \sin t + c$, $D = |x - y|^2$, $\varepsilon = .2$",
)  # fmt: skip
second = of_one("softmax", "second", r"$\lambda_2$, softmax,")
sinkhorn = of_one("sinkhorn", "sinkhorn", r"$\lambda_1$, Sinkhorn,")
law = af.Claim(
    id="clt-spectrum/law", quantity="cosine", kind="constant", predicted=np.exp(-0.5), margin=COSINE,
    statement=r"a simple eigenvalue is Gaussian: its deviation $z$ in standard ones has E $\cos z = e^{-1/2}$",
    **common,
)  # fmt: skip
pair = af.Claim(
    id="clt-spectrum/pair", quantity="pair", kind="constant", predicted=0.5, margin=PAIR,
    statement=r"a double eigenvalue splits by Rayleigh's law: E $e^{-r^2/2} = 1/2$, $r$ the gap over its scale",
    **common,
)  # fmt: skip
study = af.Study(
    name="clt_spectrum",
    measure=measure,
    ladder=[{"points": n} for n in (200, 269, 362, 488, 656, 884, 1189, 1600)],
    quick=1,
    seeds=2560,
    quick_seeds=96,
    claims=af.covered([
        second,
        second.control(
            statement=r"so it does without the term $-2 \lambda u^2$ of the response",
            quantity="second_without",
            truth=deviation("softmax", 2) / deviation("softmax", 2, without_mass=True),
            truth_margin=0.2,
        ),
        of_one("weights", "weights", r"$\lambda_1$, keys weighted by $q^{-1}$,"),
        law,
        law.control(
            statement="so has the lower one of a pair that is double without noise",
            quantity="lower",
            truth=1 - np.sqrt(2) * dawsn(np.sqrt(0.5)),
            truth_margin=COSINE,
        ),
    ], by={"clt-spectrum/weights": "clt-spectrum-control/softmax"}),
    full_claims=[
        sinkhorn,
        sinkhorn.control(
            statement=r"so it does, Sinkhorn, without the term $-2 \lambda u^2$ of the response",
            quantity="sinkhorn_without",
            truth=deviation("sinkhorn", 1) / deviation("sinkhorn", 1, without_mass=True),
            truth_margin=0.1,
        ),
        pair,
        pair.control(
            statement=r"so are two simple eigenvalues apart that are no pair",
            quantity="apart",
            truth=3**-0.5,
            truth_margin=PAIR,
        ),
    ],
    labels={
        "second": r"deviation of $\lambda_2$ over the predicted one, softmax",
        "second_without": r"deviation of $\lambda_2$ over that without $-2\lambda u^2$, softmax",
        "sinkhorn": r"deviation of $\lambda_1$ over the predicted one, Sinkhorn",
        "sinkhorn_without": r"deviation of $\lambda_1$ over that without $-2\lambda u^2$, Sinkhorn",
        "weights": r"deviation of $\lambda_1$ over the predicted one, weights $q^{-1}$",
        "cosine": r"$\cos z$ of $\lambda_1$",
        "lower": r"$\cos z$ of the lower one of a pair",
        "pair": r"$e^{-r^2/2}$ of the gap of a pair",
        "apart": r"$e^{-r^2/2}$ of $\lambda_2 - \lambda_1$",
    },
)  # fmt: skip
