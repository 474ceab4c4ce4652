"""Distances between the surfaces of label maps."""

import numpy as np
from scipy import ndimage


def hausdorff95(fixed_labels, warped_labels, classes, *, spacing=None):
    """Symmetric 95 % Hausdorff distance of each class: the larger of the two directed 95th percentiles of surface distances.

    The surface of a structure is its voxels that touch another label (faces only) or the border of the image.

    Args:
        fixed_labels, warped_labels: integer arrays (*spatial) of equal shape.
        classes: number of classes K with background.
        spacing: size of a voxel in mm, one number per axis. Default: 1, which gives voxels.

    Returns:
        float64 array (K,), in mm; NaN for a class that is missing in either.
    """
    if np.shape(fixed_labels) != np.shape(warped_labels):
        raise ValueError(
            "hausdorff95 compares label maps of equal shape."
            f" Received: fixed_labels.shape={np.shape(fixed_labels)}, warped_labels.shape={np.shape(warped_labels)}."
        )
    distances = np.full(classes, np.nan)
    for c in range(classes):
        a, b = np.equal(fixed_labels, c), np.equal(warped_labels, c)
        if a.any() and b.any():
            a, b = (mask & ~ndimage.binary_erosion(mask) for mask in (a, b))
            directed = [
                np.percentile(ndimage.distance_transform_edt(~to, sampling=spacing)[start], 95) for start, to in ((a, b), (b, a))
            ]
            distances[c] = max(directed)
    return distances
