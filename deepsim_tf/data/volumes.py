"""Image files to arrays: PNG and TIFF, single pages and stacks."""

import contextlib
import struct
from pathlib import Path

import numpy as np
from PIL import Image

SUFFIXES = (".png", ".tif", ".tiff")
# Pillow's single-channel modes: bits, bytes, palette indices (label images), 16- and 32-bit integers, floats.
GREY_MODES = ("1", "L", "P", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read_volume(path):
    """Read a PNG or TIFF file as it is: no rescaling, no channel axis.

    Pillow reads it, because tifffile needs a further package for LZW, the usual compression of
    microscopy TIFFs, and reports nothing when such a file is cut short.

    Args:
        path: file with one grey page, or a TIFF with several pages of equal size.

    Returns:
        Array (rows, columns), or (pages, rows, columns) for several pages, of the file's dtype.

    Raises:
        ValueError: missing, unreadable, truncated or coloured file, or pages that differ in size.
    """
    pages = []
    with _opened(path) as file:
        for page in range(getattr(file, "n_frames", 1)):
            file.seek(page)
            pages.append(np.asarray(file))
            _check_mode(file, path)
    if len({page.shape for page in pages}) > 1 or pages[0].ndim != 2:
        raise ValueError(f"{path} has pages of shapes {[page.shape for page in pages]}. Expected pages (rows, columns) of one shape.")
    return pages[0] if len(pages) == 1 else np.stack(pages)


def volume_shape(path):
    """The shape that `read_volume` will return, from the header alone; the same errors for a missing or unreadable file."""
    with _opened(path) as file:
        _check_mode(file, path)
        pages = getattr(file, "n_frames", 1)
        return (file.height, file.width) if pages == 1 else (pages, file.height, file.width)


@contextlib.contextmanager
def _opened(path):
    """The file in Pillow; whatever Pillow raises while it is open becomes a ValueError that names the file."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"Cannot read {path}: expected a file that ends in {', '.join(SUFFIXES)}. Received: {path.suffix or 'no ending'}.")
    if not path.is_file():
        raise ValueError(f"No file {path}. Expected an image there; check the folder's name.")
    try:
        _check_complete(path)
        with Image.open(path) as file:
            yield file
    except ColourError:
        raise
    except Exception as error:  # Pillow meets damaged files with OSError, EOFError, SyntaxError, TypeError, KeyError, struct.error, ...
        size = path.stat().st_size
        raise ValueError(
            f"Cannot read {path} ({size} bytes): expected a PNG or TIFF image. The file seems truncated or damaged: copy it again. ({error})"
        ) from error


def _check_complete(path):
    """Raise where a file was cut after its pixels: Pillow would warn and return a stack without its last pages."""
    with open(path, "rb") as file:

        def number(position, code):
            file.seek(position)
            return struct.unpack(order + code, file.read(struct.calcsize(code)))[0]  # struct.error at the end of the file

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


class ColourError(ValueError):
    """An image that can be read, but has several channels."""


def _check_mode(file, path):
    if file.mode not in GREY_MODES:
        raise ColourError(f"{path} is a colour image (mode {file.mode}). Expected one grey channel: convert it first.")
