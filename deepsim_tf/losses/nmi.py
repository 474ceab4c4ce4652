"""Normalised mutual information of two images, from a joint histogram with soft bins."""

import math

import keras
import numpy as np
import tensorflow as tf

from deepsim_tf import checks
from deepsim_tf.losses.similarity import Similarity, at_least_float32


def nmi(fixed, warped, *, bins=64, vmin=0.0, vmax=1.0, fraction=0.1, seed=0, fwhm=1.0):
    """2 - NMI.

    In [0, 1], 0 where the intensity in one image determines that in the other, 1 where they are independent.

        NMI = (H(F) + H(W)) / H(F, W),   H = -sum p log p                (Studholme et al., Pattern Recognition 32,
        1999, equation 4)

    of the joint histogram p (bins, bins). Each voxel is shared out among the bins by a Gaussian of its distance to
    their centres (a Parzen window), so that p has a gradient. The shares of a voxel sum to 1, which keeps 1 <= NMI <=
    2. They also
    blur p: images that agree exactly score above 0, about 0.35 with 64 bins where all intensities are as frequent, and
    constant images 1. A change of contrast, also an inversion, costs nothing as long as it keeps the bins apart.

    Args:
        fixed, warped: tensors (batch, *spatial, channels), float; all channels enter one histogram.
        bins: number of bins of each image. More resolve finer contrast and need more voxels.
        vmin, vmax: range of intensities that the bins cover. Beyond it, voxels count as the end of the range, without a
            gradient; None takes the lowest or highest intensity of each image.
        fraction: of the voxels that are drawn at random, one from every 1 / fraction successive ones. 1 takes all of
            them, exactly; fewer are faster, use less memory (voxels x bins numbers twice) and add noise to the
            gradient.
        seed: of the drawing. The sample is a function of the seed and of the bits of both images: it changes whenever
            the warped image does, repeats when the same run does, and leaves no state to save.
        fwhm: full width of the window at half its height, in bins. Wider is smoother and blurs more.

    Returns:
        Tensor (batch,), float32, or float64 where the images are.

    Raises:
        ValueError: images of unequal shape, another rank or of integers.

    Example:
        >>> image = np.linspace(0, 1, 4096).reshape(1, 64, 64, 1)
        >>> round(float(nmi(image, 1 - image, fraction=1)[0]), 3)
        0.355
    """
    checks.equal_shapes("nmi", fixed=fixed, warped=warped)
    checks.image_rank("nmi", "warped", warped)
    checks.float_images("nmi", fixed=fixed, warped=warped)
    # (batch, *spatial, channels) -> (batch, voxels)
    a, b = (
        tf.reshape(image, [tf.shape(image)[0], -1]) for image in (at_least_float32(fixed), at_least_float32(warped))
    )
    if fraction < 1:
        a, b = _sample(a, b, fraction, seed)
    # Two (batch, voxels, bins) -> (batch, bins, bins)
    joint = tf.matmul(_shares(a, bins, vmin, vmax, fwhm), _shares(b, bins, vmin, vmax, fwhm), transpose_a=True)
    joint /= tf.cast(tf.shape(a)[1], joint.dtype)
    entropy_joint = _entropy(joint, axes=(1, 2))
    information = _entropy(tf.reduce_sum(joint, 2), axes=1) + _entropy(tf.reduce_sum(joint, 1), axes=1) - entropy_joint
    # 2 - NMI = 1 - (H(F) + H(W) - H(F, W)) / H(F, W); narrow windows give constant images no entropy at all
    return 1 - information / tf.maximum(entropy_joint, 1e-6)


