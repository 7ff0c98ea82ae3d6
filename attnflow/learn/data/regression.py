"""Numbers to be found: one data set from medicine, and draws of Gaussian processes whose kernels are known."""

from __future__ import annotations

import jax
import numpy as np
from sklearn.datasets import load_diabetes

from attnflow._checks import check_choice, check_integer, check_real
from attnflow.densities.sampling import generator_of
from attnflow.errors import ConfigError
from attnflow.learn.data.base import Regression, split_of

NAMES = ("diabetes", "anisotropic", "periodic")
# Of the anisotropic kernel: an orthonormal basis none of whose directions is a coordinate, and the lengths along it.
_TURN = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
_LENGTHS = np.array([0.6, 2.0, 6.0, 18.0])
# Of the periodic kernel: the wave, 2.5 periods per unit, and the lengths within a period and over many.
_WAVE, _WITHIN, _OVER = np.array([2.0, 1.5]), 1.0, 3.0
_LEAST_VARIANCE = 1e-10  # of the kernel's matrix: smaller eigenvalues are rounding


def regression(
    name: str, *, key: jax.Array, count: int | None = None, train: float = 0.5, noise: float = 0.1
) -> Regression:
    r"""Return numbers to be found from points.

    "diabetes": the progress of the disease a year later, of 442 patients, from ten measurements  [EHJT]. The two others
    are draws of a Gaussian process of mean zero with a kernel that `known_kernel` is:

        anisotropic:  exp(-1/2 |A (x - y)|^2),   four coordinates, normal; lengths .6, 2, 6 and 18, askew
        periodic:     exp(-2 sin^2(pi w.(x - y)) - |x - y|^2 / 18),   two coordinates, uniform in (-1, 1), w = (2, 1.5)

    Args:
        name: one of the three.
        key: which rows are for training, and the draw.
        count: how many rows; None for all patients, or 400.
        train: the share of them for training.
        noise: the standard deviation of what is added to a draw.

    Raises:
        ConfigError: if there is no such name, a number is too small, or more patients are asked than there are.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.regression("periodic", key=jax.random.key(0))
        Regression(periodic: 400 numbers of 2 coordinates, 200 of 400 for training)
    """
    check_choice(name, "name", NAMES)
    if count is not None:
        check_integer(count, "count", minimum=2)
    if check_real(noise, "noise") < 0:
        raise ConfigError(f"`noise` must not be negative, got {noise!r}. Pass 0 for none.")
    generator = generator_of(key)
    if name == "diabetes":
        inputs, targets = load_diabetes(return_X_y=True, scaled=False)
        if count is not None and count > len(inputs):
            raise ConfigError(f"`count` must be at most {len(inputs)}, all patients there are, got {count}.")
        rows = generator.permutation(len(inputs))[:count]
        inputs, targets = inputs[rows], targets[rows]
    else:
        count = 400 if count is None else count
        inputs = generator.uniform(-1, 1, (count, 2)) if name == "periodic" else generator.normal(size=(count, 4))
        variances, vectors = np.linalg.eigh(known_kernel(name, inputs, inputs))
        roots = np.sqrt(np.where(variances > _LEAST_VARIANCE, variances, 0.0))
        targets = vectors @ (roots * generator.normal(size=count)) + noise * generator.normal(size=count)
    return Regression(name, inputs, targets, split_of(np.zeros(len(inputs)), train, key=key))


def known_kernel(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the kernel (N, M) of which the numbers of that name are a draw, between points (N, D) and (M, D).

    With it the best guess is K(x, X) (K(X, X) + noise^2)^-1 targets, X the inputs for training.

    Raises:
        ConfigError: if there is none of that name.

    Example:
        >>> import numpy as np, attnflow as af
        >>> x = np.array([[0.0, 0.0], [0.32, 0.24]])  # a period apart
        >>> np.round(af.learn.known_kernel("periodic", x, x), 4)
        array([[1.    , 0.9912],
               [0.9912, 1.    ]])
    """
    check_choice(name, "name", NAMES[1:])
    offsets = np.asarray(x)[:, None] - np.asarray(y)
    if name == "anisotropic":
        return np.exp(-0.5 * ((offsets @ _TURN.T / _LENGTHS) ** 2).sum(axis=2))
    within = 2 * np.sin(np.pi * offsets @ _WAVE) ** 2 / _WITHIN**2
    return np.exp(-within - (offsets**2).sum(axis=2) / (2 * _OVER**2))
