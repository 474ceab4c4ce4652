import keras
import numpy as np
import pytest
import tensorflow as tf

import deepsim_tf as ds
from deepsim_tf._compat import vxm
from deepsim_tf.models import FeatureExtractor


def tap(model, layer, images):
    """What a layer of a functional model gives for images, through a model of its own."""
    return keras.Model(model.input, model.get_layer(layer).output)(images, training=False)


def test_the_levels_of_the_paper_are_the_second_activations_of_each_stage(segmenter, extractor, texture):
    images = texture(count=2)
    features = extractor(images)
    assert list(features) == extractor.levels == ["level_1", "level_2"]
    for k in (1, 2):
        np.testing.assert_allclose(
            features[f"level_{k}"], tap(segmenter, f"unet_enc_conv_{k}_1_activation", images), atol=1e-6
        )
        assert features[f"level_{k}"].shape == (2, 16 // 2**k, 20 // 2**k, 4 * k)


def test_the_levels_of_voxelmorph_are_the_activations_before_each_pooling(texture):
    model, images = ds.models.segmentation_model((16, 20), 2, features=(4, 8)), texture(count=2)
    features = FeatureExtractor.from_model(model)(images)
    pools = [layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert {name: f.shape[1:] for name, f in features.items()} == {"level_0": (16, 20, 4), "level_1": (8, 10, 8)}
    for feature, pool in zip(features.values(), pools, strict=True):
        np.testing.assert_allclose(feature, keras.Model(model.input, pool.input)(images), atol=1e-6)


def test_the_encoder_of_voxelmorphs_own_unet_and_vxmdense_is_found(rng):
    unet = vxm.networks.Unet(inshape=(16, 16, 16, 1), nb_features=[[4, 8], [8, 4]])
    dense = vxm.networks.VxmDense((16, 16), nb_unet_features=[[4, 8], [8, 4]], int_steps=0)
    for model, images in (
        (unet, rng.random((1, 12, 10, 9, 1), "float32")),
        (dense, rng.random((1, 12, 10, 2), "float32")),
    ):
        features = FeatureExtractor.from_model(model)(images)
        assert [f.shape[-1] for f in features.values()] == [4, 8]
        assert features["level_0"].shape[1:-1] == images.shape[1:-1]
        np.testing.assert_allclose(features["level_0"], tap_first_convolution(model, images), atol=1e-5)


def tap_first_convolution(model, images):
    """LeakyReLU(0.2) of the first convolution of a model."""
    first = next(layer for layer in model.layers if hasattr(layer, "kernel"))
    convolved = tf.nn.convolution(images, first.kernel, padding="SAME") + first.bias
    return tf.nn.leaky_relu(convolved, 0.2)


@pytest.mark.parametrize(
    "backbone, levels", [("voxelmorph", ["level_0", "level_1"]), ("paper", ["level_1", "level_2"])]
)
def test_the_encoder_of_a_registration_model_sees_two_images(backbone, levels, rng):
    model = ds.models.registration_model((16, 20), backbone=backbone, features=(4, 8))
    extractor = FeatureExtractor.from_model(model)
    assert extractor.levels == levels and extractor.channels == 2
    assert extractor(rng.random((1, 11, 9, 2), "float32"))[levels[0]].shape[-1] == 4


def test_levels_can_be_chosen(segmenter, extractor, texture):
    one = FeatureExtractor.from_model(segmenter, levels=["level_1"])
    assert one.levels == ["level_1"]
    np.testing.assert_array_equal(one(texture())["level_1"], extractor(texture())["level_1"])
    assert len(one.weights) < len(extractor.weights)  # the graph ends there


def test_unknown_or_no_levels_are_refused(segmenter):
    with pytest.raises(ValueError, match="Unknown level 'level_7'. Available: level_1, level_2"):
        FeatureExtractor.from_model(segmenter, levels=["level_1", "level_7"])
    with pytest.raises(ValueError, match="levels is empty. Available: level_1, level_2"):
        FeatureExtractor.from_model(segmenter, levels=[])


@pytest.mark.parametrize("shape", [(16, 20), (13, 9), (40, 8)])
def test_any_size_is_taken_and_a_batch_is_its_images(shape, extractor, texture):
    images = texture(shape, count=2)
    features = extractor(images)
    assert features["level_2"].shape[1:-1] == tuple(-(-n // 4) for n in shape)
    for level, feature in features.items():
        np.testing.assert_allclose(feature[1:], extractor(images[1:])[level], atol=1e-5)


def test_inference_mode_is_never_left(segmenter, texture):
    extractor, images = FeatureExtractor.from_model(segmenter), texture(count=2)
    before = extractor.get_weights()
    first, second = extractor(images, training=True), extractor(images, training=True)
    for level in first:  # no dropout
        np.testing.assert_array_equal(first[level], second[level])
        np.testing.assert_array_equal(first[level], extractor(images, training=False)[level])
    for a, b in zip(before, extractor.get_weights(), strict=True):  # no update of batch norm
        np.testing.assert_array_equal(a, b)


def test_batch_norm_uses_the_running_statistics_of_the_model(texture):
    model = ds.models.segmentation_model((16, 20), 2, backbone="paper", features=(4,))
    norm = model.get_layer("unet_enc_norm_1")
    norm.moving_mean.assign([0.3])
    norm.moving_variance.assign([4.0])
    unnormed = ds.models.segmentation_model((16, 20), 2, backbone="paper", features=(4,), batch_norm=False)
    unnormed.set_weights([w.numpy() for w in model.weights if "norm" not in w.path])
    images = texture(count=2)
    expected = FeatureExtractor.from_model(unnormed)((images - 0.3) / np.sqrt(4 + 1e-5).astype("float32"))
    np.testing.assert_allclose(FeatureExtractor.from_model(model)(images)["level_1"], expected["level_1"], atol=1e-5)


def test_nothing_makes_it_trainable(segmenter):
    extractor = FeatureExtractor.from_model(segmenter)
    assert not extractor.trainable and not extractor.trainable_weights and extractor.non_trainable_weights
    extractor.trainable = True
    around = keras.Sequential([extractor])
    around.trainable = True
    assert not extractor.trainable and not extractor.trainable_weights and not around.trainable_weights


def test_the_model_it_came_from_stays_trainable_and_its_own(texture):
    model = ds.models.segmentation_model((16, 20), 2, backbone="paper", features=(4, 8))
    trainable = len(model.trainable_weights)
    extractor = FeatureExtractor.from_model(model)
    before = extractor(texture())["level_2"]
    model.set_weights([w + 1 for w in model.get_weights()])
    assert model.trainable and len(model.trainable_weights) == trainable
    np.testing.assert_array_equal(extractor(texture())["level_2"], before)


def test_a_file_and_a_run_folder_give_the_same_extractor(segmenter, extractor, texture, tmp_path):
    segmenter.save(tmp_path / "model.keras")
    for path in (str(tmp_path / "model.keras"), tmp_path / "model.keras", tmp_path):
        np.testing.assert_array_equal(
            FeatureExtractor.from_model(path)(texture())["level_2"], extractor(texture())["level_2"]
        )


def test_a_missing_or_foreign_file_is_named(tmp_path):
    (tmp_path / "notes.keras").write_text("no model")
    with pytest.raises(ValueError, match="No model at .*gone.keras"):
        FeatureExtractor.from_model(tmp_path / "gone.keras")
    with pytest.raises(ValueError, match="notes.keras cannot be read as a Keras model"):
        FeatureExtractor.from_model(tmp_path / "notes.keras")


def test_a_saved_extractor_is_the_same_and_frozen(extractor, texture, tmp_path):
    extractor.save(tmp_path / "extractor.keras")
    loaded = keras.models.load_model(tmp_path / "extractor.keras")
    assert isinstance(loaded, FeatureExtractor) and not loaded.trainable_weights and loaded.levels == extractor.levels
    for level, feature in extractor(texture()).items():
        np.testing.assert_array_equal(loaded(texture())[level], feature)


def test_other_channels_and_dimensions_are_refused(extractor):
    with pytest.raises(
        ValueError, match=r"trained on images of 1 channel\(s\). Received: images.shape=\(1, 16, 16, 3\)"
    ):
        extractor(np.zeros((1, 16, 16, 3), "float32"))
    with pytest.raises(
        ValueError,
        match=r"A FeatureExtractor expects 2-D images, \(batch, \*spatial, channels\). Received: images.shape=\(16,"
        r" 16, 1\)",
    ):
        extractor(np.zeros((16, 16, 1), "float32"))