def _sample(a, b, fraction, seed):
    """The same random voxels of both: (batch, voxels) twice -> (batch, count) twice."""
    voxels = tf.shape(a)[1]
    count = tf.maximum(1, tf.cast(tf.round(fraction * tf.cast(voxels, tf.float64)), tf.int32))
    bits = tf.int64 if a.dtype == tf.float64 else tf.int32
    # Sums of integers do not depend on their order, as sums of floats on several cores do.
    content = tf.reduce_sum([tf.reduce_sum(tf.cast(tf.bitcast(image, bits), tf.int64)) for image in (a, b)])
    jitter = tf.random.stateless_uniform(
        [tf.shape(a)[0], count], seed=tf.stack([tf.constant(seed, tf.int64), content]), dtype=tf.float64
    )
    # One voxel from each of `count` equal stretches, in double precision because volumes have millions of voxels.
    stretch = tf.cast(voxels, tf.float64) / tf.cast(count, tf.float64)
    places = tf.cast((tf.range(tf.cast(count, tf.float64), dtype=tf.float64) + jitter) * stretch, tf.int32)
    places = tf.minimum(places, voxels - 1)
    return tf.gather(a, places, batch_dims=1), tf.gather(b, places, batch_dims=1)


def _shares(values, bins, vmin, vmax, fwhm):
    """How much of each voxel falls into each bin, summing to 1: (batch, voxels) -> (batch, voxels, bins)."""
    low = (
        tf.stop_gradient(tf.reduce_min(values, axis=1, keepdims=True)) if vmin is None else tf.cast(vmin, values.dtype)
    )
    high = (
        tf.stop_gradient(tf.reduce_max(values, axis=1, keepdims=True)) if vmax is None else tf.cast(vmax, values.dtype)
    )
    width = tf.maximum(high - low, 1e-6) / bins
    place = (tf.clip_by_value(values, low, high) - low) / width  # in bins, 0 .. bins
    centres = tf.range(bins, dtype=values.dtype) + 0.5
    sigma = fwhm / math.sqrt(8 * math.log(2))
    return tf.nn.softmax(-0.5 * tf.square((place[..., None] - centres) / sigma))


def _entropy(p, axes):
    return -tf.reduce_sum(tf.math.xlogy(p, p), axis=axes)


@keras.saving.register_keras_serializable("deepsim_tf")
class NMI(Similarity):
    """Normalised mutual information as a Keras loss, `2 - NMI`, on (fixed, warped); see `nmi` for the formula.

    Args:
        bins: number of bins of each image.
        vmin, vmax: range of intensities that the bins cover; None: of each image. Brains divided by 128 go beyond 1 in
            few voxels.
        fraction: of the voxels that are drawn at random, 1 for all. The published figure is a tenth.
        seed: of the drawing, see `nmi`.
        fwhm: full width of the Parzen window at half its height, in bins.
        name, reduction, dtype: see keras.losses.Loss.
    """

    def __init__(self, bins=64, vmin=0.0, vmax=1.0, fraction=0.1, seed=0, *, fwhm=1.0, name="nmi", **kwargs):
        super().__init__(name=name, **kwargs)
        if not isinstance(bins, (int, np.integer)) or bins < 2:
            raise ValueError(f"bins must be a whole number, 2 or more. Received: bins={bins}.")
        if vmin is not None and vmax is not None and not vmin < vmax:
            raise ValueError(
                f"vmin must be below vmax; None takes the range of each image. Received: vmin={vmin}, vmax={vmax}."
            )
        if not 0 < fraction <= 1:
            raise ValueError(f"fraction of the voxels must be above 0 and at most 1. Received: fraction={fraction}.")
        if not isinstance(seed, (int, np.integer)):
            raise ValueError(f"seed must be a whole number. Received: seed={seed}.")
        if not fwhm > 0:
            raise ValueError(f"fwhm must be above 0, in bins. Received: fwhm={fwhm}.")
        self.options = {
            "bins": int(bins),
            "vmin": vmin,
            "vmax": vmax,
            "fraction": fraction,
            "seed": int(seed),
            "fwhm": fwhm,
        }

    def values(self, fixed, warped, weights=None):
        """See `nmi`."""
        if weights is not None:
            raise ValueError(f"{type(self).__name__} weighs images, sample_weight (batch,). Received: {weights.shape}.")
        return nmi(fixed, warped, **self.options)

    def get_config(self):
        """Adds the arguments of the constructor."""
        return {**super().get_config(), **self.options}
