"""The three lives of an attention answer alike: one way of calling, one shape of answers, one kind of refusal."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af

ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
DENSITY = af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.7)
LIVES = {
    "particles": lambda: af.EmpiricalAttention(ATTENTION, DENSITY.sample(200, key=jax.random.key(0))),
    "population": lambda: af.PopulationAttention(ATTENTION, DENSITY),
    "continuum": lambda: af.DriftDiffusion(ATTENTION, DENSITY),
}
AT = np.array([[0.6, 0.8], [-1.0, 0.0], [0.0, -1.0]])
COMPONENTS = {"scalar": (lambda x: x[0] * x[1], ()), "vector": (lambda x: jnp.stack([x[0], x[0] * x[1]]), (2,))}


@pytest.fixture(params=LIVES)
def life(request):
    return LIVES[request.param]()


@pytest.mark.parametrize("method", ["layer", "generator", "evolve"])
def test_arguments_have_the_same_names_and_order(method):
    parameters = [
        [p.name for p in inspect.signature(getattr(make(), method)).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        for make in LIVES.values()  # what is for one life alone, a checkpoint, is named
    ]
    assert parameters[0] == parameters[1] == parameters[2]


@pytest.mark.parametrize(("f", "shape"), COMPONENTS.values(), ids=COMPONENTS)
def test_positional_and_named_arguments_give_answers_of_one_shape(life, f, shape):
    for method in (life.layer, life.generator):
        assert method(f, AT).shape == (3, *shape)
        np.testing.assert_array_equal(method(f, AT), method(f, at=AT))
    assert life.evolve(f, 0.2, AT).values.shape == (1, 3, *shape)
    assert life.evolve(f, times=[0.0, 0.2, 0.1], at=AT).values.shape == (3, 3, *shape)


def test_time_zero_alone_gives_the_function_without_a_warning(life):
    # The continuum synthesises f from its basis, to 1e-8; warnings are errors here.
    np.testing.assert_allclose(life.evolve(lambda x: x[1], times=0, at=AT).values[0], AT[:, 1], atol=1e-8)


@pytest.mark.parametrize("times", [-0.1, [], [[0.1]], [0.1, np.nan], "soon"])
def test_impossible_times_are_refused_alike(life, times):
    with pytest.raises(ValueError, match="`times`"):
        life.evolve(lambda x: x[0], times=times, at=AT)


def test_only_particles_have_points_and_values_of_their_own():
    assert LIVES["particles"]().layer(np.ones(200)).shape == (200,)
    for name in ("population", "continuum"):
        life = LIVES[name]()
        for method in (life.layer, life.generator):
            with pytest.raises(af.AttnflowError, match="`at` is required"):
                method(lambda x: x[0])
            with pytest.raises(ValueError, match="`f` must be a function"):
                method(np.ones(3), at=AT)


@pytest.mark.parametrize(
    "make",
    [
        lambda attention: af.EmpiricalAttention(attention, AT),
        lambda attention: af.PopulationAttention(attention, DENSITY),
        lambda attention: af.DriftDiffusion(attention, DENSITY),
        lambda attention: af.LaplaceExpansion(attention, DENSITY),
    ],
)
def test_a_bare_pseudometric_is_no_attention(make):
    with pytest.raises(af.AttnflowError, match="`attention` must be an Attention, got SquaredDistance"):
        make(af.SquaredDistance())


@pytest.mark.parametrize("life_of", [af.PopulationAttention, af.DriftDiffusion, af.LaplaceExpansion])
def test_points_are_no_density(life_of):
    with pytest.raises(af.AttnflowError, match=r"`density` must be .* got ndarray"):
        life_of(ATTENTION, AT)


@pytest.mark.parametrize("dtype", ["float32", np.float32, jnp.float32, np.dtype("float32")])
def test_float32_may_be_asked_for_by_any_of_its_names(dtype):
    points = DENSITY.sample(200, key=jax.random.key(0))
    single = af.EmpiricalAttention(ATTENTION, points, dtype=dtype, rtol=1e-4).layer(points)
    double = af.EmpiricalAttention(ATTENTION, points).layer(points)
    difference = np.abs(single - double).max()
    assert 0 < difference < 1e-4  # within its tolerance, and not float64 in disguise


@pytest.mark.parametrize("key", [0, None, "seed"])
def test_a_seed_is_no_key(key):
    with pytest.raises(af.AttnflowError, match=r"`key` must be a JAX random key.*jax\.random\.key"):
        DENSITY.sample(3, key=key)


def test_several_keys_are_not_one():
    with pytest.raises(af.AttnflowError, match="`key` must be one random key"):
        DENSITY.sample(3, key=jax.random.split(jax.random.key(0)))
