"""What a probe returns: numbers with their interval, their nulls and what they cannot say, verdicts and spectra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from attnflow._html import Table, in_html
from attnflow._optional import optional
from attnflow.errors import ConfigError
from attnflow.lab.probe.definitions import DEFINITIONS, Definition
from attnflow.lab.probe.sources import Logits, softmax
from attnflow.lab.probe.splitting import Split, split


@dataclass(frozen=True)
class Null:
    """What a number is where there is nothing to find.

    Args:
        name: "gaussian logits", "shuffled keys", "random weights" or "shuffled columns".
        value: the mean over draws.
        low: the smallest of the draws.
        high: the largest of them.
        draws: how many there are.
        tokens: how many tokens a draw has; counts that grow with the tokens are scaled to those of the head.
        own: the head's own number on as many tokens, with which the draws are to be compared; None where it has none.
    """

    name: str
    value: float
    low: float
    high: float
    draws: int
    tokens: int
    own: float | None = None


@dataclass(frozen=True)
class Number:
    """One number of a head or of a cloud of points.

    Args:
        name: its key in `DEFINITIONS`, which has what it means, how its interval is made and what it cannot say.
        value: the number; None where it has no meaning or was not computed, then `reason` says why.
        low: lower end of a 95 % interval for other tokens of the same kind; None where there is none.
        high: its upper end.
        nulls: what it is where there is nothing to find, the most telling first; may be empty.
        reason: why there is no value, or "".
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    nulls: tuple[Null, ...] = ()
    reason: str = ""

    @property
    def definition(self) -> Definition:
        """What the number means and what it cannot say."""
        return DEFINITIONS[self.name]

    @property
    def null(self) -> Null | None:
        """The most telling null, or None."""
        return self.nulls[0] if self.nulls else None

    def __repr__(self) -> str:
        if self.value is None:
            return f"{self.name} = none ({self.reason})"
        interval = "" if self.low is None else f" [{self.low:.3g}, {self.high:.3g}]"
        null = f", {self.nulls[0].name} {self.nulls[0].value:.3g}" if self.nulls else ""
        return f"{self.name} = {self.value:.3g}{interval}{null}"


@dataclass(frozen=True)
class Condition:
    """One comparison of a verdict's rule.

    Args:
        number: the key in `DEFINITIONS` of what is compared.
        value: what it is; None where there is none, then it does not hold.
        sign: ">=" or "<=".
        bound: with what it is compared.
        holds: whether it does.
    """

    number: str
    value: float | None
    sign: str
    bound: float
    holds: bool

    def __str__(self) -> str:
        label = DEFINITIONS[self.number].title
        value = "none" if self.value is None else f"{self.value:.3g}"
        return f"{label} {value} {'' if self.holds else 'not '}{self.sign} {self.bound:.3g}"


@dataclass(frozen=True)
class Reading:
    """A verdict on a head, in words, with the rule that gave it.

    Args:
        kind: "nothing", "diffusion", "window", "jump", "sink", "averaging" or "other".
        words: such as "a diffusion" or "not a diffusion: the token is not its own minimiser".
        rule: the rule that gave it, a sentence with its thresholds.
        conditions: the comparisons of that rule with this head's numbers.
        failed: of a head that is no diffusion, the comparisons of that rule which do not hold.
    """

    kind: str
    words: str
    rule: str
    conditions: tuple[Condition, ...]
    failed: tuple[Condition, ...] = ()

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, eq=False)
class Mode:
    """An eigenvector of the reversible part and what explains it.

    Args:
        eigenvalue: 1 for what attention leaves alone, 0 for what a single layer forgets.
        values: the vector on the tokens, shape (N,), root mean square 1 under the stationary law.
        label: "position", "token identity", "norm", "direction of the cloud" or "mixed".
        explained: share of its variance that the label explains, adjusted for its number of parameters.
    """

    eigenvalue: float
    values: np.ndarray
    label: str
    explained: float

    def __repr__(self) -> str:
        return f"Mode({self.eigenvalue:.4g}, {self.label}, {self.explained:.2f})"


