"""Measure the GPU sums on a GPU that is here: beside NumPy in float64, beside torch, time per pair, large layers.

Not part of the tests: it needs a GPU. `python tests/gpu_measure.py [numbers] [rates] [tokens] [layers]`; docs/gpu.md
holds what it printed.
"""

import functools
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow._optional import optional
from attnflow.sums.kernel_sums import gpu

BANDWIDTHS = {1: 1e-4, 3: 1e-2, 8: 0.2}  # by dimension: some hundreds of neighbours among thousands
PROGRAMS = ("mosaic", "triton", "xla")
DTYPES = ("float32", "float64")
LAYERS = [
    (100_000, "float64", 1e-2),
    (100_000, "float32", 1e-2),
    (1_000_000, "float64", 1e-3),
    (1_000_000, "float32", 1e-3),
    (10_000_000, "float32", 1e-3),
]


def arrays(count, *, dim, channels, dtype, queries=None):
    """Scaled coordinates and columns on the device, as GpuSum sends them."""
    rng = np.random.default_rng(dim)
    points = rng.uniform(-1, 1, (dim, count)) / np.sqrt(2 * BANDWIDTHS[dim] * np.log(2))
    columns = np.concatenate([np.ones((1, count)), rng.choice([-1.0, 1.0], (channels - 1, count))])
    return [jnp.asarray(each, dtype) for each in (points[:, :queries], points, columns)]


def seconds(run, *given):
    """Least of three, after one that compiles."""
    jax.block_until_ready(run(*given))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(run(*given))
        times.append(time.perf_counter() - start)
    return min(times)


def program_of(name):
    return jax.jit(functools.partial(gpu.gaussian_sums, name))


def numbers():
    """Errors of every program against NumPy in float64."""
    print("error of sums relative to sum_j p_ij |F_j|, of the gradient by queries relative to its largest entry")
    for dim in BANDWIDTHS:
        for dtype in DTYPES:
            given = arrays(16384, dim=dim, channels=3, dtype=dtype, queries=1024)
            x, y, f = (np.asarray(each, np.float64) for each in given)
            differences = x[:, :, None] - y[:, None]
            p = 2.0 ** -(differences**2).sum(axis=0)
            change = np.random.default_rng(5).standard_normal((3, 1024))
            slope = -2 * np.log(2) * np.einsum("qk,dqk->dq", p * (change.T @ f), differences)
            for name in PROGRAMS:
                sums = np.asarray(program_of(name)(*given), np.float64)

                def total(x, y, f, name=name, change=change):
                    return (gpu.gaussian_sums(name, x, y, f) * jnp.asarray(change, x.dtype)).sum()

                gradient = np.asarray(jax.jit(jax.grad(total))(*given), np.float64)
                off = np.abs((sums - f @ p.T) / p.sum(axis=1)).max()
                print(f"D={dim} {dtype} {name:6} {off:.1e} {np.abs(gradient - slope).max() / np.abs(slope).max():.1e}")


def rates():
    """Pairs per second of every program."""
    print("N = 262144 in float32, 131072 in float64; D coordinates, C columns")
    for dim, channels in ((3, 2), (1, 2), (8, 2), (3, 8)):
        for dtype in DTYPES:
            count = 262144 if dtype == "float32" else 131072
            given = arrays(count, dim=dim, channels=channels, dtype=dtype)
            for name in PROGRAMS if (dim, channels) == (3, 2) else PROGRAMS[:1]:
                print(
                    f"D={dim} C={channels} {dtype} {name:6} {count**2 / seconds(program_of(name), *given):.3g} pairs/s"
                )


def tokens():
    """Layers of dot products, d coordinates and channels, beside torch on the same GPU."""
    torch = optional("torch")
    for count, dim in ((16384, 64), (65536, 64), (16384, 16)):
        for dtype in DTYPES:
            rng, eps = np.random.default_rng(0), float(np.sqrt(dim))
            points, values = (rng.standard_normal((count, dim)).astype(dtype) for _ in range(2))
            logits = points[:8].astype(np.float64) @ points.T.astype(np.float64) / eps
            kernel = np.exp(logits - logits.max(axis=1, keepdims=True))
            expected = kernel @ values / kernel.sum(axis=1, keepdims=True)
            attention = af.Attention(af.DotProduct(), eps)
            life = af.EmpiricalAttention(attention, points, method="gpu", dtype=dtype, rtol=1e-4)
            took, got = seconds(life.layer, values), life.layer(values)
            words = f"{took:.4f} s, declared {life.solver_error:.1e}, true {np.abs(got[:8] - expected).max():.1e}"
            print(f"N={count} d={dim} {dtype}: {words}")
            if torch is None:
                continue
            attend = torch.nn.functional.scaled_dot_product_attention

            def layer(points=points, values=values, eps=eps, attend=attend):
                queries, channels = (torch.from_numpy(array).cuda()[None, None] for array in (points, values))
                return attend(queries, queries, channels, scale=1 / eps)[0, 0].cpu().numpy()

            print(f"    torch {seconds(layer):.4f} s, true {np.abs(layer()[:8] - expected).max():.1e}")


def layers():
    """Whole layers on the unit sphere: time by the clock, what is declared, and the true error at some rows."""
    rng = np.random.default_rng(0)
    for count, dtype, eps in LAYERS:
        points = rng.standard_normal((count, 3))
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        values = rng.choice([-1.0, 1.0], count)
        rtol = 1e-10 if dtype == "float64" else 1e-3
        life = af.EmpiricalAttention(
            af.Attention(af.SquaredDistance(), eps), points, method="gpu", dtype=dtype, rtol=rtol
        )
        times = []
        for _ in range(2 if count < 10_000_000 else 1):
            start = time.perf_counter()
            got = life.layer(values)
            times.append(time.perf_counter() - start)
        rows = rng.integers(0, count, 8)
        kernels = (np.exp(((points[i] - points) ** 2).sum(axis=1) / (-2 * eps)) for i in rows)
        true = max(abs(got[i] - np.average(values, weights=kernel)) for i, kernel in zip(rows, kernels, strict=True))
        words = f"first {times[0]:.2f} s, again {times[-1]:.2f} s, {count**2 / times[-1]:.3g} pairs/s"
        print(f"N={count:.0e} {dtype} eps={eps:g}: {words}, declared {life.solver_error:.1e}, true {true:.1e}")


def main():
    af.enable_x64()
    device = jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}")
    for part in [globals()[name] for name in sys.argv[1:]] or [numbers, rates, tokens, layers]:
        start = time.perf_counter()
        print(f"\n## {part.__name__}")
        part()
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
