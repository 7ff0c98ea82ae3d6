"""What stands first on the page: the main theorem, and pictures of what attention does.

This is the one place that names studies and claims. What has not been run, or is not among the studies, is left out.
"""

from __future__ import annotations

from typing import NamedTuple

THEOREM = (  # as `docstring_blocks` has it
    ("paragraph", "A layer of attention among N points that stand still is a step of a drift-diffusion,", ""),
    ("equation", "A_N f = A f + O(N^{-1/2}),   (A f - f) / eps = L f + O(eps),", "[Si]"),
    ("equation", "L f = 1/2 Lap f + <grad log p, grad f>,", "[RZ, Theorem 3]"),
    ("paragraph", "and many layers, n = t / eps, are its semigroup,", ""),
    ("equation", "A^n f = e^{tL} f + O(eps).", ""),
)
MAIN = (
    "RZ3/circle",
    "bias/circle",
    "bias/sphere",
    "noise-N/circle",
    "noise-CLT/circle",
    "depth/circle",
    "depth/sphere",
)


class Picture(NamedTuple):
    """A figure that the page begins with.

    Args:
        study: that draws it.
        figure: its name among the figures of the study.
        caption: what is to be seen.
    """

    study: str
    figure: str
    caption: str


PICTURES = (
    Picture("three_lives", "circle", "One function under attention in its three lives, on the circle"),
    Picture("three_lives", "sphere", "The same on the sphere, and what the particles miss by"),
    Picture("error_plane", "valleys", "The error over points and bandwidth has a valley"),
    Picture("long_run", "spectrum-circle", "The spectrum of attention tends to that of its generator"),
    Picture("braids", "braid", "Tokens that move gather in clusters"),
    Picture("phases", "phases", "How many clusters, when, at which temperature"),
)
