"""Sampling arrays on other grids.

Averaging on the way down, linear or nearest in between, the border's value beyond.
"""

import itertools

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates

MOST = 4  # samples along one side of a voxel: beyond, the image is smoothed first


def onto_grid(image, image_to_grid, shape):
    """An image (*spatial) on a grid, each of its voxels the mean over as much of the image as it covers.

    A voxel of the grid that spans k voxels of the image on an axis is the mean of k evenly spaced linear samples:
    exactly the mean over a block where blocks and voxels coincide, as in `data.grids.fit_image`. Samples farther apart
    than the image's voxels, where k is more than 4, are of the image after a Gaussian with the standard deviation that
    scikit-image's `resize` takes, (distance - 1) / 2.

    Args:
        image_to_grid: (ndim + 1, ndim + 1), from voxels of the image to voxels of the grid.
        shape: of the grid.

    Returns:
        Array (*shape), float32.
    """
    ndim, image = image.ndim, np.asarray(image, np.float32)
    matrix, offset = split(np.linalg.inv(image_to_grid))
    # Length of one step on each axis of the grid, in voxels of the image; a hundredth above a whole number is that
    # number.
    counts = [int(np.clip(np.ceil(np.linalg.norm(matrix[:, d]) - 0.01), 1, MOST)) for d in range(ndim)]
    apart = np.abs(matrix / counts).max(axis=1)  # on each axis of the image, in its voxels
    if apart.max() > 1.01:
        image = gaussian_filter(image, np.maximum(apart - 1, 0) / 2, mode="nearest")
    total = np.zeros(shape, np.float32)
    for part in itertools.product(*map(range, counts)):
        delta = (np.array(part) + 0.5) / counts - 0.5
        total += affine_transform(
            image, matrix, offset + matrix @ delta, output_shape=tuple(shape), order=1, mode="nearest"
        )
    return total / np.float32(np.prod(counts))


def spread(array, target_to_array, shape):
    """An array (*spatial) on a finer grid, linearly.

    The value at `target_to_array` of each voxel; (*shape), float32.
    """
    matrix, offset = split(target_to_array)
    return affine_transform(
        np.asarray(array, np.float32), matrix, offset, output_shape=tuple(shape), order=1, mode="nearest"
    )


def sample(array, points, *, nearest=False):
    """The values of an array (*spatial) at points (*grid, ndim), in its voxels.

    Linear, or of the nearest voxel in its own dtype.
    """
    points = np.moveaxis(points, -1, 0)
    if nearest:
        return map_coordinates(array, points, order=0, mode="nearest", prefilter=False)
    return map_coordinates(array, points, order=1, mode="nearest", prefilter=False, output=np.float32)


def split(affine):
    """The matrix (ndim, ndim) and the offset (ndim,) of an affine map in homogeneous coordinates."""
    return affine[:-1, :-1], affine[:-1, -1]


def joined(matrix, offset):
    """The affine map in homogeneous coordinates, (ndim + 1, ndim + 1); a vector as matrix is its diagonal."""
    affine = np.eye(len(offset) + 1)
    affine[:-1, :-1], affine[:-1, -1] = np.diag(matrix) if np.ndim(matrix) == 1 else matrix, offset
    return affine
