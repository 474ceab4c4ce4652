"""Warping: VoxelMorph's SpatialTransformer for dense flows, vectorised over the batch."""

import functools

import keras
import tensorflow as tf

from deepsim_tf._compat import vxm
from deepsim_tf.grids.sampling_graph import sample_at
from deepsim_tf.layers.compiled import compiled_if_large


def voxel_grid(shape):
    """Voxel coordinates ("ij") of a grid, float32.

    Args:
        shape: the spatial shape, a tuple or a 1-D integer tensor.

    Returns:
        Tensor (*shape, ndim).
    """
    sizes = tf.unstack(tf.convert_to_tensor(shape, tf.int32))
    return tf.stack(tf.meshgrid(*[tf.range(tf.cast(n, tf.float32)) for n in sizes], indexing="ij"), axis=-1)


def warp(images, flow, *, interpolation="linear"):
    """Sample `images` at p + flow(p): `warped = images o flow`, on the grid of `flow`.

    Beyond the border the border's value continues (corners aligned). The numbers are those of
    `vxm.layers.SpatialTransformer`, which maps over the batch instead. Where a component of the displacement is NaN or
    infinite, the linearly warped voxel is NaN, so that a loss sees it; `"nearest"`, whose labels know no NaN, reads
    the voxel with that coordinate 0.

    Args:
        images: tensor (batch, *spatial, channels).
        flow: tensor (batch, *spatial, ndim), displacement in voxels, axes ordered as the spatial axes.
        interpolation: `"linear"`, or `"nearest"` for labels (keeps their dtype).

    Returns:
        Tensor (batch, *spatial of flow, channels) of the dtype of `images`.

    Raises:
        ValueError: an unknown interpolation.
    """
    images, flow = tf.convert_to_tensor(images), tf.convert_to_tensor(flow)
    flow = tf.cast(flow, tf.float64 if flow.dtype == tf.float64 else tf.float32)
    return compiled_if_large(functools.partial(_warp, interpolation=interpolation), flow)(images, flow)


def _warp(images, flow, interpolation="linear"):
    points = tf.cast(voxel_grid(tf.shape(flow)[1:-1]), flow.dtype) + flow
    warped = sample_at(images, tf.unstack(points, axis=-1), interpolation=interpolation)
    return tf.ensure_shape(warped, [*flow.shape[:-1], warped.shape[-1]])


@keras.saving.register_keras_serializable("deepsim_tf")
class SpatialTransformer(vxm.layers.SpatialTransformer):
    """VoxelMorph's SpatialTransformer with the same constructor and the same numbers, without `tf.map_fn`.

    Dense flows with clamped borders go through `warp`, for the whole batch at once and across XLA
    boundaries; affine matrices, `single_transform` and `fill_value` stay with VoxelMorph's own code.
    Always float32: half precision cannot address the voxels of a large image.
    """

    def __init__(self, *args, dtype="float32", **kwargs):
        super().__init__(*args, dtype=dtype, **kwargs)

    def call(self, inputs):
        """Warp `[images, flow]`; see `warp`."""
        if self.is_affine or self.single_transform or self.fill_value is not None:
            return super().call(inputs)
        images, flow = inputs
        if self.indexing == "xy":
            flow = tf.concat([flow[..., 1::-1], flow[..., 2:]], axis=-1)
        return warp(images, flow, interpolation=self.interp_method)

    def compute_output_shape(self, input_shape):
        """The shape of the flow with the channels of the images."""
        images, flow = input_shape
        return (*(images if self.is_affine else flow)[:-1], images[-1])
