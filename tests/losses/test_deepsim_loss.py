"""DeepSim as a Keras loss on images; its equation is tested in test_deepsim_function.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepsim_tf as ds
from deepsim_tf.losses import DeepSim, deepsim


@pytest.fixture
def images(texture):
    """Three fixed and three warped images."""
    both = texture((16, 20), count=6)
    return both[:3], both[3:]


@pytest.fixture(scope="module")
def full_resolution():
    """An extractor of one level at full resolution, level_0 of VoxelMorph's U-Net."""
    keras.utils.set_random_seed(2)
    return ds.models.FeatureExtractor.from_model(
        ds.models.segmentation_model((16, 20), 2, features=(4, 8)), levels=["level_0"]
    )


def per_image(loss, fixed, warped):
    return np.array([float(loss(fixed[k : k + 1], warped[k : k + 1])) for k in range(len(fixed))])


def test_the_loss_is_the_function_on_the_features(images, extractor):
    fixed, warped = images
    loss = DeepSim(extractor, reduction=None)(fixed, warped)
    np.testing.assert_allclose(loss, deepsim(extractor(fixed), extractor(warped)), atol=1e-6)
    np.testing.assert_allclose(loss, per_image(DeepSim(extractor), fixed, warped), atol=1e-6)
    assert loss.shape == (3,) and len(set(loss.numpy().round(4))) == 3


def test_reductions_are_kerass(images, extractor):
    values = per_image(DeepSim(extractor), *images)
    np.testing.assert_allclose(DeepSim(extractor)(*images), values.mean(), rtol=1e-5)
    np.testing.assert_allclose(DeepSim(extractor, reduction="sum")(*images), values.sum(), rtol=1e-5)


def test_a_weight_for_each_image_weighs_its_value(images, extractor):
    weights = np.array([1.0, 0.0, 3.0], "float32")
    weighted = DeepSim(extractor, reduction=None)(*images, sample_weight=weights)
    np.testing.assert_allclose(weighted, weights * per_image(DeepSim(extractor), *images), rtol=1e-5)


@pytest.mark.parametrize("channel_axis", [False, True])
def test_a_weight_for_each_voxel_is_a_mask(images, full_resolution, channel_axis):
    mask = np.zeros((3, 16, 20), "float32")
    mask[:, :8, 5:] = 1
    loss = DeepSim(full_resolution, reduction=None)
    value = loss(*images, sample_weight=mask[..., None] if channel_axis else mask)
    inside = loss.similarity_map(*images).numpy()[:, :8, 5:]
    np.testing.assert_allclose(value, 1 - inside.mean((1, 2)), atol=1e-5)


def test_weights_of_another_grid_are_refused(images, extractor):
    with pytest.raises(
        ValueError,
        match=r"sample_weight must weigh images, \(batch,\), or voxels, \(3, 16, 20\). Received: \(3, 16, 19\)",
    ):
        DeepSim(extractor)(*images, sample_weight=np.ones((3, 16, 19), "float32"))


def test_the_foreground_is_where_the_fixed_image_is_bright(images, full_resolution):
    fixed, warped = images
    value = DeepSim(full_resolution, foreground=0.5, reduction=None)(fixed, warped)
    mask = (fixed[..., 0] > 0.5).astype("float32")
    assert 0 < mask.mean() < 1
    np.testing.assert_allclose(
        value, DeepSim(full_resolution, reduction=None)(fixed, warped, sample_weight=mask), atol=1e-6
    )
    assert np.abs(value - DeepSim(full_resolution, reduction=None)(fixed, warped)).max() > 1e-4


def test_an_image_without_foreground_scores_no_similarity(images, full_resolution):
    np.testing.assert_array_equal(DeepSim(full_resolution, foreground=2.0, reduction=None)(*images), np.ones(3))


