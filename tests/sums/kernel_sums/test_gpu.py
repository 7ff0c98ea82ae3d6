"""The GPU sums without a GPU: interpreted, lowered for CUDA, and by XLA on this processor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh
from witnesses import direct

import attnflow as af
from attnflow.errors import ConfigError
from attnflow.sums.kernel_sums import blocks, gpu, pallas
from attnflow.sums.kernel_sums.gpu import GpuSum, gaussian_sums, xla_program
from attnflow.sums.planning.planner import PlannedSum

interpreter = pytest.importorskip("jax._src.pallas.mosaic_gpu.interpret.params")
PROGRAMS = {
    "mosaic": lambda *given: pallas.mosaic_program(*given, interpret=interpreter.InterpretGPUParams()),
    "triton": lambda *given: pallas.triton_program(*given, interpret=True),
    "xla": xla_program,
}
FLOAT64 = np.dtype(np.float64)


def arrays(dim, channels, dtype, *, queries=256, keys=32):
    rng = np.random.default_rng(dim)
    shapes = [(dim, queries), (channels, queries), (dim, keys), (channels, keys)]
    return [jnp.asarray(rng.standard_normal(shape), dtype) for shape in shapes]


@pytest.fixture
def small_blocks(monkeypatch):
    """The interpreter takes milliseconds for every key."""
    monkeypatch.setattr(pallas, "FLUSH", 8)
    monkeypatch.setattr(pallas, "MOSAIC_QUERIES", {4: 256, 8: 256})
    monkeypatch.setattr(pallas, "KEYS_AT_ONCE", {4: 4, 8: 4})


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("dim", "channels", "dtype"), [(1, 1, "float64"), (3, 2, "float32"), (4, 3, "float64")])
def test_every_program_computes_the_sums_and_the_moments(small_blocks, program, dim, channels, dtype):
    x, a, y, f = arrays(dim, channels, dtype)
    differences = np.asarray(x, float)[:, :, None] - np.asarray(y, float)[:, None]
    p = 2.0 ** -(differences**2).sum(axis=0)
    sums = np.asarray(f, float) @ p.T
    weights = p * (np.asarray(a, float).T @ np.asarray(f, float))
    run = PROGRAMS[program]
    # 32 terms of order one, and exponents to 40, rounded at 6e-8 or 1e-16.
    tolerance = {"float32": 3e-6, "float64": 1e-14}[dtype]
    got = run("sums", x, None, y, f)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, sums, rtol=0, atol=tolerance)
    moments = (weights * differences).sum(axis=2)
    np.testing.assert_allclose(run("moments", x, a, y, f), moments, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["sums", "moments"])
@pytest.mark.parametrize("program", ["mosaic", "triton", "xla"])
def test_every_program_is_lowered_for_cuda(program, kind, dtype):
    run = {"mosaic": pallas.mosaic_program, "triton": pallas.triton_program, "xla": xla_program}[program]
    shapes = [jax.ShapeDtypeStruct(a.shape, dtype) for a in arrays(3, 2, dtype, queries=1024, keys=4096)]
    if kind == "sums":
        shapes[1] = None
    device = AbstractDevice(device_kind="NVIDIA H200", platform="cuda", num_cores=1)
    with jax.sharding.use_abstract_mesh(AbstractMesh((1,), ("d",), abstract_device=device)):
        lowered = jax.jit(lambda *given: run(kind, *given)).trace(*shapes).lower(lowering_platforms=("cuda",))
    text = lowered.as_text()
    target = {"mosaic": "mosaic_gpu", "triton": "triton", "xla": "stablehlo.reduce"}[program]
    assert target in text
    assert "1024x4096" not in text or program == "xla", "all pairs at once, but where XLA fuses them into a reduction"


def test_the_derivative_by_hand_is_that_of_the_naive_sum():
    x, _, y, f = arrays(3, 2, "float64", queries=70, keys=45)
    change = jnp.asarray(np.random.default_rng(1).standard_normal((2, 70)))

    def naive(x, y, f):
        return f @ jnp.exp2(-((x[:, :, None] - y[:, None]) ** 2).sum(axis=0)).T

    ours = jax.grad(lambda *given: (gaussian_sums("xla", *given) * change).sum(), argnums=(0, 1, 2))(x, y, f)
    theirs = jax.jit(jax.grad(lambda *given: (naive(*given) * change).sum(), argnums=(0, 1, 2)))(x, y, f)
    for got, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-10)
    assert all(np.abs(g).max() > 0.1 for g in ours)


@pytest.fixture
def processor_for_gpu(monkeypatch):
    """The first processor plays the GPU, with the program that runs everywhere."""
    monkeypatch.setattr(gpu, "gpu_device", lambda: jax.devices("cpu")[0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_the_declared_error_holds(processor_for_gpu, dtype, shift):
    rng = np.random.default_rng(3)
    points = np.vstack([rng.standard_normal((700, 3)), [[4.5, 0.0, 0.0]]]) + shift
    values = rng.choice([-1.0, 1.0], (701, 9))  # more than one pass of columns
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
    weights = rng.uniform(0.5, 2.0, 701)
    kernel_sum = GpuSum(attention, points=points, log_weights=np.log(weights), dtype=np.dtype(dtype))
    logits = direct.distance_logits(points, points, bandwidth=0.1) + np.log(weights)
    for exclude_self in (False, True):
        sums = kernel_sum(values, exclude_self=exclude_self)
        expected = direct.layer(direct.without_self(logits) if exclude_self else logits, values)
        sure = np.isfinite(sums.error)
        assert sure[:-1].all()
        error = np.abs(sums.weighted / sums.total[:, None] - expected).max(axis=1)
        assert (error[sure] <= sums.error[sure] + 1e-14).all()
        assert np.median(sums.error) < {"float64": 1e-12, "float32": 2e-4}[dtype]


def test_the_planned_sum_uses_it_and_passes_on_what_underflows(processor_for_gpu):
    points = np.vstack([np.random.default_rng(0).standard_normal((300, 2)), [[90.0, 0.0]]])
    values = np.sin(points[:, :1])
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    given = dict(points=points, log_weights=np.zeros(301), dtype=FLOAT64, rtol=1e-8)
    kernel_sum = PlannedSum(attention, method="gpu", **given)
    assert kernel_sum.method == "gpu"
    queries = np.vstack([points[:5], [[40.0, 3.0]]])
    sums = kernel_sum(values, queries)
    expected = direct.layer(direct.distance_logits(queries, points, bandwidth=0.05), values)
    np.testing.assert_allclose(sums.weighted / sums.total[:, None], expected, rtol=0, atol=1e-8)
    assert sums.shift[-1] < -1e3  # the dense sum's


def test_a_gpu_that_is_not_there_is_never_replaced_in_silence():
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
    with pytest.raises(ConfigError, match=r"no GPU here.*auto"):
        af.EmpiricalAttention(attention, np.random.default_rng(0).standard_normal((10, 2)), method="gpu")


def test_a_processor_that_jax_was_told_not_to_see_is_asked_for(monkeypatch):
    def devices(platform=None):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(jax, "devices", devices)
    blocks.processor.cache_clear()
    with pytest.raises(ConfigError, match="JAX_PLATFORMS=cuda,cpu"):
        blocks.processor()


def test_another_cost_is_refused(processor_for_gpu):
    with pytest.raises(ConfigError, match=r"SquaredDistance.*mapped points.*DotProduct.*dense"):
        GpuSum(
            af.Attention(af.DotProduct(), bandwidth=0.1), points=np.ones((4, 2)), log_weights=np.zeros(4), dtype=FLOAT64
        )


@pytest.mark.parametrize(
    ("capability", "program"), [("9.0", "mosaic"), ("8.6", "triton"), ("7.5", "xla"), (None, "xla")]
)
def test_the_program_fits_the_gpu(capability, program):
    class Device:
        compute_capability = capability

    assert gpu.best_program(Device()) == program
