"""Where the pages of a TIFF file lie, and one of them as a file of its own.

Pillow and libtiff walk through the pages of a file to come to one of them, so that the time for a stack grows with the
square of their number: 14 ms a page among 1000 (256 x 256, LZW), of which 0.6 ms are its own.
"""

import itertools
import os
import struct
import threading

# Bytes of a number, by the code of its type: bytes, text, shorts, longs, fractions, floats; 16 to 18 are BigTIFF's.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGERS = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
STRIPS, TILES = (273, 279), (324, 325)  # tags: where the strips or tiles of pixels are, and how many bytes each has
# Tags that say how pixels are stored: size, bits, compression and its tables, colours and their map, samples.
PIXELS = {256, 257, 258, 259, 262, 266, 274, 277, 278, 284, 292, 293, 317, 320, 322, 323, 338, 339, 347, 529, 530}
PIXELS |= {531, 532, *STRIPS, *TILES}
COMPRESSION, OLD_JPEG = 259, 6  # whose tables lie elsewhere in the file


class TiffPages:
    """An open TIFF file, and where its pages begin; `len` is their number. Any thread may read.

    Raises:
        EOFError: a file that ends before its last page. (Pillow would warn, and leave the pages out.)
        KeyError: no TIFF file.
    """

    def __init__(self, path):
        # Without a buffer, and so without its lock, which a forked process could find closed for ever.
        self._file, self._lock = open(path, "rb", buffering=0), threading.Lock()
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            self._head = self._read(0, 4)
            self._order = {b"II": "<", b"MM": ">"}[self._head[:2]]
            self._big = self._numbers("H", 2)[0] == 43  # BigTIFF has wider numbers
            self._head = self._read(0, 8) if self._big else self._head
            self._offset, self._count, self._word = ("Q", "Q", 8) if self._big else ("I", "H", 4)
            self._pages = list(self._chain())
        except BaseException:
            self.close()
            raise

    def __len__(self):
        return len(self._pages)

    def alone(self, number, *, pixels=True):
        """The bytes of a TIFF file with this page alone, as it is stored.

        Args:
            number: of the page, from 0.
            pixels: False leaves out what can be decoded; the tags are there.

        Returns:
            Bytes; None where a page cannot be taken out of its file.

        Raises:
            IndexError: no such page.
            EOFError: its pixels are not all there.
        """
        tags, content = self._tags(self._pages[number]), bytearray(self._head + bytes(self._word))
        if self._integers(tags.get(COMPRESSION, (3, 1, bytes(2)))) == [OLD_JPEG]:
            return None
        for offsets, counts in (STRIPS, TILES):
            if offsets in tags:
                if counts not in tags:
                    return None
                places = self._copied(self._integers(tags[offsets]), self._integers(tags[counts]), content, pixels)
                kind = 16 if self._big else 4
                tags[offsets] = kind, len(places), self._packed(f"{len(places)}{INTEGERS[kind]}", *places)
        directory = bytearray(self._packed(self._count, len(tags)))
        for tag, (kind, count, value) in sorted(tags.items()):
            if len(value) > self._word:
                content += bytes(len(content) % 2)
                content, value = content + value, self._packed(self._offset, len(content))
            directory += self._packed(f"HH{self._offset}", tag, kind, count) + value.ljust(self._word, b"\0")
        content += bytes(len(content) % 2)
        content[len(self._head) : len(self._head) + self._word] = self._packed(self._offset, len(content))
        return bytes(content + directory + bytes(self._word))

    def close(self):
        """Close the file."""
        self._file.close()

    def _chain(self):
        """The places of the pages: (number of tags, tags, place of the next page or 0)."""
        (place,), seen = self._numbers(self._offset, len(self._head)), set()
        while place and place not in seen:
            yield place
            seen.add(place)
            (count,) = self._numbers(self._count, place)
            end = place + struct.calcsize(self._count) + count * (4 + 2 * self._word)
            (place,) = self._numbers(self._offset, end)

    def _tags(self, place):
        """{tag: (type, count, bytes of the value)} of a page, of those in PIXELS."""
        (count,), found = self._numbers(self._count, place), {}
        size = 4 + 2 * self._word
        content = self._read(place + struct.calcsize(self._count), count * size)
        for start in range(0, len(content), size):
            tag, kind, count = struct.unpack_from(f"{self._order}HH{self._offset}", content, start)
            if tag in PIXELS and kind in SIZES:
                value, length = content[start + 4 + self._word : start + size], count * SIZES[kind]
                if length > self._word:
                    value = self._read(struct.unpack(self._order + self._offset, value)[0], length)
                found[tag] = kind, count, value[:length]
        return found

    def _copied(self, offsets, counts, content, pixels):
        """The places in `content` to which the strips or tiles were copied, one behind the other."""
        if len(offsets) != len(counts) or sum(counts) > self._size:
            raise ValueError(f"{sum(counts)} bytes of pixels in {len(offsets)} pieces, and {len(counts)} sizes")
        if not pixels:
            return [0] * len(offsets)
        start, places = len(content), [0, *itertools.accumulate(counts)][:-1]
        if offsets == [offsets[0] + place for place in places]:  # as most programs write them
            content += self._read(offsets[0], sum(counts))
        else:
            for offset, count in zip(offsets, counts):
                content += self._read(offset, count)
        return [start + place for place in places]

    def _integers(self, tag):
        kind, count, value = tag
        return list(struct.unpack(f"{self._order}{count}{INTEGERS[kind]}", value))

    def _numbers(self, code, place):
        code = self._order + code
        return struct.unpack(code, self._read(place, struct.calcsize(code)))

    def _packed(self, code, *numbers):
        return struct.pack(self._order + code, *numbers)

    def _read(self, place, size):
        """Bytes of the file, all that are asked for."""
        if place + size > self._size:
            raise EOFError(f"{size} bytes from {place} on, in a file of {self._size}")
        content = bytearray()
        with self._lock:
            self._file.seek(place)
            while len(content) < size:
                piece = self._file.read(size - len(content))
                if not piece:  # cut since it was opened
                    raise EOFError(f"{size} bytes from {place} on")
                content += piece
        return bytes(content)
