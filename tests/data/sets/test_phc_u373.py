import numpy as np
import pytest
from PIL import Image
from places import SAMPLES

from deepsim_tf.data import phc_u373

SAMPLE = SAMPLES / "PhC-C2DH-U373"
IMAGE = np.random.default_rng(0).integers(29, 180, (520, 696)).astype(np.uint8)
MASK = np.zeros((520, 696), np.uint16)
MASK[100:150, 200:260], MASK[300:330, 400:450] = 3, 14


def write_frame(root, sequence, number, image=IMAGE, mask=MASK):
    for folder, name, array in (
        (sequence, f"t{number:03d}.tif", image),
        (f"{sequence}_ST/SEG", f"man_seg{number:03d}.tif", mask),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        if array is not None:
            Image.fromarray(array).save(root / folder / name, compression="tiff_lzw")


@pytest.fixture
def root(tmp_path):
    for number in (0, 1, 2, 4):
        write_frame(tmp_path, "01", number)
    for number in (48, 49, 50, 59, 60, 61):
        write_frame(tmp_path, "02", number)
    return tmp_path


def test_an_item_is_the_cropped_frame_and_one_cell_class(root):
    data = phc_u373(root, "val")
    image, labels = data[1]
    np.testing.assert_allclose(image[..., 0], IMAGE[4:516, 4:692] / 256, rtol=1e-6)
    np.testing.assert_array_equal(labels, MASK[4:516, 4:692] > 0)
    assert (data.shape, data.classes, data.intensity, data.spacing) == (
        (512, 688),
        2,
        "fixed:0:256",
        (0.00065, 0.00065),
    )


def test_splits_follow_the_paper(root):
    assert phc_u373(root, "train").names == ["01/t000", "01/t001", "01/t002", "01/t004"]
    assert phc_u373(root, "val").names == ["02/t048", "02/t049"]
    assert phc_u373(root, "test").names == ["02/t060", "02/t061"]
    assert phc_u373(root, "val").pairs() == [(0, 1)]


def test_training_partners_are_one_or_two_frames_apart(root):
    # Frames 0, 1, 2, 4: frame 3 is missing, so that 2 and 4 are two apart and 1 and 4 are three apart.
    assert phc_u373(root, "train").pairs() == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 3), (3, 2)]


def test_an_unknown_split_lists_the_known_ones(root):
    with pytest.raises(ValueError, match="Unknown split 'dev'. Available: train, val, test"):
        phc_u373(root, "dev")


def test_another_folder_is_not_the_dataset(root):
    with pytest.raises(ValueError, match="is not PhC-C2DH-U373: no folder .* Expected 01, 02, 01_ST/SEG and 02_ST/SEG"):
        phc_u373(root / "01", "train")


def test_an_image_without_a_mask_is_named_and_a_mask_without_an_image_is_ignored(root):
    write_frame(root, "02", 62, image=None)
    assert len(phc_u373(root, "test")) == 2
    write_frame(root, "02", 63, mask=None)
    with pytest.raises(ValueError, match="No mask for frame t063.tif. Expected man_seg063.tif in .*02_ST/SEG"):
        phc_u373(root, "test")


@pytest.mark.parametrize(
    ("image", "mask", "message"),
    [
        (IMAGE, MASK[:-1], r"t003.tif has shape \(520, 696\), its labels .*man_seg003.tif \(519, 696\)"),
        (IMAGE[:512, :512], MASK[:512, :512], r"t003.tif has shape \(512, 512\). Expected \(520, 696\)"),
    ],
)
def test_a_frame_of_another_shape_is_named(root, image, mask, message):
    write_frame(root, "01", 3, image, mask)
    with pytest.raises(ValueError, match=message):
        phc_u373(root, "train")


@pytest.mark.parametrize("kept", [10, 1000, 100_000, -1])
def test_a_truncated_frame_is_named(root, kept):
    path = root / "01" / "t002.tif"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"01/t002.tif.* seems truncated"):
        phc_u373(root, "train")[2]


def test_absent_frames_say_what_is_there(root):
    for number in (60, 61):
        (root / "02" / f"t{number:03d}.tif").unlink()
    with pytest.raises(
        ValueError, match="No test frames in .* Expected t060.tif to t114.tif, found t048.tif to t059.tif"
    ):
        phc_u373(root, "test")


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="needs PhC-C2DH-U373; set DEEPSIM_DATA")
def test_the_real_data_has_the_papers_counts_and_overlap():
    train, val = phc_u373(SAMPLE, "train"), phc_u373(SAMPLE, "val")
    assert (len(train), len(val), len(val.pairs())) == (115, 50, 49)
    assert len(train.pairs()) == 2 * 114 + 2 * 113
    dice = []
    for k in range(49):
        moving, fixed = val.pair(k)[2:]
        dice.append(
            [2 * np.sum((moving == c) & (fixed == c)) / (np.sum(moving == c) + np.sum(fixed == c)) for c in (0, 1)]
        )
    assert abs(np.mean(dice) - 0.95) < 0.01  # the paper's test split has .953
