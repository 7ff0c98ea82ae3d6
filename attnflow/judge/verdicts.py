"""What the measurements say about a claim.

A claim fixes beforehand what is measured, what is predicted and within which margin. Its verdict is read off the
interval of the measurement: supported if the interval lies inside predicted +- margin, refuted if it is disjoint from
it, inconclusive otherwise, invalid if the measurement does not qualify. A control is a claim known to be false: it
must come out refuted, and by the gap that was predicted, so the same interval is also held against what the control's
number is in truth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial

import numpy as np

from attnflow._html import in_html
from attnflow.judge.claims import KINDS, Claim
from attnflow.judge.kinds.base import Reading
from attnflow.judge.levels import Level, table_of
from attnflow.judge.rates import LimitFit, RateFit

# The intervals of all rows that are read together are to hold together with 95 %. By Bonferroni's inequality each then
# needs 1 - 5 % / rows. The number is declared, a bound for all the studies of a table, and not counted from what
# happens to be run: a row has the same interval alone as in the whole table. Separate subjects have their own tables.
ROWS_READ_TOGETHER = 420
FAMILY_CONFIDENCE = 1 - 0.05 / ROWS_READ_TOGETHER
# Shares of a count, or their differences, are told from other numbers: of those one in 10^4 is so near to one.
LARGEST_COUNT, ROUNDING = 100_000, 1e-14
VISIBLE = 1e-6  # of the margin: how far an interval is from an exact value that it excludes by more than round-off
MINIMUM_NEIGHBOURS = 2.0  # with fewer, a softmax is a nearest-neighbour map and no limit theorem speaks about it


@dataclass(frozen=True)
class Verdict:
    """One row of the table of claims; the verdict follows from the row's own numbers, see `verdict_from_row`.

    Args:
        id, source, kind, control_of: as in the claim.
        control: whether the row is a negative control.
        verdict: "supported", "refuted", "inconclusive" or "invalid".
        predicted, margin: the prediction and its absolute margin.
        measured: the measured exponent, constant or worst value; None if invalid.
        low, high: its interval; None if invalid, or if too few levels allow no interval to be relied on.
        levels: levels measured, the dropped included.
        dropped: levels under the declared floor.
        seconds: time of all levels.
        reason: one sentence.
        measures: as in the claim.
        derivation: whether one formula is checked against another, without attention being run.
        truth, truth_margin: as in the claim: what the number of a control is in truth.
        gap: the verdict on that, from the same interval; None where no truth is stated, or nothing was measured.
        missing: what more would decide a row that is inconclusive, or the gap of a control; None where nothing is open.
        remark: what a row does not show of itself that is supported: that its interval excludes the exact value.
    """

    id: str
    source: str
    kind: str
    control: bool
    control_of: str | None
    verdict: str
    predicted: float
    measured: float | None
    low: float | None
    high: float | None
    margin: float
    levels: int
    dropped: int
    seconds: float
    reason: str
    measures: tuple[str, ...] | None = None
    derivation: bool = False
    truth: float | None = None
    truth_margin: float | None = None
    gap: str | None = None
    missing: str | None = None
    remark: str | None = None

    def __repr__(self) -> str:
        measured = "nothing measured" if self.measured is None else f"measured {self.measured:.6g}"
        ends = "" if self.low is None or self.high is None else f" in [{self.low:.6g}, {self.high:.6g}]"
        predicted = f"predicted {self.predicted:.6g} +- {self.margin:.3g}"
        return f"Verdict({self.id!r}, {self.verdict}: {measured}{ends}, {predicted}, {self.levels} levels)"

    def _repr_html_(self) -> str:
        facts = {
            "claim": f"{self.id} ({self.source})", "sort": self.sort, "verdict": self.verdict,
            "measured": self.measured_in_words, "predicted": self.predicted_in_words, "in truth": self.truth_in_words,
            "levels": f"{self.levels}" + (f", {self.dropped} of them dropped" if self.dropped else ""),
            "reason": self.reason,
        }  # fmt: skip
        return in_html(self, facts)

    def row(self) -> dict[str, object]:
        """Return the fields as JSON values: null for what is absent or not finite."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    @property
    def sort(self) -> str:
        """What a row is that is no plain claim: a control, with its gap unless that is supported, or a derivation."""
        gap = {"inconclusive": "gap inconclusive", "refuted": "gap missed"}.get(self.gap or "")
        named = ["control"] * self.control + ["derivation"] * self.derivation + ([gap] if gap else [])
        return ", ".join(named)

    @property
    def predicted_in_words(self) -> str:
        """The prediction with its margin, or what a flag must be."""
        return KINDS[self.kind].say_predicted(self.predicted, margin=self.margin)

    @property
    def predicted_shortly(self) -> str:
        """The prediction without its margin."""
        return KINDS[self.kind].say_shortly(self.predicted, margin=self.margin)

    @property
    def truth_in_words(self) -> str:
        """What the number of a control is in truth, with its margin; empty where that is not stated."""
        if self.truth is None or self.truth_margin is None:
            return ""
        return KINDS[self.kind].say_predicted(self.truth, margin=self.truth_margin)

    @property
    def measured_in_words(self) -> str:
        """What was measured, with its interval where it has one; a dash if nothing qualifies."""
        if self.measured is None:
            return "–"
        kind = KINDS[self.kind]
        return kind.say_measured(self.measured, low=self.low, high=self.high, margin=self.margin)


