"""Checkpoints hold all that a step changes; damaged ones are seen, and the one before is taken."""

import errno

import deepsim_tf  # noqa: F401  isort: skip
import keras
import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.training import checkpoints


def network(units=3):
    """A compiled network with weights, dropout's generator, Adam's moments and a variable that Keras does not know."""
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(units), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    )
    model.compile("adam", "mse")
    model.update_state = {"batches": tf.Variable(0.0)}
    return model


def trained(model, steps=3):
    x = np.random.default_rng(0).random((4, 2)).astype("float32")
    for _ in range(steps):
        model.train_on_batch(x, x[:, :1])
        model.update_state["batches"].assign_add(0.1)
    return model


def values(model):
    variables = [*model.variables, *model.optimizer.variables, *model.update_state.values(), *model.metrics_variables]
    return [np.array(variable).tobytes() for variable in variables]


@pytest.fixture
def folder(tmp_path):
    """A folder with the checkpoints of two epochs."""
    model = network()
    for epoch in (1, 2):
        checkpoints.write(tmp_path, trained(model), {"epochs": epoch}, epoch, 0)
    return tmp_path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_another_model_continues_with_the_same_numbers(tmp_path):
    model, other = trained(network()), network()
    checkpoints.write(tmp_path, model, {"seconds": [0.25]}, 3, 7)
    state, _ = checkpoints.restore(tmp_path, other)
    assert state == {"seconds": [0.25], "epoch": 3, "batch": 7}
    trained(other, steps=1)  # Keras makes its metrics in the first step
    _, put_back = checkpoints.restore(tmp_path, other)
    put_back()
    assert values(other) == values(model)
    assert values(trained(other)) == values(trained(model))  # dropout draws the same units


def test_the_newest_two_are_kept(folder):
    assert names(folder) == ["epoch_00001_batch_0000000.npz", "epoch_00002_batch_0000000.npz"]
    checkpoints.write(folder, trained(network()), {}, 2, 5)
    assert names(folder) == ["epoch_00002_batch_0000000.npz", "epoch_00002_batch_0000005.npz"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[300] ^= 1  # in the first weights
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def drop_the_state(path):
    with np.load(path) as stored:
        kept = {name: stored[name] for name in stored.files if name != "state"}
    np.savez(path, **kept)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit, empty, drop_the_state])
def test_of_a_damaged_checkpoint_and_an_older_one_the_older_is_taken(folder, capfd, damage):
    damage(folder / "epoch_00002_batch_0000000.npz")
    model = network()
    state, _ = checkpoints.restore(folder, model)
    assert state["epochs"] == 1
    errors = capfd.readouterr().err
    assert (
        errors.count("\n") == 1
        and f"deepsim: the checkpoint {folder}/epoch_00002_batch_0000000.npz is damaged" in errors
    )
    checkpoints.write(folder, model, {}, 1, 4)  # the damaged one is of no use any more
    assert names(folder) == ["epoch_00001_batch_0000000.npz", "epoch_00001_batch_0000004.npz"]


def test_without_any_whole_checkpoint_the_error_names_them_and_says_what_to_do(folder):
    for path in folder.iterdir():
        truncate(path)
    with pytest.raises(
        ValueError,
        match=r"No checkpoint in .* can be read: epoch_00001.*npz and epoch_00002.*npz damaged. Put back a copy",
    ):
        checkpoints.restore(folder, network())


class Two(keras.Model):
    """Two layers of equal shape and a dropout for each, made in an order."""

    def __init__(self, order, **names):
        super().__init__()
        for key in order:
            setattr(self, key, keras.layers.Dense(2, name=names.get(key, key)))
            setattr(self, f"drop_{key}", keras.layers.Dropout(0.5, seed=ord(key), name=f"drop_{key}"))
        self.compile("adam", "mse")

    def call(self, x):
        return self.drop_b(self.b(self.drop_a(self.a(x))))


def fitted(model, steps):
    x = np.random.default_rng(0).random((4, 2)).astype("float32")
    for _ in range(steps):
        model.train_on_batch(x, 2 * x)
    return model


def test_each_layer_gets_its_own_weights_whatever_the_order_in_which_they_were_made(tmp_path):
    model, other = fitted(Two("ab"), steps=3), fitted(Two("ba"), steps=1)
    checkpoints.write(tmp_path, model, {}, 1, 0)
    checkpoints.restore(tmp_path, other)
    for _ in range(2):  # then with Adam's moments and the draws of the dropouts, which are not the other's either
        for key in "ab":
            np.testing.assert_array_equal(getattr(other, key).kernel, getattr(model, key).kernel)
        fitted(model, steps=2), fitted(other, steps=2)


def test_variables_of_another_shape_are_named_and_none_is_taken(folder):
    other = network(units=4)
    before = [variable.numpy() for variable in other.weights]
    expected = (
        r"The checkpoint .*/epoch_00002_batch_0000000.npz is of another network or another version:"
        r" sequential/dense/kernel has shape \(2, 3\) there and \(2, 4\) here; .* and \d+ more."
        r" Continue with the version in config.json, or train in another folder \(--out\)\.$"
    )
    with pytest.raises(ValueError, match=expected):
        checkpoints.restore(folder, other)
    for variable, value in zip(other.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_missing_and_extra_variables_are_named(tmp_path):
    def named(name):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, name=name)])
        model.compile(keras.optimizers.SGD())
        return model

    checkpoints.write(tmp_path, named("first"), {}, 1, 0)
    with pytest.raises(ValueError, match="second/kernel is missing there; .*first/kernel is only there. Continue"):
        checkpoints.restore(tmp_path, named("second"))


def test_an_empty_or_missing_folder_holds_no_checkpoint(tmp_path):
    assert checkpoints.restore(tmp_path, network()) is None
    assert checkpoints.restore(tmp_path / "none", network()) is None


def test_a_disk_that_fills_up_while_a_checkpoint_is_written_leaves_the_older_ones(folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/epoch_00003_batch_0000000.npz'"):
        checkpoints.write(folder, trained(network()), {}, 3, 0)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