@dataclass(frozen=True, eq=False)
class ReversibleSpectrum:
    """Eigenvalues of attention without its circulation, e^(b_j - D_ij/2) with rows divided by their sums.

    Args:
        eigenvalues: falling, the first of them 1, shape (k,).
        null_eigenvalues: means over draws of the null, falling, shape (k',); on as many tokens as `null_tokens`.
        null_name: which null.
        null_tokens: how many tokens its draws have.
        modes: the first few after the constant one.
    """

    eigenvalues: np.ndarray
    null_eigenvalues: np.ndarray
    null_name: str
    null_tokens: int
    modes: tuple[Mode, ...]

    def __repr__(self) -> str:
        shown = ", ".join(f"{number:.3g}" for number in self.eigenvalues[:4])
        return f"ReversibleSpectrum({len(self.eigenvalues)} eigenvalues: {shown}, ...)"


@dataclass(frozen=True, eq=False)
class Rows:
    """What single rows say, shape (N,) each, and the profile along the order of the tokens.

    Args:
        ess: 1/sum_j A_ij^2.
        typicality: mass on keys whose logit is at most the token's own.
        gap: the row's largest logit less the token's own, in nats.
        received: sum_i A_ij, what a key receives; 1 each if attention is doubly stochastic.
        offsets: j - i, shape (k,).
        profile: mean of A_i,i+offset over the tokens that have such a neighbour, shape (k,).
    """

    ess: np.ndarray
    typicality: np.ndarray
    gap: np.ndarray
    received: np.ndarray
    offsets: np.ndarray
    profile: np.ndarray

    def __repr__(self) -> str:
        return f"Rows({len(self.ess)} tokens, ess {self.ess.min():.3g} to {self.ess.max():.3g})"


@dataclass(frozen=True, eq=False)
class HeadProbe:
    """One head.

    Args:
        name: such as "head 0".
        scale: how logits were made, such as "L = Q K'/8".
        numbers: the numbers by their keys in `DEFINITIONS`, in the order of a report.
        reading: the verdict in words and the rule that gave it.
        rows: what single rows say.
        spectrum: of the reversible part; None where it was not computed (its numbers say why).
        source: the logits, from which matrices are made when they are asked for.
    """

    name: str
    scale: str
    numbers: Mapping[str, Number]
    reading: Reading
    rows: Rows
    spectrum: ReversibleSpectrum | None
    source: Logits

    def __getitem__(self, name: str) -> float | None:
        return self.numbers[name].value

    @property
    def count(self) -> int:
        """Number of tokens."""
        return self.source.count

    def logits(self) -> np.ndarray:
        """Return L, shape (N, N)."""
        return self.source.matrix()

    def weights(self) -> np.ndarray:
        """Return A, shape (N, N): softmax over keys."""
        return softmax(self.logits())

    def split(self) -> Split:
        """Return the exact parts of the logits, matrices (N, N)."""
        return split(self.logits())

    def _repr_html_(self) -> str:
        facts = {"head": self.name, "verdict": self.reading.words, "rule": self.reading.rule, "logits": self.scale}
        return in_html(self, facts, table=_table_of(self.numbers))

    def __repr__(self) -> str:
        return f"HeadProbe({self.name!r}, {self.count} tokens, {self.reading.words!r})"


