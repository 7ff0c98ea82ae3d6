"""The largest eigenvalues of a positive matrix by few of its rows are those by all of them."""

import numpy as np
import pytest
import scipy.linalg

from attnflow.sums.operators.factored import largest_of_matrix

ROUNDING = np.finfo(np.float64).eps


def matrix_of(eigenvalues):
    """Return a symmetric matrix of these eigenvalues."""
    n = len(eigenvalues)
    basis = np.linalg.qr(np.random.default_rng(n).standard_normal((n, n)))[0]
    matrix = (basis * eigenvalues) @ basis.T
    return (matrix + matrix.T) / 2


@pytest.mark.parametrize(
    "rates", [0.5 ** np.arange(200.0), np.r_[1.0, 1.0, 1.0, 0.5 ** np.arange(1, 198.0)], np.r_[2.0, np.zeros(199)]]
)
def test_a_positive_matrix_of_low_rank_has_the_eigenvalues_it_was_made_of(rates):
    matrix = matrix_of(rates)
    found = largest_of_matrix(matrix.copy(), k=3, is_positive=True)
    assert found.error <= 200 * ROUNDING / 4  # of what the factor leaves: a part of rounding
    # 200 additions a product, a unit each, in the matrix, the factor and the eigenproblem.
    np.testing.assert_allclose(found.eigenvalues, np.sort(rates)[-3:], rtol=0, atol=200 * ROUNDING)
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(3), rtol=0, atol=200 * ROUNDING)
    np.testing.assert_allclose(matrix @ found.vectors, found.vectors * found.eigenvalues, rtol=0, atol=400 * ROUNDING)


def test_eigenvalues_that_fall_slowly_or_are_negative_are_found_from_the_whole_matrix():
    slow = matrix_of(1 / (1 + np.arange(200.0)))
    signed = matrix_of(0.5 ** np.arange(200.0) * (-1) ** np.arange(200))
    for matrix, is_positive in ((slow, True), (signed, False)):
        found = largest_of_matrix(matrix.copy(), k=4, is_positive=is_positive)
        assert found.error == 0
        np.testing.assert_allclose(found.eigenvalues, scipy.linalg.eigvalsh(matrix)[-4:], rtol=0, atol=200 * ROUNDING)
    # Of a signed matrix a factor would lose what it cannot hold.
    wrong = largest_of_matrix(signed.copy(), k=4, is_positive=True)
    assert np.abs(wrong.eigenvalues - scipy.linalg.eigvalsh(signed)[-4:]).max() > 0.01
