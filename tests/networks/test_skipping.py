"""Steps that are not finite: an epoch of them has no loss, `fit` says so, and can be told to stop."""

import deepsim_tf as ds  # isort: skip
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

SHAPE = (16, 20)


class Broken(keras.losses.Loss):
    """Mean squares; NaN for a pair whose fixed image is 0 in its first voxel."""

    def call(self, fixed, warped):
        squares = tf.reduce_mean((fixed - warped) ** 2, axis=(1, 2, 3))
        return tf.where(fixed[:, 0, 0, 0] == 0, float("nan"), squares)


def broken(pair, *which):
    images = {name: image.copy() for name, image in pair(SHAPE)[0].items()}
    images["fixed"][list(which), 0, 0] = 0
    return images


def compiled(**arguments):
    model = ds.models.registration_model(SHAPE, features=(2,))
    model.compile("adam", Broken(), metrics=["mae"], run_eagerly=True, **arguments)
    return model


def test_an_epoch_without_a_good_step_reports_nan_and_fit_warns(pair):
    model = compiled()
    before = model.get_weights()
    with pytest.warns(UserWarning, match="2 of the 2 steps of epoch 1 were skipped, because their loss or a gradient"):
        history = model.fit(broken(pair, 0, 1), batch_size=1, verbose=0).history
    assert set(history) == {"loss", "similarity", "regularizer", "mae"} and np.isnan(list(history.values())).all()
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_an_epoch_with_good_steps_reports_their_mean(pair):
    images = broken(pair, 0)
    with pytest.warns(UserWarning, match="1 of the 2 steps of epoch 1 were skipped"):
        history = compiled().fit(images, batch_size=1, shuffle=False, verbose=0).history
    good = np.mean((images["fixed"][1] - images["moving"][1]) ** 2)  # the flow starts at zero
    np.testing.assert_allclose(history["loss"], [good], rtol=1e-3)


def test_a_training_of_good_steps_says_nothing(pair):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled().fit(pair(SHAPE)[0], verbose=0)


def test_a_skipped_batch_has_the_loss_nan(pair):
    assert np.isnan(compiled().train_on_batch(broken(pair, 0))[0])


@pytest.mark.parametrize("limit", [0, 1])
def test_fit_ends_at_more_skipped_steps_than_compile_allows(pair, limit):
    model = compiled(max_skipped=limit)
    message = rf"not finite in {limit + 1} steps, more than may be skipped \(max_skipped={limit} of compile\): last in"
    with pytest.raises(ValueError, match=rf"{message} epoch 1, step {limit + 1}"):
        model.fit(broken(pair, 0, 1), batch_size=1, epochs=3, verbose=0)


def test_the_limit_is_that_of_one_fit(pair):
    model = compiled(max_skipped=1)
    for _ in range(2):
        with pytest.warns(UserWarning, match="1 of the 2 steps"):
            model.fit(broken(pair, 0), batch_size=1, verbose=0)
    assert model.skipped.count == 2


@pytest.mark.parametrize("name", ["segmentation", "autoencoder"])
def test_the_other_models_report_nan_too(name, pair):
    images, labels = pair(SHAPE)
    if name == "segmentation":
        model, y = ds.models.segmentation_model(SHAPE, 2, features=(2,)), labels["moving_labels"]
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    else:
        model, y = ds.models.autoencoder(SHAPE, features=(2,)), images["moving"]
        model.compile("adam", "mse", run_eagerly=True)
    for weight in model.trainable_weights:
        weight.assign(np.full(weight.shape, np.nan))
    with pytest.warns(UserWarning, match="1 of the 1 steps of epoch 1 were skipped"):
        history = model.fit(images["moving"], y, verbose=0).history
    assert np.isnan(list(history.values())).all()


def training(constant, shape, flow, int_steps, eager):
    """A model whose flow is everywhere the same, compiled, which does not learn."""
    model = constant(shape, flow, int_steps=int_steps, classes=2)
    goal = {"regularizer": ds.losses.Diffusion(), "run_eagerly": eager}
    model.compile(keras.optimizers.SGD(0.0), "mse", **goal)
    return model


# Warps and integration of 256 x 256 voxels are under XLA in a graph, where NaN becomes another integer.
HOW = pytest.mark.parametrize(
    ("int_steps", "shape", "eager"),
    [(0, SHAPE, True), (2, SHAPE, True), (2, SHAPE, False), (2, (256, 256), False)],
    ids=["eager", "integrated", "graph", "xla"],
)


@HOW
@pytest.mark.parametrize("flow", [(np.nan, np.nan), (np.inf, 0.0)], ids=str)
def test_a_flow_that_is_not_finite_is_a_skipped_step_a_loss_of_nan_and_no_registration(
    flow, int_steps, shape, eager, pair, constant
):
    images, labels = pair(shape)
    model = training(constant, shape, flow, int_steps, eager)
    with pytest.warns(UserWarning, match="1 of the 1 steps of epoch 1 were skipped"):
        history = model.fit(images, labels, verbose=0).history
    assert np.isnan([*history["loss"], *history["similarity"]]).all() and model.skipped.count == 1
    found = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert np.isnan([found["loss"], found["similarity"], found["dice"]]).all()
    predicted = model.predict(images, verbose=0)
    bad = ~np.isfinite(flow)
    assert np.isnan(predicted["warped"]).all() and not np.isfinite(predicted["flow"][..., bad]).any()
    with pytest.raises(ValueError, match="The registration model must give a finite flow. Received: .* NaN or infin"):
        ds.register(model, images["moving"][0], images["fixed"][0])


@HOW
@pytest.mark.parametrize(("flow", "voxel"), [((1e30, 1e30), np.s_[:, -1:, -1:]), ((-1e30, 0.0), np.s_[:, :1])], ids=str)
def test_a_flow_far_beyond_the_border_is_the_border(flow, voxel, int_steps, shape, eager, pair, constant):
    images, labels = pair(shape)
    model = training(constant, shape, flow, int_steps, eager)
    squares = np.mean((images["fixed"].astype("float64") - images["moving"][voxel]) ** 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = model.fit(images, labels, verbose=0).history
    np.testing.assert_allclose([history["loss"][0], history["similarity"][0]], squares, rtol=1e-5)
    found = model.predict(images, verbose=0)
    np.testing.assert_allclose(found["flow"], np.broadcast_to(flow, (2, *shape, 2)).astype("float32"), rtol=1e-6)
    expected = np.broadcast_to(images["moving"][voxel], images["moving"].shape)
    np.testing.assert_allclose(found["warped"], expected, atol=1e-6)
