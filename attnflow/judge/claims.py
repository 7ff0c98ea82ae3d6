"""What a study claims: a prediction with its margin, fixed before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from attnflow._checks import check_choice, check_finite, check_positive
from attnflow.errors import ConfigError
from attnflow.judge.kinds.base import Kind, Prediction
from attnflow.judge.kinds.constant import Constant
from attnflow.judge.kinds.exponent import Exponent
from attnflow.judge.kinds.flag import Flag
from attnflow.judge.kinds.identity import Identity
from attnflow.judge.kinds.ordering import Ordering

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Exponent(), Constant(), Identity(), Flag(), Ordering())}
OPTIONAL = ("floor", "statistic", "correction_power")  # fields that not every kind admits
# EmpiricalAttention, PopulationAttention, DriftDiffusion, LaplaceExpansion; TokenFlow, MeanFieldFlow, GaussianClosure;
# networks that were trained
LIVES = ("empirical", "population", "limit", "expansion", "tokens", "mean_field", "closure", "learned")


@dataclass(frozen=True, kw_only=True)
class Claim(Prediction):
    """A statement with a prediction that a ladder of measurements can support or refute.

    Args:
        id: unique name such as "RZ3/circle".
        source: key in REFERENCES.bib, or "derived" where the study's docstring derives it.
        statement: the claim in words and symbols.
        kind: "exponent" (d log RMS / d log size), "constant" (a limit), "identity" (every value, within a tolerance),
            "flag" (every value true) or "ordering" (a mean advantage, at least m).
        quantity: the measured array's name.
        size: the case parameter that the ladder varies.
        hypotheses: what the statement assumes.
        predicted: the predicted exponent, constant or value; True for a flag, 1 for an ordering.
        margin: absolute, in units of `predicted`. Defaults: exponent 0.05, constant 0.05 |predicted|, flag 0; an
            identity states its tolerance. An ordering of margin 1 - m claims at least m; its default, 1, at least 0.
        floor: exponents only: levels with an RMS under this number (or numbers, one per level) are dropped.
        control_of: id of the claim that this one is the negative control of.
        covered_by: of a claim without a control of its own, the id of one of its family or study that would notice the
            same fault, see `covered`.
        truth, truth_margin: of a control, what its measured number comes out as in truth, known beforehand, and within
            which margin; the default margin is that of a prediction. The gap between `predicted` and `truth` is what
            the control must be refuted by.
        measures: which lives of attention the measured numbers come from, of "empirical", "population", "limit" and
            "expansion" (of Laplace), where tokens move, of "tokens", "mean_field" and "closure" (of Gaussians), and
            "learned", of networks that were trained; () where they come from none: one formula is checked against
            another, and the claim is a derivation. None if nothing is said about it.
        statistic: the summary over seeds that is predicted, of constants "mean" or "rms", of orderings "mean" or
            "median".
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
    control_of: str | None = None
    truth: float | None = None
    truth_margin: float | None = None
    measures: tuple[str, ...] | None = None
    covered_by: str | None = None

    def __repr__(self) -> str:
        what = f"{self.kind} of {self.quantity} in {self.size}"
        return f"Claim({self.id!r}, {what}, predicted {self.predicted:.6g} +- {self.margin:.3g})"

    def __post_init__(self) -> None:
        kind = KINDS[check_choice(self.kind, "kind", KINDS)]
        for name in ("id", "source", "statement", "quantity", "size", "hypotheses"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name).strip():
                raise ConfigError(f"`{name}` must be a non-empty string, got {getattr(self, name)!r}.")
        if self.control_of == self.id:
            raise ConfigError(f"`control_of` must name another claim, got {self.id!r} itself.")
        if self.covered_by is not None and self.control_of is not None:
            raise ConfigError(f"`covered_by` is for claims, got {self.covered_by!r} in a control. Leave it out.")
        self._check_optional_fields(kind)
        predicted = kind.check_predicted(self.predicted)
        object.__setattr__(self, "predicted", predicted)
        object.__setattr__(self, "margin", kind.check_margin(self.margin, predicted=predicted))
        self._check_truth(kind)
        self._check_measures()

    @property
    def derivation(self) -> bool:
        """Whether one formula is checked against another and no attention is run."""
        return self.measures == ()

    def control(self, *, statement: str, **changes: Any) -> Claim:
        """Return the negative control: the same claim but for what is named, known to be false.

        Its id is that of the claim with "-control" after its first part, "X-control/place".

        Args:
            statement: what the control claims.
            changes: the fields by which it differs, among them `quantity`: with the numbers of its claim a control
                could not be anything but refuted. `truth` is what the quantity comes out as. A margin that is the
                default for the claim's prediction becomes the default for the control's.

        Raises:
            ConfigError: if a field is unknown, or the quantity does not differ.

        Example:
            >>> import attnflow as af
            >>> claim = af.Claim(
            ...     id="noise/circle", source="Si", statement="of order N^(-1/2)", kind="exponent", quantity="error",
            ...     size="points", hypotheses="independent points", predicted=-0.5)
            >>> control = claim.control(
            ...     statement="the distance from another limit is of order N^(-1/2)", quantity="other_error", truth=0.0)
            >>> control.id, control.control_of, control.predicted, control.truth_margin
            ('noise-control/circle', 'noise/circle', -0.5, 0.05)
        """
        for name in changes:
            check_choice(name, "changes", [f.name for f in fields(self) if f.name not in ("statement", "control_of")])
        family, slash, place = self.id.partition("/")
        given = {"id": f"{family}-control{slash}{place}", "statement": statement, "control_of": self.id} | changes
        given["covered_by"] = None
        if self.margin == KINDS[self.kind].default_margin(self.predicted):
            given.setdefault("margin", None)
        made = replace(self, **given)
        if made.quantity == self.quantity:
            raise ConfigError(
                f"the control {made.id!r} reads the numbers of its claim, {self.quantity!r}, once more. "
                "Name another `quantity`, of something that was run differently."
            )
        return made

    def _check_truth(self, kind: Kind) -> None:
        if self.truth is None:
            if self.truth_margin is not None:
                raise ConfigError(f"`truth_margin` belongs to a `truth`, got {self.truth_margin!r} without one.")
            return
        if self.control_of is None:
            raise ConfigError(f"`truth` is for controls, got {self.truth!r} in a claim. Pass it as `predicted`.")
        truth = kind.check_predicted(self.truth)
        margin = kind.check_margin(self.truth_margin, predicted=truth, name="truth_margin")
        assert self.margin is not None
        if abs(truth - self.predicted) <= self.margin + margin:
            raise ConfigError(
                f"`truth` of the control {self.id!r} must be apart from `predicted` by more than both margins, got "
                f"{truth:g} +- {margin:g} and {self.predicted:g} +- {self.margin:g}. A control must be false."
            )
        object.__setattr__(self, "truth", truth)
        object.__setattr__(self, "truth_margin", margin)

    def _check_measures(self) -> None:
        if self.measures is None:
            return
        if not isinstance(self.measures, list | tuple):
            raise ConfigError(f"`measures` must be a list of lives, got {self.measures!r}. Pass () for a derivation.")
        object.__setattr__(self, "measures", tuple(check_choice(life, "measures", LIVES) for life in self.measures))

    def _check_optional_fields(self, kind: Kind) -> None:
        if "statistic" in kind.admits:
            check_choice(self.statistic, "statistic", kind.statistics)
        check_positive(self.correction_power, "correction_power")
        if self.floor is not None:
            floor = check_finite(self.floor, "floor")
            if floor.ndim > 1 or (floor < 0).any():
                raise ConfigError(f"`floor` must be one nonnegative number or one per level, got {self.floor!r}.")
            object.__setattr__(self, "floor", float(floor) if floor.ndim == 0 else tuple(map(float, floor)))
        for field in fields(self):
            if field.name in OPTIONAL and field.name not in kind.admits and getattr(self, field.name) != field.default:
                admitting = " and ".join(other.plural for other in KINDS.values() if field.name in other.admits)
                raise ConfigError(
                    f"`{field.name}` applies to {admitting} only, got a claim of kind {kind.name!r}. Leave it out."
                )


