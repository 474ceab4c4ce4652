import keras
import numpy as np
import pytest
import tensorflow as tf

import deepsim_tf as ds
from deepsim_tf._compat import vxm
from deepsim_tf.losses import SoftDice, soft_dice


def one_hot(labels, classes=4):
    return np.eye(classes, dtype="float32")[labels]


@pytest.fixture
def labels(rng):
    """Two label maps (3, 8, 9): classes 0 to 2 of 4, the third is in neither."""
    return rng.integers(0, 3, (3, 8, 9)), rng.integers(0, 3, (3, 8, 9))


def test_on_one_hot_labels_it_is_the_metric_without_absent_classes(labels):
    per_class = np.array([ds.metrics.dice(a, b, 4) for a, b in zip(*labels)])
    assert np.all(np.isnan(per_class[:, 3]))
    np.testing.assert_allclose(soft_dice(*map(one_hot, labels)), 1 - np.nanmean(per_class, 1), atol=1e-6)
    np.testing.assert_allclose(
        soft_dice(*map(one_hot, labels), background=False), 1 - np.nanmean(per_class[:, 1:], 1), atol=1e-6
    )
    np.testing.assert_allclose(soft_dice(*map(one_hot, labels), squared=True), 1 - np.nanmean(per_class, 1), atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 6), (4, 5, 6)])
def test_on_probabilities_it_is_voxelmorphs_dice(shape, rng):
    fixed, warped = (
        rng.dirichlet(np.ones(3), (2, *shape)).astype("float32") for _ in range(2)
    )  # every class is present
    expected = -np.mean(vxm.losses.Dice().loss(tf.constant(fixed), tf.constant(warped)))
    np.testing.assert_allclose(1 - SoftDice()(fixed, warped), expected, rtol=1e-5)


def test_squared_denominators_by_hand():
    # one class, probabilities (1, 0.5) and (0.5, 0.5): 2 * 0.75 / (1.25 + 0.5)
    a, b = np.array([1, 0.5]).reshape(1, 1, 2, 1), np.array([0.5, 0.5]).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(soft_dice(a, b, squared=True), [1 - 1.5 / 1.75], atol=1e-12)
    np.testing.assert_allclose(soft_dice(a, b), [1 - 1.5 / 2.5], atol=1e-12)
    np.testing.assert_allclose(soft_dice(b, b, squared=True), [0], atol=1e-12)


@pytest.mark.parametrize("squared", [False, True])
def test_a_mask_of_one_hot_labels_is_the_metric_of_the_labels_inside(squared, labels):
    inside = np.zeros((3, 8, 9))
    inside[:, 2:6, 1:7] = 1
    per_class = np.array([ds.metrics.dice(a[2:6, 1:7], b[2:6, 1:7], 4) for a, b in zip(*labels)])
    maps = [one_hot(part).astype("float64") for part in labels]
    for weights in (inside, 1e-9 * inside):
        found = soft_dice(*maps, squared=squared, weights=weights)
        np.testing.assert_allclose(found, 1 - np.nanmean(per_class, 1), atol=1e-9)


def test_weights_by_hand():
    # weights 3 and 1: class 0 has 2 * 3 * 0.5 / (3 * 1.5 + 1 * 1), class 1 has 2 * 1 * 1 / (3 * 0.5 + 1 * 1 + 1)
    a = np.array([[1.0, 0.0], [0.0, 1.0]]).reshape(1, 1, 2, 2)
    b = np.array([[0.5, 0.5], [1.0, 1.0]]).reshape(1, 1, 2, 2)
    expected = 1 - (3 / 5.5 + 2 / 3.5) / 2
    np.testing.assert_allclose(soft_dice(a, b, weights=np.array([[[3.0, 1.0]]])), [expected], atol=1e-12)


def test_a_class_in_one_map_alone_counts_as_0_and_no_class_at_all_scores_0():
    fixed, warped = one_hot(np.array([[[0, 0, 1]]])), one_hot(np.array([[[0, 0, 0]]]))
    np.testing.assert_allclose(soft_dice(fixed, warped), [1 - (4 / 5 + 0) / 2], atol=1e-6)
    np.testing.assert_array_equal(soft_dice(warped, warped, background=False), [0])


def test_dice_is_symmetric_and_best_for_equal_labels(labels):
    a, b = map(one_hot, labels)
    np.testing.assert_allclose(soft_dice(a, b), soft_dice(b, a), atol=1e-6)
    np.testing.assert_allclose(soft_dice(a, a), np.zeros(3), atol=1e-6)


@pytest.mark.parametrize("squared", [False, True])
def test_the_gradient_is_that_of_finite_differences(squared, rng):
    fixed, warped = rng.random((1, 5, 6, 3)), tf.constant(rng.random((1, 5, 6, 3)))
    direction, step = rng.normal(size=(1, 5, 6, 3)), 1e-6
    with tf.GradientTape() as tape:
        tape.watch(warped)
        loss = soft_dice(fixed, warped, squared=squared)
    ends = [soft_dice(fixed, warped + sign * step * direction, squared=squared)[0] for sign in (1, -1)]
    np.testing.assert_allclose(
        tf.reduce_sum(tape.gradient(loss, warped) * direction), (ends[0] - ends[1]) / (2 * step), rtol=1e-6
    )


def test_empty_maps_have_a_finite_gradient():
    empty = tf.zeros((1, 4, 4, 2))
    with tf.GradientTape() as tape:
        tape.watch(empty)
        loss = SoftDice()(empty, empty)
    assert loss == 0 and np.all(np.isfinite(tape.gradient(loss, empty)))


def test_labels_and_a_single_class_without_background_are_refused(labels):
    with pytest.raises(
        ValueError, match="SoftDice expects probabilities or one-hot labels as floats. Received: y_true of type int64"
    ):
        SoftDice()(labels[0][..., None], labels[1][..., None])
    with pytest.raises(
        ValueError, match="soft_dice expects probabilities .* Received: warped_probabilities of type int64"
    ):
        soft_dice(one_hot(labels[0]), one_hot(labels[1]).astype("int64"))
    with pytest.raises(
        ValueError, match=r"without background needs two classes or more. Received: \(1, 4, 4, 1\), background=False"
    ):
        SoftDice(background=False)(np.ones((1, 4, 4, 1), "float32"), np.ones((1, 4, 4, 1), "float32"))


def test_the_config_makes_the_same_loss(labels):
    loss = SoftDice(background=False, squared=True, name="mine", reduction="sum")
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(copy) is SoftDice and copy.get_config() == loss.get_config()
    np.testing.assert_array_equal(copy(*map(one_hot, labels)), loss(*map(one_hot, labels)))
