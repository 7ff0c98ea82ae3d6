"""Figures show the numbers of their records, are stamped with them, and touch nothing global."""

from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from attnflow.errors import ConfigError, DataError
from attnflow.judge.claims import Claim
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import judge
from attnflow.lab import plots
from attnflow.lab.plots.drawing import measured_cases
from attnflow.lab.plots.flows import LABEL_DISTANCE, MAXIMUM_DOTS, _spread
from attnflow.lab.store import Record
from attnflow.lab.study import Study, Task

SIZES = 0.4 * 0.5 ** np.arange(9)
RANDOM = np.random.default_rng(3).normal(size=(len(SIZES), 24))


def claim(**changes):
    fields = {
        "id": "toy/error", "source": "RZ", "statement": "errors are of order eps", "kind": "exponent",
        "quantity": "error", "size": "bandwidth", "hypotheses": "none", "predicted": 1.0,
    }  # fmt: skip
    return Claim(**{**fields, **changes})


def errors(noise=0.2):
    return SIZES[:, None] * (1 + SIZES[:, None]) * np.exp(noise * RANDOM)


def levels_of(values, **changes):
    return [Level(size=size, values=row, **changes) for size, row in zip(SIZES, values, strict=True)]


def axes(width=4.0, height=3.0):
    return plots.figure(width=width, height=height).subplots()


def draw(function, a_claim, levels):
    verdict = judge(a_claim, levels)
    return function(axes(), levels, claim=a_claim, verdict=verdict), verdict


def dots(ax):
    """The curves drawn as markers without a line."""
    return [line for line in ax.lines if line.get_linestyle() == "None" and line.get_marker() in ("o", "s")]


def test_a_ladder_shows_the_root_mean_square_of_each_level_and_the_fitted_curve():
    table = errors()
    ax, verdict = draw(plots.ladder, claim(), levels_of(table))
    rms = np.sqrt(np.mean(table**2, axis=1))
    np.testing.assert_allclose(dots(ax)[0].get_ydata(), rms, rtol=1e-14)
    np.testing.assert_array_equal(dots(ax)[0].get_xdata(), SIZES)
    fitted = next(line for line in ax.lines if str(line.get_label()).startswith("corrected fit"))
    assert f"{verdict.measured:.4f}" in fitted.get_label()
    # The noise of 24 seeds is 4 %; a curve with a wrong constant or correction would be off by far more.
    at_levels = np.interp(-np.log(SIZES), -np.log(fitted.get_xdata()), np.log(fitted.get_ydata()))
    np.testing.assert_allclose(at_levels, np.log(rms), rtol=0, atol=0.1)


def test_the_fitted_curve_is_exact_for_errors_of_the_fitted_form():
    values = np.exp(0.3 + 0.7 * np.log(SIZES) - 0.4 * SIZES)
    ax, _ = draw(plots.ladder, claim(predicted=0.7), levels_of(values[:, None], deterministic=True))
    fitted = next(line for line in ax.lines if str(line.get_label()).startswith("corrected fit"))
    x = fitted.get_xdata()
    np.testing.assert_allclose(fitted.get_ydata(), np.exp(0.3 + 0.7 * np.log(x) - 0.4 * x), rtol=1e-10)


def test_the_predicted_line_has_the_predicted_slope_also_for_growing_sizes():
    sizes = 100 * 2 ** np.arange(9)
    levels = [
        Level(size=n, values=n**-0.5 * (1 + 3 / n) * np.exp(0.1 * row)) for n, row in zip(sizes, RANDOM, strict=True)
    ]
    ax, _ = draw(plots.ladder, claim(predicted=-0.5, size="points"), levels)
    line = next(line for line in ax.lines if str(line.get_label()).startswith("predicted"))
    assert np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata())) == pytest.approx(-0.5, rel=1e-12)
    assert ax.get_xlabel() == "number of points N"
    # The limit is on the right, so that is where room is left.
    assert ax.get_xlim()[1] / sizes[-1] > sizes[0] / ax.get_xlim()[0] > 1


def test_levels_under_the_floor_are_hollow_and_the_floor_is_hatched():
    a_claim = claim(floor=2.2 * SIZES[-1])
    ax, verdict = draw(plots.ladder, a_claim, levels_of(errors(0.02)))
    assert verdict.dropped == 2
    hollow = next(line for line in dots(ax) if line.get_markerfacecolor() == "white")
    np.testing.assert_array_equal(hollow.get_xdata(), SIZES[-2:])
    assert any(patch.get_hatch() for patch in ax.collections)
    slopes, _ = draw(plots.local_slopes, a_claim, levels_of(errors(0.02)))
    assert len(slopes.lines[1].get_ydata()) == len(SIZES) - 3


