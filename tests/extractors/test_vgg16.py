"""VGG16 as an extractor; its weights are not downloaded here."""

import keras
import numpy as np
import pytest

import deepsim_tf as ds


def test_the_levels_are_those_of_the_paper_and_grey_images_are_scaled_as_kerass_own_preprocessing(tmp_path):
    keras.utils.set_random_seed(0)
    network = keras.applications.VGG16(include_top=False, weights=None)
    network.save_weights(tmp_path / "vgg.weights.h5")
    extractor = ds.models.FeatureExtractor.vgg16(tmp_path / "vgg.weights.h5")
    image = np.random.default_rng(0).random((1, 24, 32, 1), "float32")
    features = extractor(image)
    assert {level: tuple(maps.shape) for level, maps in features.items()} == {
        "level_0": (1, 24, 32, 64),
        "level_1": (1, 12, 16, 128),
        "level_2": (1, 6, 8, 256),
    }
    prepared = keras.applications.vgg16.preprocess_input(np.repeat(image * 255, 3, axis=-1))
    expected = keras.Model(network.input, network.get_layer("block3_conv3").output)(prepared)
    np.testing.assert_allclose(features["level_2"], expected, rtol=1e-4, atol=1e-4)
    assert not extractor.trainable_variables


def test_without_its_weights_it_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="No VGG16 weights at /no/file.h5"):
        ds.models.FeatureExtractor.vgg16("/no/file.h5")
    (tmp_path / "other.weights.h5").write_bytes(b"no weights")
    with pytest.raises(
        ValueError, match="of VGG16 could not be loaded .* Without a network, pass the path of vgg16_weights"
    ):
        ds.models.FeatureExtractor.vgg16(tmp_path / "other.weights.h5")

    def unreachable(*args, **kwargs):
        raise Exception("URL fetch failure")  # as keras.utils.get_file does

    monkeypatch.setattr(keras.applications, "VGG16", unreachable)
    with pytest.raises(ValueError, match="URL fetch failure"):
        ds.models.FeatureExtractor.vgg16()
