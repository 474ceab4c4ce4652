"""Images of any size on one grid: `deepsim_tf.grids.fit` as TensorFlow operations.

Sizes are known when the graph runs, and so are tensors here.
"""

import tensorflow as tf

from deepsim_tf.grids.fit import parse_fit
from deepsim_tf.grids.sampling_graph import centres


def fit_images(images, grid, fit):
    """Images (batch, *spatial, channels) of any size -> (batch, *grid, channels); see `grids.fit.fit_image`."""
    how, factor = parse_fit(fit)
    if how == "resample":
        return _resampled(images, grid)
    return _block_mean(_centred(images, [n * factor for n in grid]), factor)


def to_grid(size, grid, fit):
    """Scale and offset, per axis, of the map from an image's voxels to the grid's, float64; see `grids.fit.to_grid`."""
    how, factor = parse_fit(fit)
    grid = tf.constant(list(grid), tf.int32)
    if how == "resample":
        scale = tf.cast(grid, tf.float64) / tf.cast(size, tf.float64)
        return scale, (scale - 1) / 2  # half-pixel centres
    before = tf.cast((grid * factor - size) // 2, tf.float64)
    return tf.fill(grid.shape, tf.constant(1 / factor, tf.float64)), (before - (factor - 1) / 2) / factor


def _centred(images, shape):
    """The centre of the images on `shape`: border values continue, and what sticks out is cropped."""
    channels = images.shape[-1]
    for axis, target in enumerate(shape, start=1):
        size = tf.shape(images)[axis]
        index = tf.range(target) - (target - size) // 2
        images = tf.gather(images, tf.clip_by_value(index, 0, size - 1), axis=axis)
    return tf.ensure_shape(images, [None, *shape, channels])


def _block_mean(images, factor):
    """(batch, *(factor n), channels) -> (batch, *n, channels)."""
    if factor == 1:
        return images
    grid = [n // factor for n in images.shape[1:-1]]
    blocks = tf.reshape(images, [-1, *(part for n in grid for part in (n, factor)), images.shape[-1]])
    return tf.reduce_mean(blocks, axis=list(range(2, 2 * len(grid) + 1, 2)))


def _resampled(images, grid):
    """The images stretched to `grid`.

    Means over blocks where all sizes divide, else linear after a Gaussian against aliasing.

    Each is a linear map along each axis, and so a product with a matrix.
    """
    size, channels = tf.shape(images)[1:-1], images.shape[-1]
    divides = tf.reduce_all(size % tf.constant(list(grid), tf.int32) == 0)
    for axis, m in enumerate(grid):
        n = size[axis]
        matrix = tf.cond(divides, lambda n=n, m=m: _block_weights(n, m), lambda n=n, m=m: _smooth_weights(n, m))
        # The first spatial axis goes, and its resampled one comes at the end: after all of them the channels are first.
        images = tf.tensordot(images, tf.cast(matrix, images.dtype), [[1], [1]])
    images = tf.transpose(images, [0, *range(2, len(grid) + 2), 1])
    return tf.ensure_shape(images, [None, *grid, channels])


def _block_weights(n, m):
    """(m, n), the mean over n / m neighbours."""
    factor = tf.maximum(n // m, 1)
    blocks = tf.range(n)[None] // factor == tf.range(m)[:, None]
    return tf.cast(blocks, tf.float64) / tf.cast(factor, tf.float64)


def _smooth_weights(n, m):
    """(m, n), linear interpolation between half-pixel centres, of values smoothed with sigma = (n / m - 1) / 2.

    As skimage.transform.resize with anti_aliasing: SciPy's Gaussian, which ends at 4 sigma, with repeated border
    values.
    """
    sigma = tf.maximum((tf.cast(n, tf.float64) / m - 1) / 2, 1e-9)
    radius = tf.cast(4 * sigma + 0.5, tf.int32)
    offsets = tf.range(-radius, radius + 1)
    kernel = tf.nn.softmax(-0.5 * (tf.cast(offsets, tf.float64) / sigma) ** 2)  # exp(..) that sums to 1
    last = tf.cast(n - 1, tf.float64)
    points = tf.clip_by_value(centres(m, n, tf.float64), 0, last)
    low = tf.floor(points)
    ends = tf.stack([low, tf.minimum(low + 1, last)], axis=1)  # (m, 2): the neighbours of each point
    shares = tf.stack([1 - (points - low), points - low], axis=1)
    voxels = tf.clip_by_value(tf.cast(ends, tf.int32)[..., None] + offsets, 0, n - 1)  # (m, 2, kernel)
    weights = shares[..., None] * kernel
    cells = tf.range(m)[:, None, None] * n + voxels
    return tf.reshape(tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), tf.reshape(cells, [-1]), m * n), [m, n])
