"""One of the processes that compute together is killed: the others say so and end, and a checkpoint is gone on from."""

import os
import signal
import socket
import subprocess
import sys

import numpy as np

import attnflow as af

PROGRAM = """
import os, signal, sys
import jax, numpy as np
import attnflow as af
from attnflow import _checkpoints

address, index, dies, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
af.enable_x64()
af.join_processes(address, count=2, index=index, timeout=60)
_checkpoints.PERIOD = 0.0
keep, layers = _checkpoints.Checkpoint.keep, 0

def keep_and_die(checkpoint, state):
    global layers
    keep(checkpoint, state)
    layers += 1
    if index == dies and layers == 3:
        os.kill(os.getpid(), signal.SIGKILL)

_checkpoints.Checkpoint.keep = keep_and_die
points = np.random.default_rng(0).gamma(2.0, size=(3000, 2))
attention = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.0625), points, devices=jax.devices())
values = attention.evolve(np.sin(points[:, 0]), [0.125, 0.5], checkpoint=folder).values
np.save(f"{folder}-{index}.npy", values)
print(layers)
"""


def run_both(folder, *, dies=-1):
    """Return the address, exit codes and what two processes print; one of them may die in its third layer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address, str(index), str(dies), str(folder)],
            env={**os.environ, "JAX_PLATFORMS": "cpu"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for index in (0, 1)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=200) for process in processes]
    return address, [process.returncode for process in processes], outputs


def test_a_peer_that_is_killed_ends_the_others_and_all_go_on_from_the_checkpoint(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    address, codes, outputs = run_both(folder, dies=1)
    assert codes == [3, -signal.SIGKILL]
    assert f"process 1 of the 2 that met at {address} is gone" in outputs[0][1]
    assert len(list(folder.iterdir())) == 1
    _, codes, outputs = run_both(folder)
    assert codes == [0, 0], outputs
    points = np.random.default_rng(0).gamma(2.0, size=(3000, 2))
    attention = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.0625), points, method="dense")
    whole = attention.evolve(np.sin(points[:, 0]), [0.125, 0.5]).values
    for index, (out, _) in enumerate(outputs):
        assert int(out.split()[-1]) in (5, 6)  # of eight layers: the first two were kept for certain
        found = np.load(f"{folder}-{index}.npy")
        np.testing.assert_allclose(found, whole, rtol=0, atol=1e-13)  # sums in another order
    assert list(folder.iterdir()) == []