def test_a_ladder_of_floors_per_level_drops_those_of_its_level():
    floors = tuple(np.where(SIZES < 0.01, 1.0, 0.0))
    ax, verdict = draw(plots.ladder, claim(floor=floors), levels_of(errors()))
    hollow = next(line for line in dots(ax) if line.get_markerfacecolor() == "white")
    assert len(hollow.get_xdata()) == verdict.dropped == np.count_nonzero(floors)


def test_local_slopes_are_those_between_neighbours_with_the_fitted_one_at_the_limit():
    table = errors()
    ax, verdict = draw(plots.local_slopes, claim(), levels_of(table))
    rms = np.sqrt(np.mean(table**2, axis=1))
    np.testing.assert_allclose(ax.lines[1].get_ydata(), np.diff(np.log(rms)) / np.diff(np.log(SIZES)), rtol=1e-12)
    assert ends(ax) == pytest.approx([verdict.low, verdict.measured, verdict.high])


def test_a_constant_shows_its_means_its_limit_and_its_interval():
    values = 1 + 0.5 * SIZES[:, None] + 0.05 * RANDOM
    ax, verdict = draw(plots.limit, claim(kind="constant"), levels_of(values))
    np.testing.assert_allclose(dots(ax)[0].get_ydata(), values.mean(axis=1), rtol=1e-14)
    assert ends(ax) == pytest.approx([verdict.low, verdict.measured, verdict.high])


def test_a_constant_of_one_level_is_drawn():
    a_claim = claim(kind="constant")
    levels = levels_of(1 + 0.05 * RANDOM)[:1]
    ax = plots.limit(axes(), levels, claim=a_claim, verdict=judge(a_claim, levels))
    assert dots(ax)[0].get_ydata() == pytest.approx([levels[0].values.mean()])


def ends(ax):
    """Low, middle and high of the square that stands at the limit."""
    square = next(container for container in ax.containers if container[0].get_marker() == "s")
    (segment,) = square[2][0].get_segments()
    return [segment[0, 1], square[0].get_ydata()[0], segment[1, 1]]


def test_an_identity_shows_the_largest_distance_and_its_zeros_hollow():
    values = 1e-14 * np.abs(RANDOM)
    values[:2] = 0
    ax, _ = draw(plots.identity, claim(kind="identity", predicted=0.0, margin=1e-12), levels_of(values))
    solid, hollow = dots(ax)
    np.testing.assert_array_equal(solid.get_ydata(), values[2:].max(axis=1))
    assert hollow.get_markerfacecolor() == "white"
    np.testing.assert_array_equal(hollow.get_xdata(), SIZES[:2])


@pytest.mark.parametrize("kind", ["exponent", "constant", "identity"])
@pytest.mark.parametrize("control", [None, "another"])
def test_no_text_of_a_claim_leaves_its_figure_and_the_legend_hides_nothing(kind, control):
    a_claim = claim(
        id="noise-const-control/three-sphere", kind=kind, control_of=control, margin=0.01, predicted=-1.5,
        floor=2.2 * SIZES[-1] if kind == "exponent" else None,
    )  # fmt: skip
    levels = levels_of(errors())
    verdict = replace(judge(a_claim, levels), measured=-0.0002012, low=-0.0006679, high=-0.0001111)
    with plots.style():
        drawn = plots.claim_figure(a_claim, levels, verdict)
    plots.stamp(drawn, "attnflow · study toy · records 0123456789abcdef")
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()  # lays the figure out
    renderer, page = canvas.get_renderer(), drawn.bbox
    texts = drawn.findobj(
        lambda artist: isinstance(artist, mpl.text.Text) and artist.get_text() and artist.get_visible()
    )
    boxes = [text.get_window_extent(renderer) for text in texts]
    assert all(
        page.x0 - 1 <= box.x0 and box.x1 <= page.x1 + 1 and page.y0 <= box.y0 and box.y1 <= page.y1 for box in boxes
    )
    upper = drawn.axes[0]
    assert upper.get_legend().get_window_extent(renderer).y0 >= upper.bbox.y1
    words = [upper.get_legend(), *(text for text in texts if text.get_text() == a_claim.id or text in upper.texts)]
    heights = sorted((word.get_window_extent(renderer).y0, word.get_window_extent(renderer).y1) for word in words)
    assert all(below[1] <= above[0] + 1 for below, above in pairwise(heights))


def circle_curves(count, times):
    angles = np.linspace(0, 2 * np.pi, count)
    return angles, np.exp(-np.asarray(times))[:, None] * (np.sin(angles) + 0.3 * np.cos(2 * angles + 0.4))


