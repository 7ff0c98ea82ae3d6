"""What a population declares: the difference of two resolutions, and rounding once for every layer or over eps."""

import numpy as np
import pytest

import attnflow as af
from attnflow.sums.answers import Answer
from attnflow.sums.population import ROUND_OFF, PopulationAttention

CIRCLE = af.Circle()
AT = np.array([[0.6, 0.8], [1.0, 0.0]])


def population(bandwidth, *, rtol):
    return af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth), af.Uniform(CIRCLE), rtol=rtol)


def first(x):
    return x[0]


@pytest.mark.parametrize("of_a_layer", [0.0, 3e-9])
def test_the_declared_error_is_a_difference_and_the_rounding_of_every_layer(of_a_layer):
    answers = iter([Answer(np.array([1.0, 0.5]), 2.0, roundings=5), Answer(np.array([1.0, 0.5 + 4e-7]), 2.0)])

    def compute(layers):
        layers.rest.worst_error = of_a_layer
        return next(answers)

    result = population(0.1, rtol=1e-6)._converge(compute)
    expected = 4e-7 + 10 * max(of_a_layer, ROUND_OFF)
    assert result.error == pytest.approx(expected, rel=1e-9)
    np.testing.assert_array_equal(result.values, [1.0, 0.5])  # of the finer one, which comes first


def test_two_resolutions_are_a_fifth_apart_at_least(monkeypatch):
    sizes = []

    def compute(self, compute, *rest, **options):
        return right(self, lambda layers: sizes.append(len(layers.rest.measure)) or compute(layers), *rest, **options)

    right = PopulationAttention._converge
    monkeypatch.setattr(PopulationAttention, "_converge", compute)
    population(0.01, rtol=1e-8).layer(first, at=AT)
    fine, coarse = sizes
    assert fine >= 1.2 * coarse  # the tail of the kernel, rtol, falls to its power 1.44


def test_rounding_counts_once_for_every_layer():
    life = population(0.1, rtol=1e-8)
    few, many = (life.evolve(first, times=n * 0.1, at=AT).solver_error for n in (1, 500))
    assert few < 1e-12
    assert 500 * ROUND_OFF <= many < 5e-11


def test_rounding_of_a_generator_counts_over_the_bandwidth():
    # 1e-14 / 2e-5 is 5e-10, above the tolerance; what is found differs by 1e-11 only.
    with pytest.warns(RuntimeWarning, match=r"above `rtol` = 1e-10 .*1 / bandwidth times in a generator"):
        population(2e-5, rtol=1e-10).generator(first, at=AT)


def test_eigenvalues_are_known_as_far_as_two_resolutions_agree():
    life = population(0.05, rtol=1e-3)
    declared = life.spectrum(3).solver_error
    layers = life._layers(life._degree, life._degree)
    finer = life._operator(max(life._operators))
    apart = np.abs(layers.rest.eigenpairs(3).eigenvalues - finer.eigenpairs(3).eigenvalues).max()
    assert declared >= apart / 0.05
