"""What an exported file says about itself: the study, its claims and verdicts, its quantities, and how it was made."""

from __future__ import annotations

import ast
import json
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from attnflow.lab.study import Case, Study

if TYPE_CHECKING:
    from attnflow.lab.runs import Run

COMPANIONS = {
    "ess": "effective number of neighbours",
    "solver_error": "declared absolute error",
    "failed": "whether the seed failed",
}
OF_CLAIMS = (
    *("id", "statement", "hypotheses", "source", "kind", "quantity", "size", "predicted", "margin"),
    *("control_of", "covered_by"),
)
OF_OTHERS = "the claims predict what holds for other parameters, those of the study"
OF_VERDICTS = ("verdict", "measured", "low", "high", "reason")


def attributes_of(run: Run, overridden: Case | None = None) -> dict[str, Any]:
    """Return what is said of a whole file: words and numbers by name, and what has parts as JSON."""
    facts = facts_of(run, overridden)
    return {
        name: fact if isinstance(fact, str | int) else json.dumps(fact, ensure_ascii=False)
        for name, fact in facts.items()
    }


def facts_of(run: Run, overridden: Case | None = None) -> dict[str, Any]:
    """Return what is known of what was measured, by name.

    Args:
        run: of a study, complete or not.
        overridden: parameters of the study that are others than its own.
    """
    study = run.study
    text = (ast.get_docstring(ast.parse(study.source)) if study.source else None) or study.name
    verdicts = {verdict.id: verdict.row() for verdict in run.verdicts}
    claims = [
        {name: getattr(claim, name) for name in OF_CLAIMS}
        | {name: verdicts[claim.id][name] for name in OF_VERDICTS if claim.id in verdicts}
        for claim in study.all_claims
    ]
    made = [record.provenance for record in run.found if record.failed is None]
    versions = [json.dumps(each.get("versions", {}), sort_keys=True) for each in made]
    finished = sorted(str(each.get("finished", "")) for each in made)
    return {
        "title": text.splitlines()[0],
        "study": study.name,
        "description": text,
        "claims": claims,
        "units": "all quantities are numbers without a unit",
        "run": run.setting or "not complete",
        "master_seed": run.master_seed,
        "study_source_sha256": study.digest,
        "code_sha256": ", ".join(sorted({str(each.get("code", "")) for each in made})),
        "versions": [json.loads(each) for each in dict.fromkeys(versions)],
        "measured": f"{finished[0]} to {finished[-1]}" if finished else "",
        "source": f"attnflow {_version()}",
    } | ({"overridden": dict(overridden), "verdicts": OF_OTHERS} if overridden else {})


def meaning(quantity: str, study: Study) -> str:
    """Return what a quantity is: its label, with formulas in TeX between dollars, or what it is a companion of.

    Example:
        >>> import attnflow as af
        >>> from attnflow.lab.descriptions import meaning
        >>> study = af.Study(name="toy", measure=dict, ladder=[{"n": 1}], quick=1, claims=[])
        >>> meaning("error.solver_error", study)
        'declared absolute error of error'
    """
    of, _, companion = quantity.rpartition(".")
    if quantity in study.labels:
        return study.labels[quantity]
    if companion in COMPANIONS:
        return f"{COMPANIONS[companion]} of {study.labels.get(of, of) or 'all quantities'}"
    return quantity


def _version() -> str:
    try:
        return version("attnflow")
    except PackageNotFoundError:
        return "from a source folder"
