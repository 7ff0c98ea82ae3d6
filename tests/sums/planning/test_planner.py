"""The planned sum: it picks a method, keeps its promise whatever the points, and says what it cannot do."""

import dataclasses
import json

import jax
import numpy as np
import psutil
import pytest
from witnesses import direct

import attnflow as af
from attnflow.errors import ConfigError, DegenerateKernelError, ResourceError
from attnflow.sums.kernel_sums.cutoff import CutoffSum
from attnflow.sums.kernel_sums.dense import DenseSum
from attnflow.sums.kernel_sums.fourier import FourierSum
from attnflow.sums.planning import costs, machine, planner
from attnflow.sums.planning.machine import Calibration, Machine
from attnflow.sums.planning.planner import PlannedSum
from attnflow.sums.planning.samples import Sample

FLOAT64, FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)


def sphere(n, seed=0):
    return af.Sphere(2).sample_uniform(n, np.random.default_rng(seed))


def planned(points, eps, *, method="auto", rtol=1e-8, dtype=FLOAT64, cost=None, log_weights=None):
    return PlannedSum(
        af.Attention(cost or af.SquaredDistance(), bandwidth=eps), points=points, dtype=dtype, rtol=rtol,
        method=method, log_weights=np.zeros(len(points)) if log_weights is None else log_weights,
    )  # fmt: skip


def chosen(n, eps, *, dim=3, rtol=1e-6, **options):
    """The choice for n points, without making them: the sample of distances needs only some."""
    points = np.resize(np.random.default_rng(0).standard_normal((min(n, 4096), dim)), (n, dim))
    return planned(points / np.linalg.norm(points, axis=1)[:, None], eps, rtol=rtol, **options).method


@pytest.fixture(autouse=True)
def constants(monkeypatch):
    """The same machine everywhere."""
    monkeypatch.setattr(planner, "this_machine", lambda: Machine(cores=2))


def test_few_points_are_summed_over_all_pairs():
    assert chosen(1000, 0.1) == "dense"


def test_at_a_fixed_bandwidth_many_points_are_summed_by_fourier():
    assert chosen(200_000, 0.05) == "fourier"


def test_where_fourier_would_need_too_fine_a_grid_neighbours_are_summed():
    assert chosen(200_000, 1e-5) == "cutoff"


def test_in_many_dimensions_fourier_is_not_considered():
    assert "fourier" not in planned(sphere(4096), 0.05).plan(np.ones((4096, 3)), columns=2, methods=("dense",)).costs
    assert chosen(100_000, 0.02, dim=5) in ("dense", "cutoff")


def test_a_cost_of_which_nothing_is_known_is_summed_over_all_pairs():
    assert chosen(20_000, 0.05, cost=af.CustomPseudoMetric(lambda x, y: ((x - y) ** 2).sum())) == "dense"


MATRIX = np.array([[1.0, 0.2, 0.0], [0.0, 0.8, 0.1]])


@pytest.mark.parametrize(
    ("cost", "method"),
    [
        (af.DotProduct(), "fourier"),  # on the sphere all keys have one weight
        (af.Mahalanobis(MATRIX), "fourier"),
        (af.QueryKeyDistance(MATRIX, -MATRIX), "fourier"),
        (2 * af.SquaredDistance() + af.Mahalanobis(MATRIX), "cutoff"),  # five coordinates
        (-1 * af.SquaredDistance(), "dense"),
    ],
    ids=repr,
)
def test_a_squared_distance_of_mapped_points_is_summed_as_one(cost, method):
    assert chosen(60_000, 0.02, cost=cost) == method


def test_a_few_queries_among_many_points_are_summed_directly():
    kernel_sum = planned(sphere(20_000), 0.05)
    assert kernel_sum.plan(sphere(10, seed=1), columns=2).method == "dense"


def test_many_layers_on_the_same_points_are_worth_a_search():
    kernel_sum = planned(sphere(20_000), 3e-3)
    once = kernel_sum.plan(kernel_sum.points, columns=2).costs["cutoff"]
    with kernel_sum.expecting(1000):
        plan = kernel_sum.plan(kernel_sum.points, columns=2)
    assert plan.costs[plan.method].next == min(cost.next for cost in plan.costs.values())
    assert once.next < once.first


