"""A stack is opened a few times, not once a page; whatever thread or process reads, the pages are right."""

import builtins
import gc
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import nibabel
import numpy as np
import pytest
from writers import noise, write_any, write_pages

from deepsim_tf.data import from_csv
from deepsim_tf.formats import OpenFiles, read_volume

PAGES = noise((60, 8, 9), seed=3)


@pytest.fixture
def stack(tmp_path):
    return write_pages(tmp_path / "a.tif", PAGES, compression="tiff_lzw")


@pytest.fixture
def opened(monkeypatch):
    """The names of the files that are opened, one each time."""
    names, really = [], builtins.open
    monkeypatch.setattr(builtins, "open", lambda file, *a, **k: names.append(str(file)) or really(file, *a, **k))
    return names


def held(path):
    """How often this process holds a file open."""
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return sum(os.path.exists(link) and os.path.samefile(link, path) for link in links)


def test_a_stack_is_not_opened_anew_for_each_page(stack, opened):
    (stack.parent / "own.csv").write_text("image\na.tif\n")
    images = from_csv(stack.parent / "own.csv", slices=True, intensity="fixed:0:256", cache=None)
    images.check()
    assert len(images) == 60 and 0 < opened.count(str(stack)) < 10
    opened.clear()
    for number in np.random.default_rng(0).permutation(60):
        np.testing.assert_array_equal(images[number][0][..., 0], PAGES[number] / np.float32(256))
    assert 0 < opened.count(str(stack)) < 5


@pytest.mark.parametrize("suffix", [".tif", ".nii.gz", ".mgz", ".npy", ".npz"])
def test_threads_get_the_right_pages(tmp_path, suffix):
    path, files = write_any(tmp_path / f"a{suffix}", PAGES), OpenFiles()
    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(60), 3))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: read_volume(path, page=number, files=files), numbers))
    np.testing.assert_array_equal(np.stack(found)[..., 0], PAGES[numbers])


def test_a_compressed_volume_is_unpacked_once(tmp_path, monkeypatch):
    path, files, calls = write_any(tmp_path / "a.nii.gz", PAGES), OpenFiles(), []
    really = nibabel.Nifti1Image.from_bytes
    monkeypatch.setattr(nibabel.Nifti1Image, "from_bytes", lambda raw: calls.append(1) or really(raw))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: read_volume(path, page=number, files=files), range(60)))
    assert len(calls) == 1


def test_unpacked_voxels_and_open_files_are_bounded(tmp_path):
    paths = [write_any(tmp_path / f"{name}.nii.gz", PAGES) for name in "abcd"]
    stacks = [write_any(tmp_path / f"{name}.tif", PAGES) for name in "abcd"]
    files = OpenFiles(most=3, memory=2 * PAGES.nbytes)
    for path in paths:
        read_volume(path, page=1, files=files)
    assert sum(entry.image.kept for entry in files._entries.values()) == 2 * PAGES.nbytes
    for path in stacks:
        read_volume(path, page=1, files=files)
    assert [held(path) > 0 for path in stacks] == [False, True, True, True]


def test_files_are_closed_after_a_pass_and_when_nobody_holds_them(stack):
    (stack.parent / "own.csv").write_text("image\na.tif\n")
    images = from_csv(stack.parent / "own.csv", slices=True, cache=None)
    images[3]
    assert held(stack) == 1
    images.check()
    assert held(stack) == 0
    images[3]
    del images
    gc.collect()
    assert held(stack) == 0


def test_a_file_that_fails_is_closed(stack):
    files = OpenFiles()
    with pytest.raises(ValueError, match="there is no page 60"):
        read_volume(stack, page=60, files=files)
    assert held(stack) == 0


def test_a_file_that_was_changed_is_opened_anew(stack):
    files = OpenFiles()
    np.testing.assert_array_equal(read_volume(stack, page=5, files=files)[..., 0], PAGES[5])
    write_pages(stack, PAGES[::-1].copy(), compression="tiff_lzw")
    os.utime(stack, ns=(time.time_ns(), time.time_ns() + 1))
    np.testing.assert_array_equal(read_volume(stack, page=5, files=files)[..., 0], PAGES[-6])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork")  # threads are there: TensorFlow's
def test_a_forked_process_opens_its_own(stack):
    files, stop = OpenFiles(), threading.Event()

    def read():
        while not stop.is_set():
            read_volume(stack, page=7, files=files)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if not child:  # whatever the parent's thread held at that moment
                right = all(
                    np.array_equal(read_volume(stack, page=k, files=files)[..., 0], PAGES[k]) for k in range(60)
                )
                os._exit(0 if right else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        thread.join()
