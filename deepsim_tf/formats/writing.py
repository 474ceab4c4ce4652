"""Writing images beside the user's own: the format and header of a reference file."""

import numpy as np

from deepsim_tf.formats.registry import FORMATS, format_of, suffix_of


def result_suffix(reference, image=None):
    """The format of results beside a reference file: its own, but .tif for PNG, which holds no floats.

    Args:
        reference: path of a file of any format.
        image: (*spatial, channels) to be written; .nii.gz or .npy where the format cannot hold its channels.
    """
    found = format_of(suffix_of(reference))
    if image is not None and _held(image, format_of(found.result)) is None:
        return ".nii.gz" if found.world else ".npy"
    return found.result


def write_image(image, path, *, reference=None, affine=None):
    """Write an image in the format that the name says.

    NIfTI files hold channels as a vector at each voxel, PNG and TIFF as red, green and blue of 8 bits, npy on the last
    axis.

    Args:
        image: array (*spatial, channels), float32, or the integers of an original; widened where the format has no such
            type.
        path: ends in .nii.gz, .nii, .mgz, .tif, .png or .npy.
        reference: NIfTI or MGZ file whose header the image gets, where both are of one kind.
        affine: (ndim + 1, ndim + 1) of NIfTI and MGZ files.

    Raises:
        ValueError: a format that cannot hold it; the message names those that can.
    """
    suffix = suffix_of(path, written=True)
    found = format_of(suffix)
    held = _held(image, found)
    if held is None:
        raise ValueError(f"Cannot write {path}: {_reason(image, suffix, found)}. Choose {_others(image)}.")
    world = reference is not None and format_of(suffix_of(reference)).world
    found.write(held, path, reference if world else None, affine)


def _held(image, found):
    """The image in a dtype that the format holds; None where it holds none of them, or not its axes."""
    names, dtype = _dtypes(image, found), image.dtype
    if names is None or (found.planes and image.ndim > 3):
        return None
    if not names or dtype.name in names:  # none: any
        return image
    for name in names:
        # NumPy takes float64 for wide enough for 64 bits: it would not tell large neighbours apart.
        if np.can_cast(dtype, name) and not (dtype.name in ("int64", "uint64") and name.startswith("float")):
            return image.astype(name)
    limits, floats = np.iinfo(np.int32), [name for name in names if name.startswith("float")]
    if dtype.kind in "ui" and "int32" in names:
        fits = limits.min <= image.min(initial=0) and image.max(initial=0) <= limits.max
        return image.astype(np.int32) if fits else None
    return image.astype(floats[-1]) if dtype.kind == "f" and floats else None


def _dtypes(image, found):
    """Names of the dtypes that a format holds with so many channels, () for any; None: it holds no such image."""
    return found.dtypes.get(image.shape[-1], found.dtypes.get(None)) if found.dtypes else ()


def _reason(image, suffix, found):
    channels, names = image.shape[-1], _dtypes(image, found)
    if found.planes and image.ndim > 3:
        return f"{suffix[1:].upper()} holds no volume of shape {image.shape[:-1]}"
    if names is None:
        numbers = " or ".join(map(str, found.dtypes))
        return f"{suffix} holds {numbers} channel{'s' * (numbers != '1')}. Received: {channels}"
    of = f" in images of {channels} channels" if channels > 1 else ""
    return f"{suffix} holds {', '.join(names)}{of}. Received: {image.dtype}"


def _others(image):
    """The endings of the formats that hold an image."""
    found = [known.written[0] for known in FORMATS if known.written and _held(image, known) is not None]
    return " or ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else found[0]
