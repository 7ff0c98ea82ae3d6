"""One list of every kind; the laws in laws/ run over it. A new kind is one line here."""

import functools

import jax.numpy as jnp
import numpy as np
from embeddings import AXES, knot, pear
from surfaces import lopsided as lopsided_surface
from user_manifolds import USER_MANIFOLDS

import attnflow as af

CIRCLE, TORUS, SPHERE = af.Circle(), af.FlatTorus(2), af.Sphere(2)
RNG = np.random.default_rng(11)
CLOUD = np.vstack([RNG.gamma(2.0, size=(120, 3)), np.full((2, 3), 0.5), [[25.0, -3.0, 9.0]]])  # duplicates, an outlier

MANIFOLDS = {
    "circle": CIRCLE,
    "sphere": SPHERE,
    "three-sphere": af.Sphere(3),
    "torus of one angle": af.FlatTorus(1),
    "torus": TORUS,
    "torus of three angles": af.FlatTorus(3),
    "plane": af.EuclideanSpace(2),
    "interval": af.Interval(-1.0, 2.5),
    "closed curve": af.ClosedCurve(knot),
    "torus of revolution": af.TorusOfRevolution(1.0, 0.4),
    "ellipsoid": af.Ellipsoid(AXES),
    "star-shaped surface": af.StarSurface(pear),
    "cylinder": af.Product(CIRCLE, af.Interval(0.0, 2.0)),
    "triangulated surface": lopsided_surface(),
    **{f"a user's {name}": manifold for name, manifold in USER_MANIFOLDS.items()},
}


def lopsided(x):
    """A log-weight without a symmetry that would make a conserved quantity zero."""
    return 0.7 * x[0] - 0.4 * x[1] + 0.3 * x[0] * x[1]


# Made when they are first asked for: a density is normalised by quadrature.
DENSITIES = {
    "uniform on the sphere": lambda: af.Uniform(SPHERE),
    "uniform on the torus": lambda: af.Uniform(TORUS),
    "von Mises": lambda: af.VonMisesFisher(CIRCLE, mean_direction=[1, 2], concentration=0.8),
    "von Mises-Fisher": lambda: af.VonMisesFisher(SPHERE, mean_direction=[1, 2, -1], concentration=1.5),
    "von Mises-Fisher on the three-sphere": lambda: af.VonMisesFisher(
        MANIFOLDS["three-sphere"], mean_direction=[1, 2, -1, 0], concentration=0.5
    ),
    "circle": lambda: af.LogDensity(CIRCLE, lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1]),
    "torus": lambda: af.LogDensity(TORUS, lopsided),
    "sphere": lambda: af.LogDensity(SPHERE, lopsided),
    "three-sphere": lambda: af.LogDensity(MANIFOLDS["three-sphere"], lopsided),
    "line": lambda: af.Gaussian(mean=[0.3], covariance=[[1.4]]),
    "plane": lambda: af.Gaussian(mean=[0.3, -1.0], covariance=[[1.0, 0.3], [0.3, 0.5]]),
    "interval": lambda: af.LogDensity(MANIFOLDS["interval"], lambda x: 0.7 * x[0] - 0.4 * x[0] ** 3),
    "closed curve": lambda: af.LogDensity(MANIFOLDS["closed curve"], lambda x: 0.3 * lopsided(x)),
    "torus of revolution": lambda: af.LogDensity(MANIFOLDS["torus of revolution"], lopsided),
    "uniform on an ellipsoid": lambda: af.Uniform(MANIFOLDS["ellipsoid"]),
    "star-shaped surface": lambda: af.LogDensity(MANIFOLDS["star-shaped surface"], lopsided),
    "cylinder": lambda: af.LogDensity(MANIFOLDS["cylinder"], lambda x: lopsided(x) + 0.5 * x[1] * x[2]),
    "mixture": lambda: af.Mixture([density("von Mises"), density("circle")], weights=[1, 3]),
    "mixture on the line": lambda: af.Mixture([density("line"), af.Gaussian([3.0], [[0.4]])], weights=[2, 1]),
    "a user's circle": lambda: af.LogDensity(USER_MANIFOLDS["circle"], lambda x: 0.5 * lopsided(x)),
}


@functools.cache
def density(name):
    """Return the density of that name."""
    return DENSITIES[name]()


