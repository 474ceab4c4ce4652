"""Image files to arrays; everything that is no 2-D or 3-D image is refused by name."""

import contextlib

import numpy as np

from deepsim_tf.formats.axes import as_image, as_labels, channel_count, check_labels, layout
from deepsim_tf.formats.format import Header, UnsuitableError
from deepsim_tf.formats.registry import readable


def read_volume(path, *, page=None, kind="image", channels=None, files=None):
    """Read an image file as it is: no rescaling but the file's own (NIfTI's slope).

    Args:
        path: NIfTI, MGZ/MGH, PNG, TIFF of one or several pages, or a NumPy array; pickled arrays are refused.
            An .npz holds one array, or names them "image" or "vol", and "labels" or "seg".
        page: number of one page of a stack, or of one slice along the first axis; None reads all.
        kind: `"image"` or `"labels"`. Labels have one channel; an indexed PNG is its indices as labels, and no image.
        channels: how many the file has. An npy or npz needs the number where its last axis holds channels, which
            otherwise counts as a spatial axis; other formats say it themselves, and are refused where they say another.
        files: OpenFiles that keeps the file open between its pages; None opens and closes it.

    Returns:
        Array of the file's dtype: images (*spatial, channels), labels (*spatial), 2-D or 3-D; trailing axes of size 1
        are dropped. A TIFF of several pages is (pages, rows, columns, channels).

    Raises:
        ValueError: missing, unreadable, truncated file; no 2-D or 3-D image, such as a time series; transparent pixels.
    """
    with _opened(path, kind, channels, None if page is None else files) as image:
        array, axes = image.read(page)
        return (as_labels if kind == "labels" else as_image)(array, axes, image.path)


def read_header(path, *, kind="image", channels=None):
    """The Header of an image file, with `channels` of it; `kind` and `channels` as in `read_volume`.

    The same errors as `read_volume` for a file that is missing, or unreadable from its start.
    """
    with _opened(path, kind, channels, voxels=False) as image:
        affine = image.affine
        if affine is not None and (not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9):
            received = f"{image.path} has the affine {affine.tolist()}"
            raise UnsuitableError(
                f"{received}. Expected finite numbers that map voxels to millimetres: repair its header."
            )
        found = layout(image.shape, image.axes, image.path)
        if kind == "labels":
            check_labels(found.channels, image.path)
        return Header(found.shape, image.dtype, affine, found.channels)


@contextlib.contextmanager
def _opened(path, kind, channels, files=None, *, voxels=True):
    """The StoredImage of a file, checked for its number of channels."""
    with readable(path) as (path, found):

        def open_image():
            image = found.open(path, kind=kind, channels=channels, voxels=voxels)
            try:
                _check_channels(image, channels)
            except BaseException:
                image.close()
                raise
            return image

        lent = contextlib.closing(open_image()) if files is None else files.lent(path, (kind, channels), open_image)
        with lent as image:
            yield image


def _check_channels(image, channels):
    if channels is not None:
        found = layout(image.shape, image.axes, image.path).channels
        if found != channels:
            raise UnsuitableError(f"{image.path} has {channel_count(found)}. Expected {channels}: convert it first.")
