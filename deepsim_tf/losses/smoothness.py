"""Regularisers of the displacement field."""

import keras
from keras import ops


def diffusion(flow):
    """Diffusion regulariser: the mean squared forward difference of a field.

        R(u) = 1/ndim sum_d mean_p |u(p + e_d) - u(p)|^2,  the mean over voxels and components

    as in the authors' code and in `vxm.losses.Grad("l2")`.

    Args:
        flow: displacement or velocity in voxels, (batch, *spatial, ndim).

    Returns:
        Tensor (batch,), in squared voxels.
    """
    ndim = len(flow.shape) - 2
    total = 0.0
    for axis in range(1, ndim + 1):
        before = (slice(None),) * axis
        difference = flow[(*before, slice(1, None))] - flow[(*before, slice(None, -1))]
        total += ops.mean(ops.square(difference), axis=tuple(range(1, ndim + 2)))
    return total / ndim


@keras.saving.register_keras_serializable("deepsim_tf")
class Diffusion(keras.losses.Loss):
    """The diffusion regulariser as a Keras loss on (ignored, flow); see `diffusion` for the formula."""

    def __init__(self, name="diffusion", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Fields (batch, *spatial, ndim) -> (batch,); `y_true` is ignored."""
        return diffusion(y_pred)
