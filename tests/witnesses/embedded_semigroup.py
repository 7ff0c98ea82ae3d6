"""e^{tL} f and its adjoint on closed curves, tori and surfaces over the sphere, given by a map phi of NumPy arrays.

L f = 1/(2 p^2 w) d_i (p^2 w g^{ij} d_j f) with g_ij = d_i phi . d_j phi and w = sqrt det g.  On curves and tori it is
collocated on equispaced angles with dense Fourier differentiation matrices, by which phi is differentiated as well; on
the sphere it is a weighted Galerkin method in harmonics, with the derivative of phi typed in.  L is symmetric in p^2
dvol, so that e^{tL*} r = p^2 e^{tL} (r / p^2).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy.linalg

from .quadrature import sphere_rule, torus_angles
from .sphere_semigroup import harmonics

Function = Callable[[np.ndarray], np.ndarray]  # points (M, D) -> (M,)


class Embedded(NamedTuple):
    """Points (M, D) of the nodes, weights of dvol (M,), log p there and the map u, t -> e^{tL} u of values there."""

    points: np.ndarray
    weights: np.ndarray
    log_p: np.ndarray
    propagate: Callable[[np.ndarray, float], np.ndarray]

    def evolve(self, f: Function, *, time: float) -> np.ndarray:
        """e^{tL} f at the nodes.  [RZ]"""
        return self.propagate(f(self.points), time)

    def adjoint_evolve(self, r0: Function, *, time: float) -> np.ndarray:
        """r_t at the nodes, a density with respect to dvol."""
        squared = np.exp(2 * self.log_p)
        return squared * self.propagate(r0(self.points) / squared, time)


def on_angles(phi: Callable[[np.ndarray], np.ndarray], log_density: Function, *, dim: int, nodes: int) -> Embedded:
    """A curve or a torus: phi maps angles (M, dim) to points (M, D); an odd number of nodes per angle."""
    angles, cells = torus_angles(nodes, m=dim)
    points = phi(angles)
    one = _differentiation(nodes)
    slopes = [np.kron(np.kron(np.eye(nodes**axis), one), np.eye(nodes ** (dim - 1 - axis))) for axis in range(dim)]
    tangents = np.stack([slope @ points for slope in slopes], axis=1)
    metric = np.einsum("qid,qjd->qij", tangents, tangents)
    inverse, volume = np.linalg.inv(metric), np.sqrt(np.linalg.det(metric))
    log_p = log_density(points)
    density = volume * np.exp(2 * (log_p - log_p.max()))
    generator = np.zeros((len(points), len(points)))
    for i in range(dim):
        for j in range(dim):
            generator += slopes[i] @ ((density * inverse[:, i, j])[:, None] * slopes[j])
    generator /= 2 * density[:, None]
    exponential = cache(lambda time: scipy.linalg.expm(time * generator))  # a second or two at 961 nodes
    return Embedded(points, cells * volume, log_p, lambda u, time: exponential(time) @ u)


def _differentiation(nodes: int) -> np.ndarray:
    """The real matrix of d/dt on an odd number of equispaced nodes."""
    offsets = np.arange(nodes)[:, None] - np.arange(nodes)
    waves = np.arange(1, nodes // 2 + 1)
    return -2 / nodes * np.sin(2 * np.pi / nodes * offsets[..., None] * waves) @ waves


def on_sphere(
    phi: Callable[[np.ndarray], np.ndarray], derivative: Callable[[np.ndarray], np.ndarray], log_density: Function,
    *, degree: int,
) -> Embedded:  # fmt: skip
    """A surface over S^2: phi maps (M, 3) to (M, D), its ambient derivative (M, D, 3) counts along S^2 alone."""
    places, cells = sphere_rule(2 * degree, 4 * degree)
    points, basis = phi(places), harmonics(places, degree=degree)
    fields = np.stack([np.cross(axis, places) for axis in np.eye(3)])  # e_a x u: a tight frame of tangent vectors
    turned = [basis @ turn for turn in _rotations(degree)]
    gradients = [sum(field[:, d, None] * turn for field, turn in zip(fields, turned, strict=True)) for d in range(3)]
    frame = np.linalg.svd(np.eye(3) - places[:, :, None] * places[:, None])[0][:, :, :2]
    tangents = derivative(places) @ frame
    metric = np.swapaxes(tangents, 1, 2) @ tangents
    volume = np.sqrt(np.linalg.det(metric))
    log_p = log_density(points)
    masses = cells * volume * np.exp(2 * (log_p - log_p.max()))
    root = np.linalg.cholesky(np.linalg.inv(metric))  # grad u . g^-1 grad v = (root' E' du) . (root' E' dv)
    rooted = frame @ root
    parts = [sum(rooted[:, d, i, None] * gradients[d] for d in range(3)) for i in range(2)]
    stiffness = 0.5 * sum(part.T @ (masses[:, None] * part) for part in parts)
    mass = basis.T @ (masses[:, None] * basis)
    rates, modes = scipy.linalg.eigh(stiffness, mass)

    def propagate(u: np.ndarray, time: float) -> np.ndarray:
        return basis @ (modes @ (np.exp(-time * rates) * (modes.T @ (basis.T @ (masses * u)))))

    return Embedded(points, cells * volume, log_p, propagate)


def _rotations(degree: int) -> list[np.ndarray]:
    """The matrices of the rotations about the three axes in harmonics; two from the third by exchanged axes."""
    orders = [(n, m) for m in range(degree + 1) for n in range(m, degree + 1)]
    about_z = scipy.linalg.block_diag(*([[0.0]] if m == 0 else [[0.0, m], [-m, 0.0]] for _, m in orders))
    places, cells = sphere_rule(degree + 1, 2 * degree + 2)
    own = cells[:, None] * harmonics(places, degree=degree)
    found = []
    for shift in (2, 1):  # u(x, y, z) -> u(y, z, x): what turns about z becomes what turns about another axis
        exchange = own.T @ harmonics(np.roll(places, shift, axis=1), degree=degree)
        found.append(exchange @ about_z @ exchange.T)
    return [*found, about_z]
