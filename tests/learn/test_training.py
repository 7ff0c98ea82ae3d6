"""Training: what is minimised, what is watched, and what is found again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attnflow.errors import ConfigError, ConvergenceError
from attnflow.learn.blocks import PropagationBlock
from attnflow.learn.checkpoints import Checkpoints
from attnflow.learn.data.base import stack
from attnflow.learn.data.moons import moons
from attnflow.learn.heads.mapped import MetricAttention
from attnflow.learn.losses import TokenLoss, token_accuracy
from attnflow.learn.networks import InformationPropagationNetwork
from attnflow.learn.training import train

KEYS = jax.random.split(jax.random.key(0), 3)
TARGETS = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]])


def point(key):
    return jax.random.normal(key, (2,))


def distance(model, target, key):
    return jnp.sum((model - target) ** 2)


def noisy_distance(model, target, key):
    return jnp.sum((model - target - jax.random.normal(key, (2,))) ** 2)


def largest(model, target):
    return {"largest": jnp.max(jnp.abs(model - target))}


def breaks_near(model, data, key):
    """A loss that is NaN in a ball about the target of radius r = data[2]."""
    far = jnp.sum((model - data[:2]) ** 2)
    return jnp.where(far < data[2] ** 2, jnp.nan, far)


def network(key):
    return InformationPropagationNetwork(2, 4, 2, block=PropagationBlock.of(MetricAttention), key=key)


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


def test_every_step_is_one_of_adam():
    trained = train(point, distance, TARGETS, keys=KEYS, steps=5, learning_rate=0.1, weight_decay=0.01, dtype="float64")
    optimizer = optax.adamw(0.1, weight_decay=0.01)
    for seed, key in enumerate(KEYS):
        model = point(key)
        state = optimizer.init(model)
        for step in range(5):
            loss, gradient = jax.value_and_grad(distance)(model, TARGETS[seed], key)
            np.testing.assert_allclose(trained.losses[seed, step], loss, rtol=1e-12)
            updates, state = optimizer.update(gradient, state, model)
            model = optax.apply_updates(model, updates)
        np.testing.assert_allclose(trained.model(seed), model, rtol=1e-12)  # the same arithmetic in another order


def test_stretches_do_not_change_what_is_drawn():
    one, other = (
        train(point, noisy_distance, TARGETS, keys=KEYS, steps=12, every=every, measure=largest) for every in (12, 5)
    )
    assert equal(one.models, other.models)
    assert other.times.tolist() == [0, 5, 10, 12]
    assert other.history["largest"].shape == (3, 4)


def test_a_seed_alone_is_what_it_is_among_others():
    among = train(point, noisy_distance, TARGETS, keys=KEYS, steps=10)
    alone = train(point, noisy_distance, TARGETS[1:2], keys=KEYS[1:2], steps=10)
    np.testing.assert_allclose(alone.losses[0], among.losses[1], rtol=1e-5)  # float32


def test_seeds_may_share_their_data():
    shared = train(point, distance, TARGETS[0], keys=KEYS, steps=3, data_axis=None)
    apart = train(point, distance, np.tile(TARGETS[0], (3, 1)), keys=KEYS, steps=3)
    assert equal(shared.models, apart.models)


def test_a_network_learns_moons_and_the_type_is_what_was_asked():
    data = stack([moons(key=key, count=60, test=60) for key in KEYS])
    trained = train(network, TokenLoss(), data, keys=KEYS, steps=300, every=300, measure=token_accuracy)
    assert {leaf.dtype for leaf in jax.tree.leaves(eqx.filter(trained.models, eqx.is_array))} == {np.dtype("float32")}
    assert (trained.history["train"][:, -1] > 0.8).all()  # guessing finds a half
    assert "3 seeds, 300 steps" in repr(trained)


def test_a_loss_that_is_no_number_stops_and_the_last_good_state_is_kept():
    data = np.column_stack([TARGETS, [0.0, 0.5, 0.0]])
    with pytest.raises(ConvergenceError, match=r"loss of seed 1 is nan at step \d+") as caught:
        train(point, breaks_near, data, keys=KEYS, steps=2000, every=1000, learning_rate=0.05)
    trained = caught.value.trained
    step = int(np.flatnonzero(np.isnan(trained.losses[1]))[0])
    assert f"step {step}" in str(caught.value)
    assert np.isfinite(trained.losses[1, :step]).all()
    assert np.isnan(trained.losses[1, step:]).all()  # it stays where it was
    good = trained.model(1)
    assert np.isfinite(good).all()
    assert np.linalg.norm(good - TARGETS[1]) < 0.5
    assert np.isfinite(trained.losses[[0, 2]]).all()


class Killed(BaseException):
    """What nothing catches."""


@pytest.fixture
def kill_after(monkeypatch):
    """Training that ends in the middle of the stretch after so many checkpoints."""

    def killed(count):
        saved, save = [], Checkpoints.save

        def once_more(self, progress):
            if len(saved) == count:
                raise Killed
            saved.append(progress.steps)
            save(self, progress)

        monkeypatch.setattr(Checkpoints, "save", once_more)

    return killed


def noisy(folder=None, loss=noisy_distance, **changes):
    options = dict(keys=KEYS, steps=20, every=5, measure=largest, checkpoint=folder)
    return train(point, loss, TARGETS, **options | changes)


def test_training_goes_on_where_it_was_killed(tmp_path, kill_after, monkeypatch):
    whole = noisy()
    kill_after(2)
    with pytest.raises(Killed):
        noisy(tmp_path)
    monkeypatch.undo()
    loaded = []
    load = Checkpoints.load
    monkeypatch.setattr(Checkpoints, "load", lambda self: loaded.append(load(self)) or loaded[-1])
    again = noisy(tmp_path)
    assert [progress.steps for progress in loaded] == [10]
    assert equal(whole.models, again.models)
    assert whole.losses.tobytes() == again.losses.tobytes()
    assert whole.history["largest"].tobytes() == again.history["largest"].tobytes()


@pytest.mark.parametrize(
    "changes",
    [dict(loss=distance), dict(steps=25), dict(keys=KEYS[::-1]), dict(learning_rate=0.02), dict(measure=None)],
    ids=["loss", "steps", "keys", "learning_rate", "measure"],
)
def test_another_call_does_not_go_on_from_a_checkpoint(tmp_path, changes):
    noisy(tmp_path)
    assert equal(noisy(tmp_path, **changes).models, noisy(**changes).models)
    assert len(list(tmp_path.glob("records/*/*.h5"))) == 2


def test_a_checkpoint_that_is_damaged_is_set_aside(tmp_path):
    whole = noisy(tmp_path)
    (file,) = tmp_path.glob("records/*/*.h5")
    file.write_bytes(file.read_bytes()[:-7])
    assert equal(noisy(tmp_path).models, whole.models)
    assert len(list(tmp_path.glob("records/*/*.bad"))) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(steps=-1), "`steps` must be an integer of at least 0"),
        (dict(every=0), "`every` must be an integer of at least 1"),
        (dict(learning_rate=0.0), "`learning_rate` must be positive"),
        (dict(weight_decay=float("nan")), "`weight_decay` must be a finite number"),
        (dict(dtype="float16"), "float32"),
        (dict(keys=[]), "`keys` must be keys of JAX"),
        (dict(keys=KEYS[:2]), r"`data` must have one row for each of 2 seeds, got shape \(3, 2\)"),
        (dict(data_axis=1), "`data_axis` must be 0, or None"),
        (dict(checkpoint="nowhere/at/all"), "`checkpoint` must be a folder that exists"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_what_cannot_be_trained_is_named(changes, words):
    with pytest.raises(ConfigError, match=words):
        noisy(**changes)


def test_there_is_no_model_of_a_seed_that_was_not_trained():
    with pytest.raises(ConfigError, match="`seed` must be one of 0 to 2, got 3"):
        noisy(steps=1).model(3)
