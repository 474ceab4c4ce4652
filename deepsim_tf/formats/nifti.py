"""NIfTI files, through nibabel: volumes and planes with a place in the world, and vectors of channels."""

import copy
import gzip
import math

import nibabel
import numpy as np

from deepsim_tf.formats.format import Format, StoredImage, without_alpha

VECTORS = (1006, 1007, 2003, 2004)  # intents: displacements, a vector, red-green-blue, the same with alpha
VECTOR = 1007


class NibabelImage(StoredImage):
    """A file that nibabel reads.

    Args:
        path: of the file.
        parse: function of the path that returns the nibabel image with all its voxels at hand.
        axes: function of the nibabel image that returns the letters of its axes.
        voxels: False reads the header alone, for the time being.
    """

    def __init__(self, path, parse, axes, voxels):
        image = parse(path) if voxels else nibabel.load(path)
        self._image = image if voxels else None
        shape, letters, dtype = image.shape, axes(image), image.get_data_dtype()
        self._parse, self._samples = parse, dtype.names  # of RGB24 and RGBA32: red, green, blue, alpha
        if self._samples:
            shape, letters, dtype = (*shape, min(len(dtype.names), 3)), letters + "c", dtype[0]
        super().__init__(path, shape, letters, dtype, image.affine)

    def load(self):
        """See StoredImage.

        Stored integers stay integers where the header scales nothing: a quarter of the memory, and labels stay labels.
        """
        image, self._image = self._image or self._parse(self.path), None
        scaled = (getattr(image.dataobj, "slope", 1), getattr(image.dataobj, "inter", 0)) != (1, 0)
        if scaled and not self._samples:
            return image.get_fdata(dtype=np.float32, caching="unchanged")
        array = np.asanyarray(image.dataobj)
        if not self._samples:
            return array
        array = np.stack([array[name] for name in self._samples], axis=-1)
        return without_alpha(array, self.path) if len(self._samples) == 4 else array


def load_nifti(path):
    """The nibabel image of a NIfTI file; a compressed one is unpacked whole, which also checks its checksum."""
    if not path.name.lower().endswith(".gz"):
        return with_voxels(nibabel.load(path), path.stat().st_size)
    raw = gzip.decompress(path.read_bytes())
    # The first number of the header is its size: 348 bytes for NIfTI-1, 540 for NIfTI-2, in either byte order.
    second = 540 in (int.from_bytes(raw[:4], order) for order in ("little", "big"))
    return with_voxels((nibabel.Nifti2Image if second else nibabel.Nifti1Image).from_bytes(raw), len(raw))


def with_voxels(image, size):
    """The image, if `size` bytes can hold its voxels.

    Nibabel would first fill as much memory as a damaged header asks for.
    """
    stored = image.dataobj
    needed = math.prod(int(n) for n in stored.shape) * stored.dtype.itemsize
    if needed > size:
        raise ValueError(f"Expected {needed} bytes of voxels, as its header says, got {size} with the header")
    return image


def full_affine(affine, ndim):
    """(4, 4) from (ndim + 1, ndim + 1); None is the identity."""
    full = np.eye(4)
    if affine is not None:
        full[:ndim, :ndim], full[:ndim, 3] = affine[:-1, :-1], affine[:-1, -1]
    return full


def _axes(image):
    letters = "xyztc???"[: len(image.shape)]
    if len(image.shape) == 4 and int(image.header["intent_code"]) in VECTORS:
        letters = "xyzc"
    return letters


def _open(path, *, kind, channels, voxels):
    return NibabelImage(path, load_nifti, _axes, voxels)


def _write(image, path, reference, affine):
    """Channels are a vector at each voxel: (x, y, z, 1, channels) with that intent."""
    *shape, channels = image.shape
    array = image.reshape(shape) if channels == 1 else image.reshape(*shape, *[1] * (4 - len(shape)), channels)
    like = None if reference is None else nibabel.load(reference)
    if like is None or isinstance(like, nibabel.MGHImage):
        written = nibabel.Nifti1Image(array, full_affine(affine, len(shape)))
        written.header.set_xyzt_units("mm" if affine is not None else "unknown")
    else:
        header = copy.deepcopy(like.header)
        header.set_data_dtype(array.dtype)
        header["cal_min"] = header["cal_max"] = 0  # the window of another image's intensities
        header.set_intent("none")
        written = type(like)(array, like.affine, header)
    if channels > 1:
        written.header.set_intent(VECTOR)
    nibabel.save(written, path)


NIFTI = Format(
    name="a NIfTI image",
    suffixes=(".nii.gz", ".nii"),
    axes="x, y, z, time, channels",
    open=_open,
    write=_write,
    written=(".nii.gz", ".nii"),
    # It has 64-bit integers too, which few programs read.
    dtypes={None: ("uint8", "int8", "int16", "uint16", "int32", "uint32", "float32", "float64")},
    world=True,
    result=".nii.gz",
)
