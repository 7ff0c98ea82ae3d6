"""A compact SVG shows what the long one shows."""

import re
from xml.etree import ElementTree

import numpy as np

from attnflow.lab import plots
from attnflow.lab.plots.svg import SVG, compact

LONG = b"""<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="9.123456pt" height="5pt">
 <metadata>made yesterday</metadata>
 <defs><style type="text/css">*{stroke-linecap: butt}</style></defs>
 <g id="figure_1">
  <g id="used"><path d="M 0 0
L 1.23456 -2.5
z
" id="m1" style="fill: none; stroke-dashoffset: 0; stroke: #000000"/></g>
  <g id="empty"/>
  <g clip-path="url(#used)"><use xlink:href="#m1" x="0.00001" y="7" transform="rotate(-0 1 2)"/></g>
  <image transform="scale(0.123456 -1)" xlink:href="data:image/png;base64,AA.123456"/>
  <text style="font-size: 8px; font-family: 'Some Font'; fill: red" x="1">0.123456  two  spaces</text>
  <g style="fill: red" transform="translate(3 4)"><text>
   <tspan x="0" y="1" style="font-size: 8px; font-family: 'Some Font'; fill: red">a</tspan>
   <tspan x="5" y="1" style="font-size: 8px; font-family: 'Some Font'; fill: red"> </tspan>
   <tspan x="7" y="1" style="font-size: 8px; font-family: 'Some Font'; fill: red">b</tspan>
   <tspan x="9" y="0" style="font-size: 8px; font-family: 'Some Font'; font-style: oblique; fill: red">c</tspan>
   <tspan x="11" y="0" style="font-size: 9px; font-family: 'STIXSizeOneSym'; fill: red">&#8730;</tspan>
  </text></g>
  <path d="M 1 1 L 2 2" style="fill: none; stroke: #111111"/>
  <path d="M 3 3 L 4 4" style="fill: none; stroke: #111111"/>
  <path d="M 5 5 L 6 6" style="fill: none; stroke: #222222"/>
 </g>
</svg>"""


def drawn():
    return ElementTree.fromstring(compact(LONG, mark="mine"))


def test_only_what_is_not_seen_is_left_out():
    root = drawn()
    assert root.get("class") == "mine"
    assert root.get("width") == "9.12pt"
    assert [element.tag.removeprefix(SVG) for element in root][:6] == ["defs", "g", "g", "image", "text", "g"]
    path, use = root.find(f".//{SVG}path"), root.find(f".//{SVG}use")
    assert (path.get("d"), path.get("id"), path.get("style")) == ("M0 0L1.23 -2.5z", "m1", "fill:none;stroke:#000000")
    assert (use.get("x"), use.get("transform")) == ("0", None)
    assert {element.get("id") for element in root.iter(f"{SVG}g")} == {"used", None}
    image, text = root.find(f".//{SVG}image"), root.find(f".//{SVG}text")
    assert image.get("transform") == "scale(0.123456 -1)"
    assert b"data:image/png;base64,AA.123456" in compact(LONG, mark="mine")
    assert text.text == "0.123456  two  spaces"
    assert "'Some Font'" in root.find(f".//{SVG}style").text
    assert "font-family" not in text.get("style")


def test_curves_without_a_course_are_left_out():
    svg = b"""<svg xmlns="http://www.w3.org/2000/svg"><path style="fill:none" d="M0 0L1 1"/><path style="fill:none"/>
    <path style="fill:none" d=""/></svg>"""
    assert [path.get("d") for path in ElementTree.fromstring(compact(svg, mark="m"))] == ["M0 0L1 1"]


def test_markers_of_one_look_share_it_and_others_keep_theirs():
    style = "fill:#000000"
    uses = "".join(
        f'<use xlink:href="#m1" x="{x}" style="{look}"/>' for x, look in enumerate([style, style, "fill:#ff0000"])
    )
    svg = LONG.decode().replace("<image", f"{uses}<image").encode()
    groups = [
        group for group in ElementTree.fromstring(compact(svg, mark="mine")).iter(f"{SVG}g") if group.get("style")
    ]
    looks = {group.get("style"): [use.get("x") for use in group.findall(f"{SVG}use")] for group in groups}
    assert looks[style] == ["0", "1"]
    assert looks["fill:#ff0000"] == ["2"]


def test_lines_of_one_look_become_one_path():
    courses = {path.get("style"): path.get("d") for path in drawn().iter(f"{SVG}path")}
    assert courses["fill:none;stroke:#111111"] == "M1 1L2 2M3 3L4 4"
    assert courses["fill:none;stroke:#222222"] == "M5 5L6 6"


def test_glyphs_of_a_formula_keep_their_places_and_a_sign_that_browsers_lack_is_an_outline():
    formula = next(group for group in drawn().iter(f"{SVG}g") if group.get("transform") == "translate(3 4)")
    upright, oblique = formula.iter(f"{SVG}tspan")
    assert (upright.get("x"), upright.get("y"), upright.text) == ("0 5 7", "1", "a\u00a0b")
    assert (oblique.get("x"), oblique.get("style"), oblique.text) == ("9", "font-size:8px;font-style:oblique", "c")
    outline = formula.find(f"{SVG}path")
    assert outline.get("transform") == "translate(11 0)scale(1 -1)"
    assert outline.get("d").startswith("M")
    assert len(outline.get("d")) > 50


def test_a_figure_keeps_its_words_and_its_curves():
    x = np.linspace(0, 1, 40)
    with plots.style():
        drawn = plots.figure(width=3, height=2)
        ax = drawn.subplots()
        ax.plot(x, np.sin(7 * x), marker="o")
        ax.set(xlabel=r"$A_N f$ over $\varepsilon$", title="a < b & c")
        plots.stamp(drawn, "attnflow · study toy")
    svg = plots.image(drawn, "svg").decode()
    words = "".join(ElementTree.fromstring(svg).itertext())
    assert "a < b & c" in words
    assert "attnflow · study toy" in words
    assert svg.count("<use") >= 40
    assert not re.search(r'd="[^"]*\d\.\d{3}', svg)
