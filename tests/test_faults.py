"""Faults that span rooms: what a user of the library or of the command line gets, and what is left afterwards."""

import ast
import errno
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow._files import FileSystem
from attnflow.cli import main
from attnflow.errors import ConfigError, DataError

ROOT = Path(__file__).parents[1]
CIRCLE = af.Circle()
UNIFORM = af.Uniform(CIRCLE)  # examines the circle, which compiles
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
CLOUD = np.random.default_rng(3).gamma(2.0, size=(40, 2))
ON = np.array([[1.0, 0.0], [0.6, 0.8]])

STUDY = """
import attnflow as af
import jax
import numpy as np

def measure(case, keys):
    noise = np.array([np.random.default_rng(np.asarray(jax.random.key_data(key))).normal() for key in keys])
    attention = af.Attention(af.SquaredDistance(), bandwidth=case["bandwidth"])
    points = np.linspace(0.0, 1.0, 40)[:, None]
    ess = af.EmpiricalAttention(attention, points).effective_sample_size().min()
    eps = attention.bandwidth
    return {"error": eps * (1 + eps) * (1 + 0.05 * noise * (1 + eps)), "error.ess": np.full(len(keys), ess)}

rate = dict(source="RZ", statement="of order eps \\u2014 \\u03b5", kind="exponent", quantity="error",
            size="bandwidth", hypotheses="none")
study = af.Study(
    name="toy", measure=measure, ladder=[{"bandwidth": 0.4 / 2**i} for i in range(8)], quick=8, seeds=32,
    claims=[
        af.Claim(id="toy/rate", predicted=1.0, **rate),
        af.Claim(id="toy/half", predicted=0.5, control_of="toy/rate", **rate),
    ],
)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder outside any repository, with a space and an accent in its name, in which the commands run."""
    made = tmp_path / "dossier d'été"
    (made / "studies").mkdir(parents=True)
    (made / "studies" / "toy.py").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(made)
    return made


def edit(folder, old, new):
    assert old in STUDY
    (folder / "studies" / "toy.py").write_text(STUDY.replace(old, new), encoding="utf-8")


def records(folder):
    return {path.name: path.read_bytes() for path in folder.glob(".attnflow/records/toy/*.h5")}


# --- points and values


def with_nan(points):
    damaged = points.copy()
    damaged[1, 0] = np.nan
    return damaged


def f(x):
    return x[0] + x[0] * x[1]


NOT_FINITE = {
    "points": lambda: af.EmpiricalAttention(ATTENTION, with_nan(CLOUD)),
    "values": lambda: af.EmpiricalAttention(ATTENTION, CLOUD).layer(with_nan(CLOUD)),
    "empirical at": lambda: af.EmpiricalAttention(ATTENTION, CLOUD).layer(f, at=with_nan(ON)),
    "population at": lambda: af.PopulationAttention(ATTENTION, UNIFORM).layer(f, at=with_nan(ON)),
    "continuum at": lambda: af.DriftDiffusion(ATTENTION, UNIFORM).evolve(f, times=0.1, at=with_nan(ON)),
    "expansion at": lambda: af.LaplaceExpansion(ATTENTION, UNIFORM).generator(f, at=with_nan(ON)),
    "times": lambda: af.DriftDiffusion(ATTENTION, UNIFORM).evolve(f, times=[0.1, np.nan], at=ON),
}


@pytest.mark.parametrize("ask", NOT_FINITE.values(), ids=NOT_FINITE)
def test_what_is_not_finite_is_counted_and_located_before_anything_compiles(ask):
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with pytest.raises(DataError, match=r"`\w+` holds 1 values that are NaN or Inf, the first at \[\(?1"):
            ask()
        assert compiled == []
        jax.jit(lambda x: x + len(compiled))(1.0)  # a new function: the listener does listen
        assert compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_duplicate_points_are_the_weighted_measure():
    counts = np.random.default_rng(4).integers(1, 5, len(CLOUD))
    repeated = af.EmpiricalAttention(ATTENTION, np.repeat(CLOUD, counts, axis=0))
    weighted = af.EmpiricalAttention(ATTENTION, af.DiscreteMeasure(CLOUD, weights=counts))
    np.testing.assert_allclose(repeated.layer(f, at=ON), weighted.layer(f, at=ON), rtol=0, atol=1e-14)


