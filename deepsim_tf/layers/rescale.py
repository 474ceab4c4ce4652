"""Linear resampling on regular grids: flows (VoxelMorph's RescaleTransform), feature maps and U-Net up-sampling."""

import keras
import tensorflow as tf

from deepsim_tf._compat import vxm
from deepsim_tf.grids.sampling_graph import centres, interpolate_axis


def resize(images, shape, *, align_corners=False):
    """Linear interpolation to another size, one axis after the other.

    Args:
        images: tensor (batch, *spatial, channels).
        shape: new spatial shape.
        align_corners: `True` maps first to first and last to last voxel centre (VoxelMorph's `RescaleTransform`);
            `False` keeps the outer edges of the grid in place (half-pixel centres: PyTorch's and TensorFlow's default).

    Returns:
        Tensor (batch, *shape, channels).
    """
    for axis, new in enumerate(shape, start=1):
        old = images.shape[axis] if images.shape[axis] is not None else tf.shape(images)[axis]
        if isinstance(old, int) and isinstance(new, int) and old == new:
            continue
        if align_corners:
            last, new_last = tf.cast(old - 1, tf.float32), tf.cast(new - 1, tf.float32)
            points = tf.range(new_last + 1) * (last / tf.maximum(new_last, 1.0))
        else:
            points = centres(new, old, tf.float32)
        images = interpolate_axis(images, points, axis)
    return images


@keras.saving.register_keras_serializable("deepsim_tf")
class RescaleTransform(vxm.layers.RescaleTransform):
    """VoxelMorph's RescaleTransform for dense flows, with the same constructor and numbers, without `tf.map_fn`.

    Resizes the field by `zoom_factor` and multiplies the displacements by it, so that they stay in voxels of their own
    grid.
    """

    def __init__(self, zoom_factor, interp_method="linear", *, dtype="float32", **kwargs):
        super().__init__(zoom_factor, interp_method=interp_method, dtype=dtype, **kwargs)

    def call(self, transform):
        """Rescale a flow (batch, *spatial, ndim)."""
        if self.is_affine or self.interp_method != "linear":
            return super().call(transform)
        shape = [int(size * self.zoom_factor) for size in transform.shape[1:-1]]
        return resize(transform, shape, align_corners=True) * self.zoom_factor


@keras.saving.register_keras_serializable("deepsim_tf")
class LinearUpSampling(keras.layers.Layer):
    """Doubles the size linearly (half-pixel centres), in 2-D and 3-D: Keras has no trilinear UpSampling3D.

    Written with shifts instead of gathers, whose gradients are slow:
    out[2i] = 3/4 x[i] + 1/4 x[i-1],  out[2i+1] = 3/4 x[i] + 1/4 x[i+1],  with the border repeated.
    """

    def call(self, inputs):
        """(batch, *spatial, channels) -> (batch, *2 spatial, channels)."""
        x = inputs
        for axis in range(1, len(inputs.shape) - 1):
            size = tf.shape(x)
            first, last = tf.gather(x, [0], axis=axis), tf.gather(x, [size[axis] - 1], axis=axis)
            before = tf.concat([first, tf.gather(x, tf.range(size[axis] - 1), axis=axis)], axis)
            after = tf.concat([tf.gather(x, tf.range(1, size[axis]), axis=axis), last], axis)
            pairs = tf.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis=axis + 1)
            x = tf.reshape(pairs, tf.concat([size[:axis], [2 * size[axis]], size[axis + 1 :]], 0))
        return tf.ensure_shape(x, self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, input_shape):
        """Twice every spatial size."""
        return (input_shape[0], *(None if n is None else 2 * n for n in input_shape[1:-1]), input_shape[-1])
