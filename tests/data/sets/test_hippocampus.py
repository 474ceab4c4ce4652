import json

import numpy as np
import pytest
from places import SAMPLES
from writers import blob, dice, noise, write_nifti

from deepsim_tf.data import hippocampus

SAMPLE = SAMPLES / "Task04_Hippocampus"
SHAPES = [(31, 40, 24), (33, 41, 25), (32, 44, 30), (43, 59, 47)]


def name(number):
    return f"hippocampus_{number:03d}.nii.gz"


def write_subject(root, number, image=None, labels=None, **options):
    shape = SHAPES[number % 4]
    write_nifti(
        root / "imagesTr" / name(number),
        noise(shape, "int16", seed=number, high=3000) if image is None else image,
        **options,
    )
    write_nifti(root / "labelsTr" / name(number), blob(shape, 3) if labels is None else labels, **options)


def write_json(root, count=10, **more):
    training = [{"image": f"./imagesTr/{name(k)}", "label": f"./labelsTr/{name(k)}"} for k in range(count)]
    (root / "dataset.json").write_text(json.dumps({"training": training, **more}))


@pytest.fixture
def root(tmp_path):
    for number in range(10):
        write_subject(tmp_path, number)
    write_json(tmp_path)
    return tmp_path


def names(images):
    return [int(name.removeprefix("hippocampus_")) for name in images.names]


def test_an_item_is_centred_in_64_voxels_with_its_quantiles_at_0_and_1(root):
    write_json(root, split={"val": [name(0)]})
    image, labels = hippocampus(root, "val")[0]
    raw = noise(SHAPES[0], "int16", high=3000).astype(float)
    low, high = np.quantile(raw, 0.01), np.quantile(raw, 0.99)
    inside = np.s_[16:47, 12:52, 20:44]  # (64 - 31) // 2, (64 - 40) // 2, (64 - 24) // 2
    np.testing.assert_allclose(image[inside][..., 0], np.clip((raw - low) / (high - low), 0, 1), atol=1e-6)
    np.testing.assert_array_equal(image[:16], np.broadcast_to(image[16:17], (16, 64, 64, 1)))  # the border continues
    np.testing.assert_array_equal(labels[inside], blob(SHAPES[0], 3))
    assert np.count_nonzero(labels) == np.count_nonzero(blob(SHAPES[0], 3))


def test_the_set_describes_itself(root):
    images = hippocampus(root, "train")
    assert (images.name, images.shape, images.classes, images.spacing) == ("Hippocampus", (64, 64, 64), 3, (1, 1, 1))
    assert (images.intensity, images.fit) == ("quantile", "pad")


def test_the_papers_split_is_the_list_shuffled_with_42(root):
    # random.Random(42).shuffle(list(range(10))) of Python 3.11 and 3.13 gives 7 3 2 8 5 6 9 4 0 1.
    assert names(hippocampus(root, "train")) == [7, 3, 2, 8, 5, 6]
    assert names(hippocampus(root, "val")) == [9, 4]
    assert names(hippocampus(root, "test")) == [0, 1]


def test_the_split_of_dataset_json_goes_first(root):
    write_json(
        root, split={"train": [name(4), name(2), name(9)], "val": [f"./imagesTr/{name(1)}", name(0)], "test": []}
    )
    assert names(hippocampus(root, "train")) == [4, 2, 9]
    assert names(hippocampus(root, "val")) == [1, 0]
    with pytest.raises(ValueError, match="dataset.json has no test subjects in its `split`. Available: train, val"):
        hippocampus(root, "test")


def test_training_pairs_are_all_ordered_pairs_without_self_pairs(root):
    write_json(root, split={"train": [name(4), name(2), name(9)]})
    assert hippocampus(root, "train").pairs() == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


@pytest.mark.parametrize(
    ("count", "pairs"), [(2, [(0, 1), (1, 0)]), (3, [(0, 2), (2, 0)]), (4, [(0, 3), (1, 2), (2, 1), (3, 0)]), (1, [])]
)
def test_in_val_and_test_the_first_goes_to_the_last_and_back(root, count, pairs):
    write_json(root, split={"val": [name(k) for k in range(count)], "test": [name(k) for k in range(count)]})
    assert hippocampus(root, "val").pairs() == hippocampus(root, "test").pairs() == pairs


