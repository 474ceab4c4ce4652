"""A folder as cache: it never gives what the files do not hold, whatever happened to either."""

import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from places import ROOT
from writers import blob, noise, write_nifti

import deepsim_tf.data.image_set
from deepsim_tf.data import ImageSet, from_csv
from deepsim_tf.data.folder_cache import FolderCache

SHAPE = (6, 7, 8)


class Counted:
    """A cache of one image behind files, and how often it was loaded."""

    def __init__(self, folder, settings="minmax"):
        self.source, self.cache, self.loads = folder / "a.nii.gz", FolderCache(folder / "cache", settings), 0
        if not self.source.exists():
            self.source.write_bytes(b"some bytes")

    def load(self):
        self.loads += 1
        return noise((*SHAPE, 1), "float32", seed=self.loads), blob(SHAPE, 3).astype(np.int32)

    def fetch(self, name="s1/a"):
        return self.cache.fetch(name, [self.source], self.load)

    @property
    def entries(self):
        return sorted(self.cache.folder.parent.rglob("*.npz"))


def test_an_entry_is_read_instead_of_the_file(tmp_path):
    first, again = Counted(tmp_path), Counted(tmp_path)  # the next run
    image, labels = first.fetch()
    for found in (first.fetch(), again.fetch()):
        np.testing.assert_array_equal(found[0], image)
        np.testing.assert_array_equal(found[1], labels)
        assert (found[0].dtype, found[1].dtype) == (np.float32, np.int32)
    assert (first.loads, again.loads, len(first.entries)) == (1, 0, 1)


@pytest.mark.parametrize("highest", [0, 1, 255, 256, 70000])
def test_labels_of_any_height_come_back(tmp_path, highest):
    cache, labels = Counted(tmp_path), np.array([[0, highest]], np.int32)
    for _ in range(2):
        found = cache.cache.fetch("a", [cache.source], lambda: (np.ones((1, 2, 1), np.float32), labels))[1]
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, labels)


def test_an_image_without_labels_stays_without(tmp_path):
    cache = Counted(tmp_path)
    for _ in range(2):
        assert cache.cache.fetch("a", [cache.source], lambda: (np.ones((1, 2, 1), np.float32), None))[1] is None


def grow(path):
    status = path.stat()
    path.write_bytes(b"some other bytes")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def touch(path):
    status = path.stat()
    path.write_bytes(b"other byte")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [grow, touch])
def test_a_changed_file_is_read_again_and_its_old_entry_removed(tmp_path, change):
    cache = Counted(tmp_path)
    before, other = cache.fetch()[0], cache.fetch("s1/b")[0]
    change(cache.source)
    assert not np.array_equal(cache.fetch()[0], before)
    assert cache.loads == 3 and len(cache.entries) == 2  # that of s1/b is of another image
    assert not np.array_equal(cache.fetch("s1/b")[0], other)


def test_names_that_are_alike_and_settings_do_not_mix(tmp_path):
    one, two = Counted(tmp_path), Counted(tmp_path, "quantile")
    images = [one.fetch("s1/a")[0], one.fetch("s1_a")[0], one.fetch("x" * 80 + "s1/a")[0]]
    assert one.loads == 3 and not np.array_equal(images[0], images[1])
    two.fetch("s1/a")
    assert two.loads == 1 and len(one.entries) == 4


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_entry_is_made_again(tmp_path, seed):
    cache = Counted(tmp_path)
    image, labels = cache.fetch()
    entry, rng = cache.entries[0], np.random.default_rng(seed)
    content = entry.read_bytes()
    position = rng.integers(len(content), size=60)
    damaged = [content[:p] for p in position] + [
        content[:p] + bytes([content[p] ^ (1 << p % 8)]) + content[p + 1 :] for p in position
    ]
    directory = content.index(b"PK\x01\x02")  # zip's list of names has no checksum
    damaged += [
        content[:p] + bytes([content[p] ^ 1]) + content[p + 1 :] for p in range(directory + seed, len(content), 4)
    ]
    for bytes_ in (b"", b"no archive", *damaged):
        entry.write_bytes(bytes_)
        found = cache.cache.fetch("s1/a", [cache.source], lambda: (image, labels))
        np.testing.assert_array_equal(found[0], image)
        np.testing.assert_array_equal(found[1], labels)


def test_an_array_under_the_entrys_name_is_made_again(tmp_path):
    cache = Counted(tmp_path)
    cache.fetch()
    np.save(cache.entries[0].open("wb"), np.ones(3))
    cache.fetch()
    assert cache.loads == 2


WRITER = """
import pathlib, sys, types
import numpy as np
for name in ("deepsim_tf", "deepsim_tf.data"):  # without what they import: TensorFlow takes seconds
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [name.replace(".", "/")]
from deepsim_tf.data.folder_cache import FolderCache
source = pathlib.Path(sys.argv[1])
print("ready", flush=True)
for number in range(10**6):
    image = np.full((64, 64, 64, 1), number, np.float32)
    FolderCache(source.parent / "cache", "minmax").fetch(f"image {number}", [source], lambda: (image, None))
    print(number, flush=True)
"""


