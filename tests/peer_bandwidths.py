"""Automatic bandwidths of peers beside the suggested one, on one task, from points alone.

The generator of pure heat flow, 1/2 Lap f (alpha = 1), from N points of p ~ 1 + cos(t)/2 on the circle, f = sin 2t, and
of p ~ 1 + z/2 on S^2, f = xz + .3y; relative root mean square errors over the points. Not part of the tests: it needs
pydiffmap or datafold, and says which is missing.

    python tests/peer_bandwidths.py [N ...]
"""

import importlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af


def wave(x):
    return 2 * x[0] * x[1]  # sin 2t


def polynomial(x):
    return x[0] * x[2] + 0.3 * x[1]


TASKS = {
    # manifold, log p, f, and the values of 1/2 Lap f: -l(l+m-1)/2 f of each degree l
    "circle": (af.Circle(), lambda x: jnp.log1p(0.5 * x[0]), wave, lambda x: -2 * wave(x)),
    "sphere": (af.Sphere(2), lambda x: jnp.log1p(0.5 * x[2]), polynomial, lambda x: -3 * x[0] * x[2] - 0.3 * x[1]),
}


def suggested(points, f):
    """Return what the suggested bandwidth gives, and what its error is predicted to be."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=1.0, normalization=af.AlphaNormalization(1.0))
    values = np.asarray(f(points.T))
    found = af.suggest_bandwidth(attention, points, f=values)
    life = af.EmpiricalAttention(attention.replace(bandwidth=found.bandwidth), points, include_self=False)
    return life.generator(values), found.predicted_error


def of_pydiffmap(points, f):
    """Return what the defaults of pyDiffMap give; its generator is the Laplacian."""
    package = importlib.import_module("pydiffmap.diffusion_map")
    return 0.5 * package.DiffusionMap.from_sklearn(alpha=1.0).fit(points).L @ np.asarray(f(points.T)), None


def of_datafold(points, f):
    """Return what the bandwidth and the cut-off of datafold give; its kernel is e^{-d^2/2 eps}, as here."""
    package = importlib.import_module("datafold.pcfold")
    cloud = package.PCManifold(points)
    cloud.optimize_parameters()
    kernel = package.DmapKernelFixed(
        internal_kernel=cloud.kernel, is_stochastic=True, alpha=1.0, symmetrize_kernel=False
    )
    matrix = kernel(points, dist_kwargs={"cut_off": cloud.cut_off})
    matrix = matrix[0] if isinstance(matrix, tuple) else matrix
    values = np.asarray(f(points.T))
    return (matrix @ values - values) / cloud.kernel.epsilon, None


def main():
    af.enable_x64()
    for n in map(int, sys.argv[1:] or ("2000", "8000")):
        for name, (manifold, log_p, f, truth) in TASKS.items():
            points = af.LogDensity(manifold, log_p).sample(n, key=jax.random.key(0))
            exact = np.asarray(truth(points.T))
            size = np.sqrt(np.mean(exact**2))
            for peer, ask in (("suggested", suggested), ("pyDiffMap", of_pydiffmap), ("datafold", of_datafold)):
                start = time.process_time()
                try:
                    found, predicted = ask(points, f)
                except ImportError as error:
                    print(f"{name}, N = {n}: {peer} is not here ({error})")
                    continue
                seconds = time.process_time() - start
                error = np.sqrt(np.mean((found - exact) ** 2)) / size
                promise = "" if predicted is None else f", predicted {predicted / size:.3f}"
                print(f"{name}, N = {n}: {peer} {error:.3f}{promise}, {seconds:.1f} CPU-s", flush=True)


if __name__ == "__main__":
    main()
