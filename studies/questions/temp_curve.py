"""At which temperature does attention condense on few of n random keys, in few and in many dimensions?

Of n independent keys, uniform on S^{d-1}, a query x attends to y with the weight w ~ e^{beta x.y}. The inverse
participation Y = sum_j w_j^2 is near 1/n for a small beta and one for a large one. Since 1/Z^2 = int_0^inf s e^{-sZ} ds,
for every n, d and beta exactly

    E Y = n int_0^inf s M(s) L(s)^{n-1} ds,    L(s) = E exp(-s e^{beta t}),    M(s) = E e^{2 beta t} exp(-s e^{beta t}),

t = x.y with the density ~ (1 - t^2)^{(d-3)/2}. At a fixed d, m = d - 1, as n grows with beta of the order n^{2/m}, keys
near the query are Poisson points: |x - y|^2 = 2u / beta with the intensity nb u^{m/2 - 1} du / Gamma(m/2),

    E Y -> int_0^inf s M(s) e^{-H(s)} ds,      H(s) = nb / Gamma(m/2) int u^{m/2 - 1} (1 - exp(-s e^{-u})) du,
                                               M(s) = nb / Gamma(m/2) int u^{m/2 - 1} e^{-2u} exp(-s e^{-u}) du,

nb = n p (2 pi / beta)^{m/2}, a smooth function of beta / n^{2/m} (temp-curve-poisson). It has in it the density of keys
at the query alone, so that for other laws p is p(x), and m the dimension of what the keys lie on (temp-curve-density).

For many dimensions the logits of the largest keys are Poisson points whose density is nearly an exponential, as in the
random energy model, and E Y is nearly 1 - beta_c/beta: with n keys the largest product is about r, and e^{beta x.y}
weighted with the number of keys has its maximum there if

    beta_c = (d - 1) r / (1 - r^2),    r^2 = 1 - n^{-2/(d-1)},

which joins (d - 1) n^{2/(d-1)}, at a fixed d, and (2 d log n)^{1/2}, d >> log n. That is one curve for all d but for a
correction. To see its order, let r* be where one key is expected beyond, n P(t > r*) = 1, and beta* = -d log P(t > r) /
dr there, which differs from beta_c by logarithms. The logarithm of the intensity in units of 1/beta* is a line but for
a curvature of the order 1/min(d, log n), so that is the order of E Y - (1 - beta*/beta) (temp-curve-order: a derivation
from the exact integral, for d = 8 log n and n up to e^512).

Measured at beta = 2 beta_c, keys drawn as they are summed, d = 4, 8, 32, 256: the mean over 256 queries of Y less the
exact integral, less the Poisson limit for d = 4 and 8, and for keys of the density ~ e^{2 x_0} on S^3 at queries with
x_0 > .9 less that of p(x). The controls take the Poisson limit of d = 256 for what happens there and 1 - beta_c/beta for
d = 8, either limit alone; the uniform density in place of p(x); and for the order d = 8 whatever n, of which E Y -
(1 - beta*/beta) tends to a constant.
"""

import jax

import attnflow as af


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return nothing yet."""
    return {"nothing": 0.0}


study = af.Study(name="temp_curve", measure=measure, ladder=[{"keys": 1024}], quick=1, claims=[])
