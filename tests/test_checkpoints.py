"""What is killed while it evolves goes on from its checkpoint, and ends with the bytes of one that was never killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from instances import INTEGRATORS

import attnflow as af
from attnflow import _checkpoints as module
from attnflow.errors import ConfigError, ResultFileError

CIRCLE = af.Circle()
TOKENS = CIRCLE.sample_uniform(12, np.random.default_rng(3))
LOGITS = af.Attention(af.DotProduct(), bandwidth=0.5)
FLOW = af.TokenFlow(LOGITS, manifold=CIRCLE)
TIMES = [0.0, 0.25, 0.5]


class Killed(BaseException):
    """What nothing catches, as a signal is."""


@pytest.fixture
def often(monkeypatch):
    """A checkpoint after every step."""
    monkeypatch.setattr(module, "PERIOD", 0.0)


@pytest.fixture
def killing(often, monkeypatch):
    """Let every so many checkpoints be the last that a process writes."""
    write = module.write_file

    def after(count):
        written = []

        def write_and_die(path, data):
            write(path, data)
            written.append(path)
            if len(written) == count:
                raise Killed

        monkeypatch.setattr(module, "write_file", write_and_die)

    return after


def until_done(evolve, killing, *, every):
    """The result of the run that comes to its end, and how many were killed before."""
    for killed in range(200):
        killing(every)
        try:
            return evolve(), killed
        except Killed:
            pass
    raise AssertionError("it never comes to its end")


def same_bytes(one, other):
    assert one.points.tobytes() == other.points.tobytes()
    assert (one.solver_error, one.method) == (other.solver_error, other.method)
    assert [event[:2] for event in one.events] == [event[:2] for event in other.events]


FLOWS = {
    "sinkhorn": (af.TokenFlow(LOGITS.replace(normalization="sinkhorn"), manifold=CIRCLE), af.Adaptive(rtol=1e-5)),
    "causal": (af.TokenFlow(LOGITS.replace(mask="causal"), manifold=CIRCLE), af.Midpoint(0.125)),
    "merging": (FLOW, af.Adaptive(rtol=1e-5, merge=0.3)),
    **{name: (FLOW, integrator) for name, integrator in INTEGRATORS.items()},
}


@pytest.mark.parametrize("name", FLOWS)
def test_tokens_that_are_killed_again_and_again_end_where_they_would_have(name, tmp_path, killing):
    flow, integrator = FLOWS[name]
    times = [0.0, 0.2, 3.0] if name == "merging" else TIMES
    moved, killed = until_done(lambda: flow.evolve(TOKENS, times, integrator, checkpoint=tmp_path), killing, every=3)
    whole = flow.evolve(TOKENS, times, integrator)
    same_bytes(moved, whole)
    assert killed > 0
    assert bool(whole.events) == (name == "merging")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("normalization", ["softmax", "sinkhorn"])
@pytest.mark.parametrize("at", [None, TOKENS[:3]])
def test_layers_that_are_killed_again_and_again_are_those_of_one_run(normalization, at, tmp_path, killing):
    attention = af.EmpiricalAttention(LOGITS.replace(normalization=normalization), TOKENS)
    times, f = [0.5, 2.0, 0.0, 3.5], lambda x: jax.numpy.stack([x[0], x[1] ** 2])
    found, killed = until_done(lambda: attention.evolve(f, times, at, checkpoint=tmp_path), killing, every=2)
    whole = attention.evolve(f, times, at)
    assert found.values.tobytes() == whole.values.tobytes()
    assert found.solver_error == whole.solver_error
    assert killed == 3  # seven layers, two for each process
    assert list(tmp_path.iterdir()) == []


def left_by(evolve, killing):
    killing(1)
    with pytest.raises(Killed):
        evolve()


def test_another_computation_does_not_go_on_from_it(tmp_path, killing):
    """Also one whose cost has the same name and other numbers."""
    step = af.Layer(0.125)
    left_by(lambda: FLOW.evolve(TOKENS, TIMES, step, checkpoint=tmp_path), killing)
    (file,) = tmp_path.iterdir()
    killing(0)

    def cost(factor):
        return af.Attention(af.CustomPseudoMetric(lambda x, y: factor * ((x - y) ** 2).sum()), bandwidth=0.5)

    for flow, tokens, times, integrator in (
        (FLOW, TOKENS[::-1], TIMES, step),
        (FLOW, TOKENS, [0.0, 0.25, 0.75], step),
        (FLOW, TOKENS, TIMES, af.Layer(0.0625)),
        (FLOW, TOKENS, TIMES, af.Midpoint(0.125)),
        (af.TokenFlow(LOGITS, 2.0, manifold=CIRCLE), TOKENS, TIMES, step),
        (af.TokenFlow(LOGITS), TOKENS, TIMES, step),
        (af.TokenFlow(cost(1.0), manifold=CIRCLE), TOKENS, TIMES, step),
    ):
        same_bytes(flow.evolve(tokens, times, integrator, checkpoint=tmp_path), flow.evolve(tokens, times, integrator))
        assert list(tmp_path.iterdir()) == [file]
    left_by(lambda: af.TokenFlow(cost(1.0)).evolve(TOKENS, TIMES, step, checkpoint=tmp_path), killing)
    killing(0)
    same_bytes(
        af.TokenFlow(cost(2.0)).evolve(TOKENS, TIMES, step, checkpoint=tmp_path),
        af.TokenFlow(cost(2.0)).evolve(TOKENS, TIMES, step),
    )
    assert len(list(tmp_path.iterdir())) == 2


def test_a_damaged_file_is_begun_anew(tmp_path, killing):
    step = af.Layer(0.125)
    left_by(lambda: FLOW.evolve(TOKENS, TIMES, step, checkpoint=tmp_path), killing)
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    killing(0)
    same_bytes(FLOW.evolve(TOKENS, TIMES, step, checkpoint=tmp_path), FLOW.evolve(TOKENS, TIMES, step))


def test_the_first_file_comes_after_half_a_minute(tmp_path, monkeypatch):
    now = iter(range(0, 10_000, 10))
    written = []
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(module, "write_file", lambda path, data: written.append(path))
    FLOW.evolve(TOKENS, 1.25, af.Layer(0.125), checkpoint=tmp_path)
    assert 2 <= len(written) <= 3  # ten steps, of ten seconds each


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_checkpoint_needs_a_folder(folder, tmp_path):
    (tmp_path / "file").touch()
    attention = af.EmpiricalAttention(LOGITS, TOKENS)
    for evolve in (FLOW.evolve, attention.evolve):
        with pytest.raises(ConfigError, match="`checkpoint` must be a folder that exists"):
            evolve(TOKENS, 0.5, checkpoint=tmp_path / folder)


def test_a_disk_that_is_full_is_told(tmp_path, often, monkeypatch):
    def full(path, data):
        raise ResultFileError("no space left")

    monkeypatch.setattr(module, "write_file", full)
    with pytest.raises(ResultFileError, match="no space"):
        FLOW.evolve(TOKENS, TIMES, af.Layer(0.125), checkpoint=tmp_path)


KILLED = """
import os, signal, sys
import numpy as np
import attnflow as af
from attnflow import _checkpoints

