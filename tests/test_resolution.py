"""Rules with very many nodes, and the places where a function bends most."""

import numpy as np
import pytest
from instances import MANIFOLDS

import attnflow as af
from attnflow.resolution import close_rule, roughest


@pytest.mark.parametrize("name", [name for name, manifold in MANIFOLDS.items() if manifold.is_compact])
def test_a_close_rule_has_the_nodes_asked_and_the_whole_volume(name):
    manifold = MANIFOLDS[name]
    rule = close_rule(manifold, 3000)
    assert len(rule) >= 3000
    np.testing.assert_allclose(rule.mass, manifold.volume, rtol=1e-6)  # some rules of users converge by powers only


def test_a_close_rule_is_made_once():
    assert close_rule(af.Circle(), 4096) is close_rule(af.Circle(), 4096)
    assert len(close_rule(af.Circle(), 4096)) == 4096


def test_the_roughest_places_are_those_of_a_spike():
    angles = 2 * np.pi * np.arange(4096) / 4096
    values = np.sin(3 * angles) + 1e-3 * np.exp(-((angles - 2.0) ** 2) / (2 * 0.003**2))
    places = roughest(values, 5)
    assert np.abs(angles[places] - 2.0).max() < 0.01
    columns = np.stack([np.cos(angles), values], axis=1)
    assert np.abs(angles[roughest(columns, 5)] - 2.0).max() < 0.01
    assert len(roughest(values[:3], 10)) == 3
