"""Which layers of a model become levels: named ones, its own pyramid, or a known encoder."""

import backbones
import keras
import numpy as np
import pytest

import deepsim_tf as ds
from deepsim_tf._compat import vxm
from deepsim_tf.models import FeatureExtractor


def test_a_stock_keras_model_is_tapped_by_layer_names(rng):
    model = backbones.backbone((32, 32, 3))
    extractor = FeatureExtractor.from_model(model, layers=["conv_2", "conv_1"])
    assert extractor.levels == ["level_1", "level_2"] and extractor.channels == 3
    example = rng.random((1, 32, 32, 3), "float32")
    for level, layer in (("level_1", "conv_1"), ("level_2", "conv_2")):
        np.testing.assert_allclose(extractor(example)[level], backbones.tap(model, layer, example), atol=1e-6)


@pytest.mark.parametrize("kind", [dict, list, tuple])
def test_a_model_whose_output_is_a_pyramid_is_taken_as_it_is(kind, rng):
    model = backbones.backbone()
    maps = [model.get_layer(name).output for name in ("conv_2", "conv_1")]
    model = keras.Model(model.input, {"P2": maps[0], "P1": maps[1]} if kind is dict else kind(maps))
    example = rng.random((1, 13, 22, 1), "float32")
    given = model(example)
    deep, fine = (given["P2"], given["P1"]) if kind is dict else given
    features = FeatureExtractor.from_model(model)(example)
    assert list(features) == ["level_1", "level_2"]
    np.testing.assert_allclose(features["level_1"], fine, atol=1e-6)
    np.testing.assert_allclose(features["level_2"], deep, atol=1e-6)


def test_the_pyramid_of_a_keras_hub_backbone_is_found_beside_its_output(rng):
    class Backbone(keras.Model):  # as keras_hub.models.FeaturePyramidBackbone
        def __init__(self):
            model = backbones.pyramid()
            super().__init__(model.input, model.output["P2"])
            self.pyramid_outputs = dict(model.output)

    model, example = Backbone(), rng.random((1, 16, 16, 1), "float32")
    features = FeatureExtractor.from_model(model)(example)
    assert {level: maps.shape[1:] for level, maps in features.items()} == {"level_1": (8, 8, 4), "level_2": (4, 4, 6)}
    np.testing.assert_allclose(features["level_2"], model(example), atol=1e-6)


def test_the_pyramid_made_of_a_known_network_goes_before_its_encoder(segmenter):
    first = segmenter.get_layer("unet_enc_conv_1_0_activation").output
    last = segmenter.get_layer("unet_enc_conv_2_0_activation").output
    extractor = FeatureExtractor.from_model(keras.Model(segmenter.input, {"a": first, "b": last}))
    assert [layer.name for layer in extractor.encoder.layers][-1] == "unet_enc_conv_2_0_activation"


def test_heads_of_a_known_network_are_no_pyramid(segmenter):
    heads = {name: keras.layers.Conv2D(1, 1, name=name)(segmenter.output) for name in ("mask", "edge")}
    assert FeatureExtractor.from_model(keras.Model(segmenter.input, heads)).levels == ["level_1", "level_2"]


def test_a_velocity_at_half_resolution_is_no_pyramid():
    model = vxm.networks.VxmDense((16, 16), nb_unet_features=[[4, 8], [8, 4]], int_steps=2)  # [warped, velocity]
    assert [maps.shape[-1] for maps in FeatureExtractor.from_model(model).encoder.output.values()] == [4, 8]


def test_a_model_without_a_known_encoder_asks_for_layer_names():
    images = keras.Input((16, 16, 1))
    model = keras.Model(images, keras.layers.Conv2D(2, 1, name="only")(images), name="mine")
    with pytest.raises(
        ValueError,
        match=r"'mine' is not of deepsim_tf or VoxelMorph, and its output is no pyramid: name the layers .*only",
    ):
        FeatureExtractor.from_model(model)
    with pytest.raises(ValueError, match=r"Unknown layer 'conv9' in model 'mine'. Its layers: only\."):
        FeatureExtractor.from_model(model, layers=["conv9"])
    with pytest.raises(ValueError, match=r"layers is empty. Name the layers to tap, or leave it out"):
        FeatureExtractor.from_model(model, layers=[])


def test_a_name_that_is_nearly_right_is_answered_with_the_right_one():
    with pytest.raises(ValueError, match=r"Unknown layer 'conv1' in model 'backbone'. Similar: conv_1, conv_2\."):
        FeatureExtractor.from_model(backbones.backbone(), layers=["conv1"])


def test_a_model_with_two_encoders_asks_for_names(segmenter):
    one, two = (ds.models.segmentation_model((16, 16), 2, features=(4, 8)) for _ in range(2))
    images = keras.Input((16, 16, 1))
    one.name, two.name = "one", "two"
    model = keras.Model(images, keras.layers.Add()([one(images), two(images)]))
    with pytest.raises(ValueError, match=r"has 2 encoders, in 'one' and 'two'. Name the layers to tap"):
        FeatureExtractor.from_model(model)
    layers = [f"two/unet_enc_conv_{level}_0_activation" for level in range(2)]
    extractor = FeatureExtractor.from_model(model, layers=layers)
    np.testing.assert_array_equal(extractor.get_weights()[0], two.get_weights()[0])


def test_a_subclassed_model_is_refused_with_the_way_out():
    class Mine(keras.Model):
        def call(self, images):
            return images

    with pytest.raises(ValueError, match=r"functional Keras model.* Received: Mine.* keras.Model\(images, \{\"P1\": "):
        FeatureExtractor.from_model(Mine())
    with pytest.raises(ValueError, match=r"or a Sequential one that has been built. Received: Sequential"):
        FeatureExtractor.from_model(keras.Sequential([keras.layers.Conv2D(2, 3)]))
