"""The reversible part of attention: its eigenvalues, and what its slow modes are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse.linalg

from attnflow.lab.probe.results import Mode
from attnflow.lab.probe.sources import Logits, softmax
from attnflow.lab.probe.splitting import sides_of

ALL_TOKENS = 1024  # up to which every eigenvalue is computed: half a second; of more tokens the leading ones
LEADING = 32
MOST_TOKENS = 4096  # whose matrix takes 128 MB
MODES = 6
SLOW = 0.5
EXPLAINED = 0.5  # of a mode's variance, below which its label is "mixed"
POSITIONS = 6  # cosines along the sequence
DIRECTIONS = 3  # principal axes of the cloud
MIXED = "mixed"
_STEPS, _STILL = 300, 1e-7


def reversible(logits: Logits) -> tuple[np.ndarray, np.ndarray]:
    """Return the symmetric form (N, N) of attention without its circulation, and its stationary law (N,).

        k_ij = e^{b_i + b_j - D_ij/2},    S_ij = k_ij / sqrt(k_i k_j),    pi_i = k_i / sum k,    k_i = sum_j k_ij,

    so that S has the eigenvalues of k_ij / k_i. Logarithms keep it finite whatever the logits are.
    """
    matrix = logits.matrix()
    sides = sides_of(logits.own(), *logits.means())
    shift = sides.potential - sides.own / 2
    symmetric = (matrix + matrix.T) / 2 + shift[:, None] + shift
    top = symmetric.max(axis=1)
    total = top + np.log(np.exp(symmetric - top[:, None]).sum(axis=1))
    law = np.exp(total - total.max())
    symmetric -= (total[:, None] + total) / 2
    return np.exp(symmetric, out=symmetric), law / law.sum()


def eigenvalues_of(symmetric: np.ndarray) -> np.ndarray:
    """Return its eigenvalues, falling, (k,): all of them, or the leading ones of a large matrix."""
    if len(symmetric) <= ALL_TOKENS:
        return np.linalg.eigvalsh(symmetric)[::-1]
    return eigenpairs_of(symmetric)[0]


def eigenpairs_of(symmetric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same eigenvalues (k,) and their vectors (N, k)."""
    if len(symmetric) <= ALL_TOKENS:
        found, vectors = np.linalg.eigh(symmetric)
    else:
        start = np.random.default_rng(0).standard_normal(len(symmetric))
        found, vectors = scipy.sparse.linalg.eigsh(symmetric, k=LEADING, which="LA", v0=start, tol=1e-9)
    return found[::-1], vectors[:, ::-1]


def irreversibility(logits: Logits, law: np.ndarray) -> float:
    """Return 1/2 sum_ij |pi_i A_ij - pi_j A_ji|, the flux that does not balance.

    Args:
        logits: of A.
        law: where the iteration for pi begins: the stationary law of the reversible part.
    """
    weights = softmax(logits.matrix())
    for _ in range(_STEPS):
        moved = law @ weights
        moved /= moved.sum()
        still = np.abs(moved - law).sum() < _STILL
        law = moved
        if still:
            break
    flux = law[:, None] * weights
    return float(np.abs(flux - flux.T).sum() / 2)


def slow_numbers(logits: Logits) -> dict[str, float]:
    """Return the number of slow modes, the second eigenvalue and the irreversibility."""
    symmetric, law = reversible(logits)
    return {**numbers_of(eigenvalues_of(symmetric)), "irreversibility": irreversibility(logits, law)}


def numbers_of(eigenvalues: np.ndarray) -> dict[str, float]:
    """Return the number of slow modes and the second eigenvalue."""
    return {"slow_modes": float(np.sum(eigenvalues[1:] > SLOW)), "second_eigenvalue": float(eigenvalues[1])}


def explanations(
    count: int, points: np.ndarray | None, tokens: tuple[str, ...] | None, potential: np.ndarray | None = None
) -> Mapping[str, np.ndarray]:
    """Return what may explain a mode, columns (N, p) by their labels.

    Args:
        count: N.
        points: coordinates, shape (N, D), or None.
        tokens: names, or None; they count where some occur more than once.
        potential: b, shape (N,), or None.
    """
    places = np.pi * (np.arange(count) + 0.5) / count
    found = {"position": np.cos(places[:, None] * np.arange(1, POSITIONS + 1))}
    if tokens is not None and 1 < len(set(tokens)) < count:
        names, which = np.unique(tokens, return_inverse=True)
        found["token identity"] = np.eye(len(names))[which][:, 1:]
    if points is not None:
        norms = np.linalg.norm(points, axis=1)
        if np.ptp(norms) > 1e-6 * norms.max():
            found["norm"] = np.stack([norms, norms**2], axis=1)
        spread = points - points.mean(axis=0)
        found["direction of the cloud"] = spread @ np.linalg.eigh(spread.T @ spread)[1][:, -DIRECTIONS:]
    if potential is not None and np.ptp(potential) > 1e-9:
        found["key potential"] = potential[:, None]
    return found


def modes_of(
    eigenvalues: np.ndarray, vectors: np.ndarray, law: np.ndarray, causes: Mapping[str, np.ndarray]
) -> tuple[Mode, ...]:
    """Return the first modes after the constant one, each with what explains most of it.

    Args:
        eigenvalues: falling, shape (k,).
        vectors: of the symmetric form, shape (N, k).
        law: the stationary law, shape (N,).
        causes: what may explain a mode, columns (N, p) by their labels.
    """
    root = np.sqrt(law)
    found = []
    for eigenvalue, vector in zip(eigenvalues[1 : MODES + 1], vectors.T[1 : MODES + 1], strict=True):
        shares = {label: _explained(vector, root, columns) for label, columns in causes.items()}
        label = max(shares, key=lambda name: shares[name])
        if shares[label] < EXPLAINED:
            label, shares = MIXED, {MIXED: shares[label]}
        largest = np.argmax(np.abs(vector))
        values = vector * np.sign(vector[largest]) / np.maximum(root, np.finfo(float).tiny)
        found.append(Mode(float(eigenvalue), values, label, shares[label]))
    return tuple(found)


def _explained(vector: np.ndarray, root: np.ndarray, columns: np.ndarray) -> float:
    """Return the adjusted share of a mode's variance under the stationary law that columns explain linearly."""
    tokens = 1 / np.sum(root**4)  # in effect
    parameters = columns.shape[1]
    if tokens - parameters - 1 <= 0:
        return 0.0
    design = root[:, None] * np.column_stack([np.ones(len(root)), columns / np.abs(columns).max(axis=0)])
    told = design @ np.linalg.lstsq(design, vector, rcond=None)[0]
    missed = float(np.sum((vector - told) ** 2) / np.sum((vector - root * (root @ vector)) ** 2))
    return max(0.0, 1 - missed * (tokens - 1) / (tokens - parameters - 1))
