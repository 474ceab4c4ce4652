"""A scope of tf.distribute that the user made, and plain `fit(dataset)`: what one device gives, to the last digits."""

import deepsim_tf as ds  # isort: skip
import numpy as np
import pytest
import tensorflow as tf
from cluster import TWO_CPUS, Process, finish, start_cluster

# Two epochs of twelve images, whose order is drawn for each epoch; eleven pairs in order, so that a last batch of three
# cannot be halved; five for validation, whose last batch leaves a device without an image.
TRAIN = """
import contextlib, sys, warnings
import keras, numpy as np

COUNTS = {"registration": 12, "segmentation": 12, "ragged": 11}

def train(strategy=None, kinds=COUNTS):
    warnings.simplefilter("error", UserWarning)
    found = {}
    for kind in kinds:
        data = {"size": (32, 32), "seed": 1}
        images = ds.data.synthetic("platelet", "train", count=COUNTS[kind], **data)
        val = ds.data.synthetic("platelet", "val", count=5, **data)
        keras.utils.set_random_seed(0)
        with strategy.scope() if strategy else contextlib.nullcontext():
            if kind == "segmentation":
                dataset = ds.data.segmentation_dataset
                model = ds.models.segmentation_model((32, 32), 3, features=(2,))
                metrics = ["accuracy", ds.models.SegmentationDice()]
                model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy", metrics=metrics)
            else:
                dataset = ds.data.registration_dataset
                model = ds.models.registration_model((32, 32), features=(2,))
                goal = {"regularizer": ds.losses.Diffusion(), "weight": 0.1, "metrics": ["mae"]}
                model.compile(keras.optimizers.Adam(1e-2), similarity="mse", **goal)
        batches = dataset(images, 4, training=kind != "ragged", seed=3)
        val = dataset(val, 4, training=False)
        history = model.fit(batches, validation_data=val, epochs=2, verbose=0).history
        found |= {f"{kind} {name}": values for name, values in history.items()}
        found[f"{kind} evaluate"] = model.evaluate(val, verbose=0)
        found |= {f"{kind} weight {i}": weight for i, weight in enumerate(model.get_weights())}
    return found
"""
MIRRORED = (
    TWO_CPUS
    + TRAIN
    + """
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
np.savez(sys.argv[1] + "/mirrored.npz", **train(strategy))

with strategy.scope():
    model = ds.models.registration_model((8, 8), features=(2,))
    model.compile("adam", "mse")
images = np.random.default_rng(0).random((5, 8, 8, 1), "float32")
flow = model.predict({"moving": images, "fixed": images}, batch_size=2, verbose=0)["flow"]  # a last batch of one
np.testing.assert_allclose(flow, model({"moving": images, "fixed": images})["flow"], atol=1e-6)
try:
    model.fit({"moving": images, "fixed": images}, batch_size=4, shuffle=False, verbose=0)
except ValueError as error:
    assert "A batch to train on must have an image for each of 2 devices. Received: 1 image(s)" in str(error), error
else:
    raise AssertionError("a device without an image was trained")
"""
)
WORKERS = (
    """
import os
import deepsim_tf as ds
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
"""
    + TRAIN
    + """
found = train(strategy, ["registration"])
with strategy.scope():
    model = ds.models.registration_model((8, 8), features=(2,))
    model.compile("adam", "mse")
try:
    model.fit({"moving": np.zeros((4, 8, 8, 1), "float32"), "fixed": np.zeros((4, 8, 8, 1), "float32")}, verbose=0)
except ValueError as error:
    assert "fit on several machines takes a tf.data.Dataset of global batches" in str(error), error
else:
    raise AssertionError("arrays were trained on two workers")
np.savez(sys.argv[1] + f"/worker_{ds.distribute.is_chief(strategy)}.npz", **found)
"""
)


@pytest.fixture(scope="module")
def alone():
    """The weights, the histories and the evaluations on one device."""
    scope = {"ds": ds, "tf": tf}
    exec(TRAIN, scope)
    return scope["train"]()


def compare(alone, path, kinds=("registration", "segmentation", "ragged")):
    found = np.load(path)
    assert set(found) == {name for name in alone if name.split()[0] in kinds}
    for name, expected in alone.items():
        if name in found:
            np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=2e-6, err_msg=name)


def test_two_devices_of_a_plain_scope_train_as_one(alone, tmp_path):
    finish(Process(MIRRORED, tmp_path))
    compare(alone, tmp_path / "mirrored.npz")


def test_two_processes_of_a_plain_scope_train_as_one(alone, tmp_path):
    finish(*start_cluster(WORKERS, tmp_path))
    for chief in (True, False):
        compare(alone, tmp_path / f"worker_{chief}.npz", ["registration"])


class Three:
    """A strategy's number of replicas."""

    num_replicas_in_sync = 3


def test_share_refuses_a_batch_that_cannot_be_divided():
    with pytest.raises(ValueError, match="batch_size=4 cannot be divided among 3 devices. Choose a multiple of 3"):
        ds.distribute.share(Three(), tf.data.Dataset.range(4), 4)


def test_share_leaves_one_device_its_dataset():
    dataset = tf.data.Dataset.range(4)
    assert ds.distribute.share(tf.distribute.get_strategy(), dataset, 4) is dataset


@pytest.mark.parametrize("size", [1, 2, 5, 6, 7])
def test_parts_of_a_batch_are_all_of_it_in_order_and_differ_by_one_image_at_most(size):
    from deepsim_tf.distribute.sharing import _part

    parts = [_part((tf.range(size),), k, 3)[0].numpy() for k in range(3)]
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(size))
    counts = [len(part) for part in parts]
    assert counts == sorted(counts, reverse=True) and counts[0] - counts[-1] <= 1
