"""Weights of voxels, such as a mask, on the grids of a feature pyramid."""

import math

from keras import ops


def voxel_weights(weights, images):
    """Check weights of shape (batch, *spatial) or (batch, *spatial, 1), and return them as the first."""
    weights = weights[..., 0] if len(weights.shape) == len(images.shape) else weights
    if tuple(weights.shape[1:]) != tuple(images.shape[1:-1]):
        raise ValueError(
            f"sample_weight must weigh images, (batch,), or voxels, {tuple(images.shape[:-1])}. Received:"
            f" {tuple(weights.shape)}."
        )
    return weights


def weights_on_grid(weights, shape):
    """Average voxel weights (batch, *spatial) onto the grid of a level, (batch, *spatial_l)."""
    weights = ops.convert_to_tensor(weights)[..., None]
    # As often halved as the level is: one pooling by the ratio of odd sizes would land beside the level's voxels.
    for _ in range(round(math.log2(weights.shape[1] / shape[1]))):
        weights = ops.average_pool(weights, 2, strides=2, padding="same")
    return weights[(slice(None), *(slice(n) for n in shape[1:]), 0)]
