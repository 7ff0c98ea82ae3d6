"""Does attention depend on its tokens only through their law?

Softmax sums over keys with equal weights, so that neither their order counts nor whether a token stands there twice or
once with twice the mass: attention is a map of measures [V],

    A_mu id(x) = int y e^{l(x, y)} mu(dy) / int e^{l(x, y)} mu(dy),   mu = (1/N) sum_j delta_{x_j}.

That ends where a token does not attend to itself: twice the same token are two that see one another, a token of mass 2
sees nothing there.

Measured: velocities of tokens on the line, five of them, the third three times and in another order, less the layer of
attention over the five as a measure with masses, largest in absolute value. In the control tokens do not attend to
themselves, for the token that stands there three times; what then differs is known: a share of two kernels at zero
distance.
"""

import jax
import numpy as np

import attnflow as af

POINTS = np.array([[-1.1], [-0.3], [0.2], [0.9], [1.6]])
MASSES = np.array([1.0, 1.0, 3.0, 1.0, 1.0])
TRIPLE = 2  # the row of the token that stands there three times
ORDER = np.array([4, 2, 0, 2, 3, 1, 2])
LADDER = [0.4 / 2**k for k in range(6)]


def difference_without_self(eps: float) -> float:
    """Return by how much averages differ at the token that stands there three times, from the kernel."""
    kernel = np.where(np.arange(5) == TRIPLE, 0.0, np.exp(-((POINTS[:, 0] - POINTS[TRIPLE, 0]) ** 2) / (2 * eps)))
    among_others = kernel @ POINTS[:, 0]
    of_copies = (among_others + 2 * POINTS[TRIPLE, 0]) / (kernel.sum() + 2)
    return float(abs(of_copies - among_others / kernel.sum()))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return how far tokens with copies are from a measure with masses."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=case["bandwidth"])
    weighed = af.DiscreteMeasure(POINTS, MASSES)
    layer = af.EmpiricalAttention(attention, weighed).layer(POINTS)
    velocities = af.TokenFlow(attention).velocity(POINTS[ORDER])
    copies, heavy = (
        af.EmpiricalAttention(attention, given, include_self=False).layer(places)
        for given, places in ((POINTS[ORDER], POINTS[ORDER]), (weighed, POINTS))
    )
    place = int(np.argmax(ORDER == TRIPLE))
    return {
        "difference": np.abs(velocities - layer[ORDER]).max(),
        "without_self": np.abs(copies[place] - heavy[TRIPLE]).max(),
    }


same = af.Claim(
    id="V-measure/line", source="V", kind="identity", quantity="difference", size="bandwidth", predicted=0.0,
    margin=1e-12,
    statement="tokens in any order, copies among them, have the averages of the measure of their places and masses",
    hypotheses="softmax of squared distances, five places on the line, one of mass three",
    measures=("tokens", "empirical"),
)  # fmt: skip
study = af.Study(
    name="measure",
    measure=measure,
    ladder=[{"bandwidth": eps} for eps in LADDER],
    quick=len(LADDER),
    claims=[
        same,
        same.control(
            statement="without attention to themselves, too, tokens have the averages of the measure of their places "
            "and masses",
            quantity="without_self",
            truth=max(map(difference_without_self, LADDER)),
            truth_margin=1e-12,
            measures=("empirical",),
        ),
    ],
    labels={
        "difference": "distance of tokens from the measure",
        "without_self": "distance of tokens from the measure, self left out",
    },
)
