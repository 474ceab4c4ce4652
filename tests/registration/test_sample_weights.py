"""Weights of images and voxels in every entry, with labels and without, against means in NumPy's float64."""

import re

import keras
import numpy as np
import pytest
from places import SHAPE

RNG = np.random.default_rng(0)
X = {name: RNG.random((5, *SHAPE, 1), "float32") for name in ("moving", "fixed")}
LABELS = {f"{name}_labels": (image[..., 0] > 0.5).astype("int32") for name, image in X.items()}
WEIGHTS = {
    "images": np.array([0.0, 3.0, 1.0, 0.5, 2.0], "float32"),
    "voxels": RNG.random((5, *SHAPE), "float32") * (RNG.random((5, *SHAPE)) > 0.4),
}


def expected(weights):
    """Keras's mean of weighted images, or the mean over images of weighted means of voxels; and the weighted metric."""
    difference = X["fixed"][..., 0].astype("float64") - X["moving"][..., 0]
    w = weights.astype("float64")
    if w.ndim == 1:
        squares = np.mean(w * np.mean(difference**2, (1, 2)))
        return squares, np.sum(w * np.mean(abs(difference), (1, 2))) / np.sum(w)
    squares = np.mean(np.sum(w * difference**2, (1, 2)) / np.sum(w, (1, 2)))
    return squares, np.sum(w * abs(difference)) / np.sum(w)


@pytest.fixture
def still(constant):
    """A model whose flow is zero, and stays so."""
    model = constant(SHAPE, [0.0, 0.0], classes=2)
    plain = keras.metrics.MeanAbsoluteError(name="plain")
    model.compile(keras.optimizers.SGD(0.0), "mse", metrics=[plain], weighted_metrics=["mae"], run_eagerly=True)
    return model


@pytest.mark.parametrize("labels", [None, LABELS], ids=["images", "labelled"])
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_reach_the_loss_and_the_weighted_metrics_alone(still, kind, labels):
    weights = WEIGHTS[kind]
    squares, mae = expected(weights)
    plain = np.mean(abs(X["fixed"].astype("float64") - X["moving"]))
    found = still.evaluate(X, labels, sample_weight=weights, batch_size=5, verbose=0, return_dict=True)
    assert ("dice" in found) == (labels is not None)
    np.testing.assert_allclose([found["loss"], found["mae"], found["plain"]], [squares, mae, plain], rtol=1e-5)
    history = still.fit(
        X, labels, sample_weight=weights, validation_data=(X, labels, weights), batch_size=2, shuffle=False, verbose=0
    ).history
    for prefix in ("", "val_"):
        found = [history[prefix + name][0] for name in ("loss", "mae", "plain")]
        np.testing.assert_allclose(found, [squares, mae, plain], rtol=1e-5)


def test_a_part_set_aside_keeps_its_weights(still):
    weights = WEIGHTS["images"]
    history = still.fit(X, sample_weight=weights, validation_split=0.4, verbose=0).history
    rest = {name: image[3:] for name, image in X.items()}
    single = still.test_on_batch(rest, sample_weight=weights[3:], return_dict=True)
    np.testing.assert_allclose([history["val_loss"][0], history["val_mae"][0]], [single["loss"], single["mae"]])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            [1.0] * 5,
            "sample_weight must be an array, of weights of images, (images,), or of voxels, (images, *spatial).",
        ),
        ({"moving_labels": np.ones(5)}, "Received: a dict of moving_labels: float64 (5,)."),
        (np.ones(4), "Expected equally many moving and fixed and sample_weight. Received: moving: 5, fixed: 5, sample"),
    ],
    ids=["list", "dict", "count"],
)
def test_other_weights_are_refused(still, weights, message):
    for entry in (still.fit, still.evaluate):
        with pytest.raises(ValueError, match=re.escape(message)):
            entry(X, sample_weight=weights, verbose=0)
