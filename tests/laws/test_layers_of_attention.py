"""Laws that every layer obeys, over attentions and clouds; its stationary law and its spectrum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import CLOUD, COSTS, MASKS, NORMALIZATIONS, PROFILES, RNG, density
from witnesses import direct

import attnflow as af
from attnflow.errors import ConfigError, ResourceError

ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.3)
CASES = {
    **{
        name: (ATTENTION.replace(bandwidth=0.1), density(name).sample(150, key=jax.random.key(3)))
        for name in ("circle", "torus", "sphere", "line", "a user's circle")
    },
    **{f"cloud, {name}": (ATTENTION.replace(pseudometric=cost), CLOUD) for name, (cost, _) in COSTS.items()},
    **{
        f"cloud, {name}": (ATTENTION.replace(normalization=normalization), CLOUD)
        for name, (normalization, _) in NORMALIZATIONS.items()
    },
    **{f"cloud, {name}": (ATTENTION.replace(profile=profile), CLOUD) for name, profile in PROFILES.items()},
}
SETTLED = {"cloud, sinkhorn": 1e-10}  # a fixed point is as near as it is asked for; sums alone are off by 1e-13
# Two points far out that leave themselves out see one another alone, whatever their weights: nobody knows these.
whatever_weights = pytest.mark.filterwarnings("ignore:the result is uncertain")
MASKED = {f"cloud, {name}": (ATTENTION.replace(mask=mask), CLOUD) for name, mask in MASKS.items()}
REVERSIBLE = [name for name in CASES if COSTS.get(name.removeprefix("cloud, "), (None, True))[1]]


@pytest.fixture(params=[*CASES, *MASKED], name="case")
def _case(request):
    attention, points = (CASES | MASKED)[request.param]
    return attention, points, np.random.default_rng(4).standard_normal(len(points))


@whatever_weights
@pytest.mark.parametrize("include_self", [True, False])
def test_constants_are_fixed(case, include_self):
    attention, points, _ = case
    layer = af.EmpiricalAttention(attention, points, include_self=include_self).layer(np.full(len(points), 3.7))
    np.testing.assert_allclose(layer, 3.7, rtol=1e-13)  # numerator and denominator round apart by their lengths


def test_a_layer_stays_between_the_extremes(case):
    attention, points, values = case
    layer = af.EmpiricalAttention(attention, points).layer(values)
    assert values.min() - 1e-13 <= layer.min() <= layer.max() <= values.max() + 1e-13


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(sorted(CASES)))
def test_permuting_points_permutes_the_result(seed, name):
    attention, points = CASES[name]
    order = np.random.default_rng(seed).permutation(len(points))
    values = np.random.default_rng(4).standard_normal(len(points))
    layer = af.EmpiricalAttention(attention, points).layer(values)
    permuted = af.EmpiricalAttention(attention, points[order]).layer(values[order])
    np.testing.assert_allclose(permuted, layer[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_duplicating_all_points_changes_nothing(name):
    attention, points = CASES[name]
    values = np.random.default_rng(4).standard_normal(len(points))
    twice = af.EmpiricalAttention(attention, np.tile(points, (2, 1))).layer(np.tile(values, 2))
    weighted = af.EmpiricalAttention(attention, af.DiscreteMeasure(points, weights=np.full(len(points), 2.0)))
    layer = af.EmpiricalAttention(attention, points).layer(values)
    atol = SETTLED.get(name, 1e-13)
    np.testing.assert_allclose(twice[: len(points)], layer, rtol=0, atol=atol)
    np.testing.assert_allclose(weighted.layer(values), layer, rtol=0, atol=atol)


def test_layers_compose(case):
    attention, points, values = case
    life = af.EmpiricalAttention(attention, points)
    eps = attention.bandwidth
    half = life.evolve(values, times=2 * eps).values[0]
    np.testing.assert_allclose(
        life.evolve(values, times=5 * eps).values[0], life.evolve(half, times=3 * eps).values[0], rtol=0, atol=1e-13
    )


# --- stationary law and spectrum


@whatever_weights
@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("name", REVERSIBLE)
def test_the_stationary_law_is_left_unchanged(name, include_self):
    attention, points = CASES[name]
    measure = af.DiscreteMeasure(points, weights=np.random.default_rng(8).random(len(points)))
    life = af.EmpiricalAttention(attention, measure, include_self=include_self)
    law = life.stationary()
    values = np.random.default_rng(4).standard_normal((len(points), 3))
    np.testing.assert_allclose(law @ life.layer(values), law @ values, rtol=0, atol=1e-13)
    assert law.sum() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("include_self", [True, False])
def test_the_spectrum_is_that_of_the_matrix(include_self):
    attention, points = CASES["torus"]
    life = af.EmpiricalAttention(attention, points, include_self=include_self)
    rows = direct.distance_logits(points, points, bandwidth=attention.bandwidth)
    matrix = direct.softmax(rows if include_self else direct.without_self(rows))
    spectrum = life.spectrum(6)
    expected = np.sort((1 - np.linalg.eigvals(matrix).real) / attention.bandwidth)[:6]
    # The general eigenvalue solver is the less accurate of the two: about 1e-14 / eps.
    np.testing.assert_allclose(spectrum.eigenvalues, expected, rtol=0, atol=1e-11)
    u = spectrum.eigenfunctions(points)
    np.testing.assert_allclose(matrix @ u, u * (1 - attention.bandwidth * spectrum.eigenvalues), rtol=0, atol=1e-12)
    np.testing.assert_allclose(life.stationary() @ u**2, 1, rtol=1e-11)
    np.testing.assert_allclose(u[:, 0], 1, rtol=1e-11)


def test_eigenfunctions_of_tokens_that_leave_themselves_out_have_no_extension():
    attention, points = CASES["torus"]
    spectrum = af.EmpiricalAttention(attention, points, include_self=False).spectrum(3)
    with pytest.raises(ConfigError, match="own points"):
        spectrum.eigenfunctions(points[:9])


def one_sided(x, y):
    """Symmetric but for the costs of a single point to all others."""
    return jnp.sum((x - y) ** 2) + jnp.where((x[0] == 30.0) & (y[0] != 30.0), 1.0, 0.0)


@pytest.mark.parametrize("odd", [0, 17, 499])
def test_one_asymmetric_row_of_five_hundred_is_seen(odd):
    points = np.random.default_rng(0).normal(size=(500, 2))
    points[odd] = [30.0, 0.0]
    life = af.EmpiricalAttention(af.Attention(af.CustomPseudoMetric(one_sided), 0.3), points)
    for ask in (lambda: life.spectrum(3), life.stationary):
        with pytest.raises(ConfigError, match=r"symmetric cost.*there and .* back"):
            ask()


def test_points_without_mass_do_not_enter_the_spectrum():
    attention, points = CASES["torus"]
    weights = np.ones(len(points))
    weights[::3] = 0
    weighted = af.EmpiricalAttention(attention, af.DiscreteMeasure(points, weights=weights)).spectrum(4)
    alone = af.EmpiricalAttention(attention, points[weights > 0]).spectrum(4)
    np.testing.assert_allclose(weighted.eigenvalues, alone.eigenvalues, rtol=0, atol=1e-11)
    np.testing.assert_allclose(
        np.abs(weighted.eigenfunctions(points[:9])), np.abs(alone.eigenfunctions(points[:9])), rtol=0, atol=1e-9
    )


def test_an_asymmetric_cost_has_no_real_spectrum():
    life = af.EmpiricalAttention(*CASES["cloud, asymmetric"])
    with pytest.raises(ConfigError, match="symmetric cost"):
        life.spectrum(2)
    with pytest.raises(ConfigError, match="symmetric cost"):
        life.stationary()


def test_a_spectrum_of_too_many_eigenvectors_names_its_memory():
    with pytest.raises(ResourceError, match="GB"):
        af.EmpiricalAttention(ATTENTION, np.random.default_rng(0).random((5000, 2))).spectrum(3000)


def test_more_eigenvalues_than_points_are_refused():
    with pytest.raises(ConfigError, match="at most the number of points"):
        af.EmpiricalAttention(ATTENTION, CLOUD[:5]).spectrum(6)


# mu_2 / (m mu_0) with mu_j = int |z|^j h(|z|^2) dz in dimension m = 1; the Gaussian exp(-s/2) has 1.
PROFILES = {
    "exp(-s)": (lambda s: -s, 1 / 2),
    "exp(-sqrt s)": (lambda s: -jnp.sqrt(s), 2.0),
    "Epanechnikov": (lambda s: jnp.log(jnp.maximum(1 - s, 0.0)), 1 / 5),
    "Student": (lambda s: -4.5 * jnp.log1p(s / 8), 8 / 6),
}


@pytest.mark.parametrize("name", PROFILES)
def test_another_profile_changes_time_by_its_second_moment(name):
    log_profile, factor = PROFILES[name]
    eps, angles = 0.005, 2 * np.pi * np.arange(4096) / 4096
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cost = af.CustomPseudoMetric(lambda x, y: -2 * eps * log_profile(((x - y) ** 2).sum() / eps))
    generator = af.EmpiricalAttention(af.Attention(cost, bandwidth=eps), circle).generator(lambda x: x[0])
    # L cos = -cos / 2 for the Gaussian. The next term of the expansion, of order eps, is below a percent of it here.
    assert generator @ circle[:, 0] / (circle[:, 0] @ circle[:, 0]) == pytest.approx(-factor / 2, rel=0.01)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_the_unit_of_mass_changes_nothing(scale):
    points, masses = CLOUD, RNG.uniform(0.5, 2.0, len(CLOUD))
    values = RNG.standard_normal(len(CLOUD))
    one, other = (
        af.EmpiricalAttention(ATTENTION, af.DiscreteMeasure(points, masses * by), method="dense") for by in (1.0, scale)
    )
    # Sums of about a hundred terms, and logarithms up to 700 rounded at 1e-13.
    np.testing.assert_allclose(other.layer(values), one.layer(values), rtol=0, atol=1e-12)
    np.testing.assert_allclose(other.log_normalizer() - np.log(scale), one.log_normalizer(), rtol=0, atol=1e-11)
    np.testing.assert_allclose(other.effective_sample_size(), one.effective_sample_size(), rtol=1e-11)
    np.testing.assert_allclose(other.spectrum(5).eigenvalues, one.spectrum(5).eigenvalues, rtol=0, atol=1e-10)