def test_levels_are_those_asked_for(images, extractor):
    fixed, warped = (extractor(i) for i in images)
    expected = deepsim({"level_2": fixed["level_2"]}, {"level_2": warped["level_2"]})
    np.testing.assert_allclose(DeepSim(extractor, levels=["level_2"], reduction=None)(*images), expected, atol=1e-6)
    both = DeepSim(extractor, levels="level_1")(*images) + DeepSim(extractor, levels="level_2")(*images)
    np.testing.assert_allclose(DeepSim(extractor)(*images), both / 2, rtol=1e-5)


def test_an_unknown_level_is_named_beside_the_known_ones(extractor):
    with pytest.raises(ValueError, match="Unknown level 'level_7'. Available: level_1, level_2"):
        DeepSim(extractor, levels=["level_7"])


def test_options_reach_the_formula(images, extractor):
    features = extractor(images[0]), extractor(images[1])
    loss = DeepSim(extractor, zero_mean=True, eps=10.0, reduction=None)(*images)
    np.testing.assert_allclose(loss, deepsim(*features, zero_mean=True, eps=10.0), atol=1e-6)
    assert np.abs(loss - deepsim(*features)).min() > 1e-3


def test_an_atlas_gives_the_value_of_passing_it(images, extractor):
    atlas, warped = images[0][:1], images[1]
    expected = DeepSim(extractor, reduction=None)(np.repeat(atlas, 3, axis=0), warped)
    for fixed in (atlas, atlas[0]):
        value = DeepSim(extractor, fixed=fixed, reduction=None)(np.zeros_like(warped), warped)  # y_true is ignored
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_an_atlas_is_one_image_of_the_size_of_the_others(images, extractor):
    with pytest.raises(
        ValueError, match=r"fixed must be one image, \(\*spatial, channels\). Received: fixed.shape=\(3, 16, 20, 1\)"
    ):
        DeepSim(extractor, fixed=images[0])
    with pytest.raises(
        ValueError,
        match=r"DeepSim's atlas has shape \(8, 20, 1\), without batch. Received: y_pred.shape=\(3, 16, 20, 1\)",
    ):
        DeepSim(extractor, fixed=images[0][0, :8])(*images)


def test_an_atlas_with_foreground_masks_by_the_atlas(images, full_resolution):
    atlas, warped = images[0][:1], images[1]
    expected = DeepSim(full_resolution, foreground=0.5)(np.repeat(atlas, 3, axis=0), warped)
    value = DeepSim(full_resolution, foreground=0.5, fixed=atlas)(np.zeros_like(warped), warped)
    np.testing.assert_allclose(value, expected, atol=1e-6)


def test_the_gradient_reaches_the_warped_image_only(images, extractor):
    fixed, warped = map(tf.constant, images)
    with tf.GradientTape() as tape:
        tape.watch([fixed, warped])
        loss = DeepSim(extractor)(fixed, warped)
    to_fixed, to_warped = tape.gradient(loss, [fixed, warped])
    assert to_fixed is None and np.all(np.abs(to_warped).max((1, 2, 3)) > 0)


def test_a_step_against_the_gradient_lowers_the_loss(images, extractor):
    fixed, warped, loss = tf.constant(images[0]), tf.Variable(images[1]), DeepSim(extractor)
    with tf.GradientTape() as tape:
        before = loss(fixed, warped)
    gradient = tape.gradient(before, warped)
    step = 1e-3 / tf.norm(gradient)
    # first order: the loss falls by step * |gradient|^2
    np.testing.assert_allclose(before - loss(fixed, warped - step * gradient), 1e-3 * tf.norm(gradient), rtol=0.05)


def test_images_of_unequal_shape_are_refused(images, extractor):
    with pytest.raises(
        ValueError, match=r"equal shape. Received: y_true.shape=\(1, 16, 20, 1\), y_pred.shape=\(3, 16, 20, 1\)"
    ):
        DeepSim(extractor)(images[0][:1], images[1])


