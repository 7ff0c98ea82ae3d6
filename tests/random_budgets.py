"""Error budgets of random problems: do they close?

Random densities on the circle, S^2, T^2 and closed curves, bandwidths, numbers of points and functions, generators and
semigroups, softmax and other normalisations; prints each with what does not add up, and how many close:

    python tests/random_budgets.py [COUNT] [SEED]

As an interval is one of 99.9 % and a budget has four or so, one of two hundred right ones is expected not to close.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af


def problem(rng):
    """Return attention, density, f and the options of a budget."""
    manifold = [
        af.Circle(), af.Sphere(2), af.FlatTorus(2),
        af.ClosedCurve(lambda t: jnp.stack([1.5 * jnp.cos(t), jnp.sin(t) + 0.2 * jnp.cos(2 * t)])),
    ][rng.integers(4)]  # fmt: skip
    slope = 0.5 * rng.standard_normal(manifold.ambient_dim)
    density = af.LogDensity(manifold, lambda x: jnp.asarray(slope) @ x + 0.2 * x[0] * x[-1])
    normalization = ["softmax", "softmax", af.AlphaNormalization(0.5), "sinkhorn"][rng.integers(4)]
    bandwidth = float(np.exp(rng.uniform(np.log(0.08), np.log(0.25))))
    time = None if rng.random() < 0.5 else bandwidth * int(rng.integers(1, 6))
    a, b = rng.standard_normal((2, manifold.ambient_dim))

    def f(x):
        return jnp.asarray(a) @ x + (jnp.asarray(b) @ x) ** 2

    attention = af.Attention(af.SquaredDistance(), bandwidth, normalization=normalization)
    return attention, density, f, {"n": int(rng.integers(300, 1500)), "time": time}


def budgets(count, seed):
    """Return budgets of so many problems."""
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        attention, density, f, options = problem(rng)
        at = density.manifold.sample_uniform(16, rng)
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), number), 32)
        yield attention, density, af.error_budget(attention, density, f, at=at, keys=keys, **options)


def main(count=12, seed=0):
    af.enable_x64()
    closed = 0
    for attention, density, budget in budgets(int(count), int(seed)):
        closed += budget.closes
        words = "closes" if budget.closes else "; ".join(budget.gaps)
        print(f"{density.manifold}, {attention}, {budget.what}, N = {budget.n}: {words}", flush=True)
    print(f"{closed} of {count} close")
    return int(closed < 0.9 * int(count))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
