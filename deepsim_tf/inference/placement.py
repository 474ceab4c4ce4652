"""Whether two images lie where a network can bring them together, by their headers and foregrounds."""

import numpy as np
from nibabel.orientations import inv_ornt_aff, io_orientation
from skimage.filters import threshold_otsu

from deepsim_tf.augmentation.spatial import VOLUMES
from deepsim_tf.grids.affine import mapped, split, voxel_sizes

ROTATION = VOLUMES["rotation"]  # degrees; images are turned all the way round
LEAST_OVERLAP = 0.5  # of the smaller field of view, or of the smaller box around a foreground
FARTHEST = 0.2  # between the centres of the foregrounds, of the diagonal of the fixed one's box
LEAST_COVERAGE = 0.9  # of the fixed foreground, by the model's grid
LATTICE = 48  # samples an axis: this is about centimetres, not voxels

AFFINE_FIRST = (
    "register them affinely first, as antsRegistrationSyNQuick.sh -t a (ANTs) or SimpleITK's"
    " CenteredTransformInitializer and ImageRegistrationMethod do, and pass the result as moving image"
)


def placement(geometry, moving, fixed):
    """Overlaps, distances and angles of a pair of images with headers.

    Args:
        geometry: their Geometry.
        moving, fixed: the images (*spatial) or (*spatial, channels), after the intensity rule. The foreground is that
            of the mean over the channels, of which any may be dark where another shows something.

    Returns:
        `(numbers, warnings)`: a dict for registration.json, and sentences about what is doubtful, each with its remedy.
    """
    fixed_points, fixed_inside = _lattice(fixed, geometry.fixed_shape)
    moving_points, moving_inside = _lattice(moving, geometry.moving_shape)
    moved = _with_translation(geometry)
    fixed_to_moving = np.linalg.inv(moved) @ geometry.fixed_affine
    seen = _inside(mapped(fixed_points, fixed_to_moving), geometry.moving_shape)
    volumes = [
        abs(np.linalg.det(affine)) * np.prod(shape)
        for affine, shape in ((geometry.fixed_affine, geometry.fixed_shape), (moved, geometry.moving_shape))
    ]

    # Along the grid's axes, in its voxels times their size: a box means the same for both images.
    sizes = voxel_sizes(geometry.grid_affine)
    foregrounds = [
        mapped(fixed_points[fixed_inside], geometry.fixed_to_grid) * sizes,
        mapped(moving_points[moving_inside], geometry.moving_to_grid) * sizes,
    ]
    boxes = [np.percentile(points, (1, 99), axis=0) for points in foregrounds]
    distance = np.linalg.norm(foregrounds[0].mean(axis=0) - foregrounds[1].mean(axis=0))
    diagonal = np.linalg.norm(boxes[0][1] - boxes[0][0])
    numbers = {
        "overlap_of_fields_of_view": float(min(1, seen.mean() * volumes[0] / min(volumes))),
        "overlap_of_foregrounds": _box_overlap(*boxes),
        "distance_of_foregrounds": float(distance),
        "rotation_degrees": rotation_between(geometry.fixed_affine, geometry.moving_affine),
        "coverage_by_grid": float(_inside(foregrounds[0] / sizes, geometry.grid).mean()),
    }
    if geometry.own_grids:  # the solver looks for the place itself
        return numbers, []
    return numbers, list(_doubts(numbers, distance / max(diagonal, 1e-9), geometry))


def _doubts(numbers, distance, geometry):
    percent = {name: f"{100 * numbers[name]:.0f} %" for name in numbers if name.startswith(("overlap", "coverage"))}
    remedy = f"align their centres (--align centres), or {AFFINE_FIRST}"
    if geometry.translation.any():
        remedy = AFFINE_FIRST
    if numbers["overlap_of_fields_of_view"] < LEAST_OVERLAP:
        shared = percent["overlap_of_fields_of_view"]
        yield f"The fields of view of the two images share only {shared} of the smaller one: {remedy}."
    elif numbers["overlap_of_foregrounds"] < LEAST_OVERLAP or distance > FARTHEST:
        apart = f"{numbers['distance_of_foregrounds']:.0f} {geometry.unit}"
        yield (
            f"What the two images show lies apart: the centres of their foregrounds by {apart}, the boxes around them"
            f" share {percent['overlap_of_foregrounds']} of the smaller one: {remedy}."
        )
    if len(geometry.grid) == 3 and numbers["rotation_degrees"] > ROTATION:
        angle = f"{numbers['rotation_degrees']:.0f} degrees"
        yield (
            f"The moving image is turned by {angle} against the fixed one, and models are trained with up to"
            f" {ROTATION:.0f}: {AFFINE_FIRST}."
        )
    if numbers["coverage_by_grid"] < LEAST_COVERAGE:
        yield (
            f"The model's grid holds only {percent['coverage_by_grid']} of what the fixed image shows; beyond it the"
            " border's displacement goes on: crop the fixed image to the region the model was trained on, or"
            " check its voxel size."
        )
    extent = np.abs(split(geometry.fixed_to_grid)[0]) @ geometry.fixed_shape  # in voxels of the grid
    if (extent < np.divide(geometry.grid, 4)).any():
        yield (
            "The fixed image is less than a quarter as large as the images the model was trained on: check the unit"
            " of its voxel size (mm)."
        )


def rotation_between(fixed_affine, moving_affine):
    """The angle in degrees between the axes of two images, permuted and flipped to be closest."""
    relative = np.linalg.inv(_directions(fixed_affine)) @ _directions(moving_affine)
    ndim = len(relative)
    full = np.eye(4)
    full[:ndim, :ndim] = relative
    permuted = full @ inv_ornt_aff(io_orientation(full), (1, 1, 1))
    turned = permuted[:ndim, :ndim]
    # cos(angle): trace = 1 + 2 cos in 3-D, 2 cos in 2-D
    return float(np.degrees(np.arccos(np.clip((np.trace(turned) - (ndim - 2)) / 2, -1, 1))))


def _directions(affine):
    """The rotation (with flips) that is closest to an affine's axes: U V of its singular value decomposition."""
    matrix = split(affine)[0]
    left, _, right = np.linalg.svd(matrix / np.linalg.norm(matrix, axis=0))
    return left @ right


def _with_translation(geometry):
    affine = geometry.moving_affine.copy()
    affine[:-1, -1] += geometry.translation
    return affine


def _lattice(image, shape):
    """Evenly spaced voxels of an image, (n, ndim), and which of them are foreground: above Otsu's threshold."""
    lines = [np.unique(np.linspace(0, n - 1, min(n, LATTICE)).round().astype(int)) for n in shape]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1).reshape(-1, len(shape))
    values = np.asarray(image)[np.ix_(*lines)].reshape(len(points), -1).mean(axis=-1)  # over the channels
    inside = values > threshold_otsu(values) if values.min() < values.max() else np.ones(len(values), bool)
    return points, inside


def _inside(points, shape):
    """Which points (n, ndim) lie in an image's field of view."""
    return np.logical_and(points >= -0.5, points <= np.array(shape) - 0.5).all(axis=-1)


def _box_overlap(a, b):
    """Volume that two boxes [low, high] share, as a fraction of the smaller one."""
    shared = np.clip(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0, None)
    smaller = min(np.prod(np.maximum(box[1] - box[0], 1e-9)) for box in (a, b))
    return float(np.prod(shared) / smaller)
