"""What is known of an image format, and of one file in it before and after its voxels are read."""

import dataclasses
import threading
from collections.abc import Callable
from typing import NamedTuple

import nibabel
import numpy as np

AXES = {"x": "x", "y": "y", "z": "z", "t": "time", "c": "channels", "?": "unknown"}  # the letters of axes, in words


class UnsuitableError(ValueError):
    """A file that can be read, but holds no image of the kind that is asked for; the message names it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """One image format. To add one: a file with an `open` and a `write`, and an entry of `registry.FORMATS`.

    Attributes:
        name: what a message calls a file of it, with its article.
        suffixes: the endings of its files' names, in lower case.
        axes: the order in which its files store the axes of an image, in words.
        open: function `(path, *, kind, channels, voxels)` that returns a StoredImage; kind and channels as in
            `read_volume`, voxels: whether they will be read, not the header alone.
        write: function `(image (*spatial, channels), path, reference, affine)`; None where files are only read.
        written: the suffixes of the files that are written.
        dtypes: {number of channels: names of the dtypes that a file holds, narrow to wide}, None as a number: any
            other one. An image is widened to the first that holds it.
        planes: whether a file holds one plane alone, and no volume.
        world: whether the header says where the voxels lie.
        result: the suffix of results beside a reference file of this format.
    """

    name: str
    suffixes: tuple
    axes: str
    open: Callable
    write: Callable | None = None
    written: tuple = ()
    dtypes: dict = dataclasses.field(default_factory=dict)
    planes: bool = False
    world: bool = False
    result: str


class Header(NamedTuple):
    """What a file says about its image before the voxels are read."""

    shape: tuple  # spatial
    dtype: np.dtype  # of the stored numbers
    affine: np.ndarray | None  # (4, 4), voxel to world in mm; None where the format has none
    channels: int = 1

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


class StoredImage:
    """An opened image file: what its header says, and its voxels when they are asked for.

    Args:
        path: of the file.
        shape: of the array in the file.
        axes: what the axes of that array are, a letter each: "x", "y", "z" in the order in which they are kept, "c" for
            channels, "t" for time, "?" for what the file does not say.
        dtype: of the voxels.
        affine: (4, 4), voxel to world in mm, or None.

    Any thread may read from it.

    Attributes:
        kept: bytes of voxels that it keeps for its further pages.
    """

    def __init__(self, path, shape, axes, dtype, affine=None):
        self.path, self.axes, self.dtype, self.affine = path, axes, np.dtype(dtype), affine
        self.shape = tuple(int(n) for n in shape)  # an MGZ header has NumPy's integers
        self._voxels, self._lock = None, threading.Lock()

    @property
    def kept(self):
        """See the class."""
        return 0 if self._voxels is None else self._voxels.nbytes

    def load(self):
        """The whole array, of `shape`."""
        raise NotImplementedError

    def read(self, page=None):
        """`(array, axes)`: the whole, or one page, the first axis being the pages.

        Raises:
            ValueError: a page beyond the last one.
        """
        if page is None:
            return self.load(), self.axes
        if page >= self.shape[0]:
            raise ValueError(f"slice {page} of {self.shape[0]}")
        with self._lock:  # one thread unpacks, the others wait for it
            if self._voxels is None:
                self._voxels = self.load()
        return self._voxels[page], self.axes[1:]

    def close(self):
        """Let go of the file and of what is kept."""
        self._voxels = None


def without_alpha(array, path):
    """An array (.., samples) without its last sample, if that says that every pixel is opaque.

    Raises:
        UnsuitableError: transparent pixels: how to draw them is anybody's guess.
    """
    opaque = 255 if array.dtype == np.uint8 else 65535
    transparent = np.count_nonzero(array[..., -1] != opaque)
    if transparent:
        raise UnsuitableError(
            f"{path} has {transparent} pixels that are not opaque. Expected an image without transparency: save it"
            " without its alpha channel."
        )
    return array[..., :-1]
