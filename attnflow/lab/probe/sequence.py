"""Attention along the order of the tokens: drift and diffusion with restart."""

from __future__ import annotations

import math

import numpy as np

from attnflow.lab.probe.passes import Pass, between, phases, ratio

SATURATION = 0.95  # of the largest mass above chance, at which a window ends: beyond it ends where noise says
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
    return _numbers(summed, np.arange(summed.count))


def interval_along(summed: Pass) -> dict[str, float]:
    """Return half the width of a 95 % interval of each, by leaving out stretches of the sequence in turn."""
    rows = np.arange(summed.count)
    left = [_numbers(summed, np.setdiff1d(rows, stretch)) for stretch in np.array_split(rows, STRETCHES)]
    widths = {}
    for name in NAMES:
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


def _window(mass: np.ndarray, chance: np.ndarray, offsets: np.ndarray) -> float:
    """Return where the mass above chance reaches 95 % of its largest, between whole offsets: so it has no jumps."""
    widths = np.arange(len(offsets) // 2 + 1)
    found = np.array([_excess(*(part[np.abs(offsets) <= width].sum() for part in (mass, chance))) for width in widths])
    wanted = SATURATION * found.max()
    if wanted <= 0:
        return 1.0
    first = int(np.argmax(found >= wanted))
    before = found[first - 1] if first else 0.0
    return max(1.0, first - 1 + float((wanted - before) / (found[first] - before)))


def _numbers(summed: Pass, rows: np.ndarray) -> dict[str, float]:
    offsets = _offsets(summed)
    mass = summed.band[rows].mean(axis=0)
    chance = _there(summed.count, rows, offsets).mean(axis=0) / summed.count
    window = _window(mass, chance, offsets)
    within = np.clip(1 + window - np.abs(offsets), 0, 1)
    mass, chance = within * mass, within * chance
    kept = float(_excess(mass.sum(), chance.sum()))
    leak = 1 - kept
    steps = (mass - leak * chance) / kept if kept > NOTHING_KEPT else np.full(len(offsets), np.nan)
    mean, square = float(steps @ offsets), float(steps @ offsets**2)
    size = math.sqrt(max(square, 0)) if math.isfinite(square) else math.nan
    return {
        "window": window,
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
