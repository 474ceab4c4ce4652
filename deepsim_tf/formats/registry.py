"""The formats of images, each once: reading, writing and every message look here."""

import contextlib
import os
from pathlib import Path

from deepsim_tf.formats.arrays import NPY, NPZ
from deepsim_tf.formats.format import UnsuitableError
from deepsim_tf.formats.mgz import MGZ
from deepsim_tf.formats.nifti import NIFTI
from deepsim_tf.formats.pages import PNG, TIFF

FORMATS = (NIFTI, MGZ, TIFF, PNG, NPY, NPZ)


def suffixes(*, written=False):
    """The endings of the files that are read, or that are written."""
    return tuple(suffix for known in FORMATS for suffix in (known.written if written else known.suffixes))


def suffix_of(path, *, written=False):
    """The ending of an image file's name, in lower case, with the .nii of .nii.gz.

    Args:
        path: of the file.
        written: True for a file to write, whose format must be one that is written.

    Raises:
        ValueError: another one.
    """
    name, expected = Path(path).name.lower(), suffixes(written=written)
    found = next((suffix for suffix in expected if name.endswith(suffix)), None)
    if found is None:
        raise ValueError(f"Cannot write {path}: expected a name that ends in {', '.join(expected)}.")
    return found


def format_of(suffix):
    """The Format of an ending that `suffix_of` gives."""
    return next(known for known in FORMATS if suffix in known.suffixes)


@contextlib.contextmanager
def readable(path):
    """(path, Format) of a file; whatever a library raises about it becomes a ValueError that names it."""
    path = Path(path)
    name = path.name.lower()
    suffix = next((suffix for suffix in suffixes() if name.endswith(suffix)), None)
    if suffix is None:
        raise ValueError(
            f"Cannot read {path}: expected a file that ends in {', '.join(suffixes())}. Received:"
            f" {path.suffix or 'no ending'}."
        )
    if not os.path.isfile(path):  # False too for a name that no system takes, where Path.is_file raises OSError
        raise ValueError(f"No file {path}. Expected an image there; check the folder's name.")
    try:
        yield path, format_of(suffix)
    except UnsuitableError:
        raise
    except Exception as error:  # libraries meet damaged files with OSError, SyntaxError, KeyError, struct.error, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"Cannot read {path} ({path.stat().st_size} bytes): expected {format_of(suffix).name}."
            f" The file seems truncated or damaged, or is no such image: copy it again. ({reason})"
        ) from error
