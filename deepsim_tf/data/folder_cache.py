"""A folder of decoded images: the second epoch, and the second run, read them without decompression."""

import contextlib
import hashlib
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np

from deepsim_tf.files import written_aside


class FolderCache:
    """Uncompressed .npz files, one an image, named after what they were made from.

    The name holds a digest of the settings and of each source file's path, size and time of change, so a file that was
    changed is read again, and its old entry removed. Entries are written aside and renamed: a kill leaves none
    half-written.

    Args:
        folder: where the entries go; several datasets may share it.
        settings: text that tells one way of reading the files from another.
    """

    def __init__(self, folder, settings):
        self.folder = Path(folder) / hashlib.sha256(settings.encode()).hexdigest()[:12]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            expected = "Expected a folder, or one that can be made (--cache)"
            raise ValueError(f"The cache {folder} cannot be written ({error.strerror}). {expected}.") from None
        for leftover in self.folder.glob(".*"):  # of a process that was killed while it wrote
            if time.time() - leftover.stat().st_mtime > 3600:
                shutil.rmtree(leftover, ignore_errors=True)

    def fetch(self, name, files, load):
        """`(image, labels or None)` from the cache, or from `load()`, whose result is kept."""
        entry = self._entry(name, files)
        # An entry that cannot be read, for whatever reason (absent, damaged, removed by another process), is made
        # again.
        with contextlib.suppress(Exception), np.load(entry, allow_pickle=False) as stored:
            image, labels = stored["image"], stored["labels"]
            return image, labels.astype(np.int32) if labels.size else None
        image, labels = load()
        # Labels as bytes, mostly: a quarter of the disk. No labels are an empty array: a damaged list of names does not
        # lose them.
        stored = np.empty(0, np.uint8) if labels is None else labels.astype(np.min_scalar_type(int(labels.max())))
        with written_aside(entry) as aside:
            np.savez(aside, image=image, labels=stored)
        for other in self.folder.glob(f"{entry.name.rpartition('-')[0]}-*.npz"):
            if other != entry:
                other.unlink(missing_ok=True)
        return image, labels

    def _entry(self, name, files):
        paths = [os.path.abspath(file) for file in files]
        stats = [(found.st_size, found.st_mtime_ns, found.st_ctime_ns) for found in map(os.stat, paths)]
        # Two names may be alike, of another dataset or after the replacement: what stays the same is the digest of the
        # paths, too.
        image, content = (hashlib.sha256(repr(key).encode()).hexdigest()[:12] for key in ((name, paths), stats))
        readable = re.sub(r"[^A-Za-z0-9.]+", "_", name)[-60:]
        return self.folder / f"{readable}-{image}-{content}.npz"
