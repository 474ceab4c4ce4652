import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from deepsim_tf._compat import vxm
from deepsim_tf.layers import SpatialTransformer, voxel_grid, warp

SHAPES = [(12, 15), (7, 8, 9)]


def images_and_flow(shape, rng, batch=3, channels=2, spread=3.0):
    """Random images and a flow that leaves the grid at many voxels."""
    return rng.random((batch, *shape, channels), "float32"), rng.normal(0, spread, (batch, *shape, len(shape))).astype(
        "float32"
    )


@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_transformer_is_voxelmorphs_number_for_number(shape, interpolation, rng):
    inputs = list(images_and_flow(shape, rng))
    ours, theirs = (
        SpatialTransformer(interp_method=interpolation),
        vxm.layers.SpatialTransformer(interp_method=interpolation),
    )
    np.testing.assert_allclose(ours(inputs), theirs(inputs), atol=1e-5)
    assert isinstance(ours, vxm.layers.SpatialTransformer)


@pytest.mark.parametrize("arguments", [{"indexing": "xy"}, {"fill_value": 0.25}, {"single_transform": True}])
def test_the_transformers_other_modes_are_voxelmorphs(arguments, rng):
    inputs = list(images_and_flow((10, 9), rng))
    np.testing.assert_allclose(
        SpatialTransformer(**arguments)(inputs), vxm.layers.SpatialTransformer(**arguments)(inputs), atol=1e-5
    )


