"""NumPy's npy and npz files: arrays that do not say what their axes are."""

import math

import numpy as np

from deepsim_tf.formats.format import Format, StoredImage, UnsuitableError

# Names of the arrays in an .npz that holds several: ours, and VoxelMorph's.
NPZ_NAMES = {"image": ("image", "vol"), "labels": ("labels", "seg")}
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpyArray(StoredImage):
    """An .npy file. Its pages are read by themselves, where they lie one behind the other."""

    def __init__(self, path, *, kind, channels, voxels):
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version not in HEADERS:
                raise ValueError(f"version {version} of the format")
            shape, self._fortran, dtype = HEADERS[version](file)
            self._offset = file.tell()
        if dtype.hasobject:
            raise ValueError("it holds pickled objects")
        needed, size = self._offset + math.prod(shape) * dtype.itemsize, path.stat().st_size
        if needed > size:
            raise ValueError(f"Expected {needed} bytes, as its header says, got {size}")
        super().__init__(path, shape, _axes(path, shape, channels), dtype)

    def load(self):
        """See StoredImage."""
        return np.load(self.path, allow_pickle=False)

    def read(self, page=None):
        """See StoredImage."""
        if page is None or self._fortran or page >= self.shape[0]:
            return super().read(page)
        count = math.prod(self.shape[1:])
        offset = self._offset + page * count * self.dtype.itemsize
        return np.fromfile(self.path, self.dtype, count, offset=offset).reshape(self.shape[1:]), self.axes[1:]


class NpzArray(StoredImage):
    """The array of an .npz file."""

    def __init__(self, path, *, kind, channels, voxels):
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in NPZ_NAMES[kind] if name in file.files]
            names = names or (file.files if len(file.files) == 1 else [])
            if not names:
                expected = f"Expected one array, or one named {' or '.join(NPZ_NAMES[kind])}"
                raise UnsuitableError(f"{path} holds the arrays {file.files}. {expected}.")
            array = file[names[0]]
        super().__init__(path, array.shape, _axes(path, array.shape, channels), array.dtype)
        self._voxels = array

    def load(self):
        """See StoredImage."""
        return self._voxels


def _axes(path, shape, channels):
    """The letters of an array's axes: spatial ones, and behind them channels where somebody says that there are any."""
    spatial = len(shape) - (channels is not None and channels > 1)
    if spatial < len(shape) and (not shape or shape[-1] != channels):
        expected = f"{channels} channels on its last axis, as asked (channels={channels})"
        raise UnsuitableError(f"{path} holds an array of shape {shape}. Expected {expected}.")
    return "zyx"[max(3 - spatial, 0) :] + "?" * (spatial - 3) + "c" * (len(shape) - spatial)


def _write(image, path, reference, affine):
    np.save(path, image[..., 0] if image.shape[-1] == 1 else image)


NPY = Format(
    name="a NumPy array without pickled objects",
    suffixes=(".npy",),
    axes="spatial axes, channels",
    open=NpyArray,
    write=_write,
    written=(".npy",),
    result=".npy",
)
NPZ = Format(
    name="a NumPy array without pickled objects",
    suffixes=(".npz",),
    axes="spatial axes, channels",
    open=NpzArray,
    result=".npy",
)
