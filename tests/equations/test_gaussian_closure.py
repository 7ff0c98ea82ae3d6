"""Closed equations of Gaussian tokens, against matrix equations of another form and scalar closed forms."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from witnesses import closures

import attnflow as af
from attnflow.equations.blow_up import integrate
from attnflow.equations.gaussian_closure import quadratic_logit
from attnflow.equations.gaussian_trajectory import GaussianTrajectory
from attnflow.errors import ConfigError, ConvergenceError, DataError

Q = np.array([[0.5, -0.3], [0.2, 0.6]])
K = np.array([[0.4, 0.3], [-0.5, 0.7]])
V = np.array([[0.3, -0.5], [0.4, 0.2]])
MEAN = np.array([0.7, -1.1])
COVARIANCE = np.array([[1.3, 0.4], [0.4, 0.6]])
TIMES = np.array([0.0, 0.3, 1.0])
EPS = 0.7
WEIGHTS = [np.array([[0.7, 0.2], [-0.3, 0.6]]), np.array([[0.1, -0.4], [0.2, 0.5]])]  # output matrices of two heads
DOT = af.QueryKey(Q, K)
DISTANCE = af.QueryKeyDistance(Q, K)


def dot(normalization: str = "softmax") -> af.Attention:
    return af.Attention(DOT, bandwidth=EPS, normalization=normalization)


# A witness is of one temperature; at another bandwidth Q and K are longer: <Qx, Ky> / eps, |Qx - Ky|^2 / 2 eps.
ONE_HEAD = {
    "softmax": (dot(), closures.softmax(Q / EPS, K, V)),
    "distance": (af.Attention(DISTANCE, bandwidth=EPS), closures.l2(Q / (2 * EPS) ** 0.5, K / (2 * EPS) ** 0.5, V)),
    "Mahalanobis": (
        af.Attention(af.Mahalanobis(Q), bandwidth=EPS),
        closures.l2(Q / (2 * EPS) ** 0.5, Q / (2 * EPS) ** 0.5, V),
    ),
    "sinkhorn": (dot("sinkhorn"), closures.sinkhorn(Q / EPS, K, V)),
    "sinkhorn of a distance": (
        af.Attention(DISTANCE, bandwidth=EPS, normalization="sinkhorn"),
        closures.sinkhorn(Q / EPS, K, V),
    ),
    "two heads": (
        af.MultiHead([dot(), dot("sinkhorn")], output=WEIGHTS),
        closures.added(closures.softmax(Q / EPS, K, V @ WEIGHTS[0].T), closures.sinkhorn(Q / EPS, K, V @ WEIGHTS[1].T)),
    ),
}


@pytest.mark.parametrize(("attention", "witness"), ONE_HEAD.values(), ids=ONE_HEAD)
def test_means_and_covariances_solve_the_matrix_equations_of_the_papers(attention, witness) -> None:
    law = af.GaussianClosure(attention, V).evolve(mean=MEAN, covariance=COVARIANCE, times=TIMES)
    means, covariances = closures.solve(witness, MEAN, COVARIANCE, TIMES)
    np.testing.assert_allclose(law.means, means, atol=1e-9, rtol=0)
    np.testing.assert_allclose(law.covariances, covariances, atol=1e-9, rtol=0)
    assert np.abs(law.covariances - covariances).max() <= law.solver_error + 1e-11  # which the witness may be off
    assert np.abs(law.covariances[2] - COVARIANCE).max() > 0.1  # it does move


def test_the_mean_under_sinkhorn_obeys_an_equation_of_its_own() -> None:
    law = af.GaussianClosure(dot("sinkhorn"), 0.8).evolve(mean=MEAN, covariance=COVARIANCE, times=TIMES)
    np.testing.assert_allclose(law.means, np.exp(0.8 * TIMES)[:, None] * MEAN, rtol=1e-9)


def test_variances_on_the_line_are_the_scalar_closed_forms() -> None:
    times = np.array([0.2, 0.9])
    soft = af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=0.5), -0.7)  # a v = -1.4
    found = soft.evolve(mean=0.3, covariance=1.7, times=times).covariances[:, 0, 0]
    np.testing.assert_allclose(found, closures.softmax_variance(times, s0=1.7, av=-1.4), rtol=1e-9)

    shift = af.GaussianClosure(af.Attention(af.SquaredDistance(), bandwidth=0.3), centred=True)
    found = shift.evolve(mean=0.3, covariance=1.7, times=times)
    np.testing.assert_allclose(
        found.covariances[:, 0, 0], closures.mean_shift_variance(times, s0=1.7, h=0.3), rtol=1e-9
    )
    np.testing.assert_allclose(found.means[:, 0], 0.3, rtol=1e-12)  # a cloud draws itself together about its mean

    l2 = af.GaussianClosure(af.Attention(af.SquaredDistance(), bandwidth=0.5))
    doubly = af.GaussianClosure(af.Attention(af.SquaredDistance(), bandwidth=1.0, normalization="sinkhorn"))
    for closure, time in ((l2, closures.l2_time), (doubly, closures.sinkhorn_time)):
        law = closure.evolve(mean=0.3, covariance=1.7, times=time(5.0, s0=1.7))
        np.testing.assert_allclose(law.covariances[0, 0, 0], 5.0, rtol=1e-9)
        assert law.blow_up_time == np.inf


def test_the_temperature_is_not_forgotten() -> None:
    """A closure written for one temperature is caught by the closed form at another."""
    law = af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=1.0), -0.7).evolve(
        mean=0.3, covariance=1.7, times=0.9
    )
    assert abs(law.covariances[0, 0, 0] / closures.softmax_variance(0.9, s0=1.7, av=-1.4) - 1) > 0.4


@pytest.mark.parametrize(("s0", "v", "eps"), [(1.0, 1.0, 1.0), (0.4, 2.5, 0.2)])
def test_the_blow_up_is_foreseen_and_times_beyond_it_are_refused(s0: float, v: float, eps: float) -> None:
    end = 1 / (2 * v * s0 / eps)
    closure = af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=eps), v)
    law = closure.evolve(mean=0.2, covariance=s0, times=[0.1 * end, 0.9 * end])
    assert law.blow_up_time == pytest.approx(end, rel=1e-9)
    with pytest.raises(ConvergenceError, match=r"grows beyond bounds at t = ") as caught:
        closure.evolve(mean=0.2, covariance=s0, times=[0.1 * end, 0.9 * end, 1.1 * end])
    kept = caught.value.trajectory
    assert isinstance(kept, GaussianTrajectory)
    np.testing.assert_allclose(kept.covariances, law.covariances, rtol=1e-9)
    assert kept.blow_up_time == pytest.approx(end, rel=1e-9)


def test_a_blow_up_in_the_plane_takes_one_direction_and_is_the_one_of_the_witness() -> None:
    """With A = V = I variances of a common basis do not mix: the larger one, 2.0, decides."""
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    law = af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=1.0)).evolve(
        mean=[0.0, 0.0], covariance=turn @ np.diag([2.0, 0.5]) @ turn.T, times=0.2
    )
    assert law.blow_up_time == pytest.approx(0.25, rel=1e-9)


def test_a_negative_value_draws_tokens_together_and_nothing_blows_up() -> None:
    law = af.GaussianClosure(dot(), -V @ V.T).evolve(mean=MEAN, covariance=COVARIANCE, times=[0.0, 5.0])
    assert law.blow_up_time == np.inf
    assert law.rank_loss_time == np.inf


def test_loss_of_rank_is_told_where_one_direction_dies_out() -> None:
    """Centred, without attention along y: y shrinks as e^{-2t} in variance, x is held by a logit of its own."""
    narrow = af.Attention(af.QueryKey(np.diag([1.0, 1e-9]), np.diag([1.0, 1e-9])), bandwidth=1.0)
    law = af.GaussianClosure(narrow, centred=True).evolve(mean=[0.0, 0.0], covariance=np.eye(2), times=[0.0, 20.0])
    np.testing.assert_allclose(law.covariances[1, 0, 0], 1.0, rtol=1e-9)  # s' = 2 s (s - 1) rests at 1
    assert law.rank_loss_time == pytest.approx(6 * np.log(10), rel=1e-6)  # e^{-2t} = 1e-12
    early = af.GaussianClosure(narrow, centred=True).evolve(mean=[0.0, 0.0], covariance=np.eye(2), times=13.0)
    assert early.rank_loss_time == np.inf


def test_a_degenerate_law_stays_on_its_line() -> None:
    """Nothing is inverted: with S of rank one tokens on a line move on a line, and the point mass moves as a point."""
    along = np.array([1.0, -2.0])
    for normalization in ("softmax", "sinkhorn"):
        law = af.GaussianClosure(dot(normalization), V).evolve(
            mean=MEAN, covariance=np.outer(along, along), times=[0.0, 0.5]
        )
        np.testing.assert_allclose(np.linalg.det(law.covariances), 0, atol=1e-12)
        assert law.covariances[1].trace() > 0.1
    point = af.GaussianClosure(dot(), 0.5).evolve(mean=MEAN, covariance=np.zeros((2, 2)), times=[0.0, 0.5])
    np.testing.assert_allclose(point.means[1], np.exp(0.25) * MEAN, rtol=1e-9)
    np.testing.assert_array_equal(point.covariances[1], 0.0)


def test_a_cost_that_rewards_large_keys_ends_where_its_weights_have_no_sum() -> None:
    """|x - y|^2 - 3/2 |y|^2 at eps = 1 has the precision 1/s - 1/2 of rows: s' = 2 s^2 / (1 - s/2) ends at s = 2.

    The time from s0 is (1/s0 - 1/2) / 2 + log(s0 / 2) / 4.
    """
    closure = af.GaussianClosure(af.Attention(af.KernelTimesNorm(2, coefficient=1.5), bandwidth=1.0))
    with pytest.raises(ConvergenceError, match="ceases to be finite") as caught:
        closure.evolve(mean=1.0, covariance=0.5, times=[0.1, 3.0])
    assert caught.value.trajectory.blow_up_time == pytest.approx(0.75 - np.log(4) / 4, rel=1e-6)
    with pytest.raises(DataError, match="no finite sum"):
        closure.evolve(mean=1.0, covariance=2.5, times=0.1)


def test_any_quadratic_logit_is_read_from_its_values() -> None:
    linear = af.CustomPseudoMetric(
        lambda x, y: 3.0 * y[0] + y @ jnp.asarray(COVARIANCE) @ y - 2 * x[1] * y[0] + x[0] ** 4
    )
    found = quadratic_logit(af.Attention(linear, bandwidth=EPS), 2)
    np.testing.assert_allclose(found.cross, np.array([[0.0, 0.0], [1.0, 0.0]]) / EPS, atol=1e-13)
    np.testing.assert_allclose(found.curvature, COVARIANCE / EPS, atol=1e-13)
    np.testing.assert_allclose(found.slope, [-1.5 / EPS, 0.0], atol=1e-13)


REFUSED = {
    "rows undivided": (dict(pseudometric=af.DotProduct(), normalization="unnormalized"), "no affine function"),
    "sigmoid": (dict(pseudometric=af.DotProduct(), normalization="sigmoid"), "no affine function"),
    "entmax": (dict(pseudometric=af.DotProduct(), normalization=af.Entmax(1.5)), "no affine function"),
    "other weights of keys": (
        dict(pseudometric=af.DotProduct(), normalization=af.AlphaNormalization(0.5)),
        "no closed equation is known",
    ),
    "a heavy tail": (dict(pseudometric=af.SquaredDistance(), profile=af.StudentT(5.0, dim=2)), "StudentT.*quadratic"),
    "a mask": (dict(pseudometric=af.DotProduct(), mask="causal"), "mask"),
    "a manifold": (dict(pseudometric=af.SquaredGeodesicDistance(af.Sphere(2))), "not quadratic in the key"),
    "a fourth power": (dict(pseudometric=af.KernelTimesNorm(4, coefficient=0.5)), "not quadratic in the key"),
}


@pytest.mark.parametrize(("given", "reason"), REFUSED.values(), ids=REFUSED)
def test_attentions_without_closure_are_refused_with_the_reason(given: dict, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        af.GaussianClosure(af.Attention(bandwidth=0.5, **given)).evolve(
            mean=np.zeros(3), covariance=np.eye(3), times=0.1
        )


def test_data_that_do_not_fit_are_refused() -> None:
    closure = af.GaussianClosure(dot(), V)
    good = dict(mean=MEAN, covariance=COVARIANCE, times=0.1)
    for changes, words in [
        (dict(mean=[1.0, 2.0, 3.0], covariance=np.eye(3)), "`value` must have shape"),
        (dict(covariance=np.eye(3)), "`covariance` must have shape"),
        (dict(covariance=[[1.0, 0.2], [0.1, 1.0]]), "symmetric"),
        (dict(covariance=np.diag([1.0, -0.1])), "negative eigenvalue, got -0.1"),
        (dict(mean=[[1.0, 2.0]]), "`mean` must have shape"),
        (dict(mean=[np.nan, 1.0]), "`mean` holds"),
    ]:
        with pytest.raises(DataError, match=words):
            closure.evolve(**(good | changes))
    with pytest.raises(ConfigError, match="negative"):
        closure.evolve(**(good | dict(times=-1.0)))
    with pytest.raises(DataError, match="coordinates"):
        af.GaussianClosure(dot()).evolve(mean=np.zeros(3), covariance=np.eye(3), times=0.1)
    with pytest.raises(DataError, match="the output matrices of the heads"):
        af.GaussianClosure(af.MultiHead([af.Attention(af.DotProduct(), bandwidth=1.0)], output=[np.eye(2)])).evolve(
            mean=np.zeros(3), covariance=np.eye(3), times=0.1
        )
    for value in (np.ones(3), np.ones((2, 3))):
        with pytest.raises(DataError, match="`value` must be a number or a square matrix"):
            af.GaussianClosure(dot(), value)
    with pytest.raises(ConfigError, match="`centred` must be True or False"):
        af.GaussianClosure(dot(), centred="yes")  # type: ignore[arg-type]


def test_a_tolerance_that_rounding_cannot_keep_is_an_error_with_the_trajectory() -> None:
    """Close to its end a solution forgets: an error of 1e-16 at the start is one of 1e-10 at T - t = 1e-6 T."""
    closure = af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=1.0), rtol=1e-12)
    with pytest.raises(ConvergenceError, match="more than `rtol`") as caught:
        closure.evolve(mean=0.0, covariance=1.0, times=0.5 * (1 - 1e-6))
    assert caught.value.trajectory.covariances[0, 0, 0] == pytest.approx(1e6, rel=1e-4)


def test_a_state_that_misses_its_tolerance_does_not_spoil_those_before() -> None:
    """At the blow-up, t = 1/2, numbers of any size come out; at 1/4 the variance is 2 to all digits."""
    closure = af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=1.0))
    with pytest.raises(ConvergenceError, match="further from the blow-up") as caught:
        closure.evolve(mean=1.0, covariance=1.0, times=[0.5, 0.25])
    kept = caught.value.trajectory
    np.testing.assert_array_equal(kept.times, [0.25])
    assert abs(kept.covariances[0, 0, 0] - 2) <= kept.solver_error < 1e-10


def test_a_covariance_beyond_all_sizes_is_refused_without_a_word_of_numpy() -> None:
    with pytest.raises(ConvergenceError, match="ceases to be finite at t = 0"):
        af.GaussianClosure(dot()).evolve(mean=MEAN, covariance=1e200 * COVARIANCE, times=1e-201)


def test_times_come_in_any_order_and_zero_is_the_start() -> None:
    closure = af.GaussianClosure(dot(), V)
    one, other = (
        closure.evolve(mean=MEAN, covariance=COVARIANCE, times=times) for times in ([0.5, 0.0, 0.2], [0.0, 0.2, 0.5])
    )
    np.testing.assert_array_equal(one.covariances[[1, 2, 0]], other.covariances)
    start = closure.evolve(mean=MEAN, covariance=COVARIANCE, times=0.0)
    np.testing.assert_allclose(start.covariances[0], COVARIANCE, rtol=1e-14)


def test_times_so_close_to_the_end_that_steps_do_not_reach_them_are_refused_beside_later_ones() -> None:
    closure = af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=1.0))
    with pytest.raises(ConvergenceError, match=r"grows beyond bounds at t = 0\.5") as caught:
        closure.evolve(mean=0.0, covariance=1.0, times=[0.2, 0.5 * (1 - 1e-9), 0.6])
    np.testing.assert_array_equal(caught.value.trajectory.times, [0.2])


def test_a_pole_is_told_from_a_velocity_without_bound_and_from_stiff_decay() -> None:
    """y' = y^3 / 2 has S = 1 / (1 - t); y' = 1 / (2 y), from 1, ends at y = 0 without growth; y' = -1e6 y is stiff."""
    start = np.array([[0.0], [1.0]])
    pole = integrate(lambda y: y**3 / 2, start, 0.5, rtol=1e-10, looks_ahead=True)
    assert pole.end == pytest.approx(1, rel=1e-9)
    assert "beyond bounds" in pole.why
    root = integrate(lambda y: 0.5 / (2 - y) * (y < 2), start, 2.0, rtol=1e-10, looks_ahead=True)
    assert root.end == pytest.approx(1, rel=1e-6)  # 2 - y = (1 - t)^{1/2}
    assert "ceases" in root.why
    stiff = integrate(lambda y: 1e6 * (1 - y), start + 1, 2.0, rtol=1e-10, looks_ahead=True)
    assert stiff.end == np.inf
    assert "5000 steps" in stiff.why
    assert 0 < stiff.reach < 2


def test_exponential_growth_is_no_blow_up_however_far_it_goes() -> None:
    course = integrate(lambda y: 50.0 * y, np.array([[1.0], [1.0]]), 3.0, rtol=1e-12, looks_ahead=True)
    assert (course.end, course.why) == (np.inf, "")
    np.testing.assert_allclose(course(np.array([3.0]))[0], np.exp(150.0), rtol=1e-9)