def test_the_transformer_takes_voxelmorphs_affine_matrices(rng):
    images, _ = images_and_flow((10, 10), rng, batch=2)
    matrices = np.tile(np.array([[1.0, 0.1, 0.5], [-0.2, 0.9, 1.0]], "float32"), (2, 1, 1))
    np.testing.assert_allclose(
        SpatialTransformer()([images, matrices]), vxm.layers.SpatialTransformer()([images, matrices]), atol=1e-5
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_linear_warping_is_scipys_with_the_border_continued(shape, rng):
    images, flow = images_and_flow(shape, rng, batch=1, channels=1)
    points = np.moveaxis(np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1) + flow[0], -1, 0)
    expected = ndimage.map_coordinates(images[0, ..., 0], points, order=1, mode="nearest")
    np.testing.assert_allclose(warp(images, flow)[0, ..., 0], expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_zero_flow_is_the_identity_to_the_bit(shape, rng):
    images, flow = images_and_flow(shape, rng, spread=0.0)
    for interpolation in ("linear", "nearest"):
        np.testing.assert_array_equal(warp(images, flow, interpolation=interpolation), images)


def test_a_constant_flow_reads_the_voxel_it_points_to(rng):
    image = rng.random((1, 8, 9, 1), "float32")
    flow = np.broadcast_to(np.array([2.0, -1.0], "float32"), (1, 8, 9, 2))
    warped = warp(image, flow).numpy()[0, ..., 0]
    np.testing.assert_array_equal(warped[:6, 1:], image[0, 2:, :-1, 0])  # warped(p) = image(p + flow)
    np.testing.assert_array_equal(
        warped[6:, 1:], np.tile(image[0, -1:, :-1, 0], (2, 1))
    )  # beyond the border, the border


def test_half_a_voxel_is_the_mean_of_two():
    image = np.array([[0.0, 1.0], [4.0, 7.0]], "float32")[None, ..., None]
    flow = np.broadcast_to(np.array([0.5, 0.0], "float32"), (1, 2, 2, 2))
    np.testing.assert_array_equal(warp(image, flow)[0, ..., 0], [[2.0, 4.0], [4.0, 7.0]])


def test_images_of_a_batch_move_on_their_own(rng):
    images, flow = images_and_flow((9, 10), rng)
    alone = np.concatenate([warp(images[k : k + 1], flow[k : k + 1]) for k in range(3)])
    np.testing.assert_array_equal(warp(images, flow), alone)


def test_the_grid_of_the_flow_is_the_grid_of_the_result(rng):
    image, flow = rng.random((1, 12, 12, 1), "float32"), np.zeros((1, 5, 7, 2), "float32")
    np.testing.assert_array_equal(warp(image, flow), image[:, :5, :7])


def test_labels_keep_their_type_and_their_values(rng):
    labels = rng.choice(np.array([0, 3, 1000], "int32"), (2, 9, 8, 1))
    warped = warp(labels, images_and_flow((9, 8), rng, batch=2)[1], interpolation="nearest")
    assert warped.dtype == tf.int32 and set(np.unique(warped)) == {0, 3, 1000}


@pytest.mark.parametrize("shape", [(5, 6), (4, 4, 5)])
def test_the_gradient_is_that_of_finite_differences(shape, rng):
    ndim = len(shape)
    image, direction = rng.random((1, *shape, 1)), rng.normal(size=(1, *shape, ndim))
    flow = tf.constant(rng.uniform(0.2, 0.8, (1, *shape, ndim)))  # away from the kinks at the voxel centres
    with tf.GradientTape() as tape:
        tape.watch(flow)
        value = tf.reduce_sum(warp(image, flow) ** 2)
    step = 1e-6
    ends = [tf.reduce_sum(warp(image, flow + sign * step * direction) ** 2) for sign in (1, -1)]
    np.testing.assert_allclose(
        tf.reduce_sum(tape.gradient(value, flow) * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-6
    )


@pytest.mark.parametrize("xla", [False, True], ids=["plain", "xla"])
@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_displacement_that_is_not_finite_is_no_gather_error(shape, interpolation, xla, rng):
    images, flow = images_and_flow(shape, rng, batch=2, channels=1)
    broken = np.zeros((2, *shape), bool)
    for k, value in enumerate([np.nan, np.inf, -np.inf]):
        where = (k % 2, *[k + 1] * len(shape))
        flow[(*where, k % len(shape))], broken[where] = value, True

    def step(images, flow):
        with tf.GradientTape() as tape:
            tape.watch((images, flow))
            warped = warp(images, flow, interpolation=interpolation)
        return warped, *tape.gradient(warped, (images, flow), unconnected_gradients="zero")

    warped, _, to_flow = tf.function(step, jit_compile=xla)(tf.constant(images), tf.constant(flow))
    replaced = np.where(broken[..., None], 0, flow)
    expected = warp(images, replaced.astype("float32"), interpolation=interpolation).numpy()
    np.testing.assert_allclose(warped.numpy()[~broken], expected[~broken], atol=1e-6)
    if interpolation == "linear":
        assert np.isnan(warped.numpy()[broken]).all() and np.isfinite(to_flow.numpy()[~broken]).all()
    else:  # a voxel of the image, as labels know no NaN
        assert np.isin(warped.numpy()[broken], images).all()


def test_half_precision_still_addresses_the_voxels_of_a_large_image(mixed_float16):
    # float16 knows whole numbers up to 2048 only
    image = np.linspace(0, 1, 4000, dtype="float32").reshape(1, 1, 4000, 1)
    flow = np.broadcast_to(np.array([0.0, 1.0], "float32"), (1, 1, 4000, 2))
    np.testing.assert_allclose(SpatialTransformer()([image, flow])[0, 0, :-1, 0], image[0, 0, 1:, 0], atol=1e-6)


def test_the_voxel_grid_is_numpys():
    np.testing.assert_array_equal(voxel_grid((2, 3, 4)), np.moveaxis(np.indices((2, 3, 4)), 0, -1))


def test_warp_compiles_for_unknown_sizes(rng):
    images, flow = images_and_flow((9, 10), rng)
    graph = tf.function(
        warp, input_signature=[tf.TensorSpec([None, None, None, 2]), tf.TensorSpec([None, None, None, 2])]
    )
    np.testing.assert_allclose(graph(images, flow), warp(images, flow), atol=1e-6)


def test_an_unknown_interpolation_is_refused(rng):
    with pytest.raises(ValueError, match="Unknown interpolation 'cubic'. Available: linear, nearest"):
        warp(*images_and_flow((5, 5), rng), interpolation="cubic")


def test_the_transformers_config_makes_the_same_layer(rng):
    layer = SpatialTransformer(interp_method="nearest", indexing="xy", fill_value=0.5, shift_center=False, name="mine")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(copy) is SpatialTransformer and copy.get_config() == layer.get_config()
    inputs = list(images_and_flow((6, 7), rng))
    np.testing.assert_array_equal(copy(inputs), layer(inputs))
