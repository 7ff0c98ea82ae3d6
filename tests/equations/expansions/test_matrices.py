"""Inverse and volume of symmetric matrices against LU, with their derivatives, also where eigenvalues are equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attnflow.equations.expansions.matrices import inverse, log_volume

FIRST, SECOND = (part + part.T for part in np.random.default_rng(3).standard_normal((2, 3, 3)))


def by_lu(matrix):
    return jnp.linalg.inv(matrix), 0.5 * jnp.linalg.slogdet(matrix)[1]


def through_axes(matrix):
    return inverse(matrix), log_volume(matrix)


@jax.jit
def two_derivatives(matrix):
    """Values, slopes and bends of both at t = 0 along matrix + t FIRST + t^2 SECOND, by LU and through the axes."""

    def taylor(of):
        def along(t):
            return of(matrix + t * FIRST + t**2 * SECOND)

        return along(0.0), jax.jacfwd(along)(0.0), jax.jacfwd(jax.jacfwd(along))(0.0)

    return taylor(by_lu), taylor(through_axes)


@pytest.mark.parametrize(
    "matrix",
    [np.eye(3), np.diag([2.0, 2.0, 0.3]), np.array([[1.0, 0.2, 0.0], [0.2, 1.3, -0.4], [0.0, -0.4, 0.8]])],
    ids=["all equal", "two equal", "generic"],
)
def test_values_and_two_derivatives_are_those_by_lu(matrix):
    expected, found = two_derivatives(matrix)
    for theirs, ours in zip(jax.tree.leaves(expected), jax.tree.leaves(found), strict=True):
        # The largest is a second derivative of the inverse, a few hundred where an eigenvalue is .3: rounding of that.
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * max(1.0, np.abs(theirs).max()))
        assert np.abs(theirs).max() > 0 or np.array_equal(matrix, np.eye(3))  # log 1 = 0