def test_images_of_other_channels_or_dimensions_are_refused(extractor):
    colour, volume = np.zeros((1, 16, 20, 3), "float32"), np.zeros((1, 8, 8, 8, 1), "float32")
    with pytest.raises(
        ValueError, match=r"trained on images of 1 channel\(s\). Received: images.shape=\(1, 16, 20, 3\)"
    ):
        DeepSim(extractor)(colour, colour)
    with pytest.raises(ValueError, match=r"expects 2-D images, .* Received: y_pred.shape=\(1, 8, 8, 8, 1\)"):
        DeepSim(extractor)(volume, volume)


def test_images_too_small_for_the_deepest_level_are_refused():
    extractor = ds.models.FeatureExtractor.from_model(ds.models.segmentation_model((16, 16), 2, features=(4, 8, 8)))
    tiny = np.ones((1, 3, 16, 1), "float32")
    with pytest.raises(
        ValueError, match="at least 4 voxels a side for level_2. Received: images.shape=.1, 3, 16, 1.. Use larger"
    ):
        DeepSim(extractor)(tiny, tiny)
    assert np.isfinite(DeepSim(extractor, levels=["level_0", "level_1"])(tiny, tiny))


def test_anything_but_an_extractor_is_refused(segmenter):
    with pytest.raises(
        ValueError, match="extractor must be a FeatureExtractor; make one with .* Received: SegmentationModel"
    ):
        DeepSim(segmenter)


@pytest.mark.parametrize("shape", [(16, 20), (13, 17), (5, 30)])
def test_the_similarity_map_has_the_size_of_the_image(shape, texture, extractor):
    fixed, warped = texture(shape, count=4)[:2], texture(shape, count=4)[2:]
    similarity = DeepSim(extractor).similarity_map(fixed, warped).numpy()
    assert similarity.shape == (2, *shape) and np.all(np.abs(similarity) <= 1 + 1e-6)
    same = DeepSim(extractor).similarity_map(fixed, fixed).numpy()
    assert np.all(same >= similarity - 1e-6)


def test_the_mean_of_a_full_resolution_map_is_the_similarity(images, full_resolution):
    loss = DeepSim(full_resolution, reduction=None)
    np.testing.assert_allclose(loss.similarity_map(*images).numpy().mean((1, 2)), 1 - loss(*images), atol=1e-5)


def test_the_similarity_map_shows_where_the_images_differ(texture, full_resolution):
    fixed = texture((16, 20))
    warped = fixed.copy()
    warped[:, :6, :6] = 1 - warped[:, :6, :6]
    similarity = DeepSim(full_resolution).similarity_map(fixed, warped)[0].numpy()
    np.testing.assert_allclose(
        similarity[8:, 8:], DeepSim(full_resolution).similarity_map(fixed, fixed)[0, 8:, 8:], atol=1e-6
    )
    assert similarity[:6, :6].mean() < similarity[8:, 8:].mean() - 0.05


def test_under_half_precision_the_loss_is_float32(mixed_float16, texture):
    model = ds.models.segmentation_model((16, 20), 2, backbone="paper", features=(4, 8))
    extractor = ds.models.FeatureExtractor.from_model(model)
    fixed, warped = texture((16, 20), count=2)[:1], texture((16, 20), count=2)[1:]
    features = extractor(fixed), extractor(warped)
    assert features[0]["level_1"].dtype == "float16"
    full = deepsim(*({level: tf.cast(f, "float32") for level, f in pyramid.items()} for pyramid in features))
    loss = DeepSim(extractor, reduction=None)(fixed, warped)
    assert loss.dtype == "float32"
    np.testing.assert_array_equal(loss, full)


def test_the_config_makes_the_same_loss(extractor, images):
    loss = DeepSim(
        extractor, levels=["level_1"], zero_mean=True, eps=1e-4, foreground=0.2, name="mine", reduction="sum"
    )
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    copy.extractor.set_weights(loss.extractor.get_weights())
    assert type(copy) is DeepSim and (copy.name, copy.reduction, copy.levels) == ("mine", "sum", ["level_1"])
    np.testing.assert_allclose(copy(*images), loss(*images), rtol=1e-6)
