"""`probe`: what a finite attention, or a cloud of points, looks like."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attnflow.lab.probe.arguments import Head, check_tokens, read_heads
from attnflow.lab.probe.cloud import probe_cloud
from attnflow.lab.probe.definitions import DEFINITIONS, OF_POINTS
from attnflow.lab.probe.dimension import intrinsic_dimension
from attnflow.lab.probe.numbers import numbers_of_pass
from attnflow.lab.probe.passes import pass_over
from attnflow.lab.probe.results import HeadProbe, Probe, ReversibleSpectrum, Rows
from attnflow.lab.probe.sequence import interval_along, profile
from attnflow.lab.probe.spectra import (
    MOST_TOKENS,
    eigenpairs_of,
    eigenvalues_of,
    explanations,
    irreversibility,
    modes_of,
    numbers_of,
    reversible,
)
from attnflow.lab.probe.splitting import sides_of
from attnflow.lab.probe.surrogates import DRAWS, Tokens, gaussian_logits, some_tokens, tokens_of_a_draw
from attnflow.lab.probe.uncertainty import as_numbers, nulls_of_head, numbers_of_tokens, of_halves
from attnflow.lab.probe.verdicts import read

OF_A_HEAD = tuple(name for name in DEFINITIONS if name not in OF_POINTS)


def probe(
    points: object = None, *, queries: object = None, keys: object = None, values: object = None,
    bandwidth: float | None = None, logits: object = None, tokens: object = None, names: Sequence[str] | None = None,
) -> Probe:  # fmt: skip
    """Return what a head, several heads or points alone look like, without a manifold.

        A_ij = e^{L_ij} / sum_k e^{L_ik},    L = Q K'/eps,    L_ij = r_i + b_j - D_ij/2 + W_ij,

    each number with an interval, what it is where there is nothing to find, and what it cannot say, see `DEFINITIONS`
    and `docs/probe.md`; the verdict with the rule that gave it. Rows are taken in the order of the tokens.

    Args:
        points: coordinates X of the tokens, shape (N, D), at least 50 of them; (H, N, D) if heads differ. None leaves
            out what needs them.
        queries: Q, shape (N, d), or (H, N, d) for several heads; with `keys`.
        keys: K, of the same shape.
        values: V that heads pass on, shape (N, c) or (H, N, c); None for the coordinates.
        bandwidth: eps; None for sqrt(d), or of points alone for that of the steepest kernel sum.
        logits: L, shape (N, N) or (H, N, N), in place of queries and keys.
        tokens: names of the tokens, N of them: modes are then tried for their identity.
        names: names of the heads.

    Raises:
        ConfigError: if queries come without keys, or with logits, or `bandwidth` is not positive.
        DataError: if shapes do not fit together, rows are not finite, columns of the points are constant, or there are
            fewer than 50 tokens.
        ResourceError: if there are more than 65536 tokens.

    Example:
        >>> import numpy as np, attnflow as af
        >>> x = np.random.default_rng(0).standard_normal((400, 3))
        >>> x /= np.linalg.norm(x, axis=1, keepdims=True)
        >>> found = af.probe(x, queries=x, keys=x, bandwidth=0.05)
        >>> found
        Probe(HeadProbe('head 0', 400 tokens, 'a diffusion'))
        >>> round(found.head["locality"], 2), found.head["negative_cost"]
        (0.09, 0.0)
        >>> af.probe(x).cloud.numbers["dimension"].value > 1.7
        True
    """
    heads = read_heads(
        points, queries=queries, keys=keys, values=values, logits=logits, bandwidth=bandwidth, names=names
    )
    if not heads:
        cloud = probe_cloud(np.asarray(points, float), bandwidth=bandwidth, tokens=tokens)
        return Probe(cloud.count, (), cloud, check_tokens(tokens, cloud.count))
    named = check_tokens(tokens, heads[0].logits.count)
    return Probe(heads[0].logits.count, tuple(probe_head(head, tokens=named) for head in heads), None, named)


def probe_head(head: Head, *, tokens: tuple[str, ...] | None = None) -> HeadProbe:
    """Return what one head looks like.

    Args:
        head: as `read_heads` gives it.
        tokens: names of its tokens.
    """
    rng = np.random.default_rng(0)
    count = head.logits.count
    whole = Tokens(head.logits, head.points, head.values)
    summed = pass_over(head.logits, head.points, head.values, rng=rng)
    values = numbers_of_pass(summed, square=head.logits.squared_gram(), tokens=count)
    values["intrinsic_dimension"], why = intrinsic_dimension(head.points)
    reasons = _reasons(head) | {"intrinsic_dimension": why}

    def draw(which: np.ndarray) -> dict[str, float]:
        return numbers_of_tokens(whole.of(which), tokens=count, rng=rng)

    halves = of_halves(draw, count, rng)
    widths = halves.widths | interval_along(summed)
    spectrum = None
    if count <= MOST_TOKENS:
        spectrum, slow = _spectrum(whole, tokens, rng)
        values |= slow
    else:
        left = ("slow_modes", "second_eigenvalue", "irreversibility")
        reasons |= dict.fromkeys(left, f"it takes a matrix, of at most {MOST_TOKENS} tokens")
    own = values if tokens_of_a_draw(count) == count else halves.means
    nulls = nulls_of_head(whole, own, rng)
    numbers = as_numbers(values, widths, nulls, reasons=reasons, order=OF_A_HEAD)
    rows = Rows(summed.ess, summed.typicality, summed.gap, summed.received, *profile(summed))
    return HeadProbe(head.name, head.scale, numbers, read(numbers), rows, spectrum, head.logits)


def _reasons(head: Head) -> dict[str, str]:
    """Return why numbers have no value."""
    found = dict.fromkeys(("step_mean", "step_size"), "nearly all of the mass restarts")
    if head.values is None:
        found |= dict.fromkeys(("locality_values", "jump_values"), "there are no values")
    if head.points is None:
        found |= dict.fromkeys(("locality", "jump"), "there are no coordinates")
    if head.points is None and head.values is None:
        without = ("split_half", "skill_self", "skill_first_order", "contraction")
        found |= dict.fromkeys(without, "there are neither coordinates nor values")
    return found


def _spectrum(
    whole: Tokens, tokens: tuple[str, ...] | None, rng: np.random.Generator
) -> tuple[ReversibleSpectrum, dict[str, float]]:
    symmetric, law = reversible(whole.logits)
    eigenvalues, vectors = eigenpairs_of(symmetric)
    potential = sides_of(whole.logits.own(), *whole.logits.means()).potential
    causes = explanations(whole.logits.count, whole.points, tokens, potential)
    null = []
    for _ in range(DRAWS):
        some = whole.of(some_tokens(whole.logits.count, rng))
        null.append(eigenvalues_of(reversible(gaussian_logits(some, rng).logits)[0]))
    spectrum = ReversibleSpectrum(
        eigenvalues, np.mean(null, axis=0), "gaussian logits", len(null[0]), modes_of(eigenvalues, vectors, law, causes)
    )
    return spectrum, {**numbers_of(eigenvalues), "irreversibility": irreversibility(whole.logits, law)}
