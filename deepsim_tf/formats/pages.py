"""PNG and TIFF files to arrays, through Pillow: single pages and stacks.

Pillow reads them, because tifffile needs a further package for LZW, the usual compression of microscopy TIFFs, and
reports nothing when such a file is cut short.
"""

import struct

import numpy as np
from PIL import Image, UnidentifiedImageError

# Pillow's single-channel modes: bits, bytes, palette indices (label images), 16- and 32-bit integers, floats.
GREY_MODES = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
DTYPES = {"1": bool, "L": np.uint8, "P": np.uint8, "I": np.int32, "F": np.float32}  # else 16 bits


class UnsuitableError(ValueError):
    """A file that can be read, but is no 2-D or 3-D image of one channel; the message names it."""


def read_pages(path, page=None, kind="image"):
    """All pages (rows, columns) or (pages, rows, columns), or one page of several, as they are in the file."""
    _check_complete(path)
    with _open(path) as file:
        pages = []
        # One page is sought directly: to count the pages of a long stack, Pillow reads the headers of all of them.
        for number in range(getattr(file, "n_frames", 1)) if page is None else (page,):
            try:
                file.seek(number)
            except EOFError:
                raise ValueError(f"there is no page {number}") from None
            _check_mode(file, path)
            if kind == "image" and file.mode == "P":
                raise UnsuitableError(
                    f"{path} has indexed colours (mode P). Expected grey intensities: convert it first."
                )
            pages.append(_array(file))
    if len({array.shape for array in pages}) > 1:
        raise UnsuitableError(
            f"{path} has pages of shapes {[array.shape for array in pages]}. Expected pages (rows, columns) of one"
            " shape."
        )
    return pages[0] if len(pages) == 1 else np.stack(pages)


def pages_header(path):
    """(shape, dtype) of what `read_pages` returns, from the header alone."""
    _check_complete(path)
    with _open(path) as file:
        _check_mode(file, path)
        count = getattr(file, "n_frames", 1)
        shape = (file.height, file.width) if count == 1 else (count, file.height, file.width)
        return shape, _dtype(file)


def _open(path):
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        if path.read_bytes()[:2] not in (b"II", b"MM"):
            raise
        kinds = "8 or 16 bits, or 32-bit floats"
        raise UnsuitableError(
            f"Cannot read {path}: a TIFF of a kind that Pillow does not know, such as 64-bit floats. Save it with"
            f" {kinds}."
        ) from None


def _array(file):
    """The pixels of the current page; a view where Pillow takes unsigned for signed numbers, or the reverse."""
    array, dtype = np.asarray(file), _dtype(file)
    return array if array.dtype.kind == dtype.kind else array.view(dtype)


def _dtype(file):
    """The page's dtype: Pillow has one mode for signed and unsigned numbers, which TIFF tells apart."""
    tags = getattr(file, "tag_v2", {})
    bits, unsigned = tags.get(258, (8,))[0], tags.get(339, (1,))[0] == 1  # BitsPerSample, SampleFormat
    other = {("L", False): np.int8, ("I", True): np.uint32 if bits == 32 else np.int32}.get((file.mode, unsigned))
    return np.dtype(other or DTYPES.get(file.mode, np.uint16))


def _check_complete(path):
    """Raise where a file was cut after its pixels: Pillow would warn and return a stack without its last pages."""
    with open(path, "rb") as file:

        def number(position, code):
            file.seek(position)
            return struct.unpack(order + code, file.read(struct.calcsize(code)))[
                0
            ]  # struct.error at the end of the file

        start = file.read(4)
        if start[1:] == b"PNG":
            if b"IEND" not in file.read():
                raise EOFError("no end chunk")
        elif start[:2] in (b"II", b"MM"):
            order = "<" if start[:2] == b"II" else ">"
            # Pages are a chain: (entry count, entries, offset of the next page or 0). BigTIFF (43) has wider numbers.
            first, offset_code, count_code, entry = (8, "Q", "Q", 20) if number(2, "H") == 43 else (4, "I", "H", 12)
            page, seen = number(first, offset_code), set()
            while page and page not in seen:
                seen.add(page)
                page = number(page + struct.calcsize(count_code) + entry * number(page, count_code), offset_code)


def _check_mode(file, path):
    if file.mode not in GREY_MODES:
        raise UnsuitableError(
            f"{path} is a colour image (mode {file.mode}). Expected one grey channel: convert it first."
        )
