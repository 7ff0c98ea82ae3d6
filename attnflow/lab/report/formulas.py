"""Formulas for readers: TeX between dollars as MathML or as GitHub's Markdown, and the ASCII of docstrings as HTML.

What comes from a study is foreign text: all of it is escaped, and of the MathML only elements and attributes that lay
out a formula pass.
"""

from __future__ import annotations

import re
from html import unescape
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element
from markupsafe import Markup, escape

FORMULA = re.compile(r"(?<!\\)\$([^$]+?)(?<!\\)\$")
ELEMENTS = {
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msub", "msup", "msubsup", "mfrac", "msqrt", "mroot",
    "munder", "mover", "munderover", "mstyle", "mtable", "mtr", "mtd",
}  # fmt: skip
ATTRIBUTES = {
    "accent", "columnalign", "displaystyle", "fence", "form", "linethickness", "lspace", "mathvariant", "maxsize",
    "minsize", "movablelimits", "rspace", "scriptlevel", "separator", "stretchy", "width",
}  # fmt: skip
SIGNS = {
    "eps": "ε", "pi": "π", "beta": "β", "kappa": "κ", "zeta": "ζ", "phat": "p̂", "grad": "∇", "Lap": "Δ", "int": "∫",
}  # fmt: skip


def tex(text: str) -> Markup:
    """Return text as HTML, each formula between dollars as MathML; one that does not parse stays as it was written.

    Example:
        >>> from attnflow.lab.report.formulas import tex
        >>> print(tex("of order $N^2$ <b>"))
        of order <math><mrow><msup><mi>N</mi><mn>2</mn></msup></mrow></math> &lt;b&gt;
    """
    words = FORMULA.split(text)
    return Markup().join(_mathml(word) if index % 2 else _plain(word) for index, word in enumerate(words))


def github(text: str) -> str:
    r"""Return text for a cell of a Markdown table on GitHub, each formula in dollars and backticks.

    Between backticks no character of a formula is taken for Markdown, and \vert does not end the cell as | would.

    Example:
        >>> from attnflow.lab.report.formulas import github
        >>> print(github(r"at most $|x_i|$, a | b"))
        at most $`\vert x_i\vert `$, a \| b
    """
    words = FORMULA.split(" ".join(text.split()))
    return "".join(_fenced(word) if index % 2 else _markdown(word) for index, word in enumerate(words))


def ascii_mathematics(text: str) -> Markup:
    """Return a docstring's text as HTML: eps, pi, grad, Lap, int, ->, x^2, x_1, a - b and <a, b> become signs.

    Example:
        >>> from attnflow.lab.report.formulas import ascii_mathematics
        >>> print(ascii_mathematics("e^{-|x-y|^2/2eps} <b>"))
        e<sup>−|x−y|<sup>2</sup>/2ε</sup> &lt;b&gt;
    """
    html = str(escape(text))
    html = re.sub(r"&lt;(\w[^&]*,[^&]*\w)&gt;", r"⟨\1⟩", html).replace("-&gt;", "→")
    html = re.sub(r"\bsum_", "∑_", re.sub(r"\bprod_", "∏_", html))
    html = html.replace("&gt;=", "≥").replace("&lt;=", "≤").replace("!=", "≠")
    for word, sign in SIGNS.items():
        html = re.sub(rf"(?<![A-Za-z]){word}(?![A-Za-z])", sign, html)
    html = re.sub(
        r"(?<=[{(])-(?=\w)|(?<![A-Za-z]{2})(?<!-)-(?=[\W\d_]|[A-Za-z]\b|[A-Za-z]_)(?!-)", "−", html
    )  # a hyphen joins words
    html = re.sub(r"((?<![A-Za-z])[A-Za-z]|[π∑∏⟩])_(?:\{([^{}]*)\}|(\w{1,2})\b)", r"\1<sub>\2\3</sub>", html)
    html = re.sub(r"`([^`]+)`", r"<code>\1</code>", html)
    previous = None
    while html != previous:  # from the inside out
        previous = html
        html = re.sub(r"\^(?:\{([^{}^]*)\}|\(([^()^]*)\)|(-?\w+))", r"<sup>\1\2\3</sup>", html)
    return Markup(html)


def _mathml(formula: str) -> Markup:
    """Return a formula as MathML, or as it was written if it does not parse or asks for more than a layout."""
    try:
        return _serialised(convert_to_element(formula))
    except Exception:  # of the parser, which has no common one, or of `_serialised`
        return Markup("<code>{}</code>").format(f"${formula}$")


def _serialised(element: Element) -> Markup:
    """Return an element and what is in it as HTML.

    Raises:
        ValueError: an element, an attribute or an unknown command that a formula does not need.
    """
    text = unescape(element.text or "")
    if element.tag not in ELEMENTS or "\\" in text:
        raise ValueError(f"no formula holds <{element.tag}>{text}")
    given = {name: value for name, value in element.attrib.items() if name not in ("display", "xmlns")}
    if not given.keys() <= ATTRIBUTES:
        raise ValueError(f"no formula holds <{element.tag} {' '.join(given)}>")
    attributes = Markup().join(Markup(' {}="{}"').format(*item) for item in given.items())
    inner = escape(text) + Markup().join(map(_serialised, element))
    html = Markup("<{0}{1}>{2}</{0}>").format(element.tag, attributes, inner)
    is_function = element.tag == "mi" and len(text) > 1 and text.isalpha()
    return html + Markup('<mspace width="0.17em"></mspace>') if is_function else html  # log p, not logp


def _plain(text: str) -> Markup:
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text.replace(r"\$", "$")))))


def _fenced(formula: str) -> str:
    if "`" in formula:
        return _markdown(f"${formula}$")
    bars = formula.replace(r"\|", r"\Vert ").replace("|", r"\vert ")
    return f"$`{bars}`$"


def _markdown(text: str) -> str:
    """Return plain text so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", text.replace(r"\$", "$")).replace("<", "&lt;")
