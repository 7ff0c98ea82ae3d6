"""Every method, on points of every kind: the error that is delivered stays below the one that is declared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from witnesses import direct

import attnflow as af
from attnflow.sums.kernel_sums.cutoff import CutoffSum
from attnflow.sums.kernel_sums.dense import DenseSum
from attnflow.sums.kernel_sums.fourier import FourierSum
from attnflow.sums.planning import planner
from attnflow.sums.planning.planner import PlannedSum

KINDS = ("uniform", "peaked", "duplicates", "shifted")
FLOATS = {"float64": np.dtype(np.float64), "float32": np.dtype(np.float32)}


def cloud(kind, dim, n, rng):
    points = rng.uniform(-1, 1, (n, dim)) * (1 + 0.3 * np.arange(dim))  # no symmetry
    if kind == "peaked":  # half of the points on 1e-6 of the volume: densities in a ratio of 1e6
        points[: n // 2] *= 10 ** (-6 / dim)
    if kind == "duplicates":
        points[n // 2 :] = points[: n - n // 2]
    return points + 1e3 if kind == "shifted" else points


def kernel_sum(method, points, eps, *, rtol, dtype="float64", log_weights=None):
    given = dict(
        points=points, dtype=FLOATS[dtype], log_weights=np.zeros(len(points)) if log_weights is None else log_weights
    )
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps)
    kinds = {"cutoff": CutoffSum, "fourier": FourierSum, "planned": PlannedSum}
    return DenseSum(attention, **given) if method == "dense" else kinds[method](attention, rtol=rtol, **given)


def check(sums, points, values, eps, *, queries=None, log_weights=None, exclude_self=False):
    """Averages of rough values, and the row sums themselves, against direct differences in NumPy."""
    logits = direct.distance_logits(points if queries is None else queries, points, bandwidth=eps)
    logits = logits if log_weights is None else logits + log_weights
    logits = direct.without_self(logits) if exclude_self else logits
    with np.errstate(invalid="ignore"):  # 0/0 in rows that the method says it cannot sum
        error = np.abs(sums.weighted / sums.total[:, None] - direct.layer(logits, values)).max(axis=1, initial=0)
    # NumPy's own rounding of a logit l is about 1e-16 |l|.
    rounding = 1e-14 + 4e-16 * np.abs(logits.max(axis=1))
    sure = np.isfinite(sums.error)
    assert (error[sure] <= (sums.error + rounding)[sure] * np.abs(values).max(initial=0)).all()
    normaliser = sums.shift + np.log(np.maximum(sums.total, 1e-300))
    # A total is off by half of what its average may be, and its logarithm by a little more.
    assert (np.abs(normaliser - direct.log_normalizer(logits))[sure] <= (1.01 * sums.error + rounding)[sure]).all()
    return sure


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dim", [1, 2, 3, 4, 6, 16])
def test_every_method_keeps_its_promise(dim, kind):
    rng = np.random.default_rng([dim, KINDS.index(kind)])
    points, queries = cloud(kind, dim, 500, rng), cloud(kind, dim, 60, rng)
    values = rng.choice([-1.0, 1.0], (500, dim)) * 10.0 ** rng.uniform(-3, 3, dim)
    for eps in (1.0, 1e-2, 1e-4):
        for method in ["dense", "planned", "cutoff"] + ["fourier"] * (dim == 1 or (dim <= 3 and eps >= 1e-2)):
            for rtol, channels in ((1e-5, values), (1e-10, values[:, :1])):
                given = kernel_sum(method, points, eps, rtol=rtol)
                assert check(given(channels), points, channels, eps).all() or method == "fourier"
                sure = check(given(channels, queries), points, channels, eps, queries=queries)
                assert sure.all() or method in ("fourier", "cutoff")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["dense", "cutoff", "fourier", "planned"])
@pytest.mark.parametrize("dim", [1, 3])
def test_in_single_precision_too(dim, method, kind):
    rng = np.random.default_rng(dim)
    # Float32 rounds coordinates of 1e3 to 6e-5, far more than the declared error allows if they were taken as given.
    points = cloud(kind, dim, 500, rng)
    values = rng.choice([-1.0, 1.0], (500, 2))
    for eps in (1.0, 0.125, 2.0**-7):
        sums = kernel_sum(method, points, eps, rtol=1e-4, dtype="float32")(values)
        assert check(sums, points, values, eps).all()
        if method == "planned":
            assert (sums.error <= 1e-4).all()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_random_cases(data):
    dim = data.draw(st.sampled_from([1, 2, 3, 4, 6, 16]))
    method = data.draw(st.sampled_from(["planned", "cutoff"] + ["fourier"] * (dim <= 3)))
    eps = 10 ** data.draw(st.floats(-4 if dim == 1 else -2, 0))
    rtol = 10 ** data.draw(st.floats(-12, -2))
    n = data.draw(st.integers(2, 300))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    points = cloud(data.draw(st.sampled_from(KINDS)), dim, n, rng)
    log_weights = rng.normal(0, data.draw(st.sampled_from([0.0, 3.0])), n)
    values = rng.choice([-1.0, 1.0], (n, data.draw(st.integers(0, 4))))
    exclude_self = data.draw(st.booleans())
    sums = kernel_sum(method, points, eps, rtol=rtol, log_weights=log_weights)(values, exclude_self=exclude_self)
    check(sums, points, values, eps, log_weights=log_weights, exclude_self=exclude_self)
    if method == "planned":  # a logit of 700 is itself rounded at 1e-12
        assert (sums.error <= rtol + 2e-15 * np.abs(sums.shift)).all()


def test_the_check_could_fail():
    points = cloud("uniform", 2, 300, np.random.default_rng(0))
    values = np.random.default_rng(1).choice([-1.0, 1.0], (300, 1))
    sums = kernel_sum("dense", points, 0.1, rtol=1e-8)(values)
    with pytest.raises(AssertionError):
        check(sums._replace(weighted=sums.weighted * (1 + 1e-6)), points, values, 0.1)


# --- declared errors that were ten times too small would be noticed


@pytest.mark.parametrize("dim", [1, 2])
def test_the_fast_gauss_transform_declares_a_multiple_of_what_its_worst_row_is_off_by(dim):
    points = cloud("uniform", dim, 1500, np.random.default_rng(dim))
    values = np.random.default_rng(1).choice([-1.0, 1.0], (1500, 1))
    sums = kernel_sum("fourier", points, 1e-2, rtol=1e-6)(values)
    kernel = np.exp(direct.distance_logits(points, points, bandwidth=1e-2))
    off = np.abs(kernel @ np.column_stack([np.ones(1500), values]) - np.column_stack([sums.total, sums.weighted]))
    bound = (sums.total * sums.error / (2 + sums.error)).max()  # error = 2 E / (T - E)
    # Sixteen times the worst of twelve rows; the worst of all is some three times that of twelve.
    assert 3 * off.max() < bound < 100 * off.max()


def test_rounding_of_a_dense_sum_counts_its_additions_and_its_logits():
    points = np.random.default_rng(0).normal(size=(300, 3))
    values = points[:, :1]
    unit = np.finfo(float).eps
    wide = kernel_sum("dense", points, 1e9, rtol=1e-8)(values)
    assert (wide.error >= (64 + 8 + 32) * unit).all()  # additions within lanes, lanes, tiles
    far = kernel_sum("dense", points, 0.5, rtol=1e-8)(values, points[:5] + 100.0)
    logits = direct.distance_logits(points[:5] + 100.0, points, bandwidth=0.5).max(axis=1)
    assert (far.error >= 7 * unit * np.abs(logits)).all()  # three coordinates and four more operations


@pytest.mark.parametrize("held", [False, True])
def test_errors_of_many_layers_add_up(monkeypatch, held):
    class Biased(DenseSum):
        """Off by exactly what it declares, in every layer and always to the same side."""

        def of_rows(self, values, rows):
            sums = super().of_rows(values, rows)
            return sums._replace(weighted=sums.weighted * (1 + 1e-9), error=np.full(len(sums.total), 1e-9))

        def matrix(self, rows):
            sums = super().matrix(rows)
            return sums._replace(weighted=sums.weighted * (1 + 1e-9), error=np.full(len(sums.total), 1e-9))

    monkeypatch.setattr(planner, "DenseSum", Biased)
    monkeypatch.setattr(planner, "HELD_LAYERS", 2 if held else np.inf)
    points = np.random.default_rng(0).normal(size=(20, 2))
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), 0.5), points, rtol=1e-6)
    flow = life.evolve(np.ones(20), times=[50.0])
    assert 0.9 * flow.solver_error < np.abs(flow.values - 1).max() <= 1.001 * flow.solver_error
    with pytest.warns(RuntimeWarning, match="the errors of 2000 layers add up to 2e-06"):
        life.evolve(np.ones(20), times=[1000.0])


@pytest.mark.parametrize("method", ["cutoff", "fourier"])
def test_many_layers_together_keep_the_tolerance_of_one(method):
    points = np.random.default_rng(0).uniform(size=(400, 1))
    values = np.random.default_rng(1).choice([-1.0, 1.0], 400)
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), 1e-2), points, rtol=1e-6, method=method)
    flow = life.evolve(values, times=[3.0])
    expected = direct.evolve(direct.distance_logits(points, points, bandwidth=1e-2), values, layers=300)
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error <= 1e-6


def test_the_error_of_a_trajectory_is_in_the_units_of_f():
    points = np.random.default_rng(0).normal(size=(20, 2))
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), 0.5), points)
    plain, large = (life.evolve(scale * points[:, 0], times=[1.0]).solver_error for scale in (1.0, 1000.0))
    assert plain > 0
    assert large == pytest.approx(1000 * plain, rel=1e-12)
