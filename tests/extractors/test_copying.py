"""The copy of a model's layers: their state, inference mode, what cannot be copied, and a file of its own."""

import backbones
import keras
import numpy as np
import pytest
from keras import layers as kl

from deepsim_tf.models import FeatureExtractor


def model_with(layer, shape=(None, None, 3)):
    """A model of one layer and a convolution after it, named "conv"."""
    images = keras.Input(shape)
    return keras.Model(images, backbones.convolve(layer(images), 4, "conv"))


def features_of(model, images):
    """The maps of an extractor from the layer "conv"."""
    return FeatureExtractor.from_model(model, layers=["conv"])(images)["level_0"]


@pytest.fixture
def colours(rng):
    """Two small images of three channels, in [0, 1]."""
    return rng.random((2, 10, 12, 3), "float32")


def test_an_adapted_normalization_keeps_its_state(colours):
    layer = kl.Normalization()
    layer.adapt(colours * 3 + 1)
    model = model_with(layer)
    normed = (colours - np.mean(colours * 3 + 1, (0, 1, 2))) / np.std(colours * 3 + 1, (0, 1, 2))
    plain = keras.Model(model.get_layer("conv").input, model.get_layer("conv").output)
    np.testing.assert_allclose(features_of(model, colours), plain(normed.astype("float32")), atol=1e-4)


@pytest.mark.parametrize("layer", [kl.Normalization(mean=[0.1, 0.2, 0.3], variance=[4, 1, 2]), kl.Rescaling(3, -1)])
def test_layers_that_scale_keep_their_numbers(layer, colours):
    model = model_with(layer)
    np.testing.assert_allclose(features_of(model, colours), model(colours, training=False), atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        kl.RandomFlip(),
        kl.RandomRotation(0.2),
        kl.RandomZoom(0.2),
        kl.RandomTranslation(0.2, 0.2),
        kl.RandomContrast(0.5),
        kl.RandomBrightness(0.5, value_range=(0, 1)),
        kl.GaussianNoise(1.0),
        kl.SpatialDropout2D(0.5),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_randomness_is_inactive(layer, colours):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, backbones.convolve(layer(images, training=True), 4, "conv"))  # active for good
    plain = keras.Model(model.get_layer("conv").input, model.get_layer("conv").output)
    extractor = FeatureExtractor.from_model(model, layers=["conv"])
    for training in (None, True):
        np.testing.assert_allclose(extractor(colours, training=training)["level_0"], plain(colours), atol=1e-5)


def test_operations_on_tensors_are_copied(colours):
    images = keras.Input((None, None, 3))
    x = keras.ops.relu(images[..., :2] * 2.0 - 0.5) + keras.ops.mean(images, axis=-1, keepdims=True)
    model = keras.Model(images, backbones.convolve(x, 4, "conv"))
    np.testing.assert_allclose(features_of(model, colours), model(colours), atol=1e-6)


def test_the_models_weights_are_copied_not_shared(colours):
    model = model_with(kl.BatchNormalization())
    extractor = FeatureExtractor.from_model(model, layers=["conv"])
    before = extractor(colours)["level_0"]
    model.set_weights([w + 1 for w in model.get_weights()])
    np.testing.assert_array_equal(extractor(colours)["level_0"], before)
    assert len(model.trainable_weights) == 4 and not extractor.trainable_weights


def test_volumes_of_half_precision_keep_it(mixed_float16, rng):
    images = keras.Input((8, 8, 8, 1))
    model = keras.Model(images, backbones.convolve(images, 4, "conv"))
    maps = features_of(model, rng.random((1, 6, 7, 8, 1), "float32"))
    assert maps.dtype == "float16" and maps.shape == (1, 6, 7, 8, 4)


def test_layers_that_cannot_be_copied_are_named():
    with pytest.raises(ValueError, match=r"Layer 'lambda.*' \(Lambda\) holds code, which is never run from a file"):
        features_of(model_with(kl.Lambda(lambda x: x, output_shape=lambda s: s)), None)
    with pytest.raises(ValueError, match=r"Layer 'first' \(Conv2D\) has its channels first. Build the model with"):
        features_of(model_with(kl.Conv2D(3, 1, data_format="channels_first", name="first"), (3, 12, 12)), None)

    class Mine(kl.Layer):
        def __init__(self, table):
            super().__init__(name="mine")
            self.table = table

        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"Layer 'mine' \(Mine\) cannot be made anew from its get_config"):
        features_of(model_with(Mine(np.ones(2))), None)
