"""Writing images beside the user's own: the format and header of a reference file."""

import copy
from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

SUFFIXES = (".nii.gz", ".nii", ".mgz", ".tif", ".tiff", ".png", ".npy")
RESULT = {
    ".nii": ".nii.gz",
    ".mgh": ".mgz",
    ".png": ".tif",
    ".tiff": ".tif",
    ".npz": ".npy",
}  # of files like a reference; others keep theirs
DTYPES = {  # that a format can hold
    ".mgz": ("uint8", "int16", "int32", "float32"),
    ".tif": ("uint8", "uint16", "int32", "float32"),
    ".tiff": ("uint8", "uint16", "int32", "float32"),
    ".png": ("uint8", "uint16"),
}


def suffix_of(path, *, written=False):
    """The ending of an image file's name, with the .nii of .nii.gz.

    Args:
        path: of the file.
        written: True for a file to write, whose format must be one that is written.

    Raises:
        ValueError: another one.
    """
    suffixes = SUFFIXES if written else (*SUFFIXES, ".mgh", ".npz")
    name = Path(path).name.lower()
    found = next((suffix for suffix in suffixes if name.endswith(suffix)), None)
    if found is None:
        raise ValueError(f"Cannot write {path}: expected a name that ends in {', '.join(suffixes)}.")
    return found


def result_suffix(reference):
    """The format of results beside a reference file: its own, but .tif for PNG, which holds no floats."""
    found = suffix_of(reference)
    return RESULT.get(found, found)


def write_image(array, path, *, reference=None, affine=None):
    """Write an image (*spatial) in the format that the name says.

    Args:
        array: float32, or the integers of an original; widened to int32 or float32 where the format has no such type.
        path: ends in .nii.gz, .nii, .mgz, .tif, .png or .npy.
        reference: NIfTI or MGZ file whose header the image gets, where both are of one kind.
        affine: (ndim + 1, ndim + 1) of NIfTI and MGZ files.

    Raises:
        ValueError: a format that cannot hold it.
    """
    suffix = suffix_of(path, written=True)
    array = _as_stored(array, suffix, path)
    if suffix in (".nii.gz", ".nii", ".mgz"):
        nibabel.save(_nibabel_image(array, suffix, reference, affine), path)
    elif suffix == ".npy":
        np.save(path, array)
    elif array.ndim == 2:
        Image.fromarray(array).save(path)
    elif suffix == ".png":
        raise ValueError(
            f"Cannot write {path}: PNG holds no volume of shape {array.shape}. Choose .tif, .npy or .nii.gz."
        )
    else:
        first, *others = [Image.fromarray(page) for page in array]
        first.save(path, save_all=True, append_images=others)


def _as_stored(array, suffix, path):
    kept = DTYPES.get(suffix)
    if kept is None and suffix != ".npy" and array.dtype.name in ("int64", "uint64", "float16"):
        kept = ("int32", "float32")  # NIfTI has 64-bit integers, which few programs read
    if kept is None or array.dtype.name in kept:
        return array
    for wider in kept:
        if np.can_cast(array.dtype, wider):
            return array.astype(wider)
    if array.dtype.kind in "ui" and "int32" in kept and array.max(initial=0) <= np.iinfo("int32").max:
        return array.astype(np.int32)
    if array.dtype.kind == "f" and "float32" in kept:
        return array.astype(np.float32)
    raise ValueError(
        f"Cannot write {path}: {suffix} holds {', '.join(kept)}. Received: {array.dtype}. Choose .nii.gz or .npy."
    )


def _nibabel_image(array, suffix, reference, affine):
    full = np.eye(4)
    ndim = array.ndim
    if affine is not None:
        full[:ndim, :ndim], full[:ndim, 3] = affine[:-1, :-1], affine[:-1, -1]
    like = (
        None
        if reference is None or suffix_of(reference) not in (".nii", ".nii.gz", ".mgz", ".mgh")
        else nibabel.load(reference)
    )
    if suffix == ".mgz":
        known = like is not None and isinstance(like, nibabel.MGHImage)
        return nibabel.MGHImage(array, like.affine if known else full, copy.deepcopy(like.header) if known else None)
    if like is None or isinstance(like, nibabel.MGHImage):
        image = nibabel.Nifti1Image(array, full)
        image.header.set_xyzt_units("mm" if affine is not None else "unknown")
        return image
    header = copy.deepcopy(like.header)
    header.set_data_dtype(array.dtype)
    header["cal_min"] = header["cal_max"] = 0  # the window of another image's intensities
    header.set_intent("none")
    return type(like)(array, like.affine, header)
