"""Direct sums agree with forty digits and closed forms; constants and the Laplace formula with brute force."""

from __future__ import annotations

from itertools import permutations

import mpmath as mp
import numpy as np
import pytest
from scipy import special

from witnesses import bessel, constants, direct, laplace, quadrature, torus_semigroup
from witnesses.trigonometric import trigonometric

THETA = np.linspace(0.1, 6.2, 37)  # no symmetry about 0 or pi
LOG_DENSITY = trigonometric(cosines={1: 0.7}, sines={2: 0.3})
F = trigonometric(sines={1: 1.0}, cosines={3: 0.5})
TORUS_LOG_DENSITY = trigonometric(cosines={(1, 0): 0.5}, sines={(1, 1): 0.3})


# --- sums over points


def test_the_direct_sum_agrees_with_forty_digits_for_logits_of_ten_thousand() -> None:
    rng = np.random.default_rng(7)
    keys = np.vstack([rng.normal(size=(30, 3)), np.full((1, 3), 8.0), np.full((3, 3), 0.25)])  # outlier, duplicates
    queries = np.vstack([rng.normal(size=(4, 3)), keys[30:32]])
    values = rng.normal(size=len(keys))
    for bandwidth, rtol in ((0.5, 1e-13), (0.01, 1e-11)):  # a logit of 1e4 carries 1e-12 of rounding
        logits = direct.distance_logits(queries, keys, bandwidth=bandwidth)
        layer, normaliser, size = direct.precise_attention(queries, keys, values, bandwidth=bandwidth)
        np.testing.assert_allclose(direct.layer(logits, values), layer, rtol=rtol, atol=rtol)
        np.testing.assert_allclose(direct.log_normalizer(logits), normaliser, rtol=1e-14, atol=1e-13)
        np.testing.assert_allclose(direct.effective_sample_size(logits), size, rtol=rtol)
    assert logits.min() < -9e3
    product = direct.product_logits(queries, keys, bandwidth=0.01)
    assert product.max() > 1e4
    layer, normaliser, _ = direct.precise_attention(queries, keys, values, bandwidth=0.01, cost="product")
    np.testing.assert_allclose(direct.layer(product, values), layer, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(direct.log_normalizer(product), normaliser, rtol=1e-14)


def test_leaving_oneself_out_obeys_the_exact_identity() -> None:
    rng = np.random.default_rng(8)
    points, values = rng.normal(size=(25, 2)), rng.normal(size=25)
    logits = direct.distance_logits(points, points, bandwidth=0.2)
    own = np.diag(direct.softmax(logits))
    without = direct.layer(direct.without_self(logits), values)
    np.testing.assert_allclose(
        direct.layer(logits, values) - values, (1 - own) * (without - values), rtol=0, atol=1e-14
    )


def test_masses_are_duplicates() -> None:
    rng = np.random.default_rng(9)
    keys, values, queries = rng.normal(size=(12, 2)), rng.normal(size=(12, 3)), rng.normal(size=(4, 2))
    copies = rng.integers(1, 4, size=12)
    repeated = direct.distance_logits(queries, np.repeat(keys, copies, axis=0), bandwidth=0.3)
    logits = direct.distance_logits(queries, keys, bandwidth=0.3)
    expected = direct.layer(repeated, np.repeat(values, copies, axis=0))
    np.testing.assert_allclose(direct.layer(logits, values, weights=copies), expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        direct.log_normalizer(logits, weights=copies), direct.log_normalizer(repeated), rtol=1e-14
    )


def test_effective_sample_size_counts_equal_keys() -> None:
    np.testing.assert_allclose(direct.effective_sample_size(np.zeros((2, 9))), 9, rtol=1e-15)


def test_the_population_layer_on_the_uniform_circle_is_the_bessel_ratio() -> None:
    flat, f = trigonometric(cosines={1: 0.0}), trigonometric(cosines={3: 1.0})
    deep = direct.circle_population(THETA, bandwidth=0.05, log_density=flat, f=f, layers=4, nodes=160)
    np.testing.assert_allclose(
        deep, bessel.circle_symbol(3, bandwidth=0.05) ** 4 * np.cos(3 * THETA), rtol=0, atol=1e-14
    )


def test_the_limiting_variance_has_its_bessel_form_on_the_uniform_circle() -> None:
    n, eps = 2, 0.1
    points, weights = quadrature.torus_rule(160)
    angles, _ = quadrature.torus_angles(160, m=1)
    logits = direct.distance_logits(np.array([[1.0, 0.0]]), points, bandwidth=eps)
    values, masses = np.cos(n * angles[:, 0]), weights / (2 * np.pi)
    i0, i1, i2 = (special.ive(k * n, 2 / eps) for k in (0, 1, 2))
    ratio = bessel.circle_symbol(n, bandwidth=eps)
    scale = special.ive(0, 1 / eps) ** 2
    variance = ((i0 + i2) / 2 - 2 * ratio * i1 + ratio**2 * i0) / scale
    np.testing.assert_allclose(direct.clt_variance(logits, values, weights=masses), variance, rtol=1e-11)
    shift = -(i1 - ratio * i0) / scale
    np.testing.assert_allclose(direct.clt_mean_shift(logits, values, weights=masses), shift, rtol=1e-11)
    np.testing.assert_allclose(direct.sample_size_fraction(logits, weights=masses), scale / i0, rtol=1e-13)


@pytest.mark.parametrize("m", [1, 2])
def test_the_noise_constant_is_the_limit_of_the_exact_variance(m: int) -> None:
    ratios, sizes = [], []
    for eps in (0.02, 0.01, 0.005):
        points, rule = quadrature.torus_rule(400 if m == 1 else 128, m=m)
        angles, _ = quadrature.torus_angles(400 if m == 1 else 128, m=m)
        log_density = LOG_DENSITY if m == 1 else TORUS_LOG_DENSITY
        p = np.exp(log_density(angles)) / torus_semigroup.normalizer(log_density)
        x = np.full((1, m), 1.0)
        p_x = np.exp(log_density(x)) / torus_semigroup.normalizer(log_density)
        logits = direct.distance_logits(quadrature.embed_torus(x), points, bandwidth=eps)
        variance = direct.clt_variance(logits, np.sin(angles[:, 0]), weights=rule * p)
        predicted = constants.noise_constant(np.cos(1.0), p_x, m=m, n=1, bandwidth=eps)
        ratios.append((np.sqrt(variance) / eps / predicted)[0])
        size = direct.sample_size_fraction(logits, weights=rule * p)
        sizes.append((size / constants.sample_size(p_x, m=m, n=1, bandwidth=eps))[0])
    for values in (ratios, sizes):
        # an O(eps) correction: one extrapolation step leaves O(eps^2)
        assert 2 * values[2] - values[1] == pytest.approx(1, abs=5e-3)
        assert (values[0] - 1) / (values[1] - 1) == pytest.approx(2, rel=0.15)


# --- constants and the Laplace expansion


def test_neighbours_and_sample_size_differ_by_the_width_of_the_squared_kernel() -> None:
    for m in (1, 2, 3):
        nb = constants.neighbours(0.2, m=m, n=1000, bandwidth=0.01)
        assert nb == pytest.approx(200 * (2 * np.pi * 0.01) ** (m / 2))
        assert constants.sample_size(0.2, m=m, n=1000, bandwidth=0.01) == pytest.approx(2 ** (m / 2) * nb)


def test_the_control_gaps_are_the_published_ones() -> None:
    cosine = trigonometric(cosines={1: 0.7})
    # f = sin t: sup .35 |sin t cos t| = .175; f = sin 2t + .5 cos t: .35 |sin t (2 cos 2t - .5 sin t)| = .875 at pi/2
    exact = [
        (trigonometric(sines={1: 1.0}), 0.175),
        (trigonometric(sines={2: 1.0}, cosines={1: 0.5}), 0.875),
    ]
    for f, gap in exact:
        assert constants.control_gap(log_density=cosine, f=f) == pytest.approx(gap, abs=1e-14)
    dense = 2 * np.pi * np.arange(200_000) / 200_000
    expected = np.max(abs(0.35 * np.sin(dense) * (np.cos(dense) - 1.5 * np.sin(3 * dense))))
    assert constants.control_gap(log_density=cosine, f=F) == pytest.approx(expected, abs=1e-8)
    assert expected == pytest.approx(0.537, abs=5e-4)


LAPLACE = {
    "metric": np.array([[1.7 / 2]]),
    "third": np.array([[[0.8 / 2]]]),
    "log_density_gradient": np.array([0.4]),
    "gradient": np.array([1.3 * np.cos(0.4)]),
    "hessian": np.array([[-1.69 * np.sin(0.4)]]),
}


def test_the_laplace_formula_agrees_with_brute_force_and_the_printed_one_does_not() -> None:
    truth, printed = laplace.laplace_generator(**LAPLACE), laplace.printed_generator(**LAPLACE)
    assert truth == pytest.approx(-0.15511, abs=5e-6)  # both as stated with the claim, five decimals
    assert printed == pytest.approx(-0.26659, abs=5e-6)
    coarse, fine = (
        laplace.brute_force_generator(
            cost=lambda v: 1.7 * v**2 / 2 + 0.8 * v**3 / 6 + 1.1 * v**4 / 24,
            density=lambda v: mp.exp(0.4 * v),
            f=lambda v: mp.sin(1.3 * v + 0.4),
            bandwidth=eps,
        )
        for eps in (2e-4, 1e-4)
    )
    assert 2 * fine - coarse == pytest.approx(truth, abs=1e-6)  # eps^2 is 4e-8
    assert abs(printed - fine) > 0.1


def test_the_laplace_formula_does_not_depend_on_the_chart() -> None:
    rng = np.random.default_rng(11)
    root = rng.normal(size=(2, 2)) + 2 * np.eye(2)
    metric, raw = root @ root.T, rng.normal(size=(2, 2, 2))
    third = np.sum([np.transpose(raw, axes) for axes in permutations(range(3))], axis=0)
    hessian, pull, slope = rng.normal(size=(2, 2)), rng.normal(size=2), rng.normal(size=2)
    hessian = hessian + hessian.T
    straight = laplace.laplace_generator(
        metric=metric, third=third, log_density_gradient=pull, gradient=slope, hessian=hessian
    )
    # y = y* + J v + B(v, v)/2 : a curved chart changes every argument by the chain rule, and log p^ by log det
    J, B = rng.normal(size=(2, 2)) + 2 * np.eye(2), rng.normal(size=(2, 2, 2))
    B = B + np.transpose(B, (0, 2, 1))
    curved_third = np.einsum("abc,ai,bj,ck->ijk", third, J, J, J)
    mixed = np.einsum("ab,aij,bk->ijk", metric, B, J)
    curved_third = curved_third + mixed + np.transpose(mixed, (0, 2, 1)) + np.transpose(mixed, (2, 0, 1))
    curved = laplace.laplace_generator(
        metric=J.T @ metric @ J,
        third=curved_third,
        log_density_gradient=J.T @ pull + np.einsum("ia,aij->j", np.linalg.inv(J), B),
        gradient=J.T @ slope,
        hessian=J.T @ hessian @ J + np.einsum("a,aij->ij", slope, B),
    )
    assert curved == pytest.approx(straight, rel=1e-10)
