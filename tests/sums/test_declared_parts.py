"""What a declared error is made of: each part is seen where it is the largest."""

import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow.sums.kernel_sums.cutoff import CutoffSum
from attnflow.sums.kernel_sums.dense import DenseSum

RNG = np.random.default_rng(4)
CLOUD = RNG.standard_normal((60, 2))
VALUES = np.sin(3 * CLOUD[:, 0])
APART = 100.0 * np.stack(np.meshgrid([0.0, 1.0, 2.03], [0.0, 1.01, 2.1]), axis=-1).reshape(
    -1, 2
)  # no logit above -5e3 at eps = 1
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.5)


def test_the_worst_answer_so_far_is_what_a_life_declares():
    near, far = CLOUD[:5] + 0.1, np.array([[24.0, 3.0]])  # logits of 500
    life, fresh = (af.EmpiricalAttention(ATTENTION, CLOUD) for _ in range(2))
    life.layer(VALUES, at=far)
    worst = life.solver_error
    life.layer(VALUES, at=near)
    fresh.layer(VALUES, at=near)
    assert life.solver_error == worst > 2 * fresh.solver_error


def test_every_layer_on_the_way_counts_and_not_only_the_last():
    # A token far out with a mass of 1e-250 attends to itself in terms of 1e-250: its own row is rounded the most.
    points = np.vstack([CLOUD, [[400.0, 0.0]]])
    life = af.EmpiricalAttention(ATTENTION, af.DiscreteMeasure(points, weights=np.append(np.ones(60), 1e-250)))
    flow = life.evolve(lambda x: jnp.sin(3 * x[0]), times=1.0, at=CLOUD[:5] + 0.1)
    assert flow.solver_error > 2 * np.finfo(float).eps * 6 * 500 * np.abs(VALUES).max()


def test_weights_of_keys_declare_the_sums_and_the_logits_that_they_are_made_of():
    # Nobody is nearer than at a logit of 5e3: the sum under a weight errs like an average, its logarithm once more by
    # the rounding of the logit, and an average feels twice what the weights are off by: five times in all.
    values = np.arange(9.0)
    alpha = af.Attention(af.SquaredDistance(), bandwidth=1.0, normalization=af.AlphaNormalization(1.0))
    plain, weighed = (
        af.EmpiricalAttention(a, APART, include_self=False, rtol=1e-3)
        for a in (af.Attention(af.SquaredDistance(), bandwidth=1.0), alpha)
    )
    for life in (plain, weighed):
        life.layer(values)
    assert 4 * plain.solver_error < weighed.solver_error < 8 * plain.solver_error


def test_products_that_cancel_declare_the_rounding_of_their_terms():
    # Logits of order one are differences of terms of a million.
    def along(angles):
        return 1e3 * np.column_stack([np.cos(angles), np.sin(angles)])

    queries, keys = along(np.pi / 4 + 1e-6 * RNG.standard_normal(2000)), along(-np.pi / 4 + np.array([1.1e-6, -0.7e-6]))
    life = af.EmpiricalAttention(af.Attention(af.DotProduct(), bandwidth=1.0), keys, rtol=1e-3)
    found = life.layer(np.array([1.0, -1.0]), at=queries)
    logits = queries.astype(np.longdouble) @ keys.astype(np.longdouble).T
    error = np.abs(found - np.tanh((logits[:, 0] - logits[:, 1]) / 2)).max()
    assert 120 * np.finfo(float).eps < error <= life.solver_error


def test_eigenvalues_of_the_generator_declare_the_rounding_of_those_of_a_layer_over_the_bandwidth():
    narrow = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.01), CLOUD)
    assert narrow.spectrum(3).solver_error >= len(CLOUD) * np.finfo(float).eps / 0.01


def test_eigenvalues_declare_the_rounding_of_logits():
    # Without itself no token has a logit above -5e3 here.
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=1.0), APART, include_self=False)
    assert life.spectrum(3).solver_error > (2 + 4) * np.finfo(float).eps * 5e3


def test_a_sum_over_neighbours_declares_its_additions_where_next_to_nothing_is_left_out():
    given = dict(points=CLOUD, log_weights=np.zeros(len(CLOUD)), dtype=np.dtype(np.float64))
    sums = CutoffSum(ATTENTION, rtol=1e-16, **given)(VALUES[:, None])
    assert (sums.error >= 64 * np.finfo(float).eps).all()  # 64 terms on a lane of a tile


def test_the_error_of_a_trajectory_is_that_of_its_layers_times_the_size_of_f():
    one, thousand = (
        af.EmpiricalAttention(ATTENTION, CLOUD).evolve(size * VALUES, times=[1.0, 3.0]).solver_error
        for size in (1.0, 1000.0)
    )
    np.testing.assert_allclose(thousand, 1000 * one, rtol=1e-12)


def test_single_precision_declares_what_coordinates_far_from_the_middle_lose():
    # Two keys, equally far from a query, whose coordinates are rounded down and up; their like far away keeps the
    # middle at 0. A logit moves by a unit in the last place over the distance, half of which an average feels.
    unit = 2.0**-23
    near = np.array([[1.0, 1.0], [1 + 1024.49 * unit, 1.0], [1.0, 1 + 1024.51 * unit]])
    attention = af.Attention(af.SquaredDistance(), bandwidth=(1024.5 * unit) ** 2)
    given = dict(points=np.vstack([near, -near]), log_weights=np.array([-9.0, 0.0, 0.0, -9.0, -9.0, -9.0]))
    values = np.array([[0.0], [1.0], [-1.0], [0.0], [0.0], [0.0]])
    exact, single = (
        DenseSum(attention, dtype=np.dtype(dtype), **given)(values, exclude_self=True) for dtype in ("f8", "f4")
    )
    off = np.abs(single.weighted / single.total[:, None] - exact.weighted / exact.total[:, None])[0, 0]
    assert off > 0.4 / 1024.5
    assert off < single.error[0] < 8 * off
