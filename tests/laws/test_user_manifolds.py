"""Manifolds as a user would write them: plain subclasses, through all of the laboratory, against closed forms."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.checks import check_manifold

EPS = 0.3
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=EPS)
CLOSE = 1e-10  # asked of sums and of third derivatives of order one


class CircleOfRadius(af.Manifold):
    """What is asked for, and `along`; no dataclass, no frame, no sampling."""

    dim = 1
    ambient_dim = 2
    is_compact = True
    has_boundary = False

    def __init__(self, radius):
        self.radius = radius
        self.volume = 2 * np.pi * radius

    def retract(self, y):
        return self.radius * y / jnp.linalg.norm(y)

    def quadrature(self, degree):
        n = degree + 1
        return af.DiscreteMeasure(self.along(self.volume * np.arange(n) / n), np.full(n, self.volume / n))

    def along(self, lengths):
        return self.radius * np.stack([np.cos(lengths / self.radius), np.sin(lengths / self.radius)], axis=1)


@dataclasses.dataclass(frozen=True)
class TiltedEllipse(af.Manifold):
    """(a cos t, b sin t) in a plane of R^3, whose two unit vectors are an array; uniform samples, but no `along`."""

    a: float
    b: float
    plane: np.ndarray  # (3, 2)
    dim: int = 1
    ambient_dim: int = 3
    is_compact: bool = True
    has_boundary: bool = False

    @property
    def volume(self):
        return 4 * self.a * special.ellipe(1 - (self.b / self.a) ** 2)

    def at(self, t):
        return np.stack([self.a * np.cos(t), self.b * np.sin(t)], axis=-1) @ self.plane.T

    def speed(self, t):
        return np.sqrt((self.a * np.sin(t)) ** 2 + (self.b * np.cos(t)) ** 2)

    def retract(self, y):
        # The point of the same angle is not the nearest one; generators need no more.
        x = y @ self.plane
        t = jnp.arctan2(x[1] / self.b, x[0] / self.a)
        return jnp.asarray(self.plane) @ jnp.array([self.a * jnp.cos(t), self.b * jnp.sin(t)])

    def quadrature(self, degree):
        t = 2 * np.pi * np.arange(degree + 1) / (degree + 1)
        return af.DiscreteMeasure(self.at(t), 2 * np.pi / len(t) * self.speed(t))

    def sample_uniform(self, n, generator):
        points = np.empty((0, 3))
        while len(points) < n:
            t = 2 * np.pi * generator.random(n)
            points = np.concatenate([points, self.at(t[self.a * generator.random(n) < self.speed(t)])])
        return points[:n]


class EllipseByLength(TiltedEllipse):
    """The same, run through by arc length: s -> t by Newton's method on the incomplete elliptic integral."""

    def length(self, t):
        """The arc length from t = 0; E is counted from the other axis."""
        shape = 1 - (self.b / self.a) ** 2
        return self.a * (special.ellipeinc(np.asarray(t) - np.pi / 2, shape) + special.ellipe(shape))

    def along(self, lengths):
        t = 2 * np.pi * np.asarray(lengths) / self.volume
        for _ in range(30):
            t = t - (self.length(t) - lengths) / self.speed(t)
        return self.at(t)


CIRCLE = CircleOfRadius(2.0)
PLANE = np.linalg.qr(np.array([[1.0, 0.2], [0.5, 1.0], [-0.3, 0.4]]))[0]
ELLIPSE, ELLIPSE_BY_LENGTH = TiltedEllipse(1.5, 0.8, PLANE), EllipseByLength(1.5, 0.8, PLANE)
MANIFOLDS = {"circle": CIRCLE, "ellipse": ELLIPSE, "ellipse by length": ELLIPSE_BY_LENGTH}
every_manifold = pytest.mark.parametrize("name", MANIFOLDS)


def curve(name, t):
    """The point at the parameter t in [0, 2 pi), written once more in JAX, so that it can be differentiated."""
    if name == "circle":
        return 2 * jnp.array([jnp.cos(t), jnp.sin(t)])
    return jnp.asarray(PLANE) @ jnp.array([1.5 * jnp.cos(t), 0.8 * jnp.sin(t)])


