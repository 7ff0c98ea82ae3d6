"""Defects to be planted one at a time into attnflow, each by a function of pytest's monkeypatch."""

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow.equations.expansions import coefficients as expansions
from attnflow.equations.expansions import key_density, laplace, smoothness
from attnflow.equations.semigroups import dense as semigroups
from attnflow.measures import DiscreteMeasure
from attnflow.pseudometrics import tilted
from attnflow.sums import empirical, population
from attnflow.sums.kernel_sums.dense import DenseSum
from attnflow.sums.operators import keys, kinds, unnormalized
from attnflow.sums.planning import planner
from attnflow.trajectories import count_layers

# --- the differential equation


def change_coefficients(monkeypatch, change):
    exact = expansions.chart_coefficients

    def changed(cost, log_density, minimizer):
        return change(exact(cost, log_density, minimizer), cost, log_density, minimizer)

    monkeypatch.setattr(expansions, "chart_coefficients", changed)


def drift_factor_1_instead_of_2(monkeypatch):
    # 2 L f = Lap f + 2 <grad log p, grad f>
    def change(right, cost, log_density, minimizer):
        gradient = right.inverse_metric @ jax.grad(log_density)(minimizer)
        return right._replace(drift=right.drift - 0.5 * gradient)

    change_coefficients(monkeypatch, change)


def sign_of_the_drift(monkeypatch):
    change_coefficients(monkeypatch, lambda right, *_: right._replace(drift=-right.drift))


def no_third_derivative(monkeypatch):
    def change(right, cost, log_density, minimizer):
        return right._replace(drift=right.inverse_metric @ jax.grad(log_density)(minimizer))

    change_coefficients(monkeypatch, change)


def a_chart_that_is_not_normal(monkeypatch):
    """With it p^ = p sqrt(det g) has another gradient than p; nothing that is right depends on the chart."""

    def chart_at(self, x):
        frame = self.tangent_frame(x)
        return lambda u: self.retract(x + frame @ (u + 0.4 * u**2))

    monkeypatch.setattr(af.Sphere, "chart_at", chart_at)


def p_instead_of_p_in_the_chart(monkeypatch):
    a_chart_that_is_not_normal(monkeypatch)
    monkeypatch.setattr(expansions, "log_volume_element", lambda chart, u: 0.0 * u[0])


def the_inverse_for_the_metric(monkeypatch):
    # Where the metric is the plain one they are alike.
    monkeypatch.setattr(laplace.np.linalg, "pinv", lambda matrix, hermitian: matrix)


def no_drift_of_the_laplacian(monkeypatch):
    monkeypatch.setattr(expansions, "laplacian_drift", lambda metric, u: 0.0 * u)


def a_laplacian_without_its_volume(monkeypatch):
    def wrong(metric, u):
        return 0.5 * jnp.einsum("iji->j", jax.jacfwd(lambda v: jnp.linalg.inv(metric(v)))(u))

    monkeypatch.setattr(expansions, "laplacian_drift", wrong)


def minimisers_alike_within_a_hundredth(monkeypatch):
    # Both where a jump is looked for and where the gradient must vanish.
    monkeypatch.setattr(laplace, "SAME_POINT", 1e-2)
    monkeypatch.setattr(smoothness, "_SETTLED", 1e-2)


def minimisers_not_looked_at(monkeypatch):
    monkeypatch.setattr(laplace, "require_smooth_minimum", lambda *_: None)


def an_euler_step_for_the_semigroup(monkeypatch):
    monkeypatch.setattr(semigroups, "exponential_change", lambda matrix: matrix)


# --- the sums


def eps_for_2_eps(monkeypatch):
    class Wrong(DenseSum):
        def __init__(self, attention, **rest):
            super().__init__(attention.replace(bandwidth=attention.bandwidth / 2), **rest)

    monkeypatch.setattr(planner, "DenseSum", Wrong)


def float32_inside(monkeypatch):
    class Wrong(DenseSum):
        def __init__(self, attention, *, points, log_weights, dtype):
            super().__init__(attention, points=points, log_weights=log_weights, dtype=np.dtype("float32"))

        def _rounding(self, rows, shift, total):  # an honest error would send the rows on
            return np.full(len(shift), 1e-14)

    monkeypatch.setattr(planner, "DenseSum", Wrong)


