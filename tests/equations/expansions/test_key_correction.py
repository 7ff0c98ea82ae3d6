"""The term of order eps in a log total: against a quadrature in the plane, with a metric that has no symmetry."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnflow.equations.expansions.key_correction import _log_average

METRIC = np.array([[1.3, 0.4], [0.4, 0.8]])


def cost(u):
    cubic = 0.3 * u[0] ** 3 - 0.2 * u[0] ** 2 * u[1] + 0.15 * u[0] * u[1] ** 2 + 0.1 * u[1] ** 3
    quartic = 0.2 * u[0] ** 4 + 0.1 * u[0] ** 3 * u[1] - 0.05 * u[0] ** 2 * u[1] ** 2 + 0.15 * u[1] ** 4
    return (
        0.5 * (METRIC[0, 0] * u[0] ** 2 + 2 * METRIC[0, 1] * u[0] * u[1] + METRIC[1, 1] * u[1] ** 2) + cubic + quartic
    )


def log_weight(u):
    return 0.7 * u[0] - 0.4 * u[1] + 0.3 * u[0] * u[1] - 0.2 * u[0] ** 2


def by_quadrature(eps):
    """(log int e^{-S/eps} w du - its leading term)/eps, by the trapezoidal rule: no derivative is taken."""
    line = np.linspace(-10, 10, 401) * np.sqrt(eps)
    u = np.meshgrid(line, line, indexing="ij")
    total = np.exp(-cost(u) / eps + log_weight(u)).sum() * (line[1] - line[0]) ** 2
    return (np.log(total) - np.log(2 * np.pi * eps) + 0.5 * np.log(np.linalg.det(METRIC))) / eps


@pytest.mark.parametrize("without", [None, "cost", "weight"])
def test_the_log_of_a_total_is_that_of_a_quadrature(without):
    parts = {"cost": cost, "weight": log_weight}
    if without:  # planted: only the metric of the cost, or weights that do not vary
        parts[without] = {
            "cost": lambda u: 0.5 * u @ jnp.asarray(METRIC) @ u,
            "weight": lambda u: 0.0 * u[0],
        }[without]
    found = jax.jit(lambda u: _log_average(parts["cost"], parts["weight"], u))(jnp.zeros(2))
    coarse, middle, fine = (by_quadrature(eps) for eps in (8e-4, 4e-4, 2e-4))
    exact = (8 * fine - 6 * middle + coarse) / 3  # freed of terms of order eps and eps^2
    assert (abs(found - exact) < 1e-6) == (without is None), (found, exact)
