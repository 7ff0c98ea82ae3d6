"""What an error budget is: parts with intervals, their sum beside the observed total, and what does not add up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from attnflow._drawing import drawing
from attnflow._html import Table, in_html


@dataclass(frozen=True)
class Part:
    """A root mean square over queries and samples, with an interval.

    Args:
        name: what it is of.
        value: the estimate.
        low, high: the interval; low = 0 where the part is not told apart from none.
        expected: what theory predicts, or the bound that a life declares; NaN where nothing does.
    """

    name: str
    value: float
    low: float
    high: float
    expected: float = math.nan

    def __str__(self) -> str:
        interval = f"[{self.low:.2e}, {self.high:.2e}]"
        expected = "" if math.isnan(self.expected) else f"{self.expected:.2e}"
        return f"{self.name:<18} {self.value:.2e}  {interval:<22} {expected}".rstrip()


@dataclass(frozen=True, eq=False)
class ErrorBudget:
    """The error of attention over N points against its limit, and the parts that it is made of.

    Parts that are the same for every sample have signs, and add up query by query before they are squared; what differs
    from sample to sample adds its mean square. So `together` is not the sum of the values of the parts.

    Attributes:
        what: the generator, or the semigroup at a time.
        n: number of points.
        parts: fluctuation, slow-down, bias, continuum solver, kernel sum and round-off, in this order.
        together: what the parts make together, from one half of the samples.
        total: the observed error, from the other half. Expected is, without any sample, what the exact mean and
            variance of a layer over independent points say; NaN of many layers, and where key weights are estimated.
        squares: of the samples of the total, each a mean square over the queries, (S,).
        gaps: what does not add up, in words; empty if everything does.
    """

    what: str
    n: int
    parts: tuple[Part, ...]
    together: Part
    total: Part
    squares: np.ndarray
    gaps: tuple[str, ...]

    @property
    def closes(self) -> bool:
        """Whether the parts make the total, each as large as it is expected or declared to be."""
        return not self.gaps

    def __getitem__(self, name: str) -> Part:
        """Return the part of that name."""
        return {part.name: part for part in self.parts}[name]

    def __repr__(self) -> str:
        head = f"ErrorBudget of {self.what}, N = {self.n}"
        columns = f"{'part':<18} {'rms':<8}  {'interval':<22} expected or declared"
        verdict = "it closes" if self.closes else f"it does not close: {'; '.join(self.gaps)}"
        return "\n".join([head, columns, *map(str, (*self.parts, self.together, self.total)), verdict])

    def _repr_html_(self) -> str:
        facts = {"of": f"{self.what}, N = {self.n}", "closes": "yes" if self.closes else f"no: {'; '.join(self.gaps)}"}
        rows = [
            (part.name, f"{part.value:.2e}", f"[{part.low:.2e}, {part.high:.2e}]",
             "" if math.isnan(part.expected) else f"{part.expected:.2e}")
            for part in (*self.parts, self.together, self.total)
        ]  # fmt: skip
        table = Table(["part", "root mean square", "interval", "expected or declared"], rows)
        return in_html(self, facts, table=table, draw=self.plot)

    def plot(self, ax: Any = None) -> Any:
        """Draw the parts as bars on a logarithmic scale, with their intervals, and the total beside them.

        Args:
            ax: axes of matplotlib; new ones in a figure of their own, `.figure`, unless given.

        Returns:
            The axes.

        Raises:
            ConfigError: if `ax` is something else.
        """
        return drawing("predictions").error_budget(self, ax)
