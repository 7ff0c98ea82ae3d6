"""The mean field against solvers that share nothing with it, closed forms, and what it must refuse."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import chebyt, chebyu, iv, legendre
from witnesses import mean_field as witness

import attnflow as af
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.mean_field import spectral
from attnflow.equations.mean_field.kernels import DiagonalKernel, MatrixKernel, kernel_on

CIRCLE, SPHERE = af.Circle(), af.Sphere(2)
BETA = 3.0
TURN = np.array([[1.0, 0.4], [-0.7, 0.3]])  # a value matrix without symmetry
TURN_OF_SPHERE = np.array([[0.6, 0.3, -0.2], [-0.4, 0.2, 0.5], [0.1, -0.3, -0.5]])
ZONAL = {1: chebyt, 2: legendre, 3: chebyu}  # by dimension of the sphere
TIMES, EARLY = [0.4, 1.0], [0.2, 0.4]


def log_weight(x):
    return 0.8 * x[0] + 0.7 * x[0] * x[1]


def log_weight_of_angles(t):
    return 0.8 * np.cos(t) + 0.35 * np.sin(2 * t)


def log_weight_on_sphere(x):
    return 0.5 * x[2] + 0.6 * x[0] * x[1] - 0.3 * x[1]


def points_of(angles):
    return np.column_stack([np.cos(angles), np.sin(angles)])


@pytest.fixture(scope="module")
def on_circle():
    return af.LogDensity(CIRCLE, log_weight)


@pytest.fixture(scope="module")
def on_sphere():
    return af.LogDensity(SPHERE, log_weight_on_sphere)


def dot(**options):
    return af.Attention(af.DotProduct(), bandwidth=1 / BETA, **options)


ASYMMETRIC = np.array([[1.0, 0.6], [-0.3, 0.8]])  # Q'K
OTHER = np.array([[0.02, 0.01], [0.0, -0.03]])
SHARE = np.array([[0.7, 0.2], [-0.1, 0.5]])
CASES = {
    "softmax": (dot(), [(witness.dot(BETA), "softmax", np.eye(2))], {}),
    "unnormalized": (
        af.Attention(af.SquaredDistance(), bandwidth=1 / BETA, normalization="unnormalized"),
        [(witness.dot(BETA), "unnormalized", np.eye(2))],
        {},
    ),
    "sinkhorn": (dot(normalization="sinkhorn"), [(witness.dot(BETA), "sinkhorn", np.eye(2))], {}),
    "asymmetric": (
        af.Attention(af.QueryKey(np.eye(2), ASYMMETRIC), bandwidth=1 / BETA),
        [(lambda x, y: np.exp(BETA * (x @ ASYMMETRIC @ y.T - 1)), "softmax", np.eye(2))],
        {},
    ),
    "heads": (
        af.MultiHead([dot(), dot(normalization="unnormalized")], output=[SHARE, OTHER]),
        [(witness.dot(BETA), "softmax", SHARE), (witness.dot(BETA), "unnormalized", np.exp(BETA) * OTHER)],
        {"centred": True, "diffusivity": 0.05},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_densities_on_the_circle_agree_with_fourier_collocation(name, on_circle):
    attention, heads, options = CASES[name]
    angles, expected = witness.on_circle(log_weight_of_angles, heads, times=TIMES, value=TURN, **options)
    found = af.MeanFieldFlow(attention, on_circle, value=TURN, **options).evolve(times=TIMES, at=points_of(angles))
    error = np.abs(found.values - expected).max()
    assert error < 1e-8
    assert error < found.solver_error + 1e-10  # what the witness itself may be off by
    assert np.abs(found.values.mean(axis=1) * 2 * np.pi - 1).max() < 1e-13


@pytest.mark.parametrize(("value", "time"), [(TURN, 1.5), (1.0, 3.0), (-1.0, 4.0)])
def test_errors_are_as_declared_whatever_the_tolerance(value, time, on_circle):
    at = CIRCLE.quadrature(255)
    best = af.MeanFieldFlow(dot(), on_circle, value=value, rtol=1e-10).evolve(times=time, at=at)
    for rtol in (1e-2, 1e-5, 1e-8):
        found = af.MeanFieldFlow(dot(), on_circle, value=value, rtol=rtol).evolve(times=time, at=at)
        error = np.abs(found.values - best.values).max()
        assert error <= found.solver_error + best.solver_error
        assert found.solver_error <= rtol * found.values.max() * 1.001  # the nodes are not those of the solver


def test_rounding_is_not_blown_up_where_tokens_gather(on_circle, monkeypatch):
    # Steps that are too long for the fastest wave doubled noise until degree 1100, and then 1e-10 was out of reach.
    start = spectral.Level.start
    noise = np.random.default_rng(1)
    monkeypatch.setattr(
        spectral.Level, "start", lambda level: start(level) + 1e-15 * noise.standard_normal(level.basis.size)
    )
    found = [
        af.MeanFieldFlow(dot(), on_circle, rtol=1e-10).evolve(times=3.0, at=CIRCLE.quadrature(63)) for _ in range(2)
    ]
    for each in found:
        assert each.method == "Fourier, degree 150"
        assert each.solver_error < 2e-11  # steps are asked for 3e-14 of the largest moment, hundred of them, and noise
    assert 0 < np.abs(found[0].values - found[1].values).max() < 1e-12  # noise of 1e-15 in 300 moments


def test_densities_on_the_sphere_agree_with_harmonics_in_polar_angles(on_sphere):
    heads = [(witness.dot(BETA), "softmax", np.eye(3))]
    points, expected = witness.on_sphere(lambda x: log_weight_on_sphere(x.T), heads, times=EARLY, value=TURN_OF_SPHERE)
    at = af.DiscreteMeasure(points, witness.sphere_rule(20)[1])
    found = af.MeanFieldFlow(dot(), on_sphere, value=TURN_OF_SPHERE).evolve(times=EARLY, at=at)
    assert np.abs(found.values - expected).max() < 1e-8
    assert np.abs(found.values @ found.weights - 1).max() < 1e-13


@pytest.mark.parametrize(
    ("manifold", "order", "divided"),
    [(CIRCLE, 3, True), (CIRCLE, 2, False), (SPHERE, 2, True), (SPHERE, 3, False), (af.Sphere(3), 2, True)],
)
def test_waves_about_uniform_tokens_grow_at_the_known_rate(manifold, order, divided):
    powers = ZONAL[manifold.dim](order).coef[::-1]
    attention = dot(normalization="softmax" if divided else "unnormalized")
    rule, size, time = manifold.quadrature(15), 1e-4, 0.8
    values = np.polynomial.polynomial.polyval(rule.points[:, -1], powers)
    sizes = []
    for sign in (1, -1):  # half of their difference leaves out what is of second order, 1e-8
        start = af.LogDensity(
            manifold, lambda x, sign=sign: sign * size * sum(c * x[-1] ** n for n, c in enumerate(powers))
        )
        found = af.MeanFieldFlow(attention, start, rtol=1e-11).evolve(times=[0.0, time], at=rule)
        sizes.append(found.values @ (rule.weights * values))
    before, after = sizes[0] - sizes[1]
    expected = witness.growth(order, BETA, dim=manifold.dim, divided=divided)
    assert abs(np.log(after / before) / time - expected) < 1e-6


def test_tokens_on_a_torus_move_on_each_circle_by_themselves(on_circle):
    """The kernel e^{beta <x, y>} is a product over circles, and so is mu if it is one at first."""
    other = af.VonMisesFisher(CIRCLE, mean_direction=[0.6, 0.8], concentration=0.6)
    torus = af.FlatTorus(2)
    both = af.LogDensity(torus, lambda x: log_weight(x[:2]) + 0.6 * (0.6 * x[2] + 0.8 * x[3]))
    value = np.kron(np.diag([1.0, 0.0]), TURN) + np.kron(np.diag([0.0, -1.0]), np.eye(2))
    at = np.random.default_rng(0).uniform(0, 2 * np.pi, (40, 2))
    found = af.MeanFieldFlow(dot(), both, value=value, rtol=1e-6).evolve(times=0.4, at=torus.from_angles(at))
    first = af.MeanFieldFlow(dot(), on_circle, value=TURN).evolve(times=0.4, at=points_of(at[:, 0]))
    second = af.MeanFieldFlow(dot(), other, value=-1.0).evolve(times=0.4, at=points_of(at[:, 1]))
    assert np.abs(found.values - first.values * second.values).max() < 2 * found.solver_error + 1e-8


def test_phases_that_are_drawn_to_one_another_follow_ott_and_antonsen():
    """Where all tokens attend alike, theta' = mean of sin(theta_j - theta), of Poisson kernels of radius |Z|."""
    radius, time = 0.4, 1.2
    kernel = af.LogDensity(CIRCLE, lambda x: -jnp.log(1 + radius**2 - 2 * radius * x[0]))
    alike = af.Attention(0.0 * af.DotProduct(), bandwidth=1.0)
    rule = CIRCLE.quadrature(127)
    found = af.MeanFieldFlow(alike, kernel).evolve(times=time, at=rule)
    phases = rule.points[:, 0] + 1j * rule.points[:, 1]
    moments = [found.values[0] @ (rule.weights * phases**n) for n in (1, 3)]
    assert abs(abs(moments[0]) ** 2 - 1 / (1 + (radius**-2 - 1) * np.exp(-time))) < 1e-8
    assert abs(moments[1] - moments[0] ** 3) < 1e-8