def test_an_overlay_shows_the_three_lives_at_each_time_and_names_the_times():
    times = [0.0, 0.1, 0.25, 0.5, 1.0]
    few, many = circle_curves(40, times), circle_curves(101, times)
    ax = plots.overlay(axes(), times=times, particles=few, population=many, continuum=(many[0], many[1] + 0.01))
    assert len(ax.lines) == 15
    for k in range(5):
        population, continuum, particles = ax.lines[3 * k : 3 * k + 3]
        np.testing.assert_array_equal(population.get_ydata(), many[1][k])
        np.testing.assert_array_equal(continuum.get_ydata(), many[1][k] + 0.01)
        np.testing.assert_array_equal(particles.get_ydata(), few[1][k])
        assert (continuum.is_dashed(), particles.get_marker()) == (True, "o")
    assert sorted(text.get_text() for text in ax.texts) == sorted(f"t = {time:.3g}" for time in times)


def test_many_particles_are_thinned_and_the_legend_says_so():
    many = circle_curves(4000, [0.0])
    ax = plots.overlay(axes(), times=[0.0], particles=many, population=many, continuum=many)
    assert len(ax.lines[2].get_xdata()) <= MAXIMUM_DOTS
    assert "4000 particles, 149 shown" in ax.get_legend().get_texts()[0].get_text()


def test_labels_that_would_touch_are_moved_apart_in_their_order():
    heights = np.array([0.5, 0.1, 0.5, 0.51, 0.9])
    spread = _spread(heights, distance=LABEL_DISTANCE)
    assert (np.diff(np.sort(spread)) >= LABEL_DISTANCE - 1e-12).all()
    assert spread[1] == pytest.approx(0.1)
    assert spread[4] == pytest.approx(0.9)
    assert spread[[0, 2, 3]].mean() == pytest.approx(heights[[0, 2, 3]].mean())
    assert spread[3] > max(spread[0], spread[2])


def test_curves_of_another_shape_are_refused():
    good, bad = circle_curves(20, [0.0, 1.0]), circle_curves(20, [0.0])
    with pytest.raises(DataError, match="`population` must be angles"):
        plots.overlay(axes(), times=[0.0, 1.0], particles=good, population=bad, continuum=good)


def test_the_grid_of_maps_covers_the_sphere_evenly_in_angle():
    longitudes, latitudes, points = plots.sphere_grid(rows=12)
    assert points.shape == (288, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(points[:, 2], np.repeat(np.sin(latitudes), 24), rtol=1e-14)
    np.testing.assert_allclose(np.arctan2(points[:24, 1], points[:24, 0]), longitudes, rtol=1e-12)
    # The area element sums to 4 pi up to the midpoint rule's pi^2/24 of a step squared, .3 % at 12 rows.
    assert np.cos(latitudes).sum() * 24 * (np.pi / 12) ** 2 == pytest.approx(4 * np.pi, rel=4e-3)


def test_maps_show_both_lives_and_their_difference_on_a_scale_of_its_own():
    _, _, x = plots.sphere_grid(rows=10)
    continuum = np.stack([x[:, 2] + x[:, 0] * x[:, 1], x[:, 2] / 2])
    empirical = continuum + 0.01 * np.stack([x[:, 1] ** 3, x[:, 0] + 0.2])
    drawn = plots.figure(width=6, height=4)
    grid = plots.sphere_maps(drawn, times=[0.0, 0.5], continuum=continuum, empirical=empirical)
    assert grid.shape == (2, 3)
    for k in range(2):
        for ax, values in zip(grid[k], [continuum[k], empirical[k], empirical[k] - continuum[k]], strict=True):
            np.testing.assert_array_equal(np.asarray(ax.collections[0].get_array()).ravel(), values)
    scale = grid[0, 2].collections[0].norm
    assert scale.vmin == -scale.vmax == -np.abs(empirical - continuum).max()
    assert grid[0, 0].collections[0].norm is grid[1, 1].collections[0].norm


def test_maps_of_another_grid_are_refused():
    with pytest.raises(DataError, match="sphere_grid"):
        plots.sphere_maps(
            plots.figure(width=6, height=4), times=[0.0], continuum=np.ones((1, 7)), empirical=np.ones((1, 7))
        )


def scatter(cases):
    drawn = plots.figure(width=3, height=2)
    drawn.subplots().plot([case["bandwidth"] for case, _ in cases], [arrays["error"].mean() for _, arrays in cases])
    return drawn


def toy(**changes):
    fields = {
        "name": "toy", "measure": lambda case, keys: {}, "ladder": [{"bandwidth": float(size)} for size in SIZES],
        "quick": len(SIZES), "claims": [claim(), claim(id="toy/flag", kind="flag", quantity="holds", predicted=True)],
        "seeds": 24, "figures": [scatter], "source": "pass",
    }  # fmt: skip
    return Study(**{**fields, **changes})


def records_of(study, values, failed=()):
    records = []
    for index, (case, row) in enumerate(zip(study.ladder, values, strict=True)):
        for seeds in (range(10), range(10, 24)):
            task = Task(study=study.name, case=case, seeds=seeds, master_seed=0, source=study.digest)
            arrays = {"error": row[seeds.start : seeds.stop], "holds": np.ones(len(seeds))}
            bad = index in failed
            provenance = {"seconds": 0.0}
            records.append(
                Record(
                    task=task, arrays={} if bad else arrays, provenance=provenance, failed="bad luck" if bad else None
                )
            )
    return records


def drawn_study(study, records):
    levels = plots.drawing.claim_levels(study.claims[0], records, study=study)
    return plots.study_figures(study, records, [judge(study.claims[0], levels)])


def test_a_study_is_drawn_as_pdf_and_png_also_where_the_path_has_spaces_and_accents(tmp_path):
    study = toy(claims=[claim()])
    records = records_of(study, errors())
    verdicts = [judge(claim(), levels_of(errors()))]
    paths = plots.draw_study(study, records, verdicts, tmp_path / "été à Paris")
    assert {path.parent for path in paths} == {tmp_path / "été à Paris" / "toy"}
    assert sorted(path.name for path in paths) == ["scatter.pdf", "scatter.png", "toy-error.pdf", "toy-error.png"]
    heads = {".pdf": b"%PDF", ".png": b"\x89PNG"}
    assert all(path.read_bytes().startswith(heads[path.suffix]) for path in paths)


def test_a_folder_whose_parent_is_missing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="parent"):
        plots.draw_study(toy(), [], [], tmp_path / "no" / "where")


