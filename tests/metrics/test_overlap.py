import numpy as np
import pytest
import tensorflow as tf

from deepsim_tf.metrics import dice, voxel_accuracy
from deepsim_tf.metrics.overlap import batch_dice


def test_dice_by_hand():
    fixed = np.array([[0, 0, 1, 1], [0, 2, 2, 2]])
    warped = np.array([[0, 1, 1, 1], [0, 2, 2, 0]])
    # class 0: 2 both, 3 + 3; class 1: 2 both, 2 + 3; class 2: 2 both, 3 + 2
    np.testing.assert_allclose(dice(fixed, warped, classes=3), [2 * 2 / 6, 2 * 2 / 5, 2 * 2 / 5])


def test_dice_is_that_of_sets_of_voxels(rng):
    fixed, warped = rng.integers(0, 4, (5, 6, 7)), rng.integers(0, 4, (5, 6, 7))
    sets = [
        ({*zip(*np.nonzero(fixed == c), strict=True)}, {*zip(*np.nonzero(warped == c), strict=True)}) for c in range(4)
    ]
    np.testing.assert_allclose(dice(fixed, warped, classes=4), [2 * len(a & b) / (len(a) + len(b)) for a, b in sets])


def test_a_class_in_neither_is_nan_and_a_class_in_one_is_zero():
    values = dice(np.array([0, 0, 1]), np.array([0, 0, 0]), classes=4)
    np.testing.assert_allclose(values, [4 / 5, 0, np.nan, np.nan])


def test_the_authors_policy_counts_a_class_in_neither_as_zero():
    fixed, warped = np.array([0, 0, 1]), np.array([0, 0, 0])
    np.testing.assert_allclose(dice(fixed, warped, classes=4, absent="zero"), [4 / 5, 0, 0, 0])
    np.testing.assert_allclose(dice(fixed, warped, classes=4, absent="nan"), [4 / 5, 0, np.nan, np.nan])


def test_both_policies_agree_where_all_classes_are_present(rng):
    fixed, warped = rng.integers(0, 3, (6, 7)), rng.integers(0, 3, (6, 7))
    np.testing.assert_array_equal(dice(fixed, warped, classes=3, absent="zero"), dice(fixed, warped, classes=3))


def test_an_unknown_policy_is_refused():
    with pytest.raises(ValueError, match="Unknown absent 'skip'. Available: nan, zero"):
        dice(np.array([0]), np.array([0]), classes=1, absent="skip")


def test_voxel_accuracy_by_hand():
    assert voxel_accuracy(np.array([[0, 0, 1], [2, 2, 2]]), np.array([[0, 1, 1], [2, 0, 1]])) == 3 / 6


@pytest.mark.parametrize(
    "fixed, warped, message",
    [
        ([0, 1], [0, 1, 1], r"voxel_accuracy compares label maps of equal shape. Received: fixed_labels.shape=\(2,\)"),
        ([0, 1], [0.0, 1.0], "voxel_accuracy expects integer labels. Received: warped_labels of type float64"),
        (
            np.zeros(0, int),
            np.zeros(0, int),
            r"voxel_accuracy expects at least one voxel. Received: fixed_labels.shape=\(0,\)",
        ),
    ],
)
def test_labels_without_an_accuracy_are_refused(fixed, warped, message):
    with pytest.raises(ValueError, match=message):
        voxel_accuracy(np.array(fixed), np.array(warped))


def test_equal_labels_overlap_fully_and_disjoint_ones_not_at_all():
    labels = np.array([[0, 1], [2, 1]])
    np.testing.assert_array_equal(dice(labels, labels, classes=3), [1, 1, 1])
    np.testing.assert_array_equal(dice(labels, (labels + 1) % 3, classes=3), [0, 0, 0])


@pytest.mark.parametrize(
    "fixed, warped, message",
    [
        (
            [0, 1],
            [0, 1, 1],
            r"dice compares label maps of equal shape. Received: fixed_labels.shape=\(2,\), warped_labels.shape=\(3,\)",
        ),
        ([0, 1], [0, 3], r"dice expects labels from 0 to 1 \(classes=2\). Received: warped_labels from 0 to 3"),
        ([-1, 1], [0, 1], r"Received: fixed_labels from -1 to 1"),
        ([0.0, 1.0], [0, 1], "dice expects integer labels. Received: fixed_labels of type float64"),
    ],
)
def test_labels_that_make_no_sense_are_refused(fixed, warped, message):
    with pytest.raises(ValueError, match=message):
        dice(np.array(fixed), np.array(warped), classes=2)


@pytest.mark.parametrize("classes", [5, None])
def test_the_dice_of_a_batch_is_the_mean_over_the_classes_present(classes, rng):
    fixed, warped = rng.integers(0, 3, (3, 6, 7)), rng.integers(0, 3, (3, 6, 7))
    fixed[1], warped[1] = np.minimum(fixed[1], 1), np.minimum(warped[1], 1)  # class 2 is in neither of pair 1
    expected = [np.nanmean(dice(a, b, classes=5)) for a, b in zip(fixed, warped, strict=True)]
    np.testing.assert_allclose(
        tf.function(batch_dice)(tf.constant(fixed), tf.constant(warped), classes), expected, rtol=1e-6
    )
