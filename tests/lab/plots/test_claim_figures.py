"""The figure of a claim: nothing is cut or hidden, and the verdicts on claim and controls stand over it."""

from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from toy_ladder import SIZES, claim, errors, judged

from attnflow.judge.claims import KINDS
from attnflow.lab import plots
from attnflow.lab.plots.claims import FIGURES
from attnflow.lab.plots.style import in_lines

LABELS = {
    "error": r"RMS of $A_N f - A f$ over $N^{-1/2} \varepsilon^{-m/4}$, the noise that is expected of one layer",
    "other": r"squared noise over that of new points in every layer, $\mathrm{Var}[A_N^n f]$",
}


STATEMENT = (
    r"the squared noise of $n = t/\varepsilon$ layers over $\mathrm{Var}[A_N f]$ tends to $2 t\,\varepsilon^{-m/2}$"
)


def drawn_with(kind, *, controls):
    a_claim = claim(
        id="noise-const-somewhere/three-sphere", statement=STATEMENT, kind=kind, margin=0.01, predicted=-1.5,
        floor=2.2 * SIZES[-1] if kind == "exponent" else None,
    )  # fmt: skip
    judgement = judged(a_claim, errors())
    narrow = replace(judgement.verdict, measured=-0.0002012, low=-0.0006679, high=-0.0001111)
    others = [
        judged(a_claim.control(statement="no", id=f"noise-const-control-{k}/three-sphere", quantity="other"), errors())
        for k in range(controls)
    ]
    with plots.style():
        drawn = plots.claim_figure(replace(judgement, verdict=narrow), controls=others, labels=LABELS)
    return plots.stamp(drawn, "attnflow · study toy · records 0123456789abcdef")


@pytest.mark.parametrize("kind", ["exponent", "constant", "identity"])
@pytest.mark.parametrize("controls", [0, 1, 2])
def test_no_text_leaves_the_figure_and_none_lies_on_another_or_on_the_axes(kind, controls):
    drawn = drawn_with(kind, controls=controls)
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
    title = upper.get_title(loc="left")
    assert title.replace("\n", " ") == STATEMENT[0].upper() + STATEMENT[1:]
    title = next(text for text in texts if text.get_text() == title)
    words = [upper.get_legend(), title, *upper.texts]
    heights = sorted((word.get_window_extent(renderer).y0, word.get_window_extent(renderer).y1) for word in words)
    assert all(below[1] <= above[0] + 1 for below, above in pairwise(heights))
    label = upper.yaxis.label.get_window_extent(renderer)
    others = [ax.yaxis.label.get_window_extent(renderer) for ax in drawn.axes[1:]]
    assert not any(label.overlaps(other) for other in others)


def test_the_verdicts_on_a_claim_and_on_its_control_stand_over_the_figure():
    drawn = drawn_with("exponent", controls=1)
    of_control, of_claim, _ = (text.get_text() for text in drawn.axes[0].texts)
    assert of_claim == "✕ refuted: −0.0002 [−0.0007, −0.0001]"
    assert of_control.startswith("✕ control refuted: ")


def test_several_controls_are_named_by_their_ids():
    words = " ".join(text.get_text() for text in drawn_with("constant", controls=2).axes[0].texts)
    assert "control noise-const-control-0/three-sphere refuted" in words
    assert "control noise-const-control-1/three-sphere refuted" in words


def test_every_kind_of_claim_names_a_figure_that_there_is_or_none():
    named = {kind.figure for kind in KINDS.values()}
    assert named - {None} == set(FIGURES)


def test_formulas_are_not_torn_between_lines_and_tex_that_does_not_parse_stays_text():
    lines = in_lines(r"a word $x + y + z + u + v$ another", width=30, size=8).split("\n")
    assert r"$x + y + z + u + v$" in lines
    assert in_lines(r"bad $\nonsense{$ here", width=500, size=8) == r"bad \$\nonsense{\$ here"
