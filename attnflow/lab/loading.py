"""Loading studies from the files that define them."""

from __future__ import annotations

import ast
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from attnflow._checks import check_choice
from attnflow.errors import ConfigError
from attnflow.lab.imports import Helpers, text_of
from attnflow.lab.study import Study


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


def load_study(path: Path | str) -> Study:
    """Return the `study` that a file defines; what it imports from its own folder is found there.

    Raises:
        ConfigError: the file cannot be read or run, ends Python, or defines no study.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from attnflow.lab.loading import load_study
        >>> text = "import attnflow as af; measure = lambda case, keys: {}; "
        >>> text += "study = af.Study(name='toy', measure=measure, ladder=[{'n': 1}], quick=1, claims=[])"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "toy.py"
        ...     _ = path.write_text(text)
        ...     load_study(path).name
        'toy'
    """
    path = Path(path)
    module = types.ModuleType(f"study_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickles look their module up by name
    try:
        source = path.read_text(encoding="utf-8")
        subject = SEPARATE.get(path.resolve().parent.name)
        if subject and subject.needs:
            import_module(subject.needs)
        helpers = Helpers(path, source)
        with helpers.in_reach():
            exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
    except SystemExit as error:  # it would end the run of all studies, and with 0 as if all were well
        raise ConfigError(f"{path} is no working study: it calls sys.exit({error.code!r}). Take that out.") from error
    except OSError as error:
        raise ConfigError(
            f"could not read the study {path}: {error.strerror or error}. Pass a file such as studies/depth/depth.py."
        ) from error
    except Exception as error:
        raise ConfigError(f"{path} is no working study: {type(error).__name__}: {error}") from error
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise ConfigError(f"{path} defines no `study`. End it with `study = af.Study(...)`.")
    object.__setattr__(study, "source", source)
    object.__setattr__(study, "helpers", helpers.texts)
    object.__setattr__(study, "path", path)
    object.__setattr__(study, "measure", helpers.reaching(study.measure))
    object.__setattr__(study, "figures", tuple(map(helpers.reaching, study.figures)))
    return study


def find_studies(folder: Path | str, *, subject: str | None = None) -> list[Study]:
    """Return the studies in a folder and below it, by path; what begins with `_` or `.` is left out.

    Args:
        folder: of the studies; each file of it must define one, or be imported by one that lies beside it.
        subject: the folder in it to which they are confined; unless given, those that are `SEPARATE` are left out.

    Raises:
        ConfigError: no such folder, no study in it, a file that is no study, or two studies or claims of one name.
    """
    folder = Path(folder)
    paths = study_files(folder, subject=subject)
    if not paths:
        others = separate_subjects(folder)
        remedy = f"a subject with `--subject {others[0]}`" if others else "the folder of the studies with `--studies`"
        raise ConfigError(f"no study in {folder}. Pass {remedy}.")
    helpers = {file.resolve() for path in paths for file in Helpers(path, text_of(path)).files}
    studies = [load_study(path) for path in paths if path.resolve() not in helpers or _defines_study(text_of(path))]
    _check_names(studies, folder=folder)
    return studies


def find_named(
    folder: Path | str,
    words: Sequence[str],
    *,
    subject: str | None = None,
    names: Callable[[Study], Iterable[str]],
) -> list[Study]:
    """Return the studies of `find_studies`, and if some words name nothing in them, those of separate subjects as well.

    Args:
        folder: of the studies.
        words: what is asked for; none of it need exist.
        subject: as for `find_studies`; if it is given, nothing is sought elsewhere.
        names: what a study has that a word may name.

    Raises:
        ConfigError: as `find_studies` does; of a separate subject, with the word for which it was loaded.
    """
    studies = find_studies(folder, subject=subject)
    for other in separate_subjects(folder) if subject is None else ():
        missing = set(words) - {name for study in studies for name in names(study)}
        if missing:
            try:
                studies += find_studies(folder, subject=other)
            except ConfigError as error:
                word = next(word for word in words if word in missing)
                raise ConfigError(f"{word!r} was not found, and {other!r} cannot be searched: {error}") from error
    _check_names(studies, folder=Path(folder))
    return studies


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


def _check_names(studies: Sequence[Study], *, folder: Path) -> None:
    names = [study.name for study in studies]
    ids = [claim.id for study in studies for claim in study.all_claims]
    for kind, words in (("studies", names), ("claims", ids)):
        for word, count in Counter(words).items():
            if count > 1:
                raise ConfigError(f"{folder} holds {count} {kind} with the name {word!r}. Rename one.")


def _defines_study(source: str) -> bool:
    """Return whether a module assigns to `study`, or cannot be parsed, so that loading it says why."""
    try:
        nodes = ast.parse(source).body
    except (SyntaxError, ValueError):
        return True
    targets = [target for node in nodes if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in nodes if isinstance(node, ast.AnnAssign)]
    return any(isinstance(target, ast.Name) and target.id == "study" for target in targets)
