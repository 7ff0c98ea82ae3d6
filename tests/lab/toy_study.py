"""A toy study that tests of the laboratory run: errors eps (1 + eps) with noise, in three records for a case."""

import jax
import numpy as np

from attnflow.judge.claims import Claim
from attnflow.lab.study import Study


def claim(**changes):
    fields = {
        "id": "toy", "source": "RZ", "statement": "errors are of order eps", "kind": "exponent", "quantity": "error",
        "size": "bandwidth", "hypotheses": "none", "predicted": 1.0,
    }  # fmt: skip
    return Claim(**{**fields, **changes})


LADDER = [{"bandwidth": 0.4 / 2**level} for level in range(8)]


def noise(keys):
    return np.array([np.random.default_rng(np.asarray(jax.random.key_data(key))).normal() for key in keys])


def measure(case, keys):
    """Errors eps (1 + eps) with 5 % of noise that the levels share only in part."""
    error = case["bandwidth"] * (1 + case["bandwidth"]) * (1 + 0.05 * noise(keys) * (1 + case["bandwidth"]))
    return {"error": error, "field": np.outer(error, [1.0, 2.0])}


def study(**changes):
    fields = {
        "name": "toy", "measure": measure, "ladder": LADDER, "quick": 3, "claims": [claim()], "seeds": 40,
        "quick_seeds": 6,
    }  # fmt: skip
    return Study(**{**fields, **changes})
