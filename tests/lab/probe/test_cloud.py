"""Points alone: dimension, density and modes against points with shuffled columns."""

from types import SimpleNamespace

import numpy as np
import pytest
from controls import sphere
from witnesses.bessel import sphere_symbol

import attnflow as af
from attnflow.errors import ConfigError
from attnflow.lab.probe.cloud import densities, kernel_sums


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_kernel_sum_of_a_sphere_rises_as_its_closed_form(dim):
    rng = np.random.default_rng(0)
    points = rng.standard_normal((1500, dim + 1))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = kernel_sums(points, rng)
    # <|x - y|^2 k>/(eps <k>) = 2 (1 - R)/eps with the mean R of a row. From eps = .2 on 1500 points have 30 neighbours.
    wide = found.bandwidths > 0.2
    told = [2 * (1 - sphere_symbol(1, m=dim, bandwidth=eps)) / eps for eps in found.bandwidths[wide]]
    assert found.dimensions[wide] == pytest.approx(told, rel=0.06)
    # Curvature moves the steepest place: 1.2 on the circle.
    assert found.dimension == pytest.approx(dim, abs=0.25)


def test_a_slope_is_the_derivative_of_the_log_kernel_sum():
    points = np.random.default_rng(1).standard_normal((200, 3))
    found = kernel_sums(points, np.random.default_rng(0))
    distances = np.sum((points[:, None] - points) ** 2, axis=2)
    eps = found.bandwidths[20]
    step = 1e-5
    up, down = (np.log(np.mean(np.exp(-distances / (2 * eps * np.exp(s))))) for s in (step, -step))
    assert found.dimensions[20] == pytest.approx(2 * (up - down) / (2 * step), rel=1e-6)


def test_densities_are_leave_one_out_sums():
    points = np.random.default_rng(2).standard_normal((70, 2))
    logs, ess = densities(points, 0.2)
    kernel = np.exp(-np.sum((points[:, None] - points) ** 2, axis=2) / 0.4)
    assert np.allclose(np.exp(logs), kernel.sum(axis=1) - 1, rtol=1e-10)
    assert np.allclose(ess, kernel.sum(axis=1) ** 2 / np.sum(kernel**2, axis=1), rtol=1e-12)


def test_a_sphere_is_told_from_its_shuffled_columns():
    found = af.probe(sphere(600)).cloud
    assert found["dimension"] == pytest.approx(2, abs=0.1)
    assert found.numbers["dimension"].null.low > found.numbers["dimension"].null.own  # without the constraint: a cloud
    assert found.numbers["density_spread"].null.low > found["density_spread"]
    assert {mode.label for mode in found.spectrum.modes[:3]} == {"direction of the cloud"}
    assert found.chosen_by == "steepest kernel sum"
    assert found.log_density.shape == (600,)
    assert found.log_density.std() == pytest.approx(found["density_spread"])
    assert len(found.bandwidths) == len(found.dimensions)


def test_independent_columns_are_not_told_from_their_shuffle():
    points = np.random.default_rng(3).standard_normal((300, 5))
    for name in ("dimension", "density_spread", "second_eigenvalue"):
        null = af.probe(points).cloud.numbers[name].null
        spread = null.high - null.low
        assert null.low - spread <= null.own <= null.high + spread, name


def test_a_bandwidth_of_ones_own_is_taken():
    points = sphere(200)
    found = af.probe(points, bandwidth=0.1)
    assert found.cloud.bandwidth == 0.1
    assert found.cloud.chosen_by == "given"
    assert np.allclose(found.cloud.weights().sum(axis=1), 1)
    with pytest.raises(ConfigError, match="`head` is for a probe of one head"):
        _ = found.head


def test_digits_have_classes_for_slow_modes():
    datasets = pytest.importorskip("sklearn.datasets")
    digits = datasets.load_digits()
    with pytest.raises(af.AttnflowError, match="got 3 constant of 64: 0, 32, 39"):
        af.probe(digits.data)
    points = digits.data[:350]
    points = points[:, np.ptp(points, axis=0) > 0]
    found = af.probe(points, tokens=digits.target[:350]).cloud
    assert 3 < found["dimension"] < 12
    second = found.numbers["second_eigenvalue"]
    assert second.null.own > second.null.high  # pixels hang together
    narrow = af.probe(points, bandwidth=found.bandwidth / 6, tokens=digits.target[:350]).cloud
    assert "token identity" in {mode.label for mode in narrow.spectrum.modes}
    head = af.probe(points, queries=points, keys=points, bandwidth=found.bandwidth, tokens=digits.target[:350]).head
    assert head.reading.kind != "nothing"


def test_a_bandwidth_is_predicted_where_that_can_be_done(monkeypatch):
    asked = []

    def suggest_bandwidth(attention, points, *, f):
        asked.append((attention.pseudometric, points.shape, f.shape))
        return SimpleNamespace(bandwidth=0.123)

    monkeypatch.setattr(af, "suggest_bandwidth", suggest_bandwidth, raising=False)
    points = np.random.default_rng(4).standard_normal((80, 5))
    assert af.probe(points).cloud["predicted_bandwidth"] == 0.123
    assert asked == [(af.SquaredDistance(), (80, 5), (80, 3))]

    def refuse(attention, points, *, f):
        raise ConfigError("`points` have no bandwidth with eight neighbours. Take more.")

    monkeypatch.setattr(af, "suggest_bandwidth", refuse, raising=False)
    number = af.probe(points).cloud.numbers["predicted_bandwidth"]
    assert number.value is None
    assert number.reason.startswith("`points` have no bandwidth")
