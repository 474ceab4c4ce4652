"""Whether files lie on one grid, by what their headers say."""

import numpy as np

from deepsim_tf.formats import read_header


def check_grids(source, *, affine=True, channels=1):
    """The image's Header, after the checks that need no voxels: its files and labels have one shape and one affine.

    Args:
        source: the Source.
        affine: whether the affines are compared.
        channels: number of channels of each of its files; None: any (`read_volume`).

    Returns:
        The Header of its first file, with the channels of all of them.
    """
    headers = [read_header(path, channels=channels) for path in source.images]
    image, beside = headers[0], list(zip(["another channel"] * len(source.further), source.further, headers[1:]))
    if source.labels is not None:
        beside.append(("its labels", source.labels, read_header(source.labels, kind="labels")))
    for what, path, header in beside:
        check_shape(source.image, image.shape, what, path, header.shape)
        if affine:
            same_affine(source.image, image, path, header)
    return image._replace(channels=sum(header.channels for header in headers))


def check_shape(path, shape, what, other, other_shape):
    """Refuse an image and what belongs to it (its labels, another channel) of different shape."""
    if shape != other_shape:
        raise ValueError(f"{path} has shape {shape}, {what} {other} {other_shape}. Expected one shape for both.")


def same_affine(path, header, other_path, other):
    """Refuse two volumes whose voxels lie elsewhere in the world.

    More than a hundredth of a voxel at a corner of the grid.
    """
    if header.affine is None or other.affine is None:
        return
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in header.shape], indexing="ij")).reshape(len(header.shape), -1)
    difference = (header.affine - other.affine)[:3, : len(header.shape)] @ corners + (header.affine - other.affine)[
        :3, 3:
    ]
    if np.abs(difference).max() > 0.01 * min(header.spacing):
        raise ValueError(
            f"{path} and {other_path} have different affines (up to {np.linalg.norm(difference, axis=0).max():.3g} mm"
            " apart)."
            " Expected one grid for both: resample one onto the other, as nibabel.processing.resample_from_to does."
        )
