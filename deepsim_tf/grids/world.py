"""Where the voxels of an image file lie: the world, in millimetres, or pixels where the file says nothing.

World coordinates are nibabel's, right - anterior - superior. An image file without a header that says where it lies has
its pixels as the world: (column, row, page) count as left, posterior and superior, which is how ITK reads such files.
"""

import numpy as np

from deepsim_tf.grids.affine import joined


def is_world(header):
    """Whether a file's Header says where its voxels lie."""
    return header.affine is not None


def world_affine(header, path):
    """From voxels to the world, (ndim + 1, ndim + 1), of a file's Header; see the module's text for files without one.

    Raises:
        ValueError: a single slice that does not lie in an axial plane.
    """
    ndim = len(header.shape)
    if not is_world(header):
        return pixel_affine(ndim)
    if ndim == 3:
        return np.array(header.affine, float)
    if np.abs(header.affine[2, :2]).max() > 1e-3 * max(header.spacing):
        raise ValueError(
            f"{path} is a single slice that is not axial (its rows or columns point up or down). Expected a volume, or"
            " an axial slice: take slices with nibabel's slicer, or save both images as TIFF or npy."
        )
    return in_plane(header.affine)


def in_plane(affine):
    """The affine of an axial slice in its plane, (3, 3), from that of a volume, (4, 4)."""
    return np.delete(np.delete(np.array(affine, float), 2, 0), 2, 1)


def pixel_affine(ndim):
    """The affine of an array without header.

    Axes in reverse order are ITK's x, y, z; x and y point left and posterior.
    """
    return joined(np.fliplr(np.diag([-1.0, -1.0, 1.0][:ndim])), np.zeros(ndim))


def lps(vectors):
    """Displacements in the world, (.., ndim), with ITK's signs, left - posterior - superior; and back again."""
    return vectors * np.array([-1, -1, 1][: vectors.shape[-1]], vectors.dtype)
