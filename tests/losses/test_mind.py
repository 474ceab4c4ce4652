import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.losses import MIND, mind


def reference(image, radius, dilation, weights=None):
    """MIND-SSC of one image (*spatial) from its definition, voxel by voxel, pair by pair, in NumPy.

    (pairs, *spatial).
    """
    ndim = image.ndim
    neighbours = [np.array(v) for v in itertools.product((-1, 0, 1), repeat=ndim) if np.abs(v).sum() == 1]
    pairs = [(a, b) for a, b in itertools.combinations(neighbours, 2) if ((a - b) ** 2).sum() == 2]

    def at(p):  # beyond the border, the border's value
        return image[tuple(np.clip(p, 0, np.array(image.shape) - 1))]

    def distance(p, a, b):
        patch = []
        for offset in itertools.product(range(-radius, radius + 1), repeat=ndim):
            q = np.clip(np.array(p) + offset, 0, np.array(image.shape) - 1)
            patch.append((at(q + dilation * a) - at(q + dilation * b)) ** 2)
        return np.mean(patch)

    d = np.array([[distance(p, a, b) for p in np.ndindex(image.shape)] for a, b in pairs])
    d -= d.min(0)
    v = d.mean(0)
    typical = np.average(v, weights=None if weights is None else weights.ravel())
    v = np.clip(v, 0.001 * typical, 1000 * typical)
    return np.exp(-d / v).reshape(len(pairs), *image.shape)


def sorted_channels(descriptor):
    """The order of the pairs is nobody's business: sort by their sums."""
    return descriptor[np.argsort(descriptor.reshape(len(descriptor), -1).sum(1))]


@pytest.mark.parametrize("shape, channels", [((8, 9), 4), ((5, 4, 3), 12)])
@pytest.mark.parametrize("radius, dilation", [(2, 2), (1, 1), (0, 3)])
def test_mind_is_a_loop_over_voxels_and_pairs(shape, channels, radius, dilation, rng):
    images = rng.random((2, *shape, 1))
    images[0, :3, :3] = 0.5  # a flat patch, where V is clamped
    found = mind(images, radius=radius, dilation=dilation)
    assert found.shape == (2, *shape, channels) and found.dtype == tf.float64
    for k in range(2):
        expected = reference(images[k, ..., 0], radius, dilation)
        np.testing.assert_allclose(sorted_channels(np.moveaxis(found[k], -1, 0)), sorted_channels(expected), atol=1e-9)


def test_the_loss_is_the_mean_squared_difference_of_the_descriptors(rng):
    fixed, warped = rng.random((3, 9, 8, 1)), rng.random((3, 9, 8, 1))
    expected = [
        np.mean((reference(fixed[k, ..., 0], 2, 2) - reference(warped[k, ..., 0], 2, 2)) ** 2) for k in range(3)
    ]
    np.testing.assert_allclose(
        MIND(reduction=None)(fixed.astype("float32"), warped.astype("float32")), expected, atol=1e-5
    )


def test_an_edge_by_hand():
    # Rows 0, 0, 1, 1; at a voxel of row 1 the neighbours above and beside it are 0 and the one below 1: distances 0, 0,
    # 1, 1, with mean 1/2: exp(0) twice and exp(-2) twice.
    edge = np.repeat([0.0, 0.0, 1.0, 1.0], 4).reshape(1, 4, 4, 1)
    np.testing.assert_allclose(sorted(mind(edge, radius=0, dilation=1)[0, 1, 1]), [np.exp(-2)] * 2 + [1, 1], atol=1e-12)


@pytest.mark.parametrize("channels", [2, 3])
def test_each_channel_is_described_by_itself(channels, rng):
    images = rng.random((2, 7, 8, channels))
    found = mind(images, radius=1, dilation=1)
    assert found.shape == (2, 7, 8, 4 * channels)
    for c in range(channels):
        np.testing.assert_allclose(found[..., 4 * c : 4 * c + 4], mind(images[..., c : c + 1], radius=1, dilation=1))


