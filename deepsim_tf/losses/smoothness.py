"""Regularisers of the displacement field."""

import keras
import tensorflow as tf
from keras import ops

from deepsim_tf.layers.compiled import compiled
from deepsim_tf.losses.inputs import as_array, checked_field


def diffusion(flow):
    """Diffusion regulariser: the mean squared forward difference of a field.

        R(u) = 1/ndim sum_d mean_p |u(p + e_d) - u(p)|^2,  the mean over voxels and components

    as in the authors' code and in `vxm.losses.Grad("l2")` (Balakrishnan et al., IEEE TMI 2019, equations 7 and 8, as a
    mean).

    Args:
        flow: displacement or velocity in voxels, (batch, *spatial, ndim), at least two voxels on every axis.

    Returns:
        Tensor (batch,), in squared voxels; float32, or float64 where the field is.

    Raises:
        ValueError: integers, NaN in a NumPy array, not one component for each axis, or too few voxels.

    Example:
        >>> y = np.arange(5.0).reshape(1, 5, 1, 1) * np.ones((1, 5, 6, 2))  # both grow along axis 0
        >>> float(diffusion(y)[0])  # (1 + 0) / 2
        0.5
    """
    flow = checked_field("diffusion", "flow", flow, least=2)
    ndim = len(flow.shape) - 2
    total = 0.0
    for axis in range(1, ndim + 1):
        before = (slice(None),) * axis
        difference = flow[(*before, slice(1, None))] - flow[(*before, slice(None, -1))]
        total += ops.mean(ops.square(difference), axis=tuple(range(1, ndim + 2)))
    return total / ndim


def bending_energy(flow):
    """Bending energy: the mean squared second derivative of a field, which leaves affine maps free.

        R(u) = mean_p sum_d sum_e (d^2 u / dx_d dx_e)^2,  the mean over voxels and components

    that is xx + yy + zz + 2 xy + 2 xz + 2 yz, each squared (Rueckert et al., IEEE TMI 18, 1999, equation 9, averaged
    over the components too, as in MONAI's `BendingEnergyLoss`). Central differences in voxels, u(p + e) - 2 u(p) + u(p
    - e) and [u(p + d + e) - u(p + d - e) - u(p - d + e) + u(p - d - e)] / 4, at the voxels that have all their
    neighbours.

    Args:
        flow: displacement or velocity in voxels, (batch, *spatial, ndim), at least three voxels on every axis.

    Returns:
        Tensor (batch,), per voxel squared over voxel squared; float32, or float64 where the field is.

    Raises:
        ValueError: integers, NaN in a NumPy array, not one component for each axis, or too few voxels.

    Example:
        >>> y, x = np.indices((5, 6)).astype("float64")
        >>> float(bending_energy(np.stack([y**2 + x * y, 0 * x], -1)[None])[0])  # (2^2 + 2 * 1^2) / 2 components
        3.0
    """
    flow = checked_field("bending_energy", "flow", flow, least=3)
    ndim = len(flow.shape) - 2

    def at(*steps):
        """The field at p + the sum of (axis, step), for all inner voxels p."""
        move = [0] * ndim
        for axis, step in steps:
            move[axis] = step
        return flow[(slice(None), *(slice(1 + m, m - 1 or None) for m in move))]

    total = 0.0
    for d in range(ndim):
        total += tf.square(at((d, 1)) - 2 * at() + at((d, -1)))
        for e in range(d + 1, ndim):
            mixed = at((d, 1), (e, 1)) - at((d, 1), (e, -1)) - at((d, -1), (e, 1)) + at((d, -1), (e, -1))
            total += 2 * tf.square(mixed / 4)
    return tf.reduce_mean(total, axis=tuple(range(1, ndim + 2)))


class Regularizer(keras.losses.Loss):
    """A Keras loss on (ignored, field): what both regularisers share. A subclass has a function `measure`.

    Fields are (batch, *spatial, ndim); a `sample_weight` weighs images, (batch,).
    """

    least = 2  # voxels on every axis

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of the field `y_pred`; see the class."""
        who = type(self).__name__
        if sample_weight is not None and len(as_array(sample_weight).shape) > 1:
            expected = "weights of images, sample_weight (batch,)"
            raise ValueError(f"{who} expects {expected}. Received: {tuple(as_array(sample_weight).shape)}.")
        field = checked_field(who, "y_pred", y_pred, least=self.least)
        return super().__call__(field, field, sample_weight)

    def call(self, y_true, y_pred):
        """Fields (batch, *spatial, ndim) -> (batch,); `y_true` is ignored."""
        return compiled(self.measure)(y_pred)


@keras.saving.register_keras_serializable("deepsim_tf")
class Diffusion(Regularizer):
    """The diffusion regulariser as a Keras loss on (ignored, flow); see `diffusion` for the formula."""

    measure = staticmethod(diffusion)

    def __init__(self, name="diffusion", **kwargs):
        super().__init__(name=name, **kwargs)


@keras.saving.register_keras_serializable("deepsim_tf")
class BendingEnergy(Regularizer):
    """The bending energy as a Keras loss on (ignored, flow); see `bending_energy` for the formula."""

    measure, least = staticmethod(bending_energy), 3

    def __init__(self, name="bending_energy", **kwargs):
        super().__init__(name=name, **kwargs)