def speed(name, t):
    return jnp.linalg.norm(jax.jacfwd(lambda t: curve(name, t))(t))


def parameters(name, points):
    """The parameter of each point, in [0, 2 pi)."""
    flat = points / 2 if name == "circle" else points @ PLANE / np.array([1.5, 0.8])
    return np.mod(np.arctan2(flat[:, 1], flat[:, 0]), 2 * np.pi)


def log_weight(x):
    return 0.5 * x[0] - 0.3 * x[1] + 0.2 * x[0] * x[1]


def f(x):
    return jnp.sin(x[0] + 0.4) + x[0] * x[1]


@functools.cache
def density(name):
    return af.LogDensity(MANIFOLDS[name], log_weight)


@functools.cache
def rule(name, n=2000):
    """Points (n, D) and weights for int . dvol by the trapezoidal rule in t, exact to round-off; and the t."""
    t = 2 * np.pi * np.arange(n) / n
    points = np.asarray(jax.vmap(lambda t: curve(name, t))(t))
    return points, 2 * np.pi / n * np.asarray(jax.vmap(lambda t: speed(name, t))(t)), t


def queries(name):
    t = np.linspace(0.2, 5.9, 13)
    return np.asarray(jax.vmap(lambda t: curve(name, t))(t)), t


@every_manifold
def test_a_log_density_is_normalised_by_arc_length(name):
    points, weights, _ = rule(name)
    w = np.exp(np.asarray(jax.vmap(log_weight)(points)))
    np.testing.assert_allclose(np.exp(density(name).log_densities(points)), w / (weights @ w), rtol=1e-12)
    assert weights.sum() == pytest.approx(MANIFOLDS[name].volume, rel=1e-13)
    np.testing.assert_allclose(density(name).quadrature(60).weights.sum(), 1, rtol=1e-12)


@every_manifold
@pytest.mark.parametrize("is_uniform", [True, False], ids=["uniform", "log density"])
def test_samples_follow_the_arc_length_law(name, is_uniform):
    # Kolmogorov-Smirnov on the arc length run through; one false alarm in 10^6.
    p = af.Uniform(MANIFOLDS[name]) if is_uniform else density(name)
    sample = p.sample(20_000, key=jax.random.key(7))
    assert MANIFOLDS[name].residual(sample).max() < 1e-12
    points, weights, t = rule(name, 20_000)
    mass = weights * np.exp(p.log_densities(points))
    cdf = np.cumsum(mass) - 0.5 * mass
    assert stats.kstest(parameters(name, sample), lambda at: np.interp(at, t, cdf)).pvalue > 1e-6
    if name != "circle" or not is_uniform:  # equal steps in the parameter are another law: the test could fail
        assert stats.kstest(parameters(name, sample), lambda at: at / (2 * np.pi)).pvalue < 1e-6
    np.testing.assert_array_equal(sample[:50], p.sample(50, key=jax.random.key(7)))


@pytest.mark.parametrize("n", [1, 2])
def test_population_attention_on_a_circle_of_radius_two_has_the_bessel_symbol(n):
    # A e^{i n t} = I_n(R^2/eps) / I_0(R^2/eps) e^{i n t} for uniform p.
    points, t = queries("circle")
    wave = (lambda x: x[0] / 2) if n == 1 else (lambda x: (x[0] ** 2 - x[1] ** 2) / 4)
    population = af.PopulationAttention(ATTENTION, af.Uniform(CIRCLE), rtol=1e-11)
    symbol = special.ive(n, 4 / EPS) / special.ive(0, 4 / EPS)
    np.testing.assert_allclose(population.layer(wave, at=points), symbol * np.cos(n * t), rtol=0, atol=CLOSE)
    assert abs(special.ive(n, 1 / EPS) / special.ive(0, 1 / EPS) - symbol) > 0.05  # radius 1 would be seen


