"""Profiles: their constants, their sums, their limits, and what they refuse."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DegenerateKernelError
from attnflow.profiles.gaussian import Gaussian
from attnflow.sums.kernel_sums.large_logits import LargeLogitSum
from attnflow.sums.symbols import profile_symbol

RNG = np.random.default_rng(5)
POINTS, QUERIES, VALUES = RNG.normal(size=(300, 3)), 0.5 * RNG.normal(size=(40, 3)), RNG.normal(size=(300, 2))


class Logistic(af.Profile):
    """A profile as a user writes one, 2 / (1 + e^s)."""

    is_smooth = True

    def log_weight(self, s):
        library = jnp if isinstance(s, jax.Array) else np
        return np.log(2.0) - library.logaddexp(0.0, s)


# The profile, its weights in NumPy, and mu_2 / (m mu_0) in m dimensions (theory.md, section 2).
PROFILES = {
    "gaussian": (Gaussian(), lambda s: np.exp(-s / 2), lambda m: 1.0),
    "exponential": (af.Exponential(), lambda s: np.exp(-s), lambda m: 1 / 2),
    "root": (af.Root(), lambda s: np.exp(-np.sqrt(s)), lambda m: m + 1.0),
    "compact": (af.Compact(), lambda s: np.maximum(1 - s, 0), lambda m: 1 / (m + 4)),
    "student": (af.StudentT(5.0, dim=2), lambda s: (1 + s / 5) ** -3.5, lambda m: 5 / (5 - m)),
    # eta(3/2) / (2 eta(1/2)) and eta(2) / (2 eta(1)) / 2, eta of Dirichlet: int s^(a-1) / (1 + e^s) = Gamma(a) eta(a).
    "a user's": (
        Logistic(),
        lambda s: 2 / (1 + np.exp(s)),
        lambda m: {1: 0.632458869718509, 2: np.pi**2 / (24 * np.log(2))}[m],
    ),
}
NAMES = list(PROFILES)


def attention(name, eps=2.5, **options):
    return af.Attention(af.SquaredDistance(), bandwidth=eps, profile=PROFILES[name][0], **options)


def by_numpy(name, eps, queries=QUERIES, *, exclude_self=False):
    """Averages, log-normalisers and effective sample sizes from the matrix of all pairs."""
    kernel = PROFILES[name][1](((queries[:, None] - POINTS[None]) ** 2).sum(-1) / eps)
    if exclude_self:
        np.fill_diagonal(kernel, 0.0)
    total = kernel.sum(axis=1)
    return kernel @ VALUES / total[:, None], np.log(total), total**2 / (kernel**2).sum(axis=1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("m", [1, 2])
def test_the_constant_of_a_profile_is_its_closed_form(name, m):
    # The quadrature is exact to rounding.
    assert PROFILES[name][0].scale(m) == pytest.approx(PROFILES[name][2](m), rel=1e-13)


@pytest.mark.parametrize("m", [1, 3, 6])
@pytest.mark.parametrize("nu", [2.1, 3.0, 40.0])
def test_the_constant_of_student_is_that_of_his_variance(m, nu):
    # Of nu = 2.1 the moment comes from distances up to 1e137.
    assert af.StudentT(nu, dim=m).scale(m) == pytest.approx(nu / (nu - 2), rel=1e-12)


@pytest.mark.parametrize("nu", [0.5, 2.0])
def test_weights_without_a_second_moment_have_no_limit(nu):
    circle = af.Attention(af.SquaredDistance(), bandwidth=0.1, profile=af.StudentT(nu, dim=1))
    with pytest.raises(ConfigError, match=r"no second moment.*StudentT\(nu, dim=1\) with nu > 2"):
        af.DriftDiffusion(circle, af.Uniform(af.Circle()))
    with pytest.raises(ConfigError, match="no second moment"):
        af.LaplaceExpansion(circle, af.Uniform(af.Circle()))
    assert af.EmpiricalAttention(circle, POINTS[:, :2]).layer(VALUES).shape == VALUES.shape  # sums there are


def test_a_profile_that_never_settles_is_refused():
    class Rough(af.Profile):
        def log_weight(self, s):
            return -s - np.floor(np.sin(1e6 * s))

    with pytest.raises(ConvergenceError, match="does not settle"):
        Rough().scale(1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("exclude_self", [False, True])
def test_sums_of_any_profile_are_those_of_the_matrix(name, exclude_self):
    life = af.EmpiricalAttention(attention(name), POINTS, include_self=not exclude_self)
    at, queries = (None, POINTS) if exclude_self else (QUERIES, QUERIES)
    average, logs, sizes = by_numpy(name, 2.5, queries, exclude_self=exclude_self)
    found = life.layer(VALUES, at=at)
    # Sums of 300 terms of order one, in another order; and the declared error covers what they differ by.
    np.testing.assert_allclose(found, average, rtol=0, atol=1e-13)
    assert np.abs(found - average).max() <= life.solver_error * np.abs(VALUES).max() <= 1e-11
    np.testing.assert_allclose(life.log_normalizer(at=at), logs, rtol=0, atol=1e-12)
    np.testing.assert_allclose(life.effective_sample_size(at=at), sizes, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_careful_sums_agree_with_the_matrix_within_their_errors(name):
    sums = LargeLogitSum(attention(name), points=POINTS, log_weights=np.zeros(len(POINTS)))(VALUES, QUERIES)
    average = by_numpy(name, 2.5)[0]
    off = np.abs(sums.weighted / sums.total[:, None] - average).max(axis=1) / np.abs(VALUES).max()
    assert (off <= sums.error + 1e-15).all()
    assert sums.error.max() < 1e-12


def test_a_row_beyond_the_edge_is_named_with_the_bandwidth_that_reaches():
    life = af.EmpiricalAttention(attention("compact", eps=0.3), POINTS)
    queries = np.vstack([POINTS[:3], [[9.0, 9.0, 9.0]], POINTS[3:5]])
    nearest = ((POINTS - 9.0) ** 2).sum(axis=1).min()
    with pytest.raises(DegenerateKernelError, match=r"row 3, query \[9.0, 9.0, 9.0\]") as raised:
        life.layer(VALUES, at=queries)
    workable = float(str(raised.value).split()[-1].rstrip("."))
    assert nearest < workable < 1.02 * nearest
    enough = af.EmpiricalAttention(attention("compact", eps=workable), POINTS)
    assert np.isfinite(enough.layer(VALUES, at=queries)).all()


@pytest.mark.parametrize("name", ["root", "compact", "student"])
def test_derivatives_of_sums_survive_weights_that_vanish(name):
    # Own points: the cost is zero at the query itself, where the root has a cusp, and most compact weights are zero.
    points, change, step = POINTS[:80], RNG.normal(size=(80, 3)), 1e-6

    def summed(moved):
        return af.EmpiricalAttention(attention(name), moved).layer(jnp.asarray(VALUES[:80])).sum()

    slope = float((jax.grad(summed)(jnp.asarray(points)) * change).sum())
    differences = (summed(points + step * change) - summed(points - step * change)) / (2 * step)
    # Central differences are off by step^2, rounding by 1e-14 / step; a kink of the compact weights by step.
    assert slope == pytest.approx(differences, rel=1e-4 if name == "compact" else 1e-6)


def test_a_compact_row_alone_has_the_same_error_under_grad():
    def summed(points):
        return af.EmpiricalAttention(attention("compact", eps=0.1), points).layer(jnp.asarray(VALUES), at=QUERIES).sum()

    with pytest.raises(DegenerateKernelError, match="no neighbour"):
        jax.grad(summed)(jnp.asarray(POINTS))


@pytest.mark.parametrize("name", ["exponential", "compact", "a user's"])
def test_the_spectrum_of_any_profile_is_that_of_the_matrix(name):
    kernel = PROFILES[name][1](((POINTS[:, None] - POINTS[None]) ** 2).sum(-1) / 2.5)
    eigenvalues = np.sort(np.linalg.eigvals(kernel / kernel.sum(axis=1)[:, None]).real)[::-1][:4]
    spectrum = af.EmpiricalAttention(attention(name), POINTS).spectrum(4)
    np.testing.assert_allclose(spectrum.eigenvalues, (1 - eigenvalues) / 2.5, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cost", [af.DotProduct(), af.CustomPseudoMetric(lambda x, y: jnp.sum((x - 2 * y) ** 2))])
def test_a_cost_that_may_be_negative_has_exponential_weights_only(cost):
    with pytest.raises(ConfigError, match=r"`profile`.*not negative"):
        af.Attention(cost, bandwidth=0.1, profile="compact")
    assert af.Attention(cost, bandwidth=0.1, profile="exponential").profile == af.Exponential()


def test_the_exponential_profile_is_the_gaussian_one_at_half_the_bandwidth():
    half = af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=0.5), POINTS)
    whole = af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=1.0, profile="exponential"), POINTS)
    np.testing.assert_allclose(whole.layer(VALUES), half.layer(VALUES), rtol=0, atol=1e-12)


@pytest.mark.parametrize("bad", [{"nu": 0.0, "dim": 1}, {"nu": 3.0, "dim": 0}, {"nu": 3.0, "dim": 1.5}])
def test_student_needs_positive_degrees_of_freedom_and_a_dimension(bad):
    with pytest.raises(ConfigError, match=r"`nu`|`dim`"):
        af.StudentT(**bad)


@pytest.mark.parametrize("bad", ["student", 3, None])
def test_an_unknown_profile_is_refused_by_name(bad):
    with pytest.raises(ConfigError, match="`profile` must be one of 'gaussian'"):
        af.Attention(af.SquaredDistance(), bandwidth=0.1, profile=bad)


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("eps", [0.5, 0.002])
def test_eigenvalues_of_the_gaussian_profile_are_ratios_of_bessel_functions(m, eps):
    # I_{l+n}(1/eps) / I_n(1/eps), n = (m-1)/2; scipy's functions are exact to about 1e-13 at such arguments.
    symbol, log_constant = profile_symbol(Gaussian(), eps, dim=m, limit=40)
    order = (m - 1) / 2
    np.testing.assert_allclose(symbol, ive(order + np.arange(41), 1 / eps) / ive(order, 1 / eps), rtol=0, atol=1e-13)
    exact = (order + 1) * np.log(2 * np.pi) + order * np.log(eps) + np.log(ive(order, 1 / eps))
    assert log_constant == pytest.approx(exact, abs=1e-12)


@functools.cache
def circle():
    return af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.8)


@pytest.mark.parametrize("name", ["root", "compact", "student"])
def test_a_population_sees_the_kink_of_a_kernel(name):
    # Against Gauss and Legendre between the kinks of each query, in NumPy; student with his tails.
    eps, half = 0.07, np.pi if name != "compact" else 2 * np.arcsin(np.sqrt(0.07) / 2)
    angles = np.array([0.3, 1.9, 4.4])
    nodes, weights = np.polynomial.legendre.leggauss(400)
    shifts, weights = half * (nodes + 1) / 2, half * weights / 2
    keys = np.concatenate([angles[:, None] + shifts, angles[:, None] - shifts], axis=1)
    kernel = PROFILES[name][1](4 * np.sin(np.tile(shifts, 2) / 2) ** 2 / eps) * np.tile(weights, 2)
    p = np.exp(0.8 * (np.cos(keys) + 2 * np.sin(keys)) / np.sqrt(5))
    expected = (kernel * p * np.sin(2 * keys)).sum(axis=1) / (kernel * p).sum(axis=1)
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    life = af.PopulationAttention(attention(name, eps), circle())
    found = life.evolve(lambda x: 2 * x[0] * x[1], times=eps, at=at)
    np.testing.assert_allclose(found.values[0], expected, rtol=0, atol=1e-11)
    assert np.abs(found.values[0] - expected).max() <= found.solver_error < 1e-8


def test_a_population_off_spheres_declares_what_a_kink_costs_or_says_that_it_cannot():
    density = af.Uniform(af.Interval(-1.0, 1.0))
    at, eps = np.array([[0.1], [0.93]]), 0.05
    # int_{x-r}^{x+r} (1 - (x-y)^2/eps) y dy over that of 1, cut off at the end, by hand (r^2 = eps).
    edge = np.minimum(1 - at[:, 0], np.sqrt(eps))
    low = np.sqrt(eps)
    mass = low + edge - (low**3 + edge**3) / (3 * eps)
    moment = (edge**2 - low**2) / 2 - (edge**4 - low**4) / (4 * eps)
    exact = at[:, 0] + moment / mass
    rough = af.PopulationAttention(attention("compact", eps), density, rtol=1e-4)
    flow = rough.evolve(lambda x: x[0], times=eps, at=at)
    assert np.abs(flow.values[0] - exact).max() <= flow.solver_error < 1e-4
    with pytest.raises(ConvergenceError, match="has a kink"):
        af.PopulationAttention(attention("compact", eps), density, rtol=1e-12).layer(lambda x: x[0], at=at)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "student"])
def test_the_limit_of_a_profile_is_the_gaussian_one_times_its_constant(name):
    f, at = (lambda x: x[0] + x[0] * x[1]), np.array([[0.6, 0.8], [-0.28, 0.96]])
    plain = af.DriftDiffusion(attention("gaussian", 0.1), circle())
    limit = af.DriftDiffusion(attention(name, 0.1), circle())
    scale = PROFILES[name][2](1)
    np.testing.assert_allclose(limit.generator(f, at=at), scale * plain.generator(f, at=at), rtol=1e-7)
    assert limit.attention.profile == PROFILES[name][0]
    # e^{tL} at t / c: solved apart, each to 1e-8.
    np.testing.assert_allclose(
        limit.evolve(f, times=0.3, at=at).values, plain.evolve(f, times=0.3 * scale, at=at).values, rtol=0, atol=1e-6
    )


def test_the_limit_keeps_what_a_normalisation_and_a_map_make_of_it():
    # On an ellipse, with alpha = 1: pure heat flow of the induced metric, times the constant.
    ellipse = af.LogDensity(af.Ellipsoid((1.0, 0.6)), lambda x: 0.5 * x[0])
    heat = af.AlphaNormalization(1.0)
    at = ellipse.sample(5, key=jax.random.key(2))
    plain, root = (
        af.LaplaceExpansion(attention(name, 0.1, normalization=heat), ellipse).generator(lambda x: x[1], at=at)
        for name in ("gaussian", "root")
    )
    np.testing.assert_allclose(root, 2 * plain, rtol=1e-9)


def test_profiles_show_themselves():
    assert repr(attention("compact", 0.1)) == "Attention(SquaredDistance(), bandwidth=0.1, profile=Compact())"
    assert repr(attention("gaussian", 0.1)) == "Attention(SquaredDistance(), bandwidth=0.1)"


def test_student_weights_are_those_of_a_curve_unless_told():
    assert af.StudentT(5.0) == af.StudentT(5.0, dim=1)
    assert abs(af.StudentT(5.0).scale(1) - 5 / 3) < 1e-12  # nu / (nu - 2), by quadrature


KURTOSES = {
    "gaussian": lambda m: 1.0,
    "exponential": lambda m: 1.0,
    "root": lambda m: (m + 3) / (m + 1),
    "compact": lambda m: (m + 4) / (m + 6),
}


@pytest.mark.parametrize("name", KURTOSES)
@pytest.mark.parametrize("m", [1, 3])
def test_the_kurtosis_of_a_profile_is_its_closed_form(name, m):
    assert PROFILES[name][0].kurtosis(m) == pytest.approx(KURTOSES[name](m), rel=1e-12)


def test_the_kurtosis_of_student_is_infinite_for_few_degrees_of_freedom():
    assert af.StudentT(5.0, dim=3).kurtosis(3) == pytest.approx(3.0, rel=1e-12)  # (nu - 2) / (nu - 4)
    with pytest.raises(ConfigError, match=r"no fourth moment.*faster than \|x - y\|\^\(-5\).*nu > 4"):
        af.StudentT(4.0).kurtosis(1)