def test_a_kill_while_writing_leaves_no_entry_that_is_wrong(tmp_path, monkeypatch):
    source = tmp_path / "a.nii.gz"
    source.write_bytes(b"some bytes")
    for delay in np.random.default_rng(0).uniform(0, 0.04, 8):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(source)], stdout=subprocess.PIPE, cwd=ROOT)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        written = process.communicate()[0].count(b"\n")
        cache, unwritten = FolderCache(tmp_path / "cache", "minmax"), (np.full((1, 1, 1, 1), -1, np.float32), None)
        for entry in cache.folder.glob("*.npz"):
            np.load(entry).close()  # whole, or not there
        for number in range(written + 3):
            found = cache.fetch(f"image {number}", [source], lambda unwritten=unwritten: unwritten)[0]
            assert np.all(found == number) or (number >= written and found is unwritten[0])
        shutil.rmtree(tmp_path / "cache")


@pytest.fixture
def table(tmp_path):
    write_nifti(tmp_path / "a.nii.gz", noise(SHAPE))
    write_nifti(tmp_path / "la.nii.gz", blob(SHAPE, 3))
    (tmp_path / "own.csv").write_text("image,labels\na.nii.gz,la.nii.gz\n")
    return tmp_path / "own.csv"


def entries(table):
    return len(list((table.parent / "cache").rglob("*.npz")))


def test_a_dataset_is_the_same_from_the_folder(table):
    plain = from_csv(table, cache=None)[0]
    for _ in range(2):
        for found, expected in zip(from_csv(table, cache=table.parent / "cache")[0], plain):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == expected.dtype and not found.flags.writeable
    assert entries(table) == 1


def test_every_way_of_reading_has_its_own_entry(table):
    cache = str(table.parent / "cache")
    variants = [
        {},
        {"intensity": "none"},
        {"label_map": {1: 1, 2: 1}},
        {"shape": (4, 4, 4), "fit": "pad"},
        {"shape": (4, 4, 4), "fit": "resample"},
    ]
    for variant in variants * 2:
        for found, expected in zip(
            from_csv(table, cache=cache, **variant)[0], from_csv(table, cache=None, **variant)[0]
        ):
            np.testing.assert_array_equal(found, expected)
    assert entries(table) == len(variants)


def test_a_downsampled_set_has_its_own_entries(table):
    images = from_csv(table, cache=str(table.parent / "cache"))
    coarse = images.downsampled(2)
    for _ in range(2):
        assert coarse[0][0].shape == (3, 3, 4, 1) and images[0][0].shape == (*SHAPE, 1)
    assert entries(table) == 2


def test_changed_labels_are_noticed_too(table):
    cache = table.parent / "cache"
    assert from_csv(table, cache=cache, classes=5)[0][1].max() == 2
    write_nifti(table.parent / "la.nii.gz", blob(SHAPE, 5))
    assert from_csv(table, cache=cache, classes=5)[0][1].max() == 4 and entries(table) == 1


def test_a_bad_file_leaves_no_entry(table):
    write_nifti(table.parent / "a.nii.gz", np.full(SHAPE, np.nan, np.float32))
    for _ in range(2):
        with pytest.raises(ValueError, match="a.nii.gz: expected finite intensities"):
            from_csv(table, cache=table.parent / "cache")[0]
    assert entries(table) == 0


@pytest.mark.parametrize(("memory", "cache"), [(2 * 8 * 42, "memory"), (2 * 8 * 42 - 1, None)])
def test_auto_keeps_in_memory_what_fits(monkeypatch, memory, cache):
    monkeypatch.setattr(
        deepsim_tf.data.image_set, "MEMORY", memory
    )  # bytes; two images of 42 voxels in float32 and int32
    images = ImageSet(
        lambda i: (np.ones((6, 7, 1), np.float32), None),
        "ab",
        name="toy",
        split="train",
        classes=None,
        shape=(6, 7),
        spacing=(1, 1),
        intensity="none",
        pairs=[],
        cache="auto",
    )
    assert images.cache == cache and images.cached == (cache == "memory")


def test_two_datasets_with_equal_names_and_settings_share_a_folder_in_peace(tmp_path):
    made = []

    def load():
        made.append(1)
        return np.zeros((2, 2, 1), np.float32), None

    for root in ("a", "b"):
        (tmp_path / root).mkdir()
        (tmp_path / root / "x.png").write_bytes(b"image")
    cache = FolderCache(tmp_path / "cache", "same settings")
    for root in ("a", "b", "a", "b"):
        cache.fetch("x.png", [tmp_path / root / "x.png"], load)
    assert len(made) == 2


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match=r"The cache .*file cannot be written \(Not a directory\). Expected a folder"):
        FolderCache(tmp_path / "file", "settings")
