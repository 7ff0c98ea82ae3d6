"""Bodies with a head, a torso, arms and legs, whose parts are to be told by how heat spreads around a vertex."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from attnflow._checks import check_integer
from attnflow.densities.sampling import generator_of
from attnflow.learn.data.base import TokenSets, split_of
from attnflow.learn.data.isosurfaces import decimate, isosurface
from attnflow.learn.data.surfaces import LabelledSurface, of_surfaces
from attnflow.manifolds.triangulated import TriangulatedSurface

PARTS = ("torso", "head", "upper arm", "forearm", "thigh", "shin")
_TORSO, _HEAD, _UPPER_ARM, _FOREARM, _THIGH, _SHIN = range(len(PARTS))
_SPREAD = 0.1  # of the logarithms of lengths and radii
_GAP = 1.0  # steps of the grid between parts that do not meet, or the surface might join them
_THINNEST = 1.2  # a step of the grid at most, over the smallest radius
_VERTICES_PER_STEP = 4.3  # of marching tetrahedra, per area of a square of the grid
_SPARE = 3.0  # times the vertices asked are made, of which most are taken out
_FEWEST = 120  # vertices: limbs are lines with less

# The trunk stands at the origin and looks along x, y is its left. Lengths and radii before they are spread.
_LENGTHS = {_TORSO: 0.45, _HEAD: 0.1, _UPPER_ARM: 0.3, _FOREARM: 0.28, _THIGH: 0.42, _SHIN: 0.42}
_RADII = {_TORSO: 0.17, _HEAD: 0.13, _UPPER_ARM: 0.085, _FOREARM: 0.08, _THIGH: 0.11, _SHIN: 0.095}
# In degrees, from hanging down: sideways and forwards, of the upper limb; and by how much the lower one adds to that.
_ARM = ((35, 105), (-30, 40)), ((-15, 45), (-10, 60))
_LEG = ((8, 28), (-25, 35)), ((-4, 4), (-45, 0))


class Capsules(NamedTuple):
    """Segments (B, 3) with radii (B,), and the part to which each belongs."""

    starts: np.ndarray
    ends: np.ndarray
    radii: np.ndarray
    parts: np.ndarray

    def offsets(self, points: np.ndarray) -> np.ndarray:
        """Return the vectors (Q, B, 3) from the nearest points of the segments to points (Q, 3)."""
        along = self.ends - self.starts
        from_start = points[:, None] - self.starts
        share = np.einsum("qbd,bd->qb", from_start, along) / np.einsum("bd,bd->b", along, along)
        return from_start - share.clip(0, 1)[..., None] * along

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the distances (Q,) from all of them, negative within one."""
        return self.distances(points).min(axis=1)

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Return the distances (Q, B) from each capsule, negative within."""
        return np.linalg.norm(self.offsets(points), axis=2) - self.radii

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the nearest points (Q, 3) of the capsule that is nearest to each."""
        offsets, rows = self.offsets(points), np.arange(len(points))
        lengths = np.linalg.norm(offsets, axis=2)
        nearest = (lengths - self.radii).argmin(axis=1)
        excess = 1 - self.radii[nearest] / lengths[rows, nearest]
        return points - excess[:, None] * offsets[rows, nearest]

    @property
    def area(self) -> float:
        """The areas of the capsules together."""
        return float(
            (2 * np.pi * self.radii * (np.linalg.norm(self.ends - self.starts, axis=1) + 2 * self.radii)).sum()
        )

    def gap(self) -> float:
        """Return the least distance of two capsules that do not meet at a joint or in the trunk."""
        along = np.linspace(0, 1, 12)[:, None, None]
        points = (1 - along) * self.starts + along * self.ends
        distances = (
            self.distances(points.reshape(-1, 3)).reshape(*points.shape[:2], -1).min(axis=0) - self.radii[:, None]
        )
        return float(distances[_APART].min())


# In the order of `_draw_body`: torso, head, then upper and lower limb of both arms and both legs.
_JOINED = [(0, 1), *((0, upper) for upper in (2, 4, 6, 8)), *((upper, upper + 1) for upper in (2, 4, 6, 8)), (6, 8)]
_APART = np.array([[a < b and (a, b) not in _JOINED for b in range(10)] for a in range(10)])


