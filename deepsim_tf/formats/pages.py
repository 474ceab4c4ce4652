"""PNG and TIFF files, through Pillow: single pages and stacks, grey or red-green-blue.

Pillow reads them, because tifffile needs a further package for LZW, the usual compression of microscopy TIFFs, and
reports nothing when such a file is cut short.
"""

import contextlib
import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from deepsim_tf.formats.format import Format, StoredImage, UnsuitableError, without_alpha
from deepsim_tf.formats.tiff_pages import TiffPages

# Pillow's modes with one sample a pixel: bits, bytes, palette indices (label images), 16- and 32-bit integers, floats.
GREY_MODES = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
COLOUR_MODES = {"LA": 2, "RGB": 3, "RGBA": 4}  # and how many samples a pixel they have; A is alpha
DTYPES = {"1": bool, "L": np.uint8, "P": np.uint8, "I": np.int32, "F": np.float32}  # of grey modes; else 16 bits
APART = "save each channel as a grey file of its own, and list them as one image (a.tif;b.tif)"


class Pages(StoredImage):
    """An opened PNG or TIFF file. A page of several is read by itself, whatever lies before it."""

    def __init__(self, path, *, kind, channels, voxels):
        self._kind, self._stack = kind, _stack(path)
        try:
            super().__init__(path, *self._header(path))
        except BaseException:
            self.close()
            raise

    def _header(self, path):
        """(shape, letters of the axes, dtype)."""
        with self._page(path, 0, pixels=False) as file:
            # What else has several pages is an animated PNG.
            count = getattr(file, "n_frames", 1) if self._stack is None else len(self._stack)
            letters, dtype = _page_header(file, path, self._kind)
            shape = (file.height, file.width, 3)[: len(letters)]
            return ((count, *shape), "z" + letters, dtype) if count > 1 else (shape, letters, dtype)

    @contextlib.contextmanager
    def _page(self, path, number, *, pixels=True):
        """Pillow's file of one page."""
        count = 1 if self._stack is None else len(self._stack)
        if self._stack is not None and number >= count:
            raise ValueError(f"there is no page {number}")
        alone = self._stack.alone(number, pixels=pixels) if count > 1 else None
        with _open_picture(path, path if alone is None else io.BytesIO(alone)) as file:
            try:
                file.seek(number if alone is None else 0)
            except EOFError:
                raise ValueError(f"there is no page {number}") from None
            yield file

    def load(self):
        """See StoredImage."""
        pages = [self.read(page)[0] for page in range(self.shape[0] if self.axes[0] == "z" else 1)]
        if len({page.shape for page in pages}) > 1:
            raise UnsuitableError(
                f"{self.path} has pages of shapes {[page.shape for page in pages]}. Expected pages (rows, columns) of"
                " one shape."
            )
        return np.stack(pages) if self.axes[0] == "z" else pages[0]

    def read(self, page=None):
        """See StoredImage. A file of one page is its page 0, too."""
        if page is None:
            return self.load(), self.axes
        with self._page(self.path, page) as file:
            letters, _ = _page_header(file, self.path, self._kind)
            return _array(file, self.path), letters

    def close(self):
        """See StoredImage."""
        if self._stack is not None:
            self._stack.close()


def _stack(path):
    """The pages of a TIFF; None of other files.

    Raises:
        EOFError: a file that was cut after its pixels, of which Pillow would say nothing.
    """
    with open(path, "rb") as file:
        start = file.read(4)
        if start[1:] == b"PNG" and b"IEND" not in file.read():
            raise EOFError("no end chunk")
    return TiffPages(path) if start[:2] in (b"II", b"MM") else None


def _open_picture(path, content):
    try:
        return Image.open(content)
    except UnidentifiedImageError:
        with open(path, "rb") as file:
            if file.read(2) not in (b"II", b"MM"):
                raise
        kinds = "8 or 16 bits, or 32-bit floats"
        raise UnsuitableError(
            f"Cannot read {path}: a TIFF of a kind that Pillow does not know, such as 64-bit floats. Save it with"
            f" {kinds}."
        ) from None