def test_without_values_noise_alone_is_the_heat_equation():
    start = af.LogDensity(CIRCLE, lambda x: jnp.log1p(0.5 * x[0] + 0.6 * x[0] * x[1]))
    angles = np.linspace(0, 6, 13)
    flow = af.MeanFieldFlow(dot(), start, value=0.0, diffusivity=0.3)
    found = flow.evolve(times=[2.0, 0.0, 0.5], at=points_of(angles))  # times in any order
    for time, values in zip(found.times, found.values, strict=True):
        waves = 0.5 * np.exp(-0.3 * time) * np.cos(angles) + 0.3 * np.exp(-1.2 * time) * np.sin(2 * angles)
        assert np.abs(values - (1 + waves) / (2 * np.pi)).max() < 1e-9


@pytest.mark.parametrize("discretization", ["auto", af.FiniteVolume(cells=400)])
def test_the_velocity_among_tokens_of_von_mises_is_a_ratio_of_bessel_functions(discretization):
    density = af.VonMisesFisher(CIRCLE, mean_direction=[0.6, 0.8], concentration=0.9)
    flow = af.MeanFieldFlow(dot(), density, value=TURN, centred=True, discretization=discretization)
    at = points_of(np.array([0.1, 2.0, 4.5]))
    drawn = BETA * at + 0.9 * np.array([0.6, 0.8])
    lengths = np.linalg.norm(drawn, axis=1, keepdims=True)
    moved = (iv(1, lengths) / iv(0, lengths) * drawn / lengths - at) @ TURN.T
    tangent = moved - np.sum(moved * at, axis=1, keepdims=True) * at
    assert np.abs(flow.velocity(at=at) - tangent).max() < 1e-12


