"""Every kind of cost against its formula in NumPy, its flags, its plainer form, and what it refuses."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.pseudometrics.base import is_trusted

RNG = np.random.default_rng(5)
POINTS = RNG.gamma(3.0, 0.4, size=(12, 3))  # positive, for logarithms
Q, K, A = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3)), RNG.standard_normal(4)


def squares(x, y):
    return np.sum((x - y) ** 2)


def bregman(x, y):
    """Of F = sum_i x_i^4 + x_1 x_2 + x_1^2 + x_2^2, with its gradient by hand."""
    slope = 4 * x**3 + np.array([2 * x[0] + x[1], 2 * x[1] + x[0], 0.0])
    return 2 * (potential(y) - potential(x) - slope @ (y - x))


def potential(x):
    return (x**4).sum() + x[0] * x[1] + x[0] ** 2 + x[1] ** 2


def phi(x):
    return jnp.stack([x[0] + x[1] ** 2, 3 * x[1], x[0] * x[2]])


def rho(scale, x):
    return jnp.exp(scale * x[0])


def kth(x, k):
    return np.sort([np.sqrt(squares(x, z)) for z in POINTS if (x != z).any()])[k - 1]


def of_map(x, y):
    return squares(*(np.array([z[0] + z[1] ** 2, 3 * z[1], z[0] * z[2]]) for z in (x, y)))


def in_units(x, y):
    return squares(x, y) / np.exp(0.7 * (x[0] + y[0]))


def linear(matrix):
    return lambda x, y: squares(matrix @ x, matrix @ y)


def product(x, y):
    return -2 * (Q @ x) @ (K @ y)


UNITS = af.VariableBandwidth(Partial(rho, np.array(0.7)))
NEIGHBOURS = af.SelfTuned.of_neighbours(np.vstack([POINTS, POINTS[:2]]), k=3)
# The cost, its formula, and whether it vanishes on the diagonal, is definite, and symmetric.
KINDS = {
    "queries and keys": (af.QueryKey(Q, K), product, ""),
    "distance of queries and keys": (af.QueryKeyDistance(Q, K), lambda x, y: squares(Q @ x, K @ y), ""),
    "L2": (af.Mahalanobis(Q), linear(Q), "vds"),
    "L2 of few features": (af.Mahalanobis(Q[:2]), linear(Q[:2]), "vs"),
    "graph": (af.GraphAttention(Q, A), linear(A[None] @ Q), "vs"),
    "map": (af.LearnedMap(phi), of_map, "vs"),
    "local units": (UNITS, in_units, "vds"),
    "units of neighbours": (NEIGHBOURS, lambda x, y: squares(x, y) / kth(x, 3) / kth(y, 3), "vds"),
    "divergence": (af.Bregman(potential), bregman, "vd"),
    "relative entropy": (af.KullbackLeibler(), lambda x, y: 2 * np.sum(y * np.log(y / x) - y + x), "vd"),
    "kernel times norm": (af.KernelTimesNorm(2.5, 0.3), lambda x, y: squares(x, y) - 0.3 * np.sum(y**2.5), ""),
    "sum": (
        2 * af.SquaredDistance() + af.GraphAttention(Q, A) / 4,
        linear(np.vstack([2**0.5 * np.eye(3), A @ Q / 2])),
        "vds",
    ),
    "sum with potentials": (af.DotProduct() + af.QueryKey(Q, K), lambda x, y: product(x, y) - 2 * x @ y, ""),
    "multiple": (np.float64(3.0) * UNITS, lambda x, y: 3 * in_units(x, y), "vds"),
    "negative": (-0.5 * af.SquaredDistance(), lambda x, y: -0.5 * squares(x, y), "s"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_cost_is_its_formula_and_what_it_says_of_itself(name):
    cost, formula, flags = KINDS[name]
    exact = np.array([[formula(x, y) for y in POINTS[:5]] for x in POINTS[:4]])
    found = np.array([[cost(x, y) for y in POINTS[:5]] for x in POINTS[:4]])
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-13 * np.abs(exact).max())  # some tens of roundings
    said = (cost.vanishes_on_diagonal, cost.is_definite, cost.is_symmetric)
    assert said == tuple(letter in flags for letter in "vds")


@pytest.mark.parametrize("name", [name for name in KINDS if name != "negative"])
def test_the_plainer_form_is_the_same_cost(name):
    cost, formula, _ = KINDS[name]
    a, b, row, column, plainer = cost.mapped(POINTS.mean(axis=0))
    x, y = POINTS[:4] + 0.01, POINTS[:5]  # queries that are no keys
    exact = np.array([[formula(each, other) for other in y] for each in x])
    found = np.array([[(plainer or af.SquaredDistance())(each, other) for other in b(y)] for each in a(x)])
    found += 0 if row is None else row(x)[:, None]
    found += 0 if column is None else column(y)
    sizes = np.abs(a(x)).max() ** 2 + np.abs(b(y)).max() ** 2  # terms cancel
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-14 * max(sizes, np.abs(exact).max()))
    if cost.vanishes_on_diagonal and cost.is_symmetric:  # the images of points that are both are made once
        assert a is b


def test_a_negative_multiple_and_a_strange_partner_have_no_plainer_form():
    assert (-1 * af.SquaredDistance()).mapped(POINTS[0]) is None
    assert (KINDS["local units"][0] + af.SquaredDistance()).mapped(POINTS[0]) is None
    with pytest.raises(TypeError):
        af.SquaredDistance() * af.SquaredDistance()
    with pytest.raises(TypeError):
        af.SquaredDistance() + 1.0
    for scale in (np.inf, "two", np.ones(2)):
        with pytest.raises(ConfigError, match="`scale` must be a finite number"):
            scale * af.SquaredDistance()


def test_a_sum_is_trusted_if_both_parts_are():
    assert is_trusted(af.SquaredDistance() + 3 * af.Mahalanobis(Q))
    assert not is_trusted(af.SquaredDistance() + af.LearnedMap(phi))


def test_a_subclass_that_writes_another_cost_has_no_plainer_form():
    class Halved(af.Mahalanobis):
        def __call__(self, x, y):
            return 0.5 * super().__call__(x, y)

    assert Halved(Q).mapped(POINTS[0]) is None


# --- what the expansion makes of them: the metric G is half the Hessian of D in the key, by hand here


SPHERE = af.VonMisesFisher(af.Sphere(2), mean_direction=[1, 2, -1], concentration=0.5)
X = np.array([0.48, 0.6, 0.64])
FRAME = np.linalg.svd(X[None])[2][1:]


def in_frame(metric):
    return FRAME @ metric @ FRAME.T


@pytest.mark.parametrize(
    ("cost", "ambient"),
    [
        (af.Mahalanobis(Q), Q.T @ Q),
        (af.LearnedMap(phi), None),
        (2 * af.SquaredDistance() + af.Mahalanobis(Q), 2 * np.eye(3) + Q.T @ Q),
        (af.VariableBandwidth(Partial(rho, np.array(0.7))), np.eye(3) * np.exp(-1.4 * X[0])),
        (af.Bregman(potential), np.diag(12 * X**2) + np.array([[2, 1, 0], [1, 2, 0], [0, 0, 0.0]])),
    ],
    ids=["L2", "map", "sum", "local units", "divergence"],
)
def test_the_induced_metric_is_the_one_by_hand(cost, ambient):
    if ambient is None:
        slopes = np.array([[1, 2 * X[1], 0], [0, 3, 0], [X[2], 0, X[0]]])
        ambient = slopes.T @ slopes
    found = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), SPHERE).metric(X)
    # A search, where the cost is not definite, ends within 1e-8 of the query.
    np.testing.assert_allclose(in_frame(found), in_frame(ambient), rtol=0, atol=1e-7)


def test_on_a_closed_curve_graph_attention_has_two_minimisers():
    circle = af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.5)
    first = af.GraphAttention(np.eye(2), np.array([1.0, 0.0]))
    with pytest.raises(ConfigError, match="GraphAttention has several global minimisers"):
        af.LaplaceExpansion(af.Attention(first, bandwidth=0.1), circle).minimizer(np.array([0.6, 0.8]))


def test_self_tuned_the_circle_has_the_spectrum_of_one_with_uniform_points():
    # In the arc length 2 pi p dt the circle is as long as before: half the squares of whole numbers, whatever p.
    density = af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.5)
    limit = af.DriftDiffusion(af.Attention(af.SelfTuned(density), bandwidth=0.1), density)
    np.testing.assert_allclose(limit.spectrum(5).eigenvalues, [0, 0.5, 0.5, 2, 2], rtol=0, atol=1e-8)


def test_self_tuning_counts_in_the_spacing_of_uniform_points():
    cost, y = af.SelfTuned(SPHERE), np.array([0.6, 0.0, 0.8])
    densities = np.exp(SPHERE.log_densities(np.stack([X, y])))
    assert float(cost(X, y)) == pytest.approx(squares(X, y) * 4 * np.pi * np.sqrt(densities.prod()), rel=1e-13)


# --- what is refused


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: af.QueryKey(Q, K[:3]), r"`queries` and `keys` must have one shape, got \(4, 3\) and \(3, 3\)"),
        (lambda: af.QueryKeyDistance(Q, K[:, :2]), r"one shape, got \(4, 3\) and \(4, 2\)"),
        (lambda: af.Mahalanobis(A), r"`matrix` must be a matrix \(k, D\), got shape \(4,\)"),
        (lambda: af.GraphAttention(Q, A[:3]), r"`weights` must have one entry for each row of `projection`"),
        (lambda: af.LearnedMap(Q), "`phi` must be a function of one point, got ndarray"),
        (lambda: af.VariableBandwidth(2.0), "`rho` must be a function of one point, got float"),
        (lambda: af.Bregman(None), "`potential` must be a function of one point"),
        (lambda: af.SelfTuned(af.Gaussian([0.0], [[1.0]])), "`density` must live on a compact manifold"),
        (lambda: af.SelfTuned.of_neighbours(POINTS, k=12), "`k` must be below the number of distinct points, 12"),
        (lambda: af.KernelTimesNorm(0.5, 1.0), "`power` must be at least 1, got 0.5"),
        (lambda: af.KernelTimesNorm(2, np.nan), "`coefficient` must be a finite number"),
    ],
)  # fmt: skip
def test_what_makes_no_cost_is_refused_when_it_is_made(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_a_matrix_that_is_not_finite_is_refused():
    with pytest.raises(DataError, match="`matrix` holds 1 values that are NaN"):
        af.Mahalanobis(np.array([[1.0, np.nan]]))


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (af.QueryKey(Q[:, :2], K[:, :2]), "QueryKey takes points of 2 coordinates, got points of 3"),
        (af.SquaredDistance() + af.Mahalanobis(Q[:, :2]), "Sum takes points of 2 coordinates, got points of 3"),
        (af.VariableBandwidth(lambda x: x[0] - POINTS[3, 0]), r"`rho` must be positive, and is -?[\d.e-]+ at row \d+"),
        (af.VariableBandwidth(lambda x: 1 / (x[0] - POINTS[3, 0])), "`rho` is NaN or Inf at 1 points, .* row 3"),
        (af.LearnedMap(lambda x: jnp.log(x[0] - POINTS[3, 0])), "`phi` is NaN or Inf"),
        (af.LearnedMap(lambda x: jnp.round(x)), "`phi` must be injective, .* at two distinct points"),
        (af.Bregman(lambda x: -jnp.log(x[0] - 1.0)), "is NaN"),
        (af.CustomPseudoMetric(lambda x, y: jnp.log(x[0] - y[0])), "CustomPseudoMetric is NaN .* of query .* and key"),
    ],
)  # fmt: skip
def test_points_on_which_a_cost_is_not_defined_are_named(cost, words):
    with pytest.raises(DataError, match=words):
        af.EmpiricalAttention(af.Attention(cost, bandwidth=0.1), POINTS).layer(POINTS)


def test_entries_that_are_not_positive_have_no_relative_entropy():
    life = af.EmpiricalAttention(af.Attention(af.KullbackLeibler(), bandwidth=0.1), POINTS)
    assert np.isfinite(life.layer(POINTS)).all()
    with pytest.raises(DataError, match="positive entries, and point 1 is"):
        af.EmpiricalAttention(life.attention, np.vstack([POINTS[:1], 0 * POINTS[:1], POINTS]))


def test_units_that_are_not_positive_at_a_query_are_refused_too():
    attention = af.Attention(af.VariableBandwidth(lambda x: x[0]), bandwidth=0.1)
    life = af.EmpiricalAttention(attention, POINTS)
    with pytest.raises(DataError, match="`rho` must be positive, and is -1 at row 0"):
        life.layer(POINTS, at=np.array([[-1.0, 1.0, 1.0]]))
