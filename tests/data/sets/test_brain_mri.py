import numpy as np
import pytest
from places import SAMPLES
from writers import blob, dice, noise, write_nifti

from deepsim_tf.data import brain_mri

SAMPLE = SAMPLES / "LPBA40"
SHAPE = (6, 8, 7)
IMAGE, LABELS = "brain_aligned.nii.gz", "seg_coalesced_aligned.nii.gz"
METADATA = "subject_id,SPLIT\nS3,train\nS1,val\nS4,train\nS2,test\nS5,train\n"


def write_subject(folder, seed, image=None, labels=None, **options):
    write_nifti(folder / IMAGE, noise(SHAPE, seed=seed) if image is None else image, **options)
    write_nifti(folder / LABELS, blob(SHAPE, 24) if labels is None else labels, **options)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "metadata.csv").write_text(METADATA)
    write_subject(tmp_path / "atlas", 0)
    for number in range(1, 6):
        write_subject(tmp_path / "data" / f"S{number}", number)
    return tmp_path


def test_an_item_is_the_volume_over_128_not_clipped(root):
    image, labels = brain_mri(root, "train")[1]
    np.testing.assert_array_equal(image[..., 0], noise(SHAPE, seed=4) / np.float32(128))
    assert image.max() > 1.2
    np.testing.assert_array_equal(labels, blob(SHAPE, 24))


def test_every_subject_of_a_split_goes_to_the_atlas(root):
    expected = {
        "train": (["S3", "S4", "S5"], [(0, None), (1, None), (2, None)]),
        "val": (["S1"], [(0, None)]),
        "test": (["S2"], [(0, None)]),
    }
    for split, (names, pairs) in expected.items():
        images = brain_mri(root, split)
        assert (images.names, images.pairs()) == (names, pairs)
        np.testing.assert_array_equal(images.pair(0)[1][..., 0], noise(SHAPE, seed=0) / np.float32(128))
        np.testing.assert_array_equal(images.pair(0)[3], blob(SHAPE, 24))


def test_the_set_describes_itself(root):
    write_subject(root / "atlas", 0, spacing=(1, 2, 3))
    write_subject(root / "data" / "S1", 1, spacing=(1, 2, 3))
    images = brain_mri(root, "val")
    assert (images.name, images.split, images.shape, images.spacing) == ("Brain-MRI", "val", SHAPE, (1, 2, 3))
    assert (images.classes, images.intensity, images.fit) == (24, "fixed:0:128", None)
    assert images.files(0) == [root / "data" / "S1" / IMAGE, root / "data" / "S1" / LABELS]


def test_an_atlas_of_more_classes_has_more_classes(root):
    write_subject(root / "atlas", 0, labels=blob(SHAPE) * 56)
    assert brain_mri(root, "val").classes == 57


def test_a_label_map_merges_left_and_right(root):
    labels = blob(SHAPE, 4)
    for folder in (root / "atlas", root / "data" / "S1"):
        write_subject(folder, 0, labels=labels)
    images = brain_mri(root, "val", label_map={1: 1, 2: 1, 3: 2, 4: 0})
    expected = np.array([0, 1, 1, 2, 0])[labels]
    assert images.classes == 3
    np.testing.assert_array_equal(images[0][1], expected)
    np.testing.assert_array_equal(images.atlas[1], expected)


def test_a_label_that_the_map_leaves_out_is_refused(root):
    with pytest.raises(ValueError, match="holds labels that the label map leaves out"):
        brain_mri(root, "val", label_map={1: 1})


def test_a_byte_order_mark_further_columns_and_any_row_order_are_fine(root):
    (root / "metadata.csv").write_text("\ufeffage,SPLIT,subject_id\n71,val,S2\n24,val,S1\n", encoding="utf-8")
    assert brain_mri(root, "val").names == ["S2", "S1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            METADATA + "S3,val\n",
            "metadata.csv lists subject 'S3' more than once. Expected one row a subject: remove the others",
        ),
        (
            METADATA + "S6,dev\n",
            "metadata.csv has the unknown split 'dev' for subject 'S6'. Available: train, val, test",
        ),
        (METADATA + "S6\n", "unknown split .* for subject 'S6'"),
        (
            METADATA + "S6,train\n",
            "metadata.csv lists subject 'S6', and there is no folder .*data/S6. Add it, or remove the row",
        ),
        (
            "subject,SPLIT\nS3,train\n",
            "metadata.csv has no column subject_id. Expected subject_id and SPLIT. Received: subject, SPLIT",
        ),
        ("subject_id,split\nS3,train\n", "has no column SPLIT"),
        ("", "metadata.csv cannot be read as a CSV file .* Expected the columns subject_id and SPLIT"),
        ("subject_id,SPLIT\nS1,val\n", "metadata.csv has no train subjects. Expected rows with SPLIT train"),
        ("subject_id,SPLIT\nS1,val,1,2\n\xff", "metadata.csv"),
    ],
)
def test_wrong_metadata_is_named(root, text, message):
    (root / "metadata.csv").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=message):
        brain_mri(root, "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": blob((6, 8, 8))},
            r"S4/brain_aligned.nii.gz has shape \(6, 8, 7\), its labels .*S4/seg_coalesced_aligned.nii.gz \(6, 8, 8\)",
        ),
        (
            {"image": noise((7, 8, 7)), "labels": blob((7, 8, 7))},
            r"S4/brain_aligned.nii.gz has shape \(7, 8, 7\), the atlas .* \(6, 8, 7\)",
        ),
        ({"image": noise((*SHAPE, 2))}, r"S4/brain_aligned.nii.gz holds an array of shape \(6, 8, 7, 2\)"),
        (
            {"origin": (0, 0, 5)},
            r"S4/brain_aligned.nii.gz and .*atlas/brain_aligned.nii.gz have different affines \(up to 5 mm apart\)",
        ),
    ],
)
def test_a_subject_on_another_grid_is_named_before_anything_is_read(root, changes, message):
    write_subject(root / "data" / "S4", 4, **changes)
    with pytest.raises(ValueError, match=message):
        brain_mri(root, "train")


