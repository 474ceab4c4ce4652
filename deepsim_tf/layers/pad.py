"""Edge padding to the sizes that a U-Net needs, and back."""

import keras
import tensorflow as tf


def padded_size(size, multiple):
    """The smallest multiple of `multiple` that is not below `size`."""
    return -(-size // multiple) * multiple


@keras.saving.register_keras_serializable("deepsim_tf")
class EdgePad(keras.layers.Layer):
    """Repeats the border at the end of every spatial axis until its size divides by `multiple`.

    At the end only, so that voxel coordinates, and with them flows, are the same before and after.
    """

    def __init__(self, multiple, **kwargs):
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, inputs):
        """(batch, *spatial, channels) -> (batch, *padded, channels)."""
        x = inputs
        for axis in range(1, len(inputs.shape) - 1):
            size = inputs.shape[axis] if inputs.shape[axis] is not None else tf.shape(inputs)[axis]
            target = padded_size(size, self.multiple)
            if isinstance(size, int) and size == target:
                continue
            x = tf.gather(x, tf.minimum(tf.range(target), size - 1), axis=axis)
        return tf.ensure_shape(x, self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, input_shape):
        """Spatial sizes rounded up to the multiple."""
        return (
            input_shape[0],
            *(None if n is None else padded_size(n, self.multiple) for n in input_shape[1:-1]),
            input_shape[-1],
        )

    def get_config(self):
        """Adds `multiple`."""
        return {**super().get_config(), "multiple": self.multiple}


@keras.saving.register_keras_serializable("deepsim_tf")
class CropLike(keras.layers.Layer):
    """Cuts the end of every spatial axis, to `ceil(size of the reference / shrink)`: the inverse of EdgePad.

    Called on `[x, reference]`. `shrink=2` serves a field at half the resolution of the reference.
    """

    def __init__(self, shrink=1, **kwargs):
        super().__init__(**kwargs)
        self.shrink = shrink

    def call(self, inputs):
        """`[(batch, *padded, channels), (batch, *spatial, any)]` -> (batch, *ceil(spatial / shrink), channels)."""
        x, reference = inputs
        size = (tf.shape(reference)[1:-1] + self.shrink - 1) // self.shrink
        x = tf.slice(x, [0] * len(x.shape), tf.concat([[-1], size, [-1]], 0))
        return tf.ensure_shape(x, self.compute_output_shape([i.shape for i in inputs]))

    def compute_output_shape(self, input_shape):
        """Spatial sizes of the reference over `shrink`, channels of `x`."""
        x, reference = input_shape
        return (x[0], *(None if n is None else -(-n // self.shrink) for n in reference[1:-1]), x[-1])

    def get_config(self):
        """Adds `shrink`."""
        return {**super().get_config(), "shrink": self.shrink}
