"""Images of several channels: what is drawn for each of them, and what all of them share."""

import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.augmentation import RandomAffine, RandomBiasField, RandomGamma, RandomNoise

SHAPES = [(12, 15), (7, 8, 9)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_one_affine_map_moves_all_channels(shape, channels, rng):
    images = tf.constant(rng.random((2, *shape, channels), "float32"))
    moved = RandomAffine()({"image": images}, (1, 2))["image"]
    assert moved.shape == images.shape and np.abs(moved - images).max() > 1e-2
    for c in range(channels):
        alone = RandomAffine()({"image": images[..., c : c + 1]}, (1, 2))["image"]
        np.testing.assert_allclose(moved[..., c : c + 1], alone, atol=1e-6)


def test_noise_is_independent_between_channels_under_one_sigma():
    noise = RandomNoise(sigma=(0.1, 0.3))({"image": tf.zeros((3, 100, 100, 2))}, (1, 2))["image"].numpy()
    sigma = noise.std(axis=(1, 2))
    # standard error of a standard deviation of 10 000 draws: 0.7 %
    np.testing.assert_allclose(sigma[:, 0], sigma[:, 1], rtol=0.05)
    assert np.ptp(sigma[:, 0]) > 0.02
    for image in noise:
        assert abs(np.corrcoef(image[..., 0].ravel(), image[..., 1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("shape", SHAPES)
def test_each_channel_has_a_gamma_of_its_own(shape):
    out = RandomGamma(log_gamma=(-0.5, 0.5))({"image": tf.fill((2, *shape, 3), 0.5)}, (1, 2))["image"].numpy()
    log_gamma = np.log(np.log(out) / np.log(0.5)).reshape(2, -1, 3)
    assert np.ptp(log_gamma, axis=1).max() < 1e-5  # the same at every voxel
    drawn = np.sort(log_gamma[:, 0].ravel())
    assert np.abs(drawn).max() <= 0.5 + 1e-5 and np.diff(drawn).min() > 1e-3  # six draws, all different


@pytest.mark.parametrize("shape", SHAPES)
def test_one_bias_field_lies_over_all_channels(shape, rng):
    images = rng.random((2, *shape, 3)).astype("float32") + 0.1
    field = RandomBiasField()({"image": tf.constant(images)}, (1, 2))["image"].numpy() / images
    np.testing.assert_allclose(field, np.repeat(field[..., :1], 3, -1), rtol=1e-5)
    assert np.ptp(field) > 0.05
