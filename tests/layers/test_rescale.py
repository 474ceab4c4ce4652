import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from deepsim_tf._compat import vxm
from deepsim_tf.layers import LinearUpSampling, RescaleTransform, resize


def scipy_zoom(images, shape, *, align_corners):
    """Linear zoom by SciPy: corners aligned, or with half-pixel centres (grid_mode)."""
    factors = (1, *(new / old for new, old in zip(shape, images.shape[1:-1], strict=True)), 1)
    return ndimage.zoom(images, factors, order=1, mode="nearest", grid_mode=not align_corners)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("old, new", [((7, 8), (14, 13)), ((9, 10), (5, 10)), ((5, 6, 7), (9, 12, 5))])
def test_resize_is_scipys_zoom(old, new, align_corners, rng):
    images = rng.random((2, *old, 3), "float32")
    np.testing.assert_allclose(
        resize(images, new, align_corners=align_corners),
        scipy_zoom(images, new, align_corners=align_corners),
        atol=1e-5,
    )


@pytest.mark.parametrize("new", [(16, 11), (3, 4), (8, 9)])
def test_resize_is_tensorflows(new, rng):
    images = rng.random((2, 8, 9, 3), "float32")
    np.testing.assert_allclose(resize(images, new), tf.image.resize(images, new, "bilinear"), atol=1e-5)


@pytest.mark.parametrize("zoom", [0.5, 2])
@pytest.mark.parametrize("shape", [(8, 12), (6, 8, 10)])
def test_rescaling_a_flow_is_voxelmorphs(shape, zoom, rng):
    flow = rng.normal(size=(3, *shape, len(shape))).astype("float32")
    np.testing.assert_allclose(RescaleTransform(zoom)(flow), vxm.layers.RescaleTransform(zoom)(flow), atol=1e-5)
    assert issubclass(RescaleTransform, vxm.layers.RescaleTransform)


def test_displacements_stay_in_voxels_of_their_own_grid():
    flow = np.broadcast_to(np.array([4.0, -2.0], "float32"), (1, 8, 8, 2))
    half = RescaleTransform(0.5)(flow)
    np.testing.assert_array_equal(half, np.broadcast_to([2.0, -1.0], (1, 4, 4, 2)))
    np.testing.assert_array_equal(RescaleTransform(2)(half), flow)


def test_up_sampling_in_2d_is_kerass(rng):
    images = rng.random((2, 5, 6, 3), "float32")
    np.testing.assert_allclose(
        LinearUpSampling()(images), keras.layers.UpSampling2D(interpolation="bilinear")(images), atol=1e-6
    )


@pytest.mark.parametrize("shape", [(4, 5, 6), (1, 3, 2)])
def test_up_sampling_in_3d_is_scipys(shape, rng):
    images = rng.random((2, *shape, 3), "float32")
    expected = scipy_zoom(images, [2 * n for n in shape], align_corners=False)
    np.testing.assert_allclose(LinearUpSampling()(images), expected, atol=1e-6)


def test_up_sampling_takes_unknown_sizes(rng):
    images = rng.random((1, 5, 6, 2), "float32")
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, LinearUpSampling()(inputs))
    assert model.output_shape == (None, None, None, 2)
    np.testing.assert_allclose(model(images), LinearUpSampling()(images), atol=1e-6)


def test_the_gradient_of_up_sampling_is_its_adjoint(rng):
    # <up(x), y> = <x, gradient of <up(x), y>>
    x, y = tf.constant(rng.random((1, 3, 4, 5, 1), "float32")), rng.random((1, 6, 8, 10, 1), "float32")
    with tf.GradientTape() as tape:
        tape.watch(x)
        product = tf.reduce_sum(LinearUpSampling()(x) * y)
    np.testing.assert_allclose(product, tf.reduce_sum(x * tape.gradient(product, x)), rtol=1e-5)
