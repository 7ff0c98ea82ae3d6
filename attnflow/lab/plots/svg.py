"""SVG as small as it can be without a change to what is seen: a repository keeps many figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
COORDINATES = {"d", "x", "y", "width", "height", "transform"}
FONT = re.compile(r" ?font-family: ([^;]*);")
ElementTree.register_namespace("", SVG[1:-1])
ElementTree.register_namespace("xlink", LINK[1:-5])


def compact(svg: bytes, *, mark: str) -> bytes:
    """Return an SVG of matplotlib's without metadata, idle groups and names, in hundredths of a point.

    Args:
        svg: what `Figure.savefig` writes; it is ours, so that its entities and references are harmless.
        mark: the class of the result, a word by which it is known.
    """
    root = ElementTree.fromstring(svg)
    text = svg.decode()
    named = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    root.set("class", mark)
    _set_font_once(root)
    for element in root.iter():
        if element.get("id") not in named:
            element.attrib.pop("id", None)
        for name in COORDINATES & element.attrib.keys():
            element.set(name, _rounded(element.attrib[name]))
        if "style" in element.attrib:
            style = element.attrib["style"].replace("stroke-dashoffset: 0; ", "")
            element.set("style", style.replace(": ", ":").replace("; ", ";"))
        if element.get("transform", "").startswith("rotate(-0 "):
            del element.attrib["transform"]
        if element.tag != f"{SVG}text" and element.tag != f"{SVG}tspan" and not (element.text or "").strip():
            element.text = None
        element.tail = None
    _keep_what_is_seen(root)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _set_font_once(root: Element) -> None:
    """Move the family that most texts have into the style sheet."""
    texts = [element for element in root.iter(f"{SVG}text") if FONT.search(element.get("style", ""))]
    sheet = root.find(f"{SVG}defs/{SVG}style")
    if not texts or sheet is None:
        return
    family = FONT.search(texts[0].attrib["style"]).group(1)  # type: ignore[union-attr]
    sheet.text = f"{sheet.text} text{{font-family: {family}}}"
    for element in texts:
        element.set("style", element.attrib["style"].replace(f" font-family: {family};", ""))


def _rounded(text: str) -> str:
    """Return a path, a place or a transformation in hundredths of a point; scales are small numbers and stay."""
    if "scale" in text or "matrix" in text:
        return text
    path = re.sub(r"-?\d+\.\d+", lambda found: f"{round(float(found[0]), 2) + 0.0:.12g}", text)
    return re.sub(r" ?([A-Za-z(),]) ?", r"\1", " ".join(path.split()))


def _keep_what_is_seen(element: Element) -> None:
    """Remove metadata, and groups that hold nothing or say nothing about what they hold."""
    children = [child for child in element if child.tag != f"{SVG}metadata"]
    for child in children:
        _keep_what_is_seen(child)
    element[:] = [seen for child in children for seen in _seen(child)]


def _seen(child: Element) -> Iterator[Element]:
    if child.tag == f"{SVG}g" and not child.attrib:
        yield from child
    elif child.tag != f"{SVG}g" or len(child):
        yield child
