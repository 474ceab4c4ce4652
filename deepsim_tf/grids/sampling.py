"""Sampling arrays: at points, on finer grids, and on coarser ones with averaging; beyond the border its value.

Arrays are (*spatial), or (*spatial, channels), whose channels are sampled alike. `sampling_graph` has the same as
TensorFlow operations.
"""

import itertools

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

from deepsim_tf import checks
from deepsim_tf.grids.affine import split

MOST = 4  # samples along one side of a voxel: beyond, the image is smoothed first


def sample_at(array, points, *, interpolation="linear"):
    """The values of an array at points.

    Args:
        array: (*spatial) or (*spatial, channels), any real dtype.
        points: (*grid, ndim), in voxels of the array.
        interpolation: `"linear"`, or `"nearest"` for labels.

    Returns:
        Array (*grid) or (*grid, channels), float32 (float64 where `array` is); of the dtype of `array` for `"nearest"`.

    Raises:
        ValueError: an unknown interpolation.
    """
    checks.known("interpolation", interpolation, ("linear", "nearest"))
    nearest = interpolation == "nearest"
    output = array.dtype if nearest or array.dtype == np.float64 else np.float32
    coordinates = np.moveaxis(points, -1, 0)
    how = {"order": 0 if nearest else 1, "mode": "nearest", "prefilter": False, "output": output}
    return _by_channel(lambda part: map_coordinates(part, coordinates, **how), array, points.shape[-1])


def spread(array, target_to_array, shape):
    """An array on a finer grid, linearly: its value at `target_to_array` of each voxel.

    Args:
        array: (*spatial) or (*spatial, channels).
        target_to_array: (ndim + 1, ndim + 1), from voxels of the grid to voxels of the array.
        shape: of the grid.

    Returns:
        Array (*shape) or (*shape, channels), float32.
    """
    matrix, offset = split(target_to_array)
    if not (matrix - np.diag(np.diagonal(matrix))).any():
        matrix = np.diagonal(matrix)  # SciPy then goes axis by axis
    where = {"matrix": matrix, "offset": offset, "output_shape": tuple(shape), "order": 1, "mode": "nearest"}
    return _by_channel(lambda part: affine_transform(part, **where), np.asarray(array, np.float32), len(shape))


def onto_grid(image, image_to_grid, shape):
    """An image on a grid, each of its voxels the mean over as much of the image as it covers.

    A voxel of the grid that spans k voxels of the image on an axis is the mean of k evenly spaced linear samples:
    exactly the mean over a block where blocks and voxels coincide, as in `grids.fit.fit_image`. Samples farther apart
    than the image's voxels, where k is more than 4, are of the image after a Gaussian with the standard deviation that
    scikit-image's `resize` takes, (distance - 1) / 2.

    Args:
        image: (*spatial) or (*spatial, channels).
        image_to_grid: (ndim + 1, ndim + 1), from voxels of the image to voxels of the grid.
        shape: of the grid.

    Returns:
        Array (*shape) or (*shape, channels), float32.
    """
    matrix, offset = split(np.linalg.inv(image_to_grid))
    # Length of one step on each axis of the grid, in voxels of the image; a hundredth above a whole number is that
    # number.
    counts = [int(np.clip(np.ceil(length - 0.01), 1, MOST)) for length in np.linalg.norm(matrix, axis=0)]
    apart = np.abs(matrix / counts).max(axis=1)  # on each axis of the image, in its voxels

    def averaged(part):
        if apart.max() > 1.01:
            part = gaussian_filter(part, np.maximum(apart - 1, 0) / 2, mode="nearest")
        total = np.zeros(shape, np.float32)
        for step in itertools.product(*map(range, counts)):
            delta = (np.array(step) + 0.5) / counts - 0.5
            total += affine_transform(
                part, matrix, offset + matrix @ delta, output_shape=tuple(shape), order=1, mode="nearest"
            )
        return total / np.float32(np.prod(counts))

    return _by_channel(averaged, np.asarray(image, np.float32), len(shape))


def centres(new, old):
    """Where the voxels of an axis of `new` voxels lie on one of `old` that covers the same length, (new,)."""
    return (np.arange(new) + 0.5) * old / new - 0.5  # half-pixel centres: the outer edges coincide


def _by_channel(function, array, ndim):
    """`function` of an array (*spatial), or of each channel of one with channels."""
    if array.ndim == ndim:
        return function(array)
    return np.stack([function(array[..., c]) for c in range(array.shape[-1])], axis=-1)
