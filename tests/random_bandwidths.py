"""Random problems of `suggest_bandwidth`: what is predicted against what is observed, over densities, functions and N.

A problem is a density exp(a wave and a linear function), a smooth f and a number of points on a manifold of one to
three dimensions. Observed is the root mean square error of independent clouds at 32 queries, at the suggested bandwidth
and at others around it. Run as a script this takes 40 problems for each target and prints how many keep their promise:

    python tests/random_bandwidths.py [COUNT] [TARGET ...]

Targets are generator, semigroup, spectrum and points, the generator of points alone.
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
    "ellipsoid": af.Ellipsoid((1.0, 1.3, 0.8)),
    "torus": af.FlatTorus(2),
    "sphere": af.Sphere(2),
    "torus of three dimensions": af.FlatTorus(3),
    "sphere of three dimensions": af.Sphere(3),
}
SIZES = (500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000)
MOST_POINTS = {"generator": 64_000, "points": 64_000, "semigroup": 4000, "spectrum": 2000}
CLOUDS = {"generator": 24, "points": 6, "semigroup": 24, "spectrum": 24}
WITHIN = {"generator": 1.5, "points": 2.0, "semigroup": 1.5, "spectrum": 2.0}
QUERIES = 32
AROUND = (0.35, 0.6, 1.7, 3.0)  # times the suggested bandwidth
TIME = 0.4
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)


def log_weight(parameters, x):
    along, wave = parameters
    return along @ x + 0.3 * jnp.sin(wave @ x)


def function(parameters, x):
    along, wave = parameters
    return along @ x + 0.5 * jnp.sin(wave @ x)


def draw(generator, name, target):
    """Return a density, a function and a number of points."""
    manifold = MANIFOLDS[name]
    dim = manifold.ambient_dim
    given = generator.standard_normal((4, dim)) / np.sqrt(dim) * np.array([1.0, 2.0, 1.0, 2.0])[:, None]
    density = af.LogDensity(manifold, Partial(log_weight, tuple(map(jnp.asarray, given[:2]))))
    f = Partial(function, tuple(map(jnp.asarray, given[2:])))
    sizes = [n for n in SIZES if n <= MOST_POINTS[target]]
    return density, f, int(sizes[generator.integers(len(sizes))])


def suggested(target, density, f, n, at, points):
    """Return the suggestion for a target."""
    if target == "points":
        return af.suggest_bandwidth(ATTENTION, points, f=f, at=at)
    if target == "spectrum":
        return af.suggest_bandwidth(ATTENTION, density, n=n, target=target)
    return af.suggest_bandwidth(
        ATTENTION, density, n=n, f=f, at=at, target=target, time=TIME if target == "semigroup" else None
    )


def answer(target, life, f, at):
    """Return what a life says of the target, as a row."""
    if target == "spectrum":
        return life.spectrum(2).eigenvalues[1:]
    return life.evolve(f, times=TIME, at=at).values[0] if target == "semigroup" else life.generator(f, at=at)


def observed(target, density, f, n, at, bandwidths, key):
    """Return the root mean square errors over clouds at bandwidths."""
    limit = answer(target, af.DriftDiffusion(ATTENTION, density, rtol=1e-6), f, at)
    squares = np.zeros(len(bandwidths))
    for k in range(CLOUDS[target]):
        points = density.sample(n, key=jax.random.fold_in(key, k))
        for i, eps in enumerate(bandwidths):
            life = af.EmpiricalAttention(ATTENTION.replace(bandwidth=eps), points, rtol=1e-6)
            squares[i] += np.mean((answer(target, life, f, at) - limit) ** 2)
    return np.sqrt(squares / CLOUDS[target])


def bandwidths_around(target, chosen):
    """Return the chosen bandwidth and others: of the semigroup those of whole numbers of layers."""
    if target != "semigroup":
        return [chosen, *(chosen * factor for factor in AROUND)]
    layers = round(TIME / chosen)
    others = {max(1, round(layers / factor)) for factor in AROUND} - {layers}
    return [chosen, *(TIME / n for n in sorted(others))]


def problem(target, seed):
    """Return predicted and observed error at the suggested bandwidth, and the least observed around it."""
    generator = np.random.default_rng(seed)
    name = sorted(MANIFOLDS)[seed % len(MANIFOLDS)]
    density, f, n = draw(generator, name, target)
    key = jax.random.key(seed)
    at = density.sample(QUERIES, key=jax.random.fold_in(key, 10_000))
    points = density.sample(n, key=jax.random.fold_in(key, 0))
    found = suggested(target, density, f, n, at, points)
    tried = bandwidths_around(target, found.bandwidth)
    errors = observed("generator" if target == "points" else target, density, f, n, at, tried, key)
    return name, n, found, errors


def main():
    af.enable_x64()
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    for target in sys.argv[2:] or ("generator", "points", "semigroup", "spectrum"):
        kept = near = done = 0
        for seed in itertools.count():
            if done == count:
                break
            try:
                name, n, found, errors = problem(target, seed)
            except af.errors.ConfigError as error:  # too few points for that manifold: that is said
                print(f"{target} {seed}: {str(error)[:110]}", flush=True)
                continue
            done += 1
            ratio, excess = errors[0] / found.predicted_error, errors[0] / errors.min()
            kept += 1 / WITHIN[target] <= ratio <= WITHIN[target]
            near += excess <= 1.25
            print(f"{target} {seed}: {name}, N = {n}, eps = {found.bandwidth:.4g}, {found.neighbours:.0f} neighbours: "
                  f"observed / predicted {ratio:.3f}, observed / best {excess:.3f}", flush=True)  # fmt: skip
        print(f"{target}: within a factor {WITHIN[target]} {kept} of {done}; within 1.25 of the best {near} of {done}")


if __name__ == "__main__":
    main()
