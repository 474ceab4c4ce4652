"""The supervised term: labels of the training pairs, compared after a linear warp of their one-hot maps (NCC_sup)."""

import keras
import numpy as np
import pytest

import deepsim_tf as ds

SHAPE = (16, 20)


def supervised_model(**arguments):
    model = ds.models.registration_model(SHAPE, features=(4, 8), classes=2)
    loss = keras.losses.MeanSquaredError()
    model.compile(keras.optimizers.Adam(1e-3), "mse", supervised=loss, run_eagerly=True, **arguments)
    return model


def test_it_is_the_mean_squared_error_of_the_one_hot_labels(pair):
    images, labels = pair(SHAPE)
    model = supervised_model(supervised_weight=3.0)
    result = model.evaluate(images, labels, verbose=0, return_dict=True, batch_size=2)
    flow = model.predict(images, verbose=0)["flow"]
    # By NumPy: flows of a fresh network are about 1e-5 voxels, so that the linear warp is a step towards one neighbour.
    one_hot = {name: np.eye(2)[label] for name, label in labels.items()}
    warped = np.asarray(ds.layers.warp(one_hot["moving_labels"].astype("float32"), flow))
    expected = np.mean((one_hot["fixed_labels"] - warped) ** 2)
    np.testing.assert_allclose(result["supervised"], expected, rtol=1e-5)
    np.testing.assert_allclose(result["loss"], result["similarity"] + 3 * expected, rtol=1e-5)


def test_it_has_a_gradient_of_its_own(pair):
    images, labels = pair(SHAPE)
    flat = {
        name: np.zeros_like(image) for name, image in images.items()
    }  # nothing to be seen: only the labels can move it
    model = supervised_model()
    before = model.evaluate(flat, labels, verbose=0, return_dict=True, batch_size=2)["supervised"]
    model.optimizer.learning_rate.assign(1e-2)
    rng = np.random.default_rng(0)
    noise = {name: rng.random(image.shape, "float32") for name, image in images.items()}
    model.fit(noise, labels, epochs=15, batch_size=2, verbose=0)
    after = model.evaluate(noise, labels, verbose=0, return_dict=True, batch_size=2)["supervised"]
    assert after < before


def test_it_survives_a_file(tmp_path, pair):
    images, labels = pair(SHAPE)
    model = supervised_model(supervised_weight=0.5)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.supervised_weight == 0.5
    assert again.evaluate(images, labels, verbose=0, return_dict=True) == pytest.approx(
        model.evaluate(images, labels, verbose=0, return_dict=True)
    )


def test_it_needs_classes_and_labels(pair):
    with pytest.raises(
        ValueError, match="supervised compares labels, and the model does not know their number: pass classes"
    ):
        ds.models.registration_model(SHAPE, features=(4, 8)).compile(supervised="mse")
    with pytest.raises(
        ValueError, match="supervised_weight must be a finite number, 0 or more. Received: supervised_weight=-1"
    ):
        supervised_model(supervised_weight=-1)
    with pytest.raises(ValueError, match="supervised must be a keras.losses.Loss"):
        ds.models.registration_model(SHAPE, features=(4, 8), classes=2).compile(supervised=3)
    with pytest.raises(ValueError, match="The supervised term needs labels in the training data"):
        supervised_model().fit(pair(SHAPE)[0], verbose=0)
