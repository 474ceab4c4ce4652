"""MIND-SSC.

Self-similarity context (Heinrich et al., MICCAI 2013), a descriptor that survives a change of contrast or modality.
"""

import itertools

import keras
import numpy as np
import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.layers.compiled import compiled
from deepsim_tf.losses.ncc import box_sum
from deepsim_tf.losses.similarity import Similarity, at_least_float32

_FLAT = 1e-8  # lower bound of V, for images in about [0, 1]: what differs by less than 1e-4 is constant


def mind(images, *, radius=2, dilation=2):
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
        images: tensor (batch, *spatial, channels), 2-D or 3-D, float; distances are averaged over the channels.
        radius: of the patches in voxels, side 2 radius + 1. Larger patches blur the descriptor and suppress more noise.
        dilation: distance of the neighbours in voxels. A larger one describes coarser structures.

    Returns:
        Tensor (batch, *spatial, 12), or 4 in 2-D, in (0, 1]; float32, or float64 where the images are. Constant images
        give 1.

    Raises:
        ValueError: images of another rank or of integers.

    Example:
        >>> edge = np.repeat(np.array([0.0, 0.0, 1.0, 1.0]), 4).reshape(1, 4, 4, 1)  # two rows of 0, two of 1
        >>> # up and left, up and right, down and left, down and right
        >>> mind(edge, radius=0, dilation=1)[0, 1, 1].numpy().round(3).tolist()
        [1.0, 1.0, 0.135, 0.135]
    """
    checks.image_rank("mind", "images", images)
    checks.float_images("mind", images=images)
    descriptor = _context(_neighbours(images, dilation), radius)  # (batch, pairs, *spatial)
    return tf.transpose(descriptor, [0, *range(2, len(images.shape)), 1])


def _neighbours(images, dilation):
    """For each axis the images moved by -dilation and by dilation: tensors (batch, 2, *spatial, channels)."""
    images = at_least_float32(images)
    ndim, shape = len(images.shape) - 2, tf.shape(images)
    padded = _pad_edge(images, dilation, range(1, ndim + 1))

    def moved(axis, step):
        begin = [0] + [dilation] * ndim + [0]
        begin[axis] += step
        return tf.slice(padded, begin, shape)

    return [tf.stack([moved(axis, -dilation), moved(axis, dilation)], axis=1) for axis in range(1, ndim + 1)]


def _context(neighbours, radius):
    """`mind` from the neighbours; pairs come before the spatial axes, so that window sums run over adjacent voxels."""
    ndim, shape = len(neighbours), tf.shape(neighbours[0])
    # The neighbours on two different axes make four pairs: (batch, 2, 1, ..) - (batch, 1, 2, ..) -> (batch, 4,
    # *spatial, channels)
    pairs = [
        tf.reshape(a[:, :, None] - b[:, None], tf.concat([shape[:1], [4], shape[2:]], 0))
        for a, b in itertools.combinations(neighbours, 2)
    ]
    squared = tf.reduce_mean(tf.square(tf.concat(pairs, axis=1)), axis=-1)  # (batch, pairs, *spatial)
    space = tuple(range(2, ndim + 2))
    distance = (
        box_sum(_pad_edge(squared, radius, space), 2 * radius + 1, space, padding="valid") / (2 * radius + 1) ** ndim
    )
    distance -= tf.reduce_min(distance, axis=1, keepdims=True)
    variance = tf.reduce_mean(distance, axis=1, keepdims=True)  # (batch, 1, *spatial)
    typical = tf.reduce_mean(variance, axis=space, keepdims=True)
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

    See `mind` for the formula.

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
        """Mean over pairs and voxels of the squared difference: (batch,)."""
        if weights is not None:
            raise ValueError(f"{type(self).__name__} weighs images, sample_weight (batch,). Received: {weights.shape}.")
        axes = len(fixed.shape) - 2

        def distance(*neighbours):
            difference = _context(neighbours[:axes], self.radius) - _context(neighbours[axes:], self.radius)
            return tf.reduce_mean(tf.square(difference), axis=tuple(range(1, axes + 2)))

        # The padding stays outside: it is cheap, and inside it would double the time that XLA takes to compile.
        return compiled(distance)(*_neighbours(fixed, self.dilation), *_neighbours(warped, self.dilation))

    def get_config(self):
        """Adds `radius` and `dilation`."""
        return {**super().get_config(), "radius": self.radius, "dilation": self.dilation}
