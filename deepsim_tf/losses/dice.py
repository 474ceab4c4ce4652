"""Soft Dice: the overlap of class probabilities or one-hot labels, with a gradient."""

import keras
import tensorflow as tf

from deepsim_tf.losses.inputs import checked_images
from deepsim_tf.losses.similarity import Similarity

_ABSENT = 1e-3  # voxels: a class with less than this in both maps together is in neither


def soft_dice(fixed_probabilities, warped_probabilities, *, background=True, squared=False, weights=None):
    """1 - the mean Dice coefficient over the classes that are in either map: in [0, 1], 0 is best.

        Dice_c = 2 sum_p f_c(p) w_c(p) / (sum_p f_c(p) + sum_p w_c(p))     (Balakrishnan et al., IEEE TMI 2019, equation
        10, made soft)

    With one-hot labels it is the Dice coefficient itself. Classes in neither map do not count, as in `ds.metrics.dice`
    and Learn2Reg (the DeepSim authors count them as 0); maps without any class score 0.

    Args:
        fixed_probabilities, warped_probabilities: tensors (batch, *spatial, classes), float, non-negative: one-hot
            labels, linearly warped one-hot labels, or the output of a softmax. Class 0 is the background.
        background: whether class 0 counts.
        squared: square the terms of the denominator (Milletari et al., 3DV 2016), which makes equal maps the optimum
            also where they are not one-hot: without it, p = 1/2 in both scores 1/2.
        weights: of the voxels, (batch, *spatial), such as a mask, in every sum over p. Only their ratios count; an
            image without any weight scores 0.

    Returns:
        Tensor (batch,), float32, or float64 where the maps are.

    Raises:
        ValueError: maps of unequal shape, another rank or of integers; a single class without background.

    Example:
        >>> fixed = np.eye(2)[[[0, 0, 1, 1]]][None]  # one image of 1 x 4 voxels with two classes
        >>> warped = np.eye(2)[[[0, 1, 1, 1]]][None]
        >>> round(float(soft_dice(fixed, warped)[0]), 3)  # 1 - (2/3 + 4/5) / 2
        0.267
    """
    f, w = checked_images(
        "soft_dice",
        check_types=float_maps,
        fixed_probabilities=fixed_probabilities,
        warped_probabilities=warped_probabilities,
    )
    if not background:
        if f.shape[-1] < 2:
            raise ValueError(
                f"soft_dice without background needs two classes or more. Received: {tuple(f.shape)}, background=False."
            )
        f, w = f[..., 1:], w[..., 1:]
    sizes, common = f * f + w * w if squared else f + w, f * w
    voxels = tuple(range(1, len(f.shape) - 1))
    if weights is not None:
        weights = tf.cast(weights, f.dtype)[..., None]
        # The largest weight becomes 1: what is absent, is so whatever the unit of the weights.
        weights = tf.math.divide_no_nan(weights, tf.reduce_max(weights, axis=voxels, keepdims=True))
        sizes, common = weights * sizes, weights * common
    # (batch, *spatial, classes) -> (batch, classes)
    sizes, common = tf.reduce_sum(sizes, axis=voxels), tf.reduce_sum(common, axis=voxels)
    present = tf.cast(sizes > _ABSENT, sizes.dtype)
    overlap = 2 * common / tf.maximum(sizes, _ABSENT)
    missing = tf.reduce_sum(present * (1 - overlap), axis=-1)
    return missing / tf.maximum(tf.reduce_sum(present, axis=-1), 1)


def float_maps(who, **maps):
    """Refuse integers, which are labels rather than probabilities."""
    for name, values in maps.items():
        if not tf.as_dtype(values.dtype).is_floating:
            found = tf.as_dtype(values.dtype).name
            raise ValueError(
                f"{who} expects probabilities or one-hot labels as floats. Received: {name} of type {found}. Use"
                " keras.ops.one_hot."
            )


@keras.saving.register_keras_serializable("deepsim_tf")
class SoftDice(Similarity):
    """Soft Dice as a Keras loss on (fixed, warped) probabilities, (batch, *spatial, classes).

    See `soft_dice` for the formula.

    Args:
        background: whether class 0 counts.
        squared: square the terms of the denominator.
        name, reduction, dtype: see keras.losses.Loss.
    """

    def __init__(self, *, background=True, squared=False, name="soft_dice", **kwargs):
        super().__init__(name=name, **kwargs)
        self.background, self.squared = bool(background), bool(squared)

    check_types = staticmethod(float_maps)

    def values(self, fixed, warped, weights=None):
        """See `soft_dice`."""
        return soft_dice(fixed, warped, background=self.background, squared=self.squared, weights=weights)

    def get_config(self):
        """Adds `background` and `squared`."""
        return {**super().get_config(), "background": self.background, "squared": self.squared}