def test_every_figure_is_stamped_with_the_digest_of_its_records():
    study = toy()
    records, others = records_of(study, errors()), records_of(study, 1.001 * errors())
    digest = plots.records_digest(records)
    assert plots.records_digest(records[::-1]) == digest != plots.records_digest(others)
    for drawn in drawn_study(study, records).values():
        (stamp,) = [text.get_text() for text in drawn.texts if text.get_gid() == "stamp"]
        assert digest[:16] in stamp
        assert "toy" in stamp


def test_equal_records_give_equal_bytes():
    study = toy()
    once, again = (drawn_study(study, records_of(study, errors())) for _ in range(2))
    for format in ("png", "pdf", "svg"):
        assert [plots.image(each, format) for each in once.values()] == [
            plots.image(each, format) for each in again.values()
        ]


def test_no_global_setting_is_left_changed():
    before = dict(mpl.rcParams)
    study = toy(figures=[scatter, lambda cases: 1 / 0])
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        drawn_study(study, records_of(study, errors()))
    assert dict(mpl.rcParams) == before


def test_two_figures_of_one_name_are_refused():
    study = toy(figures=[scatter, scatter])
    with pytest.raises(ConfigError, match="two figures"):
        drawn_study(study, records_of(study, errors()))


def test_a_failed_level_is_left_out_and_a_flag_has_no_figure():
    study = toy()
    figures = drawn_study(study, records_of(study, errors(), failed=[4]))
    assert set(figures) == {"scatter", "toy-error"}
    upper = figures["toy-error"].axes[0]
    np.testing.assert_array_equal(dots(upper)[0].get_xdata(), np.delete(SIZES, 4))
    assert "invalid" in upper.texts[0].get_text()


def test_a_figure_of_the_study_is_left_out_if_its_case_failed():
    study = toy(figures=[scatter, lambda cases: next(arrays for case, arrays in cases if case["bandwidth"] == 0.4)])
    assert set(drawn_study(study, records_of(study, errors(), failed=[0]))) == {"scatter", "toy-error"}


def test_a_study_of_which_everything_failed_has_no_ladder():
    study = toy(figures=[])
    assert drawn_study(study, records_of(study, errors(), failed=range(len(SIZES)))) == {}


def test_the_records_of_a_case_reach_a_figure_as_one_array_in_the_order_of_seeds():
    study = toy()
    cases = measured_cases(records_of(study, errors(), failed=[2]))
    assert [case["bandwidth"] for case, _ in cases] == np.delete(SIZES, 2).tolist()
    np.testing.assert_array_equal(cases[0][1]["error"], errors()[0])
