"""Normalised mutual information of two images, from a joint histogram with soft bins."""

import math

import keras
import numpy as np
import tensorflow as tf

from deepsim_tf.losses.inputs import checked_images
from deepsim_tf.losses.similarity import Similarity

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # 2^64 / golden ratio as an int64, the step between states of SplitMix64


def nmi(fixed, warped, *, bins=64, vmin=0.0, vmax=1.0, fraction=0.1, seed=0, fwhm=1.0, weights=None):
    """2 - NMI.

    In [0, 1], 0 where the intensity in one image determines that in the other, 1 where they are independent.

        NMI = (H(F) + H(W)) / H(F, W),   H = -sum p log p                (Studholme et al., Pattern Recognition 32,
        1999, equation 4)

    of the joint histogram p (bins, bins) of each channel; averaged over the channels. Each voxel is shared out among
    the bins by a Gaussian of its distance to their centres (a Parzen window), so that p has a gradient. The shares of a
    voxel sum to 1, which keeps 1 <= NMI <= 2. They also
    blur p: images that agree exactly score above 0, about 0.35 with 64 bins where all intensities are as frequent, and
    constant images 1. A change of contrast, also an inversion, costs nothing as long as it keeps the bins apart.

    Args:
        fixed, warped: tensors (batch, *spatial, channels), float.
        bins: number of bins of each image. More resolve finer contrast and need more voxels.
        vmin, vmax: range of intensities that the bins cover. Beyond it, voxels count as the end of the range, without a
            gradient; None takes the lowest or highest intensity of each channel of each image.
        fraction: of the voxels that are drawn at random, one from every 1 / fraction successive ones. 1 takes all of
            them, exactly; fewer are faster, use less memory (voxels x bins numbers twice) and add noise to the
            gradient.
        seed: of the drawing. The sample of a channel is a function of the seed and of the bits of that channel in both
            images: it changes whenever the warped image does, repeats when the same run does, does not depend on the
            other channels and images of the batch, and leaves no state to save.
        fwhm: full width of the window at half its height, in bins. Wider is smoother and blurs more.
        weights: of the voxels, (batch, *spatial), such as a mask: each voxel enters the histogram by its weight. Voxels
            without weight change nothing, neither the range of intensities nor the sample. An image without any weight
            (of the voxels drawn) scores 0.

    Returns:
        Tensor (batch,), float32, or float64 where the images are.

    Raises:
        ValueError: images of unequal shape, another rank or of integers.

    Example:
        >>> image = np.linspace(0, 1, 4096).reshape(1, 64, 64, 1)
        >>> round(float(nmi(image, 1 - image, fraction=1)[0]), 3)
        0.355
    """
    fixed, warped = checked_images("nmi", fixed=fixed, warped=warped)
    size, channels = tf.shape(fixed)[0], tf.shape(fixed)[-1]
    a, b = (_lines(image) for image in (fixed, warped))  # (batch channels, voxels)
    if weights is not None:
        weights = tf.cast(tf.reshape(weights, [size, tf.shape(a)[1]]), a.dtype)  # (batch, voxels)
        weights = tf.repeat(weights, channels, axis=0)
    ranges = [_range(values, vmin, vmax, weights) for values in (a, b)]
    if fraction < 1:
        places = _places(a, b, weights, fraction, seed)
        a, b = (tf.gather(values, places, batch_dims=1) for values in (a, b))
        weights = None if weights is None else tf.gather(weights, places, batch_dims=1)
    # Two (batch channels, voxels, bins) -> (batch channels, bins, bins)
    shares_a, shares_b = (_shares(values, bins, *span, fwhm) for values, span in zip((a, b), ranges))
    if weights is None:
        joint = tf.matmul(shares_a, shares_b, transpose_a=True) / tf.cast(tf.shape(a)[1], a.dtype)
    else:
        total = tf.reduce_sum(weights, axis=1)
        joint = tf.matmul(weights[..., None] * shares_a, shares_b, transpose_a=True)
        joint = tf.math.divide_no_nan(joint, total[:, None, None])
    entropy_joint = _entropy(joint, axes=(1, 2))
    information = _entropy(tf.reduce_sum(joint, 2), axes=1) + _entropy(tf.reduce_sum(joint, 1), axes=1) - entropy_joint
    # 2 - NMI = 1 - (H(F) + H(W) - H(F, W)) / H(F, W); narrow windows give constant images no entropy at all
    values = 1 - information / tf.maximum(entropy_joint, 1e-6)
    if weights is not None:
        values = tf.where(total > 0, values, 0)
    return tf.reduce_mean(tf.reshape(values, [size, channels]), axis=1)