@every_manifold
def test_population_attention_is_the_integral_over_arc_length(name):
    (nodes, weights, _), (points, _) = rule(name), queries(name)
    p = np.exp(density(name).log_densities(nodes))
    kernel = np.exp(-np.sum((points[:, None] - nodes) ** 2, axis=2) / (2 * EPS)) * (weights * p)
    exact = kernel @ np.asarray(jax.vmap(f)(nodes)) / kernel.sum(axis=1)
    population = af.PopulationAttention(ATTENTION, density(name), rtol=1e-11)
    np.testing.assert_allclose(population.layer(f, at=points), exact, rtol=0, atol=CLOSE)


@every_manifold
def test_particles_tend_to_their_population(name):
    points, _ = queries(name)
    particles = af.EmpiricalAttention(ATTENTION, density(name).sample(4000, key=jax.random.key(1)))
    population = af.PopulationAttention(ATTENTION, density(name))
    deviation = 3 / np.sqrt(particles.effective_sample_size(at=points))  # |f| is below 3 on all of them
    difference = particles.layer(f, at=points) - population.layer(f, at=points)
    assert np.all(np.abs(difference) < 5 * deviation)
    assert np.abs(difference).max() > 1e-4  # they are not the same sum


def generator(name, t, log_p=log_weight):
    """1/2 f_ss + (log p)_s f_s, s the arc length, by derivatives in the parameter."""

    def along(g):
        return lambda t: jax.grad(g)(t) / speed(name, t)

    on_curve = along(lambda t: f(curve(name, t)))
    return 0.5 * along(on_curve)(t) + along(lambda t: log_p(curve(name, t)))(t) * on_curve(t)


@every_manifold
@pytest.mark.parametrize("factor", [1, 3], ids=["squared distance", "a cost of one's own"])
def test_the_generator_is_the_one_of_arc_length(name, factor):
    # Three times the squared distance slows L to a third; as a cost of one's own its minimiser is looked for.
    cost = af.SquaredDistance() if factor == 1 else af.CustomPseudoMetric(lambda x, y: 3 * jnp.sum((x - y) ** 2))
    points, t = queries(name)
    exact = np.asarray(jax.jit(jax.vmap(lambda t: generator(name, t)))(t)) / factor
    attention = af.Attention(cost, bandwidth=EPS)
    for life in (af.LaplaceExpansion(attention, density(name)), af.DriftDiffusion(attention, density(name))):
        np.testing.assert_allclose(life.generator(f, at=points), exact, rtol=0, atol=CLOSE)


