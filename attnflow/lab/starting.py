"""A study to start from: a file that runs in seconds, whose claim is supported and whose control is refuted."""

from __future__ import annotations

import re
from importlib.metadata import packages_distributions
from pathlib import Path

from attnflow.errors import ConfigError, ResultFileError

TEXT = '''\
"""How near is one layer of attention to its limit, as the bandwidth eps shrinks?

On the circle, with infinitely many points of law p and the weights exp(-|x - y|^2 / 2 eps),

    (A f - f) / eps = L f + O(eps),    L f = 1/2 Lap f + <grad log p, grad f>    [RZ: arXiv 2412.18288].
"""

import numpy as np

import attnflow as af

ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)


# 1. What is measured, in one case of the ladder and for one seed. This needs no `key`; it is for those who draw points.
@af.per_seed
def measure(case, key):
    queries, f = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]), lambda x: x[1] + x[0] * x[1]
    density = af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)
    attention = af.Attention(af.SquaredDistance(), bandwidth=case["bandwidth"])
    layer = af.PopulationAttention(attention, density).generator(f, at=queries)  # (A f - f) / eps
    limit = af.DriftDiffusion(attention, density).generator(f, at=queries)  # L f
    wrong = af.DriftDiffusion(attention, af.Uniform(af.Circle())).generator(f, at=queries)  # 1/2 Lap f, no drift
    return {"distance": np.abs(layer - limit).max(), "without_drift": np.abs(layer - wrong).max()}


# 2. What is claimed, before anything is measured: the distance falls like eps^1, the margin being 0.05 unless you say
# another. `source` is a key of your REFERENCES.bib, or "derived" if the docstring above derives the claim.
claim = af.Claim(
    id="NAME/rate", source="RZ", statement=r"the distance of a layer from $L f$ is of order $\\varepsilon$",
    kind="exponent", quantity="distance", size="bandwidth", predicted=1.0, hypotheses="circle, $p > 0$ smooth",
    measures=("population", "limit"),
)  # fmt: skip
# 3. A control: known to be false, so it must be refuted. `truth` is its true exponent: this distance stays.
control = claim.control(statement="it is so without the drift", quantity="without_drift", truth=0.0)
# 4. The ladder, from coarse to fine. `quick` is how many of its cases `verify` takes; `verify --full` takes all.
ladder = [{"bandwidth": 0.05 / 2**k} for k in range(8)]
labels = {"distance": r"$|(A f - f) / \\varepsilon - L f|$", "without_drift": "the same without the drift"}
study = af.Study(name="NAME", measure=measure, ladder=ladder, quick=8, claims=[claim, control], labels=labels)
'''


def start_study(name: str, folder: Path | str) -> Path:
    """Write a study of this name into a folder, which is made if it is not there, and return its file.

    Args:
        name: letters a-z, digits, `_` and `-`.
        folder: of the studies.

    Raises:
        ConfigError: another name, one that a study in the folder or below it has, or that of an installed package,
            which the studies beside it could then no longer import.
        ResultFileError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from attnflow.lab.loading import load_study
        >>> from attnflow.lab.starting import start_study
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [claim.id for claim in load_study(start_study("first", folder)).claims]
        ['first/rate', 'first-control/rate']
    """
    folder = Path(folder)
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ConfigError(f"`NAME` may hold only a-z, 0-9, _ and -, got {name!r}. Pass a name such as my-study.")
    if name.startswith(("_", "-")):
        raise ConfigError(f"`NAME` must begin with a letter or a digit, got {name!r}: other files are left out.")
    for path in sorted(folder.rglob(f"{name}.py")):
        raise ConfigError(f"`NAME` must be new, got {name!r}: there is {path}. Pass another one, or edit that file.")
    if name in packages_distributions():
        raise ConfigError(f"`NAME` must not be that of an installed package, got {name!r}. Pass another one.")
    path = folder / f"{name}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # "x": never over a file that is there
            file.write(TEXT.replace("NAME", name))
    except OSError as error:
        raise ResultFileError(
            f"could not write {path}: {error.strerror or error}. Pass another `--studies`."
        ) from error
    return path
