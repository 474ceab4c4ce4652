"""Sampling batches of arrays as TensorFlow operations; beyond the border its value continues.

`sample_at` is `deepsim_tf.grids.sampling.sample_at` for a batch; `interpolate_axis` the same along one axis alone.
"""

import itertools

import tensorflow as tf

from deepsim_tf import checks


def sample_at(images, points, *, interpolation="linear"):
    """The values of a batch of images at points.

    The coordinates come axis by axis, because they are often cheaper to compute than to store.

    Args:
        images: tensor (batch, *spatial, channels).
        points: one tensor (batch, *grid) per spatial axis: the coordinates on that axis, in voxels, float32 or
            float64. Beyond the border the border's value continues. Where one is NaN or infinite the linear value is
            NaN, and the nearest, as labels know no NaN, that of the voxel with this coordinate 0.
        interpolation: `"linear"`, or `"nearest"` for labels (keeps their dtype).

    Returns:
        Tensor (batch, *grid, channels) of the dtype of `images`.

    Raises:
        ValueError: an unknown interpolation.
    """
    checks.known("interpolation", interpolation, ("linear", "nearest"))
    images, ndim, dtype = tf.convert_to_tensor(images), len(points), points[0].dtype
    size = tf.shape(images)
    last = tf.cast(size[1:-1] - 1, dtype)  # highest coordinate on each axis
    nan = tf.constant(float("nan"), dtype)
    points = [tf.where(tf.math.is_finite(p), tf.clip_by_value(p, 0, last[d]), nan) for d, p in enumerate(points)]

    channels = images.shape[-1] if images.shape[-1] is not None else size[-1]
    voxels = tf.reshape(images, [-1, channels])  # the whole batch in one list of voxels
    first = tf.reshape(tf.range(size[0]), [-1] + [1] * ndim)  # (batch, 1, ..): number of each image

    def whole(d, p):
        """Indices on axis d. NaN becomes any integer, or none, by device: no index may lie outside the image."""
        return tf.clip_by_value(tf.cast(p, tf.int32), 0, size[1 + d] - 1)

    def gather(corner):
        index = first
        for d in range(ndim):
            index = index * size[1 + d] + corner[d]
        return tf.gather(voxels, index)  # (batch, *spatial, channels)

    if interpolation == "nearest":
        warped = gather([whole(d, tf.round(p)) for d, p in enumerate(points)])
    else:
        # The weight of the low neighbour is 1 - fraction, of the high one fraction; at the last voxel both are the same
        # voxel.
        floors = [tf.floor(p) for p in points]
        fraction = [p - a for p, a in zip(points, floors)]
        low = [whole(d, a) for d, a in enumerate(floors)]
        index = [low, [tf.minimum(a + 1, size[1 + d] - 1) for d, a in enumerate(low)]]
        weight = [[1 - f for f in fraction], fraction]
        warped = 0.0
        for corner in itertools.product((0, 1), repeat=ndim):
            share = weight[corner[0]][0]
            for d in range(1, ndim):
                share = share * weight[corner[d]][d]
            values = gather([index[side][d] for d, side in enumerate(corner)])
            warped += share[..., None] * tf.cast(values, dtype)
        warped = tf.cast(warped, images.dtype)
    return tf.ensure_shape(warped, [*points[0].shape, images.shape[-1]])


def interpolate_axis(values, points, axis):
    """Linear interpolation along one axis at `points` (n,), in voxels; beyond the ends, the end's value."""
    last = tf.cast(tf.shape(values)[axis] - 1, points.dtype)
    points = tf.clip_by_value(points, 0, last)
    low = tf.floor(points)
    below = tf.gather(values, tf.cast(low, tf.int32), axis=axis)
    above = tf.gather(values, tf.cast(tf.minimum(low + 1, last), tf.int32), axis=axis)
    fraction = tf.reshape(tf.cast(points - low, values.dtype), [-1] + [1] * (len(values.shape) - 1 - axis))
    return below + fraction * (above - below)


def centres(new, old, dtype):
    """Where the voxels of an axis of `new` voxels lie on one of `old` that covers the same length, (new,)."""
    new, old = tf.cast(new, dtype), tf.cast(old, dtype)
    return (tf.range(new) + 0.5) * (old / new) - 0.5  # half-pixel centres: the outer edges coincide
