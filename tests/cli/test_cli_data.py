"""The commands that fetch, prepare and check data."""

import dataclasses

import deepsim_tf as ds  # isort: skip
import nibabel as nib
import numpy as np
import pytest

from deepsim_tf import recipes
from deepsim_tf.cli import main
from deepsim_tf.data.freesurfer import subject as freesurfer_subject
from deepsim_tf.data.sets import phc_u373

TALAIRACH = "MNI Transform File\nLinear_Transform =\n1 0 0 2\n0 1 0 -3\n0 0 1 4;\n"
AFFINE = np.array(
    [[-4, 0, 0, 78], [0, 0, 4, -125], [0, -4, 0, 95], [0, 0, 0, 1.0]]
)  # voxels of 4 mm over the common space
IDS = np.zeros((40, 48, 56), np.int32)
IDS[10:30, 12:30, 10:30], IDS[15:20, 20:25, 30:40] = 2, 17


@pytest.fixture
def subjects(tmp_path, monkeypatch):
    """Five FreeSurfer subjects, the last one damaged, and a common space of 4 mm."""
    monkeypatch.setattr(freesurfer_subject, "GRID_SHAPE", (40, 48, 56))
    monkeypatch.setattr(freesurfer_subject, "GRID_AFFINE", freesurfer_subject.GRID_AFFINE @ np.diag([4, 4, 4, 1]))
    for number in range(5):
        folder = tmp_path / "subjects" / f"sub{number}" / "mri"
        (folder / "transforms").mkdir(parents=True)
        image = np.random.default_rng(number).integers(0, 110, IDS.shape).astype(np.uint8)
        nib.save(nib.MGHImage(image, AFFINE), folder / "norm.mgz")
        nib.save(nib.MGHImage(IDS, AFFINE), folder / "aseg.mgz")
        (folder / "transforms" / "talairach.xfm").write_text(TALAIRACH)
    (folder / "norm.mgz").write_bytes(b"cut")
    return tmp_path / "subjects"


def test_prepared_subjects_are_a_brain_dataset_and_the_bad_one_is_named(subjects, tmp_path, capsys):
    out = tmp_path / "brains"
    assert main(["prepare", "brain-mri", str(subjects), str(out), "--fractions", "0.5,0.5,0", "--verbose", "0"]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("deepsim: left out sub4: Cannot read") and len(printed.err.splitlines()) == 1
    assert "4 subjects are in" in printed.out and "as the atlas" in printed.out

    assert main(["check", "brain-mri", str(out), "--verbose", "0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "No problem found." and "test: none" in lines
    train, val = (ds.data.brain_mri(out, split) for split in ("train", "val"))
    assert (len(train) + len(val), train.shape, train.classes) == (3, (40, 48, 56), 24)
    assert set(np.unique(train[0][1])) == {0, 2, 14}  # cerebral white matter and hippocampus of the table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("prepare brain-mri /no/folder out", "No FreeSurfer subject in /no/folder."),
        (
            "prepare brain-mri /no/folder out --fractions a,b",
            "fractions must be three numbers, as in 0.6,0.2,0.2. Received: fractions=a,b.",
        ),
        ("prepare brain-mri", "Missing argument 'SUBJECTS_DIR'"),
        ("prepare lungs", "No such command 'lungs'"),
        ("download oasis out", "Unknown dataset 'oasis'. Available: phc-u373."),
        ("check oasis out", "Unknown dataset 'oasis'. Available: phc-u373,"),
        (
            "check hippocampus out --slices",
            "dataset 'hippocampus' has no option 'slices'. It belongs to dataset 'csv'.",
        ),
        ("check csv out.csv --shape a", "shape must be whole numbers. Received: shape=a."),
    ],
)
def test_wrong_arguments_are_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("deepsim: ") and words in error and len(error.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_a_download_says_so_in_one_line(tmp_path, capsys, monkeypatch):
    nowhere = dataclasses.replace(phc_u373.DOWNLOAD, url="http://127.0.0.1:9/PhC-C2DH-U373.zip")
    entry = dataclasses.replace(recipes.DATASETS["phc-u373"], download=nowhere)
    monkeypatch.setitem(recipes.DATASETS, "phc-u373", entry)
    assert main(["download", "phc-u373", str(tmp_path), "--verbose", "0"]) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith("deepsim: Could not download http://127.0.0.1:9/")
        and "By hand: fetch" in error
        and len(error.splitlines()) == 1
    )
    assert list(tmp_path.iterdir()) == []
