"""Are heads whose kernels share a part of their spectra better than independent ones of as many parameters?

[S] joins the spectra of several implicit kernels, by a copula, and finds them ahead of independent heads. Here they are
joined by a factor of frequencies, see `StructuredKernels`: two heads of eight features, 16 frequencies each, with the
norm of keys (P = 2). Independent heads have eight hidden units each; structured ones four, and eight in common: both
have the same number of parameters, which is measured too.

Claimed is that the mean of paired differences of accuracy is positive, in telling written digits apart, see
`kernel_tasks`. The control takes the same difference with structured heads after training on shuffled labels.
"""

from typing import Any

import jax
import numpy as np
from kernel_tasks import accuracy_figure, told_apart
from matplotlib.figure import Figure

import attnflow as af

STEPS = 500
SIZES: dict[str, Any] = {"heads": 2, "features": 8, "frequencies": 16, "norm": 2.0}
KINDS = {
    "independent": lambda dim, key: af.learn.ImplicitKernel(dim, **SIZES, hidden=8, key=key),
    "structured": lambda dim, key: af.learn.StructuredKernels(dim, **SIZES, hidden=4, shared=8, key=key),
}


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return accuracies, what structured heads are ahead, and how many parameters more they have."""
    found = told_apart(KINDS, keys, shuffled="structured", count=case["digits"], steps=STEPS)
    counts = {name: af.learn.parameter_count(kind(16, keys[0])) for name, kind in KINDS.items()}
    return found | {
        "structured_over_independent": found["structured"] - found["independent"],
        "shuffled_over_independent": found["shuffled"] - found["independent"],
        "more_parameters": np.full(len(keys), float(counts["structured"] - counts["independent"])),
    }


def accuracies(records: list) -> Figure:
    """Return what every seed tells rightly."""
    names = {"independent": "independent kernels", "structured": "kernels with a factor in common"}
    return accuracy_figure(records[0][1], names)


ahead = af.Claim(
    id="S-structured/digits", source="S", kind="ordering", quantity="structured_over_independent", size="digits",
    statement="heads that share a factor of frequencies tell more digits rightly than independent ones",
    hypotheses="equal parameters; digits in batches of 64, width 16, one block without residual, 500 steps of Adam",
    predicted=1.0, measures=("learned",),
)  # fmt: skip
study = af.Study(
    name="structured",
    measure=measure,
    ladder=[{"digits": 1797}],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=af.covered([
        ahead,
        ahead.control(
            statement="they do so after training on shuffled labels", quantity="shuffled_over_independent",
            truth=-0.65, truth_margin=0.3,
        ),
        af.Claim(
            id="S-structured/parameters", source="derived", kind="identity", quantity="more_parameters", size="digits",
            statement="both have the same number of parameters", hypotheses="hidden units as above",
            predicted=0.0, margin=0.0, measures=(),
        ),
    ], by="S-structured-control/digits"),
    figures=[accuracies],
    labels={
        "structured_over_independent": "more digits told rightly by structured heads than by independent ones",
        "shuffled_over_independent": "more digits told rightly by structured heads, on shuffled labels",
        "more_parameters": "more parameters of structured heads",
    },
)  # fmt: skip
