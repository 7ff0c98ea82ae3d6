"""Heads whose kind is known, probed beside every file: a report is worth what it says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from attnflow.lab.probe.probing import probe
from attnflow.lab.probe.results import HeadProbe

TOKENS, BANDWIDTH = 400, 0.05  # on S^2: 20 effective keys, locality and jump .09 and .05
WIDTH = 64  # of random tokens, queries and keys


@dataclass(frozen=True, eq=False)
class Control:
    """A head whose kind is known.

    Args:
        name: a short one, for figures.
        words: what it is.
        head: what the probe says of it.
        expected: the verdict that it must get, in words.
        holds: whether it does.
    """

    name: str
    words: str
    head: HeadProbe
    expected: str
    holds: bool


@lru_cache(maxsize=1)
def controls() -> tuple[Control, ...]:
    """Return a diffusion and what spoils one: queries turned or negated on S^2 with a dot product, random weights.

    They are the same in every report: 400 tokens of one draw, 3 CPU-s the first time.

    Example:
        >>> from attnflow.lab.probe.controls import controls
        >>> [(control.name, control.holds) for control in controls()][:2]
        [('sphere', True), ('turned by 5', True)]
    """
    rng = np.random.default_rng(8)
    sphere = rng.standard_normal((TOKENS, 3))
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    random, queries, keys = (rng.standard_normal((size, WIDTH)) for size in (TOKENS, WIDTH, WIDTH))
    random_queries, random_keys = (random @ weights / np.sqrt(WIDTH) for weights in (queries, keys))

    def turned(degrees: float) -> np.ndarray:
        sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
        return sphere @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])

    def on_sphere(name: str, words: str, queries: np.ndarray, expected: str, holds: Callable[[str], bool]) -> Control:
        head = probe(sphere, queries=queries, keys=sphere, bandwidth=BANDWIDTH).head
        return Control(name, f"S^2 with a dot product{words}", head, expected, holds(head.reading.kind))

    def is_none(kind: str) -> bool:
        return kind not in ("diffusion", "nothing")

    nothing = probe(random, queries=random_queries, keys=random_keys).head
    return (
        on_sphere("sphere", "", sphere, "a diffusion", lambda kind: kind == "diffusion"),
        on_sphere("turned by 5", ", queries turned by 5 degrees", turned(5), "not a diffusion", is_none),
        on_sphere("turned by 30", ", queries turned by 30 degrees", turned(30), "a jump", lambda kind: kind == "jump"),
        on_sphere("negated", ", queries negated", -sphere, "not a diffusion: D < 0", is_none),
        Control("random", "random tokens and weights", nothing, "nothing to see", nothing.reading.kind == "nothing"),
    )
