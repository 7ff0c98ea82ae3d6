"""Triangulated surfaces for tests, none of which has a symmetry of the sphere's grid."""

import numpy as np
from witnesses import disphenoid

import attnflow as af

TURN = np.linalg.qr(np.array([[1.0, 0.3, -0.2], [0.4, 1.0, 0.5], [-0.1, 0.2, 1.0]]))[0]
OCTAHEDRON = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
OF_OCTAHEDRON = np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])


def on_sphere(level):
    """A turned octahedron, cut `level` times with the new vertices put on the unit sphere: 8 4^level faces."""
    surface = af.TriangulatedSurface(OCTAHEDRON @ TURN.T, OF_OCTAHEDRON)
    for _ in range(level):
        finer = surface.refined()
        lengths = np.linalg.norm(finer.vertices, axis=1, keepdims=True)
        surface = af.TriangulatedSurface(finer.vertices / lengths, finer.faces)
    return surface


def lopsided():
    """A surface of 32 triangles of many shapes, with vertices where the angles sum to less and to more than 2 pi."""
    finer = on_sphere(1)
    radii = 1 + 0.25 * np.sin(np.arange(len(finer.vertices)) ** 2)
    return af.TriangulatedSurface(finer.vertices * radii[:, None], finer.faces)


def box(sides):
    """The tetrahedron of four corners of a box, whose faces are alike."""
    return af.TriangulatedSurface(disphenoid.corners(sides), disphenoid.FACES)


def rectangle(a, b):
    """A flat piece of the plane z = 1, of two triangles."""
    corners = [[0, 0, 1], [a, 0, 1], [a, b, 1], [0, b, 1]]
    return af.TriangulatedSurface(np.array(corners, dtype=float), [[0, 1, 2], [0, 2, 3]], with_boundary=True)


def bracket():
    """Three unit squares in the plane z = 0 that meet at the origin, where their angles sum to 3 pi / 2."""
    corners = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [-1, 1, 0], [-1, 0, 0], [-1, -1, 0], [0, -1, 0]]
    faces = [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5], [0, 5, 6], [0, 6, 7]]
    return af.TriangulatedSurface(np.array(corners, dtype=float), faces, with_boundary=True)


def needles():
    """A mesh of the unit sphere by five rings of thirty vertices, each turned by half a radian: long, obtuse ones."""
    heights, turns = np.pi * np.arange(1, 6) / 6, 2 * np.pi * np.arange(30) / 30
    ring, turn = np.meshgrid(np.arange(5), turns, indexing="ij")
    longitudes, latitudes = turn + ring / 2, heights[ring]
    rings = np.stack(
        [np.sin(latitudes) * np.cos(longitudes), np.sin(latitudes) * np.sin(longitudes), np.cos(latitudes)], axis=2
    )
    own, after, poles = np.arange(30), (np.arange(30) + 1) % 30, np.full((2, 30), [[150], [151]])
    faces = [(poles[0], own, after), (poles[1], 120 + after, 120 + own)]
    for start in range(0, 120, 30):
        faces += [(start + own, start + 30 + own, start + 30 + after), (start + own, start + 30 + after, start + after)]
    vertices = np.concatenate([rings.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]])
    return af.TriangulatedSurface(vertices, np.concatenate([np.stack(face, axis=1) for face in faces]))
