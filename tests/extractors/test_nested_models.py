"""Layers inside of nested, shared, joined and Sequential models."""

import backbones
import keras
import numpy as np
import pytest

from deepsim_tf.models import FeatureExtractor

EXAMPLE = np.random.default_rng(0).random((2, 20, 14, 1), "float32")


def same(features, model, layers):
    """Whether an extractor's maps are those of the layers of a model, which is called directly."""
    for maps, layer in zip(features.values(), layers, strict=True):
        np.testing.assert_allclose(maps, backbones.tap(model, layer, EXAMPLE), atol=1e-6)


def around(model, depth=1):
    """A segmentation network around a backbone, as many models deep."""
    for level in range(depth):
        images = keras.Input((20, 14, 1))
        x = keras.layers.Rescaling(1.0, name=f"same_{level}")(images)
        model = keras.Model(images, keras.layers.Conv2D(2, 1, name="head")(model(x)), name=f"outer_{level}")
    return model


@pytest.mark.parametrize("depth", [1, 3])
def test_layers_of_a_nested_backbone_are_tapped_by_plain_name(depth):
    backbone = backbones.backbone()
    extractor = FeatureExtractor.from_model(around(backbone, depth), layers=["conv_1", "conv_2"])
    same(extractor(EXAMPLE), backbone, ["conv_1", "conv_2"])


def test_a_nested_pyramid_of_several_maps_is_tapped_too():
    pyramid, images = backbones.pyramid(), keras.Input((20, 14, 1))
    model = keras.Model(images, keras.layers.Conv2D(2, 1)(pyramid(images)["P2"]))
    extractor = FeatureExtractor.from_model(model, layers=["conv_1", "conv_2"])
    given = pyramid(EXAMPLE)
    for level, name in (("level_1", "P1"), ("level_2", "P2")):
        np.testing.assert_allclose(extractor(EXAMPLE)[level], given[name], atol=1e-6)


def test_a_nested_model_can_be_tapped_as_a_whole():
    backbone = backbones.backbone()
    extractor = FeatureExtractor.from_model(around(backbone), layers=["backbone"])
    assert extractor.levels == ["level_2"]
    same(extractor(EXAMPLE), backbone, ["conv_2"])
    pyramid, images = backbones.pyramid(), keras.Input((20, 14, 1))
    model = keras.Model(images, pyramid(images)["P2"])
    with pytest.raises(ValueError, match="Layer 'backbone' gives 2 tensors, not one feature map"):
        FeatureExtractor.from_model(model, layers=["backbone"])


def test_two_nested_models_with_layers_of_one_name_need_the_full_name():
    one, two, images = backbones.backbone(name="one"), backbones.backbone(name="two"), keras.Input((20, 14, 1))
    model = keras.Model(images, keras.layers.Concatenate(name="both")([one(images), two(images)]), name="pair")
    with pytest.raises(
        ValueError, match="'conv_1' is in several places of model 'pair'. Name one: one/conv_1, two/conv"
    ):
        FeatureExtractor.from_model(model, layers=["conv_1", "both"])
    extractor = FeatureExtractor.from_model(model, layers=["two/conv_1", "both"])
    same({"level_1": extractor(EXAMPLE)["level_1"]}, two, ["conv_1"])
    np.testing.assert_allclose(extractor(EXAMPLE)["level_2"], model(EXAMPLE), atol=1e-6)


def test_a_nested_model_that_is_called_twice_is_refused_with_the_way_out():
    backbone, images = backbones.backbone(), keras.Input((20, 14, 1))
    coarse = keras.layers.AveragePooling2D(2)(images)
    model = keras.Model(images, [backbone(images), backbone(coarse)])
    expected = r"'backbone/conv_1' is called 2 times in .*: pass the model inside, model.get_layer\('backbone'\), and"
    with pytest.raises(ValueError, match=expected):
        FeatureExtractor.from_model(model, layers=["conv_1"])


