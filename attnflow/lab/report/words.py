"""How a run and its verdicts are put in words, on the page and in the tables of claims alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from attnflow.judge.verdicts import Verdict, is_expected
from attnflow.lab.plots.style import SYMBOLS
from attnflow.lab.runs import Run
from attnflow.lab.tables import conclusion


def settings_in_words(runs: Sequence[Run]) -> str:
    """Return which runs the verdicts come from: "Full run", or each setting with its studies."""
    names = {"full": "Full run", "quick": "Quick run", None: "Not run"}
    groups = {setting: [run.study.name for run in telling(runs) if run.setting == setting] for setting in names}
    found = [setting for setting in names if groups[setting]]
    if len(found) == 1:
        return names[found[0]]
    return "; ".join(f"{names[setting]}: {', '.join(groups[setting])}" for setting in found)


def telling(runs: Sequence[Run]) -> Sequence[Run]:
    """Return the runs that say which size was run: those of studies with one size do not, unless all have but one."""
    return [run for run in runs if run.setting != "full" or not run.study.quick_is_full] or runs


def summary_in_words(verdicts: Sequence[Verdict]) -> str:
    """Return how many verdicts of each kind there are, derivations apart, and which are not as expected."""
    claims = [verdict for verdict in verdicts if not verdict.control]
    measured = Counter(verdict.verdict for verdict in claims if not verdict.derivation)
    derived = Counter(verdict.verdict for verdict in claims if verdict.derivation)
    controls = [verdict for verdict in verdicts if verdict.control]
    kept = sum(map(is_expected, controls))
    noun = "claim" if measured.total() == 1 else "claims"
    text = f"{measured.total()} {noun} measured: {', '.join(f'{measured[word]} {word}' for word in SYMBOLS)}. "
    if derived:
        counts = ", ".join(f"{derived[word]} {word}" for word in SYMBOLS if derived[word])
        noun = "derivation" if derived.total() == 1 else "derivations"
        text += f"{derived.total()} {noun}, a formula against a formula without attention: {counts}. "
    if controls:
        gaps = [verdict.gap == "supported" for verdict in controls if verdict.truth is not None]
        by_gap = f", by the predicted gap {sum(gaps)} of {len(gaps)}" if gaps else ""
        text += f"Negative controls refuted, as they must be: {kept} of {len(controls)}{by_gap}. "
    odd = [verdict.id for verdict in verdicts if not is_expected(verdict)]
    return text + (f"Not as expected: {', '.join(odd)}." if odd else f"In short: {conclusion(verdicts)}.")


def verdict_in_words(verdict: Verdict) -> str:
    """Return the verdict as a reader should take it: of a control, refuted is what it must be."""
    if not verdict.control:
        return f"{verdict.verdict}, a derivation" if verdict.derivation else verdict.verdict
    if is_expected(verdict):
        return "refuted, as a control must be"
    how = "by another gap" if verdict.verdict == "refuted" else "not refuted"
    return f"control {verdict.verdict}, {how}"


def levels_in_words(verdict: Verdict) -> str:
    """Return how many levels there are, and how many of them were dropped."""
    return str(verdict.levels) + (f" ({verdict.dropped} dropped)" if verdict.dropped else "")
