import numpy as np
import pytest
from places import SAMPLES
from writers import dice, noise, write_pages

from deepsim_tf.data import platelet_em

SHAPE = (8, 10)
STACKS = {"50": noise((5, *SHAPE), seed=50), "24": noise((15, *SHAPE), seed=24)}
CLASSES = {stack: noise(array.shape, seed=7, high=5) for stack, array in STACKS.items()}  # 0 .. 4


def write_stack(root, stack, images=None, labels=None):
    write_pages(
        root / "images" / f"{stack}-images.tif", STACKS[stack] if images is None else images, compression="tiff_lzw"
    )
    write_pages(root / "labels-class" / f"{stack}-class.tif", CLASSES[stack] if labels is None else labels)


@pytest.fixture
def root(tmp_path):
    for stack in STACKS:
        write_stack(tmp_path, stack)
    return tmp_path


def test_an_item_is_one_slice_over_2_to_the_bits_with_labels_above_1_merged(root):
    images = platelet_em(root, "test")
    image, labels = images[1]
    np.testing.assert_array_equal(image[..., 0], STACKS["24"][13] / np.float32(256))
    np.testing.assert_array_equal(labels, np.array([0, 1, 2, 2, 2])[CLASSES["24"][13]])
    assert (images.name, images.shape, images.classes, images.intensity) == ("Platelet-EM", SHAPE, 3, "fixed:0:256")
    assert images.spacing == (1e-5, 1e-5)


def test_16_bits_are_divided_by_65536(root):
    stack = STACKS["24"].astype(np.uint16) * 327
    write_stack(root, "24", stack)
    images = platelet_em(root, "val")
    assert images.intensity == "fixed:0:65536"
    np.testing.assert_array_equal(images[3][0][..., 0], stack[3] / np.float32(65536))


def test_splits_follow_the_paper(root):
    names = {
        "train": ["50/00", "50/01", "50/02", "50/03", "50/04"],
        "val": [
            "24/00",
            "24/01",
            "24/02",
            "24/03",
            "24/04",
            "24/05",
            "24/06",
            "24/07",
            "24/08",
            "24/09",
            "24/10",
            "24/11",
        ],
        "test": ["24/12", "24/13", "24/14"],
    }
    for split, expected in names.items():
        assert platelet_em(root, split).names == expected


def test_pairs_follow_the_paper(root):
    assert platelet_em(root, "train").pairs() == [
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 2),
        (1, 3),
        (2, 0),
        (2, 1),
        (2, 3),
        (2, 4),
        (3, 1),
        (3, 2),
        (3, 4),
        (4, 2),
        (4, 3),
    ]
    assert platelet_em(root, "val").pairs() == [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 5),
        (5, 6),
        (6, 7),
        (7, 8),
        (8, 9),
        (9, 10),
        (10, 11),
    ]
    assert platelet_em(root, "test").pairs() == [(0, 1), (1, 2)]


def test_without_merging_every_split_has_the_classes_of_all_files(root):
    write_stack(root, "50", labels=np.minimum(CLASSES["50"], 3))
    for split in ("train", "val", "test"):
        assert platelet_em(root, split, merge=False).classes == 5
    np.testing.assert_array_equal(platelet_em(root, "val", merge=False)[2][1], CLASSES["24"][2])