def _page_header(file, path, kind):
    """(letters of the axes, dtype) of the page at which Pillow's file stands, after a check that it holds them."""
    if file.mode not in GREY_MODES and file.mode not in COLOUR_MODES:
        raise UnsuitableError(
            f"{path} is a colour image (mode {file.mode}). Expected grey or red-green-blue: convert it first."
        )
    if kind == "image" and file.mode == "P":
        raise UnsuitableError(f"{path} has indexed colours (mode P). Expected grey intensities: convert it first.")
    _check_samples(file, path)
    if file.mode in GREY_MODES:
        return "yx", _grey_dtype(file)
    return "yxc" if file.mode in ("RGB", "RGBA") else "yx", np.dtype(np.uint8)


def _check_samples(file, path):
    """Refuse what Pillow would change without a word.

    It leaves out samples beyond its mode's and the low half of 16 bits a colour, and mixes up the bytes of compressed
    numbers (signed, of 32 bits, or floats) in the byte order MM.
    """
    expected = COLOUR_MODES.get(file.mode, 1)
    if hasattr(file, "tag_v2"):  # BitsPerSample, SamplesPerPixel
        bits, samples = max(file.tag_v2.get(258, (8,))), file.tag_v2.get(277, 1)
        if file.mode in ("I", "F") and file.tag_v2.prefix == b"MM" and file.tag_v2.get(259, 1) != 1:
            raise UnsuitableError(
                f"Cannot read {path}: a compressed TIFF of a kind whose bytes Pillow mixes up ({bits} bits, byte order"
                " MM). Save it without compression, or in the byte order II."
            )
    else:
        bits, samples = (_png_bits(path), expected) if file.format == "PNG" else (8, expected)
    if samples != expected:
        raise UnsuitableError(
            f"{path} has {samples} samples a pixel. Expected 1 (grey) or 3 (red, green, blue): {APART}."
        )
    if expected > 1 and bits > 8:
        raise UnsuitableError(
            f"{path} is a colour image of {bits} bits a channel, of which Pillow keeps 8. Expected 8: {APART}."
        )


def _png_bits(path):
    """Bits a sample of a PNG: the byte behind width and height in its first chunk."""
    with open(path, "rb") as file:
        return file.read(25)[24]


def _grey_dtype(file):
    """The page's dtype: Pillow has one mode for signed and unsigned numbers, which TIFF tells apart."""
    tags = getattr(file, "tag_v2", {})
    bits, unsigned = tags.get(258, (8,))[0], tags.get(339, (1,))[0] == 1  # BitsPerSample, SampleFormat
    other = {("L", False): np.int8, ("I", True): np.uint32 if bits == 32 else np.int32}.get((file.mode, unsigned))
    return np.dtype(other or DTYPES.get(file.mode, np.uint16))


def _array(file, path):
    """The pixels of the current page: (rows, columns), or (rows, columns, 3)."""
    if file.mode == "RGB" and "transparency" in file.info:  # one colour is transparent
        file = file.convert("RGBA")
    array = np.asarray(file)
    if file.mode in GREY_MODES:  # a view where Pillow takes unsigned for signed numbers, or the reverse
        dtype = _grey_dtype(file)
        return array if array.dtype.kind == dtype.kind else array.view(dtype)
    if file.mode.endswith("A"):
        array = without_alpha(array, path)
    return array[..., 0] if array.shape[-1] == 1 else array


def _write(image, path, reference, affine):
    """A plane as one page, a volume as a page for each plane along its first axis."""
    planes = image[None] if image.ndim == 3 else image  # (pages, rows, columns, channels)
    first, *others = [Image.fromarray(plane[..., 0] if plane.shape[-1] == 1 else plane) for plane in planes]
    first.save(path, **({"save_all": True, "append_images": others} if image.ndim == 4 else {}))


TIFF = Format(
    name="a PNG or TIFF image",
    suffixes=(".tif", ".tiff"),
    axes="pages, rows, columns, channels",
    open=Pages,
    write=_write,
    written=(".tif", ".tiff"),
    dtypes={1: ("uint8", "uint16", "int32", "float32"), 3: ("uint8",)},
    result=".tif",
)
PNG = Format(
    name="a PNG or TIFF image",
    suffixes=(".png",),
    axes="rows, columns, channels",
    open=Pages,
    write=_write,
    written=(".png",),
    dtypes={1: ("uint8", "uint16"), 3: ("uint8",)},
    planes=True,
    result=".tif",  # a PNG holds no floats
)
