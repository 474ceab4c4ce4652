"""What the measures of two images share as Keras losses.

Checks of the arguments, float32, and XLA for the slow inner part.
"""

import keras
from keras import ops

from deepsim_tf import checks
from deepsim_tf.layers.compiled import compiled


class ImageLoss(keras.losses.Loss):
    """A loss on (fixed, warped) with one value for each image.

    A subclass defines `measure(fixed, warped)` -> (batch,).
    """

    xla = False  # whether `measure` was measured to be faster under XLA (benchmarks/losses.py)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """See keras.losses.Loss; weights are of images, (batch,)."""
        who = type(self).__name__
        if sample_weight is not None and len(sample_weight.shape) > 1:
            raise ValueError(
                f"{who} weighs images, sample_weight (batch,). Received: {tuple(sample_weight.shape)}. DeepSim takes"
                " voxel weights."
            )
        self.check_types(y_true=y_true, y_pred=y_pred)  # here, because Keras casts before `call`
        return super().__call__(y_true, y_pred, sample_weight)

    def check_types(self, **images):
        """Refuse what Keras would cast to float without a word."""
        checks.float_images(type(self).__name__, **images)

    def call(self, y_true, y_pred):
        """Images (batch, *spatial, channels) -> (batch,)."""
        who = type(self).__name__
        checks.equal_shapes(who, y_true=y_true, y_pred=y_pred)
        checks.image_rank(who, "y_pred", y_pred)
        return (compiled(self.measure) if self.xla else self.measure)(y_true, y_pred)


def at_least_float32(values):
    """A tensor in float32 or float64: half precision has too few digits for norms and means over a volume."""
    values = ops.convert_to_tensor(values)
    return values if keras.backend.standardize_dtype(values.dtype) == "float64" else ops.cast(values, "float32")
