"""FreeSurfer's MGZ and MGH files, through nibabel."""

import copy
import gzip

import nibabel

from deepsim_tf.formats.format import Format
from deepsim_tf.formats.nifti import NibabelImage, full_affine, with_voxels


def _load(path):
    """The nibabel image; a compressed one is unpacked whole, which also checks its checksum."""
    if not path.name.lower().endswith("z"):
        return with_voxels(nibabel.load(path), path.stat().st_size)
    raw = gzip.decompress(path.read_bytes())
    return with_voxels(nibabel.MGHImage.from_bytes(raw), len(raw))


def _open(path, *, kind, channels, voxels):
    return NibabelImage(path, _load, lambda image: "xyzt"[: len(image.shape)], voxels)  # a fourth axis holds frames


def _write(image, path, reference, affine):
    array = image[..., 0]
    like = None if reference is None else nibabel.load(reference)
    if isinstance(like, nibabel.MGHImage):
        written = nibabel.MGHImage(array, like.affine, copy.deepcopy(like.header))
    else:
        written = nibabel.MGHImage(array, full_affine(affine, array.ndim))
    nibabel.save(written, path)


MGZ = Format(
    name="an MGZ image",
    suffixes=(".mgz", ".mgh"),
    axes="x, y, z, time",
    open=_open,
    write=_write,
    written=(".mgz",),
    dtypes={1: ("uint8", "int16", "int32", "float32")},
    world=True,
    result=".mgz",
)
