"""Files that are whole or not there, and the versions that are written beside them."""

import contextlib
import errno
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
from importlib import metadata

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, larger than the file system or a limit allows


@contextlib.contextmanager
def written_aside(path):
    """A temporary path beside `path` that takes its name when the block ends well, and vanishes otherwise.

    What was written is on the disk before it takes the name: a power cut leaves the old file or the new one, never an
    empty one. What a killed process leaves behind is a hidden folder, which `remove_leftovers` removes.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the message names `path`, which stays as it was.

    Example:
        >>> with written_aside("runs/a/pairs.csv") as aside:
        ...     table.to_csv(aside)
    """
    path = pathlib.Path(path)
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # In a folder of its own, because Keras insists on the ending of a file's name.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", suffix=".aside", dir=path.parent) as folder:
            aside = pathlib.Path(folder) / path.name
            yield aside
            for written in (aside, *aside.rglob("*")):
                _sync(written)
            os.replace(aside, path)
            _sync(path.parent)


def leftovers(path):
    """What processes that were killed while they wrote `path` left beside it; its name may be a pattern."""
    path = pathlib.Path(path)
    return sorted(path.parent.glob(f".{path.name}-*.aside"))


def remove_leftovers(path):
    """Remove `leftovers(path)`."""
    for folder in leftovers(path):
        shutil.rmtree(folder, ignore_errors=True)


def versions():
    """Versions of what computes the numbers."""
    names = ("deepsim_tf", "tensorflow", "keras", "voxelmorph", "neurite", "numpy")
    found = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def commit():
    """The git commit of this package where it lies in a checkout, else None."""
    here = pathlib.Path(__file__).resolve().parent
    try:
        result = subprocess.run(
            ["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 and (here.parent / ".git").exists() else None


@contextlib.contextmanager
def _named(path):
    """Name the file that found no space.

    Python names none for a write, and HDF5's errors are long and without a number.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL and not error.filename:
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from None
        raise


def _sync(path):
    """Wait until a file or folder is on the disk; an error of the disk may show only here."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # a folder, where the system opens none
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # file systems that cannot do it for a folder, or at all
            raise
    finally:
        os.close(descriptor)