@every_manifold
def test_the_drift_is_tangent_and_the_metric_projects(name):
    points, t = queries(name)
    expansion = af.LaplaceExpansion(ATTENTION, density(name))
    tangents = np.asarray(jax.vmap(lambda t: jax.jacfwd(lambda t: curve(name, t))(t) / speed(name, t))(t))
    gradients = np.asarray(jax.vmap(jax.grad(log_weight))(points))
    along = np.sum(gradients * tangents, axis=1)[:, None] * tangents
    np.testing.assert_allclose(expansion.drift(points), along, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(expansion.metric(points), tangents[:, :, None] * tangents[:, None], rtol=0, atol=CLOSE)


def test_the_generator_on_a_circle_of_radius_two_has_the_eigenvalues_of_its_laplacian():
    points, t = queries("circle")
    limit = af.DriftDiffusion(ATTENTION, af.Uniform(CIRCLE))
    value = limit.generator(lambda x: x[0], at=points)  # L cos(s/R) = -1/(2 R^2) cos(s/R)
    np.testing.assert_allclose(value, -2 * np.cos(t) / 8, rtol=0, atol=CLOSE)


@every_manifold
def test_without_a_discretization_the_limit_says_what_serves(name):
    limit = af.DriftDiffusion(ATTENTION, density(name))
    points, _ = queries(name)
    words = r"(?s)no spectral solver for LogDensity on .*'fourier' serves the unit circle.*'hermite'.*Use `generator`"
    for ask in (limit.evolve, limit.adjoint_evolve):
        with pytest.raises(ConfigError, match=words):
            ask(f, times=0.1, at=points)
    with pytest.raises(ConfigError, match=words):
        limit.layer(f, at=points)
    with pytest.raises(ConfigError, match=words):
        limit.spectrum(2)
    with pytest.raises(ConfigError, match=r"`discretization` 'fourier' serves the unit circle.*not LogDensity on"):
        af.DriftDiffusion(ATTENTION, density(name), discretization="fourier")


def test_equal_manifolds_of_ones_own_need_not_be_hashable():
    with pytest.raises(TypeError, match="unhashable"):
        hash(ELLIPSE)
    assert density("ellipse").log_densities(ELLIPSE.quadrature(8).points).shape == (9,)


def test_fields_of_a_dataclass_serve_as_attributes():
    @dataclasses.dataclass(frozen=True)
    class Declared(CircleOfRadius):
        radius: float
        volume: float
        dim: int = dataclasses.field(metadata={"note": "a field without a default value in the class"})

        def __post_init__(self):
            assert self.volume == 2 * math.pi * self.radius

    p = af.LogDensity(Declared(3.0, 6 * math.pi, 1), lambda x: 0.1 * x[0])
    assert p.quadrature(40).weights.sum() == pytest.approx(1, abs=1e-12)


# What a user gets wrong, each on an otherwise good manifold.


class UnitWeights(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points, weights / self.radius)


class FixedRule(CircleOfRadius):
    def quadrature(self, degree):
        return super().quadrature(50)


class WrongSize(CircleOfRadius):
    def quadrature_size(self, degree):
        return degree


class NodesAside(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points / self.radius, weights)


class FlatNodes(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points[:, :1], weights)


class PairOfArrays(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return points, weights


class UnitRetraction(CircleOfRadius):
    def retract(self, y):
        return y / jnp.linalg.norm(y)


class NoRetraction(CircleOfRadius):
    def retract(self, y):
        return y


class MissingRetraction(CircleOfRadius):
    def retract(self, y):
        return super().retract(y) * (1 + (jnp.linalg.norm(y) - self.radius) ** 2)


class NumPyRetraction(CircleOfRadius):
    def retract(self, y):
        return self.radius * np.array(y) / np.linalg.norm(np.array(y))


class ScalarRetraction(CircleOfRadius):
    def retract(self, y):
        return jnp.linalg.norm(y)


class ByAngle(CircleOfRadius):
    def along(self, lengths):
        return super().along(self.radius * lengths)


class HalfWay(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points, weights / 2)

    def __init__(self, radius):
        super().__init__(radius)
        self.volume = np.pi * radius


class AlongAside(CircleOfRadius):
    def along(self, lengths):
        return super().along(lengths) + 0.1

    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points - 0.1, weights)


class LongFrame(CircleOfRadius):
    def tangent_frame(self, x):
        return jnp.stack([-x[1], x[0]])[:, None]


class FlatFrame(CircleOfRadius):
    def tangent_frame(self, x):
        return jnp.stack([-x[1], x[0]]) / self.radius


class NormalFrame(CircleOfRadius):
    def tangent_frame(self, x):
        return x[:, None] / self.radius


class WrongResidual(CircleOfRadius):
    def residual(self, points):
        return np.abs(np.linalg.norm(points, axis=1) - 1)


class Negative(TiltedEllipse):
    volume = -1.0


class Endless(TiltedEllipse):
    volume = math.inf


class Whether(CircleOfRadius):
    is_compact = None


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (UnitWeights, r"weights of `quadrature` of UnitWeights sum to 6\.28.*`volume` is 12\.56.*Correct one"),
        (FixedRule, r"has 51 nodes at degree 6 and 51 at degree 4.*grow"),
        (WrongSize, r"`quadrature_size\(4\)` of WrongSize is 4, but the rule has 5 nodes"),
        (NodesAside, r"`retract` of NodesAside moves a node of its quadrature by .*nodes must be on M"),
        (FlatNodes, r"nodes of `quadrature` of FlatNodes must have shape \(Q, 2\), got \(5, 1\)"),
        (
            PairOfArrays,
            r"`quadrature` of PairOfArrays must return a DiscreteMeasure, got tuple\. Write `return af\.Disc",
        ),
        (UnitRetraction, r"`retract` of UnitRetraction moves a node .* must stay where they are"),
        (NoRetraction, r"`dim` of NoRetraction is 1, but its `retract` maps onto a set of dimension 2"),
        (MissingRetraction, r"`retract` of MissingRetraction misses M by .*every point near M"),
        (NumPyRetraction, r"`retract` must be a function of one point written with jax\.numpy"),
        (ScalarRetraction, r"`retract` of ScalarRetraction must return a point \(2,\), got shape \(\)"),
        (ByAngle, r"`along` of ByAngle must run with speed one, its speed is between 2 and 2\. It takes arc lengths"),
        (HalfWay, r"`along` of HalfWay ends 4 from its start after 6\.28.*`has_boundary`"),
        (AlongAside, r"`along` of AlongAside is off M by"),
        (LongFrame, r"`tangent_frame` of LongFrame is not orthonormal: .* by 3.*leave `tangent_frame` out"),
        (FlatFrame, r"`tangent_frame` of FlatFrame must have shape \(2, 1\), got \(2,\)"),
        (NormalFrame, r"`tangent_frame` of NormalFrame is not tangent"),
        (WrongResidual, r"`residual` of WrongResidual says that a node of its quadrature is off M by 1"),
    ],
)
def test_parts_that_contradict_each_other_are_told(kind, words):
    with pytest.raises(DataError, match=words):
        af.LogDensity(kind(2.0), log_weight)
    with pytest.raises(DataError, match=words):
        af.Uniform(kind(2.0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            functools.partial(TiltedEllipse, dim=2),
            r"(?s)`dim` of .* is 2, but its `retract` maps onto a set of dimension 1",
        ),
        (functools.partial(TiltedEllipse, dim=1.0), r"`manifold\.dim` must be an integer of at least 1, got 1\.0"),
        (
            functools.partial(TiltedEllipse, ambient_dim=2),
            r"(?s)nodes of `quadrature` of .* must have shape \(Q, 2\), got \(5, 3\)",
        ),
        (Negative, r"`manifold\.volume` must be positive and finite, got -1\.0"),
        (Endless, r"`manifold\.volume` must be positive and finite, got inf"),
    ],
    ids=["dim", "no integer", "ambient dim", "negative volume", "infinite volume"],
)
def test_attributes_out_of_range_are_told(make, words):
    with pytest.raises(af.AttnflowError, match=words):
        af.Uniform(make(1.5, 0.8, PLANE))