@pytest.mark.parametrize(
    "attention",
    [
        dot(normalization=af.AlphaNormalization(0.7)),
        dot(normalization=af.KeyWeights(lambda y: 0.5 * y[1])),
        dot(normalization="sigmoid"),
        af.Attention(af.QueryKey(np.eye(2), ASYMMETRIC), bandwidth=1 / BETA, normalization="sinkhorn"),
        af.Attention(af.SquaredDistance(), bandwidth=0.4, profile=af.StudentT(3.0, dim=1)),
    ],
    ids=["alpha", "weighed", "sigmoid", "sinkhorn", "student"],
)
def test_the_velocity_is_a_layer_of_the_population(attention, on_circle):
    at = points_of(np.array([0.3, 1.9, 4.0]))
    attended = af.PopulationAttention(attention, on_circle).layer(lambda x: x, at=at) @ TURN.T
    tangent = attended - np.sum(attended * at, axis=1, keepdims=True) * at
    found = af.MeanFieldFlow(attention, on_circle, value=TURN).velocity(at=at)
    assert np.abs(found - tangent).max() < 3e-8  # both lives promise 1e-8


def test_a_narrow_density_is_moved_though_hardly_any_tokens_are_far_from_it():
    """With e^-120 of the density at the far side, what is attended there is lost among rounding, and of no account."""
    narrow = af.VonMisesFisher(CIRCLE, mean_direction=[0.6, 0.8], concentration=60.0)
    heads = [(witness.dot(10.0), "softmax", np.eye(2))]
    turned = np.arctan2(0.8, 0.6)
    angles, expected = witness.on_circle(lambda t: 60 * np.cos(t - turned), heads, times=[0.2], value=TURN, count=256)
    flow = af.MeanFieldFlow(af.Attention(af.DotProduct(), bandwidth=0.1), narrow, value=TURN)
    found = flow.evolve(times=0.2, at=points_of(angles))
    assert np.abs(found.values - expected).max() < 1e-8
    assert found.values.min() >= -found.solver_error
    with pytest.raises(af.AttnflowError, match="lost among rounding"):
        flow.velocity(at=[[-0.6, -0.8]])


def test_cells_agree_to_second_order_keep_the_mass_and_are_never_negative(on_circle):
    attention, heads, options = CASES["softmax"]
    angles, expected = witness.on_circle(log_weight_of_angles, heads, times=TIMES, value=TURN, **options)
    errors = []
    for cells in (96, 192, 384):
        volumes = af.FiniteVolume(cells=cells)
        flow = af.MeanFieldFlow(attention, on_circle, value=TURN, rtol=0.5, discretization=volumes)
        assert (
            abs(flow.evolve(times=TIMES, at=volumes.grid(CIRCLE)).values.sum(axis=1) * 2 * np.pi / cells - 1).max()
            < 1e-13
        )
        found = flow.evolve(times=TIMES, at=points_of(angles))
        errors.append(np.abs(found.values - expected).max())
        assert errors[-1] <= found.solver_error
        assert found.values.min() >= 0
    orders = -np.diff(np.log2(errors))
    assert abs(orders[-1] - 2) < 0.2  # a first-order scheme shows 1


