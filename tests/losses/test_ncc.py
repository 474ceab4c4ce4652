import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from deepsim_tf._compat import vxm
from deepsim_tf.losses import LocalNCC, local_ncc
from deepsim_tf.losses.ncc import box_sum


def reference(fixed, warped, window, eps=1e-5, weights=None):
    """1 - mean squared local correlation of two images (*spatial), window by window, zero beyond the border."""
    half, volume, values = window // 2, window**fixed.ndim, []
    a_padded, b_padded = np.pad(fixed, half), np.pad(warped, half)
    for p in np.ndindex(fixed.shape):
        a, b = (i[tuple(slice(n, n + window) for n in p)].ravel() for i in (a_padded, b_padded))
        mean_a, mean_b = a.sum() / volume, b.sum() / volume
        covariance = ((a - mean_a) * (b - mean_b)).sum() / volume
        variances = [max(((i - m) ** 2).sum() / volume, eps) for i, m in ((a, mean_a), (b, mean_b))]
        values.append(covariance**2 / (variances[0] * variances[1]))
    return 1 - np.average(values, weights=None if weights is None else weights.ravel())


@pytest.mark.parametrize("window", [3, 9])
@pytest.mark.parametrize("shape", [(11, 14), (6, 7, 8)])
def test_local_ncc_is_a_loop_over_windows(shape, window, rng):
    fixed, warped = rng.random((2, *shape, 1)), rng.random((2, *shape, 1))
    expected = [reference(fixed[k, ..., 0], warped[k, ..., 0], window) for k in range(2)]
    np.testing.assert_allclose(local_ncc(fixed, warped, window=window), expected, atol=1e-9)
    loss = LocalNCC(window, reduction=None)(fixed.astype("float32"), warped.astype("float32"))
    np.testing.assert_allclose(loss, expected, atol=1e-4)


def test_flat_patches_count_less_by_the_lower_bound_of_the_variance(rng):
    fixed, warped = (
        0.5 + 1e-3 * rng.random((1, 9, 9, 1)),
        rng.random((1, 9, 9, 1)),
    )  # variance 1e-7, far below 1e-5, but at the border
    value = local_ncc(fixed, warped, window=3)
    np.testing.assert_allclose(value, [reference(fixed[0, ..., 0], warped[0, ..., 0], 3)], atol=1e-9)
    assert value < local_ncc(fixed, warped, window=3, eps=1e-2) and value > local_ncc(
        fixed, warped, window=3, eps=1e-12
    )


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_channels_are_compared_one_by_one(channels, weighted, rng):
    fixed, warped = rng.random((2, 8, 9, channels)), rng.random((2, 8, 9, channels))
    weights = rng.random((2, 8, 9)) if weighted else [None, None]
    expected = [
        np.mean([reference(fixed[k, ..., c], warped[k, ..., c], 3, weights=weights[k]) for c in range(channels)])
        for k in range(2)
    ]
    found = local_ncc(fixed, warped, window=3, weights=weights if weighted else None)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_change_of_contrast_costs_nothing_inside(texture):
    # at the border the zeros beyond it do not take part in the offset: let the texture fade out there
    image = texture((32, 32), smooth=1.0) - 0.5
    image[:, :5], image[:, -5:], image[:, :, :5], image[:, :, -5:] = 0, 0, 0, 0
    same = local_ncc(image, image, window=5)
    np.testing.assert_allclose(local_ncc(image, -3 * image, window=5), same, atol=2e-3)
    shifted = np.roll(image, 3, axis=1)
    assert local_ncc(image, shifted, window=5) > same + 0.3


def test_a_gain_and_an_offset_of_a_strong_texture_score_almost_zero(rng):
    image = rng.random((1, 40, 40, 1))
    assert 0 <= local_ncc(image, 0.5 * image + 0.01, window=5)[0] < 1e-3
    assert local_ncc(image, rng.random((1, 40, 40, 1)), window=5)[0] > 0.8


