"""Loading studies from the files that define them."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from pathlib import Path

from attnflow.errors import ConfigError
from attnflow.lab.finding import SEPARATE, check_distinct, found_files, separate_subjects
from attnflow.lab.finding import study_files as study_files
from attnflow.lab.imports import Helpers
from attnflow.lab.study import Study


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
    studies = [load_study(file.path) for file in found_files(folder, subject=subject)]
    _check_names(studies, folder=Path(folder))
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


def _check_names(studies: Sequence[Study], *, folder: Path) -> None:
    ids = [claim.id for study in studies for claim in study.all_claims]
    check_distinct([study.name for study in studies], ids, folder=folder)