@dataclass(frozen=True, eq=False)
class Judgement:
    """A claim, the levels that decide it, the verdict on it, and the fit that the verdict was read off.

    Args:
        claim: what is claimed.
        levels: the measurements, coarse to fine.
        verdict: what they say about the claim.
        fit: of an exponent or a limit; None where no fit was made, as for identities and flags.
    """

    claim: Claim
    levels: tuple[Level, ...]
    verdict: Verdict
    fit: RateFit | LimitFit | None

    def __repr__(self) -> str:
        return f"Judgement({self.verdict!r})"


def judge(claim: Claim, levels: Sequence[Level], *, confidence: float = FAMILY_CONFIDENCE) -> Verdict:
    """Return the verdict on a claim from its measured levels.

    Args:
        claim: what is claimed.
        levels: the measurements, coarse to fine.
        confidence: level of the interval of this row.

    Returns:
        A Verdict; a measurement that does not qualify is data, and its verdict is "invalid".

    Raises:
        ConfigError: if the sizes of a ladder are not strictly monotone and positive.

    Example:
        >>> import attnflow as af
        >>> claim = af.Claim(
        ...     id="bias", source="RZ", statement="The bias is of order eps.", kind="exponent", quantity="bias",
        ...     size="bandwidth", hypotheses="p smooth", predicted=1.0)
        >>> sizes = [0.4, 0.2, 0.1, 0.05, 0.025, 0.0125]
        >>> ladder = [af.Level(size=h, values=[h + h**2 / 4], deterministic=True) for h in sizes]
        >>> af.judge(claim, ladder).verdict
        'supported'
    """
    return examine(claim, levels, confidence=confidence).verdict


def examine(claim: Claim, levels: Sequence[Level], *, confidence: float = FAMILY_CONFIDENCE) -> Judgement:
    """Judge a claim and return the verdict together with the fit that it was read off.

    Args:
        claim: what is claimed.
        levels: the measurements, coarse to fine.
        confidence: level of the interval of this row.

    Raises:
        ConfigError: if the sizes of a ladder are not strictly monotone and positive.

    Example:
        >>> import attnflow as af
        >>> from attnflow.judge.verdicts import examine
        >>> claim = af.Claim(
        ...     id="limit", source="RZ", statement="The ratio tends to 1.", kind="constant", quantity="ratio",
        ...     size="points", hypotheses="p smooth", predicted=1.0)
        >>> ladder = [af.Level(size=n, values=[1 + 3 / n], deterministic=True) for n in (100, 200, 400, 800)]
        >>> judgement = examine(claim, ladder)
        >>> judgement.verdict.verdict, judgement.fit.curve([300]).round(6).tolist()
        ('supported', [1.01])
    """
    flaw = _flaw(claim, levels)
    reading = KINDS[claim.kind].read(claim, levels, confidence=confidence) if flaw is None else Reading(flaw)
    assert claim.margin is not None
    numbers = {
        "predicted": claim.predicted,
        "margin": claim.margin,
        "measured": reading.measured,
        "low": reading.low,
        "high": reading.high,
    }
    gap, reason = None, reading.reason
    if claim.truth is not None and reading.measured is not None:
        gap = verdict_from_row(numbers | {"predicted": claim.truth, "margin": claim.truth_margin})
    if gap == "refuted":
        reason += f"; in truth it should be {claim.truth:.5g} within {claim.truth_margin:.2g}: another gap"
    verdict = Verdict(
        id=claim.id,
        source=claim.source,
        kind=claim.kind,
        control=claim.control_of is not None,
        control_of=claim.control_of,
        verdict=verdict_from_row(numbers),
        levels=len(levels),
        dropped=reading.dropped,
        seconds=float(sum(level.seconds for level in levels)),
        reason=reason,
        measures=claim.measures,
        derivation=claim.derivation,
        truth=claim.truth,
        truth_margin=claim.truth_margin,
        gap=gap,
        missing=_missing(claim, levels, reading, gap=gap),
        remark=_remark(claim, reading),
        **numbers,  # type: ignore[arg-type]
    )
    return Judgement(claim=claim, levels=tuple(levels), verdict=verdict, fit=reading.fit)


