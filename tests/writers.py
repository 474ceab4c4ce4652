"""Small image files for the tests of the data stage, and the real data's folder."""

import nibabel
import numpy as np
from PIL import Image


def write_nifti(path, array, *, spacing=1.0, origin=(0, 0, 0), kind=nibabel.Nifti1Image):
    """A NIfTI (or, by `kind`, MGH) file with a diagonal affine; its parent folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([*np.broadcast_to(spacing, 3), 1.0])
    affine[:3, 3] = origin
    nibabel.save(kind(array, affine), path)
    return path


def write_pages(path, array, **options):
    """A PNG or TIFF of one page (rows, columns) or several (pages, rows, columns)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pages = [Image.fromarray(page) for page in (array if array.ndim == 3 else array[None])]
    pages[0].save(path, **({"save_all": True, "append_images": pages[1:]} if len(pages) > 1 else {}), **options)
    return path


def write_any(path, array):
    """By the ending of `path`."""
    name = path.name
    if name.endswith((".nii", ".nii.gz")):
        return write_nifti(path, array)
    if name.endswith((".mgz", ".mgh")):
        return write_nifti(path, array, kind=nibabel.MGHImage)
    if name.endswith(".npy"):
        np.save(path, array)
    elif name.endswith(".npz"):
        np.savez(path, array)
    else:
        write_pages(path, array)
    return path


def noise(shape, dtype="uint8", seed=0, high=200):
    """Seeded whole numbers below `high`: every dtype holds them exactly."""
    return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def blob(shape, classes=2):
    """A label map (*shape) uint8: each class above 0 fills its part of the middle of the first axis."""
    labels = np.zeros(shape, np.uint8)
    middle = labels[shape[0] // 4 : shape[0] - shape[0] // 4]
    middle[:] = np.linspace(1, classes - 1, len(middle)).astype(int).reshape(-1, *[1] * (len(shape) - 1))
    return labels


def dice(a, b, classes):
    """Overlap of each class, by its definition."""
    return [2 * np.sum((a == c) & (b == c)) / (np.sum(a == c) + np.sum(b == c)) for c in range(classes)]