def test_a_stack_of_one_page_is_one_slice(root):
    write_stack(root, "50", STACKS["50"][:1], CLASSES["50"][:1])
    images = platelet_em(root, "train")
    assert (images.names, images.pairs()) == (["50/00"], [])
    np.testing.assert_array_equal(images[0][0][..., 0], STACKS["50"][0] / np.float32(256))


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            STACKS["24"][:9],
            None,
            "24-images.tif has 9 slices, its labels .*24-class.tif 15. Expected a label slice for each image slice",
        ),
        (
            None,
            CLASSES["24"][:, 1:],
            r"24-images.tif has slices of \(8, 10\), its labels .*24-class.tif of \(7, 10\). Expected one shape for"
            r" both",
        ),
        (
            STACKS["24"].astype(np.float32),
            None,
            r"24-images.tif holds float32 values. Expected 8 or 16 bits without sign",
        ),
        (STACKS["24"].astype(np.int32), None, "24-images.tif holds int32 values"),
        (
            STACKS["24"][:12],
            CLASSES["24"][:12],
            "No test slices in .*24-images.tif: it has 12. Expected slices 12 to 23",
        ),
    ],
)
def test_a_stack_that_does_not_fit_is_named(root, images, labels, message):
    write_stack(root, "24", images, labels)
    with pytest.raises(ValueError, match=message):
        platelet_em(root, "test")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (
            np.full((15, *SHAPE), 9, np.uint8),
            None,
            "24-images.tif, slice 12: expected an image with contrast. Received: 9 in every voxel",
        ),
        (
            None,
            np.zeros((15, *SHAPE), np.uint8),
            "24-class.tif: expected labels above 0. Received: background in every voxel",
        ),
        (
            None,
            np.full((15, *SHAPE), 0.5, np.float32),
            "24-class.tif, slice 12: expected whole numbers as labels. Received: 80 voxels",
        ),
        (None, np.full((15, *SHAPE), -2, np.int32), "24-class.tif, slice 12: expected labels from 0 on. Received: -2"),
    ],
)
def test_a_bad_slice_is_named_with_its_number(root, images, labels, message):
    write_stack(root, "24", images, labels)
    with pytest.raises(ValueError, match=message):
        platelet_em(root, "test")[0]


def test_labels_that_are_no_numbers_are_named_before_their_classes_are_counted(root):
    write_stack(root, "50", labels=np.full((5, *SHAPE), np.nan, np.float32))
    with pytest.raises(
        ValueError,
        match="50-class.tif: expected whole numbers as labels. Received: 400 voxels that are none, such as nan",
    ):
        platelet_em(root, "val", merge=False)


def test_a_missing_stack_a_cut_stack_and_an_unknown_split_are_named(root):
    with pytest.raises(ValueError, match="Unknown split 'dev'. Available: train, val, test"):
        platelet_em(root, "dev")
    with pytest.raises(
        ValueError, match="is not Platelet-EM: no folder .*images/images. Expected images/50-images.tif"
    ):
        platelet_em(root / "images", "train")
    path = root / "images" / "50-images.tif"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="Cannot read .*50-images.tif.* seems truncated"):
        platelet_em(root, "train")
    path.unlink()
    with pytest.raises(ValueError, match="No file .*50-images.tif"):
        platelet_em(root, "train")


@pytest.mark.skipif(not (SAMPLES / "Platelet-EM").is_dir(), reason="needs Platelet-EM; set DEEPSIM_DATA")
def test_the_real_slices_have_16_bits_and_7_classes():
    for split in ("train", "val"):
        images = platelet_em(SAMPLES / "Platelet-EM", split)
        assert (len(images), images.shape, images.classes, images.intensity) == (1, (800, 800), 3, "fixed:0:65536")
        assert np.unique(images[0][1]).tolist() == [0, 1, 2] and 0 <= images[0][0].min() < images[0][0].max() < 1
    assert platelet_em(SAMPLES / "Platelet-EM", "train", merge=False).classes == 7


@pytest.mark.skipif(not (SAMPLES / "Drosophila-VNC-EM").is_dir(), reason="needs Drosophila-VNC-EM; set DEEPSIM_DATA")
def test_real_serial_sections_have_their_counts_and_overlap():
    images = platelet_em(SAMPLES / "Drosophila-VNC-EM", "train", merge=False)
    assert (len(images), images.shape, images.classes, len(images.pairs())) == (9, (1024, 1024), 5, 2 * 8 + 2 * 7)
    adjacent = np.mean([dice(images[i][1], images[i + 1][1], 5) for i in range(8)], axis=0)
    np.testing.assert_allclose(adjacent, [0.43, 0.85, 0.49, 0.80, 0.35], atol=0.02)
    assert len(platelet_em(SAMPLES / "Drosophila-VNC-EM", "val")) == 5


def test_a_slice_beside_the_object_may_be_empty(root):
    labels = np.ones((15, *SHAPE), np.uint8)
    labels[13] = 0
    write_stack(root, "24", labels=labels)
    data = platelet_em(root, "test")
    assert not data[1][1].any() and data[0][1].all()
