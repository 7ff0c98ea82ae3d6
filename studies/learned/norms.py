"""Does the norm of keys help a kernel that is learned, and with which exponent?

The exponential of a dot product is a Gaussian kernel times e^{|k|^2/2} for every key k, and [S] makes the exponent P of
e^{|k|_P^P / 2} a choice, among which others than 2 do better. Against that, a term that grows with the size of a key
lets a few large ones attract all queries, and where blocks have no residual their tokens become equal: without it more
should remain.

Measured with stationary kernels of 16 frequencies that tell written digits apart, see `kernel_tasks`. Claimed is that
the mean of paired differences of accuracy is positive: of P = 1 and P = 3 over P = 2, as in [S], and of no norm at all
over P = 2. The control takes the last with the kernel without norm after training on shuffled labels.
"""

from typing import Any

import jax
import numpy as np
from kernel_tasks import accuracy_figure, told_apart
from matplotlib.figure import Figure

import attnflow as af

STEPS = 500
KINDS = {
    name: lambda dim, key, norm=norm: af.learn.ImplicitKernel(dim, norm=norm, frequencies=16, key=key)
    for name, norm in (("none", None), ("one", 1.0), ("two", 2.0), ("three", 3.0))
}


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return accuracies with each exponent, and what they are ahead of that with P = 2."""
    found = told_apart(KINDS, keys, shuffled="none", count=case["digits"], steps=STEPS)
    return found | {f"{name}_over_two": found[name] - found["two"] for name in ("none", "one", "three", "shuffled")}


def accuracies(records: list) -> Figure:
    """Return what every seed tells rightly."""
    names = {"none": "without norms", "one": "$P = 1$", "two": "$P = 2$", "three": "$P = 3$"}
    return accuracy_figure(records[0][1], names)


COMMON: dict[str, Any] = {
    "kind": "ordering", "size": "digits", "predicted": 1.0, "measures": ("learned",),
    "hypotheses": "digits in batches of 64, width 16, one block without residual, 500 steps of Adam at .01",
}  # fmt: skip
without = af.Claim(
    id="S-norms/none", source="derived", quantity="none_over_two",
    statement="a kernel without the norm of keys tells more digits rightly than with $P = 2$", **COMMON,
)  # fmt: skip
study = af.Study(
    name="norms",
    measure=measure,
    ladder=[{"digits": 1797}],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=af.covered([
        without,
        without.control(
            statement="it does so after training on shuffled labels", quantity="shuffled_over_two",
            truth=-0.65, truth_margin=0.3,
        ),
        af.Claim(
            id="S-norms/one", source="S", quantity="one_over_two",
            statement="the norm of keys with $P = 1$ tells more digits rightly than with $P = 2$", **COMMON,
        ),
        af.Claim(
            id="S-norms/three", source="S", quantity="three_over_two",
            statement="the norm of keys with $P = 3$ tells more digits rightly than with $P = 2$", **COMMON,
        ),
    ], by="S-norms-control/none"),
    figures=[accuracies],
    labels={
        "none_over_two": "more digits told rightly without norms than with $P = 2$",
        "one_over_two": "more digits told rightly with $P = 1$ than with $P = 2$",
        "three_over_two": "more digits told rightly with $P = 3$ than with $P = 2$",
        "shuffled_over_two": "more digits told rightly without norms, on shuffled labels",
    },
)  # fmt: skip
