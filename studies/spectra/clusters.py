"""How many clusters does an attention see, and when do they merge?

The generator L = (1/2p^2) div(p^2 grad .) is that of a diffusion in the potential -2 log p. Each mode of p is a well of
it and holds one slow mode; the fast ones belong to single wells, so that the eigenvalues 0 = l_0 < l_1 <= ... of -L
have a gap after as many of them as p has modes. Two wells merge at the time 1/l_1. For p ~ exp(c cos 2t) its barrier
is 4c high, and by Kramers' formula [Kr]

    l_1 = (8c / pi) e^{-4c} (1 + O(1/c)).

Measured on the circle, for mixtures of one to five von Mises laws, not quite equally far apart and of unlike weights,
with barriers of -2 log p of about 7: the number of eigenvalues below the first gap, l_k / l_{k-1} >= 10 with k >= 2
(one cluster where there is none), less that of the modes: of -L, of attention with infinitely many points, and with
1024 of them, eps = .03. The control moves the centres by four times as much: then some barriers are so much lower than
others that the slow modes have gaps of their own, the first of which counts clusters of clusters; of five modes there
are three.

Then the rate of merging for c from 1.6 to 3: log(8c / (pi l_1)) over the height of the barrier, and l_1 over Kramers'
formula. The control of the first weighs keys by q^{-1/2}, for which the barrier is half as high.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

GAP = 10.0
N_MODES = 7
WEIGHTS = (1.0, 0.8, 1.2, 0.9, 0.7)
SHIFTS = np.array([0.0, 0.1, -0.08, 0.05, -0.1])  # of the centres from equal distances, in units of these
LIKE, UNLIKE = 0.25, 1.0  # of the shifts
BARRIER = 7.0  # of -2 log p: higher ones are not seen by 1024 points
BANDWIDTH = 0.03
POINTS = 1024


def mixture(concentration: float, centres: jax.Array, x: jax.Array) -> jax.Array:
    """Return the logarithm of a sum of von Mises laws of one concentration."""
    heights = concentration * (x[0] * jnp.cos(centres) + x[1] * jnp.sin(centres) - 1)
    return jax.scipy.special.logsumexp(heights, b=jnp.array(WEIGHTS[: len(centres)]))


@functools.cache
def density(modes: int, shift: float) -> af.LogDensity:
    """Return the mixture of so many laws."""
    centres = 2 * np.pi * (np.arange(modes) + shift * SHIFTS[:modes]) / modes
    concentration = BARRIER / (2 - 2 * np.cos(np.pi / modes))
    return af.LogDensity(af.Circle(), jax.tree_util.Partial(mixture, concentration, centres))


def two_wells(c: float, x: jax.Array) -> jax.Array:
    """Return c cos 2t."""
    return c * (2 * x[0] ** 2 - 1)


def attention(normalization: Any = "softmax") -> af.Attention:
    """Return the attention."""
    return af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH, normalization=normalization)


def clusters(eigenvalues: np.ndarray) -> int:
    """Return the number of eigenvalues below the first gap."""
    ratios = eigenvalues[2:] / eigenvalues[1:-1]
    return int(np.argmax(ratios >= GAP)) + 2 if (ratios >= GAP).any() else 1


def counts(modes: int, key: jax.Array) -> dict[str, float]:
    """Return the numbers of clusters, less that of the modes."""
    like, unlike = density(modes, LIKE), density(modes, UNLIKE)
    lives: dict[str, Any] = {
        "limit": af.DriftDiffusion(attention(), like, rtol=1e-3),
        "population": af.PopulationAttention(attention(), like, rtol=1e-6),
        "particles": af.EmpiricalAttention(attention(), like.sample(POINTS, key=key)),
        "unlike": af.PopulationAttention(attention(), unlike, rtol=1e-6),
    }
    return {name: clusters(life.spectrum(N_MODES).eigenvalues) - modes for name, life in lives.items()}


def rates(c: float) -> dict[str, float]:
    """Return how two wells merge, beside Kramers' formula."""
    wells = af.LogDensity(af.Circle(), jax.tree_util.Partial(two_wells, c))
    plain, halved = (
        af.DriftDiffusion(attention(normalization), wells, rtol=1e-5).spectrum(2)
        for normalization in ("softmax", af.AlphaNormalization(0.5))
    )
    (_, slow), (_, fast) = plain.eigenvalues, halved.eigenvalues
    prefactor = 8 * c / np.pi
    return {
        "barrier": np.log(prefactor / slow) / (4 * c),
        "barrier.solver_error": plain.solver_error / slow / (4 * c),
        "barrier_halved": np.log(prefactor / fast) / (4 * c),
        "kramers": slow / (prefactor * np.exp(-4 * c)),
        "kramers.solver_error": plain.solver_error / (prefactor * np.exp(-4 * c)),
    }


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the counts of one mixture, or the rates of one barrier."""
    return counts(case["modes"], key) if "modes" in case else rates(case["concentration"])


def count_of(life: str, words: str, measures: tuple[str, ...]) -> af.Claim:
    """Return that one life counts the modes."""
    return af.Claim(
        id=f"clusters/{life}", source="RZ", kind="identity", quantity=life, size="modes", predicted=0.0, margin=0.5,
        statement=f"{words} has as many eigenvalues below the first gap, "
        r"$\lambda_k / \lambda_{k-1} \geq 10$ with $k \geq 2$, as $p$ has modes",
        hypotheses="circle, mixtures of one to five von Mises laws, barriers alike", measures=measures,
    )  # fmt: skip


by_population = count_of("population", r"$(I - A)/\varepsilon$", ("population",))
common: dict[str, Any] = dict(
    source="Kr", size="concentration", measures=("limit",),
    hypotheses=r"circle, $p \propto e^{c \cos 2\theta}$, $c \to \infty$, $D = |x - y|^2$",
)  # fmt: skip
barrier = af.Claim(
    id="merging/barrier", kind="constant", quantity="barrier", predicted=1.0,
    statement=r"two wells merge at a time whose logarithm is the height $4c$ of the barrier of $-2 \log p$, "
    r"up to $\log(8c/\pi)$",
    **common,
)  # fmt: skip
study = af.Study(
    name="clusters",
    measure=measure,
    ladder=[{"modes": k} for k in (2, 1, 3, 4, 5)] + [{"concentration": 1.6 + k / 5} for k in range(8)],
    quick=13,
    claims=af.covered(
        [
            count_of("limit", "$-L$", ("limit",)),
            by_population,
            by_population.control(
                statement="where some barriers are far lower than others, " + by_population.statement,
                quantity="unlike",
                hypotheses="circle, mixtures of one to five von Mises laws, barriers unlike",
                truth=-2.0,
                truth_margin=0.5,
            ),
            count_of("particles", r"$(I - A_N)/\varepsilon$", ("empirical",)),
            barrier,
            barrier.control(
                statement=r"with keys weighed by $q^{-1/2}$, $q$ their kernel density, two wells merge at a time whose "
                r"logarithm is $4c$, up to $\log(8c/\pi)$",
                quantity="barrier_halved",
                truth=0.5,
            ),
            af.Claim(
                id="merging/rate",
                kind="constant",
                quantity="kramers",
                predicted=1.0,
                statement=r"two wells merge at the rate $\lambda_1 = (8c/\pi) e^{-4c}$ of Kramers",
                **common,
            ),
        ],
        by={
            "clusters/limit": "merging-control/barrier",
            "clusters/particles": "clusters-control/population",
            "merging/rate": "merging-control/barrier",
        },
    ),
    labels={
        "limit": "clusters of $-L$, less modes of $p$",
        "population": r"clusters of $(I - A)/\varepsilon$, less modes of $p$",
        "unlike": r"clusters of $(I - A)/\varepsilon$, less modes of $p$",
        "particles": r"clusters of $(I - A_N)/\varepsilon$, less modes of $p$",
        "barrier": r"$\log(8c / \pi\lambda_1) / 4c$",
        "barrier_halved": r"$\log(8c / \pi\lambda_1) / 4c$, keys weighed by $q^{-1/2}$",
        "kramers": r"$\lambda_1 / (8c/\pi) e^{-4c}$",
    },
)