def test_what_is_left_out_is_named():
    class Bare(af.Manifold):
        dim = 1

        def quadrature(self, degree):
            raise NotImplementedError

    with pytest.raises(ConfigError, match="`Bare` lacks `retract`, which every manifold must offer"):
        Bare()

    class Silent(CircleOfRadius):
        def __init__(self):
            self.radius = 2.0

    with pytest.raises(ConfigError, match="Silent does not say its `volume`"):
        af.Uniform(Silent())
    with pytest.raises(ConfigError, match=r"`manifold\.is_compact` must be True or False, got None"):
        af.Uniform(Whether(2.0))
    with pytest.raises(ConfigError, match=r"`manifold` must be a manifold such as .*, got str"):
        check_manifold("circle")


def test_a_manifold_that_cannot_be_sampled_has_all_the_rest():
    class Unsampled(TiltedEllipse):
        sample_uniform = af.Manifold.sample_uniform

    p = af.LogDensity(Unsampled(1.5, 0.8, PLANE), log_weight)
    with pytest.raises(ConfigError, match=r"cannot be sampled: it offers neither `sample_uniform.*`along"):
        p.sample(10, key=jax.random.key(0))
    points, t = queries("ellipse")
    exact = generator("ellipse", t[3])
    np.testing.assert_allclose(af.DriftDiffusion(ATTENTION, p).generator(f, at=points)[3], exact, rtol=0, atol=CLOSE)
