"""Formulas become legible, everything else stays as it was written, and nothing that a study says becomes markup."""

import re

import pytest

from attnflow.lab.report.formulas import ELEMENTS, ascii_mathematics, github, tex


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("eps -> 0, steps stay", "ε → 0, steps stay"),
        ("<grad log p, grad f>_G", "⟨∇ log p, ∇ f⟩<sub>G</sub>"),
        ("1/2 Lap f at x_1", "1/2 Δ f at x<sub>1</sub>"),
        ("sum_j w_{ij}", "∑<sub>j</sub> w<sub>ij</sub>"),
        ("e^{-iq.x}", "e<sup>−iq.x</sup>"),
        ("N^(-1/2) e^{tL}", "N<sup>−1/2</sup> e<sup>tL</sup>"),
        ("e^{-|x-y|^2/2eps}", "e<sup>−|x−y|<sup>2</sup>/2ε</sup>"),
        ("kappa(q) - 1 >= phat(l)", "κ(q) − 1 ≥ p̂(l)"),
        ("von Mises-Fisher, x-axis, (A - I) f, 1e-13", "von Mises-Fisher, x-axis, (A − I) f, 1e−13"),
        ("solver_error < 2 & b > 3", "solver_error &lt; 2 &amp; b &gt; 3"),
        ("point in print, a sum of terms", "point in print, a sum of terms"),
        ("see `noise`", "see <code>noise</code>"),
        ("<b onclick=x>, </b>", "&lt;b onclick=x&gt;, &lt;/b&gt;"),
    ],
)
def test_the_formulas_of_docstrings_become_legible_and_everything_else_stays(text, html):
    assert ascii_mathematics(text) == html


def test_tex_between_dollars_becomes_mathml_and_the_words_around_it_stay():
    html = tex(r"the distance of $\frac{(A - I) f}{\varepsilon}$ from $L f$ is < 1")
    assert html.startswith("the distance of <math>")
    assert html.endswith("</math> is &lt; 1")
    assert "<mfrac><mrow>" in html
    assert "<mi>ε</mi>" in html
    assert html.count("<math>") == html.count("</math>") == 2


@pytest.mark.parametrize("formula", ["x^", r"\begin{matrix} a", r"\unknown x", "", " ", "{", r"\left( x"])
def test_a_formula_that_does_not_parse_is_shown_as_text(formula):
    assert re.sub("</?code>", "", str(tex(f"before ${formula}$ after"))) == f"before ${formula}$ after"


def test_dollars_that_enclose_nothing_are_dollars():
    assert tex(r"\$5 and \$6") == "$5 and $6"
    assert tex("costs $5") == "costs $5"


@pytest.mark.parametrize(
    "formula",
    [
        r"\text{<script>alert(1)</script>}",
        r"\mathrm{<img src=x onerror=alert(1)>}",
        r"\href{javascript:alert(1)}{x}",
        r"\style{background:url(//evil)}{x}",
        r"\color{\"><script>}x",
        r"\hspace{\" onload=\"alert(1)}x",
        "<script>alert(1)</script>",
        "</math><script>alert(1)</script>",
    ],
)
def test_a_formula_can_bring_no_markup_but_a_formulas(formula):
    html = str(tex(f"${formula}$"))
    tags = re.findall(r"</?([^\s>]*)([^>]*)>", html)
    assert {name for name, _ in tags} <= ELEMENTS | {"code"}
    assert not any(re.search(r"href|style=|src=|\son\w+=", attributes) for _, attributes in tags)


def test_a_formula_for_github_ends_no_cell_and_is_not_taken_for_markdown():
    assert github(r"$\sup_x |f(x)|$ and $\|f\|$") == r"$`\sup_x \vert f(x)\vert `$ and $`\Vert f\Vert `$"
    assert github("a | b_c *d* <script>") == r"a \| b\_c \*d\* &lt;script>"
    assert "$`" not in github("$a`b$")
