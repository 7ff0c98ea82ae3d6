"""What a study claims, and what its measurements say about it.

A claim fixes beforehand what is measured, what is predicted and within which margin. Its verdict is read off the
interval of the measurement: supported if the interval lies inside predicted +- margin, refuted if it is disjoint from
it, inconclusive otherwise, invalid if the measurement does not qualify. A control is a claim known to be false: it
must come out refuted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from attnflow._checks import check_choice, check_finite, check_real
from attnflow.errors import ConfigError
from attnflow.judge.rates import MINIMUM_LEVELS, fit_limit, fit_rate, seed_interval

KINDS = ("exponent", "constant", "identity", "flag")
DEFAULT_MARGINS: dict[str, Callable[[float], float]] = {
    "exponent": lambda predicted: 0.05,
    "constant": lambda predicted: 0.05 * abs(predicted),
    "flag": lambda predicted: 0.0,
}
FAMILY_CONFIDENCE = 0.999  # about fifty rows are read together
FIRM_LEVELS, FIRM_LEVELS_DETERMINISTIC = 8, 6  # below these an exponent is at best inconclusive
MAXIMUM_DROPPED = 2
MINIMUM_NEIGHBOURS = 2.0  # with fewer, a softmax is a nearest-neighbour map and no limit theorem speaks about it
SOLVER_SHARE = 0.1  # of the smallest measured error


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A statement with a prediction that a ladder of measurements can support or refute.

    Args:
        id: unique name such as "RZ3/circle".
        source: key in REFERENCES.bib, or "derived" where the study's docstring derives it.
        statement: the claim in words and symbols.
        kind: "exponent" (d log RMS / d log size), "constant" (a limit), "identity" (every value, within a tolerance) or
            "flag" (every value true).
        quantity: the measured array's name.
        size: the case parameter that the ladder varies.
        hypotheses: what the statement assumes.
        predicted: the predicted exponent, constant or value; True for a flag.
        margin: absolute, in units of `predicted`. Defaults: exponent 0.05, constant 0.05 |predicted|, flag 0; an
            identity states its tolerance.
        floor: exponents only: levels with an RMS under this number (or numbers, one per level) are dropped.
        control_of: id of the claim that this one is the negative control of.
        statistic: constants only: the summary over seeds that is predicted, "mean" or "rms".
        correction_power: the power q of the next term in the small quantity, one unless the theory says otherwise.

    Raises:
        ConfigError: if a field does not fit the kind.

    Example:
        >>> import attnflow as af
        >>> claim = af.Claim(
        ...     id="bias/circle", source="RZ", statement="The bias is of order eps.", kind="exponent", quantity="bias",
        ...     size="bandwidth", hypotheses="p smooth and positive", predicted=1.0)
        >>> claim.margin
        0.05
    """

    id: str
    source: str
    statement: str
    kind: str
    quantity: str
    size: str
    hypotheses: str
    predicted: float
    margin: float | None = None
    floor: float | Sequence[float] | None = None
    control_of: str | None = None
    statistic: str = "mean"
    correction_power: float = 1.0

    def __post_init__(self) -> None:
        check_choice(self.kind, "kind", KINDS)
        check_choice(self.statistic, "statistic", ("mean", "rms"))
        for name in ("id", "source", "statement", "quantity", "size", "hypotheses"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ConfigError(f"`{name}` must be a non-empty string, got {getattr(self, name)!r}.")
        if self.control_of == self.id:
            raise ConfigError(f"`control_of` must name another claim, got {self.id!r} itself.")
        if self.statistic != "mean" and self.kind != "constant":
            raise ConfigError(f"`statistic` applies to constants only, got a claim of kind {self.kind!r}. Omit it.")
        is_flag = self.kind == "flag" and isinstance(self.predicted, bool | np.bool_)
        predicted = float(self.predicted) if is_flag else check_real(self.predicted, "predicted")
        object.__setattr__(self, "predicted", predicted)
        object.__setattr__(self, "margin", self._checked_margin(predicted))
        object.__setattr__(self, "floor", self._checked_floor())

    def control(self, *, statement: str, **changes: Any) -> Claim:
        """Return the negative control: the same claim but for what is named, known to be false.

        Its id is that of the claim with "-control" after its first part, "X-control/place".

        Args:
            statement: what the control claims.
            changes: the fields by which it differs, among them `quantity` or `predicted`. A margin that is the default
                for the claim's prediction becomes the default for the control's.

        Raises:
            ConfigError: if a field is unknown, or neither the quantity nor the prediction differs.

        Example:
            >>> import attnflow as af
            >>> claim = af.Claim(
            ...     id="noise/circle", source="Si", statement="of order N^(-1/2)", kind="exponent", quantity="error",
            ...     size="points", hypotheses="independent points", predicted=-0.5)
            >>> control = claim.control(statement="of order N^(-1)", predicted=-1.0)
            >>> control.id, control.control_of, control.quantity
            ('noise-control/circle', 'noise/circle', 'error')
        """
        for name in changes:
            check_choice(name, "changes", [f.name for f in fields(self) if f.name not in ("statement", "control_of")])
        family, slash, place = self.id.partition("/")
        given = {"id": f"{family}-control{slash}{place}", "statement": statement, "control_of": self.id} | changes
        if self.margin == DEFAULT_MARGINS.get(self.kind, lambda _: None)(self.predicted):
            given.setdefault("margin", None)
        made = replace(self, **given)
        if (made.quantity, made.predicted) == (self.quantity, self.predicted):
            raise ConfigError(
                f"the control {made.id!r} claims what {self.id!r} claims. Change `quantity` or `predicted`."
            )
        return made

    def _checked_margin(self, predicted: float) -> float:
        if self.margin is None and self.kind not in DEFAULT_MARGINS:
            raise ConfigError("`margin` of an identity must be stated. Pass its tolerance, such as 1e-12.")
        margin = DEFAULT_MARGINS[self.kind](predicted) if self.margin is None else check_real(self.margin, "margin")
        if self.kind == "flag" and margin != 0:
            raise ConfigError(f"`margin` of a flag is 0, got {margin!r}. Leave it out.")
        if margin < 0 or (self.kind in ("exponent", "constant") and margin == 0):
            raise ConfigError(f"`margin` must be positive, got {margin!r}. It is absolute, in units of `predicted`.")
        return margin

    def _checked_floor(self) -> float | tuple[float, ...] | None:
        if self.floor is None:
            return None
        if self.kind != "exponent":
            raise ConfigError(f"`floor` applies to exponents only, got a claim of kind {self.kind!r}. Leave it out.")
        floor = check_finite(self.floor, "floor")
        if floor.ndim > 1 or (floor < 0).any():
            raise ConfigError(f"`floor` must be one nonnegative number or one per level, got {self.floor!r}.")
        return float(floor) if floor.ndim == 0 else tuple(map(float, floor))


@dataclass(frozen=True, eq=False)
class Level:
    """What was measured at one size.

    Args:
        size: the size, as in the ladder.
        values: one number per seed, shape (seeds,).
        deterministic: whether the number involves no randomness; all its values are then equal.
        seconds: the time it took.
        ess: effective number of neighbours, from (N, eps, p) only; None where it has no meaning.
        solver_error: declared absolute error of the values; None where there is none.
        failed: why the case failed, or None.
    """

    size: float
    values: np.ndarray
    deterministic: bool = False
    seconds: float = 0.0
    ess: float | None = None
    solver_error: float | None = None
    failed: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float64))


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

    def row(self) -> dict[str, object]:
        """The fields as JSON values: null for what is absent or not finite."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True)
class _Reading:
    """A measured number with its interval, or why there is none."""

    reason: str
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    dropped: int = 0


def judge(claim: Claim, levels: Sequence[Level], *, confidence: float = FAMILY_CONFIDENCE) -> Verdict:
    """Judge a claim on its measured levels.

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
    flaw = _flaw(claim, levels)
    if flaw is not None:
        reading = _Reading(flaw)
    elif claim.kind == "exponent":
        reading = _read_exponent(claim, levels, confidence=confidence)
    elif claim.kind == "constant":
        reading = _read_constant(claim, levels, confidence=confidence)
    else:
        reading = _read_every_value(claim, levels)
    numbers = {"predicted": claim.predicted, "margin": claim.margin} | asdict(reading)
    return Verdict(
        id=claim.id,
        source=claim.source,
        kind=claim.kind,
        control=claim.control_of is not None,
        control_of=claim.control_of,
        verdict=verdict_from_row(numbers),
        levels=len(levels),
        seconds=float(sum(level.seconds for level in levels)),
        **numbers,
    )


