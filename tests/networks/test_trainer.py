"""Accumulated gradients equal the larger batch, on one device, on two and in two processes.

Loss scaling; what a file holds of it.
"""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
import tensorflow as tf
from cluster import TWO_CPUS, Process, finish, start_cluster

# Six updates of eight pairs in all: as one batch, or as two batches of four that two devices may share. Without batch
# norm.
TRAIN = """
import sys
import keras, numpy as np
from deepsim_tf import distribute
from deepsim_tf.networks.precision import dtype_policy

def train(strategy, accumulation, batch_size, precision="float32", dropout=False):
    keras.utils.set_random_seed(0)
    with strategy.scope(), dtype_policy(precision):
        model = ds.models.registration_model(
            (16, 16), backbone="paper", features=(2, 4), batch_norm=False, dropout=dropout
        )
        goal = dict(regularizer=ds.losses.Diffusion(), weight=0.1)
        model.compile(keras.optimizers.Adam(1e-2), "mse", **goal, accumulation=accumulation)
    images = np.random.default_rng(0).random((2, 48, 16, 16, 1)).astype("float32")
    pairs = tf.data.Dataset.from_tensor_slices(({"moving": images[0], "fixed": images[1]},))
    pairs = pairs.repeat().batch(batch_size, drop_remainder=True)
    model.fit(distribute.share(strategy, pairs, batch_size), steps_per_epoch=6 * accumulation, shuffle=False, verbose=0)
    return model
"""
DEVICES = (
    TWO_CPUS
    + TRAIN
    + """
two = distribute.choose("mirrored", 2)
np.savez(sys.argv[1] + "/two.npz", *train(two, 2, 4).get_weights())

scaled = train(two, 1, 8, "mixed_float16", dropout=True)
assert all(np.isfinite(w).all() for w in scaled.get_weights())
before, scale = scaled.get_weights(), scaled.optimizer.dynamic_scale.numpy()

def overflow():  # on the second device alone
    infinite = tf.where(tf.equal(tf.distribute.get_replica_context().replica_id_in_sync_group, 1), float("inf"), 0.0)
    scaled.apply([infinite + tf.ones(w.shape) for w in scaled.trainable_weights])

tf.function(lambda: two.run(overflow))()
assert all((a == b).all() for a, b in zip(before, scaled.get_weights(), strict=True))  # the update was skipped, on both
assert scaled.optimizer.dynamic_scale.numpy() == scale / 2
"""
)
WORKER = (
    "import deepsim_tf as ds\nimport tensorflow as tf"
    + TRAIN
    + """
strategy = distribute.choose()
weights = train(strategy, 2, 4).get_weights()
if distribute.is_chief(strategy):
    np.savez(sys.argv[1] + "/workers.npz", *weights)
"""
)


@pytest.fixture(scope="module")
def train():
    """The function of the scripts."""
    scope = {"ds": ds, "tf": tf}
    exec(TRAIN, scope)
    return scope["train"]


@pytest.fixture(scope="module")
def large_batch(train):
    """(weights before, weights after six updates of eight pairs) on one device."""
    keras.utils.set_random_seed(0)
    begin = ds.models.registration_model(
        (16, 16), backbone="paper", features=(2, 4), batch_norm=False, dropout=False
    ).get_weights()
    return begin, train(tf.distribute.get_strategy(), 1, 8).get_weights()


def apart(large_batch, weights):
    """The distance of weights from those of the large batch, over the distance that these moved."""
    begin, end = (np.concatenate([w.ravel() for w in some]) for some in large_batch)
    return np.linalg.norm(np.concatenate([np.ravel(w) for w in weights]) - end) / np.linalg.norm(end - begin)


def test_two_batches_in_an_update_equal_one_of_twice_the_size(train, large_batch):
    assert apart(large_batch, train(tf.distribute.get_strategy(), 2, 4).get_weights()) < 1e-4
    assert (
        apart(large_batch, train(tf.distribute.get_strategy(), 1, 4).get_weights()) > 1e-2
    )  # the measure sees a difference


def test_they_do_on_two_devices_where_float16_skips_an_overflow_of_one(large_batch, tmp_path):
    finish(Process(DEVICES, tmp_path))
    assert apart(large_batch, np.load(tmp_path / "two.npz").values()) < 1e-4


def test_they_do_in_two_processes(large_batch, tmp_path):
    finish(*start_cluster(WORKER, tmp_path))
    assert apart(large_batch, np.load(tmp_path / "workers.npz").values()) < 1e-4


def tiny(optimizer=None, **arguments):
    model = ds.models.registration_model((8, 8), features=(2,))
    model.compile(optimizer or keras.optimizers.Adam(1e-2), "mse", **arguments)
    return model


def test_a_saved_model_accumulates_as_before_and_its_file_has_no_other_variables(tmp_path):
    tiny(accumulation=3).save(tmp_path / "three.keras")
    loaded = keras.models.load_model(tmp_path / "three.keras")
    assert loaded.accumulation == 3 and len(loaded.update_state) == 1 + len(loaded.trainable_weights)
    assert [v.path for v in loaded.variables] == [v.path for v in tiny().variables]


@pytest.mark.parametrize("accumulation", [0, 1.5, True, "2"])
def test_a_wrong_number_of_batches_is_refused(accumulation):
    with pytest.raises(ValueError, match="accumulation must be the number of batches in one update, at least 1"):
        tiny(accumulation=accumulation)


def test_an_optimizer_that_accumulates_too_is_refused(pair):
    model = tiny(keras.optimizers.Adam(gradient_accumulation_steps=2), accumulation=2)
    with pytest.raises(
        ValueError, match="gradient_accumulation_steps=2. Leave it out, and pass accumulation=2 to compile"
    ):
        model.fit(*pair((8, 8))[:1], verbose=0)
