"""Levels are named by how many times smaller than the image their maps are."""

import backbones
import keras
import numpy as np
import pytest

from deepsim_tf.models import FeatureExtractor


def one_layer(layer, shape=(None, None, 1)):
    """A model of one layer, named "layer"."""
    images = keras.Input(shape)
    return keras.Model(images, layer(images), name="mine")


@pytest.mark.parametrize("shape", [(16, 24), (13, 21), (40, 8)])
def test_the_maps_of_odd_and_oblong_images_have_the_networks_own_size(shape, rng):
    model = backbones.backbone(widths=(4, 6, 2))
    extractor = FeatureExtractor.from_model(model, layers=["conv_1", "conv_2", "conv_3"])
    example = rng.random((1, *shape, 1), "float32")
    for k, maps in enumerate(extractor(example).values(), start=1):
        np.testing.assert_allclose(maps, backbones.tap(model, f"conv_{k}", example), atol=1e-6)
        assert maps.shape[1:3] == tuple(-(-n // 2**k) for n in shape)


def test_convolutions_without_padding_are_named_by_their_stride(rng):
    images = x = keras.Input((96, 96, 1))
    for name in "abc":
        x = keras.layers.Conv2D(2, 5, name=name)(x)
        x = keras.layers.MaxPooling2D()(x)
    extractor = FeatureExtractor.from_model(keras.Model(images, x), layers=["a", "b", "c"])
    features = extractor(rng.random((1, 96, 64, 1), "float32"))
    assert {level: maps.shape[1:3] for level, maps in features.items()} == {
        "level_0": (92, 60),  # 96 - 4
        "level_1": (42, 26),  # 92 / 2 - 4
        "level_2": (17, 9),  # 42 / 2 - 4
    }
    with pytest.raises(ValueError, match=r"Images are too small for level_2. Received: images.shape=\(1, 16, 64, 1\)"):
        extractor(rng.random((1, 16, 64, 1), "float32"))


def test_maps_of_a_decoder_say_which_sizes_they_take(rng):
    images = keras.Input((32, 32, 1))
    fine = backbones.convolve(images, 2, "fine")
    coarse = keras.layers.UpSampling2D()(backbones.convolve(fine, 2, "coarse", strides=2))
    model = keras.Model(images, backbones.convolve(keras.layers.Concatenate()([fine, coarse]), 2, "last"))
    extractor = FeatureExtractor.from_model(model, layers=["last", "coarse"])
    assert extractor(rng.random((1, 10, 12, 1), "float32"))["level_0"].shape == (1, 10, 12, 2)
    with pytest.raises(ValueError, match=r"images whose sides divide by 2. Received: images.shape=\(1, 9, 12, 1\)"):
        extractor(rng.random((1, 9, 12, 1), "float32"))


@pytest.mark.parametrize(
    "layer, expected",
    [
        (keras.layers.Conv2D(2, 3, strides=3, name="layer"), "3.01 x 3.01 times smaller than the image"),
        (keras.layers.Conv2D(2, 3, strides=(1, 2), padding="same", name="layer"), "1 x 2 times smaller"),
        (keras.layers.UpSampling2D(name="layer"), "0.5 x 0.5 times smaller than the image"),
        (keras.layers.GlobalAveragePooling2D(name="layer"), "gives no feature map"),
        (keras.layers.GlobalAveragePooling2D(keepdims=True, name="layer"), "gives no feature map"),
        (keras.layers.Resizing(32, 32, name="layer"), "whose size follows the image's"),
        (keras.layers.RandomCrop(8, 8, name="layer"), "whose size follows the image's"),
    ],
)
def test_maps_that_are_not_a_power_of_2_smaller_are_refused(layer, expected):
    with pytest.raises(ValueError, match=f"Layer 'layer' of model 'mine' .*{expected}"):
        FeatureExtractor.from_model(one_layer(layer), layers=["layer"])


def test_layers_after_one_that_takes_one_size_are_refused_by_its_name():
    images = keras.Input((16, 16, 1))
    x = keras.layers.Reshape((16, 16, 1), name="again")(images)
    model = keras.Model(images, backbones.convolve(x, 2, "conv"))
    with pytest.raises(ValueError, match="Layer 'again' does not take images of any size .*. Tap layers before it."):
        FeatureExtractor.from_model(model, layers=["conv"])


def test_two_layers_of_one_size_are_refused(segmenter):
    with pytest.raises(
        ValueError,
        match="'unet_enc_conv_1_0' and 'unet_enc_conv_1_1' of .* are of the same size, level_1. Name one layer for",
    ):
        FeatureExtractor.from_model(segmenter, layers=["unet_enc_conv_1_0", "unet_enc_conv_1_1"])


def test_what_takes_no_images_is_refused():
    with pytest.raises(ValueError, match=r"Model 'mine' must take images .* Received: an input of shape \(None, 8\)"):
        FeatureExtractor.from_model(one_layer(keras.layers.Dense(2, name="layer"), (8,)), layers=["layer"])
