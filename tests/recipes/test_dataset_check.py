"""`deepsim check`: everything that is wrong, at once, in the loaders' own words."""

import json

import numpy as np
import pytest
from PIL import Image
from writers import blob, noise, write_nifti, write_pages

from deepsim_tf import data
from deepsim_tf.cli import main
from deepsim_tf.recipes.check import check_dataset

SHAPE = (6, 8, 7)
IMAGE, LABELS = "brain_aligned.nii.gz", "seg_coalesced_aligned.nii.gz"


def check(capsys, *arguments):
    """(exit code, lines) of the command."""
    code = main(["check", *map(str, arguments), "--verbose", "0"])
    captured = capsys.readouterr()
    return code, captured.out.splitlines() or captured.err.splitlines()


def write_subject(folder, seed, image=None, labels=None, **options):
    write_nifti(folder / IMAGE, noise(SHAPE, seed=seed) if image is None else image, **options)
    write_nifti(folder / LABELS, blob(SHAPE, 24) if labels is None else labels, **options)


@pytest.fixture
def brains(tmp_path):
    write_subject(tmp_path / "atlas", 0)
    for number in range(1, 10):
        write_subject(tmp_path / "data" / f"S{number}", number)
    (tmp_path / "metadata.csv").write_text(
        "subject_id,SPLIT\n" + "".join(f"S{k},{'train' if k < 7 else 'val'}\n" for k in range(1, 10))
    )
    return tmp_path


def test_a_good_folder_has_no_problem_and_an_absent_split_is_none(brains, capsys):
    code, lines = check(capsys, "brain-mri", brains)
    assert code == 0
    assert lines == [
        "train: 6 images of 6 x 8 x 7, 6 pairs, 24 classes, intensity fixed:0:128",
        "val: 3 images of 6 x 8 x 7, 3 pairs, 24 classes, intensity fixed:0:128",
        "test: none",
        "No problem found.",
    ]


