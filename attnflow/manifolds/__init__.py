"""Manifolds M embedded in R^D, described by local charts around any point."""

from attnflow.manifolds.base import Manifold, Quadrature
from attnflow.manifolds.euclidean import EuclideanSpace
from attnflow.manifolds.sphere import Circle, Sphere
from attnflow.manifolds.torus import FlatTorus

__all__ = ["Circle", "EuclideanSpace", "FlatTorus", "Manifold", "Quadrature", "Sphere"]
