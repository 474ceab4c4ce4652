"""The contract of a similarity: on images, or on the moving image and the flow, for the package's and for one's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import map_coordinates

import deepsim_tf as ds
from deepsim_tf.losses import MIND, NMI, DeepSim, LocalNCC, Similarity, SoftDice, compare

LOSSES = {"ncc": LocalNCC(5), "nmi": NMI(16, fraction=1), "mind": MIND(1, 1), "dice": SoftDice()}


class Displaced(Similarity):
    """A loss that needs the flow: the mean displacement where the two images differ."""

    needs_flow = True

    def values_of_flow(self, fixed, moving, flow, weights=None):
        differ = tf.cast(tf.reduce_any(tf.abs(fixed - moving) > 0.1, axis=-1), flow.dtype)
        return ds.losses.weighted_mean(differ * tf.reduce_sum(flow**2, axis=-1), weights)


@pytest.fixture
def case(texture, rng):
    """Fixed, moving, a smooth flow, and the moving image under it by SciPy."""
    fixed, moving = texture((14, 15), count=2)[:, None]
    flow = np.stack(np.meshgrid(np.linspace(-1, 2, 14), np.linspace(1, -0.5, 15), indexing="ij"), -1)[None]
    at = np.indices((14, 15)) + np.moveaxis(flow[0], -1, 0)
    warped = map_coordinates(moving[0, ..., 0].astype("float64"), at, order=1, mode="nearest")
    return fixed, moving, flow.astype("float32"), warped[None, ..., None].astype("float32")


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_the_loss_of_a_flow_is_the_loss_of_the_warped_image(loss, case, rng):
    fixed, moving, flow, warped = case
    for weights in (None, np.array([2.0]), rng.random((1, 14, 15))):
        expected = loss(fixed, warped, sample_weight=weights)
        assert not loss.needs_flow
        np.testing.assert_allclose(loss.of_flow(fixed, moving, flow, sample_weight=weights), expected, rtol=1e-4)
        np.testing.assert_allclose(compare(loss, fixed, moving, flow, sample_weight=weights), expected, rtol=1e-4)
        given = compare(loss, fixed, None, None, warped=warped, sample_weight=weights)
        np.testing.assert_allclose(given, expected, rtol=1e-6)


def test_deepsim_says_whether_it_needs_the_flow(extractor, case):
    fixed, moving, flow, warped = case
    image, features = DeepSim(extractor), DeepSim(extractor, warp="features")
    assert (image.needs_flow, features.needs_flow) == (False, True)
    np.testing.assert_allclose(image.of_flow(fixed, moving, flow), image(fixed, warped), atol=1e-5)
    np.testing.assert_allclose(compare(features, fixed, moving, flow), features.of_flow(fixed, moving, flow), rtol=1e-6)
    assert abs(features.of_flow(fixed, moving, flow) - image(fixed, warped)) > 1e-6


def test_the_levels_of_deepsim_average_to_the_loss(extractor, texture):
    fixed, warped = texture((16, 20), count=2)[:1], texture((16, 20), count=2)[1:]
    for arguments in ({}, {"foreground": 0.4}, {"zero_mean": True}):
        loss = DeepSim(extractor, **arguments)
        levels = loss.by_level(fixed, warped)
        assert list(levels) == ["level_1", "level_2"]
        np.testing.assert_allclose(np.mean(list(levels.values())), loss(fixed, warped), rtol=1e-6)
        alone = DeepSim(extractor, levels=["level_2"], **arguments)(fixed, warped)
        np.testing.assert_allclose(levels["level_2"], [alone], rtol=1e-6)


def test_a_loss_of_ones_own_that_needs_the_flow_trains_a_model(pair):
    model = ds.models.registration_model((16, 20), features=(4,))
    model.compile(keras.optimizers.Adam(1e-2), Displaced(), regularizer=ds.losses.Diffusion(), run_eagerly=True)
    images, _ = pair()
    start = [weight + 0.05 for weight in model.get_weights()]  # away from a flow of zero
    model.set_weights(start)
    with pytest.warns(UserWarning, match="Displaced hardly reacts"):  # it sees the flow, not what the images show
        history = model.fit(images, epochs=4, verbose=0).history["similarity"]
    assert history[-1] < history[0] and np.isfinite(history).all()


def test_a_loss_that_needs_the_flow_refuses_images(case):
    fixed, moving, flow, warped = case
    with pytest.raises(ValueError, match="Displaced needs the flow: .* or call of_flow"):
        Displaced()(fixed, warped)
    expected = (flow**2).sum(-1)[np.abs(fixed - moving)[..., 0] > 0.1].sum() / (14 * 15)
    np.testing.assert_allclose(Displaced().of_flow(fixed, moving, flow), expected, rtol=1e-5)


def test_a_flow_of_other_dimensions_and_images_of_another_shape_are_refused(case):
    fixed, moving, flow, _ = case
    message = r"LocalNCC expects a 2-D field, \(batch, \*spatial, ndim\). Received: flow.shape=\(1, 14, 15, 3\)"
    with pytest.raises(ValueError, match=message):
        LocalNCC().of_flow(fixed, moving, np.zeros((1, 14, 15, 3), "float32"))
    with pytest.raises(ValueError, match=r"equal shape. Received: fixed.shape=\(1, 14, 14, 1\), moving.shape="):
        LocalNCC().of_flow(fixed[:, :, :14], moving, flow)
    with pytest.raises(ValueError, match="LocalNCC expects float images.* Received: fixed of type uint8"):
        LocalNCC().of_flow(fixed.astype("uint8"), moving, flow)


def test_reductions_are_kerass(rng):
    fixed, warped = rng.random((3, 12, 12, 1), "float32"), rng.random((3, 12, 12, 1), "float32")
    values = LocalNCC(5, reduction=None)(fixed, warped)
    assert values.shape == (3,)
    np.testing.assert_allclose(LocalNCC(5)(fixed, warped), np.mean(values), rtol=1e-6)
    np.testing.assert_allclose(LocalNCC(5, reduction="sum")(fixed, warped), np.sum(values), rtol=1e-6)
    weights = np.array([1.0, 0.0, 3.0], "float32")
    weighted = LocalNCC(5, reduction="mean_with_sample_weight")(fixed, warped, sample_weight=weights)
    np.testing.assert_allclose(weighted, np.average(values, weights=weights), rtol=1e-6)