@pytest.mark.parametrize("window", [3, 5])
def test_the_gradient_is_that_of_finite_differences(window, rng):
    fixed, warped, direction, step = (
        rng.random((1, 7, 8, 1)),
        tf.constant(rng.random((1, 7, 8, 1))),
        rng.normal(size=(1, 7, 8, 1)),
        1e-6,
    )
    with tf.GradientTape() as tape:
        tape.watch(warped)
        loss = local_ncc(fixed, warped, window=window)
    ends = [local_ncc(fixed, warped + sign * step * direction, window=window)[0] for sign in (1, -1)]
    np.testing.assert_allclose(
        tf.reduce_sum(tape.gradient(loss, warped) * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-6
    )


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_constant_images_have_a_finite_loss_and_gradient(value):
    flat = tf.fill((1, 20, 20, 1), value)
    with tf.GradientTape() as tape:
        tape.watch(flat)
        loss = LocalNCC()(tf.ones_like(flat), flat)
    assert 0 <= loss <= 1 + 1e-5 and np.all(np.isfinite(tape.gradient(loss, flat)))


@pytest.mark.parametrize("window", [1, 3, 5, 7, 9])
def test_box_sums_are_scipys_convolution_with_ones(window, rng):
    images = rng.random((2, 11, 12, 3))
    expected = ndimage.convolve(images, np.ones((1, window, window, 1)), mode="constant")
    np.testing.assert_allclose(box_sum(images, window, (1, 2)), expected, atol=1e-10)


def test_box_sums_of_volumes_are_scipys_uniform_filter(rng):
    volume = rng.random((1, 6, 7, 8, 1))
    expected = ndimage.uniform_filter(volume[0, ..., 0], 5, mode="constant") * 5**3
    np.testing.assert_allclose(box_sum(volume, 5, (1, 2, 3))[0, ..., 0], expected, atol=1e-10)


def test_half_precision_gives_the_float32_result(rng):
    fixed, warped = (rng.random((1, 24, 24, 1)).astype("float16") for _ in range(2))
    half = local_ncc(fixed, warped)
    assert half.dtype == tf.float32
    np.testing.assert_array_equal(half, local_ncc(fixed.astype("float32"), warped.astype("float32")))


@pytest.mark.parametrize("window", [0, 4, 9.0])
def test_an_even_window_is_refused(window):
    with pytest.raises(ValueError, match=f"window must be an odd number of voxels, as in 9. Received: window={window}"):
        LocalNCC(window)


def test_images_of_unequal_shape_or_without_channels_are_refused():
    with pytest.raises(
        ValueError,
        match=r"LocalNCC compares images of equal shape. Received: y_true.shape=\(1, 8, 8, 1\), y_pred.shape=\(4, 8,"
        r" 8, 1\)",
    ):
        LocalNCC()(np.ones((1, 8, 8, 1), "float32"), np.ones((4, 8, 8, 1), "float32"))
    with pytest.raises(ValueError, match=r"LocalNCC expects 2-D or 3-D images, .* Received: y_pred.shape=\(8, 8, 1\)"):
        LocalNCC()(np.ones((8, 8, 1), "float32"), np.ones((8, 8, 1), "float32"))


def test_the_config_makes_the_same_loss(rng):
    loss = LocalNCC(5, eps=1e-3, name="mine", reduction="sum")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(copy) is LocalNCC and copy.get_config() == loss.get_config()
    images = rng.random((2, 8, 8, 1), "float32"), rng.random((2, 8, 8, 1), "float32")
    np.testing.assert_array_equal(copy(*images), loss(*images))


def test_where_voxelmorphs_ncc_is_right_it_is_this_one(rng):
    # VoxelMorph 0.2 clamps sums over the window at 1e-5 (here variances, at 1e-12) and drops negative covariances: both
    # do not matter for images of strong texture that correlate positively everywhere.
    fixed = rng.random((2, 24, 22, 1), "float32")
    warped = fixed + 0.2 * rng.random((2, 24, 22, 1), "float32")
    expected = vxm.losses.NCC(win=[9, 9]).loss(tf.constant(fixed), tf.constant(warped))
    np.testing.assert_allclose(
        1 - local_ncc(fixed, warped, eps=1e-12), -np.asarray(expected).reshape(2, -1).mean(1), atol=1e-4
    )


@pytest.mark.parametrize("window", [1, 3, 5])
def test_valid_box_sums_and_their_gradient_are_those_of_a_convolution(window, rng):
    images, upstream = tf.constant(rng.random((2, 7, 8, 1))), rng.random((2, 8 - window, 9 - window, 1))
    values = []
    for summed in (
        lambda x: box_sum(x, window, (1, 2), padding="valid"),
        lambda x: tf.nn.conv2d(x, tf.ones((window, window, 1, 1), tf.float64), 1, "VALID"),
    ):
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = summed(images)
        values.append((output, tape.gradient(output, images, upstream)))
    for found, expected in zip(*values):
        np.testing.assert_allclose(found, expected, atol=1e-12)
