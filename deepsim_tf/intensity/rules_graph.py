"""Intensity rules: `deepsim_tf.intensity.rules` as TensorFlow operations, for a batch."""

import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.intensity.rules import parse_rule


def apply_intensity(images, rule):
    """Raw intensities under a rule, each image by itself; see `intensity.rules.apply_intensity`.

    Args:
        images: tensor (batch, *spatial, channels), float32.
        rule: the rule's name; None and "none" leave the images as they are.

    Returns:
        Tensor of the same shape.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, on an image without contrast under "minmax" or "quantile".
    """
    name, low, high = parse_rule(rule or "none")
    if name == "none":
        return images
    if name != "fixed":
        values = tf.reshape(images, [tf.shape(images)[0], -1])  # (batch, voxels)
        if name == "minmax":
            low, high = tf.reduce_min(values, axis=1), tf.reduce_max(values, axis=1)
        else:
            low, high = quantile(values, low), quantile(values, high)
        message = f"{checks.MARKER}the intensity rule {rule} needs contrast, and an image has none"
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(high > low), [message])]):
            low, high = (tf.reshape(bound, [-1] + [1] * (len(images.shape) - 1)) for bound in (low, high))
    scaled = (images - low) / (high - low)
    return tf.clip_by_value(scaled, 0.0, 1.0) if name == "quantile" else scaled


def quantile(values, q):
    """The q-quantile of each row, (batch, n) -> (batch,), linear between two neighbours (NumPy's default).

    Sorts the shorter tail alone: for 1 % of a volume, a hundredth of its voxels.
    """
    n = tf.shape(values)[1]
    position = q * tf.cast(n - 1, tf.float64)  # single precision cannot count the voxels of a volume
    below = tf.cast(position, tf.int32)
    above = tf.minimum(below + 1, n - 1)
    if q < 0.5:
        tail = -tf.math.top_k(-values, above + 1).values  # ascending: entry i has rank i
        low, high = tf.gather(tail, below, axis=1), tf.gather(tail, above, axis=1)
    else:
        tail = tf.math.top_k(values, n - below).values  # descending: entry i has rank n - 1 - i
        low, high = tf.gather(tail, n - 1 - below, axis=1), tf.gather(tail, n - 1 - above, axis=1)
    return low + tf.cast(position - tf.cast(below, tf.float64), values.dtype) * (high - low)
