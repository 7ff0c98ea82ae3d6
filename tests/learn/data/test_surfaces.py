"""Bodies are closed surfaces with the parts they were made of; features are those of the sphere and do not move."""

import sys

import jax
import numpy as np
import pytest
from surfaces import OCTAHEDRON, OF_OCTAHEDRON, TURN, on_sphere

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.learn.data.heat_kernel import heat_kernel_signatures
from attnflow.learn.data.humanoids import PARTS, humanoid, humanoids
from attnflow.learn.data.isosurfaces import decimate, isosurface
from attnflow.learn.data.meshes import meshes
from attnflow.manifolds import triangulated

KEY = jax.random.key(8)
BOX = dict(low=np.full(3, -1.61), high=np.full(3, 1.63))


def ball(points):
    return np.linalg.norm(points - 0.07, axis=1) - 1


def ring(points):
    """A torus with the radii 1 and .4, turned."""
    x, y, z = TURN.T @ points.T
    return np.hypot(np.hypot(x, y) - 1, z) - 0.4


def euler(vertices, faces):
    """V - E + F of a closed surface, which has 3 F / 2 edges."""
    return len(vertices) - len(faces) // 2


def enclosed(vertices, faces):
    """The volume inside, negative if triangles turn inwards: a sixth of the sum of a . (b x c)."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    return np.einsum("fd,fd->", a, np.cross(b, c)) / 6


@pytest.mark.parametrize(
    ("f", "characteristic", "volume"), [(ball, 2, 4 * np.pi / 3), (ring, 0, 2 * np.pi**2 * 0.4**2)]
)
def test_marching_tetrahedra_give_a_closed_surface_that_turns_outwards(f, characteristic, volume):
    vertices, faces = isosurface(f, **BOX, step=0.13)
    surface = af.TriangulatedSurface(vertices, faces)  # closed, or refused
    assert euler(vertices, faces) == characteristic
    assert np.abs(f(surface.vertices)).max() < 0.3 * 0.13  # nodes count as a fifth of a step away at least
    assert enclosed(vertices, faces) == pytest.approx(volume, rel=0.04)  # (step / radius)^2, of the thinner .1


@pytest.mark.parametrize("f", [ball, ring])
def test_fewer_vertices_are_some_of_the_old_ones_on_a_surface_of_the_same_kind(f):
    vertices, faces = isosurface(f, **BOX, step=0.25)
    kept, of_kept = decimate(vertices, faces, count=150)
    af.TriangulatedSurface(kept, of_kept)
    assert len(kept) == 150
    assert {tuple(each) for each in kept} <= {tuple(each) for each in vertices}
    assert euler(kept, of_kept) == euler(vertices, faces)
    assert enclosed(kept, of_kept) == pytest.approx(enclosed(vertices, faces), rel=0.15)


def test_a_surface_that_can_lose_no_more_vertices_says_so():
    with pytest.raises(DataError, match=r"of 6 vertices 5 are left and none can go, 4 were asked"):
        decimate(OCTAHEDRON * [1, 1, 9], OF_OCTAHEDRON, count=4)  # needles would be left


@pytest.mark.parametrize("f", [lambda x: ball(x) + 2, lambda x: ball(x) - 0.7])
def test_a_surface_outside_of_its_box_is_refused(f):
    with pytest.raises(DataError, match="must be inside of the box"):
        isosurface(f, **BOX, step=0.3)


def test_signatures_are_those_of_the_sphere_with_an_error_that_falls_by_four_per_level():
    """On the unit sphere sum_l (2l + 1) e^{-l (l + 1) 4 pi t}, everywhere: linear elements err by the square of h."""
    times, level = np.array([0.05, 0.1, 0.3]), np.arange(60)
    exact = ((2 * level + 1) * np.exp(-4 * np.pi * np.outer(times, level * (level + 1)))).sum(axis=1)
    coarse, fine = (heat_kernel_signatures(on_sphere(n), times) / exact - 1 for n in (3, 4))
    assert np.abs(fine).max() < 0.003
    np.testing.assert_allclose(coarse.mean(axis=0) / fine.mean(axis=0), 4, rtol=0.1)
    assert (np.abs(coarse).max(axis=0) > 2 * np.abs(fine).max(axis=0)).all()  # where triangles are largest


@pytest.mark.parametrize("stretched", [1.0, 6.0])
def test_few_modes_are_enough_where_times_are_long(stretched):
    """All 258 modes by one solver, or as many by another one as have not fallen by e^-16: long surfaces have more."""
    sphere = on_sphere(3)
    surface = af.TriangulatedSurface(sphere.vertices * [1.0, 1.0, stretched], sphere.faces)
    few, all_of_them = heat_kernel_signatures(surface, 0.05), heat_kernel_signatures(surface, [0.005, 0.05])[:, 1:]
    np.testing.assert_allclose(few, all_of_them, rtol=1e-5)  # two hundred modes of e^-16 and less
    assert np.abs(few - all_of_them).max() > 1e-12


def test_signatures_do_not_depend_on_place_turn_size_and_order():
    body = humanoid(key=KEY, vertices=130).surface
    order = np.random.default_rng(0).permutation(130)
    number = np.empty(130, dtype=int)
    number[order] = np.arange(130)
    moved = af.TriangulatedSurface(3.7 * body.vertices[order] @ TURN.T + [5.0, -2.0, 1.0], number[body.faces])
    before, after = (heat_kernel_signatures(each, np.geomspace(0.005, 0.5, 5)) for each in (body, moved))
    np.testing.assert_allclose(after, before[order], rtol=1e-9)  # eigenvalues to round-off times V^2
    assert (before.std(axis=0) / before.mean(axis=0)).max() > 0.2  # and they do tell vertices apart


def test_signatures_at_time_zero_are_refused():
    with pytest.raises(ConfigError, match="`times` must be positive: at 0"):
        heat_kernel_signatures(on_sphere(0), [0.0, 0.1])


@pytest.mark.parametrize("seed", range(4))
def test_a_body_is_a_closed_surface_without_handles_that_stands_upright(seed):
    surface, labels = humanoid(key=jax.random.key(seed), vertices=160)
    assert not surface.has_boundary
    assert len(surface.vertices) == 160
    assert euler(surface.vertices, surface.faces) == 2
    assert enclosed(surface.vertices, surface.faces) > 0
    height = {part: surface.vertices[labels == number, 2].mean() for number, part in enumerate(PARTS)}
    assert height["head"] > height["torso"] > height["thigh"] > height["shin"]
    sideways = {part: np.abs(surface.vertices[labels == number, 1]).mean() for number, part in enumerate(PARTS)}
    assert sideways["forearm"] > sideways["upper arm"] > sideways["torso"]


def test_parts_of_a_body_are_pieces_of_its_surface():
    """Head and torso are one piece each, every limb is two: left and right."""
    surface, labels = humanoid(key=KEY)
    for number, part in enumerate(PARTS):
        mine = labels == number
        edges = surface.faces[mine[surface.faces].all(axis=1)]
        linked = np.eye(len(labels), dtype=bool)
        for a, b in ((0, 1), (1, 2), (2, 0)):
            linked[edges[:, a], edges[:, b]] = linked[edges[:, b], edges[:, a]] = True
        reached = np.linalg.matrix_power(linked[mine][:, mine].astype(float), 40) > 0
        large = np.unique(reached, axis=0).sum(axis=1) > 3  # vertices in no triangle of one part are not counted
        assert large.sum() == (1 if part in ("head", "torso") else 2)


def test_bodies_are_sets_of_tokens_whole_bodies_for_training():
    data = humanoids(key=KEY, count=3, vertices=130, features=5, train=0.3)
    assert data.tokens.shape == (3, 130, 5)
    assert data.train.all(axis=1).sum() == 1
    assert data.test.all(axis=1).sum() == 2
    assert set(data.labels.ravel().tolist()) == set(range(6))
    assert (np.diff(data.tokens, axis=2) < 0).all()  # heat spreads
    again = humanoids(key=KEY, count=3, vertices=130, features=5, train=0.3)
    np.testing.assert_array_equal(again.tokens, data.tokens)


@pytest.mark.parametrize(
    ("changed", "words"),
    [(dict(count=1), "`count`"), (dict(vertices=20), "`vertices`"), (dict(features=0), "`features`"),
     (dict(train=0), "`train`")],
)  # fmt: skip
def test_bodies_that_cannot_be_are_refused(changed, words):
    with pytest.raises(ConfigError, match=words):
        humanoids(**dict(key=KEY, count=2, vertices=130) | changed)


class _Reader:
    """What stands for trimesh, which need not be installed: octahedra, whatever the file holds."""

    vertices, faces = OCTAHEDRON * np.where(OCTAHEDRON[:, 2:] > 0, 3.0, 1.0), OF_OCTAHEDRON  # the upper half is larger

    def load(self, name, *, process, force):
        return self


OF_FACES = [0, 0, 0, 0, 1, 1, 1, 1]  # one half is up, one down


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(triangulated, "optional", lambda _: _Reader())
    for name in ("a.off", "b.PLY", "c.obj"):
        (tmp_path / name).write_text("")
        (tmp_path / f"{name[0]}.seg").write_text(" ".join(map(str, OF_FACES)))
    return tmp_path


def test_vertices_from_files_have_the_label_of_most_of_the_area_around_them(folder):
    (folder / "b.seg").write_text("2 2 2 2 2 2 2 0")  # every vertex has more of 2 around it than of 0
    data = meshes(folder, key=KEY, vertices=250, features=3)
    assert data.tokens.shape == (3, 6, 3)
    assert data.classes == 3
    assert (data.labels[1] == 2).all()
    for row in (0, 2):
        assert sorted(data.labels[row].tolist()) == [0, 0, 0, 0, 0, 1]  # only the lowest has no upper triangle
    assert data.train.all(axis=1).sum() == 2
    assert meshes(folder, key=KEY, vertices=4).tokens.shape == (3, 4, 16)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("0 1 0", r"b\.seg holds 3 labels and .*b\.PLY 8 triangles"),
        ("0 0 0 0 1 1 -1 1", r"b\.seg: label 6 is '-1'"),
        ("0 0 0 0 1 1 1.5 1", r"b\.seg: label 6 is '1\.5'"),
    ],
)
def test_labels_that_do_not_fit_their_surface_are_refused(folder, content, words):
    (folder / "b.seg").write_text(content)
    with pytest.raises(DataError, match=words):
        meshes(folder, key=KEY)


def test_surfaces_or_labels_that_are_missing_are_named(folder, monkeypatch):
    (folder / "c.seg").unlink()
    with pytest.raises(DataError, match=r"no file c\.seg, plain or \.gz"):
        meshes(folder, key=KEY)
    with pytest.raises(DataError, match=r"nowhere holds 0 surfaces"):
        meshes(folder / "nowhere", key=KEY)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ConfigError, match="reading meshes needs trimesh"):
        meshes(folder, key=KEY)
