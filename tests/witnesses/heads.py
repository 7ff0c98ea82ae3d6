"""Numbers of a small head by their definitions, pair by pair; nothing here comes from attnflow."""

import numpy as np


def numbers(logits, points):
    """The definitions read out loud, with loops over pairs."""
    count = len(logits)
    tokens = range(count)
    A = np.array([softmax(row) for row in logits])
    cost = np.array([[logits[i, i] + logits[j, j] - logits[i, j] - logits[j, i] for j in tokens] for i in tokens])
    lean = [np.mean([(logits[i, j] - logits[j, i]) / 2 for j in tokens]) for i in tokens]
    circulation = np.array([[(logits[i, j] - logits[j, i]) / 2 - lean[i] + lean[j] for j in tokens] for i in tokens])
    potential = np.array([logits[j, j] / 2 - lean[j] for j in tokens])
    centred = logits - logits.mean(axis=1, keepdims=True)
    total = np.sum(centred**2)

    def moved(rest):
        return np.mean([np.abs(softmax(row) - a).sum() / 2 for row, a in zip(rest, A, strict=True)])

    means = A @ points
    spreads = [sum(A[i, j] * np.sum((points[j] - means[i]) ** 2) for j in tokens) for i in tokens]
    return {
        "ess": np.mean([1 / np.sum(row**2) for row in A]),
        "typicality": np.mean([sum(A[i, j] for j in tokens if logits[i, j] <= logits[i, i]) for i in tokens]),
        "gap": np.mean([logits[i].max() - logits[i, i] for i in tokens]),
        "own_top": np.mean([logits[i].argmax() == i for i in tokens]),
        "share_cost": np.sum(centred * rows_centred(-cost / 2)) / total,
        "share_potential": np.sum(centred * (potential - potential.mean())) / total,
        "share_circulation": np.sum(circulation**2) / total,
        "negative_cost": np.mean([cost[i, j] < 0 for i in tokens for j in tokens if i != j]),
        "tv_without_cost": moved(logits + cost / 2),
        "tv_without_potential": moved(logits - potential),
        "tv_without_circulation": moved(logits - circulation),
        "locality": np.mean(spreads) / np.mean(np.sum((points - points.mean(axis=0)) ** 2, axis=1)),
        "jump": np.mean(np.sum((means - points) ** 2, axis=1)) / np.mean(spreads),
        "contraction": np.sum((means - means.mean(axis=0)) ** 2) / np.sum((points - points.mean(axis=0)) ** 2),
        "column_imbalance": np.mean(np.abs(A.sum(axis=0) - 1)) / 2,
        "largest_key": A.sum(axis=0).max() / count,
        "effective_dimension": total**2 / np.sum((centred.T @ centred) ** 2),
    }


def softmax(row):
    """e^{L_j} / sum_k e^{L_k}."""
    return np.exp(row - row.max()) / np.exp(row - row.max()).sum()


def rows_centred(matrix):
    """C_ij = M_ij - mean_j M_ij."""
    return matrix - matrix.mean(axis=1, keepdims=True)


def detailed_balance(logits):
    """Eigenvalues of softmax without circulation, and 1/2 sum |pi_i A_ij - pi_j A_ji| by solving for pi."""
    count = len(logits)
    A = np.array([softmax(row) for row in logits])
    lean = ((logits - logits.T) / 2).mean(axis=1)
    circulation = (logits - logits.T) / 2 - lean[:, None] + lean
    reversible = np.array([softmax(row) for row in logits - circulation])
    system = np.vstack([A.T - np.eye(count), np.ones(count)])
    law = np.linalg.lstsq(system, np.append(np.zeros(count), 1.0), rcond=None)[0]
    flux = law[:, None] * A
    return np.sort(np.linalg.eigvals(reversible).real)[::-1], np.abs(flux - flux.T).sum() / 2
