"""One FreeSurfer subject: read, checked, and brought to the common space with one resampling."""

import re

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine
from nibabel.processing import resample_from_to

from deepsim_tf.data.freesurfer.classes import merge_ids
from deepsim_tf.data.sets.brain_mri import IMAGE, LABELS
from deepsim_tf.files import written_aside
from deepsim_tf.formats import read_header, read_volume

# The common space: MNI305 at 1 mm in FreeSurfer's LIA order, x = 80 - i, z = 98 - j, y = k - 128, which holds x
# -79..80, z -93..98 and y -128..95. The MNI305 brain (x -70..70, z -80..85 with the brain stem, y -106..73) has 9 mm to
# spare on the left and 10 on the right, 13 below and above, 22 behind and in front.
GRID_SHAPE = 160, 192, 224
GRID_AFFINE = np.array([[-1, 0, 0, 80], [0, 0, 1, -128], [0, -1, 0, 98], [0, 0, 0, 1]], float)
MAX_OUTSIDE = 0.05  # part of the brain that may lie outside the grid
VOLUME_SCALES = 0.2, 5  # determinants of a plausible Talairach transform


def prepare_subject(source, target):
    """One subject, from its FreeSurfer folder to a folder that is whole or not there.

    ValueError where the subject is bad.
    """
    if target.exists():
        return check_whole(target)
    image, labels, to_mni = _read_subject(source)
    voxels = np.rint(apply_affine(np.linalg.inv(GRID_AFFINE) @ to_mni, np.argwhere(labels)))
    outside = np.any((voxels < 0) | (voxels >= GRID_SHAPE), axis=1)
    if outside.mean() > MAX_OUTSIDE:
        volumes = np.array([outside.sum(), outside.size]) * np.abs(np.linalg.det(to_mni))
        raise ValueError(
            f"{source}: {volumes[0]:.0f} of the brain's {volumes[1]:.0f} mm^3 fall outside the common space, more than"
            f" {MAX_OUTSIDE:.0%}. The talairach.xfm does not fit: check it with tkregister2 --fstal."
        )
    aligned = resample_from_to(
        nib.Nifti1Image(image.astype(np.float32), to_mni), (GRID_SHAPE, GRID_AFFINE), order=1
    ).get_fdata(dtype=np.float32)
    merged = resample_from_to(nib.Nifti1Image(labels, to_mni), (GRID_SHAPE, GRID_AFFINE), order=0)
    with written_aside(target) as aside:
        aside.mkdir()
        for name, volume in (
            (IMAGE, np.rint(aligned).astype(np.uint8) if image.dtype == np.uint8 else aligned),
            (LABELS, merged.dataobj),
        ):
            file = nib.Nifti1Image(volume, GRID_AFFINE)
            file.set_sform(GRID_AFFINE, "talairach")  # of NIfTI's codes the one for this space; "mni" is MNI152
            file.set_qform(GRID_AFFINE, "talairach")
            file.header.set_xyzt_units("mm")
            nib.save(file, aside / name)


def _read_subject(source):
    """Image, merged labels (x, y, z) and the affine from their voxels to MNI305 RAS in mm, of a FreeSurfer folder."""
    image_file, labels_file = _first(source, "norm.mgz", "brain.mgz"), _first(source, "aparc+aseg.mgz", "aseg.mgz")
    to_mni = _read_xfm(_first(source, "transforms/talairach.xfm"))
    (image, affine), (ids, labels_affine) = (
        (read_volume(file, kind=kind), read_header(file).affine)
        for file, kind in ((image_file, "image"), (labels_file, "labels"))
    )
    image = image[..., 0]  # MGZ holds one channel
    for file, voxels, own in ((image_file, image, affine), (labels_file, ids, labels_affine)):
        if voxels.ndim != 3 or not np.isfinite(own).all() or abs(np.linalg.det(own)) < 1e-6:
            raise ValueError(
                f"{file}: expected a 3-D volume with a regular affine. Received: shape {voxels.shape}, affine"
                f" {own.tolist()}."
            )
    if image.shape != ids.shape:
        raise ValueError(
            f"{image_file} has shape {image.shape}, {labels_file} {ids.shape}. Expected one grid: run recon-all again."
        )
    if not np.allclose(affine, labels_affine, atol=1e-3):
        found = f"{affine.round(3).tolist()}, {labels_file} {labels_affine.round(3).tolist()}"
        raise ValueError(f"{image_file} has affine {found}. Expected one grid: run recon-all again.")
    if not np.isfinite(image).all():
        raise ValueError(
            f"{image_file} holds NaN or infinity. Expected the intensities of a brain: run recon-all again."
        )
    if image.min() == image.max():
        raise ValueError(
            f"{image_file} is constant, {image.min()} everywhere. Expected a brain on background 0: run recon-all"
            " again."
        )
    if not np.isfinite(ids).all() or not np.array_equal(ids, np.rint(ids)):
        raise ValueError(
            f"{labels_file} holds values that are no whole numbers. Expected FreeSurfer's ids: was it resampled"
            " linearly?"
        )
    labels = merge_ids(ids.astype(np.int32))
    if not labels.any():
        found = few(str(number) for number in np.unique(ids))
        raise ValueError(
            f"{labels_file} has no known brain label. Expected FreeSurfer's ids, such as 2, 3, 41, 42. Received:"
            f" {found}."
        )
    return image, labels, to_mni @ affine


def _first(subject, *names):
    """The first of some files that the subject has."""
    for name in names:
        if (subject / "mri" / name).is_file():
            return subject / "mri" / name
    raise ValueError(
        f"{subject} has no mri/{' and no mri/'.join(names)}. Run recon-all to its end, or take the subject away."
    )


def _read_xfm(path):
    """The matrix (4 x 4) of an MNI transform file, scanner RAS -> MNI305 RAS, both in mm."""
    text = re.sub("%.*", "", path.read_text(errors="replace"))  # without comments
    blocks = re.findall(r"\bLinear_Transform\s*=([^;]*);", text)
    try:
        matrix = np.array([[float(number) for number in line.split()] for line in blocks[0].strip().splitlines()])
    except (IndexError, ValueError):
        matrix = np.zeros(0)
    # A second transform in the file, of any kind, would have to be applied too.
    if (
        not text.startswith("MNI Transform File")
        or text.count("_Transform") != 1
        or matrix.shape != (3, 4)
        or not np.isfinite(matrix).all()
    ):
        raise ValueError(
            f"{path} is not an affine MNI transform file, or cut short. Expected the line 'MNI Transform File' and one"
            " 'Linear_Transform =' with 3 rows of 4 numbers and a ';'. Copy it again, or run talairach_avi again."
        )
    scale = np.linalg.det(matrix[:, :3])
    low, high = VOLUME_SCALES
    if not low <= scale <= high:
        raise ValueError(
            f"{path} multiplies volumes by {scale:.3g}. Expected {low} to {high}: run talairach_avi again."
        )
    return np.vstack([matrix, [0, 0, 0, 1]])


def check_whole(folder):
    """Refuse a folder without the image or the labels; this module's own arrive whole."""
    missing = [name for name in (IMAGE, LABELS) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"{folder} has no {' and no '.join(missing)}. Remove the folder to have it prepared again.")


def few(items, separator=", "):
    """The first three of some texts, and how many more there are."""
    items = list(items)
    return separator.join(items[:3]) + (f"{separator}and {len(items) - 3} more" if len(items) > 3 else "")
