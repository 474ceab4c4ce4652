"""What the files of the user's own images say about themselves: whether they fit together, before any voxel is read."""

import nibabel
import numpy as np

from deepsim_tf.data.same_grid import check_grids
from deepsim_tf.formats import channel_count


def read_headers(rows, shape, fit, slices, channels, found):
    """{Source: Header} of all images, comparable with the first; the others' problems go to `found`."""
    headers, seen = {}, {}
    for source in dict.fromkeys(source for row in rows for source in row.images):
        with found.caught():
            known = seen.setdefault(source.listed, source.labels)
            if known != source.labels:
                received = f"{source.listed} is listed with the labels {known} and {source.labels}"
                raise ValueError(f"{received}. Expected one label file for an image.")
            header = check_grids(source, channels=channels)
            first = next(iter(headers), source)
            _check_alike(source, header, first, headers.get(first, header), shape, fit, slices)
            headers[source] = header
    return headers


def plane(shape, slices):
    """The axes of a shape that an image of the set has."""
    return tuple(shape[-2:]) if slices else tuple(shape)


def common_shape(shapes, fit):
    """The shape of a set of images of several sizes, where none is asked for."""
    return tuple(int(n) for n in (np.median(shapes, axis=0) if fit == "resample" else np.max(shapes, axis=0)))


def _check_alike(source, header, first_source, first, shape, fit, slices):
    image, first_image = source.image, first_source.image
    if header.channels != first.channels:
        received = f"{source.listed} has {channel_count(header.channels)}, {first_source.listed}"
        raise ValueError(
            f"{received} {channel_count(first.channels)}. Expected as many in all images of the set: leave it out, or"
            " list the files of the other channels beside it (a.tif;b.tif)."
        )
    if len(header.shape) != len(first.shape) and not slices:
        raise ValueError(
            f"{image} is {len(header.shape)}-D, {first_image} {len(first.shape)}-D. Expected images of one dimension"
            " in a file;"
            " with slices=True (--slices) a stack is a series of 2-D images."
        )
    expected = shape or plane(first.shape, slices)
    if len(plane(header.shape, slices)) != len(expected):
        raise ValueError(
            f"{image} has shape {header.shape}, which does not fit shape={expected}: the number of axes differs."
        )
    if fit is None and plane(header.shape, slices) != expected:
        reason = "as asked" if shape else f"as {first_image} has"
        raise ValueError(
            f"{image} has shape {header.shape}. Expected {expected}, {reason}. Sizes that differ are centred with"
            " fit='pad' (--fit pad),"
            " or stretched with fit='resample' (--fit resample)."
        )
    if header.affine is not None and first.affine is not None:
        axes, first_axes = ("".join(nibabel.aff2axcodes(h.affine)) for h in (header, first))
        if axes != first_axes:
            raise ValueError(
                f"{image} is oriented {axes}, {first_image} {first_axes}. Expected one orientation:"
                " bring all to one, as nibabel.as_closest_canonical does."
            )
        spacing, first_spacing = (h.spacing[-len(expected) :] for h in (header, first))
        if fit != "resample" and not np.allclose(spacing, first_spacing, rtol=0.01):
            raise ValueError(
                f"{image} has voxels of {spacing} mm, {first_image} of {first_spacing} mm. Expected one size: resample"
                " them first,"
                " as nibabel.processing.resample_to_output does."
            )
