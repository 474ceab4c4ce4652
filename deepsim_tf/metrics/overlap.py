"""Overlap of label maps."""

import numpy as np
import tensorflow as tf

from deepsim_tf import checks


def dice(fixed_labels, warped_labels, classes, *, absent="nan"):
    """Dice coefficient of each class, 2 |A and B| / (|A| + |B|).

    Args:
        fixed_labels, warped_labels: integer arrays of equal shape, one image or a batch taken as one.
        classes: number of classes K with background; labels are 0 .. K - 1.
        absent: a class that is in neither of the two is `"nan"`, to be left out of means (Learn2Reg's policy), or
            `"zero"`, which counts as a miss (the policy of the paper's authors, whose means are lower where classes are
            absent).

    Returns:
        float64 array (K,), in [0, 1] or NaN.

    Raises:
        ValueError: shapes that differ, labels beyond the classes or not whole, an unknown policy.

    Example:
        >>> dice(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), classes=3).round(3).tolist()
        [0.667, 0.8, nan]
        >>> dice(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), classes=3, absent="zero").round(3).tolist()
        [0.667, 0.8, 0.0]

    Reference:
        Dice, Ecology 26 (1945); Hering et al., Learn2Reg, IEEE TMI 42 (2023).
    """
    checks.known("absent", absent, ("nan", "zero"))
    a, b = label_pair("dice", fixed_labels, warped_labels, classes)
    size_a, size_b = (np.bincount(labels.ravel(), minlength=classes).astype("float64") for labels in (a, b))
    both = np.bincount(a[a == b].ravel(), minlength=classes)
    missing = np.full(classes, np.nan if absent == "nan" else 0.0)
    return np.divide(2 * both, size_a + size_b, out=missing, where=size_a + size_b > 0)


def voxel_accuracy(fixed_labels, warped_labels):
    """Fraction of the voxels whose labels agree, in [0, 1]; a large background makes it large.

    Args:
        fixed_labels, warped_labels: integer arrays of equal shape.

    Raises:
        ValueError: shapes that differ, arrays without voxels, labels that are not integers.

    Example:
        >>> voxel_accuracy(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]))
        0.75
    """
    a, b = label_pair("voxel_accuracy", fixed_labels, warped_labels)
    if a.size == 0:
        raise ValueError(f"voxel_accuracy expects at least one voxel. Received: fixed_labels.shape={a.shape}.")
    return float(np.mean(a == b))


def label_pair(who, fixed_labels, warped_labels, classes=None):
    """Two label maps as arrays, after a check of their shapes, types and, given the number of classes, values."""
    a, b = np.asarray(fixed_labels), np.asarray(warped_labels)
    if a.shape != b.shape:
        raise ValueError(
            f"{who} compares label maps of equal shape. Received: fixed_labels.shape={a.shape},"
            f" warped_labels.shape={b.shape}."
        )
    for name, labels in (("fixed_labels", a), ("warped_labels", b)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{who} expects integer labels. Received: {name} of type {labels.dtype}.")
        if classes is not None and labels.size and (labels.min() < 0 or labels.max() >= classes):
            found = f"{name} from {labels.min()} to {labels.max()}"
            raise ValueError(f"{who} expects labels from 0 to {classes - 1} (classes={classes}). Received: {found}.")
    return a, b


def batch_dice(fixed_labels, warped_labels, classes=None):
    """Mean Dice of each pair over the classes that occur in it, in a graph: (batch, *spatial) twice -> (batch,).

    `classes=None` takes as many as the labels show.
    """
    size = tf.shape(fixed_labels)
    lines = [size[0], tf.reduce_prod(size[1:])]  # of no pairs, too, TensorFlow could not work out -1
    fixed, warped = (tf.cast(tf.reshape(labels, lines), tf.int32) for labels in (fixed_labels, warped_labels))
    if classes is None:
        classes = tf.reduce_max([tf.reduce_max(fixed), tf.reduce_max(warped), 0]) + 1

    def count(labels, weights=None):  # (batch, voxels) -> (batch, classes)
        return tf.math.bincount(
            labels, weights=weights, minlength=classes, maxlength=classes, axis=-1, dtype=tf.float32
        )

    both = count(fixed, tf.cast(fixed == warped, tf.float32))
    return mean_over_present(2 * both, count(fixed) + count(warped))


def mean_over_present(overlap, sizes):
    """Mean of overlap / sizes over the classes with a size, (batch, classes) twice -> (batch,)."""
    present = tf.cast(sizes > 0, tf.float32)
    return tf.reduce_sum(tf.math.divide_no_nan(overlap, sizes), -1) / tf.maximum(tf.reduce_sum(present, -1), 1.0)
