"""Random smooth asymmetric costs: the generator by differentiation against the population, extrapolated.

Costs and densities differ by their parameters alone, so that programs are compiled once for each manifold. Run as a
script this takes 100 of them, on the circle, T^2, S^2 and an ellipsoid, and prints the largest errors:

    python tests/random_costs.py [COUNT]
"""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import attnflow as af

MANIFOLDS = {
    "circle": af.Circle(),
    "torus": af.FlatTorus(2),
    "sphere": af.Sphere(2),
    "ellipsoid": af.Ellipsoid((1.0, 1.3, 0.8)),
}
LEVELS = 0.01 / 2 ** np.arange(4)  # bandwidths
RESOLVED = 3e-5  # of max |L f|: the error that the extrapolation has by its last two steps
QUERIES = 4


def cost(parameters, x, y):
    """|a(x) - y|^2 and three waves, a a linear map bent a little: asymmetric, with a minimiser far from x."""
    linear, bent, u, v, (one, two, three) = parameters
    far = linear @ x + 0.35 * jnp.tanh(bent @ x)
    waves = one * jnp.sin(u @ y + v @ x) + two * (u @ y) * (v @ x) * y[0] + three * jnp.cos(v @ y) * y[1]
    return jnp.sum((far - y) ** 2) + waves


def log_weight(parameters, x):
    along, wave = parameters
    return along @ x + 0.3 * jnp.sin(wave @ x)


def function(x):
    return jnp.stack([x[0] + x[1] * x[-1], jnp.sin(2 * x[0]) + x[-1]])


def draw(generator, dim):
    """Return an attention's cost and the logarithm of a density, up to a constant."""
    turn = np.linalg.qr(generator.standard_normal((dim, dim)))[0] * generator.uniform(0.9, 1.3)
    bent, (u, v) = generator.standard_normal((dim, dim)) / np.sqrt(dim), generator.standard_normal((2, dim))
    waves = 0.25 * generator.standard_normal(3)
    of_p = 0.6 * generator.standard_normal(dim), generator.standard_normal(dim)
    given = jax.tree.map(jnp.asarray, ((turn, bent, u, v, waves), of_p))
    return af.CustomPseudoMetric(Partial(cost, given[0])), Partial(log_weight, given[1])


def errors_at_queries(name, generator):
    """Return the errors of L f at up to 4 queries, of max |L f|, and how far the minimisers are from them.

    Queries are those whose other minima are below 1e-9 of A f at the largest bandwidth, where the extrapolation of the
    population, of (A f - f(y*))/eps to eps = 0, has settled by itself.
    """
    manifold = MANIFOLDS[name]
    pseudometric, log_p = draw(generator, manifold.ambient_dim)
    density = af.LogDensity(manifold, log_p)
    points = manifold.sample_uniform(40, generator)
    limit = af.LaplaceExpansion(af.Attention(pseudometric, bandwidth=0.1), density)
    found = limit.minimizers(points)
    (fine,) = np.nonzero(found.largest_bandwidth(1e-9) > LEVELS[0])
    points, minimizers = points[fine[:QUERIES]], found.points[fine[:QUERIES]]
    now, slopes = np.asarray(jax.vmap(function)(minimizers)), limit.generator(function, at=points)
    table = [
        (af.PopulationAttention(af.Attention(pseudometric, eps), density, rtol=1e-11).layer(function, points) - now)
        / eps
        for eps in LEVELS
    ]
    for power in range(1, len(LEVELS)):
        last = table[-1]
        table = [(2**power * b - a) / (2**power - 1) for a, b in itertools.pairwise(table)]
    size = np.abs(slopes).max()
    settled = np.abs(table[0] - last).max(axis=1) <= RESOLVED * size
    errors = np.abs(table[0] - slopes).max(axis=1) / size
    return errors[settled], np.linalg.norm(minimizers - points, axis=1)[settled]


def main(count):
    af.enable_x64()
    for name in MANIFOLDS:
        generator = np.random.default_rng([20261126, len(name)])
        worst, settled = 0.0, 0
        for _ in range(count // len(MANIFOLDS)):
            errors, _ = errors_at_queries(name, generator)
            settled += bool(len(errors))
            worst = max(worst, errors.max(initial=0.0))
        print(f"{name}: {settled} of {count // len(MANIFOLDS)} costs compared, largest error {worst:.2e}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
