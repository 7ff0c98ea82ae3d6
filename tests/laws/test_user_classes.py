"""Classes of a user, subclasses of what is public: JAX takes them as arguments, and they were never registered."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from user_manifolds import PLANE, CircleOfRadius, TiltedEllipse

import attnflow as af

ANGLES = np.array([0.4, 1.3, 2.0, 3.9, 5.5])
POINTS = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


class Stretched(af.PseudoMetric):
    """s |x - y|^2, with a number that JAX sees."""

    vanishes_on_diagonal = is_symmetric = True

    def __init__(self, scale):
        self.scale = scale

    def __call__(self, x, y):
        return self.scale * jnp.sum((x - y) ** 2)


@dataclasses.dataclass(frozen=True)
class Wave(af.Density):
    """(1 + a sin t) / 2 pi on the circle: it is normalised whatever the number a is."""

    amplitude: float
    manifold: af.Manifold = dataclasses.field(default_factory=af.Circle)

    def log_density(self, x):
        return jnp.log1p(self.amplitude * x[1]) - jnp.log(2 * jnp.pi)


class Leaning(af.Normalization):
    """Keys weighed by e^(a y_1)."""

    def __init__(self, strength):
        self.strength = strength

    def log_key_weights(self, keys):
        return keys.evaluate(lambda y: self.strength * y[0])


def softmax(*, scale=1.0, strength=0.0, bandwidth=0.3):
    logits = -scale * np.sum((POINTS[:, None] - POINTS[None]) ** 2, axis=-1) / (2 * bandwidth) + strength * POINTS[:, 0]
    weights = np.exp(logits)
    return weights / weights.sum(axis=1, keepdims=True)


def average(cost, normalization):
    """The first token's average of the second coordinate."""
    attention = af.Attention(cost, bandwidth=0.3, normalization=normalization)
    return af.EmpiricalAttention(attention, POINTS, method="dense").layer(POINTS[:, 1])[0]


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "compiled"])
def test_costs_and_normalizations_are_arguments_that_jax_differentiates(wrap):
    ask = wrap(jax.value_and_grad(average, argnums=(0, 1)))
    value, (by_cost, by_normalization) = ask(Stretched(1.5), Leaning(0.7))
    assert isinstance(by_cost, Stretched)
    assert isinstance(by_normalization, Leaning)
    exact = softmax(scale=1.5, strength=0.7) @ POINTS[:, 1]
    assert value == pytest.approx(exact[0], abs=1e-12)
    # Central differences of the sum by hand, of order h^2 = 1e-8 times third derivatives of order one.
    h = 1e-4
    steps = [softmax(scale=1.5 + s * h, strength=0.7) @ POINTS[:, 1] for s in (1, -1)]
    assert by_cost.scale == pytest.approx((steps[0] - steps[1])[0] / (2 * h), abs=1e-6)
    steps = [softmax(scale=1.5, strength=0.7 + s * h) @ POINTS[:, 1] for s in (1, -1)]
    assert by_normalization.strength == pytest.approx((steps[0] - steps[1])[0] / (2 * h), abs=1e-6)
    assert abs(by_cost.scale) > 1e-3
    assert abs(by_normalization.strength) > 1e-3


def test_a_density_is_an_argument_that_jax_differentiates_and_batches():
    def log_p(density, x):
        return density.log_density(x)

    gradient = jax.jit(jax.grad(log_p))(Wave(0.5), POINTS[0])
    assert gradient.amplitude == pytest.approx(POINTS[0, 1] / (1 + 0.5 * POINTS[0, 1]), rel=1e-12)
    several = jax.vmap(lambda a: log_p(Wave(a), jnp.asarray(POINTS[0])))(jnp.array([0.1, 0.5]))
    np.testing.assert_allclose(several, np.log1p(np.array([0.1, 0.5]) * POINTS[0, 1]) - np.log(2 * np.pi), rtol=1e-12)


MANIFOLDS = {
    "an object": lambda: CircleOfRadius(2.0),
    "a dataclass with an array": lambda: TiltedEllipse(1.5, 0.8, PLANE),
    "ours": lambda: af.Sphere(2),
}


@pytest.mark.parametrize("name", MANIFOLDS)
def test_a_manifold_is_an_argument_of_what_jax_compiles_and_stays_the_same_object(name):
    manifold, seen = MANIFOLDS[name](), []

    @jax.jit
    def nearest(where, y):
        seen.append(where)
        return where.retract(y)

    y = np.linspace(0.5, 1.1, manifold.ambient_dim)
    by_argument = nearest(manifold, y)
    nearest(manifold, y)
    assert seen == [manifold]  # compiled once, and never taken apart
    np.testing.assert_allclose(by_argument, manifold.retract(jnp.asarray(y)), rtol=1e-14)
    assert jax.tree.leaves(manifold) == []
    assert jax.tree.unflatten(jax.tree.structure(manifold), []) is manifold


def test_of_two_manifolds_each_has_its_own_program():
    nearest = jax.jit(lambda where, y: where.retract(y))
    small, large = (nearest(CircleOfRadius(r), np.array([3.0, 4.0])) for r in (1.0, 2.0))
    np.testing.assert_allclose(large, 2 * small, rtol=1e-14)


def test_a_class_that_registered_itself_is_left_alone():
    @jax.tree_util.register_pytree_node_class
    class Ring(CircleOfRadius):
        def tree_flatten(self):
            return [self.radius], None

        @classmethod
        def tree_unflatten(cls, _, children):
            made = object.__new__(cls)
            made.radius = children[0]
            return made

    gradient = jax.grad(lambda ring, y: ring.retract(y)[0])(Ring(2.0), np.array([3.0, 4.0]))
    assert gradient.radius == pytest.approx(0.6, rel=1e-14)
