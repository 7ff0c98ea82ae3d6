"""What contradicts itself in a manifold is told before anything is computed on it."""

import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from instances import MANIFOLDS
from user_manifolds import PLANE, CircleOfRadius, TiltedEllipse

import attnflow as af
from attnflow._tracing import Fixed
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.checks import check_manifold, examine


def log_weight(x):
    return 0.4 * x[0]


@pytest.mark.parametrize("name", MANIFOLDS)
def test_good_manifolds_pass(name):
    examine(Fixed(MANIFOLDS[name]), with_maps=True)
    assert check_manifold(MANIFOLDS[name]) is MANIFOLDS[name]


# What a user gets wrong, each on an otherwise good manifold.


class UnitWeights(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points, weights / self.radius)


class FixedRule(CircleOfRadius):
    def quadrature(self, degree):
        return super().quadrature(50)


class WrongSize(CircleOfRadius):
    def quadrature_size(self, degree):
        return degree


class NodesAside(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points / self.radius, weights)


class FlatNodes(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points[:, :1], weights)


class PairOfArrays(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return points, weights


class UnitRetraction(CircleOfRadius):
    def retract(self, y):
        return y / jnp.linalg.norm(y)


class NoRetraction(CircleOfRadius):
    def retract(self, y):
        return y


class MissingRetraction(CircleOfRadius):
    def retract(self, y):
        return super().retract(y) * (1 + (jnp.linalg.norm(y) - self.radius) ** 2)


class NumPyRetraction(CircleOfRadius):
    def retract(self, y):
        return self.radius * np.array(y) / np.linalg.norm(np.array(y))


class ScalarRetraction(CircleOfRadius):
    def retract(self, y):
        return jnp.linalg.norm(y)


class ByAngle(CircleOfRadius):
    def along(self, lengths):
        return super().along(self.radius * lengths)


class HalfWay(CircleOfRadius):
    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points, weights / 2)

    def __init__(self, radius):
        super().__init__(radius)
        self.volume = np.pi * radius


class AlongAside(CircleOfRadius):
    def along(self, lengths):
        return super().along(lengths) + 0.1

    def quadrature(self, degree):
        points, weights = super().quadrature(degree)
        return af.DiscreteMeasure(points - 0.1, weights)


class LongFrame(CircleOfRadius):
    def tangent_frame(self, x):
        return jnp.stack([-x[1], x[0]])[:, None]


class FlatFrame(CircleOfRadius):
    def tangent_frame(self, x):
        return jnp.stack([-x[1], x[0]]) / self.radius


class NormalFrame(CircleOfRadius):
    def tangent_frame(self, x):
        return x[:, None] / self.radius


class WrongResidual(CircleOfRadius):
    def residual(self, points):
        return np.abs(np.linalg.norm(points, axis=1) - 1)


class Negative(TiltedEllipse):
    volume = -1.0


class Endless(TiltedEllipse):
    volume = math.inf


class Whether(CircleOfRadius):
    is_compact = None


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (UnitWeights, r"weights of `quadrature` of UnitWeights sum to 6\.28.*`volume` is 12\.56.*Correct one"),
        (FixedRule, r"has 51 nodes at degree 6 and 51 at degree 4.*grow"),
        (WrongSize, r"`quadrature_size\(4\)` of WrongSize is 4, but the rule has 5 nodes"),
        (NodesAside, r"`retract` of NodesAside moves a node of its quadrature by .*nodes must be on M"),
        (FlatNodes, r"nodes of `quadrature` of FlatNodes must have shape \(Q, 2\), got \(5, 1\)"),
        (
            PairOfArrays,
            r"`quadrature` of PairOfArrays must return a DiscreteMeasure, got tuple\. Write `return af\.Disc",
        ),
        (UnitRetraction, r"`retract` of UnitRetraction moves a node .* must stay where they are"),
        (NoRetraction, r"`dim` of NoRetraction is 1, but its `retract` maps onto a set of dimension 2"),
        (MissingRetraction, r"`retract` of MissingRetraction misses M by .*every point near M"),
        (NumPyRetraction, r"`retract` must be a function of one point written with jax\.numpy"),
        (ScalarRetraction, r"`retract` of ScalarRetraction must return a point \(2,\), got shape \(\)"),
        (ByAngle, r"`along` of ByAngle must run with speed one, its speed is between 2 and 2\. It takes arc lengths"),
        (HalfWay, r"`along` of HalfWay ends 4 from its start after 6\.28.*`has_boundary`"),
        (AlongAside, r"`along` of AlongAside is off M by"),
        (LongFrame, r"`tangent_frame` of LongFrame is not orthonormal: .* by 3.*leave `tangent_frame` out"),
        (FlatFrame, r"`tangent_frame` of FlatFrame must have shape \(2, 1\), got \(2,\)"),
        (NormalFrame, r"`tangent_frame` of NormalFrame is not tangent"),
        (WrongResidual, r"`residual` of WrongResidual says that a node of its quadrature is off M by 1"),
    ],
)
def test_parts_that_contradict_each_other_are_told(kind, words):
    with pytest.raises(DataError, match=words):
        af.LogDensity(kind(2.0), log_weight)
    with pytest.raises(DataError, match=words):
        af.Uniform(kind(2.0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            functools.partial(TiltedEllipse, dim=2),
            r"(?s)`dim` of .* is 2, but its `retract` maps onto a set of dimension 1",
        ),
        (functools.partial(TiltedEllipse, dim=1.0), r"`manifold\.dim` must be an integer of at least 1, got 1\.0"),
        (
            functools.partial(TiltedEllipse, ambient_dim=2),
            r"(?s)nodes of `quadrature` of .* must have shape \(Q, 2\), got \(5, 3\)",
        ),
        (Negative, r"`manifold\.volume` must be positive and finite, got -1\.0"),
        (Endless, r"`manifold\.volume` must be positive and finite, got inf"),
    ],
    ids=["dim", "no integer", "ambient dim", "negative volume", "infinite volume"],
)
def test_attributes_out_of_range_are_told(make, words):
    with pytest.raises(af.AttnflowError, match=words):
        af.Uniform(make(1.5, 0.8, PLANE))


def test_what_is_left_out_is_named():
    class Bare(af.Manifold):
        dim = 1

        def quadrature(self, degree):
            return None

    with pytest.raises(ConfigError, match="`Bare` lacks `retract`, which every manifold must offer"):
        Bare()

    class Silent(CircleOfRadius):
        def __init__(self):
            self.radius = 2.0

    with pytest.raises(ConfigError, match="Silent does not say its `volume`"):
        af.Uniform(Silent())
    with pytest.raises(ConfigError, match=r"`manifold\.is_compact` must be True or False, got None"):
        af.Uniform(Whether(2.0))
    with pytest.raises(ConfigError, match=r"`manifold` must be a manifold such as .*, got str"):
        check_manifold("circle")
