"""SVG as small as it can be without a change to what is seen: a repository keeps many figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

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
    family = _set_font_once(root)
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
    for element in list(root.iter()):
        _simplify_formula(element, family=family.split(",")[0])
        _join(element)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _set_font_once(root: Element) -> str:
    """Move the family that most texts have into the style sheet and return it."""
    texts = [element for element in root.iter(f"{SVG}text") if FONT.search(element.get("style", ""))]
    sheet = root.find(f"{SVG}defs/{SVG}style")
    if not texts or sheet is None:
        return ""
    family = FONT.search(texts[0].attrib["style"]).group(1)  # type: ignore[union-attr]
    sheet.text = f"{sheet.text} text{{font-family: {family}}}"
    for element in texts:
        element.set("style", element.attrib["style"].replace(f" font-family: {family};", ""))
    return family


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
    if child.tag == f"{SVG}path" and not child.get("d"):
        return  # a curve that lies outside of its axes
    if child.tag == f"{SVG}g" and not child.attrib:
        yield from child
    elif child.tag != f"{SVG}g" or len(child):
        yield child


def _simplify_formula(group: Element, *, family: str) -> None:
    """Let the glyphs of a formula share what they have in common; those of fonts that readers lack become outlines."""
    text = group.find(f"{SVG}text")
    if text is None or not len(text):
        return
    text.text = None
    spans: list[Element] = []
    for span in text:
        style = dict(item.split(":") for item in span.get("style", "").split(";"))
        if style.get("font-family", family) != family:
            group.append(_outline(span, family=style["font-family"], size=style["font-size"]))
            continue
        same = {"font-family": family, "fill": group.get("style", "").removeprefix("fill:")}
        span.set("style", ";".join(f"{name}:{value}" for name, value in style.items() if same.get(name) != value))
        span.text = (span.text or "").replace(" ", "\u00a0")  # which is never taken together with its neighbours
        last = spans[-1] if spans else None
        if last is not None and [last.get("y"), last.get("style")] == [span.get("y"), span.get("style")]:
            last.set("x", f"{last.get('x')} {span.get('x')}")
            last.text = f"{last.text}{span.text}"
        else:
            spans.append(span)
    text[:] = spans


def _outline(span: Element, *, family: str, size: str) -> Element:
    """Return glyphs as a path: matplotlib brings fonts for signs such as large roots that browsers do not know."""
    glyphs = TextPath((0, 0), span.text or "", size=float(size[:-2]), prop=FontProperties(family=family.strip("'")))
    letters = {TextPath.MOVETO: "M", TextPath.LINETO: "L", TextPath.CURVE3: "Q", TextPath.CURVE4: "C"}
    course = "".join(
        f"{letters[code]}{' '.join(f'{number:.2f}' for number in points)}" if code in letters else "z"
        for points, code in glyphs.iter_segments(simplify=False, curves=True)
    )
    place = f"translate({span.get('x')} {span.get('y')})scale(1 -1)"
    return Element(f"{SVG}path", {"d": course, "transform": place})


def _join(element: Element) -> None:
    """Join neighbours that look alike: lines into one path, markers into a group that says how they look."""
    joined: list[Element] = []
    group: Element | None = None  # of the markers that came last
    for child in element:
        last = joined[-1] if joined else None
        if last is not None and _are_strokes_of_one_look(last, child):
            last.set("d", last.attrib["d"] + child.attrib["d"])
        elif child.tag == f"{SVG}use":
            style = child.attrib.pop("style", "")
            if last is None or last is not group or group.get("style") != style:
                group = Element(f"{SVG}g", {"style": style})
                joined.append(group)
            group.append(child)
        else:
            joined.append(child)
    element[:] = joined


def _are_strokes_of_one_look(first: Element, second: Element) -> bool:
    """Return whether two paths differ in their course only, and where they cross it does not show."""
    style = first.get("style", "")
    if not first.tag == second.tag == f"{SVG}path" or "fill:none" not in style or "opacity" in style:
        return False
    looks = [{name: value for name, value in path.attrib.items() if name != "d"} for path in (first, second)]
    return looks[0] == looks[1]