af.enable_x64()
_checkpoints.PERIOD = 0.0
write, last = _checkpoints.write_file, int(sys.argv[2])

def write_and_die(path, data):
    global last
    write(path, data)
    last -= 1
    if last == 0:
        os.kill(os.getpid(), signal.SIGKILL)

_checkpoints.write_file = write_and_die
attention = af.Attention(af.CustomPseudoMetric(lambda x, y: ((x - y) ** 2).sum() + (x[0] - y[0]) ** 4), bandwidth=0.5)
tokens = np.random.default_rng(1).normal(size=(9, 2))
moved = af.TokenFlow(attention).evolve(tokens, [0.5, 1.0], af.Layer(0.125), checkpoint=sys.argv[1])
print(moved.points.tobytes().hex())
"""


def test_a_process_that_is_killed_is_gone_on_from_by_another(tmp_path):
    """As the cost is a function, this also finds a name for it that is the same in every process."""

    def run(last, folder):
        folder.mkdir(exist_ok=True)
        words = [sys.executable, "-c", KILLED, str(folder), str(last)]
        return subprocess.run(words, capture_output=True, text=True, timeout=200, cwd=Path(__file__).parents[1])

    assert run(4, tmp_path / "one").returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path / "one")) == 1
    resumed = run(5, tmp_path / "one")  # four more steps: begun anew it would write five, and die
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == run(-1, tmp_path / "two").stdout
    assert os.listdir(tmp_path / "one") == []