@dataclass(frozen=True, eq=False)
class CloudProbe:
    """Points alone, as plain attention -|x - y|^2/(2 eps) would see them.

    Args:
        numbers: the numbers by their keys in `DEFINITIONS`, in the order of a report.
        bandwidth: eps of the spectrum and of the densities.
        chosen_by: how it was chosen: "given" or "steepest kernel sum".
        bandwidths: the ones that were tried, rising, shape (B,).
        dimensions: twice the slope of the log kernel sum against log eps, shape (B,).
        log_density: leave-one-out kernel estimate of log p on the tokens, up to a constant, mean 0, shape (N,).
        spectrum: of plain attention at that bandwidth, against points whose columns were shuffled.
        source: the logits of plain attention.
    """

    numbers: Mapping[str, Number]
    bandwidth: float
    chosen_by: str
    bandwidths: np.ndarray
    dimensions: np.ndarray
    log_density: np.ndarray
    spectrum: ReversibleSpectrum | None
    source: Logits

    def __getitem__(self, name: str) -> float | None:
        return self.numbers[name].value

    @property
    def count(self) -> int:
        """Number of points."""
        return self.source.count

    def weights(self) -> np.ndarray:
        """Return A, shape (N, N), of plain attention."""
        return softmax(self.source.matrix())

    def _repr_html_(self) -> str:
        facts = {"points": self.count, "bandwidth": f"{self.bandwidth:.3g}, {self.chosen_by}"}
        return in_html(self, facts, table=_table_of(self.numbers))

    def __repr__(self) -> str:
        return f"CloudProbe({self.count} points, dimension {self['dimension']:.3g}, bandwidth {self.bandwidth:.3g})"


@dataclass(frozen=True, eq=False)
class Probe:
    """What `probe` found.

    Args:
        count: N, number of tokens.
        heads: one for each head; empty for points alone.
        cloud: the points alone; None where there are heads.
        tokens: their names, or None.
        notes: sentences on what was left out and why.
    """

    count: int
    heads: tuple[HeadProbe, ...]
    cloud: CloudProbe | None
    tokens: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def head(self) -> HeadProbe:
        """The only head.

        Raises:
            ConfigError: if there are none or several.
        """
        if len(self.heads) != 1:
            raise ConfigError(f"`head` is for a probe of one head, this one has {len(self.heads)}. Index `heads`.")
        return self.heads[0]

    def table(self, names: tuple[str, ...]) -> np.ndarray:
        """Return some numbers of every head, shape (H, len(names)), NaN where there is none."""
        return np.array(
            [[np.nan if head[name] is None else head[name] for name in names] for head in self.heads], float
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw it and return the axes; a figure of its own is made where none are given.

        Raises:
            ConfigError: if figures cannot be drawn here.
        """
        figures: Any = optional("attnflow.lab.probe.figures")  # matplotlib is loaded for those who draw
        if figures is None:
            raise ConfigError("`plot` needs matplotlib, which cannot be imported. Run pip install attnflow.")
        return figures.draw_probe(self, ax)

    def _repr_html_(self) -> str:
        notes = " ".join(self.notes)
        if self.cloud is not None:
            facts = {"points": self.count, "bandwidth": f"{self.cloud.bandwidth:.3g}, {self.cloud.chosen_by}"}
            return in_html(self, facts | {"notes": notes}, table=_table_of(self.cloud.numbers), draw=self.plot)
        facts = {"tokens": self.count, "notes": notes}
        table = Table(["head", "verdict"], [(head.name, head.reading.words) for head in self.heads])
        if len(self.heads) == 1:
            facts |= {"verdict": self.head.reading.words}
            table = _table_of(self.head.numbers)
        return in_html(self, facts, table=table, draw=self.plot)

    def __repr__(self) -> str:
        if self.cloud is not None:
            return f"Probe({self.cloud!r})"
        if len(self.heads) == 1:
            return f"Probe({self.heads[0]!r})"
        kinds = [head.reading.kind for head in self.heads]
        told = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        return f"Probe({len(self.heads)} heads of {self.count} tokens: {told})"


def _table_of(numbers: Mapping[str, Number]) -> Table:
    """Return the numbers that there are, each with its interval and its most telling null."""
    rows = [
        (
            number.definition.title,
            number.value,
            "" if number.low is None else f"[{number.low:.3g}, {number.high:.3g}]",
            "" if number.null is None else f"{number.null.value:.3g} of {number.null.name}",
        )
        for number in numbers.values()
        if number.value is not None
    ]
    return Table(["number", "value", "interval", "where there is nothing"], rows)
