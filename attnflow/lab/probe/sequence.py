"""Attention along the order of the tokens: drift and diffusion with restart."""

from __future__ import annotations

import math

import numpy as np

from attnflow.lab.probe.passes import Pass, between, phases, ratio

SATURATION = 0.9  # of the largest mass above chance, at which a window ends
NOTHING_KEPT = 0.05  # of the mass, below which its steps are those of chance
STRETCHES = 8  # of the sequence, left out one by one
STUDENT = 2.365  # two-sided 95 % of Student's t with seven degrees of freedom: eight stretches, eight halves

NAMES = ("window", "leak", "step_mean", "step_size", "window_skill")


def along(summed: Pass) -> dict[str, float]:
    """Return the numbers along the sequence.

        A f - f = leak (mean f - f) + (1 - leak)(mu f' + sigma^2/2 f''),

    for cosines f along the order of the tokens, with the window, the leak and the moments of j - i read off the
    weights, chance 1/N taken away, and nothing fitted to A f. sigma^2 is the second moment about the token itself.
    """
    rows = np.arange(summed.count)
    window = _window(summed, rows)
    return {"window": float(window), **_numbers(summed, rows, window)}


def interval_along(summed: Pass, window: int) -> dict[str, float]:
    """Return half the width of a 95 % interval of each, by leaving out stretches of the sequence in turn."""
    rows = np.arange(summed.count)
    left = [_numbers(summed, np.setdiff1d(rows, stretch), window) for stretch in np.array_split(rows, STRETCHES)]
    widths = {}
    for name in NAMES[1:]:
        found = np.array([numbers[name] for numbers in left])
        widths[name] = STUDENT * float(np.sqrt((STRETCHES - 1) / STRETCHES * np.sum((found - found.mean()) ** 2)))
    return widths


def profile(summed: Pass) -> tuple[np.ndarray, np.ndarray]:
    """Return offsets (k,) and the mean weight at each over the tokens that have such a neighbour (k,)."""
    offsets = _offsets(summed)
    return offsets, summed.band.sum(axis=0) / (summed.count - np.abs(offsets))


def _offsets(summed: Pass) -> np.ndarray:
    widest = summed.band.shape[1] // 2
    return np.arange(-widest, widest + 1)


def _there(count: int, rows: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    keys = rows[:, None] + offsets
    return (keys >= 0) & (keys < count)


def _excess(mass: float, chance: float) -> float:
    return (mass - chance) / (1 - chance)


def _window(summed: Pass, rows: np.ndarray) -> int:
    offsets = _offsets(summed)
    mass = summed.band.mean(axis=0)
    chance = _there(summed.count, rows, offsets).mean(axis=0) / summed.count
    widths = np.arange(1, len(offsets) // 2 + 1)
    found = np.array(
        [_excess(mass[np.abs(offsets) <= width].sum(), chance[np.abs(offsets) <= width].sum()) for width in widths]
    )
    return int(widths[np.argmax(found >= SATURATION * found.max())]) if found.max() > 0 else 1


def _numbers(summed: Pass, rows: np.ndarray, window: int) -> dict[str, float]:
    offsets = _offsets(summed)
    near = np.abs(offsets) <= window
    offsets = offsets[near]
    mass = summed.band[np.ix_(rows, near)].mean(axis=0)
    chance = _there(summed.count, rows, offsets).mean(axis=0) / summed.count
    kept = float(_excess(mass.sum(), chance.sum()))
    leak = 1 - kept
    steps = (mass - leak * chance) / kept if kept > NOTHING_KEPT else np.full(len(offsets), np.nan)
    mean, square = float(steps @ offsets), float(steps @ offsets**2)
    size = math.sqrt(max(square, 0)) if math.isfinite(square) else math.nan
    return {
        "leak": leak,
        "step_mean": mean,
        "step_size": size,
        "window_skill": _skill(summed, rows, leak, mean, square),
    }


def _skill(summed: Pass, rows: np.ndarray, leak: float, mean: float, square: float) -> float:
    """Return the share of the variance of A f that the formula tells, of the cosines together; their means are 0."""
    phase = phases(summed.count)[rows]
    rates = np.pi / summed.count * np.arange(1, phase.shape[1] + 1)
    f = np.cos(phase)
    told = (1 - leak) * (f - mean * rates * np.sin(phase) - square / 2 * rates**2 * f)
    return 1 - ratio(float(np.sum((summed.waves[rows] - told) ** 2)), between(summed.waves[rows]))
