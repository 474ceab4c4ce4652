"""Files that stay open between the reads of their pages."""

import collections
import contextlib
import os
import threading
import weakref


class OpenFiles:
    """A few image files that stay open between the reads of their pages.

    Opened anew for each page, a stack of n pages is walked through n times, and a compressed volume unpacked n times.
    Any thread may read. A file that was changed is opened anew, and a forked process opens its own. They are closed by
    `close`, and when nobody holds this object any more.

    Args:
        most: how many files may wait open for their next page.
        memory: bytes of unpacked voxels that they may keep together; one alone may keep more.
    """

    def __init__(self, most=16, memory=2**29):
        self._most, self._memory, self._lock = most, memory, threading.Lock()
        self._entries = collections.OrderedDict()  # {key: _Entry}, the last used last
        weakref.finalize(self, _close_all, self._entries)
        _ALL.add(self)

    @contextlib.contextmanager
    def lent(self, path, key, open_image):
        """The opened image of a file, from `open_image()` where it is not open; closed after an error.

        Args:
            path: of the file.
            key: what tells one way of opening it from another.
            open_image: function that returns a StoredImage.
        """
        stat = os.stat(path)
        key = (os.fspath(path), key, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            entry = self._entries.get(key) or _Entry(open_image())
            self._entries[key] = entry
            self._entries.move_to_end(key)
            entry.users += 1
        try:
            yield entry.image
        except BaseException:
            self._returned(key, entry, keep=False)
            raise
        self._returned(key, entry, keep=True)

    def close(self):
        """Close all files, those that a thread reads from as soon as it has read. They are opened again on demand."""
        with self._lock:
            _close_all(self._entries)

    def _returned(self, key, entry, *, keep):
        with self._lock:
            entry.users -= 1
            if not keep and self._entries.get(key) is entry:
                del self._entries[key]
            if self._entries.get(key) is not entry:
                entry.close_if_idle()
            while len(self._entries) > 1 and self._too_much():
                self._entries.popitem(last=False)[1].close_if_idle()

    def _too_much(self):
        kept = sum(entry.image.kept for entry in self._entries.values())
        return len(self._entries) > self._most or kept > self._memory

    def _forget(self):
        """In a forked process: the files are the parent's, and whoever holds the lock is not here."""
        self._lock = threading.Lock()
        self._entries.clear()


class _Entry:
    """An opened image, and how many threads read from it."""

    def __init__(self, image):
        self.image, self.users = image, 0

    def close_if_idle(self):
        """Close it now, or leave it to the last thread that reads from it."""
        if not self.users:
            self.image.close()


def _close_all(entries):
    while entries:
        entries.popitem()[1].close_if_idle()


def _forget_all():
    for files in list(_ALL):
        files._forget()


_ALL = weakref.WeakSet()
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_forget_all)