def test_every_problem_of_a_folder_is_listed_in_one_line_each(brains, capsys):
    subjects = brains / "data"
    content = (subjects / "S1" / IMAGE).read_bytes()
    (subjects / "S1" / IMAGE).write_bytes(content[: len(content) // 2])
    write_subject(subjects / "S2", 2, image=noise((*SHAPE, 3)))
    write_nifti(subjects / "S3" / LABELS, blob(SHAPE, 24), origin=(0, 0, 2))
    write_nifti(subjects / "S4" / LABELS, blob(SHAPE, 30))
    write_nifti(subjects / "S5" / LABELS, blob(SHAPE, 3) * np.float32(0.4))
    write_nifti(subjects / "S6" / LABELS, np.zeros(SHAPE, np.uint8))
    write_nifti(subjects / "S7" / IMAGE, np.full(SHAPE, np.nan, np.float32))
    write_nifti(subjects / "S8" / IMAGE, np.full(SHAPE, 3, np.uint8))
    write_nifti(subjects / "S9" / LABELS, blob((5, 8, 7)))
    with open(brains / "metadata.csv", "a") as metadata:
        metadata.write("S1,val\nS10,val\nS11,dev\n")
    code, lines = check(capsys, "brain-mri", brains)
    expected = [
        f"Cannot read {subjects}/S1/{IMAGE} ({len(content) // 2} bytes): expected a NIfTI image.",
        f"{subjects}/S2/{IMAGE} holds an array of shape (6, 8, 7, 3).",
        f"{subjects}/S3/{IMAGE} and {subjects}/S3/{LABELS} have different affines",
        f"{subjects}/S4/{LABELS}: expected labels from 0 to 23 (24 classes). Received: up to 29.",
        f"{subjects}/S5/{LABELS}: expected whole numbers as labels.",
        f"{subjects}/S6/{LABELS}: expected labels above 0.",
        f"{subjects}/S7/{IMAGE}: expected finite intensities. Received: 336 voxels",
        f"{subjects}/S8/{IMAGE}: expected an image with contrast. Received: 3 in every voxel.",
        f"{subjects}/S9/{IMAGE} has shape (6, 8, 7), its labels {subjects}/S9/{LABELS} (5, 8, 7).",
        f"{brains}/metadata.csv lists subject 'S1' more than once.",
        f"{brains}/metadata.csv lists subject 'S10', and there is no folder {subjects}/S10.",
        f"{brains}/metadata.csv has the unknown split 'dev' for subject 'S11'.",
    ]
    problems = lines[lines.index("12 problems:") + 1 :]
    assert code == 2 and len(problems) == 12
    for sentence in expected:
        assert sum(problem.startswith(f"  {sentence}") for problem in problems) == 1, sentence


def test_the_command_says_what_the_loader_says(brains, capsys):
    write_nifti(brains / "data" / "S4" / IMAGE, np.full(SHAPE, 3, np.uint8))
    with pytest.raises(ValueError, match="S4") as raised:
        data.brain_mri(brains, "train").check()
    assert check(capsys, "brain-mri", brains)[1][-2:] == ["1 problem:", f"  {raised.value}"]


def test_a_bad_atlas_does_not_hide_the_other_problems(brains, capsys):
    write_nifti(brains / "atlas" / IMAGE, np.full(SHAPE, 3, np.uint8))
    write_nifti(brains / "data" / "S4" / IMAGE, np.full(SHAPE, 3, np.uint8))
    code, lines = check(capsys, "brain-mri", brains)
    assert code == 2 and [line.split(":")[0].rpartition("/")[0] for line in lines[-2:]] == [
        f"  {brains}/atlas",
        f"  {brains}/data/S4",
    ]


def test_frames_and_masks(tmp_path, capsys):
    frame = noise((520, 696))
    for sequence, numbers in (("01", range(4)), ("02", range(2))):
        for number in numbers:
            write_pages(tmp_path / sequence / f"t{number:03d}.tif", frame)
            write_pages(tmp_path / f"{sequence}_ST" / "SEG" / f"man_seg{number:03d}.tif", blob((520, 696)))
    assert check(capsys, "phc-u373", tmp_path) == (
        0,
        [
            "train: 4 images of 512 x 688, 10 pairs, 2 classes, intensity fixed:0:256",
            "val: 2 images of 512 x 688, 1 pairs, 2 classes, intensity fixed:0:256",
            "test: none",
            "No problem found.",
        ],
    )
    (tmp_path / "01_ST" / "SEG" / "man_seg001.tif").unlink()
    write_pages(tmp_path / "01" / "t002.tif", frame.astype(np.uint16) * 300)
    write_pages(tmp_path / "01" / "t003.tif", frame[:, 1:])
    Image.new("RGB", (696, 520)).save(tmp_path / "02" / "t000.tif")
    code, lines = check(capsys, "phc-u373", tmp_path)
    assert code == 2 and lines[-5] == "4 problems:"
    starts = (
        "No mask for frame t001.tif",
        "{}/01/t002.tif holds uint16 values.",
        "{}/01/t003.tif has shape",
        "{}/02/t000.tif has 3 channels. Expected 1",
    )
    assert all(line.startswith(f"  {start.format(tmp_path)}") for line, start in zip(lines[-4:], starts))


def test_stacks_of_different_length_and_size(tmp_path, capsys):
    for stack, pages, rows in (("50", 3, 8), ("24", 14, 7)):
        write_pages(tmp_path / "images" / f"{stack}-images.tif", noise((pages, 8, 9)))
        write_pages(tmp_path / "labels-class" / f"{stack}-class.tif", noise((pages + (stack == "50"), rows, 9), high=5))
    code, lines = check(capsys, "platelet-em", tmp_path)
    assert code == 2 and lines[-3] == "2 problems:"
    assert (
        "50-images.tif has 3 slices, its labels" in lines[-2]
        and "24-images.tif has slices of (8, 9), its labels" in lines[-1]
    )


def test_options_are_those_of_the_loader(tmp_path, capsys):
    for stack in ("50", "24"):
        write_pages(tmp_path / "images" / f"{stack}-images.tif", noise((14, 8, 9)))
        write_pages(tmp_path / "labels-class" / f"{stack}-class.tif", noise((14, 8, 9), high=5))
    assert (
        check(capsys, "platelet-em", tmp_path, "--no-merge")[1][1]
        == "val: 12 images of 8 x 9, 11 pairs, 5 classes, intensity fixed:0:256"
    )


def test_hippocampus_crops(tmp_path, capsys):
    names = [f"h{k}.nii.gz" for k in range(4)]
    (tmp_path / "dataset.json").write_text(json.dumps({"split": {"train": names[:2], "val": names[2:]}}))
    for name in names:
        write_nifti(tmp_path / "imagesTr" / name, noise(SHAPE))
        write_nifti(tmp_path / "labelsTr" / name, blob(SHAPE, 3))
    assert check(capsys, "hippocampus", tmp_path)[0] == 0
    (tmp_path / "imagesTr" / "h0.nii.gz").write_text("no image")
    write_nifti(tmp_path / "labelsTr" / "h3.nii.gz", blob(SHAPE, 4))
    code, lines = check(capsys, "hippocampus", tmp_path)
    assert code == 2 and lines[-3] == "2 problems:"
    assert (
        "imagesTr/h0.nii.gz (8 bytes): expected a NIfTI image" in lines[-2]
        and "labelsTr/h3.nii.gz: expected labels from 0 to 2" in lines[-1]
    )


@pytest.fixture
def table(tmp_path):
    for seed, name in enumerate("abcde"):
        write_pages(tmp_path / f"{name}.tif", noise((8, 9), seed=seed))
        write_pages(tmp_path / f"l{name}.tif", blob((8, 9), 3))
    (tmp_path / "own.csv").write_text(
        "image,labels,split\n" + "".join(f"{name}.tif,l{name}.tif,train\n" for name in "abcde")
    )
    return tmp_path / "own.csv"


NO_VAL = "note: no val images; a training needs train and val"


def test_own_data_are_looked_through_once(table, capsys):
    assert check(capsys, "csv", table) == (
        0,
        ["all: 5 images of 8 x 9, 20 pairs, 3 classes, intensity minmax", NO_VAL, "No problem found."],
    )
    folder = table.parent
    write_pages(folder / "b.tif", noise((7, 9)))
    write_pages(folder / "c.tif", np.full((8, 9), 7, np.uint8))
    write_pages(folder / "ld.tif", np.full((8, 9), 0.5, np.float32))
    table.write_text(table.read_text() + "f.tif,lf.tif,train\na.tif,la.tif,dev\n")
    code, lines = check(capsys, "csv", table)
    assert code == 2 and lines[1] == "5 problems:"
    expected = (
        "line 7: no file",
        "line 8: unknown split 'dev'",
        "b.tif has shape (7, 9)",
        "ld.tif: expected whole",
        "c.tif: expected an image with",
    )
    for sentence in expected:
        assert sum(sentence in line for line in lines) == 1, sentence


def test_options_of_own_data(table, capsys):
    line = check(
        capsys, "csv", table, "--intensity", "fixed:0:256", "--fit", "pad", "--shape", "16,16", "--classes", "4"
    )[1][0]
    assert line == "all: 5 images of 16 x 16, 20 pairs, 4 classes, intensity fixed:0:256"


def test_a_bad_common_fixed_image_is_one_problem(table, capsys):
    table.write_text("moving,fixed\na.tif,e.tif\nb.tif,e.tif\n")
    assert check(capsys, "csv", table)[0] == 0
    for array, sentence in (
        (np.full((8, 9), 7, np.uint8), "e.tif: expected an image with contrast"),
        (noise((7, 9)), "e.tif has shape (7, 9)"),
    ):
        write_pages(table.parent / "e.tif", array)
        code, lines = check(capsys, "csv", table)
        assert code == 2 and lines[-2] == "1 problem:" and sentence in lines[-1]


def test_nothing_to_check_is_a_problem(tmp_path, capsys):
    missing = tmp_path / "own.csv"
    assert check(capsys, "csv", missing) == (
        2,
        ["", "1 problem:", f"  No file {missing}. Expected a CSV file; check its name."],
    )
    code, lines = check(capsys, "phc-u373", tmp_path / "nowhere")
    assert code == 2 and "is not PhC-C2DH-U373: no folder" in lines[-2]


def test_unknown_datasets_and_options_are_refused(table, capsys):
    code, lines = check(capsys, "mnist", table)
    assert code == 2 and lines[0].startswith(
        "deepsim: Unknown dataset 'mnist'. Available: phc-u373, platelet-em, brain-mri, hippocampus, csv"
    )
    code, lines = check(capsys, "hippocampus", table, "--slices")
    assert code == 2 and lines == [
        "deepsim: dataset 'hippocampus' has no option 'slices'. It belongs to dataset 'csv'. Available: none."
    ]
    with pytest.raises(ValueError, match="dataset 'csv' has no option 'depth'. Available: intensity, shape, fit"):
        check_dataset("csv", table, depth=3)


def test_synthetic_data_have_no_problem():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deepsim_tf.recipes.datasets.SYNTHETIC_PAIRS", {"train": 2, "val": 1, "test": 1})
        lines, problems = check_dataset("synthetic-cells", None, verbose=0)
    assert not problems and [line.split(":")[0] for line in lines] == ["train", "val", "test"]
