"""Weights of voxels, such as a mask: they change what they should, and nothing else, in every similarity."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepsim_tf as ds
from deepsim_tf import checks
from deepsim_tf.losses import MIND, NMI, DeepSim, LocalNCC, SoftDice, compare

REACH = {  # voxels beyond which an intensity does not matter to a voxel, and the loss
    "ncc": (2, lambda **k: LocalNCC(5, **k)),
    "mind": (4, lambda **k: MIND(1, 3, **k)),
    "nmi": (0, lambda **k: NMI(16, fraction=1, **k)),
    "nmi sampled": (0, lambda **k: NMI(16, fraction=0.5, **k)),
    "nmi own range": (0, lambda **k: NMI(16, vmin=None, vmax=None, fraction=0.5, **k)),
    "dice": (0, lambda **k: SoftDice(**k)),
    "dice squared": (0, lambda **k: SoftDice(squared=True, background=False, **k)),
}
SIMILARITIES = {name: make for name, (_, make) in REACH.items()}
each = pytest.mark.parametrize("make", SIMILARITIES.values(), ids=SIMILARITIES.keys())
each_shape = pytest.mark.parametrize("shape", [(20, 19), (10, 13, 11)])


@pytest.fixture(scope="module")
def deepsim():
    """DeepSim on level_0 of VoxelMorph's U-Net: one convolution of 3 voxels a side sees one voxel around."""
    keras.utils.set_random_seed(3)
    model = ds.models.segmentation_model((20, 19), 2, features=(4, 8), channels=2)
    return DeepSim(ds.models.FeatureExtractor.from_model(model, levels=["level_0"]), reduction=None)


def images(rng, shape, count=2):
    return rng.random((count, *shape, 2)), rng.random((count, *shape, 2))


def corner(shape, size, count=2):
    """A mask of the first `size` voxels along every axis, (count, *shape)."""
    mask = np.zeros((count, *shape))
    mask[(slice(None), *[slice(size)] * len(shape))] = 1
    return mask


@each
@each_shape
@pytest.mark.parametrize("weight", [1.0, 1e-7, 300.0])
def test_uniform_weights_change_nothing(make, shape, weight, rng):
    fixed, warped = images(rng, shape)
    loss = make(reduction=None, dtype="float64")
    found = loss(fixed, warped, sample_weight=np.full((2, *shape), weight))
    np.testing.assert_allclose(found, loss(fixed, warped), rtol=1e-9)


@pytest.mark.parametrize("name", REACH)
@each_shape
def test_intensities_beyond_the_reach_of_the_mask_do_not_matter(name, shape, rng):
    reach, make = REACH[name]
    (fixed, warped), (other_fixed, other_warped) = images(rng, shape), images(rng, shape)
    mask, seen = corner(shape, 4), corner(shape, 4 + reach)[..., None] > 0
    loss = make(reduction=None, dtype="float64")
    value = loss(fixed, warped, sample_weight=mask)
    beyond = np.where(seen, fixed, 7 * other_fixed), np.where(seen, warped, 7 * other_warped)
    np.testing.assert_allclose(loss(*beyond, sample_weight=mask), value, rtol=1e-12)
    inside = np.where(corner(shape, 4)[..., None] > 0, other_warped, warped)
    assert np.abs(loss(fixed, inside, sample_weight=mask) - value).min() > 1e-4
    assert np.abs(loss(fixed, warped) - value).min() > 1e-4


@pytest.mark.parametrize("name", REACH)
def test_the_gradient_ends_where_the_reach_does(name, rng):
    reach, make = REACH[name]
    fixed, warped = images(rng, (20, 19))
    warped = tf.constant(warped)
    with tf.GradientTape() as tape:
        tape.watch(warped)
        value = make(dtype="float64")(fixed, warped, sample_weight=corner((20, 19), 4))
    gradient = np.abs(tape.gradient(value, warped)).max((0, 3))
    assert gradient[: 4 + reach, : 4 + reach].max() > 1e-6
    gradient[: 4 + reach, : 4 + reach] = 0
    np.testing.assert_array_equal(gradient, 0)


def test_deepsim_does_not_see_beyond_its_receptive_field(deepsim, rng):
    fixed, warped = (image.astype("float32") for image in images(rng, (20, 19)))
    mask, seen = corner((20, 19), 4), corner((20, 19), 5)[..., None] > 0
    value = deepsim(fixed, warped, sample_weight=mask)
    beyond = np.where(seen, fixed, 0.5).astype("float32"), np.where(seen, warped, 3).astype("float32")
    np.testing.assert_allclose(deepsim(*beyond, sample_weight=mask), value, atol=1e-6)
    np.testing.assert_allclose(
        deepsim(fixed, warped, sample_weight=np.full((2, 20, 19), 0.3)), deepsim(fixed, warped), atol=1e-6
    )
    assert np.abs(deepsim(fixed, warped) - value).min() > 1e-4


@each
def test_masks_may_be_of_any_type_and_have_an_axis_of_channels(make, rng):
    fixed, warped = images(rng, (12, 13))
    mask, loss = rng.random((2, 12, 13)) > 0.4, make(reduction=None, dtype="float64")
    value = loss(fixed, warped, sample_weight=mask.astype("float64"))
    for same in (mask, mask.astype("uint8"), mask[..., None], tf.constant(mask), mask.tolist()):
        np.testing.assert_array_equal(loss(fixed, warped, sample_weight=same), value)


