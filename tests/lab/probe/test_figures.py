"""Figures of a probe show the numbers that they are drawn from."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import attnflow as af
from attnflow.lab import plots
from attnflow.lab.probe import figures, head_figures
from attnflow.lab.probe.pooling import pictures, weights_picture
from attnflow.lab.probe.verdicts import LOCAL, STILL

N = 70
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 3))


@pytest.fixture(scope="module")
def several():
    """Three heads of different queries."""
    queries = np.stack([X, -X, X @ RNG.normal(size=(3, 3))])
    return af.probe(X, queries=queries, keys=np.stack([X] * 3), names=["0.0", "0.1", "$1$"]).heads


@pytest.fixture
def ax():
    with plots.style():
        return plots.figure(width=4, height=3).subplots()


def rendered(drawn):
    """Bytes of the figure, which formulas that do not parse would not let come about."""
    return plots.image(drawn, "svg").decode()


@pytest.mark.parametrize("cells", [7, 20, 64, N, 1000])
def test_pictures_are_means_over_cells(several, cells):
    head = several[2]
    parts, found = head.split(), pictures(head, cells=cells)
    centred = (parts.cost.mean(axis=1, keepdims=True) - parts.cost) / 2
    matrices = (head.weights(), centred, np.tile(parts.potential, (N, 1)), parts.circulation)
    edges = np.unique(np.linspace(0, N, min(cells, N), endpoint=False).astype(int))
    for picture, matrix in zip(found, matrices, strict=True):
        cut = [np.split(strip, edges[1:], axis=1) for strip in np.split(matrix, edges[1:], axis=0)]
        expected = [[cell.mean() for cell in strip] for strip in cut]
        np.testing.assert_allclose(picture, expected, rtol=0, atol=1e-12)  # sums of 70 numbers of order 1
    np.testing.assert_allclose(weights_picture(head.source, cells=cells), found.weights, rtol=0, atol=1e-14)


def test_pictures_of_blocks_are_those_of_the_whole(several, monkeypatch):
    whole = pictures(several[2], cells=16)
    monkeypatch.setattr("attnflow.lab.probe.pooling._BLOCK_PAIRS", 9 * N)  # rows of two or three cells at once
    for part, block in zip(whole, pictures(several[2], cells=16), strict=True):
        np.testing.assert_allclose(block, part, rtol=0, atol=1e-13)


def test_the_parts_are_drawn_on_one_scale_around_zero(several):
    drawn = head_figures.matrices(several[2])
    images = [image for panel in drawn.axes for image in panel.images]
    assert len(images) == 4
    scales = {image.get_clim() for image in images[1:]}
    assert len(scales) == 1
    ((low, high),) = scales
    assert low == -high < 0
    assert [panel.get_title().split(":")[0] for panel in drawn.axes[:4]] == ["weights A", "-D/2", "b", "W"]
    assert rendered(drawn)


def test_a_mark_lies_at_the_numbers_of_its_head(several, ax):
    figures.draw_places(ax, several)
    marks = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    found = [tuple(np.ravel(line.get_data())) for line in marks]
    assert found == [(head["locality"], head["jump"]) for head in several]
    (region,) = ax.patches
    assert region.get_x() + region.get_width() == pytest.approx(LOCAL)
    assert region.get_y() + region.get_height() == pytest.approx(STILL)


def test_shares_lie_in_the_triangle_where_their_parts_say(several, ax):
    figures.draw_shares(ax, several)
    marks = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    for line, head in zip(marks, several, strict=True):
        x, y = np.ravel(line.get_data())
        circulation = y / (np.sqrt(3) / 2)
        assert circulation == pytest.approx(head["share_circulation"])
        assert x - circulation / 2 == pytest.approx(head["share_potential"])


def test_names_are_written_as_they_are_and_do_not_overlap(several, ax):
    figures.draw_typicalities(ax, [*several, *several])  # all twice, so that every mark lies on another
    texts = [text for text in ax.texts if text.get_text().strip() != "diffusion"]
    assert sorted({text.get_text() for text in texts}) == [r"0.0", "0.1", r"\$1\$"]
    renderer = FigureCanvasAgg(ax.figure).get_renderer()
    boxes = [text.get_window_extent(renderer).shrunk(0.9, 0.9) for text in texts]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])


def test_many_heads_are_marked_but_not_named(several, ax):
    figures.draw_typicalities(ax, list(several) * (figures.MOST_NAMES // 3 + 1))
    assert [text.get_text().strip() for text in ax.texts] == ["diffusion"]


def test_a_layer_is_a_row_of_the_grid(several):
    drawn = figures.grid([several[0]] * 4)
    assert len(drawn.axes) == 4
    assert rendered(drawn)


def test_typicality_is_drawn_for_every_token_with_its_name(several, ax):
    names = ["a$b", *"x" * (N - 1)]
    head_figures.draw_typicality(ax, several[0], tokens=names)
    (heights,) = [lines.get_segments() for lines in ax.collections]
    np.testing.assert_array_equal([end[1] for _, end in heights], several[0].rows.typicality)
    assert [text.get_text() for text in ax.texts][:2] == [r"a\$b", "x"]
    assert rendered(ax.figure)


def test_many_tokens_are_drawn_as_medians_of_neighbours(ax, monkeypatch, several):
    monkeypatch.setattr(head_figures, "SINGLE", N // 2)
    head_figures.draw_typicality(ax, several[0])
    values = several[0].rows.typicality
    np.testing.assert_allclose(ax.lines[0].get_ydata(), (values[::2] + values[1::2]) / 2, rtol=0, atol=1e-15)


def test_the_spectrum_shows_eigenvalues_and_a_null_as_long(several, ax):
    found = several[2].spectrum
    head_figures.draw_spectrum(ax, found, count=N)
    curves = {line.get_label(): line for line in ax.lines}
    null = curves[f"null: {found.null_name}"]
    np.testing.assert_array_equal(null.get_ydata(), found.null_eigenvalues)
    assert null.get_xdata()[-1] == pytest.approx(N, abs=N / found.null_tokens)
    marked = np.concatenate([curves[label].get_ydata() for label in {mode.label for mode in found.modes}])
    assert sorted(marked) == sorted(mode.eigenvalue for mode in found.modes)


def test_the_bandwidth_that_is_suggested_is_marked_on_its_curve(ax):
    cloud = af.probe(X).cloud
    head_figures.draw_dimensions(ax, cloud)
    curve, mark = ax.lines[:2]
    np.testing.assert_array_equal(curve.get_ydata(), cloud.dimensions)
    assert mark.get_xdata()[0] == cloud.bandwidth


@pytest.mark.parametrize("which", ["one head", "several heads", "points"])
def test_a_probe_draws_itself_and_leaves_matplotlib_as_it_was(which, several, ax):
    before = dict(mpl.rcParams)
    found = {
        "one head": lambda: af.probe(X, queries=X, keys=X),
        "several heads": lambda: af.probe(X, queries=np.stack([X, -X]), keys=np.stack([X, X])),
        "points": lambda: af.probe(X),
    }[which]()
    assert found.plot(ax) is ax
    assert ax.has_data()
    assert found.plot().figure is not ax.figure
    assert dict(mpl.rcParams) == before
