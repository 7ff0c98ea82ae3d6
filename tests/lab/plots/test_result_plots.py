"""Results drawn by their own `plot`: the data is in the axes, whether these are given or new, and refusals."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

import attnflow as af
from attnflow import _optional
from attnflow.errors import ConfigError, DataError
from attnflow.lab.plots.style import LOOK

RNG = np.random.default_rng(5)
ANGLES = RNG.uniform(0, 2 * np.pi, 50)
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
SPACE = RNG.normal(size=(40, 3))
COUNTS = np.array([100, 200, 400, 800, 1600])


def flow(points, *, times=(0.0, 0.25, 1.0)):
    values = np.exp(-np.array(times))[:, None] * (points[:, 0] + 0.3 * points[:, -1] ** 2)
    return af.Trajectory(times=list(times), points=points, values=values)


def axes(projection=None):
    return Figure().add_subplot(projection=projection)


def curves(ax):
    return [np.stack(line.get_data()) for line in ax.lines]


def test_on_the_circle_all_times_are_curves_over_the_angle_closed_beyond_its_ends():
    drawn = flow(CIRCLE)
    ax = drawn.plot()
    order = np.argsort(ANGLES)
    for (angles, values), expected in zip(curves(ax), drawn.values, strict=True):
        np.testing.assert_allclose(angles[1:-1], ANGLES[order], rtol=0, atol=1e-12)
        np.testing.assert_array_equal(values[1:-1], expected[order])
        assert angles[0] < 0 < 2 * np.pi < angles[-1]
        np.testing.assert_array_equal(values[[0, -1]], expected[order[[-1, 0]]])
    assert [text.get_text() for text in ax.get_legend().texts] == ["$t = 0$", "$t = 0.25$", "$t = 1$"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"angle $\theta$", r"$u(t, \theta)$")


def test_on_a_line_the_chosen_times_are_curves_over_the_coordinate():
    drawn, given = flow(SPACE[:, :1]), axes()
    assert drawn.plot(given, times=[1.0, 0.25]) is given
    order = np.argsort(SPACE[:, 0])
    for (at, values), row in zip(curves(given), (2, 1), strict=True):
        np.testing.assert_array_equal(at, SPACE[order, 0])
        np.testing.assert_array_equal(values, drawn.values[row, order])


def test_many_times_are_told_by_a_bar_of_colours():
    ax = flow(CIRCLE, times=np.linspace(0, 3, 12)).plot()
    assert len(ax.lines) == 12
    assert ax.get_legend() is None
    assert [other.get_ylabel() for other in ax.figure.axes if other is not ax] == ["time $t$"]


@pytest.mark.parametrize(
    ("points", "shown", "labels"),
    [
        (SPACE[:, :2], SPACE[:, :2], ("$x_1$", "$x_2$")),
        (
            np.hstack([CIRCLE, CIRCLE[::-1]]),
            np.stack([ANGLES, ANGLES[::-1]], 1),
            [rf"angle $\theta_{k}$" for k in (1, 2)],
        ),
    ],
    ids=["plane", "torus"],
)
@pytest.mark.parametrize(("times", "row"), [(None, 2), (0.25, 1)])
def test_in_a_plane_points_are_coloured_at_one_time_the_last_unless_given(points, shown, labels, times, row):
    drawn = flow(points)
    ax = drawn.plot(times=times)
    (cloud,) = ax.collections
    np.testing.assert_allclose(cloud.get_offsets(), shown, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(cloud.get_array(), drawn.values[row])
    assert (ax.get_xlabel(), ax.get_ylabel()) == tuple(labels)
    assert ax.get_title() == f"$t = {drawn.times[row]:.3g}$"


def test_in_space_points_are_coloured_and_those_beyond_the_middle_are_faint():
    drawn, given = flow(SPACE), axes("3d")
    ax = drawn.plot(given, times=0.0)
    (cloud,) = ax.collections
    np.testing.assert_array_equal(np.stack(cloud._offsets3d, axis=1), SPACE)
    np.testing.assert_array_equal(cloud.get_array(), drawn.values[0])
    towards = [np.sqrt(3) / 4, -0.75, 0.5]  # the eye, at elevation 30 and azimuth -60
    seen = (SPACE - SPACE.mean(axis=0)) @ towards > 0
    np.testing.assert_array_equal(np.asarray(cloud.get_alpha()) == 1, seen)


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda: flow(CIRCLE).plot(times=0.3), ConfigError, r"`times` must be among .* got 0.3. The nearest is 0.25"),
        (lambda: flow(SPACE).plot(times=[0.0, 1.0]), ConfigError, "`times` must be one time .* got 2"),
        (lambda: flow(SPACE).plot(axes()), ConfigError, r"`ax` must have 3 dimensions .* projection=\"3d\""),
        (lambda: flow(CIRCLE).plot(axes("3d")), ConfigError, "`ax` must have 2 dimensions"),
        (lambda: flow(CIRCLE).plot(Figure()), ConfigError, "`ax` must be axes of matplotlib, got Figure"),
        (lambda: flow(np.ones((3, 4))).plot(), DataError, r"must be in R, R\^2 or R\^3, .* got points \(3, 4\)"),
        (
            lambda: af.Trajectory(times=[0.0], points=CIRCLE, values=np.ones((1, 50, 2))).plot(),
            DataError,
            r"`values` must be scalar to be drawn, got shape \(1, 50, 2\)",
        ),
    ],
)
def test_trajectories_that_cannot_be_drawn_are_refused(draw, error, words):
    with pytest.raises(error, match=words):
        draw()


@pytest.mark.parametrize(
    ("steps", "labels"),
    [
        (RNG.normal(size=(6, 9, 1)), ("time $t$", "$x$")),
        (RNG.normal(size=(6, 9, 2)), ("$x_1$", "$x_2$")),
    ],
    ids=["line", "plane"],
)
def test_tokens_are_drawn_by_their_paths_with_dots_where_they_end(steps, labels):
    times, points = np.array([0.0, 2.0, 1.0, 3.0, 4.0, 5.0]), np.cumsum(steps, axis=0)
    ax = af.TokenTrajectory(times=times, points=points).plot()
    order = np.argsort(times)
    with_time = np.concatenate([np.broadcast_to(times[:, None, None], (6, 9, 1)), points], axis=2)
    shown = (with_time if steps.shape[2] == 1 else points)[order]
    np.testing.assert_array_equal(np.moveaxis(curves(ax), 2, 0), shown)
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), shown[-1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == labels


def test_the_path_of_a_token_breaks_where_its_angle_comes_round():
    angles = np.array([[6.0, 1.0], [6.2, 1.2], [0.1, 1.4], [0.3, 1.6]])
    ax = af.TokenTrajectory(times=[0, 1, 2, 3], points=np.stack([np.cos(angles), np.sin(angles)], axis=-1)).plot()
    (over_time, broken), (_, whole) = curves(ax)
    np.testing.assert_allclose(broken, [6.0, 6.2, np.nan, 0.1, 0.3], rtol=1e-12)
    np.testing.assert_array_equal(np.isnan(over_time), np.isnan(broken))
    np.testing.assert_allclose(whole, angles[:, 1], rtol=1e-12)


@pytest.mark.parametrize(("points", "projection"), [(SPACE, "3d"), (np.hstack([CIRCLE, CIRCLE[::-1]]), None)])
def test_tokens_in_space_and_on_the_torus_are_drawn_on_given_axes(points, projection):
    given = axes(projection)
    assert af.TokenTrajectory(times=[0.0], points=points[None]).plot(given) is given
    assert len(given.collections[0].get_offsets()) == len(points)


def spectrum():
    return af.Spectrum(
        np.array([1e-14, 0.5, 2.0]), lambda x: np.stack([0 * x[:, 0] + 1, x[:, 0], x[:, 0] ** 2], 1), 1e-9
    )


def test_eigenvalues_are_drawn_over_their_number_with_their_error():
    ax = spectrum().plot()
    np.testing.assert_array_equal(curves(ax)[0], [[0, 1, 2], [1e-14, 0.5, 2.0]])
    assert ax.get_title() == "error at most 10⁻⁹"


def test_eigenfunctions_are_curves_on_the_circle_and_one_of_them_colours_points_elsewhere():
    found = spectrum()
    ax = found.plot_functions(CIRCLE)
    np.testing.assert_array_equal(curves(ax)[2][1][1:-1], CIRCLE[np.argsort(ANGLES), 0] ** 2)
    assert [text.get_text() for text in ax.get_legend().texts][:2] == [r"$\lambda_{0} = 0$", r"$\lambda_{1} = 0.5$"]
    assert len(found.plot_functions(CIRCLE, which=1).lines) == 1
    for which, power in ((None, 1), (2, 2)):
        (cloud,) = found.plot_functions(SPACE[:, :2], which=which).collections
        np.testing.assert_array_equal(cloud.get_array(), SPACE[:, 0] ** power)
    with pytest.raises(ConfigError, match=r"`which` must be below 3, .* got 3"):
        found.plot_functions(CIRCLE, which=3)


@pytest.mark.parametrize("seeds", [None, 30])
def test_a_fitted_rate_is_drawn_as_it_was_fitted(seeds):
    noise = np.ones(len(COUNTS)) if seeds is None else np.exp(0.1 * RNG.normal(size=(seeds, len(COUNTS)))).T
    errors = (COUNTS**-0.5 * (1 + 30 / COUNTS) * noise.T).T
    fit = af.fit_rate(COUNTS, errors, floor=1.2 * np.sqrt(np.mean(errors[-1] ** 2)) * np.array([0, 0, 0, 0, 1]))
    given = axes()
    assert fit.plot(given, predicted=-0.5) is given
    rms = np.abs(errors) if seeds is None else np.sqrt(np.mean(errors**2, axis=1))
    by_label = dict(zip(*given.get_legend_handles_labels()[::-1], strict=True))
    measured = "measured" if seeds is None else "30 seeds, 95 % interval"
    np.testing.assert_allclose(by_label[measured].lines[0].get_ydata(), rms[:-1], rtol=1e-12)
    np.testing.assert_allclose(by_label["dropped: under the floor"].lines[0].get_ydata(), rms[-1:], rtol=1e-12)
    (fitted,) = (handle for label, handle in by_label.items() if label.startswith("corrected fit: slope"))
    np.testing.assert_array_equal(fitted.get_ydata(), fit.curve(fitted.get_xdata()))
    sizes, line = by_label["predicted slope −0.5"].get_data()
    assert np.diff(np.log(line)) / np.diff(np.log(sizes)) == pytest.approx(-0.5, abs=1e-12)
    (band,) = (each.get_paths()[0].vertices for each in given.collections if each.get_alpha() == 0.18)
    ends = np.log(band[np.isclose(band[:, 0], 100)][:, 1] / fit.curve(800)) / np.log(100 / 800)
    np.testing.assert_allclose([ends.min(), ends.max()], [fit.low, fit.high], rtol=0, atol=1e-9)


def test_a_fitted_limit_is_drawn_with_its_interval_and_the_predicted_one():
    fit = af.fit_limit(COUNTS, 1.5 + 20 / COUNTS[:, None] + 0.1 * RNG.normal(size=(len(COUNTS), 20)), statistic="rms")
    ax = fit.plot(predicted=1.4)
    by_label = dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    np.testing.assert_allclose(
        by_label["20 seeds, 95 % interval"].lines[0].get_ydata(), np.sqrt(np.mean(fit.values**2, axis=1)), rtol=1e-12
    )
    np.testing.assert_array_equal(
        by_label["corrected fit"].get_ydata(), fit.curve(by_label["corrected fit"].get_xdata())
    )
    assert by_label["predicted 1.4"].get_ydata()[0] == 1.4
    (band,) = ax.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((fit.low, fit.high))


def test_two_fits_share_axes_and_no_style_is_left_behind():
    before, ax = {name: mpl.rcParams[name] for name in LOOK}, axes()
    for power in (-0.5, -2.0):
        af.fit_rate(COUNTS, COUNTS**power).plot(ax)
    assert af.fit_rate(COUNTS, 3.0 * COUNTS**-1.0).plot() is not ax
    low, high = ax.get_ylim()
    assert low < 1600**-2 < 100**-0.5 < high
    assert {name: mpl.rcParams[name] for name in LOOK} == before
    with pytest.raises(ConfigError, match="`predicted` must be a finite number"):
        af.fit_rate(COUNTS, 1 / COUNTS).plot(predicted="-1/2")


def ellipses(ax):
    return np.stack([np.stack(line.get_data(), axis=1) for line in ax.lines])


def test_an_expansion_is_drawn_by_its_metric_and_drift():
    grid = np.stack(np.meshgrid([-1.0, 0.0, 1.0], [-1.0, 0.0, 1.0]), axis=-1).reshape(-1, 2)
    limit = af.LaplaceExpansion(
        af.Attention(af.VariableBandwidth(lambda x: 1 + 0.2 * x[0] ** 2), bandwidth=0.1), af.Gaussian([0, 0], np.eye(2))
    )
    ax, metrics = limit.plot(grid), limit.metric(grid)
    ways = ellipses(ax) - grid[:, None]
    lengths = np.einsum("qki,qij,qkj->qk", ways, metrics, ways)
    np.testing.assert_allclose(lengths, lengths[0, 0], rtol=1e-9)
    assert np.abs(ways).max() == pytest.approx(0.45, rel=1e-9)  # of the distance of neighbours, which is one
    (arrows,) = ax.collections
    drift = limit.drift(grid)
    longest = np.linalg.norm(drift, axis=1).max()
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), 0.9 / longest * drift, rtol=1e-9, atol=1e-12)
    assert f"{longest:.2g}" in ax.get_title()


def test_where_there_is_no_drift_no_rounding_is_drawn_as_arrows():
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Uniform(af.Circle()))
    ax = limit.plot(CIRCLE)
    assert len(ax.lines) == len(CIRCLE)
    assert len(ax.collections) == 0
    assert "$Z = 0$" in ax.get_title()


def test_in_space_the_far_side_is_faint_and_without_arrows():
    sphere = af.Sphere(2)
    density = af.VonMisesFisher(sphere, mean_direction=[0, 0, 1], concentration=1.0)
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
    at = sphere.sample_uniform(30, RNG)
    given = axes("3d")
    assert limit.plot(at, given) is given
    far = np.array([line.get_alpha() < 1 for line in given.lines])
    assert 0 < far.sum() < 30
    (arrows,) = given.collections
    assert len(arrows._segments3d) == 3 * (~far).sum()  # a shaft and two sides of a head each


@pytest.mark.parametrize(
    ("at", "words"),
    [([[1.0, 0.0]], "at least two points"), ([[1.0, 0.0]] * 3, "at least two points")],
)
def test_expansions_that_cannot_be_drawn_are_refused(at, words):
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Uniform(af.Circle()))
    with pytest.raises(DataError, match=words):
        limit.plot(at)


def test_an_expansion_whose_minimiser_is_elsewhere_has_no_drift_to_draw():
    jumping = af.CustomPseudoMetric(lambda x, y: (y[0] + x[0]) ** 2 + (y[1] + x[1]) ** 2)
    limit = af.LaplaceExpansion(af.Attention(jumping, bandwidth=0.1), af.Uniform(af.Circle()))
    with pytest.raises(ConfigError, match="jumps by 2"):
        limit.plot(CIRCLE[:4])


def test_without_matplotlib_a_plot_says_what_it_needs(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_optional.importlib, "import_module", missing)
    with pytest.raises(ConfigError, match="figures need matplotlib"):
        flow(CIRCLE).plot()
