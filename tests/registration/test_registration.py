"""What a registration model minimises and reports, without training; test_registration_fit.py trains one."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

import deepsim_tf as ds
from deepsim_tf._compat import vxm


def set_flow(model, flow):
    """Make the network give a constant field: zero weights, and the field as the bias of the last convolution."""
    kernel, bias = [w for w in model.trainable_weights if "flow" in w.path]
    kernel.assign(tf.zeros_like(kernel))
    bias.assign(flow)


@pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])
def test_evaluate_gives_similarity_regularizer_and_dice(backbone, registration, pair):
    model, (inputs, labels) = registration(backbone=backbone), pair()
    set_flow(model, [2.0, -1.0])
    result = model.evaluate(inputs, labels, batch_size=2, verbose=0, return_dict=True)
    # SciPy moves images and labels by (2, -1) voxels; the flow is constant, its differences are zero
    moved, moved_labels = (
        ndimage.shift(a, (0, -2, 1), order=0, mode="nearest")
        for a in (inputs["moving"][..., 0], labels["moving_labels"])
    )
    np.testing.assert_allclose(result["similarity"], np.mean((moved - inputs["fixed"][..., 0]) ** 2), rtol=1e-4)
    np.testing.assert_allclose(result["regularizer"], 0, atol=1e-6)
    expected = np.mean([ds.metrics.dice(a, b, 2) for a, b in zip(labels["fixed_labels"], moved_labels, strict=True)])
    np.testing.assert_allclose(result["dice"], expected, rtol=1e-5)


def test_the_loss_is_the_similarity_plus_the_weighted_regularizer(registration, pair):
    model, (inputs, _) = registration(ds.losses.LocalNCC(5), weight=0.7), pair()
    for weight in model.trainable_weights:
        weight.assign(keras.random.normal(weight.shape, stddev=0.3))
    result, outputs = model.evaluate(inputs, batch_size=2, verbose=0, return_dict=True), model(inputs)
    np.testing.assert_allclose(
        result["similarity"], ds.losses.LocalNCC(5)(inputs["fixed"], outputs["warped"]), rtol=1e-4
    )
    np.testing.assert_allclose(
        result["regularizer"], np.mean(vxm.losses.Grad("l2").loss(None, outputs["flow"])), rtol=1e-4
    )
    np.testing.assert_allclose(result["loss"], result["similarity"] + 0.7 * result["regularizer"], rtol=1e-5)
    assert result["regularizer"] > 0.01 and sorted(result) == ["loss", "regularizer", "similarity"]


def test_dice_needs_labels(registration, pair):
    model, (inputs, labels) = registration(), pair()
    assert sorted(model.evaluate(inputs, labels, verbose=0, return_dict=True)) == [
        "dice",
        "loss",
        "regularizer",
        "similarity",
    ]
    assert sorted(model.evaluate(inputs, verbose=0, return_dict=True)) == ["loss", "regularizer", "similarity"]


@pytest.mark.parametrize("backbone", ["voxelmorph", "paper"])
@pytest.mark.parametrize("int_steps, field", [(0, (13, 18, 2)), (7, (7, 9, 2))])
def test_losses_see_fields_without_padding(backbone, int_steps, field, registration, pair):
    seen = {}

    class Spy(keras.losses.Loss):
        def call(self, y_true, y_pred):
            seen[self.name] = tuple(y_true.shape[1:]), tuple(y_pred.shape[1:])
            return tf.reduce_mean(y_pred, axis=[1, 2, 3])

    model = ds.models.registration_model((13, 18), backbone=backbone, features=(4, 8), int_steps=int_steps)
    model.compile("sgd", Spy(name="similarity"), regularizer=Spy(name="regularizer"), run_eagerly=True)
    model.test_on_batch(pair((13, 18))[0])
    # with integration, the velocity at half the resolution
    assert seen == {"similarity": ((13, 18, 1), (13, 18, 1)), "regularizer": (field, field)}


def test_integration_makes_the_flow_of_the_velocity(registration, pair):
    model, (inputs, _) = registration(int_steps=5), pair()
    kernel, bias = [w for w in model.trainable_weights if "flow" in w.path]
    kernel.assign(keras.random.normal(kernel.shape, stddev=2.0))
    bias.assign([1.0, -0.5])
    outputs = model(inputs, with_velocity=True)
    small = vxm.layers.VecInt(int_steps=5)(outputs["velocity"])
    assert outputs["velocity"].shape == (2, 8, 10, 2) and np.std(outputs["velocity"]) > 0.05
    np.testing.assert_allclose(outputs["flow"], vxm.layers.RescaleTransform(2)(small), atol=1e-4)


@pytest.mark.parametrize("similarity", ["mse", ds.losses.LocalNCC(5), "deepsim"], ids=["mse", "ncc", "deepsim"])
def test_one_step_of_the_optimiser_lowers_the_loss(similarity, registration, pair, extractor):
    similarity = ds.losses.DeepSim(extractor) if similarity == "deepsim" else similarity
    model, (inputs, _) = registration(similarity, weight=0.01), pair()
    before = model.test_on_batch(inputs, return_dict=True)["loss"]
    model.reset_metrics()
    first = model.train_on_batch(inputs, return_dict=True)["loss"]
    model.reset_metrics()
    after = model.test_on_batch(inputs, return_dict=True)["loss"]
    np.testing.assert_allclose(first, before, rtol=1e-4)
    assert after < before - 1e-6


@pytest.mark.parametrize("labelled", [False, True])
def test_weights_of_images_reach_the_similarity(labelled, registration, pair):
    model, (inputs, labels) = registration(ds.losses.LocalNCC(5), weight=0.0), pair()
    single = ds.losses.LocalNCC(5, reduction=None)(inputs["fixed"], inputs["moving"])  # the flow starts at zero
    loss = model.test_on_batch(
        inputs, labels if labelled else None, sample_weight=np.array([0.0, 2.0], "float32"), return_dict=True
    )["loss"]
    np.testing.assert_allclose(loss, (0 * single[0] + 2 * single[1]) / 2, rtol=1e-3)


def test_evaluate_on_labelled_arrays_takes_weights_of_images(registration, pair):
    model, (inputs, labels), weights = (
        registration(ds.losses.LocalNCC(5), weight=0.0),
        pair(),
        np.array([0.0, 2.0], "float32"),
    )
    expected = model.test_on_batch(inputs, labels, sample_weight=weights)[0]
    model.reset_metrics()
    np.testing.assert_allclose(
        model.evaluate(inputs, labels, sample_weight=weights, batch_size=2, verbose=0)[0], expected, rtol=1e-5
    )


def test_predict_gives_what_a_call_gives(registration, pair):
    model, (inputs, _) = registration(backbone="paper", shape=(13, 18)), pair((13, 18))
    outputs, called = model.predict(inputs, verbose=0), model(inputs, training=False)
    for name in ("warped", "flow"):
        np.testing.assert_allclose(outputs[name], called[name], atol=1e-6)


def test_half_precision_gives_float32_fields_and_losses(mixed_float16, registration, pair):
    model, (inputs, _) = registration(int_steps=3), pair()
    outputs = model(inputs)
    assert outputs["warped"].dtype == outputs["flow"].dtype == "float32"
    assert np.isfinite(model.train_on_batch(inputs, return_dict=True)["loss"])
    np.testing.assert_allclose(
        outputs["warped"], inputs["moving"], atol=1e-3
    )  # not the moving image rounded to float16


def test_deepsim_trains_a_stock_vxmdense(extractor, pair):
    model, (inputs, _) = vxm.networks.VxmDense((16, 20), nb_unet_features=[[4, 8], [8, 4]], int_steps=0), pair()
    model.compile(
        "adam", loss=[ds.losses.DeepSim(extractor), ds.losses.Diffusion()], loss_weights=[1, 0.1], run_eagerly=True
    )
    x, y = [inputs["moving"], inputs["fixed"]], [inputs["fixed"], np.zeros((2, 16, 20, 2), "float32")]
    before = [w.numpy() for w in model.trainable_weights]
    history = model.fit(x, y, batch_size=2, verbose=0).history["loss"]
    np.testing.assert_allclose(
        history, ds.losses.DeepSim(extractor)(inputs["fixed"], inputs["moving"]), atol=1e-3
    )  # flow starts at zero
    assert all(np.any(a != b) for a, b in zip(before, model.trainable_weights, strict=True))
    assert not extractor.trainable_weights
