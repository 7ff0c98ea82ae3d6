"""What a word names: a study, a claim, or the family of all claims whose ids begin with it and a `/`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attnflow._checks import check_choice
from attnflow.judge.claims import Claim
from attnflow.lab.study import Study


def words_of(study: Study) -> list[str]:
    """Return every word that names something of a study: ids of claims, their families, and its own name.

    Example:
        >>> import attnflow as af
        >>> claim = af.Claim(
        ...     id="mean/coin", source="Si", statement="a fair coin", kind="identity", quantity="mean", size="n",
        ...     hypotheses="none", predicted=0.5, margin=0.1)
        >>> study = af.Study(name="toy", measure=dict, ladder=[{"n": 1}], quick=1, claims=[claim])
        >>> from attnflow.lab.naming import words_of
        >>> words_of(study)
        ['mean/coin', 'mean', 'toy']
    """
    return list(dict.fromkeys([*(word for claim in study.all_claims for word in _words(claim)), study.name]))


def check_words(words: Iterable[str], studies: Sequence[Study]) -> None:
    """Raise ConfigError, with the nearest word, unless each of them names something of the studies."""
    ids = [claim.id for study in studies for claim in study.all_claims]
    families = sorted({word for study in studies for word in words_of(study)} - set(ids))
    for word in words:
        check_choice(word, "NAME", [*ids, *families])


def claims_named(words: Sequence[str], studies: Sequence[Study]) -> set[str]:
    """Return the ids of the claims that some words name, and of the controls of them; without words those of all.

    The control of a claim may be one that covers it, of the same study.

    Args:
        words: ids, families, or names of studies, which name all their claims.
        studies: among whose claims they are sought.

    Raises:
        ConfigError: a word that names nothing.
    """
    check_words(words, studies)
    claims = [(study, claim) for study in studies for claim in study.all_claims]
    named = {claim.id for study, claim in claims if not words or {study.name, *_words(claim)} & set(words)}
    covering = {(study, claim.covered_by) for study, claim in claims if claim.id in named}
    return named | {claim.id for study, claim in claims if claim.control_of in named or (study, claim.id) in covering}


def studies_named(words: Sequence[str], studies: Sequence[Study]) -> list[Study]:
    """Return the studies that some words name, in the order of the words.

    Args:
        words: names of studies, or ids or families of claims, which name the studies that decide them. What is the name
            of a study as well as a family names that study alone.
        studies: among which they are sought.

    Raises:
        ConfigError: a word that names nothing.
    """
    check_words(words, studies)
    by_name = {study.name: study for study in studies}
    found: dict[str, Study] = {}
    for word in words:
        meant = [by_name[word]] if word in by_name else [study for study in studies if word in words_of(study)]
        found |= {study.name: study for study in meant}
    return list(found.values())


def _words(claim: Claim) -> tuple[str, str]:
    return claim.id, claim.id.split("/")[0]