OFF = np.array([[1.0, 0.0], [0.6, 0.9]])
MANIFOLD_QUESTIONS = {
    "density": lambda at: UNIFORM.log_densities(at),
    "population": lambda at: af.PopulationAttention(ATTENTION, UNIFORM).layer(f, at=at),
    "population spectrum": lambda at: af.PopulationAttention(ATTENTION, UNIFORM).spectrum(3).eigenfunctions(at),
    "continuum": lambda at: af.DriftDiffusion(ATTENTION, UNIFORM).evolve(f, times=0.1, at=at),
    "continuum spectrum": lambda at: af.DriftDiffusion(ATTENTION, UNIFORM).spectrum(3).eigenfunctions(at),
    "expansion": lambda at: af.LaplaceExpansion(ATTENTION, UNIFORM).generator(f, at=at),
}


@pytest.mark.parametrize("ask", MANIFOLD_QUESTIONS.values(), ids=MANIFOLD_QUESTIONS)
def test_points_off_the_manifold_or_transposed_are_refused_and_projected_only_by_hand(ask):
    with pytest.raises(DataError, match=r"largest distance is 0\.0817, at row 1\. Project"):
        ask(OFF)
    with pytest.raises(DataError, match=r"\(N, 2\), got \(2, 5\)\. Transpose"):
        ask(np.ones((2, 5)))
    ask(jax.vmap(CIRCLE.retract)(jnp.asarray(OFF)))


def test_a_transposed_cloud_is_refused_but_few_points_of_many_coordinates_can_be_meant():
    wide = np.random.default_rng(6).standard_normal((3, 40))
    with pytest.raises(DataError, match=r"\(3, 40\)\. Transpose .* pass a DiscreteMeasure"):
        af.EmpiricalAttention(ATTENTION, wide)
    assert af.EmpiricalAttention(ATTENTION, af.DiscreteMeasure(wide)).layer(f).shape == (3,)
    assert af.EmpiricalAttention(ATTENTION, np.tile(wide, (4, 1))).layer(f).shape == (
        12,
    )  # more than a transposed cloud has


@pytest.mark.parametrize("bad", [jnp.nan, -jnp.inf])
def test_a_cost_that_is_no_number_is_named_and_never_averaged_over(bad):
    cost = af.CustomPseudoMetric(lambda x, y: jnp.where((x[0] < 1) & (y[0] > 3), bad, jnp.sum((x - y) ** 2)))
    pairs = int((CLOUD[:, 0] < 1).sum()) * int((CLOUD[:, 0] > 3).sum())
    life = af.EmpiricalAttention(af.Attention(cost, bandwidth=0.1), CLOUD)
    for ask in (lambda: life.layer(f), life.log_normalizer, life.effective_sample_size):
        with pytest.raises(DataError, match=rf"CustomPseudoMetric is NaN or -Inf for {pairs} pairs"):
            ask()


def test_a_population_with_a_constant_kernel_warns():
    wide = af.Attention(af.SquaredDistance(), bandwidth=1e5)
    with pytest.warns(RuntimeWarning, match=r"kernel is constant.*bandwidth 100000 is too large"):
        af.PopulationAttention(wide, UNIFORM).layer(f, at=ON)


# --- studies


@pytest.mark.parametrize("bad", ["-0.1", "0", "float('nan')", "float('inf')", "'wide'"])
def test_a_bad_bandwidth_in_a_study_names_the_file_and_the_key(folder, capsys, bad):
    edit(folder, "import numpy as np", f"import numpy as np\naf.Attention(af.SquaredDistance(), bandwidth={bad})")
    assert main(["verify"]) == 2
    assert "studies/toy.py is no working study: ConfigError: `bandwidth` must be positive" in capsys.readouterr().err
    assert records(folder) == {}


def test_a_ladder_that_reaches_a_bad_bandwidth_is_refused_before_computing(folder, capsys):
    edit(folder, "0.4 / 2**i", "0.4 - 0.1 * i")
    assert main(["verify"]) == 2
    err = capsys.readouterr().err
    assert "studies/toy.py" in err
    assert "`bandwidth` in the ladder of study 'toy' must be positive" in err
    assert records(folder) == {}


def test_a_bandwidth_without_neighbours_makes_the_verdict_invalid(folder, capsys):
    assert main(["verify"]) == 0
    edit(folder, "0.4 / 2**i", "0.4 / 16**i")
    assert main(["verify"]) == 1
    assert "effective neighbours at bandwidth" in " ".join(capsys.readouterr().out.split())


# --- the disk