def covered(claims: Sequence[Claim], *, by: str | Mapping[str, str]) -> list[Claim]:
    """Return the claims of a study, those without a control of their own covered by another one.

    Args:
        claims: with their controls.
        by: the id of the control that covers all claims without one, or of each of them by its id; of this study or of
            another. It measures the same lives in the same way, so that a fault which leads such a claim astray shows
            in the control as well.

    Raises:
        ConfigError: a claim has no control and none is named, one has its own, or a name is not that of a control.

    Example:
        >>> import attnflow as af
        >>> claim = af.Claim(
        ...     id="noise/circle", source="Si", statement="of order N^(-1/2)", kind="exponent", quantity="error",
        ...     size="points", hypotheses="independent points", predicted=-0.5)
        >>> control = claim.control(statement="so is the distance from another limit", quantity="other", truth=0.0)
        >>> sphere = af.Claim(
        ...     id="noise/sphere", source="Si", statement="of order N^(-1/2)", kind="exponent", quantity="on_sphere",
        ...     size="points", hypotheses="independent points", predicted=-0.5)
        >>> [each.covered_by for each in af.covered([claim, control, sphere], by="noise-control/circle")]
        [None, None, 'noise-control/circle']
    """
    controls = {claim.id: claim for claim in claims if claim.control_of}
    controlled = {control.control_of for control in controls.values()}
    ids = {claim.id for claim in claims}
    bare = [claim.id for claim in claims if claim.control_of is None and claim.id not in controlled]
    cover = dict.fromkeys(bare, by) if isinstance(by, str) else dict(by)
    for id in cover:
        if id not in bare:
            raise ConfigError(f"`by` must name claims without a control of their own, got {id!r}. Leave it out.")
    for id in bare:
        if cover.get(id) is None or cover[id] in ids - controls.keys():
            raise ConfigError(f"`by` must name a control that covers {id!r}, got {cover.get(id)!r}.")
    return [replace(claim, covered_by=cover.get(claim.id)) for claim in claims]
