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
 </g>
</svg>"""


def test_only_what_is_not_seen_is_left_out():
    root = ElementTree.fromstring(compact(LONG, mark="mine"))
    assert root.get("class") == "mine"
    assert root.get("width") == "9.12pt"
    assert [element.tag.removeprefix(SVG) for element in root.iter()] == [
        "svg", "defs", "style", "g", "path", "g", "use", "image", "text",
    ]  # fmt: skip
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
