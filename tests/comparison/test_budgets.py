"""Error budgets: parts make the total, faults that are planted land in their part, and closed forms say how large."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.figure import Figure
from witnesses import quadrature, ratios_of_sums
from wrong_lives import WrongEquation, WrongSums

import attnflow as af
from attnflow.comparison.budgets import Lives, budget_of
from attnflow.errors import ConfigError, DataError

EPS = 0.15
KEYS = jax.random.split(jax.random.key(7), 24)
CIRCLE = af.VonMisesFisher(af.Circle(), mean_direction=[1.0, 0.0], concentration=0.7)
DENSITIES = {
    "circle": CIRCLE,
    "sphere": af.VonMisesFisher(af.Sphere(2), mean_direction=[0.0, 0.0, 1.0], concentration=0.6),
    "torus": af.LogDensity(af.FlatTorus(2), lambda x: 0.4 * x[0] + 0.3 * x[1] * x[2]),
}


def lopsided(x):
    return x[0] - 0.5 * x[-1] + x[0] * x[-1]


def queries(density, count=16):
    return density.manifold.sample_uniform(count, np.random.default_rng(4))


def budget(density=CIRCLE, *, lives=None, n=500, f=lopsided, keys=KEYS, attention=None, **options):
    attention = attention or af.Attention(af.SquaredDistance(), EPS)
    options = {"at": queries(density)} | options
    return budget_of(lives or Lives(), attention, density, f, n=n, keys=keys, **options)


@functools.cache
def of_circle(time=None):
    return budget(time=time)


# --- right lives


@pytest.mark.parametrize("time", [None, 3 * EPS], ids=["generator", "semigroup"])
@pytest.mark.parametrize("name", DENSITIES)
def test_the_parts_of_right_lives_make_the_total(name, time):
    found = of_circle(time) if name == "circle" else budget(DENSITIES[name], time=time)
    assert found.closes, found
    assert found.together.value == pytest.approx(found.total.value, rel=0.5)  # 12 samples of some ten queries each
    assert found["bias"].low > 0
    assert found["continuum solver"].high < 1e-2 * found["bias"].value
    assert found["round-off"].value < 1e-12


def test_the_expected_error_of_a_layer_is_exact():
    # f of degree two on S^2, uniform, and queries that integrate its square exactly: all parts are known.
    points, weights = quadrature.sphere_rule(4, 8)
    density = af.Uniform(af.Sphere(2))
    found = budget(
        density, n=60, f=lambda x: jnp.sqrt(15 / 4) * (x[0] ** 2 - x[1] ** 2), at=af.DiscreteMeasure(points, weights),
        attention=af.Attention(af.SquaredDistance(), 0.3), keys=KEYS[:16],
    )  # fmt: skip
    # The limit is extrapolated: certain to a thousandth of the bias, which is a third of the error.
    assert found.total.expected**2 == pytest.approx(ratios_of_sums.square_on_the_sphere(60, 0.3), rel=1e-3)
    assert found.total.low < found.total.expected < found.total.high


def test_the_square_of_a_sample_is_a_mean_over_weighed_queries_and_components():
    at = queries(CIRCLE)
    weights = np.arange(1.0, 17.0)
    attention = af.Attention(af.SquaredDistance(), EPS)

    def two(x):
        return jnp.stack([x[0], x[0] * x[1]])

    found = budget(f=two, at=af.DiscreteMeasure(at, weights), keys=KEYS[:16])
    points = CIRCLE.sample(500, key=KEYS[8])  # the first of the second half
    off = af.EmpiricalAttention(attention, points).generator(two, at=at) - af.DriftDiffusion(
        attention, CIRCLE
    ).generator(two, at=at)
    assert found.squares[0] == pytest.approx(weights @ (off**2).sum(axis=1) / weights.sum(), rel=1e-12)
    assert found.total.value == pytest.approx(np.sqrt(found.squares.mean()), rel=1e-12)


def test_more_points_leave_the_bias_and_take_the_fluctuation():
    few, many = of_circle(), budget(n=8000, keys=KEYS[:16])
    assert many["bias"].value == pytest.approx(few["bias"].value, rel=1e-6)
    assert many["fluctuation"].expected == pytest.approx(few["fluctuation"].expected / 4, rel=0.05)  # 1/nb is .02
    assert many.closes, many


def test_estimated_key_weights_have_a_budget_whose_fluctuation_is_measured_alone():
    attention = af.Attention(af.SquaredDistance(), EPS, normalization=af.AlphaNormalization(1.0))
    found = budget(attention=attention, keys=KEYS[:16])
    assert found.closes, found
    assert np.isnan(found["fluctuation"].expected)
    assert np.isnan(found.total.expected)


# --- planted faults


@pytest.mark.parametrize("time", [None, 3 * EPS], ids=["generator", "semigroup"])
def test_an_error_of_the_solver_of_a_thousandth_lands_there_and_nowhere_else(time):
    limit = lambda *given: WrongEquation(af.DriftDiffusion(*given), 1e-3)  # noqa: E731
    right, found = of_circle(time), budget(lives=Lives(limit=limit), time=time)
    exact = af.DriftDiffusion(af.Attention(af.SquaredDistance(), EPS), CIRCLE)
    at = queries(CIRCLE)
    answer = exact.generator(lopsided, at=at) if time is None else exact.evolve(lopsided, time, at=at).values[0]
    planted = 1e-3 * np.sqrt(np.mean(answer**2))
    # The extrapolated limit is certain to a thousandth of the bias, about .1 of the answer.
    assert found["continuum solver"].value == pytest.approx(planted, rel=0.1)
    assert found.gaps == (found.gaps[0],)
    assert found.gaps[0].startswith("continuum solver is")
    for part in ("fluctuation", "slow-down", "bias", "kernel sum"):
        assert found[part].value == right[part].value


def test_sums_in_single_precision_land_in_the_kernel_sum():
    single = functools.partial(af.EmpiricalAttention, dtype="float32", rtol=1e-4)
    right, found = of_circle(), budget(lives=Lives(empirical=single))
    assert right["kernel sum"].value < 1e-11
    assert 1e-8 < found["kernel sum"].value < 1e-4  # a rounding of 6e-8 over eps
    assert found["kernel sum"].low > 0
    assert found.closes, found  # as they say so of themselves
    for part in ("fluctuation", "slow-down", "bias", "continuum solver"):
        assert found[part].value == right[part].value


def test_sums_that_are_off_without_a_word_do_not_close():
    wrong = lambda *given: WrongSums(af.EmpiricalAttention(*given), 1e-5)  # noqa: E731
    found = budget(lives=Lives(empirical=wrong), keys=KEYS[:16])
    assert any(gap.startswith("kernel sum is") for gap in found.gaps)
    at, attention = queries(CIRCLE), af.Attention(af.SquaredDistance(), EPS)
    mean = af.PopulationAttention(attention, CIRCLE).layer(lopsided, at=at)
    planted = 1e-5 * np.sqrt(np.mean(mean**2)) / EPS
    assert found["kernel sum"].value == pytest.approx(planted, rel=0.1)  # of A_N f, that of the population is near


def test_a_population_at_another_bandwidth_lands_in_the_bias_and_is_noticed():
    def wider(attention, density):
        return af.PopulationAttention(attention.replace(bandwidth=4 * EPS), density)

    right, found = (budget(lives=lives, n=4000, keys=KEYS[:16]) for lives in (Lives(), Lives(population=wider)))
    at, attention = queries(CIRCLE), af.Attention(af.SquaredDistance(), EPS)
    off = wider(attention, CIRCLE).generator(lopsided, at=at) - af.DriftDiffusion(attention, CIRCLE).generator(
        lopsided, at=at
    )
    assert found["bias"].value == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-3)
    assert found["bias"].value > 2 * right["bias"].value
    assert any(gap.startswith("slow-down is off") for gap in found.gaps)  # the mean of samples is elsewhere
    for part in ("fluctuation", "continuum solver", "kernel sum"):
        assert found[part].value == right[part].value


def test_points_that_are_not_independent_are_noticed(monkeypatch):
    sample = af.VonMisesFisher.sample

    def in_eights(self, n, *, key):
        return np.repeat(sample(self, n // 8, key=key), 8, axis=0)

    monkeypatch.setattr(af.VonMisesFisher, "sample", in_eights)
    found = budget(n=4000)
    assert any(gap.startswith("fluctuation is") for gap in found.gaps)
    assert found["fluctuation"].value == pytest.approx(8**0.5 * found["fluctuation"].expected, rel=0.4)


def test_samples_of_another_law_in_the_total_do_not_close(monkeypatch):
    sample, half = af.VonMisesFisher.sample, {bytes(jax.random.key_data(key)) for key in KEYS[12:]}

    def few(self, n, *, key):  # a sixteenth of the points
        late = bytes(jax.random.key_data(key)) in half
        return np.repeat(sample(self, n // 16, key=key), 16, axis=0) if late else sample(self, n, key=key)

    monkeypatch.setattr(af.VonMisesFisher, "sample", few)
    found = budget(n=1600, time=3 * EPS)
    assert any(gap.startswith("the parts make") for gap in found.gaps)


def test_a_coarse_limit_that_declares_its_error_is_told_and_closes():
    attention, at = af.Attention(af.SquaredDistance(), EPS), queries(CIRCLE)
    coarse = af.DriftDiffusion(attention, CIRCLE, rtol=0.1, discretization=af.FiniteVolume(cells=20))
    found = budget(limit=coarse, time=3 * EPS)
    fine = af.DriftDiffusion(attention, CIRCLE).evolve(lopsided, 3 * EPS, at=at)
    off = coarse.evolve(lopsided, 3 * EPS, at=at).values - fine.values
    assert found["continuum solver"].value == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-2)
    assert found["continuum solver"].value > 1e3 * of_circle(3 * EPS)["continuum solver"].value
    assert found.closes, found


# --- how it looks, and what is refused


def test_a_budget_is_a_short_table_and_a_figure():
    found = of_circle()
    lines = repr(found).splitlines()
    assert lines[0] == "ErrorBudget of the generator, N = 500"
    assert [line[:18].strip() for line in lines[2:-1]] == [
        "fluctuation", "slow-down", "bias", "continuum solver", "kernel sum", "round-off", "parts together",
        "observed total",
    ]  # fmt: skip
    assert lines[-1] == "it closes"
    assert max(map(len, lines)) <= 72
    axes = found.plot()
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "observed total"
    assert len(axes.patches) == 8
    own = Figure().subplots()
    assert found.plot(own) is own
    with pytest.raises(KeyError):
        found["noise"]


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"keys": KEYS[:15]}, ConfigError, "`keys` must be at least 16 random keys"),
        ({"keys": jax.random.key(0)}, ConfigError, "`keys` must be at least 16 random keys"),
        ({"n": 1}, ConfigError, "`n` must be"),
        ({"n": 10.5}, ConfigError, "`n` must be"),
        ({"at": None}, ConfigError, "`at` is required"),
        ({"at": [[2.0, 0.0]]}, DataError, "at"),
        ({"time": 0.2}, ConfigError, "whole numbers of layers"),
        ({"time": -0.15}, ConfigError, "`time` must be positive"),
        ({"f": np.ones(3)}, ConfigError, "`f` must be a function"),
        ({"f": lambda x: 2.0 + 0 * x[0]}, ConfigError, "`f` must not be constant"),
        ({"limit": 3}, ConfigError, "`limit` must be a DriftDiffusion"),
        ({"attention": "plain"}, ConfigError, "`attention` must be an Attention"),
        ({"attention": af.Attention(af.SquaredDistance(), 0.1, normalization="unnormalized")}, ConfigError, "no gen"),
    ],
)
def test_what_has_no_budget_is_refused_by_name(options, error, words):
    with pytest.raises(error, match=words):
        budget(**options)


def test_heads_have_budgets_one_by_one():
    heads = af.MultiHead([af.Attention(af.SquaredDistance(), EPS)] * 2, output=[np.eye(2) / 2] * 2)
    with pytest.raises(ConfigError, match="`attention` must be one head"):
        budget(attention=heads, f=lambda x: x)
