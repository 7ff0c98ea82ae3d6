"""Defects planted one at a time into attnflow: each must turn a supported claim into one that is not.

The claims are small ones, judged by `af.judge` as those of the studies are: a generator and a depth on the circle by
their rates, layers and normalisers by closed forms, a cloud by a direct sum, a random ladder by its records.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive
from witnesses import bessel, direct

import attnflow as af
from attnflow._values import value
from attnflow.densities import base as densities
from attnflow.equations.expansions import coefficients as expansions
from attnflow.equations.expansions import key_density
from attnflow.equations.semigroups import dense as semigroups
from attnflow.errors import ConvergenceError
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run
from attnflow.lab.store import Store
from attnflow.lab.study import Task
from attnflow.measures import DiscreteMeasure
from attnflow.sums import empirical, population
from attnflow.sums.kernel_sums.dense import DenseSum
from attnflow.sums.operators import keys
from attnflow.sums.planning import planner
from attnflow.trajectories import count_layers

CIRCLE = af.Circle()
ANGLES = np.array([0.3, 1.1, 2.0, 3.4, 4.1, 5.6])
AT = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
CLOUD = np.random.default_rng(5).gamma(2.0, size=(200, 2))
BANDWIDTHS = [0.02 / 2**k for k in range(7)]


@value
class Lopsided(af.PseudoMetric):
    """|x - y|^2 + .6 sin^3 of the angle from x to y: its minimiser is the query, its third derivative not zero."""

    vanishes_on_diagonal = True

    def __call__(self, x, y):
        return jnp.sum((x - y) ** 2) + 0.6 * (x[0] * y[1] - x[1] * y[0]) ** 3


def f(x):
    return x[1] + 0.5 * x[0] * (4 * x[0] ** 2 - 3)


def claim(kind, predicted, margin=None):
    return af.Claim(
        id="planted", source="RZ", statement="as it should be", kind=kind, quantity="error", size="bandwidth",
        hypotheses="none", predicted=predicted, margin=margin,
    )  # fmt: skip


def verdict(measure, *, kind, predicted, margin=None):
    """The verdict on one number per bandwidth; what raises has failed, as it has in a study."""
    levels = []
    for bandwidth in BANDWIDTHS:
        try:
            level = af.Level(size=bandwidth, values=[measure(bandwidth)], deterministic=True)
        except ConvergenceError as error:
            level = af.Level(size=bandwidth, values=[], deterministic=True, failed=str(error))
        levels.append(level)
    return af.judge(claim(kind, predicted, margin), levels).verdict


@functools.cache
def tilted():
    return af.LogDensity(CIRCLE, lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1])


def generator_claim():
    """(A - I) f / eps - L f is of order eps."""
    density = tilted()

    def measure(bandwidth):
        attention = af.Attention(Lopsided(), bandwidth=bandwidth)
        measured = af.PopulationAttention(attention, density, rtol=1e-10).generator(f, at=AT)
        return np.abs(measured - af.LaplaceExpansion(attention, density).generator(f, at=AT)).max()

    return verdict(measure, kind="exponent", predicted=1.0)


def depth_claim():
    """A^{t/eps} f - e^{tL} f is of order eps."""
    density = tilted()

    def measure(bandwidth):
        attention = af.Attention(af.SquaredDistance(), bandwidth=10 * bandwidth)
        layers = af.PopulationAttention(attention, density).evolve(f, times=0.4, at=AT)
        return af.compare(layers, af.DriftDiffusion(attention, density).evolve(f, times=0.4, at=layers), norm="sup")[0]

    return verdict(measure, kind="exponent", predicted=1.0)


def layers_claim():
    """Ten layers multiply cos 3t by (I_3 / I_0)^10 where p is uniform."""

    def measure(bandwidth):
        life = af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), af.Uniform(CIRCLE))
        layers = life.evolve(lambda x: x[0] * (4 * x[0] ** 2 - 3), times=10 * bandwidth, at=AT).values[0]
        return np.abs(layers - bessel.circle_symbol(3, bandwidth=bandwidth) ** 10 * np.cos(3 * ANGLES)).max()

    return verdict(measure, kind="identity", predicted=0.0, margin=1e-10)


def normalizer_claim():
    """The kernel's integral over a uniform p is e^{-1/eps} I_0(1/eps)."""

    def measure(bandwidth):
        life = af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), af.Uniform(CIRCLE))
        return np.abs(life.log_normalizer(at=AT) - np.log(ive(0, 1 / bandwidth))).max()

    return verdict(measure, kind="identity", predicted=0.0, margin=1e-10)


