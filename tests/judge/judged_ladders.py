"""A claim and ladders of levels for the tests of the judge."""

from __future__ import annotations

import numpy as np

from attnflow.judge.claims import Claim
from attnflow.judge.levels import Level

BANDWIDTHS = 0.4 * 2.0 ** -np.arange(8.0)
COUNTS = 64 * 2.0 ** np.arange(8)


def make_claim(**changes: object) -> Claim:
    known = {
        "id": "bias/circle",
        "source": "RZ",
        "statement": "The bias is of order eps.",
        "kind": "exponent",
        "quantity": "bias",
        "size": "bandwidth",
        "hypotheses": "p smooth and positive",
        "predicted": 1.0,
    }
    return Claim(**(known | changes))


def deterministic_ladder(errors: np.ndarray | None = None, *, levels: int = 8, **changes: object) -> list[Level]:
    errors = BANDWIDTHS * np.exp(0.5 * BANDWIDTHS) if errors is None else errors
    return [
        Level(size=h, values=np.array([e]), deterministic=True, seconds=0.5, **changes)
        for h, e in zip(BANDWIDTHS[:levels], errors[:levels], strict=True)
    ]


def random_ladder(
    seed: int = 0, *, seeds: int = 100, levels: int = 8, modes: int = 20, **changes: object
) -> list[Level]:
    """Errors of order N^-1/2 with a correction; levels are prefixes of one draw, a norm over `modes` modes."""
    counts = COUNTS[:levels]
    steps = np.sqrt(np.diff(np.concatenate([[0.0], counts])))[:, None, None]
    sums = np.cumsum(np.random.default_rng(seed).standard_normal((levels, seeds, modes)) * steps, axis=0)
    errors = np.linalg.norm(sums, axis=2) / counts[:, None] * np.exp(0.3 * COUNTS[0] / counts)[:, None]
    return [Level(size=n, values=row, **changes) for n, row in zip(counts, errors, strict=True)]


def noise_claim(predicted: float = -0.5, **changes: object) -> Claim:
    return make_claim(id="noise-N", size="N", predicted=predicted, **changes)


def constant_ladder(limit: float, *, seeds: int = 40, levels: int = 8) -> list[Level]:
    noise = 0.02 * np.random.default_rng(7).standard_normal((1, seeds))
    return [Level(size=n, values=(limit + noise + 30 / n)[0]) for n in COUNTS[:levels]]