def verdict_from_row(row: Mapping[str, object]) -> str:
    """The verdict that follows from a row's own numbers.

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
    """0 if all is as expected; 1 if a claim is refuted or invalid, or a control anything but refuted.

    Example:
        >>> import attnflow as af
        >>> af.exit_code([])
        0
    """
    return int(not all(is_expected(verdict) for verdict in verdicts))


def is_expected(verdict: Verdict) -> bool:
    """Whether a row is as it should be: a control refuted, a claim supported or inconclusive."""
    return verdict.verdict == "refuted" if verdict.control else verdict.verdict in ("supported", "inconclusive")


def _flaw(claim: Claim, levels: Sequence[Level]) -> str | None:
    """Why the measurement does not qualify, by what is known before any fit."""
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
        if level.solver_error is not None and not math.isfinite(level.solver_error):
            return f"the solver error {where} is not finite"
    if claim.kind in ("identity", "flag"):
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
    if len(np.unique(_table(levels), axis=1).T) < counts[0]:
        return "two seeds have identical values at every level: a seed was used twice"
    return None


def _table(levels: Sequence[Level]) -> np.ndarray:
    """Values (levels,) of a deterministic ladder, (levels, seeds) of a random one."""
    if levels[0].deterministic:
        return np.array([level.values[0] for level in levels])
    return np.stack([level.values for level in levels])


def _solver_error(levels: Iterable[Level]) -> float:
    return max((level.solver_error or 0.0 for level in levels), default=0.0)


def _floor(claim: Claim, *, count: int) -> np.ndarray:
    """One floor per level; a quick ladder is a prefix of the full one, and so are its floors."""
    floor = np.asarray(0.0 if claim.floor is None else claim.floor, dtype=np.float64)
    return np.full(count, floor) if floor.ndim == 0 else floor[:count]


def _read_exponent(claim: Claim, levels: Sequence[Level], *, confidence: float) -> _Reading:
    table = _table(levels)
    rms = np.abs(table) if table.ndim == 1 else np.sqrt(np.mean(table**2, axis=1))
    floor = _floor(claim, count=len(levels))
    if floor.shape != rms.shape:
        return _Reading(f"{len(floor)} floors are declared for {len(levels)} levels")
    used = rms >= floor
    usable, dropped = int(used.sum()), int((~used).sum())
    if usable < MINIMUM_LEVELS:
        return _Reading(f"{usable} usable levels, an exponent needs {MINIMUM_LEVELS}", dropped=dropped)
    if dropped > MAXIMUM_DROPPED:
        return _Reading(f"{dropped} levels are under the floor, at most {MAXIMUM_DROPPED} may be", dropped=dropped)
    if (table[used] <= 0).any():
        return _Reading("an error is zero or negative: no logarithm", dropped=dropped)
    solver_error = _solver_error(level for level, use in zip(levels, used, strict=True) if use)
    if solver_error >= SOLVER_SHARE * rms[used].min():
        smallest = f"the smallest measured error {rms[used].min():.2g}"
        return _Reading(f"solver error {solver_error:.2g} is not under 10 % of {smallest}", dropped=dropped)

    sizes, power = [level.size for level in levels], claim.correction_power
    fit = fit_rate(sizes, table, confidence=confidence, correction_power=power, floor=floor)
    firm = FIRM_LEVELS_DETERMINISTIC if levels[0].deterministic else FIRM_LEVELS
    if usable < firm:
        reason = f"{usable} usable levels of the {firm} needed; the fit gives [{fit.low:.4g}, {fit.high:.4g}]"
        return _Reading(reason, measured=fit.rate, dropped=dropped)
    caveat = "" if fit.asymptotic else "; the correction is still above 10 % on the finer half"
    return _Reading(
        f"slope of {usable} levels, {_seeds_in_words(levels)}{caveat}",
        measured=fit.rate, low=fit.low, high=fit.high, dropped=dropped,
    )  # fmt: skip


def _read_constant(claim: Claim, levels: Sequence[Level], *, confidence: float) -> _Reading:
    if 1 < len(levels) < MINIMUM_LEVELS:
        return _Reading(f"{len(levels)} levels: a constant needs one, or {MINIMUM_LEVELS} to extrapolate")
    table = _table(levels)
    if len(levels) > 1:
        sizes, power = [level.size for level in levels], claim.correction_power
        fit = fit_limit(sizes, table, confidence=confidence, correction_power=power, statistic=claim.statistic)
        measured, half_width = fit.limit, fit.high - fit.limit
    elif levels[0].deterministic:
        measured, half_width = float(table[0]), 0.0
    else:
        one = np.ones(1)
        measured, half_width = seed_interval(table, statistic=claim.statistic, weights=one, confidence=confidence)
    half_width += _solver_error(levels)
    how = f"limit of {len(levels)} levels" if len(levels) > 1 else "value of one level"
    return _Reading(
        f"{how}, {_seeds_in_words(levels)}",
        measured=measured, low=measured - half_width, high=measured + half_width,
    )  # fmt: skip


def _read_every_value(claim: Claim, levels: Sequence[Level]) -> _Reading:
    values = np.concatenate([level.values for level in levels])
    distance = np.abs(values - claim.predicted)
    worst = float(values[np.argmax(distance)])
    missed = int(np.count_nonzero(distance > claim.margin))
    size = f"{values.size} value{'s' if values.size > 1 else ''}"
    reason = f"{missed} of {size} off" if missed else f"the worst of {size}"
    return _Reading(reason, measured=worst, low=worst, high=worst)


def _seeds_in_words(levels: Sequence[Level]) -> str:
    return "deterministic" if levels[0].deterministic else f"{len(levels[0].values)} seeds"
