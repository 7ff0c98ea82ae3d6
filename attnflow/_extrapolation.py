"""Anderson's extrapolation of an iteration that converges by itself."""

from __future__ import annotations

import numpy as np

FARTHEST = 10.0  # from an update, that an extrapolation is followed: weights that have no fixed point run away


def extrapolated(inputs: list[np.ndarray], outputs: list[np.ndarray]) -> np.ndarray:
    """Return the combination of updates whose changes, combined alike, are least [WN].

    Args:
        inputs: the last few iterates, (N,) each.
        outputs: what an update has made of each, (N,) each.
    """
    changes = [found - values for values, found in zip(inputs, outputs, strict=True)]
    if len(changes) == 1:
        return outputs[-1]
    differences = np.column_stack([changes[-1] - change for change in changes[:-1]])
    weights = np.linalg.lstsq(differences, changes[-1], rcond=1e-10)[0]
    moved = np.column_stack([outputs[-1] - found for found in outputs[:-1]])
    far = moved @ weights
    return outputs[-1] - far if np.abs(far).max() <= FARTHEST else outputs[-1]