def test_labels_on_another_grid_than_their_image_are_named(root):
    write_nifti(root / "data" / "S4" / LABELS, blob(SHAPE, 24), origin=(0.5, 0, 0))
    with pytest.raises(
        ValueError, match="S4/brain_aligned.nii.gz and .*S4/seg_coalesced_aligned.nii.gz have different affines"
    ):
        brain_mri(root, "train")


def test_rounding_of_an_affine_is_no_other_grid(root):
    write_nifti(root / "data" / "S4" / LABELS, blob(SHAPE, 24), origin=(0.005, 0, 0))
    assert len(brain_mri(root, "train")) == 3


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        (
            IMAGE,
            np.full(SHAPE, np.nan, np.float32),
            "S4/brain_aligned.nii.gz: expected finite intensities. Received: 336 voxels",
        ),
        (
            IMAGE,
            np.full(SHAPE, 7, np.uint8),
            "S4/brain_aligned.nii.gz: expected an image with contrast. Received: 7 in every voxel",
        ),
        (
            IMAGE,
            noise(SHAPE, "uint16") * 300,
            r"S4/brain_aligned.nii.gz: holds 16-bit values up to .*fixed:0:128 expects values up to about 128",
        ),
        (
            LABELS,
            np.full(SHAPE, 24, np.uint8),
            r"S4/seg_coalesced_aligned.nii.gz: expected labels from 0 to 23 \(24 classes\). Received: up to 24",
        ),
        (LABELS, np.full(SHAPE, -1, np.int16), "expected labels from 0 on. Received: -1"),
        (
            LABELS,
            np.full(SHAPE, 1.5, np.float32),
            "S4/seg_.*: expected whole numbers as labels. Received: 336 voxels that are none, such as 1.5",
        ),
        (
            LABELS,
            np.full(SHAPE, np.inf, np.float32),
            "expected whole numbers as labels. Received: 336 voxels that are none, such as inf",
        ),
        (LABELS, np.zeros(SHAPE, np.uint8), "expected labels above 0. Received: background in every voxel"),
    ],
)
def test_bad_voxels_are_named_when_they_are_read(root, file, array, message):
    write_nifti(root / "data" / "S4" / file, array)
    with pytest.raises(ValueError, match=message):
        brain_mri(root, "train")[1]


def test_whole_numbers_stored_as_floats_are_labels(root):
    write_nifti(root / "data" / "S4" / LABELS, blob(SHAPE, 24).astype(np.float32))
    np.testing.assert_array_equal(brain_mri(root, "train")[1][1], blob(SHAPE, 24))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(SHAPE, np.nan, np.float32), "whole numbers as labels"),
        (np.zeros(SHAPE, np.uint8), "above 0"),
        (blob(SHAPE, 24)[1:], "one shape"),
    ],
)
def test_a_bad_atlas_is_named(root, labels, message):
    write_nifti(root / "atlas" / LABELS, labels)
    with pytest.raises(ValueError, match=f"atlas/seg_coalesced_aligned.nii.gz.*{message}"):
        brain_mri(root, "val")


def test_a_missing_file_an_unknown_split_and_another_folder_are_named(root):
    (root / "data" / "S1" / LABELS).unlink()
    with pytest.raises(ValueError, match="No file .*S1/seg_coalesced_aligned.nii.gz"):
        brain_mri(root, "val")
    with pytest.raises(ValueError, match="Unknown split 'dev'. Available: train, val, test"):
        brain_mri(root, "dev")
    with pytest.raises(ValueError, match="No file .*data/atlas/brain_aligned.nii.gz"):
        brain_mri(root / "data", "val")
    (root / "metadata.csv").unlink()
    with pytest.raises(ValueError, match="No file .*metadata.csv. Expected the brain layout"):
        brain_mri(root, "val")


def test_the_first_problem_says_how_many_there_are(root):
    (root / "metadata.csv").write_text(METADATA + "S3,val\nS6,dev\n")
    with pytest.raises(
        ValueError, match=r"'S3' more than once.* \(1 more problems in brain-mri: `deepsim check` lists them.\)"
    ):
        brain_mri(root, "train")


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs LPBA40; set DEEPSIM_DATA")
def test_the_real_data_has_its_counts_and_overlap():
    train, val = brain_mri(SAMPLE, "train"), brain_mri(SAMPLE, "val", cache=None)
    assert (len(train), len(val), val.shape, val.classes, val.spacing) == (14, 2, (160, 192, 160), 57, (1, 1, 1))
    moving, fixed, moving_labels, fixed_labels = val.pair(0)
    assert 1.5 < moving.max() < 2 and 1.5 < fixed.max() < 2  # 8 bits over 128
    assert abs(np.mean(dice(moving_labels, fixed_labels, 57)[1:]) - 0.54) < 0.05
    with pytest.raises(ValueError, match="has no test subjects"):
        brain_mri(SAMPLE, "test")
