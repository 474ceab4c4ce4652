"""Backbones of keras.applications, with random weights, inside of a segmentation network."""

import doctest

import keras
import numpy as np
import pytest

from deepsim_tf.models import FeatureExtractor

LAYERS = {
    "MobileNetV2": ["block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu"],
    # holds Rescaling(1 / 255) and Normalization
    "EfficientNetV2B0": ["block1a_project_activation", "block2b_expand_activation", "block4a_expand_activation"],
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_backbone_of_keras_gives_its_own_maps_at_another_size(name, rng):
    backbone = getattr(keras.applications, name)(input_shape=(64, 64, 3), include_top=False, weights=None)
    images = keras.Input((64, 64, 3))
    model = keras.Model(images, keras.layers.Conv2DTranspose(2, 32, strides=32)(backbone(images)))
    for layer in backbone.layers:  # running statistics that show whether batch norm uses them
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(size=layer.moving_mean.shape) / 10)
    extractor = FeatureExtractor.from_model(model, layers=LAYERS[name], channels="repeat", scale=255)
    assert extractor.levels == ["level_1", "level_2", "level_3"] and not extractor.trainable_weights
    pictures = rng.random((1, 64, 64, 1), "float32")
    maps = [backbone.get_layer(layer).output for layer in LAYERS[name]]
    expected = keras.Model(backbone.input, maps)(np.repeat(pictures, 3, axis=-1) * 255, training=False)
    for found, given in zip(extractor(pictures).values(), expected, strict=True):
        np.testing.assert_allclose(found, given, rtol=1e-4, atol=1e-5)
    assert extractor(pictures[:, :40, :56])["level_3"].shape[1:3] == (5, 7)


def test_the_example_of_the_docstring_gives_what_it_says():
    names = {"FeatureExtractor": FeatureExtractor, "keras": keras, "np": np}
    (example,) = doctest.DocTestFinder(recurse=False).find(FeatureExtractor.from_model, "from_model", globs=names)
    result = doctest.DocTestRunner().run(example)
    assert result.failed == 0 and result.attempted == 7
