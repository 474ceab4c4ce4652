"""Which planes of a registered pair its picture shows, and how they are turned (`figures.overview` draws them)."""

import nibabel
import numpy as np
from skimage.filters import threshold_multiotsu, threshold_otsu

from deepsim_tf.figures.overview import Plane, save_overview
from deepsim_tf.figures.shown import grey_window, shown, with_channels
from deepsim_tf.grids.affine import voxel_sizes

PLANES = (
    ("axial", 2, "R", "L", "A", "P"),
    ("coronal", 1, "R", "L", "S", "I"),
    ("sagittal", 0, "A", "P", "S", "I"),
)  # at right, left, top, bottom
ROUGHLY = 96  # voxels an axis that are enough for thresholds and windows


def save_picture(path, images, field, *, title=None):
    """Draw a registered pair as PNG: a row for an image, three (axial, coronal, sagittal) for a volume.

    Volumes are shown as they lie in the world, voxels in their proportions; a file without header as it is stored. The
    slices go through the middle of what the fixed image shows. Outlines are those of the fixed image, on all three
    images. Three channels are shown as RGB, of others the first one.

    Args:
        path: ends in .png.
        images: {"fixed", "moving", "warped"}, (*spatial) or (*spatial, channels) on the fixed grid, in one scale.
        field: the Field of the registration.
        title: text above, or None.
    """
    images = {name: shown(with_channels(image, name, field.shape)) for name, image in images.items()}
    images, flow, sizes = _for_display(images, field)
    window = grey_window(*(_coarse(images[name], field.ndim) for name in ("fixed", "moving")))
    planes = list(_planes(images, flow, sizes, field.unit))
    save_overview(path, planes, window, _levels(_in_grey(images["fixed"], field.ndim)), title=title)


def _for_display(images, field):
    """Images, (*spatial, ndim) flow in voxels, and voxel sizes.

    The axes of volumes with header point right - anterior - superior.
    """
    flow, sizes = field.voxels(), voxel_sizes(field.affine)
    if field.ndim == 2 or field.unit != "mm":
        return images, flow, sizes
    ornt = nibabel.orientations.io_orientation(field.affine)
    images = {name: nibabel.apply_orientation(image, ornt) for name, image in images.items()}
    turned = nibabel.apply_orientation(flow, ornt)
    ordered, target = np.empty_like(turned), np.empty(3)
    for axis, (to, flip) in enumerate(ornt):
        ordered[..., int(to)], target[int(to)] = flip * turned[..., axis], sizes[axis]
    return images, ordered, target


def _planes(images, flow, sizes, unit):
    """The Planes to show."""
    if flow.shape[-1] == 2:
        if unit == "mm":  # axes (x, y): x to the right
            images = {name: image.swapaxes(0, 1) for name, image in images.items()}
            yield Plane(images=images, flow=flow.swapaxes(0, 1)[..., ::-1], sizes=sizes[::-1])
        else:  # rows downwards, as every viewer shows them
            yield Plane(images={k: v[::-1] for k, v in images.items()}, flow=flow[::-1] * (-1, 1), sizes=sizes)
        return
    middle = _middle(images["fixed"])
    if unit != "mm":
        k, pages = middle[0], len(flow)
        cut = {name: image[k, ::-1] for name, image in images.items()}
        in_plane = flow[k, ::-1, :, 1:] * (-1, 1)
        yield Plane(images=cut, flow=in_plane, sizes=sizes[1:], name=f"page {k + 1} of {pages}")
        return
    for name, axis, *ends in PLANES:
        across, up = [d for d in range(3) if d != axis]  # shown to the right and upwards
        cut = {key: image.take(middle[axis], axis).swapaxes(0, 1) for key, image in images.items()}
        in_plane = flow.take(middle[axis], axis)[..., [up, across]].swapaxes(0, 1)
        yield Plane(images=cut, flow=in_plane, sizes=sizes[[up, across]], name=name, ends=tuple(ends))


def _coarse(image, ndim):
    """An image (*spatial) or (*spatial, 3) on every so many voxels."""
    return image[tuple(slice(None, None, step) for step in _steps(image, ndim))]


def _steps(image, ndim):
    return [max(1, n // ROUGHLY) for n in image.shape[:ndim]]


def _in_grey(image, ndim):
    """The coarse image, of RGB the mean over the colours: (*coarse)."""
    coarse = _coarse(image, ndim)
    return coarse.mean(axis=-1) if coarse.ndim > ndim else coarse


def _middle(fixed):
    """The voxel in the middle of what a volume shows: the median position of its foreground."""
    coarse = _in_grey(fixed, 3)
    inside = np.argwhere(coarse > threshold_otsu(coarse)) if coarse.min() < coarse.max() else np.zeros((0, 3))
    if not len(inside):
        return [n // 2 for n in fixed.shape[:3]]
    return [int(np.median(inside[:, d])) * step for d, step in enumerate(_steps(fixed, 3))]


def _levels(values):
    """Two grey levels between three classes of intensities (Otsu), or none without contrast."""
    try:
        return sorted({float(level) for level in threshold_multiotsu(values, classes=3)})
    except ValueError:  # fewer than three different values
        return [float(threshold_otsu(values))] if values.min() < values.max() else []
