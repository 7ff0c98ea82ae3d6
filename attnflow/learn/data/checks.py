"""What data for learning must be; every fault with the place where it is."""

from __future__ import annotations

import numpy as np

from attnflow._checks import check_finite, check_integer, check_real
from attnflow.errors import ConfigError, DataError


def check_share(given: object, name: str) -> float:
    """Return a number between 0 and 1; raise ConfigError otherwise."""
    share = check_real(given, name)
    if not 0 < share < 1:
        raise ConfigError(f"`{name}` is the share of labels for training, between 0 and 1, got {given!r}. Pass 0.5.")
    return share


def check_array(array: object, name: str, shape: str, *, dims: int) -> np.ndarray:
    """Return finite numbers of so many dimensions, read-only; raise DataError otherwise."""
    values = check_finite(array, name)
    if values.ndim != dims or not values.size:
        raise DataError(f"`{name}` must have shape {shape} and hold something, got shape {values.shape}.")
    return frozen(values)


def frozen(array: np.ndarray) -> np.ndarray:
    """Return a copy that cannot be written to."""
    array = np.array(array)
    array.setflags(write=False)
    return array


def check_truths(array: object, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of truth values of that shape, read-only; raise DataError otherwise."""
    values = np.asarray(array)
    if values.dtype != bool or values.shape != shape:
        raise DataError(f"`{name}` must be bool of shape {shape}, got {values.dtype} of shape {values.shape}.")
    return frozen(values)


def check_labels(array: object, classes: object, shape: tuple[int, ...], *, least: int) -> np.ndarray:
    """Return whole numbers from `least` to the number of classes; raise DataError naming the first that is not."""
    classes = check_integer(classes, "classes", minimum=2)
    given = check_finite(array, "labels")
    if given.shape != shape:
        raise DataError(f"`labels` must have shape {shape}, got {given.shape}.")
    wrong = (given != np.floor(given)) | (given < least) | (given >= classes)
    if wrong.any():
        where, label = first_place(wrong), given[wrong][0]
        unlabelled = ", or -1 where there is none" if least < 0 else ""
        raise DataError(
            f"`labels` must be whole numbers from 0 to {classes - 1}{unlabelled}; label {where} is {label:g}, and "
            f"`classes` is {classes}. Count classes from 0, or pass a larger `classes`."
        )
    return frozen(given.astype(np.int32))


def first_place(wrong: np.ndarray) -> str:
    """Return the first place that is wrong, in words."""
    return str(np.argwhere(wrong)[0].tolist()).strip("[]")


def refuse_any(wrong: np.ndarray, name: str, what: str) -> None:
    """Raise DataError naming the first row that is wrong, and what it is."""
    if wrong.any():
        raise DataError(f"`{name}`: row {first_place(wrong)} {what}.")


def check_split(train: np.ndarray, labelled: np.ndarray) -> None:
    """Raise DataError unless something is for training, and something else that has a label for testing."""
    if not train.any():
        raise DataError("`train` holds no True: nothing is left to learn from. Mark at least one label for training.")
    if not (labelled & ~train).any():
        raise DataError("`train` holds every label: nothing is left for testing. Leave at least one out.")