def _lines(images):
    """The voxels of each channel of each image: (batch, *spatial, channels) -> (batch channels, voxels)."""
    ndim, size = len(images.shape) - 2, tf.shape(images)
    if images.shape[-1] != 1:
        images = tf.transpose(images, [0, ndim + 1, *range(1, ndim + 1)])
    return tf.reshape(images, [size[0] * size[-1], tf.reduce_prod(size[1:-1])])


def _places(a, b, weights, fraction, seed):
    """The voxels that are drawn from each line, one from each of equal stretches: (lines, voxels) -> (lines, count)."""
    voxels = tf.shape(a)[1]
    count = tf.maximum(1, tf.cast(tf.round(fraction * tf.cast(voxels, tf.float64)), tf.int32))
    bits = tf.int64 if a.dtype == tf.float64 else tf.int32
    content = sum(tf.cast(tf.bitcast(values, bits), tf.int64) for values in (a, b))
    if weights is not None:
        content = tf.where(weights > 0, content, 0)
    # Sums of integers do not depend on their order, as sums of floats on several cores do.
    jitter = _uniform(seed, tf.reduce_sum(content, axis=1), count)
    # In double precision, because volumes have millions of voxels.
    stretch = tf.cast(voxels, tf.float64) / tf.cast(count, tf.float64)
    places = tf.cast((tf.range(tf.cast(count, tf.float64), dtype=tf.float64) + jitter) * stretch, tf.int32)
    return tf.minimum(places, voxels - 1)


def _uniform(seed, keys, count):
    """Random numbers in [0, 1) for each of some keys: int64 (lines,) -> float64 (lines, count).

    `tf.random.stateless_uniform` takes one key a call. This is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at
    `count` successive states from the mixed key on.
    """
    steps = tf.range(1, tf.cast(count, tf.int64) + 1, dtype=tf.int64)
    start = _mixed(keys + _mixed(tf.constant(seed, tf.int64)))
    mixed = _mixed(start[:, None] + steps * _GOLDEN)
    return tf.cast(_shifted(mixed, 11), tf.float64) / 2**53


def _mixed(x):
    """The output function of SplitMix64 on int64, whose products wrap around."""
    x = tf.bitwise.bitwise_xor(x, _shifted(x, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    x = tf.bitwise.bitwise_xor(x, _shifted(x, 27)) * (0x94D049BB133111EB - 2**64)
    return tf.bitwise.bitwise_xor(x, _shifted(x, 31))


def _shifted(x, places):
    """Shift to the right as of unsigned integers: zeros come in from the left."""
    return tf.bitwise.bitwise_and(tf.bitwise.right_shift(x, tf.constant(places, tf.int64)), 2 ** (64 - places) - 1)


def _range(values, vmin, vmax, weights):
    """The ends of the range of the bins, each (lines, 1) or a number, without a gradient."""
    low, high = values, values
    if weights is not None:
        counts = weights > 0
        counts |= ~tf.reduce_any(counts, axis=1, keepdims=True)  # a range is needed where nothing counts, too
        low, high = (tf.where(counts, values, tf.constant(end, values.dtype)) for end in (math.inf, -math.inf))
    low = tf.reduce_min(low, axis=1, keepdims=True) if vmin is None else tf.cast(vmin, values.dtype)
    high = tf.reduce_max(high, axis=1, keepdims=True) if vmax is None else tf.cast(vmax, values.dtype)
    return tf.stop_gradient(low), tf.stop_gradient(high)


def _shares(values, bins, low, high, fwhm):
    """How much of each voxel falls into each bin, summing to 1: (lines, voxels) -> (lines, voxels, bins)."""
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
        return nmi(fixed, warped, **self.options, weights=weights)

    def get_config(self):
        """Adds the arguments of the constructor."""
        return {**super().get_config(), **self.options}
