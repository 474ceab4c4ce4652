"""Distances between the surfaces of label maps.

The surface of a structure is its voxels that touch another label (faces only) or the border of the image; the distance
of a voxel from a surface is that of the nearest two voxel centres.
"""

import numpy as np
from scipy import ndimage, spatial

from deepsim_tf.metrics.overlap import label_pair


def hausdorff95(fixed_labels, warped_labels, classes, *, spacing=None):
    """Symmetric 95 % Hausdorff distance of each class.

    The larger of the two directed 95th percentiles of surface distances.

    Of several measures, `surface_distances` computes all at the price of one, and names the arguments and errors.

    Returns:
        float64 array (K,), in mm; NaN for a class that is missing in either.

    Example:
        >>> a, b = np.zeros((9, 9), int), np.zeros((9, 9), int)
        >>> a[2:5, 2:5], b[2:5, 4:7] = 1, 1
        >>> hausdorff95(a, b, classes=2, spacing=(1.0, 0.5))[1]  # two columns of half a millimetre
        np.float64(1.0)

    Reference:
        Huttenlocher et al., IEEE TPAMI 15 (1993), with the maximum replaced by the 95th percentile.
    """
    return _surface_distances("hausdorff95", fixed_labels, warped_labels, classes, spacing)["hausdorff95"]


def surface_distance(fixed_labels, warped_labels, classes, *, spacing=None):
    """Average symmetric surface distance (ASSD) of each class, over the voxels of both surfaces A and B.

        ASSD = (sum_{a in A} d(a, B) + sum_{b in B} d(b, A)) / (|A| + |B|)

    Of several measures, `surface_distances` computes all at the price of one, and names the arguments and errors.

    Returns:
        float64 array (K,), in mm; NaN for a class that is missing in either.

    Example:
        >>> a, b = np.zeros((9, 9), int), np.zeros((9, 9), int)
        >>> a[2:5, 2:5], b[2:5, 4:7] = 1, 1
        >>> surface_distance(a, b, classes=2, spacing=(1.0, 0.5))[1]  # columns away: 3 of 8 are 2, 2 are 1
        np.float64(0.5)

    Reference:
        Heimann et al., IEEE TMI 28 (2009), section III-B.
    """
    return _surface_distances("surface_distance", fixed_labels, warped_labels, classes, spacing)["surface_distance"]


def surface_distances(fixed_labels, warped_labels, classes, *, spacing=None, background=True):
    """`hausdorff95` and `surface_distance` of each class from one search of nearest surface voxels.

    Args:
        fixed_labels, warped_labels: integer arrays (*spatial) of equal shape, in 0 .. K - 1.
        classes: number of classes K with background.
        spacing: size of a voxel in mm, one number per axis. Default: 1, which gives voxels.
        background: False leaves class 0 at NaN, whose surface is the largest of all, and its time unspent.

    Returns:
        dict of float64 arrays (K,), in mm, by the names of the two measures; NaN for a class that is missing in either.

    Raises:
        ValueError: shapes that differ, labels beyond the classes or not whole, a spacing that is not one positive
            number per axis.

    Example:
        >>> a, b = np.zeros((9, 9), int), np.zeros((9, 9), int)
        >>> a[2:5, 2:5], b[2:5, 4:7] = 1, 1
        >>> {name: float(values[1]) for name, values in surface_distances(a, b, classes=2, background=False).items()}
        {'hausdorff95': 2.0, 'surface_distance': 1.0}
    """
    return _surface_distances("surface_distances", fixed_labels, warped_labels, classes, spacing, background)


def _surface_distances(who, fixed_labels, warped_labels, classes, spacing, background=True):
    a, b = label_pair(who, fixed_labels, warped_labels, classes)
    spacing = np.ones(a.ndim) if spacing is None else np.asarray(spacing, "float64")
    if spacing.shape != (a.ndim,) or not (np.isfinite(spacing) & (spacing > 0)).all():
        raise ValueError(
            f"{who} expects a spacing of {a.ndim} positive numbers in mm. Received: spacing={spacing.tolist()}."
        )
    measures = {"hausdorff95": np.full(classes, np.nan), "surface_distance": np.full(classes, np.nan)}
    boxes = (
        ndimage.find_objects(labels.astype(np.intp) + 1, classes) for labels in (a, b)
    )  # + 1: 0 is no object to SciPy
    for c, (box_a, box_b) in enumerate(zip(*boxes, strict=True)):
        if box_a is None or box_b is None or (c == 0 and not background):
            continue
        # Both structures lie in this box, and so do all nearest voxels: the crop changes the time only.
        box = tuple(slice(min(m.start, n.start), max(m.stop, n.stop)) for m, n in zip(box_a, box_b, strict=True))
        surface_a, surface_b = (mask & ~ndimage.binary_erosion(mask) for mask in (a[box] == c, b[box] == c))
        directed = [_directed(surface_a, surface_b, spacing), _directed(surface_b, surface_a, spacing)]
        measures["hausdorff95"][c] = max(np.percentile(distances, 95) for distances in directed)
        measures["surface_distance"][c] = np.mean(np.concatenate(directed))
    return measures


def _directed(start, to, spacing):
    """The distance from each voxel of surface `start` to surface `to`, both bool (*spatial), in any order.

    A search tree of surface voxels, where a distance transform would fill the whole box: the same numbers, several
    times faster.
    """
    apart = start & ~to  # the others are at distance 0
    distances = np.zeros(np.count_nonzero(start))
    if apart.any():
        tree = spatial.KDTree(np.argwhere(to) * spacing)
        distances[: np.count_nonzero(apart)] = tree.query(np.argwhere(apart) * spacing)[0]
    return distances