@each
@pytest.mark.parametrize("graph", [False, True])
def test_an_image_without_weight_scores_0_without_a_gradient_and_leaves_the_others_alone(make, graph, rng):
    fixed, warped = images(rng, (12, 13), count=3)
    weights = rng.random((3, 12, 13))
    loss = make(reduction=None, dtype="float64")
    expected = loss(fixed, warped, sample_weight=weights).numpy()
    expected[1], weights[1] = 0, 0

    def measure(fixed, warped, weights):
        with tf.GradientTape() as tape:
            tape.watch(warped)
            values = loss(fixed, warped, sample_weight=weights)
        return values, tape.gradient(values, warped)

    measure = tf.function(measure, autograph=False) if graph else measure
    values, gradient = measure(*map(tf.constant, (fixed, warped, weights)))
    np.testing.assert_allclose(values, expected, rtol=1e-9)
    np.testing.assert_array_equal(gradient[1], 0)
    assert np.isfinite(gradient).all() and np.abs(gradient[0]).max() > 0
    mean = make(dtype="float64")(fixed, warped, sample_weight=weights)
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-9)


@each
@pytest.mark.parametrize("shape", [(12, 13), (8, 9, 7)])
def test_a_graph_gives_the_weighted_value_and_gradient_of_eager_mode(make, shape, rng):
    loss = make()
    fixed, warped = (tf.constant(image, tf.float32) for image in images(rng, shape))
    weights = tf.constant(rng.random((2, *shape)), tf.float32)

    def measure(warped):
        with tf.GradientTape() as tape:
            tape.watch(warped)
            value = loss(fixed, warped, sample_weight=weights)
        return value, tape.gradient(value, warped)

    value, gradient = measure(warped)
    found = tf.function(measure, autograph=False)(warped)
    np.testing.assert_allclose(found[0], value, rtol=1e-5)
    np.testing.assert_allclose(found[1], gradient, atol=1e-5 * np.abs(gradient).max())


@each
def test_images_or_voxels_are_weighed_and_nothing_between(make, rng):
    fixed, warped = images(rng, (12, 13), count=3)
    loss, name = make(dtype="float64"), type(make()).__name__
    for shape in [(3, 12, 12), (12, 13), (1, 12, 13), (3, 12, 13, 2), (3, 1), (3, 1, 1)]:
        received = str(shape).replace("(", r"\(").replace(")", r"\)")
        message = rf"must weigh images, \(batch,\), or voxels, \(3, 12, 13\). Received: {received}"
        with pytest.raises(ValueError, match=message):
            loss(fixed, warped, sample_weight=np.ones(shape))
    with pytest.raises(ValueError, match=rf"{name} expects weights of voxels from 0 on. Received: weights from -0.5"):
        loss(fixed, warped, sample_weight=np.full((3, 12, 13), -0.5))


def test_negative_weights_are_refused_in_a_graph_too(rng):
    fixed, warped = images(rng, (12, 13))
    graph = tf.function(lambda weights: LocalNCC(dtype="float64")(fixed, warped, sample_weight=weights))
    with pytest.raises(ValueError, match="LocalNCC expects weights of voxels from 0 on. Received: weights from -1"):
        with checks.graph_errors():
            graph(tf.constant(-np.ones((2, 12, 13))))


@pytest.mark.parametrize("name", ["mse", "mae"])
def test_kerass_own_losses_are_weighed_by_compare(name, rng):
    fixed, moving = images(rng, (12, 13))
    flow, weights = np.zeros((2, 12, 13, 2)), rng.random((2, 12, 13))
    loss = {"mse": keras.losses.MeanSquaredError, "mae": keras.losses.MeanAbsoluteError}[name](dtype="float64")
    values = np.abs(fixed - moving) ** (2 if name == "mse" else 1)
    expected = np.mean([np.average(values[k].mean(-1), weights=weights[k]) for k in range(2)])
    np.testing.assert_allclose(compare(loss, fixed, moving, flow, sample_weight=weights), expected, rtol=1e-9)
    np.testing.assert_allclose(compare(loss, fixed, moving, flow), values.mean(), rtol=1e-9)
    of_images = compare(loss, fixed, moving, flow, sample_weight=np.array([1.0, 0.0]))
    np.testing.assert_allclose(of_images, values[0].mean() / 2, rtol=1e-9)
    for reduction, same in (("sum", np.sum), (None, lambda values: values)):
        loss.reduction = reduction
        for ones in (np.ones(2), 3 * np.ones((2, 12, 13))):
            found = compare(loss, fixed, moving, flow, sample_weight=ones)
            np.testing.assert_allclose(found, same(values.mean(-1)), rtol=1e-9)
    weights[1] = 0
    loss.reduction = "sum_over_batch_size"
    expected = np.average(values[0].mean(-1), weights=weights[0]) / 2
    np.testing.assert_allclose(compare(loss, fixed, moving, flow, sample_weight=weights), expected, rtol=1e-9)


def test_voxels_of_a_loss_with_one_value_an_image_cannot_be_weighed(rng):
    class Whole(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean((y_true - y_pred) ** 2, axis=(1, 2, 3))

    fixed, moving = images(rng, (12, 13))
    with pytest.raises(ValueError, match="Whole has no value for each voxel, .* derive it from ds.losses.Similarity"):
        compare(Whole(), fixed, moving, np.zeros((2, 12, 13, 2)), sample_weight=np.ones((2, 12, 13)))
