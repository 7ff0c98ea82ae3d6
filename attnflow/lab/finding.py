"""Where the studies are: their files, without running what these hold."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from attnflow._checks import check_choice
from attnflow.errors import ConfigError
from attnflow.lab.imports import Helpers, text_of


class Subject(NamedTuple):
    """A folder of studies that are loaded and run only when they are named: they need an extra, or much more time.

    Each has a table, and a family of intervals, of its own.

    Args:
        title: of its table.
        needs: the module that its studies cannot do without, which says what is missing before anything is measured.
    """

    title: str
    needs: str | None = None


SEPARATE = {"learned": Subject("Learned metrics", needs="attnflow.learn"), "questions": Subject("Open questions")}


class StudyFile(NamedTuple):
    """A file that defines a study, with the texts of it and of the modules beside it that it imports."""

    path: Path
    texts: tuple[str, ...]


def found_files(folder: Path | str, *, subject: str | None = None) -> list[StudyFile]:
    """Return the files in a folder and below it that define studies; one that others import is none, if it has none.

    Args:
        folder: of the studies.
        subject: the folder in it to which they are confined; unless given, those that are `SEPARATE` are left out.

    Raises:
        ConfigError: no such folder, or no study in it.
    """
    texts = {path: text_of(path) for path in needed_files(folder, subject=subject)}
    helpers = {path: Helpers(path, text) for path, text in texts.items()}
    imported = {file.resolve() for found in helpers.values() for file in found.files}
    return [
        StudyFile(path, (text, *helpers[path].texts))
        for path, text in texts.items()
        if path.resolve() not in imported or _defines_study(text)
    ]


def needed_files(folder: Path | str, *, subject: str | None = None) -> list[Path]:
    """Return the files of `study_files`; raise ConfigError if there are none, before anything slow is imported."""
    paths = study_files(folder, subject=subject)
    if not paths:
        others = separate_subjects(folder)
        remedy = "Pass the folder of the studies with `--studies`, or begin one of your own with `attnflow new NAME`."
        raise ConfigError(
            f"no study in {folder}. {f'Pass a subject with `--subject {others[0]}`.' if others else remedy}"
        )
    return paths


def check_distinct(names: Sequence[str], ids: Sequence[str], *, folder: Path) -> None:
    """Raise ConfigError if two studies have one name, or two claims one id."""
    for kind, words in (("studies", names), ("claims", ids)):
        for word, count in Counter(words).items():
            if count > 1:
                raise ConfigError(f"{folder} holds {count} {kind} with the name {word!r}. Rename one.")


def study_files(folder: Path | str, *, subject: str | None = None) -> list[Path]:
    """Return the files of studies in a folder, or of one subject in it; the separate ones only if they are asked for.

    Raises:
        ConfigError: there are studies, but no such subject.
    """
    folder = Path(folder)
    paths = sorted(
        path for path in folder.rglob("*.py") if not any(part[0] in "._" for part in path.relative_to(folder).parts)
    )
    subjects = {path: path.relative_to(folder).parts[0] for path in paths if path.parent != folder}
    if subject is not None and paths:
        check_choice(subject, "--subject", dict.fromkeys(subjects.values()))
    return [
        path for path in paths if (subjects.get(path) == subject if subject else subjects.get(path) not in SEPARATE)
    ]


def separate_subjects(folder: Path | str) -> list[str]:
    """Return those of the separate subjects that a folder of studies has."""
    return [name for name in SEPARATE if any((Path(folder) / name).rglob("*.py"))]


def _defines_study(source: str) -> bool:
    """Return whether a module assigns to `study`, or cannot be parsed, so that loading it says why."""
    try:
        nodes = ast.parse(source).body
    except (SyntaxError, ValueError):
        return True
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in nodes if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == "study" for target in targets)
