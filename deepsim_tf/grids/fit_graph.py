"""Images of any size on the model's grid, and flows on it back to the images.

`deepsim_tf.grids.fit` as TensorFlow operations.

Sizes are known when the graph runs, and so are tensors here.
"""

import tensorflow as tf

from deepsim_tf.grids.fit import parse_fit
from deepsim_tf.layers.rescale import interpolate_axis


def fit_images(images, grid, fit):
    """Images (batch, *spatial, 1) of any size -> (batch, *grid, 1); see `deepsim_tf.grids.fit.fit_image`."""
    how, factor = parse_fit(fit)
    return (
        _resampled(images, grid)
        if how == "resample"
        else _block_mean(_centred(images, [n * factor for n in grid]), factor)
    )


def flow_on_images(flow, fixed_size, moving_size, fit):
    """The flow on the fixed images' own grid, into the moving images' own; see `deepsim_tf.grids.fit.flow_on_images`.

    Args:
        flow: tensor (batch, *grid, ndim), displacement in voxels of its grid.
        fixed_size, moving_size: integer tensors (ndim,), spatial sizes of the images.
        fit: how the images were brought to the grid.

    Returns:
        Tensor (batch, *fixed_size, ndim), in voxels of the moving images.
    """
    grid, ndim = flow.shape[1:-1], flow.shape[-1]
    (scale_f, offset_f), (scale_m, offset_m) = (_to_grid(size, grid, fit) for size in (fixed_size, moving_size))
    for axis in range(ndim):  # x -> s x + o, from the fixed image's voxels to the grid's
        points = scale_f[axis] * tf.cast(tf.range(fixed_size[axis]), tf.float64) + offset_f[axis]
        flow = interpolate_axis(flow, points, axis + 1)
    # With p in the fixed image and q in the moving one, q - p = (s_f / s_m - 1) p + (o_f - o_m) / s_m + flow / s_m
    components = []
    for axis, component in enumerate(tf.unstack(flow, axis=-1)):
        line = (scale_f[axis] / scale_m[axis] - 1) * tf.cast(tf.range(fixed_size[axis]), tf.float64)
        line = tf.cast(line + (offset_f[axis] - offset_m[axis]) / scale_m[axis], flow.dtype)
        line = tf.reshape(line, [-1 if d == axis else 1 for d in range(ndim)])
        components.append(component / tf.cast(scale_m[axis], flow.dtype) + line)
    return tf.stack(components, axis=-1)


def _to_grid(size, grid, fit):
    """Scale and offset, per axis, of the map from an image's voxels to the grid's, float64."""
    how, factor = parse_fit(fit)
    grid = tf.constant(list(grid), tf.int32)
    if how == "resample":
        scale = tf.cast(grid, tf.float64) / tf.cast(size, tf.float64)
        return scale, (scale - 1) / 2  # half-pixel centres
    before = tf.cast((grid * factor - size) // 2, tf.float64)
    return tf.fill(grid.shape, tf.constant(1 / factor, tf.float64)), (before - (factor - 1) / 2) / factor


def _centred(images, shape):
    """The centre of the images on `shape`: border values continue, and what sticks out is cropped."""
    for axis, target in enumerate(shape, start=1):
        size = tf.shape(images)[axis]
        index = tf.range(target) - (target - size) // 2
        images = tf.gather(images, tf.clip_by_value(index, 0, size - 1), axis=axis)
    return tf.ensure_shape(images, [None, *shape, 1])


def _block_mean(images, factor):
    """(batch, *(factor n), 1) -> (batch, *n, 1)."""
    if factor == 1:
        return images
    grid = [n // factor for n in images.shape[1:-1]]
    blocks = tf.reshape(images, [-1, *(part for n in grid for part in (n, factor)), 1])
    return tf.reduce_mean(blocks, axis=list(range(2, 2 * len(grid) + 1, 2)))


def _resampled(images, grid):
    """The images stretched to `grid`.

    Means over blocks where all sizes divide, else linear after a Gaussian against aliasing.

    Each is a linear map along each axis, and so a product with a matrix.
    """
    size = tf.shape(images)[1:-1]
    divides = tf.reduce_all(size % tf.constant(list(grid), tf.int32) == 0)
    x = images[..., 0]
    for axis, m in enumerate(grid):
        n = size[axis]
        matrix = tf.cond(divides, lambda n=n, m=m: _block_weights(n, m), lambda n=n, m=m: _smooth_weights(n, m))
        # The first spatial axis goes, and its resampled one comes at the end: after all of them the order is the old
        # one.
        x = tf.tensordot(x, tf.cast(matrix, x.dtype), [[1], [1]])
    return tf.ensure_shape(x[..., None], [None, *grid, 1])


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
    ratio = tf.cast(n, tf.float64) / m
    sigma = tf.maximum((ratio - 1) / 2, 1e-9)
    radius = tf.cast(4 * sigma + 0.5, tf.int32)
    offsets = tf.range(-radius, radius + 1)
    kernel = tf.nn.softmax(-0.5 * (tf.cast(offsets, tf.float64) / sigma) ** 2)  # exp(..) that sums to 1
    points = tf.clip_by_value((tf.range(m, dtype=tf.float64) + 0.5) * ratio - 0.5, 0, tf.cast(n - 1, tf.float64))
    low = tf.floor(points)
    ends = tf.stack(
        [low, tf.minimum(low + 1, tf.cast(n - 1, tf.float64))], axis=1
    )  # (m, 2): the neighbours of each point
    shares = tf.stack([1 - (points - low), points - low], axis=1)
    voxels = tf.clip_by_value(tf.cast(ends, tf.int32)[..., None] + offsets, 0, n - 1)  # (m, 2, kernel)
    weights = shares[..., None] * kernel
    cells = tf.range(m)[:, None, None] * n + voxels
    return tf.reshape(tf.math.unsorted_segment_sum(tf.reshape(weights, [-1]), tf.reshape(cells, [-1]), m * n), [m, n])