def cloud_claim():
    """Three layers on a cloud are three direct sums."""

    def measure(bandwidth):
        life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), CLOUD)
        logits = direct.distance_logits(CLOUD, CLOUD, bandwidth=bandwidth)
        exact = direct.evolve(logits, CLOUD[:, 0], layers=3)
        return np.abs(life.evolve(CLOUD[:, 0], times=3 * bandwidth).values[0] - exact).max()

    return verdict(measure, kind="identity", predicted=0.0, margin=1e-12)


def normalized_generator(bandwidth, normalization, drift, *, life):
    """The distance of a generator on the circle from f'' / 2 + drift f', known by hand."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth, normalization=normalization)
    first, second = np.cos(ANGLES) - 1.5 * np.sin(3 * ANGLES), -np.sin(ANGLES) - 4.5 * np.cos(3 * ANGLES)
    return np.abs(life(attention, tilted()).generator(f, at=AT) - (0.5 * second + drift * first)).max()


def log_density_slope():
    return -0.7 * np.sin(ANGLES) + 0.6 * np.cos(2 * ANGLES)


def alpha_claim():
    """With keys weighed by q^(-1/2) the generator tends to that of p^(1/2), at order eps."""
    given = dict(normalization=af.AlphaNormalization(0.5), drift=0.5 * log_density_slope(), life=af.PopulationAttention)
    return verdict(lambda eps: normalized_generator(eps, **given), kind="exponent", predicted=1.0)


def alpha_limit_claim():
    """With keys weighed by q^(-1/2) the limit is that of p^(1/2)."""
    given = dict(normalization=af.AlphaNormalization(0.5), drift=0.5 * log_density_slope(), life=af.DriftDiffusion)
    return verdict(lambda eps: normalized_generator(eps, **given), kind="identity", predicted=0.0, margin=1e-10)


def key_weight(y):
    return 0.6 * y[1]


def weights_claim():
    """With keys weighed by e^b the generator tends to that of p e^b, at order eps."""
    drift = log_density_slope() + 0.6 * np.cos(ANGLES)
    given = dict(normalization=af.KeyWeights(key_weight), drift=drift, life=af.PopulationAttention)
    return verdict(lambda eps: normalized_generator(eps, **given), kind="exponent", predicted=1.0)


def weights_limit_claim():
    """With keys weighed by e^b the limit is that of p e^b."""
    drift = log_density_slope() + 0.6 * np.cos(ANGLES)
    given = dict(normalization=af.KeyWeights(key_weight), drift=drift, life=af.DriftDiffusion)
    return verdict(lambda eps: normalized_generator(eps, **given), kind="identity", predicted=0.0, margin=1e-10)


CLAIMS = [generator_claim, depth_claim, layers_claim, normalizer_claim, cloud_claim]
CLAIMS += [alpha_claim, alpha_limit_claim, weights_claim, weights_limit_claim]


@pytest.fixture(autouse=True)
def nothing_compiled_survives():
    """A defect inside compiled code must neither be missed, as compiled before, nor stay for later tests."""
    compiled = (expansions.raw_coefficients, expansions.applied, densities._log_densities)
    for function in compiled:
        function.clear_cache()
    yield
    for function in compiled:
        function.clear_cache()


@pytest.mark.parametrize("claimed", CLAIMS)
def test_without_a_defect_each_claim_is_supported(claimed):
    assert claimed() == "supported"


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


def an_euler_step_for_the_semigroup(monkeypatch):
    monkeypatch.setattr(semigroups, "exponential_change", lambda matrix: matrix)


def test_the_generator_claim_is_supported_in_any_chart(monkeypatch):
    a_chart_that_is_not_normal(monkeypatch)
    assert generator_claim() == "supported"


# --- the sums


def wrong_sum(monkeypatch, make):
    class Wrong(DenseSum):
        def __init__(self, attention, *, points, log_weights, dtype):
            super().__init__(**make(attention=attention, points=points, log_weights=log_weights, dtype=dtype))

    monkeypatch.setattr(planner, "DenseSum", Wrong)


def eps_for_2_eps(monkeypatch):
    def make(attention, **rest):
        return dict(attention=af.Attention(attention.pseudometric, bandwidth=attention.bandwidth / 2), **rest)

    wrong_sum(monkeypatch, make)


def float32_inside(monkeypatch):
    wrong_sum(monkeypatch, lambda **given: given | {"dtype": np.dtype("float32")})


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


@pytest.mark.parametrize(
    ("plant", "claimed"),
    [
        (half_the_power, alpha_claim),
        (half_the_power, alpha_limit_claim),
        (power_of_the_wrong_sign, alpha_claim),
        (power_of_the_wrong_sign, alpha_limit_claim),
        (no_density_in_the_limit_of_totals, alpha_limit_claim),
        (totals_of_one_key_for_all, alpha_claim),
        (weights_forgotten, weights_claim),
        (weights_forgotten, weights_limit_claim),
        (weights_twice, weights_claim),
        (weights_twice, weights_limit_claim),
        (drift_factor_1_instead_of_2, generator_claim),
        (sign_of_the_drift, generator_claim),
        (sign_of_the_drift, depth_claim),
        (no_third_derivative, generator_claim),
        (p_instead_of_p_in_the_chart, generator_claim),
        (eps_for_2_eps, generator_claim),
        (eps_for_2_eps, layers_claim),
        (float32_inside, cloud_claim),
        (no_self_term, cloud_claim),
        (an_euler_step_for_the_semigroup, depth_claim),
        (one_layer_less, layers_claim),
        (one_layer_less, cloud_claim),
        (p_that_is_not_normalised, normalizer_claim),
        (a_wrong_volume, normalizer_claim),
    ],
)
def test_a_planted_defect_turns_the_verdict(plant, claimed, monkeypatch):
    plant(monkeypatch)
    assert claimed() == "refuted"


# --- the seeds


def noise_study():
    def measure(case, keys):
        draws = [np.random.default_rng(np.asarray(jax.random.key_data(key))).normal(size=2**13) for key in keys]
        return {"error": np.abs([draw[: case["n"]].mean() for draw in draws])}

    noise = af.Claim(
        id="planted", source="RZ", statement="a mean has the error n^(-1/2)", kind="exponent", quantity="error",
        size="n", hypotheses="independent draws", predicted=-0.5, margin=0.3,
    )  # fmt: skip
    ladder = [{"n": 2**k} for k in range(6, 14)]
    return af.Study(name="planted", measure=measure, ladder=ladder, quick=8, claims=[noise], seeds=48)


def noise_verdict(folder):
    store = Store(folder)
    store.prepare()
    run_study(noise_study(), store, quick=True)
    return read_run(noise_study(), store, setting="quick").verdicts[0]


def test_a_reused_seed_turns_the_verdict(tmp_path, monkeypatch):
    assert noise_verdict(tmp_path / "right").verdict == "supported"
    right = Task.seed_keys

    def wrong(self):
        keys = right(self)
        return [keys[0], *keys[:-1]]

    monkeypatch.setattr(Task, "seed_keys", wrong)
    planted = noise_verdict(tmp_path / "wrong")
    assert planted.verdict == "invalid"
    assert "a seed was used twice" in planted.reason
