"""MIND-SSC.

Self-similarity context (Heinrich et al., MICCAI 2013), a descriptor that survives a change of contrast or modality.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from deepsim_tf.layers.compiled import compiled
from deepsim_tf.losses.inputs import at_least_float32, checked_images
from deepsim_tf.losses.ncc import box_sum
from deepsim_tf.losses.similarity import Similarity
from deepsim_tf.losses.voxel_weights import weighted_mean

_FLAT = 1e-8  # lower bound of V, for images in about [0, 1]: what differs by less than 1e-4 is constant


def mind(images, *, radius=2, dilation=2, weights=None):
    """Self-similarity context of every voxel: how alike the patches around it are to one another.

        S(p, k) = exp(-(D(p, k) - min_k D(p, k)) / V(p)),   k = (a, b), a pair of neighbours of p
        D(p, k) = mean over the patch at p of (I(. + a) - I(. + b))^2
        V(p)    = mean_k (D(p, k) - min_k D(p, k)), clamped between 0.001 and 1000 times its mean over the image

    Heinrich et al., "Towards realtime multimodal fusion ... using self-similarities", MICCAI 2013; subtracting the
    minimum makes the largest entry of every voxel 1, the factor 1 / n of equation 4 in Heinrich et al., Medical Image
    Analysis 16, 2012. The neighbours are the six (2-D: four) at distance `dilation` on the axes; the pairs are the
    twelve (2-D: four) that lie sqrt(2) `dilation` apart. Beyond the border images, and then the squared differences,
    continue with the border's value.

    Args:
        images: tensor (batch, *spatial, channels), 2-D or 3-D, float; each channel is described by itself.
        radius: of the patches in voxels, side 2 radius + 1. Larger patches blur the descriptor and suppress more noise.
        dilation: distance of the neighbours in voxels. A larger one describes coarser structures.
        weights: of the voxels, (batch, *spatial), in the mean of V over the image, such as a mask: the descriptor of a
            voxel then depends on the voxels that count and on those up to `radius + dilation` away from it.

    Returns:
        Tensor (batch, *spatial, 12 channels), or 4 channels in 2-D, those of the first channel first; in (0, 1];
        float32, or float64 where the images are. Constant images give 1.

    Raises:
        ValueError: images of another rank or of integers.

    Example:
        >>> edge = np.repeat(np.array([0.0, 0.0, 1.0, 1.0]), 4).reshape(1, 4, 4, 1)  # two rows of 0, two of 1
        >>> # up and left, up and right, down and left, down and right
        >>> mind(edge, radius=0, dilation=1)[0, 1, 1].numpy().round(3).tolist()
        [1.0, 1.0, 0.135, 0.135]
    """
    (images,) = checked_images("mind", images=images)
    descriptor = _context(_neighbours(images, dilation), radius, weights)  # (batch, channels, pairs, *spatial)
    ndim, size = len(images.shape) - 2, tf.shape(images)
    # -> (batch, *spatial, channels, pairs) -> (batch, *spatial, channels * pairs)
    last = tf.transpose(descriptor, [0, *range(3, ndim + 3), 1, 2])
    return tf.reshape(last, tf.concat([size[:-1], [images.shape[-1] * descriptor.shape[2]]], 0))


def _neighbours(images, dilation):
    """For each axis the images moved by -dilation and by dilation: tensors (batch, channels, 2, *spatial)."""
    images = at_least_float32(images)
    ndim = len(images.shape) - 2
    # Channels, and later pairs, come before the spatial axes, so that window sums run over adjacent voxels.
    images = (
        tf.transpose(images, [0, ndim + 1, *range(1, ndim + 1)]) if images.shape[-1] != 1 else images[:, None, ..., 0]
    )
    shape, padded = tf.shape(images), _pad_edge(images, dilation, range(2, ndim + 2))

    def moved(axis, step):
        begin = [0, 0] + [dilation] * ndim
        begin[axis] += step
        return tf.slice(padded, begin, shape)

    return [tf.stack([moved(axis, -dilation), moved(axis, dilation)], axis=2) for axis in range(2, ndim + 2)]


def _context(neighbours, radius, weights=None):
    """`mind` from the neighbours: (batch, channels, pairs, *spatial)."""
    ndim, shape = len(neighbours), tf.shape(neighbours[0])
    # The neighbours on two different axes make four pairs: (batch, channels, 2, 1, ..) - (batch, channels, 1, 2, ..)
    # -> (batch, channels, 4, *spatial)
    pairs = [
        tf.reshape(a[:, :, :, None] - b[:, :, None], tf.concat([shape[:2], [4], shape[3:]], 0))
        for a, b in itertools.combinations(neighbours, 2)
    ]
    squared = tf.square(tf.concat(pairs, axis=2))
    space = tuple(range(3, ndim + 3))
    distance = (
        box_sum(_pad_edge(squared, radius, space), 2 * radius + 1, space, padding="valid") / (2 * radius + 1) ** ndim
    )
    distance -= tf.reduce_min(distance, axis=2, keepdims=True)
    variance = tf.reduce_mean(distance, axis=2, keepdims=True)  # (batch, channels, 1, *spatial)
    weights = None if weights is None else weights[:, None, None]  # (batch, 1, 1, *spatial)
    typical = weighted_mean(variance, weights, axes=space, keepdims=True)
    variance = tf.maximum(tf.clip_by_value(variance, 0.001 * typical, 1000 * typical), _FLAT)
    return tf.exp(-distance / variance)


def _pad_edge(x, size, axes):
    """Continue the border's value by `size` voxels on both sides of each axis."""
    for axis in axes:
        before = (slice(None),) * axis
        first, last = x[(*before, slice(0, 1))], x[(*before, slice(-1, None))]
        x = tf.concat([tf.repeat(first, size, axis), x, tf.repeat(last, size, axis)], axis)
    return x