class Weighted(af.PseudoMetric):
    """A cost as a user writes one: no registration, an array for a parameter."""

    vanishes_on_diagonal = is_symmetric = True

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, x, y):
        return jnp.sum((self.matrix @ (x - y)) ** 2)


MATRIX = np.array([[1.0, 0.2, 0.1], [0.0, 0.8, 0.3]])
# Costs by name, with whether they are symmetric; all take points of three coordinates.
COSTS = {
    "squared distance": (af.SquaredDistance(), True),
    "dot product": (af.DotProduct(), True),
    "weighted": (Weighted(np.array([[1.0, 0.2, 0.0], [0.0, 0.8, 0.1], [0.3, 0.0, 1.1]])), True),
    "asymmetric": (af.CustomPseudoMetric(lambda x, y: jnp.sum((x - 1.2 * y) ** 2) + 0.3 * y[0]), False),
    "queries and keys": (af.QueryKey(MATRIX, MATRIX[::-1]), False),
    "distance of queries and keys": (af.QueryKeyDistance(MATRIX, 1.1 * MATRIX), False),
    "linear map": (af.Mahalanobis(MATRIX), True),
    "graph": (af.GraphAttention(MATRIX, np.array([0.5, -1.0])), True),
    "map": (af.LearnedMap(lambda x: jnp.stack([x[0], x[1] + 0.2 * jnp.sin(x[0]), 2 * x[2]])), True),
    "local units": (af.VariableBandwidth(lambda x: 1 + 0.1 * x[0] ** 2), True),
    "units of neighbours": (af.SelfTuned.of_neighbours(CLOUD, k=5), True),
    "divergence": (af.Bregman(lambda x: jnp.sum(x**2) + jnp.logaddexp(x[0], x[1])), False),
    "kernel times norm": (af.KernelTimesNorm(2.5, coefficient=0.01), False),
    "sum": (0.5 * af.SquaredDistance() + af.Mahalanobis(MATRIX) / 3, True),
}


# Profiles by name that give all pairs some weight, and masks that leave every point a key besides itself.
PROFILES = {"root": "root", "student": af.StudentT(3.0, dim=2)}
MASKS = {
    "window": af.Window(9),
    "graph": af.Adjacency(np.abs(np.subtract.outer(np.arange(len(CLOUD)), np.arange(len(CLOUD)))) % 7 < 3),
}


class Tilted(af.Normalization):
    """A normalisation as a user writes one: a power of the kernel density and a preference."""

    def __init__(self, strength):
        self.strength = strength

    def log_key_weights(self, keys):
        return -0.5 * keys.log_total(0.0) + keys.evaluate(lambda y: self.strength * y[0])


class Twice(af.Normalization):
    """Weights by the totals of weighed keys: u_1 = -log total(0) / 2, u_2 = (u_1 - log total(u_1)) / 2."""

    def log_key_weights(self, keys):
        first = -0.5 * keys.log_total(0.0)
        return 0.5 * (first - keys.log_total(first))


# Normalisations by name, with the density that the limit must see: (log p, y) -> its logarithm, derived by hand.
NORMALIZATIONS = {
    "softmax": ("softmax", lambda log_p, y: log_p),
    "alpha 0.7": (af.AlphaNormalization(0.7), lambda log_p, y: 0.3 * log_p),
    "alpha 1": (af.AlphaNormalization(1.0), lambda log_p, y: 0.0 * log_p),
    "key weights": (af.KeyWeights(lambda y: 0.4 * y[-1]), lambda log_p, y: log_p + 0.4 * y[-1]),
    "sinkhorn": ("sinkhorn", lambda log_p, y: 0.5 * log_p),
    "a user's": (Tilted(0.6), lambda log_p, y: 0.5 * log_p + 0.6 * y[0]),
    "a user's, twice": (Twice(), lambda log_p, y: 0.5 * log_p),
}

# Integrators of tokens by name, with steps of an eighth where they have one length.
INTEGRATORS = {
    "adaptive": af.Adaptive(rtol=1e-9),
    "layer": af.Layer(0.125),
    "midpoint": af.Midpoint(0.125),
    "post-norm": af.LayerNormStep(0.125),
    "pre-norm": af.PreNormStep(0.125),
}
