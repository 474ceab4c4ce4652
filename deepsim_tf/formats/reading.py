"""Image files to arrays: NIfTI, MGZ, TIFF stacks, PNG, npy, npz; everything else is refused by name."""

import contextlib
import gzip
import math
import os
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np

from deepsim_tf.formats.pages import UnsuitableError, pages_header, read_pages

FORMATS = {
    **dict.fromkeys((".nii.gz", ".nii"), "a NIfTI image"),
    **dict.fromkeys((".mgz", ".mgh"), "an MGZ image"),
    **dict.fromkeys((".tif", ".tiff", ".png"), "a PNG or TIFF image"),
    **dict.fromkeys((".npy", ".npz"), "a NumPy array without pickled objects"),
}
# Names of the arrays in an .npz that holds several: ours, and VoxelMorph's.
NPZ_NAMES = {"image": ("image", "vol"), "labels": ("labels", "seg")}


class Header(NamedTuple):
    """What a file says about its image before the voxels are read."""

    shape: tuple
    dtype: np.dtype  # of the stored numbers
    affine: np.ndarray | None  # (4, 4), voxel to world in mm; None where the format has none

    @property
    def spacing(self):
        """Size of a voxel in mm, one number an axis; 1 where the format says nothing."""
        return (
            (1.0,) * len(self.shape)
            if self.affine is None
            else tuple(nibabel.affines.voxel_sizes(self.affine)[: len(self.shape)].tolist())
        )

    @property
    def orientation(self):
        """Where the axes of a volume point, as in "RAS"; None where the format says nothing, and of a plane."""
        return "".join(nibabel.aff2axcodes(self.affine)) if self.affine is not None and len(self.shape) == 3 else None


def read_volume(path, *, page=None, kind="image"):
    """Read an image file as it is: no rescaling but the file's own (NIfTI's slope), no channel axis.

    Args:
        path: NIfTI, MGZ/MGH, PNG, TIFF of one or several grey pages, or a NumPy array; pickled arrays are refused. An
            .npz holds one array, or names them "image" or "vol", and "labels" or "seg".
        page: number of one page of a stack, or of one slice along the first axis; None reads all.
        kind: `"image"` or `"labels"`: which array of an .npz that holds both.

    Returns:
        Array (*spatial), 2-D or 3-D, of the file's dtype; trailing axes of size 1 are dropped. A TIFF of several pages
        is (pages, rows, columns).

    Raises:
        ValueError: missing, unreadable, truncated, coloured or four-dimensional file.
    """
    with _readable(path) as (path, suffix):
        if suffix in (".png", ".tif", ".tiff"):
            return read_pages(path, page, kind)
        if suffix in (".npy", ".npz"):
            array = _load_array(path, suffix, kind)
        else:
            image = nibabel_image(path, suffix)
            # Stored integers stay integers where the header scales nothing: a quarter of the memory, and labels stay
            # labels.
            scaled = (getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0)) != (1, 0)
            array = image.get_fdata(dtype=np.float32, caching="unchanged") if scaled else np.asanyarray(image.dataobj)
        array = array.reshape(_spatial(path, array.shape))
        if page is not None and page >= len(array):
            raise ValueError(f"slice {page} of {len(array)}")
        return array if page is None else array[page]


def read_header(path, *, kind="image"):
    """The Header of an image file.

    The same errors as `read_volume` for a file that is missing, or unreadable from its start.
    """
    with _readable(path) as (path, suffix):
        if suffix in (".png", ".tif", ".tiff"):
            return Header(*pages_header(path), None)
        if suffix in (".npy", ".npz"):
            array = _load_array(path, suffix, kind, mmap_mode="r")
            return Header(_spatial(path, array.shape), array.dtype, None)
        image = nibabel.load(path)
        if not np.isfinite(image.affine).all() or abs(np.linalg.det(image.affine[:3, :3])) < 1e-9:
            received = f"{path} has the affine {image.affine.tolist()}"
            raise UnsuitableError(
                f"{received}. Expected finite numbers that map voxels to millimetres: repair its header."
            )
        return Header(_spatial(path, image.shape), image.get_data_dtype(), image.affine)


def _spatial(path, shape):
    """The spatial shape: trailing axes of size 1 belong to the format, not to the image."""
    shape = tuple(int(n) for n in shape)  # an MGZ header has NumPy's integers
    spatial = list(shape)
    while len(spatial) > 2 and spatial[-1] == 1:
        spatial.pop()
    if len(spatial) not in (2, 3) or 0 in spatial:
        received = f"{path} holds an array of shape {shape}"
        raise UnsuitableError(f"{received}. Expected a 2-D or 3-D image of one channel: take one volume out of it.")
    return tuple(spatial)


def nibabel_image(path, suffix):
    """The image of a NIfTI or MGZ file; a compressed one is unpacked whole, which also checks its checksum."""
    if not suffix.endswith("gz"):
        return _with_voxels(nibabel.load(path), path.stat().st_size)
    raw = gzip.decompress(path.read_bytes())
    if suffix == ".mgz":
        return _with_voxels(nibabel.MGHImage.from_bytes(raw), len(raw))
    # The first number of the header is its size: 348 bytes for NIfTI-1, 540 for NIfTI-2, in either byte order.
    second = 540 in (int.from_bytes(raw[:4], order) for order in ("little", "big"))
    return _with_voxels((nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(raw), len(raw))


def _with_voxels(image, size):
    """The image, if `size` bytes can hold its voxels.

    Nibabel would first fill as much memory as a damaged header asks for.
    """
    stored = image.dataobj
    needed = math.prod(int(n) for n in stored.shape) * stored.dtype.itemsize
    if needed > size:
        raise ValueError(f"Expected {needed} bytes of voxels, as its header says, got {size} with the header")
    return image


def _load_array(path, suffix, kind, mmap_mode=None):
    found = np.load(path, allow_pickle=False, mmap_mode=mmap_mode)
    if suffix == ".npy":
        return found
    with found:
        names = [name for name in NPZ_NAMES[kind] if name in found.files] or (
            found.files if len(found.files) == 1 else []
        )
        if not names:
            raise UnsuitableError(
                f"{path} holds the arrays {found.files}. Expected one array, or one named"
                f" {' or '.join(NPZ_NAMES[kind])}."
            )
        return found[names[0]]


@contextlib.contextmanager
def _readable(path):
    """(path, suffix); whatever a library raises about the file becomes a ValueError that names the file."""
    path = Path(path)
    name = path.name.lower()
    suffix = next((suffix for suffix in FORMATS if name.endswith(suffix)), None)
    if suffix is None:
        raise ValueError(
            f"Cannot read {path}: expected a file that ends in {', '.join(FORMATS)}. Received:"
            f" {path.suffix or 'no ending'}."
        )
    if not os.path.isfile(path):  # False too for a name that no system takes, where Path.is_file raises OSError
        raise ValueError(f"No file {path}. Expected an image there; check the folder's name.")
    try:
        yield path, suffix
    except UnsuitableError:
        raise
    except (
        Exception
    ) as error:  # the libraries meet damaged files with OSError, SyntaxError, KeyError, struct.error, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"Cannot read {path} ({path.stat().st_size} bytes): expected {FORMATS[suffix]}."
            f" The file seems truncated or damaged, or is no such image: copy it again. ({reason})"
        ) from error