def test_a_layer_that_is_called_twice_before_the_tap_keeps_one_copy():
    images = x = keras.Input((20, 14, 1))
    shared = keras.layers.Conv2D(1, 3, padding="same", name="shared")
    x = backbones.convolve(shared(shared(x)), 4, "conv", strides=2)
    model = keras.Model(images, x)
    extractor = FeatureExtractor.from_model(model, layers=["conv"])
    assert len(extractor.weights) == 4
    same(extractor(EXAMPLE), model, ["conv"])
    with pytest.raises(ValueError, match=r"'shared' is called 2 times .*pass keras.Model\(images, \{...\}\)"):
        FeatureExtractor.from_model(model, layers=["shared"])


def test_a_model_of_two_images_is_taken_from_their_concatenation_on():
    inputs = [keras.Input((20, 14, 1), name=name) for name in ("t1", "t2")]
    x = keras.layers.Concatenate()([keras.layers.Rescaling(3.0)(image) for image in inputs])
    model = keras.Model(inputs, backbones.convolve(x, 4, "conv"))
    extractor = FeatureExtractor.from_model(model, layers=["conv"])
    assert extractor.channels == 2
    both = np.concatenate([3 * EXAMPLE, 3 * EXAMPLE[::-1]], axis=-1)
    np.testing.assert_allclose(extractor(both)["level_0"], model([EXAMPLE, EXAMPLE[::-1]]), atol=1e-5)


def test_of_a_model_of_two_images_one_may_do():
    inputs = [keras.Input((20, 14, 1), name=name) for name in ("t1", "t2")]
    maps = [backbones.convolve(image, 4, f"conv_{image.name}") for image in inputs]
    model = keras.Model(inputs, keras.layers.Add(name="sum")(maps), name="late")
    extractor = FeatureExtractor.from_model(model, layers=["conv_t2"])
    expected = keras.Model(inputs[1], maps[1])(EXAMPLE)
    np.testing.assert_allclose(extractor(EXAMPLE)["level_0"], expected, atol=1e-6)
    with pytest.raises(ValueError, match="in model 'late' depend on 2 inputs, 't1', 't2', which no Concatenate layer"):
        FeatureExtractor.from_model(model, layers=["sum"])


def test_nested_models_of_several_inputs_meet_them_by_name():
    left, right = keras.Input((20, 14, 1), name="left"), keras.Input((20, 14, 1), name="right")
    inner = keras.Model({"left": left, "right": right}, keras.layers.Subtract(name="difference")([left, right]))
    images = keras.Input((20, 14, 1))
    model = keras.Model(images, inner({"right": images, "left": keras.layers.Rescaling(3.0)(images)}))
    extractor = FeatureExtractor.from_model(model, layers=["difference"])
    np.testing.assert_allclose(extractor(EXAMPLE)["level_0"], 2 * EXAMPLE, atol=1e-6)


def test_sequential_models_are_taken_alone_and_nested():
    stage = keras.Sequential(
        [keras.Input((None, None, 1)), keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv")], name="stage"
    )
    head = keras.Sequential([keras.Input((20, 14, 1)), stage, keras.layers.Conv2D(2, 1, name="head")])
    for model in (stage, head):
        features = FeatureExtractor.from_model(model, layers=["conv"])(EXAMPLE)
        np.testing.assert_allclose(features["level_1"], stage(EXAMPLE), atol=1e-6)


def test_the_model_is_left_as_it_was():
    backbone = backbones.backbone()
    model = around(backbone)
    nodes = [len(layer._inbound_nodes) for layer in [*model.layers, *backbone.layers]]
    extractor = FeatureExtractor.from_model(model, layers=["conv_1", "conv_2"])
    assert [len(layer._inbound_nodes) for layer in [*model.layers, *backbone.layers]] == nodes
    assert model.trainable and len(model.trainable_weights) == 6 and not extractor.trainable_weights
    before = extractor.get_weights()
    model.compile("sgd", "mse")
    model.fit(EXAMPLE, np.ones((2, 5, 4, 2)), verbose=0)
    for kept, weights in zip(before, extractor.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weights)
    assert any(not np.array_equal(a, b) for a, b in zip(before, backbone.get_weights(), strict=True))
