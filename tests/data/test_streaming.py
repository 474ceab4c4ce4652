"""A set that is larger than the memory: an epoch over many files needs no more of it than one over a few."""

import os
from pathlib import Path

import nibabel
import numpy as np

import deepsim_tf as ds
from deepsim_tf.data import image_set

VOLUME = np.random.default_rng(0).integers(0, 255, (24, 24, 24)).astype(np.uint8)  # as an image and its labels: 0.1 MiB


def links(root, count):
    """The brain layout with `count` links to one subject."""
    for folder in ("atlas", "one"):
        (root / folder).mkdir()
        nibabel.save(nibabel.Nifti1Image(VOLUME, np.eye(4)), root / folder / "brain_aligned.nii.gz")
        nibabel.save(nibabel.Nifti1Image(VOLUME % 5, np.eye(4)), root / folder / "seg_coalesced_aligned.nii.gz")
    (root / "data").mkdir()
    names = [f"s{number:04d}" for number in range(count)]
    for name in names:
        (root / "data" / name).symlink_to(root / "one")
    (root / "metadata.csv").write_text("subject_id,SPLIT\n" + "".join(f"{name},train\n" for name in names))
    return root


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_memory_does_not_grow_with_the_number_of_files(tmp_path, monkeypatch):
    monkeypatch.setattr(image_set, "MEMORY", 2**20)
    images = ds.data.brain_mri(links(tmp_path, 1500), "train")
    assert images.cache is None  # beyond what "auto" keeps in memory
    used = {}
    for number, _ in enumerate(ds.data.registration_dataset(images, 1, training=True)):
        if number in (300, 1499):
            used[number] = resident()
    assert number == 1499
    assert used[1499] - used[300] < 30, used  # the images between, in memory, would be 130 MiB