def test_a_full_disk_stops_the_command_keeps_what_is_there_and_the_next_one_resumes(folder, capsys, monkeypatch):
    right, written = FileSystem.write, []

    def write(self, descriptor, data):
        written.append(len(data))
        if len(written) > 3:
            os.write(descriptor, data[:100])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return right(self, descriptor, data)

    monkeypatch.setattr(FileSystem, "write", write)
    assert main(["verify"]) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert "it resumes" in err
    assert "Traceback" not in err
    earlier = records(folder)
    assert len(earlier) == 3
    assert not list(folder.rglob("*.tmp"))
    monkeypatch.setattr(FileSystem, "write", right)
    assert main(["verify"]) == 0
    assert len(capsys.readouterr().err.splitlines()) == 5  # only what was missing
    assert earlier.items() <= records(folder).items()


def test_figures_into_a_folder_where_nothing_can_be_written_are_refused(folder, capsys):
    main(["verify"])
    (folder / "figures").write_text("mine")
    capsys.readouterr()
    assert main(["plot", "--all"]) == 2
    assert "`-o` is figures, where nothing can be written" in capsys.readouterr().err
    assert (folder / "figures").read_text() == "mine"


# --- the machine


def run_command(folder, words, **environment):
    """`attnflow WORDS` in a process that has only these variables."""
    return subprocess.run(
        [sys.executable, "-m", "attnflow", *words], cwd=folder, capture_output=True, encoding="utf-8", check=False,
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "PATH": "/nonexistent", **environment},
    )  # fmt: skip


def test_a_device_that_is_not_there_is_refused_before_the_run(folder):
    done = run_command(folder, ["verify"], JAX_PLATFORMS="cuda", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert done.stderr.startswith("attnflow: `JAX_PLATFORMS` asks for 'cuda', but JAX finds no such device here.")
    assert "Traceback" not in done.stderr
    assert records(folder) == {}


def test_no_life_runs_silently_on_another_device(monkeypatch):
    def devices(*_):
        raise RuntimeError("Unable to initialize backend 'cuda'")

    density = af.LogDensity(CIRCLE, lambda x: 0.1 * x[0])
    monkeypatch.setattr(jax, "devices", devices)
    for ask in (
        lambda: af.EmpiricalAttention(ATTENTION, CLOUD),
        lambda: af.EmpiricalAttention(ATTENTION, CLOUD, dtype="float32", rtol=1e-4),
        lambda: af.PopulationAttention(ATTENTION, density),
        lambda: af.DriftDiffusion(ATTENTION, density),
    ):
        with pytest.raises(ConfigError, match="no such device"):
            ask()
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="JAX sees no GPU here"):
        af.EmpiricalAttention(ATTENTION, CLOUD, method="gpu")


def test_no_display_latex_home_or_locale_is_needed_nor_a_repository(folder):
    for words in (["verify"], ["plot", "--all", "-o", "figures é"], ["report"]):
        bare = run_command(folder, words, LC_ALL="C", PYTHONCOERCECLOCALE="0", HOME="/nonexistent")
        assert bare.returncode == 0, bare.stderr
        assert "Traceback" not in bare.stderr
    assert sorted(path.suffix for path in folder.glob("figures é/toy/*")) == [".svg"]
    assert "ε" in (folder / "report.html").read_text(encoding="utf-8")


def forbids_pickles(node):
    """Whether a call says `allow_pickle=False`: np.load(...), or partial(np.load, ...)."""
    return isinstance(node, ast.Call) and any(
        word.arg == "allow_pickle" and isinstance(word.value, ast.Constant) and word.value.value is False
        for word in node.keywords
    )


def test_nothing_that_can_run_code_or_hold_objects_is_ever_loaded():
    loaders = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
    for path in [*(ROOT / "attnflow").rglob("*.py"), *(ROOT / "studies").rglob("*.py")]:
        nodes = [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
        safe = {id(part) for call in nodes if forbids_pickles(call) for part in (call.func, *call.args)}
        for node in nodes:
            if isinstance(node, ast.Import):
                assert not loaders & {alias.name.split(".")[0] for alias in node.names}, path
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in loaders, path
            elif isinstance(node, ast.Attribute) and id(node) not in safe:  # np.load and np.save may pickle
                is_numpy = isinstance(node.value, ast.Name) and node.value.id == "np"
                assert not (is_numpy and node.attr in ("load", "save", "savez", "savez_compressed")), path
