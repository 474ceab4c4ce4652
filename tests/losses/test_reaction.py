"""Similarities that react when an image moves, and some that do not."""

import backbones
import keras
import numpy as np
import pytest

import deepsim_tf as ds
from deepsim_tf.losses.reaction import reaction_warning


class MeanAbsolute(ds.losses.Similarity):
    """mean |fixed - warped|, with the image or the flow."""

    def __init__(self, needs_flow=False):
        super().__init__()
        self.needs_flow = needs_flow

    def values(self, fixed, warped, weights=None):
        return ds.losses.weighted_mean(abs(fixed - warped)[..., 0], weights)


class Plain(keras.losses.Loss):
    """A loss of another make."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, y_true, y_pred):
        return keras.ops.mean(self.function(y_true, y_pred), axis=(1, 2, 3))


def ramp(shape):
    """An image that grows by 0.01 a voxel along every axis."""
    return (0.01 * np.sum(np.indices(shape), axis=0)).astype("float32")[None, ..., None]


@pytest.mark.parametrize("needs_flow", [False, True])
@pytest.mark.parametrize("shape, shift", [((20, 24), 4), ((16, 17, 18), 4), ((20, 20), 3), ((8, 8), 2)])
def test_it_is_what_the_loss_gains_by_the_shift(shape, shift, needs_flow):
    image = ramp(shape)
    moved = image
    for axis, n in enumerate(shape, start=1):  # voxel p of the moved image is voxel p + shift, at most the last
        moved = np.take(moved, np.minimum(np.arange(n) + shift, n - 1), axis=axis)
    asked = 4 if shift == 2 else shift  # images of 8 voxels move by a quarter of them at most
    found = ds.losses.shift_reaction(MeanAbsolute(needs_flow), image, shift=asked)
    assert found == pytest.approx(np.abs(image - moved).mean(), rel=1e-5)


def test_of_a_large_image_the_part_that_varies_most_is_measured():
    image = np.zeros((2, 200, 150, 1), "float32")
    image[0, 130:194, 60:124] = ramp((64, 64))
    image[1, :64, :64] = ramp((64, 64))
    expected = ds.losses.shift_reaction(MeanAbsolute(), ramp((64, 64)))
    assert ds.losses.shift_reaction(MeanAbsolute(), image[1:]) == pytest.approx(expected, rel=1e-5)
    assert 0.3 * expected < ds.losses.shift_reaction(MeanAbsolute(), image[:1]) < 3 * expected  # beside the grid


@pytest.mark.parametrize("contrast", [(0.4, 0.05), (0.5, 0.13)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_healthy_similarities_react_also_where_contrast_is_low(contrast, ndim, texture):
    image = texture((32,) * ndim)
    image = contrast[0] + contrast[1] * (image - image.mean()) / image.std()
    extractor = ds.models.FeatureExtractor.from_model(ds.models.segmentation_model((32,) * ndim, 2))
    losses = [keras.losses.MeanSquaredError(), ds.losses.LocalNCC(), ds.losses.MIND(), ds.losses.NMI()]
    losses += [ds.losses.DeepSim(extractor, **more) for more in ({}, {"zero_mean": True}, {"warp": "features"})]
    for loss in losses:
        assert ds.losses.shift_reaction(loss, image) > 1e-3, type(loss).__name__  # ten times the least
        assert reaction_warning(loss, image) is None


def test_a_network_that_divides_by_255_is_blind_on_images_in_0_to_1(texture):
    blind, seeing = (ds.losses.DeepSim(backbones.scaling_extractor(scale)) for scale in (1.0, 255.0))
    assert abs(ds.losses.shift_reaction(blind, texture())) < 1e-4 < 1e-3 < ds.losses.shift_reaction(seeing, texture())
    assert reaction_warning(seeing, texture()) is None
    sentence = reaction_warning(blind, texture())
    assert sentence.startswith("DeepSim hardly reacts when an image moves:") and "scale=255" in sentence
    atlas = ds.losses.DeepSim(backbones.scaling_extractor(), fixed=texture((40, 40))[0])
    assert "hardly reacts" in reaction_warning(atlas, texture())


def test_features_that_are_constant_or_all_off_are_dead(texture):
    for kernel, bias in (("zeros", 1.0), ("he_normal", -100.0)):
        images = keras.Input((None, None, 1))
        start = {"kernel_initializer": kernel, "bias_initializer": keras.initializers.Constant(bias)}
        maps = [backbones.convolve(images, 4, "a", **start), backbones.convolve(images, 4, "b", strides=2, **start)]
        loss = ds.losses.DeepSim(ds.models.FeatureExtractor.from_model(keras.Model(images, maps)))
        assert ds.losses.shift_reaction(loss, texture()) == 0
        assert "(level_0 0e+00, level_1 0e+00), where 0.0001" in reaction_warning(loss, texture())


def test_a_loss_of_any_scale_is_judged_by_its_own(texture):
    assert ds.losses.shift_reaction(Plain(lambda a, b: 1e-9 * (a - b) ** 2), texture()) == pytest.approx(1)
    assert ds.losses.shift_reaction(Plain(lambda a, b: 1000 + 0 * a), texture()) == 0
    sentence = reaction_warning(Plain(lambda a, b: -((a - b) ** 2)), texture())
    assert "Plain falls by 1.0e+00" in sentence and "change its sign" in sentence


def test_constant_images_are_replaced_and_what_cannot_be_measured_is_no_fault(texture):
    nothing = np.zeros((1, 32, 32, 1), "float32")
    assert reaction_warning(ds.losses.LocalNCC(), nothing) is None
    assert "hardly reacts" in reaction_warning(ds.losses.DeepSim(backbones.scaling_extractor()), nothing)
    assert reaction_warning(Plain(lambda a, b: 0 * a), np.full_like(nothing, np.nan)) is None

    def fails(a, b):
        raise TypeError("whole images only")

    assert reaction_warning(Plain(fails), texture()) is None
