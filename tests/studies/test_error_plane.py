"""The predictions drawn over the plane of N and eps are closed forms; the figure draws what the records hold."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest
from witnesses import bessel, direct, quadrature, ratios_of_sums

import attnflow as af

STUDY = runpy.run_path(str(Path(__file__).parents[2] / "studies" / "noise" / "error_plane.py"))


@pytest.mark.parametrize("bandwidth", [0.5, 0.1, 0.02])
def test_the_symbol_of_degree_two_is_a_bessel_ratio(bandwidth):
    assert STUDY["symbol"](bandwidth) == pytest.approx(bessel.sphere_symbol(2, m=2, bandwidth=bandwidth), rel=1e-13)


@pytest.mark.parametrize("bandwidth", [0.4, 0.1])
def test_the_predicted_square_is_bias_and_variance_by_quadrature(bandwidth):
    nodes, weights = quadrature.sphere_rule(40, 80)
    f = STUDY["test_function"](nodes)
    logits = direct.distance_logits(nodes, nodes, bandwidth=bandwidth)
    variance = direct.clt_variance(logits, f, weights=weights / (4 * np.pi))
    mean = direct.layer(logits, f, weights=weights)
    kernel = np.exp(logits - logits.max(axis=1, keepdims=True)) * weights
    rows = kernel / kernel.sum(axis=1, keepdims=True)
    shift = -np.sum(rows**2 * 4 * np.pi / weights * (f - mean[:, None]), axis=1) / 1000  # of the mean of A_N f
    bias = (mean + shift - f) / bandwidth + 3 * f
    square = weights @ (bias**2 + variance / (1000 * bandwidth**2)) / (4 * np.pi)
    assert STUDY["predicted_square"](1000, bandwidth) == pytest.approx(square, rel=1e-10)
    assert weights @ f**2 == pytest.approx(4 * np.pi, rel=1e-12)


@pytest.mark.parametrize("name", ["best", "wider", "narrower"])
def test_extrapolated_the_exact_square_over_the_predicted_one_is_one(name):
    sizes = [250, 500, 1000, 2000]
    bandwidths = [STUDY["SCALES"][name] * float(STUDY["best_bandwidth"](n)) for n in sizes]
    exact = [ratios_of_sums.square_on_the_sphere(n, eps) for n, eps in zip(sizes, bandwidths, strict=True)]
    predicted = [STUDY["predicted_square"](n, eps) for n, eps in zip(sizes, bandwidths, strict=True)]
    fit = af.fit_limit(sizes, np.divide(exact, predicted), correction_power=0.75)
    assert fit.limit == pytest.approx(1, abs=1e-3)  # the docstring's figure


def test_the_best_bandwidth_is_where_the_leading_orders_are_least():
    n = 10**9  # where leading orders are all
    best = STUDY["best_bandwidth"](n)
    at, twice, half = (STUDY["predicted_square"](n, scale * best) for scale in (1, 2, 0.5))
    assert twice / at == pytest.approx(17 / 8, rel=0.02)  # the next order is eps^2 = .004 of the noise
    assert half / at == pytest.approx(17 / 8, rel=0.02)


def test_the_smallest_error_lies_between_the_bandwidths():
    bandwidths = np.geomspace(0.4, 0.02, 9)
    errors = np.exp(3 * np.log(bandwidths / 0.0731) ** 2)
    assert STUDY["smallest"](bandwidths, errors) == pytest.approx(0.0731, rel=1e-8)
    assert STUDY["smallest"](bandwidths, bandwidths) == bandwidths.min()  # a slope ends at the edge


def test_the_figure_shows_both_planes_with_their_best_bandwidths():
    rng = np.random.default_rng(3)
    shapes = {"plane.one_layer": len(STUDY["BANDWIDTHS"]), "plane.many_layers": len(STUDY["LAYERS"])}
    records = [
        ({"points": n}, {name: rng.uniform(0.1, 1, size=(2, count)) for name, count in shapes.items()})
        for n in (250, 500, 500, 1000)  # a case may come in several records
    ]
    axes = STUDY["valleys"](records).axes
    assert [ax.get_title(loc="left") for ax in axes[:2]] == [
        "one layer, $f$ of degree 2 on $S^2$",
        "layers to $t = 1$, $f$ of degree 1 on $S^2$",
    ]
    n, errors = STUDY["plane"](records, "plane.one_layer")
    assert n.tolist() == [250, 500, 1000]
    both = np.concatenate([records[1][1]["plane.one_layer"], records[2][1]["plane.one_layer"]])
    np.testing.assert_allclose(errors[1], np.sqrt(np.mean(both**2, axis=0)), rtol=1e-15)
    for ax in axes[:2]:
        labels = [text.get_text() for text in ax.get_legend().get_texts()]
        assert len(labels) == 2
        assert labels[1] == "smallest error"


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_bias_times_noise_has_mean_zero_and_goes_with_the_square(scale):
    n = 400
    eps = scale * float(STUDY["best_bandwidth"](n))
    clouds = af.Uniform(af.Sphere(2)).sample(60 * n, key=jax.random.key(8)).reshape(60, n, 3)
    queries = STUDY["spiral"](128)
    averages = STUDY["layers"](clouds, np.full(60, eps), queries, life=af.EmpiricalAttention)
    one_by_one = STUDY["layer"](clouds[0], eps, queries)
    np.testing.assert_allclose(averages[0], one_by_one, rtol=0, atol=1e-13)  # both sum 400 terms to rounding
    squares = STUDY["mean_square"](np.asarray(averages), eps, queries)
    parts = STUDY["scatter_of_bias"](clouds, eps)
    assert abs(parts.mean()) < 4 * parts.std() / np.sqrt(60)
    assert (squares - parts).std() < (0.75 if scale == 1 else 0.35) * squares.std()  # .6 and .25 of it, seen


def test_what_is_left_of_a_squared_function_is_that_of_a_layer():
    nodes, weights = quadrature.sphere_rule(30, 60)
    f, eps = STUDY["test_function"](nodes), 0.15
    logits = direct.distance_logits(nodes[:40], nodes, bandwidth=eps)
    left = f[:40] ** 2 - direct.layer(logits, f**2, weights=weights)
    kappa = STUDY["symbol"](eps)
    factor = 2 * ((kappa - 1) / eps + 3) * kappa / eps
    found = STUDY["scatter_of_bias"](nodes[:40, None], eps) / factor
    np.testing.assert_allclose(found, left, rtol=0, atol=1e-10)
