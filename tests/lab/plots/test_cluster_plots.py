"""Clusters drawn: no branches of a tree cross, a phase is where it was counted."""

import numpy as np
import pytest
from toy_ladder import axes

from attnflow.errors import DataError
from attnflow.lab import plots
from attnflow.lab.plots.clusters import tree

TIMES = np.geomspace(0.1, 100, 40)
MERGES = [(0.5, (0, 3)), (0.8, (4, 1, 2)), (3.0, (3, 5, 0)), (20.0, (1, 2, 4, 0, 3, 5), "where")]


def staircase(merges=MERGES, **changes):
    given = {"times": TIMES, "energies": np.log(TIMES) ** 3, "merges": merges, "count": 7} | changes
    return plots.staircase(plots.figure(width=4, height=4), **given)


def test_a_staircase_is_the_energy_over_the_logarithm_of_time_with_its_merges():
    upper, lower = staircase()
    np.testing.assert_array_equal(upper.lines[0].get_data(), (TIMES, np.log(TIMES) ** 3))
    assert (upper.get_xscale(), lower.get_xscale()) == ("log", "log")
    assert [line.get_xdata()[0] for line in upper.lines[1:]] == [time for time, *_ in MERGES]


def test_branches_end_where_they_join_and_what_is_left_runs_to_the_end():
    _, lower = staircase()
    level = [line for line in lower.lines if np.ptp(line.get_ydata()) == 0]
    joins = [line for line in lower.lines if np.ptp(line.get_ydata()) > 0]
    assert [line.get_xdata()[0] for line in joins] == [time for time, *_ in MERGES]
    # seven leaves and one branch out of each of the four merges, of which the last runs on, as does the lone token
    assert len(level) == 11
    assert sum(line.get_xdata()[1] == TIMES[-1] for line in level) == 2


def test_the_order_of_the_tokens_lets_no_branches_cross():
    order, heights, branches = tree(MERGES, count=7)
    assert sorted(order) == list(range(7))
    members = {token: [token] for token in range(7)}
    for (_, joined), sizes in zip(branches, [[1, 1], [1, 1, 1], [2, 1], [3, 3]], strict=True):
        clusters = [cluster for _, cluster in joined]
        assert sorted(len(members[cluster]) for cluster in clusters) == sorted(sizes)
        members[clusters[0]] = [token for cluster in clusters for token in members.pop(cluster)]
        rows = sorted(order.index(token) for token in members[clusters[0]])
        assert rows == list(range(rows[0], rows[0] + len(rows)))  # what is one stands together
    assert set(heights) == set(members)


def test_tokens_that_never_merge_stand_in_their_own_order():
    assert tree([], count=4) == ([0, 1, 2, 3], {0: 0.0, 1: 1.0, 2: 2.0, 3: 3.0}, [])


def test_phases_are_the_counts_in_cells_around_their_times_and_temperatures():
    betas, times = np.geomspace(1, 32, 6), np.geomspace(0.5, 50, 9)
    counts = np.random.default_rng(2).integers(1, 30, (6, 9))
    predicted = 3 + np.arange(6) / 5
    ax = plots.phases(axes(), times=times, inverse_temperatures=betas, counts=counts, predicted=predicted)
    (mesh,) = ax.collections
    np.testing.assert_array_equal(np.asarray(mesh.get_array()).reshape(6, 9), counts)
    edges = mesh.get_coordinates()
    assert (edges[0, :-1, 0] < times).all()
    assert (times < edges[0, 1:, 0]).all()
    assert (edges[:-1, 0, 1] < betas).all()
    assert (betas < edges[1:, 0, 1]).all()
    np.testing.assert_array_equal(ax.lines[0].get_data(), (predicted, betas))
    colours = mesh.cmap(mesh.norm(np.arange(1, 30)))
    assert len(np.unique(colours[:12], axis=0)) == 12  # told apart
    assert len(np.unique(colours[12:], axis=0)) == 1  # too many to count


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: staircase(times=TIMES - 0.1), "`times` must be positive"),
        (lambda: staircase(energies=TIMES[1:]), "`energies` must have shape"),
        (lambda: staircase([(1.0, (0, 7))]), r"names the tokens \(0, 7\), but there are 7"),
        (lambda: staircase([(1.0, (0, 1)), (2.0, (1, 0))]), "that are one already"),
        (lambda: staircase([(1.0, (3,))]), "or one alone"),
        (
            lambda: plots.phases(axes(), times=[1, 2], inverse_temperatures=[1, 2], counts=np.ones((2, 3))),
            r"`counts` must have shape \(2, 2\)",
        ),
        (
            lambda: plots.phases(axes(), times=[1, 1], inverse_temperatures=[1, 2], counts=np.ones((2, 2))),
            "`times` must be two or more positive numbers that rise",
        ),
        (
            lambda: plots.phases(axes(), times=[1, 2], inverse_temperatures=[0, 2], counts=np.ones((2, 2))),
            "`inverse_temperatures` must be two or more",
        ),
        (
            lambda: plots.phases(
                axes(), times=[1, 2], inverse_temperatures=[1, 2], counts=np.ones((2, 2)), predicted=np.ones(3)
            ),
            "`predicted` must have shape",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(draw, words):
    with pytest.raises(DataError, match=words):
        draw()
