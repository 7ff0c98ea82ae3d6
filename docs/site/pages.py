"""Pages that are written from the repository itself: README, sources, the public face, the gallery, every study."""

from __future__ import annotations

import ast
import re
from itertools import groupby
from pathlib import Path

from mkdocs.structure.files import File
from places import PAGES, ROOT, place_of

ROOMS = {  # of the public face, in the order in which a reader meets them
    "The attention": ("attention", "heads", "masks", "normalizations", "profiles", "features"),
    "Costs": ("pseudometrics",),
    "Spaces and densities": ("manifolds", "densities", "measures"),
    "Particles and population": ("sums",),
    "The limit": ("equations",),
    "Tokens that move": ("integrators",),
    "What a life answers": ("trajectories", "comparison"),
    "Judging": ("judge", "lab"),
    "Precision, processes, errors": ("precision", "distributed", "errors"),
}
TOKENS = {"TokenFlow", "MeanFieldFlow", "GaussianClosure", "GaussianTrajectory", "TokenTrajectory"}
SUBJECTS = {
    "generator": "One layer",
    "depth": "Many layers",
    "learned": "Learned metrics",
    "questions": "Open questions",
}


def on_files(files, *, config):
    """Add the pages, and write out the folders of the navigation."""
    for path, text in {**_of_files(), **_of_face(), **_gallery(), **_studies()}.items():
        files.append(File.generated(config, path, content=text))
    for figure in sorted((ROOT / "figures").rglob("*.*")):
        files.append(File.generated(config, str(figure.relative_to(ROOT)), abs_src_path=str(figure)))
    for name in ("style.css", "iframe-worker.js"):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / "docs/site" / name)))
    config.nav = _written_out(config.nav, sorted(file.src_uri for file in files.documentation_pages()))
    return files


def _written_out(entry, pages):
    if isinstance(entry, list):
        return [each for each in (_written_out(each, pages) for each in entry) if each not in ([], {})]
    if isinstance(entry, dict):
        return {name: found for name, each in entry.items() if (found := _written_out(each, pages))}
    return [page for page in pages if page.startswith(entry)] if entry.endswith("/") else entry


def _of_files() -> dict[str, str]:
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in PAGES}
    texts["REFERENCES.bib"] = _sources(texts["REFERENCES.bib"])
    return {PAGES[path]: text for path, text in texts.items()}


def _sources(text: str) -> str:
    """Return a list of the sources, each under its key."""
    lines = ["# Sources", "", "Docstrings and claims cite by these keys; REFERENCES.bib holds them all."]
    for entry in re.findall(r"^@\w+\{(.*?)^\}", text, re.M | re.S):
        key, _, body = entry.partition(",")
        fields = {
            name.lower(): re.sub(r"[{}]|\\[^a-zA-Z]", "", value).replace("--", "-")
            for name, value in re.findall(r"(\w+)\s*=\s*\{((?:[^{}]|\{[^{}]*\})*)\}", body)
        }
        where = [fields.get(name, "") for name in ("journal", "booktitle", "publisher", "volume", "pages")]
        if "eprint" in fields:
            where.append(f"arXiv {fields['eprint']}")
        told = ", ".join(filter(None, [*where, fields.get("year", "")]))
        authors = ", ".join(" ".join(reversed(name.split(", "))) for name in fields.get("author", "").split(" and "))
        lines += ["", f"### {key} {{#cite-{key}}}", "", f"{authors}: *{fields.get('title', '')}*. {told}."]
    return "\n".join(lines) + "\n"


def _face(package: str) -> dict[str, str]:
    """Return the modules of the names that a package shows, by name."""
    stub = ast.parse((ROOT / package.replace(".", "/") / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        line.names[0].name: line.module for line in stub.body if isinstance(line, ast.ImportFrom) and not line.level
    }


def _of_face() -> dict[str, str]:
    """Return one page for each room of the public face."""
    rooms: dict[str, list[str]] = {title: [] for title in ROOMS}
    for name, module in _face("attnflow").items():
        title = next(title for title, parts in ROOMS.items() if module.split(".")[1] in parts)
        rooms["Tokens that move" if name in TOKENS else title].append(f"::: {module}.{name}")
    rooms["Learning"] = [f"::: {module}.{name}" for name, module in _face("attnflow.learn").items()]
    return {
        f"api/{index:02d}-{re.sub(r'[^a-z]+', '-', title.lower())}.md": "\n\n".join([f"# {title}", *names]) + "\n"
        for index, (title, names) in enumerate(rooms.items(), start=1)
    }


def _gallery() -> dict[str, str]:
    """Return one page of figures for each subject, each study under its question."""
    pages = {}
    for subject, studies in groupby(sorted((ROOT / "studies").glob("*/*.py")), key=lambda path: path.parent.name):
        lines = [f"# {SUBJECTS.get(subject, subject.capitalize())}"]
        for study in studies:
            figures = sorted((ROOT / "figures" / study.stem).glob("*.svg"))
            if not figures:
                continue
            lines += ["", f"## {study.stem}", "", f"{_question(study)} [The study](../{place_of(_path(study))})"]
            lines += ["", '<div class="gallery" markdown>', ""]
            lines += [
                f"[![{figure.stem}](../{_path(figure)}){{ loading=lazy }}](../{_path(figure)})\n" for figure in figures
            ]
            lines += ["</div>"]
        if len(lines) > 1:
            pages[f"gallery/{subject}.md"] = "\n".join(lines) + "\n"
    return pages


def _studies() -> dict[str, str]:
    """Return one page for each study, with its file."""
    pages = {}
    for study in sorted((ROOT / "studies").glob("*/*.py")):
        text = study.read_text(encoding="utf-8")
        pages[place_of(_path(study))] = (
            f"---\nsearch:\n  exclude: true\n---\n\n# {study.stem}\n\n`{_path(study)}`\n\n````python\n{text}````\n"
        )
    return pages


def _question(study: Path) -> str:
    documented = ast.get_docstring(ast.parse(study.read_text(encoding="utf-8"))) or ""
    return documented.partition("\n")[0].replace("<", "&lt;").replace("*", r"\*")


def _path(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()