def test_cells_stay_positive_where_hardly_any_mass_is():
    narrow = af.VonMisesFisher(CIRCLE, mean_direction=[1, 0], concentration=60.0)  # e^-120 at the far side
    volumes = af.FiniteVolume(cells=200)
    flow = af.MeanFieldFlow(dot(), narrow, value=-1.0, rtol=0.5, discretization=volumes)
    found = flow.evolve(times=[0.1, 1.0], at=volumes.grid(CIRCLE))
    assert found.values.min() >= 0
    assert abs(found.values @ found.weights - 1).max() < 1e-13


def test_a_kernel_that_is_no_convolution_becomes_a_matrix(on_circle):
    basis = FourierBasis(CIRCLE, 20).with_transforms()
    assert isinstance(kernel_on(basis, dot(), CIRCLE, rtol=1e-10), DiagonalKernel)
    scaled = af.Attention(af.QueryKey(2 * np.eye(2), np.eye(2)), bandwidth=0.5)  # a dot product in other words
    assert isinstance(kernel_on(basis, scaled, CIRCLE, rtol=1e-10), DiagonalKernel)
    assert isinstance(kernel_on(basis, CASES["asymmetric"][0], CIRCLE, rtol=1e-10), MatrixKernel)


def test_a_density_that_leaves_the_resolved_range_is_told_with_its_time_and_what_was_before(on_circle, monkeypatch):
    monkeypatch.setitem(spectral._DEGREES, 1, (20, 45, 100))  # so that it comes soon
    rule = CIRCLE.quadrature(511)
    with pytest.raises(af.AttnflowError, match=r"leaves the resolved range at t = \d+\.\d+") as told:
        af.MeanFieldFlow(dot(), on_circle, rtol=1e-6).evolve(times=[0.5, 1.0, 40.0], at=rule)
    kept = told.value.trajectory
    assert list(kept.times[:2]) == [0.5, 1.0]
    assert 1.0 < kept.times[2] < 40.0
    assert f"{kept.times[2]:.6g}" in str(told.value)
    assert np.abs(kept.values @ rule.weights - 1).max() < 1e-9
    assert kept.values.min() >= -kept.solver_error


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"value": np.eye(3)}, af.AttnflowError, r"`value` must have shape \(2, 2\)"),
        ({"density": af.Gaussian([0.0], [[1.0]])}, ValueError, "a mean field is solved on the circle"),
        ({"attention": dot(mask="causal")}, ValueError, "`mask` = Causal"),
        ({"attention": dot(normalization=af.Entmax(1.5))}, ValueError, "sees how many tokens there are"),
        ({"diffusivity": -0.1}, ValueError, "it would be the heat equation backwards"),
        ({"discretization": "elements"}, ValueError, "`discretization` must be 'auto' or FiniteVolume"),
        ({"discretization": af.FiniteVolume()}, ValueError, "needs a number of cells"),
        (
            {"attention": af.MultiHead([dot()], output=[np.eye(3)])},
            ValueError,
            r"of the heads must have shape \(2, 2\)",
        ),
        ({"density": np.zeros((3, 2))}, ValueError, "`density` must be a density"),
    ],
)  # fmt: skip
def test_what_has_no_mean_field_is_refused(options, error, words):
    given = {"attention": dot(), "density": af.Uniform(CIRCLE)} | options
    with pytest.raises(error, match=words):
        af.MeanFieldFlow(**given)


def test_a_kernel_beyond_numbers_and_missing_points_are_refused():
    steep = af.Attention(af.DotProduct(), bandwidth=1e-3, normalization="unnormalized")
    flow = af.MeanFieldFlow(steep, af.Uniform(CIRCLE))
    with pytest.raises(ValueError, match=r"reaches e\^1000"):
        flow.velocity(at=[[1.0, 0.0]])
    with pytest.raises(ValueError, match="`at` is required"):
        flow.evolve(times=1.0)


def test_two_resolutions_that_do_not_agree_are_told(on_circle):
    flow = af.MeanFieldFlow(dot(), on_circle, rtol=1e-6, discretization=af.FiniteVolume(cells=50))
    with pytest.raises(af.AttnflowError, match="50 cells and half as many differ by") as told:
        flow.evolve(times=1.0, at=[[1.0, 0.0]])
    assert told.value.trajectory is None
