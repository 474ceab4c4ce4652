"""Weights of voxels, such as a mask: what shapes they have, the mean that they give, and the grids of a pyramid."""

import math

import tensorflow as tf
from keras import ops

from deepsim_tf import checks


def image_and_voxel_weights(who, weights, images, dtype):
    """Tell the two kinds of sample_weight apart by their shape, and refuse others.

    Args:
        who: begins the error.
        weights: None; a number, or (batch,), of images; (batch, *spatial) or (batch, *spatial, 1), of voxels.
        images: (batch, *spatial, channels).
        dtype: of the result.

    Returns:
        (weights of images or None, weights of voxels, (batch, *spatial), or None).
    """
    if weights is None:
        return None, None
    weights = ops.cast(ops.convert_to_tensor(weights), dtype)
    if len(weights.shape) < 2:
        return weights, None
    voxels = weights[..., 0] if len(weights.shape) == len(images.shape) and weights.shape[-1] == 1 else weights
    expected = tuple(images.shape[:-1])
    if len(voxels.shape) != len(expected) or any(
        a is not None and b is not None and a != b for a, b in zip(voxels.shape, expected)
    ):
        raise ValueError(
            f"sample_weight must weigh images, (batch,), or voxels, {expected}. Received: {tuple(weights.shape)}."
        )
    return None, checks.weights_in_graph(who, voxels)


def weighted_mean(values, weights=None, *, axes=None, keepdims=False):
    """Mean over the voxels of each image, sum_p w(p) v(p) / sum_p w(p); 0 for an image without any weight.

    Args:
        values: tensor (batch, *spatial).
        weights: tensor (batch, *spatial), or None for the plain mean.
        axes: of the voxels; all but the first, where nothing is said.
        keepdims: keep them, with size 1.

    Returns:
        Tensor (batch,).
    """
    axes = tuple(range(1, len(values.shape))) if axes is None else axes
    if weights is None:
        return tf.reduce_mean(values, axis=axes, keepdims=keepdims)
    weights = tf.cast(weights, values.dtype)
    total = tf.reduce_sum(weights * values, axis=axes, keepdims=keepdims)
    return tf.math.divide_no_nan(total, tf.reduce_sum(weights, axis=axes, keepdims=keepdims))


def weights_on_grid(weights, shape):
    """Average voxel weights (batch, *spatial) onto the grid of a level, (batch, *spatial_l)."""
    weights = ops.convert_to_tensor(weights)[..., None]
    # As often halved as the level is: one pooling by the ratio of odd sizes would land beside the level's voxels.
    for _ in range(round(math.log2(weights.shape[1] / shape[1]))):
        weights = ops.average_pool(weights, 2, strides=2, padding="same")
    return weights[(slice(None), *(slice(n) for n in shape[1:]), 0)]