def test_the_right_partners_come_out_of_a_pair(root):
    images = hippocampus(root, "val")  # 9 and 4
    np.testing.assert_array_equal(images.pair(0)[0], images[0][0])
    np.testing.assert_array_equal(images.pair(0)[3], images[1][1])


SHAPE = SHAPES[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"labels": blob(SHAPES[1], 3)},
            r"imagesTr/.*_002.nii.gz has shape \(32, 44, 30\), its labels .*labelsTr/.*_002.nii.gz \(33, 41, 25\)",
        ),
        (
            {"image": noise((65, 40, 30)), "labels": blob((65, 40, 30))},
            r"_002.nii.gz has shape \(65, 40, 30\). Expected a volume of at most \(64,",
        ),
        ({"image": noise((40, 30)), "labels": blob((40, 30))}, r"_002.nii.gz has shape \(40, 30\). Expected a volume"),
        ({"image": noise((*SHAPE, 2))}, r"_002.nii.gz holds an array of shape \(32, 44, 30, 2\)"),
        (
            {"spacing": 0.8},
            r"_002.nii.gz has voxels of \(0.8.*\) mm. Expected \(1.0, 1.0, 1.0\), as the first image has",
        ),
    ],
)
def test_a_subject_on_another_grid_is_named_before_anything_is_read(root, changes, message):
    write_subject(root, 2, **changes)
    with pytest.raises(ValueError, match=message):
        hippocampus(root, "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.full(SHAPE, 5, np.int16)}, "imagesTr/hippocampus_002.nii.gz: expected an image with contrast"),
        ({"image": np.full(SHAPE, np.inf, np.float32)}, "imagesTr/hippocampus_002.nii.gz: expected finite intensities"),
        (
            {"image": np.float32(np.indices(SHAPE).sum(0) == 0)},
            r"_002.nii.gz: the rule 'quantile' needs contrast.*Choose another rule",
        ),
        (
            {"labels": blob(SHAPE, 4)},
            r"labelsTr/hippocampus_002.nii.gz: expected labels from 0 to 2 \(3 classes\). Received: up to 3",
        ),
        (
            {"labels": blob(SHAPE, 3) * np.float32(0.7)},
            "labelsTr/hippocampus_002.nii.gz: expected whole numbers as labels",
        ),
        ({"labels": np.zeros(SHAPE, np.uint8)}, "labelsTr/hippocampus_002.nii.gz: expected labels above 0"),
    ],
)
def test_bad_voxels_are_named_when_they_are_read(root, changes, message):
    write_subject(root, 2, **changes)
    with pytest.raises(ValueError, match=message):
        hippocampus(root, "train")[2]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"training": [1]}', '{"split": {"train": [{}]}}', '{"split": []}', '{"split": {"train": null}}'],
)
def test_a_dataset_json_of_another_kind_is_named(root, text):
    (root / "dataset.json").write_text(text)
    with pytest.raises(
        ValueError, match="dataset.json cannot be read. Expected the decathlon's JSON, with a list `training`"
    ):
        hippocampus(root, "train")


def test_missing_files_another_folder_and_an_unknown_split_are_named(root):
    with pytest.raises(ValueError, match="Unknown split 'dev'. Available: train, val, test"):
        hippocampus(root, "dev")
    with pytest.raises(
        ValueError,
        match="imagesTr is not Task04_Hippocampus: no file .*dataset.json. Expected dataset.json, imagesTr and"
        " labelsTr",
    ):
        hippocampus(root / "imagesTr", "train")
    (root / "labelsTr" / name(2)).unlink()
    with pytest.raises(ValueError, match="No file .*labelsTr/hippocampus_002.nii.gz"):
        hippocampus(root, "train")


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs Task04_Hippocampus; set DEEPSIM_DATA")
def test_the_real_data_has_its_counts_and_overlap():
    train, val = hippocampus(SAMPLE, "train"), hippocampus(SAMPLE, "val", cache=None)
    assert (len(train), len(val), train.shape, train.classes) == (156, 52, (64, 64, 64), 3)
    assert (len(train.pairs()), len(val.pairs()), val.pairs()[:2]) == (156 * 155, 52, [(0, 51), (1, 50)])
    overlap = np.mean([dice(*val.pair(k)[2:], 3) for k in range(0, 52, 2)], axis=0)
    np.testing.assert_allclose(overlap[1:], [0.57, 0.53], atol=0.05)
    image = val[0][0]
    assert image.min() == 0 and image.max() == 1