@keras.saving.register_keras_serializable("deepsim_tf")
class MIND(Similarity):
    """Mean squared difference of the MIND-SSC descriptors of (fixed, warped), in [0, 1], 0 is best.

    See `mind` for the formula; the mean is over voxels, pairs and channels. With weights of voxels, intensities more
    than `radius + dilation` away from every voxel that counts do not matter.

    Args:
        radius: of the patches in voxels. Larger patches suppress more noise and detail.
        dilation: distance of the neighbours in voxels.
        name, reduction, dtype: see keras.losses.Loss.

    Example:
        >>> image = np.random.default_rng(0).random((1, 16, 16, 16, 1), "float32")
        >>> round(float(MIND()(image, 1 - image)), 6)  # an inverted contrast costs nothing
        0.0
    """

    def __init__(self, radius=2, dilation=2, *, name="mind", **kwargs):
        super().__init__(name=name, **kwargs)
        for argument, value, least in (("radius", radius, 0), ("dilation", dilation, 1)):
            if not isinstance(value, (int, np.integer)) or value < least:
                raise ValueError(
                    f"{argument} must be a whole number of voxels, {least} or more. Received: {argument}={value}."
                )
        self.radius, self.dilation = int(radius), int(dilation)

    def values(self, fixed, warped, weights=None):
        """Mean over channels, pairs and voxels of the squared difference: (batch,)."""

        def distance(neighbours_fixed, neighbours_warped, weights):
            contexts = (
                _context(neighbours, self.radius, weights) for neighbours in (neighbours_fixed, neighbours_warped)
            )
            # (batch, channels, pairs, *spatial) -> (batch, *spatial) -> (batch,)
            return weighted_mean(tf.reduce_mean(tf.math.squared_difference(*contexts), axis=(1, 2)), weights)

        # The padding stays outside: it is cheap, and inside it would double the time that XLA takes to compile.
        return compiled(distance)(_neighbours(fixed, self.dilation), _neighbours(warped, self.dilation), weights)

    def get_config(self):
        """Adds `radius` and `dilation`."""
        return {**super().get_config(), "radius": self.radius, "dilation": self.dilation}
