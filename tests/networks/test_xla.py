"""`jit_compile=True` compiles network, loss and gradient; the checks, the metrics and the skipping stay."""

import deepsim_tf as ds  # isort: skip
import keras
import numpy as np
import pytest
import tensorflow as tf
from cluster import TWO_CPUS, Process, finish

SHAPE = (8, 10)


def models(name):
    """The same untrained model twice, the second under XLA."""
    for xla in (False, True):
        keras.utils.set_random_seed(0)
        if name == "segmentation":
            model = ds.models.segmentation_model(SHAPE, 2, features=(2,))
            metrics = ["accuracy", ds.models.SegmentationDice()]
            model.compile("sgd", "sparse_categorical_crossentropy", metrics=metrics, jit_compile=xla)
        else:
            model = ds.models.registration_model(SHAPE, features=(2,), classes=2, int_steps=2)
            goal = {"regularizer": ds.losses.Diffusion(), "weight": 0.1}
            model.compile("sgd", ds.losses.LocalNCC(3), **goal, jit_compile=xla)
        yield model


@pytest.mark.parametrize("name", ["segmentation", "registration"])
def test_the_numbers_are_those_without_xla_and_every_check_still_raises(name, pair):
    images, labels = pair(SHAPE)
    x, y = (images, labels) if name == "registration" else (images["moving"], labels["moving_labels"])
    plain, compiled = models(name)
    assert compiled.jit_compile and not plain.jit_compile
    for entry in ("train_on_batch", "test_on_batch"):
        np.testing.assert_allclose(getattr(compiled, entry)(x, y), getattr(plain, entry)(x, y), rtol=1e-4, atol=1e-6)
    before = compiled.get_weights()
    bad = tf.nest.map_structure(lambda image: np.where(np.arange(SHAPE[1])[:, None] == 3, np.nan, image), x)
    bad = tf.nest.map_structure(lambda image: image.astype("float32"), bad)
    for entry, arguments in [("train_on_batch", (bad, y)), ("test_on_batch", (bad, y)), ("predict_on_batch", (bad,))]:
        with pytest.raises(ValueError, match="expects finite images, but .* holds NaN or infinity"):
            getattr(compiled, entry)(*arguments)
    beyond = tf.nest.map_structure(lambda part: part + 2, y)
    for entry in ("train_on_batch", "test_on_batch"):
        with pytest.raises(ValueError, match=r"expects labels from 0 to 1 \(classes=2\). Received: labels from 2 to 3"):
            getattr(compiled, entry)(x, beyond)
    assert all(np.array_equal(a, b) for a, b in zip(compiled.get_weights(), before, strict=True))
    compiled.trainable_weights[0].assign(np.full(before[0].shape, np.nan))
    with pytest.warns(UserWarning, match="1 of the 1 steps of epoch 1 were skipped"):
        assert np.isnan(compiled.fit(x, y, verbose=0).history["loss"]).all()


SEVERAL = (
    TWO_CPUS
    + """
import keras, pytest
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    for model in (ds.models.registration_model((8, 8), features=(2,)), ds.models.autoencoder((8, 8), features=(2,))):
        with pytest.raises(ValueError, match="jit_compile=True works on one device only, and this model has several"):
            model.compile("adam", loss="mse", jit_compile=True)
        with pytest.raises(ValueError, match="steps_per_execution=2 works on one device only"):
            model.compile("adam", loss="mse", steps_per_execution=2)
        model.compile("adam", loss="mse")
"""
)


def test_on_several_devices_it_is_refused_in_a_sentence():
    finish(Process(SEVERAL))
