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
    model.update_state = [tf.Variable(0.0)]
    return model


def trained(model, steps=3):
    x = np.random.default_rng(0).random((4, 2)).astype("float32")
    for _ in range(steps):
        model.train_on_batch(x, x[:, :1])
        model.update_state[0].assign_add(0.1)
    return model


def values(model):
    variables = [*model.variables, *model.optimizer.variables, *model.update_state, *model.metrics_variables]
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
    state, metrics = checkpoints.restore(tmp_path, other)
    assert state == {"seconds": [0.25], "epoch": 3, "batch": 7}
    trained(other, steps=1)  # Keras makes its metrics in the first step
    checkpoints.restore(tmp_path, other)
    for variable, value in zip(other.metrics_variables, metrics, strict=True):
        variable.assign(value)
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


def test_a_checkpoint_of_another_network_is_refused(folder):
    with pytest.raises(ValueError, match=r"epoch_00002_batch_0000000.npz is of another network or another version"):
        checkpoints.restore(folder, network(units=4))


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