def verdict_from_row(row: Mapping[str, object]) -> str:
    """Return the verdict that follows from a row's own numbers.

    Without a measured number: invalid. Without an interval: inconclusive. Otherwise supported if [low, high] lies
    inside predicted +- margin, refuted if it is disjoint from it, inconclusive if neither.

    Args:
        row: a mapping with predicted, margin, measured, low and high.

    Example:
        >>> import attnflow as af
        >>> af.verdict_from_row({"predicted": 1.0, "margin": 0.05, "measured": 1.01, "low": 0.98, "high": 1.04})
        'supported'
    """
    if row["measured"] is None:
        return "invalid"
    if row["low"] is None or row["high"] is None:
        return "inconclusive"
    predicted, margin, low, high = (float(row[name]) for name in ("predicted", "margin", "low", "high"))  # type: ignore[arg-type]
    if low - predicted > margin or predicted - high > margin:
        return "refuted"
    if predicted - low <= margin and high - predicted <= margin:
        return "supported"
    return "inconclusive"


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Return 0 if all is as expected, 1 if a claim is refuted or invalid, or a control not refuted by its gap.

    Example:
        >>> import attnflow as af
        >>> af.exit_code([])
        0
    """
    return int(not all(is_expected(verdict) for verdict in verdicts))


def is_expected(verdict: Verdict) -> bool:
    """Return whether a row is as it should be: a claim supported or inconclusive, a control refuted by its gap.

    What a control's number is in truth must be supported or inconclusive where it is stated.

    Example:
        >>> import attnflow as af
        >>> claim = af.Claim(
        ...     id="rows", source="Si", statement="rows sum to one", kind="flag", quantity="sums", size="points",
        ...     hypotheses="none", predicted=True)
        >>> af.is_expected(af.judge(claim, [af.Level(size=10, values=[True, True])]))
        True
    """
    if verdict.control:
        return verdict.verdict == "refuted" and verdict.gap != "refuted"
    return verdict.verdict in ("supported", "inconclusive")


def _missing(claim: Claim, levels: Sequence[Level], reading: Reading, *, gap: str | None) -> str | None:
    """Return what would decide the prediction, and the truth of a control, as far as they are open."""
    say = partial(KINDS[claim.kind].say_missing, reading, levels, size=claim.size)
    if reading.measured is None:
        return None
    assert claim.margin is not None
    whole = say(predicted=claim.predicted, margin=claim.margin)
    if whole is not None or gap != "inconclusive":
        return whole
    assert claim.truth is not None
    assert claim.truth_margin is not None
    return f"for its gap {say(predicted=claim.truth, margin=claim.truth_margin)}"


def _remark(claim: Claim, reading: Reading) -> str | None:
    """Return that the interval of an estimate excludes the prediction though it lies within the margin, or None."""
    low, high, margin = reading.low, reading.high, claim.margin
    if not KINDS[claim.kind].is_ladder or low is None or high is None or margin is None:
        return None
    away = max(low - claim.predicted, claim.predicted - high)
    if away <= VISIBLE * margin or max(high - claim.predicted, claim.predicted - low) > margin:
        return None
    return f"supported within {margin:.2g}; the interval excludes {claim.predicted:.5g} exactly"


def _flaw(claim: Claim, levels: Sequence[Level]) -> str | None:
    """Return why the measurement does not qualify, by what is known before any fit, or None."""
    if not levels:
        return "nothing was measured"
    for level in levels:
        values = level.values
        where = f"at {claim.size} = {level.size:g}"
        if level.failed is not None:
            return f"the case {where} failed: {level.failed}"
        if values.ndim != 1 or values.size == 0:
            return f"values {where} have shape {values.shape} instead of one number per seed"
        if not np.isfinite(values).all():
            return f"{np.count_nonzero(~np.isfinite(values))} of {values.size} values are NaN or Inf {where}"
        if level.deterministic and np.ptp(values) > 0:
            return f"values {where} are declared deterministic but differ between seeds"
        if level.ess is not None and not level.ess >= MINIMUM_NEIGHBOURS:
            return f"only {level.ess:.3g} effective neighbours {where}, at least {MINIMUM_NEIGHBOURS:g} are needed"
        if level.solver_error is not None and not 0 <= level.solver_error < math.inf:
            return f"the solver error {where} is {level.solver_error:g}, no bound"
    if not KINDS[claim.kind].is_ladder:
        return None
    if len({level.deterministic for level in levels}) > 1:
        return "some levels are deterministic and some are not"
    return None if levels[0].deterministic else _flaw_of_seeds(levels)


def _flaw_of_seeds(levels: Sequence[Level]) -> str | None:
    counts = sorted({len(level.values) for level in levels})
    if len(counts) > 1:
        return f"levels have different numbers of seeds: {counts}"
    if counts[0] < 2:
        return "one seed gives no interval"
    table = table_of(levels)
    columns, times = np.unique(table, axis=1, return_counts=True)
    if any(not _may_coincide(column) for column in columns.T[times > 1]) and not _must_coincide(table):
        return "two seeds have identical values at every level: a seed was used twice"
    return None


def _must_coincide(table: np.ndarray) -> bool:
    """Return whether values (levels, seeds) are so few that pairs of seeds agree by chance, as outcomes 0 and 1 do."""
    levels, seeds = table.shape
    outcomes = math.prod(len(np.unique(row)) for row in table)
    return levels > 1 and outcomes <= seeds * (seeds - 1) // 2


def _may_coincide(values: np.ndarray) -> bool:
    """Return whether two seeds may have these values by chance: one value, which is a share as an accuracy is."""
    share = Fraction(values[0]).limit_denominator(LARGEST_COUNT)
    return len(values) == 1 and abs(float(share) - values[0]) < ROUNDING
