"""Rates of jumps between cells by exponential fitting, which keep positivity where the drift is strong  [SG]."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_array, csr_array
from scipy.sparse.linalg import splu

from attnflow.equations.discretizations.cells import Cells
from attnflow.equations.semigroups.positive import Jumps
from attnflow.errors import ConfigError

_SKEW = 1e-8  # of C between the coordinates, relative: more is not along them


def bernoulli(x: np.ndarray) -> np.ndarray:
    """Return x / (e^x - 1), 1 at 0.

    Example:
        >>> import numpy as np
        >>> np.round(bernoulli(np.array([-1.0, 0.0, 1.0])), 6)
        array([1.581977, 1.      , 0.581977])
    """
    with np.errstate(over="ignore"):
        return np.where(x == 0, 1.0, x / np.expm1(np.where(x == 0, 1.0, x)))


def along_coordinates(cells: Cells, diffusions: np.ndarray) -> np.ndarray:
    """Return C along the coordinates at the centres, (K, m).

    Raises:
        ConfigError: if C has parts between them.
    """
    tensors = np.einsum("qai,qij,qbj->qab", cells.axes, diffusions, cells.axes)
    along = np.diagonal(tensors, axis1=1, axis2=2).copy()
    if along.shape[1] == 2:
        skew = np.abs(tensors[:, 0, 1]) / np.sqrt(along.prod(axis=1))
        worst = int(np.argmax(skew))
        if skew[worst] > _SKEW:
            raise ConfigError(
                "finite volumes need a metric along their coordinates, but it couples them by "
                f"{skew[worst]:.3g} of the diffusion at {np.round(cells.centres[worst], 4).tolist()}. Use "
                "discretization='auto'."
            )
    return along


def balanced(cells: Cells, along: np.ndarray, log_law: np.ndarray) -> Jumps:
    """Return the jumps in detailed balance with V e^psi."""
    tails, heads, axes, areas, distances = cells.faces
    flow = 0.25 * (along[tails, axes] + along[heads, axes]) * areas / distances
    rise = log_law[heads] - log_law[tails]
    return Jumps(
        len(log_law),
        tails=tails,
        heads=heads,
        forward=flow * bernoulli(-rise) / cells.volumes[tails],
        backward=flow * bernoulli(rise) / cells.volumes[heads],
    )


def carried(cells: Cells, along: np.ndarray, drifts: np.ndarray) -> Jumps:
    """Return the jumps with C (K, m) and b (K, m) at the cells that they leave."""
    tails, heads, axes, areas, distances = cells.faces
    if along.shape[1] == 2:
        drifts[:, 0] += cells.turning * (along[:, 1] - along[:, 0])

    def rates(cell: np.ndarray, sign: float) -> np.ndarray:
        spread, drift = along[cell, axes], sign * drifts[cell, axes]
        return 0.5 * spread * areas / distances * bernoulli(-2 * drift * distances / spread) / cells.volumes[cell]

    return Jumps(len(along), tails=tails, heads=heads, forward=rates(tails, 1.0), backward=rates(heads, -1.0))


def stationary(matrix: csr_array) -> np.ndarray:
    """Return pi (K,) with pi'Q = 0 and sum pi = 1."""
    law, place = np.ones(matrix.shape[0]), 0
    for _ in range(2):  # the second time from where it is largest: no digit is lost
        others = np.delete(np.arange(matrix.shape[0]), place)
        inner = csc_array(matrix.T.tocsr()[others][:, others])
        law = np.ones(matrix.shape[0])
        law[others] = splu(inner).solve(-matrix[[place]].toarray()[0, others])
        place = int(np.argmax(law))
    return law / law.sum()