def no_self_term(monkeypatch):
    class Wrong(DenseSum):
        def of_rows(self, values, rows):
            return super().of_rows(values, rows._replace(own=np.arange(len(rows.points))))

    monkeypatch.setattr(planner, "DenseSum", Wrong)


def one_layer_less(monkeypatch):
    for life in (empirical, population):
        monkeypatch.setattr(life, "count_layers", lambda times, bandwidth: count_layers(times, bandwidth) - 1)


def p_that_is_not_normalised(monkeypatch):
    monkeypatch.setattr(af.Uniform, "log_density", lambda self, x: jnp.zeros((), x.dtype))


def a_density_that_is_not_normalised(monkeypatch):
    right = af.VonMisesFisher.log_densities
    monkeypatch.setattr(af.VonMisesFisher, "log_densities", lambda self, x: right(self, x) + self.log_normalizer)


def a_volume_without_its_jacobian(monkeypatch):
    right = af.Sphere.quadrature

    def wrong(self, degree):
        points, weights = right(self, degree)
        return DiscreteMeasure(points, np.full_like(weights, weights.mean()))

    monkeypatch.setattr(af.Sphere, "quadrature", wrong)


def a_wrong_volume(monkeypatch):
    right = af.Sphere.quadrature

    def wrong(self, degree):
        points, weights = right(self, degree)
        return DiscreteMeasure(points, 2 * weights)  # of an interval of length 4 pi

    monkeypatch.setattr(af.Sphere, "quadrature", wrong)


# --- the normalisations


def half_the_power(monkeypatch):
    monkeypatch.setattr(af.AlphaNormalization, "log_key_weights", lambda self, keys: -0.25 * keys.log_total(0.0))


def power_of_the_wrong_sign(monkeypatch):
    monkeypatch.setattr(af.AlphaNormalization, "log_key_weights", lambda self, keys: 0.5 * keys.log_total(0.0))


def weights_forgotten(monkeypatch):
    monkeypatch.setattr(af.KeyWeights, "log_key_weights", lambda self, keys: 0.0)


def weights_twice(monkeypatch):
    monkeypatch.setattr(af.KeyWeights, "log_key_weights", lambda self, keys: 2 * keys.evaluate(self.log_weight))


def no_density_in_the_limit_of_totals(monkeypatch):
    monkeypatch.setattr(key_density.LimitKeys, "log_total", lambda self, log_weights: log_weights)


def totals_of_one_key_for_all(monkeypatch):
    right = keys.MeasureKeys.log_total
    monkeypatch.setattr(keys.MeasureKeys, "log_total", lambda self, u: np.full_like(right(self, u), right(self, u)[0]))


def sinkhorn_that_stops_at_once(monkeypatch):
    monkeypatch.setattr(af.Sinkhorn, "log_key_weights", lambda self, keys: -0.3 * keys.log_total(0.0))


def rows_divided_all_the_same(monkeypatch):
    monkeypatch.setitem(kinds.OPERATORS, "undivided", kinds.OPERATORS["divided"])


def sums_where_means_are_due(monkeypatch):
    monkeypatch.setattr(DiscreteMeasure, "mass", 1.0)


def a_sigmoid_without_its_bias(monkeypatch):
    right = unnormalized.LogSigmoid
    monkeypatch.setattr(unnormalized, "LogSigmoid", lambda attention, bias: right(attention, 0.0 * bias))


def entmax_of_another_power(monkeypatch):
    right = af.Entmax.__init__
    monkeypatch.setattr(af.Entmax, "__init__", lambda self, alpha: right(self, alpha - 0.05))


def half_the_weights_per_bandwidth(monkeypatch):
    monkeypatch.setattr(tilted.Tilted, "__call__", lambda self, x, y: self.pseudometric(x, y) - self.potential(y))


def heads_mixed_by_transposes(monkeypatch):
    right = af.MultiHead.__init__

    def wrong(self, heads, output):
        right(self, heads, [matrix.T for matrix in output])

    monkeypatch.setattr(af.MultiHead, "__init__", wrong)
