"""Sums over several devices and several processes equal those over one."""

import os
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError, WorkerError
from attnflow.sums.kernel_sums.dense import TERM_ROUNDING
from attnflow.sums.kernel_sums.devices import DevicesSum, choose_devices


def run(program, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


EIGHT = """
import numpy as np
import attnflow as af
af.enable_x64()
rng = np.random.default_rng(0)
keys, queries = rng.gamma(2.0, size=(1_000_000, 2)), rng.gamma(2.0, size=(600, 2))
queries[3] = 500.0  # out of reach: summed again with a shift
measure = af.DiscreteMeasure(keys, rng.integers(0, 3, len(keys)))
values = rng.choice([-1.0, 1.0], (len(keys), 2))
attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
one, eight = (af.EmpiricalAttention(attention, measure, method="dense", devices=n) for n in (None, 8))
a, b = one.layer(values, at=queries), eight.layer(values, at=queries)
print(np.abs(a - b).max(), np.abs(one.log_normalizer(queries) / eight.log_normalizer(queries) - 1).max())
points = keys[:5000]
product = af.Attention(af.DotProduct(), bandwidth=3.0)
one, eight = (af.EmpiricalAttention(product, points, devices=n, include_self=False) for n in (None, 8))
print(np.abs(one.layer(points) / eight.layer(points) - 1).max(), eight.method)
"""


def test_single_precision_declares_what_adding_all_tiles_of_a_device_loses():
    n = 3_000_000
    angles, values = (np.random.default_rng(seed).random(n) for seed in (0, 1))
    points, values = np.column_stack([np.cos(2 * np.pi * angles), np.sin(2 * np.pi * angles)]), values[:, None] < 0.37
    # From the middle of a circle all terms are equal, .9 each: their roundings do not cancel.
    attention = af.Attention(af.SquaredDistance(), bandwidth=-1 / (2 * np.log(0.9)))
    kernel_sum = DevicesSum(
        attention, points=points, log_weights=np.zeros(n), dtype=np.dtype("f4"), devices=choose_devices(1)
    )
    sums = kernel_sum(values * 1.0, np.zeros((1, 2)))
    error = abs(sums.weighted[0, 0] / sums.total[0] - values.mean())
    assert TERM_ROUNDING * np.finfo("f4").eps < error < sums.error[0]  # more than one block of keys would lose


def test_eight_devices_give_the_sums_of_one():
    process = run(EIGHT, XLA_FLAGS="--xla_force_host_platform_device_count=8")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    average, normaliser, product, method = out.split()
    # Sums of 1e6 terms in another order: rounding of 1e-16 times the root of their number.
    assert float(average) < 1e-12
    assert float(normaliser) < 1e-12
    assert float(product) < 1e-12
    assert method == "dense"


TWO = """
import sys
import jax, numpy as np
import attnflow as af
af.enable_x64()
address, index = sys.argv[1], int(sys.argv[2])
af.join_processes(address, count=2, index=index, timeout=60)
assert jax.process_count() == 2
points = np.random.default_rng(0).gamma(2.0, size=(3000, 2))
attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
spread = af.EmpiricalAttention(attention, points, devices=jax.devices())
print(spread.layer(np.sin(points[:, 0])).tobytes().hex())
"""


def test_two_processes_give_the_sums_of_one():
    address = free_address()
    processes = [run(TWO, address, index) for index in (0, 1)]
    outputs = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    points = np.random.default_rng(0).gamma(2.0, size=(3000, 2))
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    expected = af.EmpiricalAttention(attention, points, method="dense").layer(np.sin(points[:, 0]))
    for out, _ in outputs:
        got = np.frombuffer(bytes.fromhex(out.split()[-1]))
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("index", [0, 1])
def test_a_peer_that_never_comes_is_an_error_that_names_the_address(index):
    address = free_address()
    start = time.monotonic()
    with pytest.raises(WorkerError, match=address):
        af.join_processes(address, count=2, index=index, timeout=1)
    assert time.monotonic() - start < 30


def test_a_peer_that_comes_while_another_stays_away_is_told_too():
    address = free_address()
    code = "import sys, attnflow as af; af.join_processes(sys.argv[1], count=3, index=int(sys.argv[2]), timeout=4)"
    processes = [run(code, address, index) for index in (0, 1)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "WorkerError" in err
        assert address in err


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(WorkerError, match=rf"{address}.*free port"):
            af.join_processes(address, count=2, index=0, timeout=1)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(address="here", count=2, index=0), "host:port"),
        (dict(address="h:1", count=2, index=2), "below `count`"),
        (dict(address="h:1", count=0, index=0), "count"),
        (dict(address="h:1", count=2, index=0, timeout=-1), "timeout"),
    ],
)
def test_what_makes_no_sense_is_refused_before_waiting(given, message):
    with pytest.raises(ConfigError, match=message):
        af.join_processes(given.pop("address"), **given)


def test_devices_that_are_not_there_are_refused():
    attention, points = af.Attention(af.SquaredDistance(), bandwidth=0.1), np.eye(3)
    with pytest.raises(ConfigError, match=r"at most the 1.*device_count=5"):
        af.EmpiricalAttention(attention, points, devices=5)
    for devices in (["cpu"], [], jax.devices() * 2):
        with pytest.raises(ConfigError, match="list of different JAX devices"):
            af.EmpiricalAttention(attention, points, devices=devices)
    for devices in (0, True, 2.5, jax.devices()[0]):
        with pytest.raises(ConfigError, match="integer of at least 1"):
            af.EmpiricalAttention(attention, points, devices=devices)
    with pytest.raises(ConfigError, match=r"dense sums only.*fourier"):
        af.EmpiricalAttention(attention, points, devices=jax.devices(), method="fourier")
