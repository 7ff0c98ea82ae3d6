"""Loading studies from the files that define them."""

from __future__ import annotations

import sys
import types
from collections import Counter
from pathlib import Path

from attnflow.errors import ConfigError
from attnflow.lab.study import Study


def load_study(path: Path | str) -> Study:
    """Return the `study` that a file defines.

    Raises:
        ConfigError: the file cannot be read or run, or defines no study.

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
        exec(compile(source, str(path), "exec", dont_inherit=True), module.__dict__)
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
    return study


def find_studies(folder: Path | str) -> list[Study]:
    """Return the studies in a folder and below it, by path; what begins with `_` or `.` is left out.

    Args:
        folder: of the studies; each file of it must define one.

    Raises:
        ConfigError: no such folder, no study in it, a file that is no study, or two studies or claims of one name.
    """
    folder = Path(folder)
    paths = sorted(
        path for path in folder.rglob("*.py") if not any(part[0] in "._" for part in path.relative_to(folder).parts)
    )
    if not paths:
        raise ConfigError(f"no study in {folder}. Pass the folder of the studies with `--studies`.")
    studies = [load_study(path) for path in paths]
    names = [study.name for study in studies]
    ids = [claim.id for study in studies for claim in study.claims]
    for kind, words in (("studies", names), ("claims", ids)):
        for word, count in Counter(words).items():
            if count > 1:
                raise ConfigError(f"{folder} holds {count} {kind} with the name {word!r}. Rename one.")
    return studies