def test_one_layer_after_none_is_planned_as_one_layer():
    points = sphere(60_000)
    attention = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.01), points)
    before = attention.method
    attention.evolve(points[:, 0], times=0)
    assert attention.method == before == "fourier"


def test_a_plan_asks_only_keys_with_mass():
    points, weights = sphere(20_000), np.zeros(20_000)
    weights[:3] = 1, 2, 3  # a sample of keys would hardly hold one of them
    layer = af.EmpiricalAttention(
        af.Attention(af.SquaredDistance(), bandwidth=0.05), af.DiscreteMeasure(points, weights)
    )
    massive = weights > 0
    logits = direct.distance_logits(points, points[massive], bandwidth=0.05) + np.log(weights[massive])
    # 1e-8 of the largest value is declared.
    np.testing.assert_allclose(layer.layer(points), direct.layer(logits, points[massive]), rtol=0, atol=1e-8)


def test_rows_kept_with_themselves_are_not_those_without():
    rng = np.random.default_rng(2)
    # Pairs apart from the rest: the same rows are too thin for the transform, with themselves and without.
    middles = rng.uniform(3, 6, (25, 2)) * rng.choice([-1, 1], (25, 2))
    pairs = middles.repeat(2, axis=0) + 0.02 * rng.standard_normal((50, 2))
    points, values = np.vstack([0.1 * rng.standard_normal((2950, 2)), pairs]), rng.choice([-1.0, 1.0], (3000, 1))
    kernel_sum = planned(points, 0.02, method="fourier", rtol=1e-11)
    logits = direct.distance_logits(points, points, bandwidth=0.02)
    for exclude_self in (False, True):
        sums = kernel_sum(values, exclude_self=exclude_self)
        if exclude_self:
            np.fill_diagonal(logits, -np.inf)
        error = np.abs(sums.weighted / sums.total[:, None] - direct.layer(logits, values))[:, 0]
        assert (error <= sums.error + 1e-14).all()  # the direct sum's own rounding
    with pytest.raises(ConfigError, match="`exclude_self` has no meaning at given `queries`"):
        kernel_sum(values, points[:3], exclude_self=True)


def heavy_and_thin():
    """A heavy cluster, a halo thinner by 1e6, and one point far from everything."""
    rng = np.random.default_rng(2)
    return np.vstack([0.1 * rng.standard_normal((2500, 2)), 3 * rng.standard_normal((500, 2)), [[80.0, 0.0]]])


@pytest.mark.parametrize("method", ["auto", "fourier", "dense"])
@pytest.mark.parametrize("rtol", [1e-4, 1e-10])
def test_rows_that_one_method_cannot_sum_are_summed_by_another(method, rtol):
    points, eps = heavy_and_thin(), 0.02
    values = np.random.default_rng(1).choice([-1.0, 1.0], (len(points), 2))
    sums = planned(points, eps, method=method, rtol=rtol)(values)
    expected = direct.layer(direct.distance_logits(points, points, bandwidth=eps), values)
    assert (sums.error <= rtol).all()
    # The direct sum itself rounds at 1e-14.
    assert (np.abs(sums.weighted / sums.total[:, None] - expected).max(axis=1) <= sums.error + 1e-14).all()


def test_without_the_cascade_the_thin_rows_of_fourier_would_be_wrong(monkeypatch):
    points, eps, rtol = heavy_and_thin(), 0.02, 1e-10
    values = np.random.default_rng(1).choice([-1.0, 1.0], (len(points), 1))
    kernel_sum = FourierSum(
        af.Attention(af.SquaredDistance(), bandwidth=eps), points=points, log_weights=np.zeros(len(points)),
        dtype=FLOAT64, rtol=rtol,
    )  # fmt: skip
    assert (kernel_sum(values).error > rtol).any()


def test_a_row_without_a_neighbour_is_named_with_a_bandwidth_that_works():
    kernel_sum = planned(heavy_and_thin(), 1e-3, method="cutoff")
    values = np.ones((3001, 1))
    queries = np.array([[0.0, 0.0], [90.0, 0.0]])  # ten away from the nearest point
    with pytest.raises(
        DegenerateKernelError, match=r"row 1, query \[90.*distance of 10,.*smallest workable.*auto"
    ) as caught:
        kernel_sum(values, queries)
    workable = float(str(caught.value).split("bandwidth is ")[1].split(";")[0])
    enough = planned(heavy_and_thin(), workable, method="cutoff")
    assert np.isfinite(enough(values, queries).error).all()
    assert planned(heavy_and_thin(), 1e-3)(values, queries).total[1] > 0  # "auto" never refuses
    with pytest.raises(DegenerateKernelError, match=r"row 1, .* 1 more .*distance of 900,"):  # the worst of two
        planned(heavy_and_thin(), 1e-3, method="cutoff")(values, np.array([[90.0, 0.0], [980.0, 0.0]]))


