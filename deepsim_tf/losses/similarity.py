"""What a similarity is, and the one place that asks it for the loss of a registered pair."""

import keras
import tensorflow as tf
from keras import ops

from deepsim_tf import checks
from deepsim_tf.layers import warp
from deepsim_tf.layers.compiled import compiled
from deepsim_tf.losses.inputs import checked_field, checked_images
from deepsim_tf.losses.voxel_weights import image_and_voxel_weights, weighted_mean


class Similarity(keras.losses.Loss):
    """A Keras loss on a pair of images, (fixed, warped), that takes weights of voxels and may ask for the flow.

    The contract, for every similarity of this package and for your own:

    * `loss(fixed, warped, sample_weight=None)`, images (batch, *spatial, channels), as every Keras loss;
    * `loss.needs_flow`: False where the two images are enough. True where the loss warps something else than the
      image, as `DeepSim(warp="features")` does; it then refuses to be called on images;
    * `loss.of_flow(fixed, moving, flow, sample_weight=None)` is the same loss from the moving image and the flow,
      (batch, *spatial, ndim) in voxels. It works for every Similarity; without `needs_flow` it warps the image;
    * `sample_weight` of shape (batch,) multiplies the value of each image, see keras.losses.Loss. One of shape
      (batch, *spatial) or (batch, *spatial, 1), such as a mask, weighs voxels: the value of an image is
      sum_p w(p) v(p) / sum_p w(p) instead of the mean over p, so that only the ratios of its weights count. An image
      without any weight scores 0 and has no gradient, as one whose weight as a whole is 0. Negative weights are
      refused;
    * integers, images of unequal shape or another rank, and NaN in NumPy arrays are refused by name. NaN in a tensor
      makes the loss NaN, so that a training can skip the step.

    A subclass defines `values`, and `values_of_flow` where it needs the flow.

    Args:
        name, reduction, dtype: see keras.losses.Loss.

    Example:
        >>> class MeanAbsolute(ds.losses.Similarity):
        ...     def values(self, fixed, warped, weights=None):
        ...         return ds.losses.weighted_mean(abs(fixed - warped)[..., 0], weights)
        >>> fixed, warped = np.zeros((1, 2, 2, 1)), np.array([[0.0, 2.0], [4.0, 6.0]]).reshape(1, 2, 2, 1)
        >>> float(MeanAbsolute()(fixed, warped, sample_weight=np.array([[[0, 0], [1, 3]]])))  # (1 * 4 + 3 * 6) / 4
        5.5
    """

    needs_flow = False
    xla = False  # whether `values` was measured to be faster under XLA (benchmarks/losses.py)
    check_types = staticmethod(checks.float_images)  # refuses what Keras would cast to float without a word

    def values(self, fixed, warped, weights=None):
        """The measure of each image of a batch.

        Args:
            fixed, warped: tensors (batch, *spatial, channels) of the loss's dtype.
            weights: tensor (batch, *spatial) of the same dtype, or None.

        Returns:
            Tensor (batch,).
        """
        raise NotImplementedError

    def values_of_flow(self, fixed, moving, flow, weights=None):
        """As `values`, of the moving image under a flow (batch, *spatial, ndim)."""
        return self.call_values(fixed, warp(moving, flow), weights)

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of (fixed, warped); see the class."""
        if self.needs_flow:
            raise ValueError(
                f"{type(self).__name__} needs the flow: compile it in ds.models.registration_model, or call"
                " of_flow(fixed, moving, flow)."
            )
        return self._reduced(self.call_values, self.checked(y_true=y_true, y_pred=y_pred), sample_weight)

    def of_flow(self, fixed, moving, flow, sample_weight=None):
        """The loss of (fixed, moving o flow); see the class."""
        fixed, moving = self.checked(fixed=fixed, moving=moving)
        flow = checked_field(type(self).__name__, "flow", flow, ndim=len(moving.shape) - 2)
        return self._reduced(self.values_of_flow, (fixed, moving, flow), sample_weight)

    def call(self, y_true, y_pred):
        """Images (batch, *spatial, channels) -> (batch,)."""
        return self.call_values(y_true, y_pred, None)

    def call_values(self, fixed, warped, weights):
        """`values`, under XLA where that is faster."""
        return (compiled(self.values) if self.xla else self.values)(fixed, warped, weights)

    def checked(self, **images):
        """The two images as tensors, where they can be compared; here, because Keras casts before `call`."""
        return checked_images(type(self).__name__, check_types=self.check_types, **images)

    def _reduced(self, values, images, sample_weight):
        """The values of a batch as Keras reduces them."""
        images = [ops.convert_to_tensor(image, dtype=self.dtype) for image in images]
        of_images, of_voxels = image_and_voxel_weights(type(self).__name__, sample_weight, images[1], self.dtype)
        with tf.name_scope(self.name):
            found = values(*images, of_voxels)
        return _Reduction(self.name, self.reduction, self.dtype)(found, found, of_images)


class _Reduction(keras.losses.Loss):
    """What keras.losses.Loss does with the values of a batch, and under tf.distribute, of values that are there."""

    def call(self, y_true, y_pred):
        return y_pred


def compare(similarity, fixed, moving, flow, *, warped=None, sample_weight=None):
    """The loss of a registered pair, of a `Similarity` or any other Keras loss on (fixed, warped).

    Args:
        similarity: a keras.losses.Loss.
        fixed, moving: images (batch, *spatial, channels).
        flow: (batch, *spatial, ndim), in voxels.
        warped: the moving image under the flow, where it is there already.
        sample_weight: of images or voxels, see `Similarity`. Voxels of a loss that is no Similarity can be weighed
            where it has a value for each of them, as keras.losses.MeanSquaredError has.

    Returns:
        The loss, as the similarity reduces it.

    Raises:
        ValueError: voxel weights for a loss that has one value for each image.
    """
    if isinstance(similarity, Similarity) and similarity.needs_flow:
        return similarity.of_flow(fixed, moving, flow, sample_weight)
    warped = warp(moving, flow) if warped is None else warped
    if isinstance(similarity, Similarity) or sample_weight is None:
        return similarity(fixed, warped, sample_weight)
    return _of_keras(similarity, fixed, warped, sample_weight)


def values_of(similarity, fixed, moving, flow, *, fixed_mask=None, moving_mask=None):
    """The loss of each registered pair of a batch, (batch,), before any reduction; see `compare`.

    Args:
        fixed_mask, moving_mask: (batch, *spatial), weights of the voxels, or None; the moving one moves with its image.
    """
    weights = mask_weights(flow, fixed_mask, moving_mask)
    if isinstance(similarity, Similarity):
        fixed, moving = (ops.convert_to_tensor(image, dtype=similarity.dtype) for image in (fixed, moving))
        return similarity.values_of_flow(fixed, moving, flow, weights)
    values = similarity.call(fixed, warp(moving, flow))
    if len(values.shape) == 1 and weights is None:
        return values
    return weighted_mean(values, weights)


def mask_weights(flow, fixed_mask, moving_mask):
    """The weights of the voxels of registered pairs, (batch, *spatial): the product of the masks; None without any."""
    masks = [] if fixed_mask is None else [tf.cast(fixed_mask, tf.float32)]
    if moving_mask is not None:
        moved = warp(tf.cast(moving_mask, tf.float32)[..., None], flow)[..., 0]
        masks.append(tf.stop_gradient(moved))  # or the loss could fall by moving the mask off the image
    return tf.reduce_prod(tf.stack(masks), axis=0) if masks else None


def _of_keras(loss, fixed, warped, sample_weight):
    """A weighted loss that is no Similarity; Keras cannot broadcast (batch,) over values of voxels."""
    who = type(loss).__name__
    fixed, warped = (ops.convert_to_tensor(image, dtype=loss.dtype) for image in (fixed, warped))
    of_images, of_voxels = image_and_voxel_weights(who, sample_weight, warped, loss.dtype)
    values = loss.call(fixed, warped)  # (batch,) or (batch, *spatial)
    if of_voxels is None:
        weights = tf.reshape(of_images, [-1] + [1] * (len(values.shape) - 1)) * tf.ones_like(values)
    elif len(values.shape) != len(of_voxels.shape):
        raise ValueError(
            f"{who} has no value for each voxel, whose weights it could take. Received: sample_weight of voxels. Weigh"
            " images, (batch,), or derive it from ds.losses.Similarity."
        )
    else:  # of mean 1, so that Keras's mean over the voxels is the weighted one
        axes = tuple(range(1, len(values.shape)))
        weights = tf.math.divide_no_nan(of_voxels, tf.reduce_mean(of_voxels, axis=axes, keepdims=True))
    return _Reduction(loss.name, loss.reduction, loss.dtype)(values, values, weights)
