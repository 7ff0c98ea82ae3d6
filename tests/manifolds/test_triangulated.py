"""Triangulated surfaces: integrals, charts, samples, reading, and all that lives on them."""

import itertools
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from surfaces import OCTAHEDRON, OF_OCTAHEDRON, lopsided, on_sphere, rectangle

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds import triangulated
from attnflow.manifolds.triangulated import triangle_rule

ROUND_OFF = 1e-13


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_rule_of_a_triangle_is_exact_up_to_its_degree_and_not_beyond(n):
    # int s^a t^b over the triangle, relative to its area: 2 a! b! / (a + b + 2)!
    weights, shares = triangle_rule(n)
    assert weights.min() > 0
    for a, b in itertools.product(range(2 * n), repeat=2):
        if a + b < 2 * n:
            exact = 2 * math.factorial(a) * math.factorial(b) / math.factorial(a + b + 2)
            assert shares @ (weights[:, 1] ** a * weights[:, 2] ** b) == pytest.approx(exact, rel=ROUND_OFF)
    exact = 2 * math.factorial(2 * n) / math.factorial(2 * n + 2)
    assert abs(shares @ weights[:, 1] ** (2 * n) - exact) > 1e-8


def test_an_inscribed_mesh_has_the_area_of_the_sphere_up_to_the_square_of_its_edges():
    missing = [4 * np.pi - on_sphere(level).volume for level in (2, 3, 4)]
    orders = np.log2(np.array(missing[:-1]) / missing[1:])
    np.testing.assert_allclose(orders, 2, atol=0.1)


def test_integrals_converge_fast_where_the_integrand_is_smooth():
    surface = lopsided()
    sums = [w @ np.exp(x @ [1.0, -0.5, 0.7]) for x, w in map(surface.quadrature, (4, 12, 24, 80))]
    errors = np.abs(np.array(sums[:-1]) / sums[-1] - 1)
    assert errors[1] < 1e-7  # 2 to 4 nodes per side of triangles of length about one
    assert errors[2] < ROUND_OFF


def test_samples_fill_every_triangle_evenly():
    surface, n = lopsided(), 64_000
    place = surface.locate(surface.sample_uniform(n, np.random.default_rng(5)))
    shares = surface.triangles.areas / surface.volume
    counts = np.bincount(place.faces, minlength=len(shares))
    assert (np.abs(counts - n * shares) < 5 * np.sqrt(n * shares)).all()  # 5 sigma, 32 counts
    # Barycentric coordinates have means 1/3, variances 1/18 and covariances -1/36.
    np.testing.assert_allclose(place.weights.mean(axis=0), 1 / 3, atol=5 * np.sqrt(1 / 18 / n))
    np.testing.assert_allclose(np.cov(place.weights.T), (np.eye(3) - 1 / 3) / 12, atol=5 * 0.07 / np.sqrt(n))


def test_charts_are_flat_and_lie_in_the_triangle():
    surface = lopsided()
    x = surface.sample_uniform(1, np.random.default_rng(1))[0]
    chart = jax.jit(surface.chart_at(jnp.asarray(x)))
    frame = np.asarray(surface.tangent_frame(jnp.asarray(x)))
    u = jnp.array([1e-4, -2e-4])
    np.testing.assert_allclose(chart(u), x + frame @ u, rtol=0, atol=1e-15)
    assert surface.residual(np.asarray(chart(u))[None])[0] < 1e-15
    derivative = jax.jacfwd(surface.retract)(jnp.asarray(x))
    np.testing.assert_allclose(derivative, frame @ frame.T, rtol=0, atol=ROUND_OFF)


def test_the_generator_on_a_mesh_of_the_sphere_is_that_of_the_plane_of_each_triangle():
    # On flat triangles 1/2 Lap of a linear f is none: L f = (1 - alpha) <grad log p, P grad f>.
    surface = on_sphere(2)
    density = af.LogDensity(surface, lambda x: 0.6 * x[2] - 0.3 * x[0])
    points = surface.sample_uniform(20, np.random.default_rng(2))
    normals = np.cross(*np.moveaxis(surface.triangles.frames[surface.locate(points).faces], 2, 0))
    slope, direction = np.array([-0.3, 0, 0.6]), np.array([0.2, 1.0, 0.5])
    expected = slope @ direction - (normals @ slope) * (normals @ direction)
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=af.AlphaNormalization(0.4))
    found = af.LaplaceExpansion(attention, density).generator(lambda x: 0.2 * x[0] + x[1] + 0.5 * x[2], at=points)
    np.testing.assert_allclose(found, 0.6 * expected, rtol=0, atol=1e-12)


def test_equality_is_that_of_the_arrays_and_the_name_is_short():
    surface = lopsided()
    assert surface == surface
    assert surface != lopsided()
    assert len({surface, lopsided()}) == 2
    assert repr(surface) == "TriangulatedSurface(18 vertices, 32 faces)"
    with pytest.raises(ValueError, match="read-only"):
        surface.vertices[0] = 0


