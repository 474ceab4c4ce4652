"""Local normalised cross-correlation, by sums over a sliding window."""

import keras
import numpy as np
import tensorflow as tf

from deepsim_tf.losses.inputs import checked_images
from deepsim_tf.losses.similarity import Similarity
from deepsim_tf.losses.voxel_weights import weighted_mean


def local_ncc(fixed, warped, *, window=9, eps=1e-5, weights=None):
    """1 - mean over all voxels of the squared local correlation: in [0, 1], 0 is best.

        cc(p) = cov(p)^2 / (max(var_fixed(p), eps) max(var_warped(p), eps))

    Covariance and variances are taken over the `window`^ndim voxels around p; beyond the border images are zero, and
    sums are always divided by the full number of voxels in the window (Balakrishnan et al., IEEE TMI 2019, equation 5).
    Unlike `vxm.losses.NCC` of VoxelMorph 0.2, which clamps the sums over the window and makes a negative covariance
    almost 0, this clamps the variances and counts a negative correlation as much as a positive one.

    Args:
        fixed, warped: tensors (batch, *spatial, channels); cc is taken of each channel by itself, and averaged over
            them.
        window: side of the window in voxels, odd. A larger window tolerates less local change of contrast.
        eps: lower bound of each variance, for images in about [0, 1]: patches that are flatter count less.
        weights: of the voxels, (batch, *spatial), such as a mask: sum_p w(p) cc(p) / sum_p w(p) instead of the mean, 0
            for an image without any weight. The windows themselves are not cut off: intensities beyond half a window
            from every voxel that counts do not matter.

    Returns:
        Tensor (batch,), float32, or float64 where the images are.

    Raises:
        ValueError: images of unequal shape, another rank or of integers.

    Example:
        >>> image = np.zeros((1, 8, 8, 1))
        >>> image[:, 3:5, 3:5] = 1
        >>> round(float(local_ncc(image, -2 * image, window=15)[0]), 3)  # correlation -1
        0.0
    """
    a, b = checked_images("local_ncc", fixed=fixed, warped=warped)
    axes = tuple(range(1, len(a.shape) - 1))
    channels = a.shape[-1]
    # One pass over all five products: (batch, *spatial, 5 channels)
    means = box_sum(tf.concat([a, b, a * a, b * b, a * b], -1), window, axes) / window ** len(axes)
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = tf.split(means, [channels] * 5, axis=-1)
    covariance = mean_ab - mean_a * mean_b
    var_a = tf.maximum(mean_aa - mean_a * mean_a, eps)
    var_b = tf.maximum(mean_bb - mean_b * mean_b, eps)
    # (batch, *spatial, channels) -> (batch, *spatial) -> (batch,)
    return weighted_mean(1 - tf.reduce_mean(covariance * covariance / (var_a * var_b), axis=-1), weights)


def box_sum(images, window, axes, *, padding="same"):
    """Sum over a centred window on each of `axes`.

    By doubling: with sums over 1, 2, 4, .. voxels at hand, any window takes about 2 log2(window) additions an axis
    instead of `window`; unlike differences of cumulative sums it does not lose digits on large images.

    Args:
        images: tensor of any rank.
        window: side of the window in voxels, odd.
        axes: the axes of the window.
        padding: `"same"`, zero beyond the border; or `"valid"`, only windows that lie inside, which makes each axis
            `window - 1` shorter.
    """
    margin = {"same": window // 2, "valid": 0}[padding]

    @tf.custom_gradient
    def apply(x):
        # The window is symmetric, so the adjoint is a sum over it too: over all windows that touch the output.
        return _box_sum(x, window, axes, margin), lambda upstream: _box_sum(upstream, window, axes, window - 1 - margin)

    return apply(images)


def _box_sum(x, window, axes, margin):
    """Window sums on each axis after `margin` zeros on both sides."""
    for axis in axes:
        static = list(x.shape)
        size = tf.shape(x)[axis] + 2 * margin - window + 1
        pad = [[0, 0]] * len(x.shape)
        pad[axis] = [margin, margin]
        power, width, length = (
            tf.pad(x, pad) if margin else x,
            1,
            size + window - 1,
        )  # power[i] = sum of `width` voxels from i on
        total, covered, remaining = None, 0, window
        while True:
            if remaining & 1:
                part = _cut(power, axis, covered, size)
                total = part if total is None else total + part
                covered += width
            remaining >>= 1
            if not remaining:
                break
            length -= width
            power = _cut(power, axis, 0, length) + _cut(power, axis, width, length)
            width *= 2
        static[axis] = None if static[axis] is None else static[axis] + 2 * margin - window + 1
        x = tf.ensure_shape(total, static)
    return x


def _cut(x, axis, start, length):
    """`length` voxels of x along an axis, from `start` on."""
    begin, size = [0] * len(x.shape), [-1] * len(x.shape)
    begin[axis], size[axis] = start, length
    return tf.slice(x, begin, size)


@keras.saving.register_keras_serializable("deepsim_tf")
class LocalNCC(Similarity):
    """Squared local NCC as a Keras loss, `1 - NCC^2`, on (fixed, warped); see `local_ncc` for the formula.

    Args:
        window: side of the window in voxels, odd. A larger window tolerates less local change of contrast.
        eps: lower bound of each variance.
        name, reduction, dtype: see keras.losses.Loss.
    """

    xla = True

    def __init__(self, window=9, *, eps=1e-5, name="local_ncc", **kwargs):
        super().__init__(name=name, **kwargs)
        if not isinstance(window, (int, np.integer)) or window < 1 or window % 2 == 0:
            raise ValueError(f"window must be an odd number of voxels, as in 9. Received: window={window}.")
        self.window, self.eps = int(window), eps

    def values(self, fixed, warped, weights=None):
        """See `local_ncc`."""
        return local_ncc(fixed, warped, window=self.window, eps=self.eps, weights=weights)

    def get_config(self):
        """Adds `window` and `eps`."""
        return {**super().get_config(), "window": self.window, "eps": self.eps}