def humanoids(
    *, key: jax.Array, count: int = 20, vertices: int = 250, features: int = 16, train: float = 0.5
) -> TokenSets:
    """Return bodies of random proportions in random poses: vertices are tokens, parts of the body their labels.

    The features are the logarithms of heat-kernel signatures, which know nothing of where and how a body stands; left
    and right are alike.

    Args:
        key: the randomness.
        count: how many bodies, S.
        vertices: how many each has, N.
        features: how many times the signatures are taken at, D.
        train: the share of bodies that is for training.

    Raises:
        ConfigError: if a number is too small, or the share not between 0 and 1.

    Example:
        >>> import jax, attnflow as af
        >>> af.learn.humanoids(key=jax.random.key(0), count=2, vertices=200)
        TokenSets(humanoids: 2 sets of 200 tokens, 16 coordinates, 6 classes, 200 of 400 for training)
    """
    count, features = check_integer(count, "count", minimum=2), check_integer(features, "features", minimum=1)
    chosen = split_of(np.zeros(count), train, key=key)
    bodies = [humanoid(key=each, vertices=vertices) for each in jax.random.split(key, count)]
    rows = [np.arange(vertices)] * count
    return of_surfaces("humanoids", bodies, rows=rows, classes=len(PARTS), features=features, train=chosen)


def humanoid(*, key: jax.Array, vertices: int = 250) -> LabelledSurface:
    """Return one body of random proportions in a random pose: a closed surface around capsules.

    Its height is about 1.8. A vertex belongs to the part whose capsule is nearest.

    Args:
        key: the randomness.
        vertices: how many the surface has, at least 120.

    Raises:
        ConfigError: if the number of vertices is too small.

    Example:
        >>> import jax, attnflow as af
        >>> from attnflow.learn.data.humanoids import PARTS
        >>> body = af.learn.humanoid(key=jax.random.key(0), vertices=200)
        >>> body.surface, PARTS[body.labels[body.surface.vertices[:, 2].argmax()]]
        (TriangulatedSurface(200 vertices, 396 faces), 'head')
    """
    vertices = check_integer(vertices, "vertices", minimum=_FEWEST)
    generator = generator_of(key)
    while True:  # more than half of all poses are taken
        body = _draw_body(generator)
        step = min((_VERTICES_PER_STEP * body.area / (_SPARE * vertices)) ** 0.5, _THINNEST * body.radii.min())
        if body.gap() < _GAP * step:
            continue
        around = body.radii.max() + 2 * step
        corners = np.concatenate([body.starts, body.ends])
        low, high = corners.min(axis=0) - around, corners.max(axis=0) + around
        points, faces = isosurface(body.distance, low=low, high=high, step=step)
        if 2 * len(points) - len(faces) == 4:  # no part touches another
            points, faces = decimate(body.project(points), faces, count=vertices)
            labels = body.parts[body.distances(points).argmin(axis=1)]
            return LabelledSurface(TriangulatedSurface(points, faces), labels)


def _draw_body(generator: np.random.Generator) -> Capsules:
    lengths = {part: length * np.exp(_SPREAD * generator.standard_normal()) for part, length in _LENGTHS.items()}
    radii = {part: radius * np.exp(_SPREAD * generator.standard_normal()) for part, radius in _RADII.items()}
    top, wide = lengths[_TORSO], radii[_TORSO]
    tilt = np.array([*np.deg2rad(generator.uniform(-15, 15, 2)), 1.0])
    neck = np.array([0.0, 0.0, top + wide + 0.4 * radii[_HEAD]])
    bones = [(_TORSO, np.zeros(3), np.array([0.0, 0.0, top])), (_HEAD, neck, neck + lengths[_HEAD] * tilt)]
    for (upper, lower), angles, joint in (
        ((_UPPER_ARM, _FOREARM), _ARM, np.array([0.0, wide + 0.02, top - 0.03])),
        ((_THIGH, _SHIN), _LEG, np.array([0.0, 0.6 * wide, -0.05])),
    ):
        for side in (1.0, -1.0):
            mirrored, at = np.array([1.0, side, 1.0]), joint
            pose = np.zeros(2)
            for part, ranges in zip((upper, lower), angles, strict=True):
                pose = pose + np.deg2rad([generator.uniform(*ends) for ends in ranges])
                end = at + lengths[part] * _direction(*pose)
                bones.append((part, mirrored * at, mirrored * end))
                at = end
    parts, starts, ends = zip(*bones, strict=True)
    return Capsules(np.array(starts), np.array(ends), np.array([radii[part] for part in parts]), np.array(parts))


def _direction(sideways: float, forwards: float) -> np.ndarray:
    """Return the direction (3,) of a limb that hangs down and is turned by two angles."""
    return np.array([np.cos(sideways) * np.sin(forwards), np.sin(sideways), -np.cos(sideways) * np.cos(forwards)])
