"""Verdicts on heads in words, each by a rule with named thresholds, tried in order; the first that holds is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attnflow.lab.probe.definitions import RANDOM
from attnflow.lab.probe.results import Condition, Number, Reading

# A diffusion: many keys, all near the token, the token its own minimiser, and nothing that a potential cannot express.
NEIGHBOURS = 8.0  # effective keys: the limit theory holds down to about as many
AGREEMENT = 0.9  # of split halves: else a tenth of what is passed on is which keys happened to be there
TYPICAL = 0.95  # mass on keys no better than the token: 1 for a diffusion, at most .89 in 136 trained heads
LOCAL = 0.25  # of the spread of all tokens: a row that sees half of the cloud's diameter sees its curvature and ends
STILL = 0.25  # |mean - token|^2 over the spread: half a standard deviation; sampling adds 1/(2 ESS)
METRIC = 0.01  # pairs with D < 0: rounding and repeated tokens
REVERSIBLE = 0.05  # of the weights, moved by the circulation: more than a drift of some percent per layer

JUMPED = 1.0  # |mean - token|^2 over the spread: the token lies outside of what it attends to
LEAKED = 0.7  # mass that restarts: of position-blind heads .9 and more
TOLD = 0.5  # of the variance of A f along the sequence, nothing fitted; shuffled keys have none
PREFERRED = 0.5  # of the logits' variance is the key potential: more than all that queries add
UNBALANCED = 0.25  # of the mass would have to move for every key to receive the same
EVEN = 0.9  # of all keys are effective

UNREMARKABLE = ("typicality", "share_cost", "leak", "second_eigenvalue")  # that random weights give by themselves
ALIKE = (
    0.2  # range of the share of D among random weights: in two or three dimensions they may be a jump or a diffusion
)

_RULES: tuple[tuple[str, str, tuple[tuple[str, str, float], ...]], ...] = (
    (
        "diffusion", "a diffusion",
        (
            ("ess", ">=", NEIGHBOURS), ("split_half", ">=", AGREEMENT), ("typicality", ">=", TYPICAL),
            ("locality", "<=", LOCAL), ("jump", "<=", STILL), ("negative_cost", "<=", METRIC),
            ("tv_without_circulation", "<=", REVERSIBLE),
        ),
    ),
    (
        "jump", "a jump: rows see one place, and not the token's own",
        (("locality", "<=", LOCAL), ("jump", ">=", JUMPED)),
    ),
    (
        "window", "a window along the sequence, with leak",
        (("leak", "<=", LEAKED), ("window_skill", ">=", TOLD)),
    ),
    (
        "sink", "a key sink: all queries prefer the same keys",
        (("share_potential", ">=", PREFERRED), ("column_imbalance", ">=", UNBALANCED)),
    ),
    ("averaging", "averaging: nearly all keys count alike", (("ess_share", ">=", EVEN),)),
)  # fmt: skip

_WHY = {
    "ess": "too few keys in a row",
    "split_half": "halves of the keys disagree",
    "typicality": "the token is not its own minimiser",
    "locality": "rows are not local",
    "jump": "the row's mean is not at the token",
    "negative_cost": "the cost is negative",
    "tv_without_circulation": "a circulation moves the weights",
}

_COMPARED: dict[str, Callable[[float, float], bool]] = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b}


def read(numbers: Mapping[str, Number]) -> Reading:
    """Return the verdict on a head with these numbers.

    A condition whose number is missing does not hold.
    """
    tried = {kind: _conditions(numbers, rule) for kind, _, rule in _RULES}
    failed = tuple(condition for condition in tried["diffusion"] if not condition.holds)
    for kind, words, rule in _RULES:
        if kind != "diffusion" and _is_unremarkable(numbers):
            return Reading("nothing", "nothing to see: as random weights would do", _unremarkable_rule(), (), failed)
        if all(condition.holds for condition in tried[kind]):
            return Reading(kind, words, _in_words(rule), tried[kind], failed)
    why = ", ".join(_WHY[condition.number] for condition in failed)
    return Reading("other", f"not a diffusion: {why}", "no other rule holds", tried["diffusion"], failed)


def _conditions(numbers: Mapping[str, Number], rule: tuple[tuple[str, str, float], ...]) -> tuple[Condition, ...]:
    found = []
    for name, sign, bound in rule:
        number = numbers[name].value
        holds = number is not None and _COMPARED[sign](number, bound)
        found.append(Condition(name, number, sign, bound, holds))
    return tuple(found)


def _in_words(rule: tuple[tuple[str, str, float], ...]) -> str:
    told = [f"{Number(name, None).definition.title} {sign} {bound:g}" for name, sign, bound in rule]
    return " and ".join([", ".join(told[:-1]), told[-1]] if len(told) > 1 else told)


def _is_unremarkable(numbers: Mapping[str, Number]) -> bool:
    """Return whether the telling numbers lie among those of random weights, or as far from them as those spread."""
    for name in UNREMARKABLE:
        number = numbers[name]
        null = next((null for null in number.nulls if null.name == RANDOM), None) or number.null
        if null is None or null.own is None:
            return False
        spread = null.high - null.low
        if name == "share_cost" and spread > ALIKE:
            return False
        if not null.low - spread <= null.own <= null.high + spread:
            return False
    return True


def _unremarkable_rule() -> str:
    told = ", ".join(Number(name, None).definition.title for name in UNREMARKABLE)
    return f"{told} all within the range of random weights, widened by itself on either side, and those much alike"