def test_single_precision_rows_with_large_logits_are_summed_in_double():
    # 40 sqrt(eps) apart, logits of 800 lose eight digits of the seven that float32 has.
    points = np.vstack([np.random.default_rng(0).standard_normal((300, 2)), [[41.0, 0.0]]])
    values = np.sin(points[:, :1])
    sums = planned(points, 1.0, dtype=FLOAT32, rtol=1e-4)(values, np.array([[41.0, 30.0], [0.0, 0.0]]))
    logits = direct.distance_logits(np.array([[41.0, 30.0], [0.0, 0.0]]), points, bandwidth=1.0)
    error = np.abs(sums.weighted / sums.total[:, None] - direct.layer(logits, values))[:, 0]
    assert (sums.error <= 1e-4).all()
    assert error[0] < 1e-12  # this row in double precision
    assert 1e-12 < error[1] <= sums.error[1]


def test_more_memory_than_is_free_is_refused_with_a_number_of_channels_that_fits(monkeypatch):
    kernel_sum = planned(sphere(5000), 0.1, method="dense")
    needed = kernel_sum.plan(kernel_sum.points, columns=101).costs["dense"].memory

    class Half:
        available = needed / 2

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Half)
    monkeypatch.setattr(DenseSum, "of_rows", None)  # refused before any work
    kernel_sum._own_plans.clear()
    with pytest.raises(
        ResourceError, match=r"GB of memory.*GB are free. Pass at most (\d+) of the 100 channels"
    ) as caught:
        kernel_sum(np.ones((5000, 100)))
    fits = int(str(caught.value).split("at most ")[1].split(" ")[0])
    assert 1 <= fits < 100
    assert kernel_sum.plan(kernel_sum.points, columns=1 + fits).method == "dense"


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")])
def test_when_memory_runs_out_rows_are_summed_in_parts_three_times(monkeypatch, error):
    points = sphere(400)
    values = points[:, :2]
    expected = planned(points, 0.1)(values)
    whole, asked = DenseSum.of_rows, []

    def only_small(self, values, rows):
        asked.append(len(rows.points))
        if len(rows.points) > 60:
            raise error
        return whole(self, values, rows)

    monkeypatch.setattr(DenseSum, "of_rows", only_small)
    sums = planned(points, 0.1)(values)
    np.testing.assert_array_equal(sums.weighted, expected.weighted)
    assert asked[:4] == [400, 200, 100, 50]
    monkeypatch.setattr(DenseSum, "of_rows", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(ResourceError, match=r"memory ran out in a dense sum of 400 rows.*fewer channels"):
        planned(points, 0.1)(values)


def test_another_error_of_the_compiler_is_not_taken_for_memory(monkeypatch):
    def broken(self, values, rows):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(DenseSum, "of_rows", broken)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        planned(sphere(10), 0.1)(np.ones((10, 1)))


def test_what_a_named_method_cannot_do_is_refused_at_once():
    for method in ("cutoff", "fourier"):
        with pytest.raises(ConfigError, match="or one that is such of mapped points, got Scaled"):
            planned(sphere(10), 0.1, method=method, cost=-1 * af.DotProduct())
        with pytest.raises(ConfigError, match=f'"{method}" takes DotProduct for a squared distance with key weights'):
            planned(np.vstack([sphere(10), 20 * sphere(10)]), 0.1, method=method, cost=af.DotProduct())


def test_more_pairs_than_a_32_bit_number_counts():
    # 70 000^2 > 2^31: on the circle, where both fast methods apply, and against a direct sum of a few rows.
    points = np.random.default_rng(0).standard_normal((70_000, 2))
    points /= np.linalg.norm(points, axis=1)[:, None]
    values = np.random.default_rng(1).choice([-1.0, 1.0], (70_000, 1))
    rows = np.array([0, 35_000, 69_999])
    expected = direct.layer(direct.distance_logits(points[rows], points, bandwidth=1e-4), values)
    for method in ("cutoff", "fourier"):
        sums = planned(points, 1e-4, method=method)(values)
        error = np.abs(sums.weighted / sums.total[:, None])[rows] - np.abs(expected)
        assert (np.abs(error) <= 1e-8).all()
    dense = planned(points, 1e-4, method="dense")(values, points[rows])
    np.testing.assert_allclose(dense.weighted / dense.total[:, None], expected, rtol=0, atol=1e-12)


def test_the_lives_say_how_they_sum_and_what_they_promise():
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
    points = sphere(6000)
    values = np.sin(3 * points[:, 0])
    fast, exact = (af.EmpiricalAttention(attention, points, method=m, rtol=1e-6) for m in ("fourier", "dense"))
    assert (fast.method, exact.method) == ("fourier", "dense")
    a, b = (life.evolve(values, times=0.2) for life in (fast, exact))
    assert np.abs(a.values - b.values).max() <= a.solver_error + b.solver_error
    assert b.solver_error < 1e-12 < a.solver_error <= 4 * 1e-6


def test_the_constants_of_the_machine_are_measured_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    measured = []

    def calibrate():
        measured.append(1)
        return Calibration(Machine(pair64=0.5 + len(measured)), steady=True)

    monkeypatch.setattr(machine, "calibrate", calibrate)
    fresh = machine.this_machine.__wrapped__
    assert fresh() == fresh() == Machine(pair64=1.5)
    file = machine.cache_file()
    stored = json.loads(file.read_text())
    file.write_text(json.dumps({**stored, "signature": "another version"}))
    assert fresh() == Machine(pair64=2.5)
    file.write_text("not json")
    assert fresh() == Machine(pair64=3.5)


def test_a_cache_folder_that_cannot_be_written_is_no_fault(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(machine.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "file" / name))
    monkeypatch.setattr(machine, "calibrate", lambda: Calibration(Machine(pair64=7.0), steady=True))
    assert machine.this_machine.__wrapped__().pair64 == 7.0


def test_constants_on_which_readings_disagree_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    monkeypatch.setattr(machine, "calibrate", lambda: Calibration(Machine(pair64=7.0), steady=False))
    assert machine.this_machine.__wrapped__().pair64 == 7.0
    assert not machine.cache_file().exists()


def test_readings_agree_where_the_two_shortest_do():
    times = iter([0, 5, 10, 13.2, 20, 23, 30, 39, 40, 45, 50, 53])  # starts and ends of runs of 5, 3.2, 3; 9, 5 and 3

    def clock():
        return float(next(times))

    steady = machine._Clock()
    assert steady.seconds(list, of=clock) == 3.0
    assert steady.steady
    assert steady.seconds(list, of=clock) == 3.0
    assert not steady.steady


def test_calibration_measures_positive_constants():
    for name, constant in dataclasses.asdict(machine.calibrate().machine).items():
        assert constant > 0, name


def test_the_cost_model_counts_candidates():
    points = sphere(20_000)
    kernel_sum = CutoffSum(
        af.Attention(af.SquaredDistance(), bandwidth=1e-3), points=points, log_weights=np.zeros(20_000),
        dtype=FLOAT64, rtol=1e-6,
    )  # fmt: skip
    kernel_sum(points[:, :1])
    sample = Sample.draw(points, points, np.ones(20_000), bandwidth=1e-3)
    work = costs.Workload(keys=20_000, queries=20_000, dim=3, columns=2, dtype=FLOAT64, own=True, passes=1)
    machine = Machine(pair64=1.0, candidate=1.0, cores=1, row=0.0)
    predicted = (costs.cutoff_cost(work, machine, sample=sample, bandwidth=1e-3, rtol=1e-6).next - 3e-3) * 1e9
    # A ball of the reach and two tiles stands for boxes: within a third of the pairs that are visited.
    assert predicted == pytest.approx(kernel_sum.candidates, rel=0.33)


def test_a_grid_that_fourier_would_refuse_is_not_chosen():
    # Half a minute of neighbour sums is predicted; the grid alone would take 2.8 GB.
    kernel_sum = planned(sphere(5000), 1e-5)
    assert kernel_sum.plan(kernel_sum.points, columns=2, methods=("cutoff", "fourier")).method == "cutoff"
    with pytest.raises(ResourceError, match="fourier"):
        planned(sphere(5000), 1e-5, method="fourier")
