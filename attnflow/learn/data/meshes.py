"""Surfaces from files, with a label for each triangle beside them."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import jax
import numpy as np

from attnflow._checks import check_integer
from attnflow.densities.sampling import generator_of
from attnflow.errors import DataError
from attnflow.learn.data.base import TokenSets, split_of
from attnflow.learn.data.files import find, read_text
from attnflow.learn.data.surfaces import LabelledSurface, of_surfaces
from attnflow.manifolds.triangulated import TriangulatedSurface

_MESHES = (".off", ".ply", ".obj")


def meshes(
    folder: str | PathLike,
    *,
    key: jax.Array,
    labels: str = ".seg",
    vertices: int = 250,
    features: int = 16,
    train: float = 0.5,
) -> TokenSets:
    """Return the surfaces in a folder, whose vertices are tokens with the logarithms of heat-kernel signatures.

    Beside NAME.off, .ply or .obj there is NAME.seg with one whole number per triangle, in their order, counted from 0,
    plain or compressed, as the Princeton benchmark for segmentation has it  [CGF]. A vertex has the label of most of
    the area around it.

    Args:
        folder: with at least two surfaces; subfolders are not looked at.
        key: which surfaces are for training, and which vertices are taken.
        labels: how the names of the files with labels end.
        vertices: how many are taken of each, at random; smaller surfaces are filled up and say so in `present`.
        features: how many times the signatures are taken at, D.
        train: the share of surfaces that is for training.

    Raises:
        ConfigError: if a number is too small, the share not between 0 and 1, or trimesh is not installed.
        DataError: if there are less than two surfaces, one cannot be read or is not closed, or its labels are missing,
            of another number, or no whole numbers; the message names the file.
    """
    vertices, features = check_integer(vertices, "vertices", minimum=1), check_integer(features, "features", minimum=1)
    place = Path(folder)
    paths = sorted(path for path in place.iterdir() if path.suffix.lower() in _MESHES) if place.is_dir() else []
    if len(paths) < 2:
        raise DataError(
            f"{place} holds {len(paths)} surfaces, {', '.join(_MESHES)}. Pass a folder with two or more: one of "
            "them is for testing."
        )
    surfaces = [_labelled(path, find(place, path.stem + labels)) for path in paths]
    generator = generator_of(key)
    taken = [generator.permutation(len(each.labels))[:vertices] for each in surfaces]
    chosen = split_of(np.zeros(len(paths)), train, key=key)
    classes = max(2, 1 + max(int(each.labels.max()) for each in surfaces))
    return of_surfaces(place.name, surfaces, rows=taken, classes=classes, features=features, train=chosen)


def _labelled(path: Path, beside: Path) -> LabelledSurface:
    """Return the surface in a file and the labels of its vertices, by those of its triangles in another file."""
    surface, words = TriangulatedSurface.read(path), read_text(beside).split()
    if len(words) != len(surface.faces):
        raise DataError(
            f"{beside} holds {len(words)} labels and {path} {len(surface.faces)} triangles. Pass one for each."
        )
    wrong = next((word for word in words if not word.isdecimal()), None)
    if wrong is not None:
        raise DataError(f"{beside}: label {words.index(wrong)} is {wrong!r}. Pass whole numbers, counted from 0.")
    of_faces = np.array(words, dtype=int)
    areas = np.zeros((len(surface.vertices), of_faces.max() + 1))
    np.add.at(areas, (surface.faces, of_faces[:, None]), surface.triangles.areas[:, None])
    return LabelledSurface(surface, areas.argmax(axis=1))
