"""Several results on the same axes: each has its own dashes or rings, equal times equal colours, and a name."""

import pickle

import numpy as np
import pytest
from matplotlib.figure import Figure

import attnflow as af

RNG = np.random.default_rng(6)
ANGLES = np.sort(RNG.uniform(0, 2 * np.pi, 50))
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
PLACES = {
    "plane": RNG.normal(size=(40, 2)),
    "torus": np.hstack([CIRCLE, CIRCLE[::-1]]),
    "space": RNG.normal(size=(9, 3)),
}


def flow(points, *, times=(0.0, 0.25, 1.0), method="", factor=1.0):
    values = factor * np.exp(-np.array(times))[:, None] * (points[:, 0] + 0.3 * points[:, -1] ** 2)
    return af.Trajectory(times=list(times), points=points, values=values, method=method)


def told(ax):
    return [text.get_text() for text in ax.get_legend().texts]


def look(line):
    return line.get_linestyle(), str(line._dash_pattern)  # which matplotlib tells nowhere else


@pytest.mark.parametrize("points", [CIRCLE, PLACES["plane"][:, :1]], ids=["circle", "line"])
def test_a_second_life_has_dashes_of_its_own_equal_times_equal_colours_and_both_have_names(points):
    ax = flow(points, method="dense sums").plot()
    alone = told(ax)
    assert flow(points, times=(0.25, 0.25 + 1e-12, 2.0), method="Fourier", factor=1.1).plot(ax) is ax
    first, second = ax.lines[:3], ax.lines[3:]
    assert {look(line) for line in first}.isdisjoint({look(line) for line in second})
    assert second[0].get_color() == pytest.approx(first[1].get_color())
    assert second[1].get_color() == pytest.approx(first[1].get_color())  # 1e-12 apart: the same layer
    assert not np.allclose(second[2].get_color(), [line.get_color() for line in first])  # t = 2 is new
    assert alone == ["$t = 0$", "$t = 0.25$", "$t = 1$"]
    assert told(ax) == [*alone, "$t = 2$", "dense sums", "Fourier"]


def test_lives_without_a_method_are_numbered():
    ax = flow(CIRCLE).plot()
    for _ in range(5):
        flow(CIRCLE).plot(ax)
    assert told(ax)[3:] == [f"number {k}" for k in range(1, 7)]
    assert len({look(line) for line in ax.lines}) == 4  # then they begin anew


def test_many_times_of_several_lives_share_one_bar_that_grows_with_them():
    ax = flow(CIRCLE, times=np.linspace(0, 3, 12), method="dense").plot()
    flow(CIRCLE, times=np.linspace(0, 6, 13), method="Fourier").plot(ax)
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert bar.get_ylim() == (0, 6)
    assert ax.lines[12].get_color() == pytest.approx(ax.lines[0].get_color())
    assert told(ax) == ["dense", "Fourier"]


def test_a_few_times_beside_many_are_told_by_the_bar_too():
    ax = flow(CIRCLE, method="dense").plot()
    flow(CIRCLE, times=np.linspace(0, 3, 13), method="Fourier").plot(ax)
    assert told(ax) == ["dense", "Fourier"]
    assert len(ax.figure.axes) == 2
    assert ax.lines[1].get_color() == pytest.approx(ax.lines[4].get_color())  # t = 0.25 of both


@pytest.mark.parametrize("name", PLACES)
def test_points_of_a_second_life_are_rings_in_the_same_scale_of_colours(name):
    points = PLACES[name]
    ax = flow(points, method="dense").plot()
    flow(points, method="Fourier", factor=3.0).plot(ax, times=0.25)
    first, second = ax.collections
    assert first.norm is second.norm
    both = np.concatenate([first.get_array(), second.get_array()])
    assert (first.norm.vmin, first.norm.vmax) == (both.min(), both.max())
    assert len(ax.figure.axes) == 2  # with one bar
    rims = [cloud.get_paths()[0].vertices for cloud in (first, second)]
    assert np.linalg.norm(rims[0], axis=1).max() * np.sqrt(first.get_sizes()[0]) < (
        np.linalg.norm(rims[1], axis=1).min() * np.sqrt(second.get_sizes()[0])
    )  # where both are at one point the dot is within the ring
    assert told(ax) == ["dense, $t = 1$", "Fourier, $t = 0.25$"]
    assert ax.get_title() == ""
    ax.figure.draw_without_rendering()


def spectrum(shift):
    return af.Spectrum(np.array([0.0, 0.5, 2.0]) + shift, lambda x: x[:, [0, 1, 0]] + shift, 10.0 ** (-9 + shift))


def test_two_spectra_and_their_eigenfunctions_are_told_apart():
    ax = spectrum(0).plot()
    spectrum(1).plot(ax)
    marked = [line for line in ax.lines if line.get_marker() not in ("_", "|")]
    assert len({line.get_color() for line in marked}) == 2
    assert told(ax) == ["error at most 10⁻⁹", "error at most 10⁻⁸"]
    functions = spectrum(0).plot_functions(CIRCLE)
    spectrum(1).plot_functions(CIRCLE, functions)
    assert look(functions.lines[0]) != look(functions.lines[3])
    assert functions.lines[1].get_color() == pytest.approx(functions.lines[4].get_color())  # k = 1 of both
    assert told(functions)[-2:] == ["error at most 10⁻⁹", "error at most 10⁻⁸"]


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_tokens_of_a_second_flow_have_another_colour_and_their_name(dim):
    moved = [
        af.TokenTrajectory(times=[0.0, 1.0], points=RNG.normal(size=(2, 4, dim)), method=name)
        for name in ("Layer", "ODE")
    ]
    ax = moved[1].plot(moved[0].plot())
    assert [line.get_color() for line in ax.lines[:4]] == [ax.lines[0].get_color()] * 4
    assert ax.lines[4].get_color() != ax.lines[0].get_color()
    assert told(ax) == ["Layer", "ODE"]


def test_axes_that_are_cleared_hold_no_life_and_a_pickled_figure_holds_its_own():
    ax = flow(CIRCLE, method="dense").plot(Figure().subplots())
    again = pickle.loads(pickle.dumps(ax.figure)).axes[0]
    flow(CIRCLE, method="Fourier").plot(again)
    assert told(again)[3:] == ["dense", "Fourier"]
    ax.clear()
    flow(CIRCLE, method="Fourier").plot(ax)
    assert ax.lines[0].get_linestyle() == "-"
    assert len(told(ax)) == 3


def test_what_else_the_axes_show_keeps_its_place_in_the_legend():
    ax = Figure().subplots()
    ax.plot([0, 6], [0, 0], "--", label="mine")
    flow(CIRCLE, method="dense").plot(ax)
    flow(CIRCLE, method="Fourier").plot(ax)
    assert told(ax) == ["mine", "$t = 0$", "$t = 0.25$", "$t = 1$", "dense", "Fourier"]


def test_a_second_life_on_axes_of_the_first_keeps_the_look_of_its_figure():
    ax = flow(CIRCLE, method="dense").plot()
    size = ax.get_legend().texts[0].get_fontsize()
    flow(CIRCLE, method="Fourier").plot(ax)
    assert {text.get_fontsize() for text in ax.get_legend().texts} == {size}