@pytest.mark.parametrize("channels", [2, 3])
def test_the_loss_of_channels_is_the_mean_of_theirs(channels, rng):
    fixed, warped = rng.random((2, 7, 8, channels)), rng.random((2, 7, 8, channels))
    expected = [
        np.mean(
            [(reference(fixed[k, ..., c], 1, 1) - reference(warped[k, ..., c], 1, 1)) ** 2 for c in range(channels)]
        )
        for k in range(2)
    ]
    np.testing.assert_allclose(MIND(1, 1, reduction=None, dtype="float64")(fixed, warped), expected, atol=1e-10)


def test_a_weighted_loss_is_the_weighted_mean_over_voxels_pair_by_pair(rng):
    fixed, warped, weights = rng.random((2, 7, 8, 2)), rng.random((2, 7, 8, 2)), rng.random((2, 7, 8))
    fixed[:, :4, :4] = 0.5  # flat patches, where V is clamped by its weighted mean
    weights[:, 5:] = 0
    expected = []
    for k in range(2):
        squared = [
            (reference(fixed[k, ..., c], 1, 1, weights[k]) - reference(warped[k, ..., c], 1, 1, weights[k])) ** 2
            for c in range(2)
        ]
        expected.append(np.average(np.mean(squared, (0, 1)), weights=weights[k]))
    found = MIND(1, 1, reduction=None, dtype="float64")(fixed, warped, sample_weight=weights)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("shape", [(24, 20), (12, 10, 11)])
def test_gain_offset_and_inversion_of_the_contrast_cost_nothing(shape, texture):
    image, other = texture(shape).astype("float64"), texture(shape, seed=1).astype("float64")
    np.testing.assert_allclose(mind(image), mind(1 - 0.3 * image), atol=1e-6)
    assert MIND()(image, 1 - 0.3 * image) < 1e-6 < 0.02 < MIND()(image, other)


def test_mind_is_symmetric_and_grows_with_a_shift(texture):
    image = texture((32, 32))
    values = [float(MIND()(image, np.roll(image, shift, 1))) for shift in range(4)]
    assert values[0] == 0 and values == sorted(values)
    np.testing.assert_allclose(MIND()(np.roll(image, 2, 1), image), values[2], rtol=1e-6)


@pytest.mark.parametrize("shape", [(7, 8), (4, 5, 6)])
def test_the_gradient_is_that_of_finite_differences(shape, rng):
    fixed, warped, direction, step = (
        rng.random((1, *shape, 1)),
        tf.constant(rng.random((1, *shape, 1))),
        rng.normal(size=(1, *shape, 1)),
        1e-7,
    )
    loss = MIND(1, 2, dtype="float64")
    with tf.GradientTape() as tape:
        tape.watch(warped)
        value = loss(fixed, warped)
    ends = [loss(fixed, warped + sign * step * direction) for sign in (1, -1)]
    np.testing.assert_allclose(
        tf.reduce_sum(tape.gradient(value, warped) * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-4
    )


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_have_descriptor_1_and_a_finite_gradient(value, rng):
    flat = tf.fill((1, 12, 12, 1), value)
    np.testing.assert_array_equal(mind(flat), np.ones((1, 12, 12, 4)))
    with tf.GradientTape() as tape:
        tape.watch(flat)
        loss = MIND()(rng.random((1, 12, 12, 1), "float32"), flat)
    assert 0 < loss < 1 and np.all(np.isfinite(tape.gradient(loss, flat)))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"radius": -1}, "radius must be a whole number of voxels, 0 or more. Received: radius=-1"),
        ({"radius": 1.5}, "radius must be a whole number of voxels, 0 or more. Received: radius=1.5"),
        ({"dilation": 0}, "dilation must be a whole number of voxels, 1 or more. Received: dilation=0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        MIND(**arguments)


def test_a_descriptor_of_integers_or_without_channels_is_refused():
    with pytest.raises(ValueError, match="mind expects float images, nominally in .* Received: images of type uint8"):
        mind(np.zeros((1, 8, 8, 1), "uint8"))
    with pytest.raises(ValueError, match=r"mind expects 2-D or 3-D images, .* Received: images.shape=\(8, 8, 1\)"):
        mind(np.zeros((8, 8, 1)))


def test_the_config_makes_the_same_loss(rng):
    loss = MIND(1, 3, name="mine", reduction="sum")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(copy) is MIND and copy.get_config() == loss.get_config()
    images = rng.random((2, 8, 8, 1), "float32"), rng.random((2, 8, 8, 1), "float32")
    np.testing.assert_array_equal(copy(*images), loss(*images))
