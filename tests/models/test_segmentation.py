import keras
import numpy as np
import pytest

import deepsim_tf as ds
from deepsim_tf.models import segmentation_dice


@pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])
def test_a_few_steps_lower_the_cross_entropy(backbone, pair):
    inputs, labels = pair((13, 18))
    images, labels = inputs["fixed"], labels["fixed_labels"]
    model = ds.models.segmentation_model((13, 18), 2, backbone=backbone, features=(4, 8), dropout=False)
    model.compile(
        keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=[segmentation_dice], run_eagerly=True
    )
    before = model.test_on_batch(images, labels, return_dict=True)
    # mean of -log of the probability of the true class
    picked = np.take_along_axis(model(images).numpy(), labels[..., None], -1)
    np.testing.assert_allclose(before["loss"], -np.mean(np.log(picked)), rtol=1e-4)
    losses = []
    for _ in range(4):
        model.reset_metrics()
        losses.append(model.train_on_batch(images, labels, return_dict=True)["loss"])
    assert losses[-1] < losses[0] - 1e-3


def test_the_dice_of_probabilities_is_that_of_the_most_probable_class(rng):
    labels, probabilities = rng.integers(0, 3, (2, 6, 7)), rng.random((2, 6, 7, 3), "float32")
    expected = [ds.metrics.dice(a, p.argmax(-1), 3).mean() for a, p in zip(labels, probabilities, strict=True)]
    np.testing.assert_allclose(segmentation_dice(labels, probabilities), expected, rtol=1e-6)


def test_probabilities_stay_in_float32_under_half_precision(mixed_float16, texture):
    model = ds.models.segmentation_model((13, 18), 3, features=(4, 8))
    assert model(texture((13, 18))).dtype == "float32" and model.get_layer("logits").compute_dtype == "float16"