def test_angles_sum_to_what_gauss_and_bonnet_say():
    surface = lopsided()
    assert (2 * np.pi - surface.angles).sum() == pytest.approx(4 * np.pi, rel=ROUND_OFF)
    assert surface.angles.min() < 2 * np.pi < surface.angles.max()
    np.testing.assert_allclose(rectangle(1.0, 0.7).angles, np.pi / 2, rtol=ROUND_OFF)


def test_an_open_surface_says_so():
    assert rectangle(1.0, 0.7).has_boundary
    assert rectangle(1.0, 0.7).is_end.all()
    assert rectangle(1.0, 0.7).refined().refined().is_end.sum() == 16
    assert rectangle(1.0, 0.7).volume == pytest.approx(0.7, rel=ROUND_OFF)
    assert not lopsided().has_boundary


def test_points_off_the_mesh_are_refused_with_the_distance():
    surface = lopsided()
    points = np.array([surface.vertices[0], 1.5 * surface.vertices[3]])
    with pytest.raises(DataError, match=r"not on TriangulatedSurface\(18.*largest distance is 0\.5\d*, at row 1"):
        surface.check(points, "points")


SQUARED = af.SquaredDistance()


def test_the_population_on_a_mesh_of_the_sphere_is_that_of_the_sphere():
    # sqrt(eps) = .45, edges of .2: what is left are the .01 that the mesh is away from the sphere.
    attention = af.Attention(SQUARED, bandwidth=0.2)
    mesh, sphere = on_sphere(3), af.Sphere(2)

    def f(x):
        return x[0] + x[1] * x[2]

    found, expected = (
        af.PopulationAttention(attention, af.LogDensity(manifold, lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1])).layer(
            f, at=mesh.vertices[::20]
        )
        for manifold in (mesh, sphere)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=0.01)


def test_particles_on_a_mesh_tend_to_its_population():
    mesh = lopsided()
    density = af.LogDensity(mesh, lambda x: 0.8 * x[2] - 0.5 * x[0] * x[1])
    points = density.sample(20_000, key=jax.random.key(3))
    assert mesh.residual(points).max() < ROUND_OFF
    attention = af.Attention(SQUARED, bandwidth=0.3)
    at = mesh.sample_uniform(30, np.random.default_rng(0))
    particles = af.EmpiricalAttention(attention, points).layer(lambda x: x[0] + x[2], at=at)
    population = af.PopulationAttention(attention, density).layer(lambda x: x[0] + x[2], at=at)
    # Averages over some 3000 of the points, of a function that varies by about one: 5 sigma.
    np.testing.assert_allclose(particles, population, rtol=0, atol=5 / np.sqrt(3000) * 0.5)


@pytest.mark.parametrize("suffix", ["obj", "off", "ply", "stl"])
def test_files_are_read(suffix, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"octahedron.{suffix}"
    trimesh.Trimesh(OCTAHEDRON, OF_OCTAHEDRON, process=False).export(path)
    surface = af.TriangulatedSurface.read(path)  # .stl holds the corners of every triangle anew
    assert surface.faces.shape == (8, 3)
    assert surface.volume == pytest.approx(4 * np.sqrt(3), rel=1e-6)  # .stl holds float32
    np.testing.assert_allclose(np.sort(surface.vertices, axis=0), np.sort(OCTAHEDRON, axis=0), rtol=0, atol=1e-7)


def test_what_cannot_be_read_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"must end with \.obj, \.ply, \.off, \.stl, got 'bunny\.step'"):
        af.TriangulatedSurface.read("bunny.step")
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(ConfigError, match=r"trimesh, which is not installed\. Run pip install 'attnflow\[mesh\]'"):
        af.TriangulatedSurface.read(tmp_path / "bunny.obj")


class _Reader:
    """What stands for trimesh where it is not installed."""

    def __init__(self, vertices, faces):
        self.vertices, self.faces = vertices, faces

    def load(self, name, *, process, force):
        if "broken" in name:
            raise IndexError("no such line")
        assert (process, force) == (False, "mesh")
        return self


@pytest.mark.parametrize(
    ("name", "faces", "words"),
    [
        ("broken.ply", OF_OCTAHEDRON, "'broken.ply' cannot be read as a mesh: IndexError: no such line"),
        ("cloud.ply", np.empty((0, 3)), "'cloud.ply' holds no triangles"),
        ("half.ply", OF_OCTAHEDRON[:4], "the mesh has holes"),
    ],
)
def test_files_without_a_surface_are_refused(name, faces, words, monkeypatch):
    monkeypatch.setattr(triangulated, "optional", lambda _: _Reader(OCTAHEDRON, faces))
    with pytest.raises(DataError, match=words):
        af.TriangulatedSurface.read(name)


def test_vertices_at_one_place_are_merged_as_they_are_read(monkeypatch):
    alone = OCTAHEDRON[OF_OCTAHEDRON].reshape(-1, 3), np.arange(24).reshape(-1, 3)
    monkeypatch.setattr(triangulated, "optional", lambda _: _Reader(*alone))
    surface = af.TriangulatedSurface.read("soup.stl")
    assert surface.vertices.shape == (6, 3)
    assert surface.volume == pytest.approx(4 * np.sqrt(3), rel=ROUND_OFF)
